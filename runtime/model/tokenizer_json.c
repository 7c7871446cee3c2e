/* Typed access to the JSON of a tokenizer. */
#include "model/tokenizer_json.h"

#include <string.h>

#include "base/base.h"

enum iol_status iol_tokjson_read(const char *path, size_t limit, json_t **out_root)
{
    enum iol_status status = IOL_OK;
    char *text = NULL;
    size_t length = 0;
    json_error_t error;
    *out_root = NULL;
    IOL_TRY(iol_file_read(path, limit, &text, &length));
    *out_root = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!*out_root) {
        bool memory = json_error_code(&error) == json_error_out_of_memory;
        status = iol_fail(memory ? IOL_E_NOMEM : IOL_E_FORMAT,
                          "%s: line %d, column %d: %s, expected JSON", path, error.line,
                          error.column, error.text);
        goto out;
    }
    if (!json_is_object(*out_root)) {
        struct iol_json at = {.file = path, .place = "the file", .value = *out_root};
        status = iol_json_wrong(&at, NULL, *out_root, "an object");
        json_decref(*out_root);
        *out_root = NULL;
    }
out:
    iol_free(text);
    return status;
}

enum iol_status iol_json_wrong(const struct iol_json *at, const char *key, const json_t *value,
                               const char *expected)
{
    const char *dot = key ? (*at->place ? "." : "") : "";
    const char *name = key ? key : "";
    if (!value) {
        return iol_fail(IOL_E_FORMAT, "%s: %s%s%.64s: missing, expected %s", at->file, at->place,
                        dot, name, expected);
    }
    switch (json_typeof(value)) {
    case JSON_STRING:
        return iol_fail(IOL_E_FORMAT, "%s: %s%s%.64s: found the string \"%.48s\", expected %s",
                        at->file, at->place, dot, name, json_string_value(value), expected);
    case JSON_INTEGER:
        return iol_fail(IOL_E_FORMAT, "%s: %s%s%.64s: found %lld, expected %s", at->file, at->place,
                        dot, name, (long long)json_integer_value(value), expected);
    case JSON_REAL:
        return iol_fail(IOL_E_FORMAT, "%s: %s%s%.64s: found %g, expected %s", at->file, at->place,
                        dot, name, json_real_value(value), expected);
    case JSON_ARRAY:
        return iol_fail(IOL_E_FORMAT, "%s: %s%s%.64s: found an array of %zu, expected %s", at->file,
                        at->place, dot, name, json_array_size(value), expected);
    case JSON_OBJECT:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return iol_fail(IOL_E_FORMAT, "%s: %s%s%.64s: found %s, expected %s", at->file, at->place, dot,
                    name,
                    json_is_object(value)  ? "an object"
                    : json_is_true(value)  ? "true"
                    : json_is_false(value) ? "false"
                                           : "null",
                    expected);
}

enum iol_status iol_json_bool(const struct iol_json *at, const char *key, bool required, bool *out)
{
    const json_t *value = json_object_get(at->value, key);
    if (json_is_boolean(value)) {
        *out = json_is_true(value);
        return IOL_OK;
    }
    if (!required && (!value || json_is_null(value))) {
        return IOL_OK;
    }
    return iol_json_wrong(at, key, value, "true or false");
}

enum iol_status iol_json_text(const struct iol_json *at, const char *key, bool required,
                              const char **out_text, size_t *out_length)
{
    const json_t *value = json_object_get(at->value, key);
    if (json_is_string(value)) {
        *out_text = json_string_value(value);
        *out_length = json_string_length(value);
        return IOL_OK;
    }
    if (!required && (!value || json_is_null(value))) {
        return IOL_OK;
    }
    return iol_json_wrong(at, key, value, "a string");
}

enum iol_status iol_json_copy(const struct iol_json *at, const char *key, bool required,
                              char **out_text, size_t *out_length)
{
    enum iol_status status = IOL_OK;
    const char *text = NULL;
    size_t length = 0;
    IOL_TRY(iol_json_text(at, key, required, &text, &length));
    if (text) {
        char *copy = iol_strndup(text, length);
        if (!copy) {
            return iol_fail(IOL_E_NOMEM, "out of memory: %s: %s.%s", at->file, at->place, key);
        }
        iol_free(*out_text);
        *out_text = copy;
        *out_length = length;
    }
out:
    return status;
}

enum iol_status iol_json_id(const struct iol_json *at, const char *key, const json_t *value,
                            int32_t *out_id)
{
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= IOL_ID_LIMIT) {
        return iol_json_wrong(at, key, value, "an id (a whole number 0..16777215)");
    }
    *out_id = (int32_t)id;
    return IOL_OK;
}

enum iol_status iol_json_type(const struct iol_json *at, const char **out_type)
{
    size_t length = 0;
    if (!json_is_object(at->value)) {
        return iol_json_wrong(at, NULL, at->value, "an object or null");
    }
    return iol_json_text(at, "type", true, out_type, &length);
}

enum iol_status iol_json_element(const struct iol_json *at, const char *key, json_t *array,
                                 size_t index, char **out_place, struct iol_json *out_element)
{
    *out_place = iol_format("%.400s%s%s[%zu]", at->place, *at->place ? "." : "", key, index);
    *out_element = (struct iol_json){
        .file = at->file, .place = *out_place, .value = json_array_get(array, index)};
    return *out_place ? IOL_OK : iol_fail(IOL_E_NOMEM, "out of memory: reading %s", at->file);
}
