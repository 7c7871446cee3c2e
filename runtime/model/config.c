#include "model/config.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum iol_status iol_json_parse(const char *text, size_t length, const char *path, const char *part,
                               json_t **out_object)
{
    json_error_t error;
    *out_object = NULL;
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value) {
        if (json_error_code(&error) == json_error_out_of_memory) {
            return iol_fail(IOL_E_NOMEM, "%s: out of memory while reading the JSON %s", path, part);
        }
        for (char *c = error.text; *c; c++) { /* quoted input must not break the sentence */
            *c = (unsigned char)*c < 0x20 || *c == 0x7F ? ' ' : *c;
        }
        return iol_fail(IOL_E_FORMAT, "%s: line %d, column %d of the %s: %s, expected valid JSON",
                        path, error.line, error.column, part, error.text);
    }
    if (!json_is_object(value)) {
        char found[96];
        iol_json_describe(value, found);
        json_decref(value);
        return iol_fail(IOL_E_FORMAT, "%s: the %s is %s, expected a JSON object", path, part,
                        found);
    }
    *out_object = value;
    return IOL_OK;
}

enum iol_status iol_json_read(const char *path, size_t limit, const char *part, json_t **out_object)
{
    char *text = NULL;
    size_t length;
    *out_object = NULL;
    enum iol_status status = iol_file_read(path, limit, &text, &length);
    if (status == IOL_OK && length == 0) {
        status = iol_fail(IOL_E_FORMAT, "%s: the file is empty, expected a JSON object", path);
    } else if (status == IOL_OK) {
        status = iol_json_parse(text, length, path, part, out_object);
    }
    iol_free(text);
    return status;
}

const char *iol_json_describe(const json_t *value, char out[96])
{
    enum { SPACE = 96 };
    if (!value) {
        snprintf(out, SPACE, "missing");
        return out;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        snprintf(out, SPACE, "an object");
        break;
    case JSON_ARRAY:
        snprintf(out, SPACE, "an array of %zu", json_array_size(value));
        break;
    case JSON_STRING: {
        size_t length = json_string_length(value);
        snprintf(out, SPACE, "the string \"%.64s%s\"", json_string_value(value),
                 length > 64 ? "..." : "");
        for (char *c = out; *c; c++) {
            *c = (unsigned char)*c < 0x20 || *c == 0x7F ? ' ' : *c;
        }
        break;
    }
    case JSON_INTEGER:
        snprintf(out, SPACE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(out, SPACE, "%g", json_real_value(value));
        break;
    case JSON_TRUE:
        snprintf(out, SPACE, "true");
        break;
    case JSON_FALSE:
        snprintf(out, SPACE, "false");
        break;
    case JSON_NULL:
        snprintf(out, SPACE, "null");
        break;
    }
    return out;
}

const json_t *iol_json_get(const struct iol_json *json, const char *key)
{
    const json_t *value = json_object_get(json->object, key);
    return json_is_null(value) ? NULL : value;
}

static enum iol_status fail_value(const struct iol_json *json, const char *key,
                                  const char *expected)
{
    char found[96];
    iol_json_describe(json_object_get(json->object, key), found);
    return iol_fail(IOL_E_FORMAT, "%s: key '%s%s' is %s, expected %s", json->path, json->prefix,
                    key, found, expected);
}

enum iol_status iol_json_size(const struct iol_json *json, const char *key, size_t *out_value)
{
    const json_t *value = iol_json_get(json, key);
    *out_value = 0;
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > INT32_MAX) {
        return fail_value(json, key, "a whole number in 1..2147483647");
    }
    *out_value = (size_t)number;
    return IOL_OK;
}

enum iol_status iol_json_size_or(const struct iol_json *json, const char *key, size_t fallback,
                                 size_t *out_value)
{
    if (iol_json_get(json, key)) {
        return iol_json_size(json, key, out_value);
    }
    *out_value = fallback;
    return IOL_OK;
}

enum iol_status iol_json_positive(const struct iol_json *json, const char *key, double *out_value)
{
    const json_t *value = iol_json_get(json, key);
    *out_value = json_number_value(value);
    if (!json_is_number(value) || !isfinite(*out_value) || !(*out_value > 0)) {
        return fail_value(json, key, "a number above 0");
    }
    return IOL_OK;
}

enum iol_status iol_json_positive_or(const struct iol_json *json, const char *key, double fallback,
                                     double *out_value)
{
    if (iol_json_get(json, key)) {
        return iol_json_positive(json, key, out_value);
    }
    *out_value = fallback;
    return IOL_OK;
}

enum iol_status iol_json_bool_or(const struct iol_json *json, const char *key, bool fallback,
                                 bool *out_value)
{
    const json_t *value = iol_json_get(json, key);
    *out_value = value ? json_is_true(value) : fallback;
    return !value || json_is_boolean(value) ? IOL_OK : fail_value(json, key, "true or false");
}

enum iol_status iol_json_text_or(const struct iol_json *json, const char *key, const char *fallback,
                                 const char **out_value)
{
    const json_t *value = iol_json_get(json, key);
    *out_value = value ? json_string_value(value) : fallback;
    return !value || json_is_string(value) ? IOL_OK : fail_value(json, key, "a string");
}

enum iol_status iol_json_refuse(const struct iol_json *json, const char *key, const char *feature)
{
    const json_t *value = iol_json_get(json, key);
    if (!value || json_is_false(value) || (json_is_object(value) && !json_object_size(value)) ||
        (json_is_array(value) && !json_array_size(value))) {
        return IOL_OK;
    }
    char found[96];
    return iol_fail(IOL_E_UNSUPPORTED, "%s: key '%s%s' is %s: %s is not supported, expected none",
                    json->path, json->prefix, key, iol_json_describe(value, found), feature);
}
