/* The normalizer and the pre-tokenizer of tokenizer.json, flattened into lists of steps. */
#include <string.h>

#include "base/base.h"
#include "model/tokenizer_json.h"

static enum iol_status unsupported(const struct iol_json *at, const char *what, const char *type)
{
    return iol_fail(IOL_E_UNSUPPORTED, "%s: %s: the %s '%.48s' is not supported", at->file,
                    at->place, what, type);
}

static enum iol_status add_step(struct iol_steps *steps, enum iol_step_kind kind,
                                struct iol_step **out_step)
{
    enum iol_status status = IOL_OK;
    *out_step = NULL;
    IOL_TRY(iol_grow(&steps->items, &steps->capacity, steps->count + 1, sizeof *steps->items));
    *out_step = &steps->items[steps->count++];
    **out_step = (struct iol_step){.kind = kind, .behavior = IOL_SPLIT_ISOLATED, .splits = true};
out:
    return status;
}

/* {"String": text} or {"Regex": expression} */
static enum iol_status load_pattern(const struct iol_json *at, struct iol_pattern *out_pattern)
{
    enum iol_status status = IOL_OK;
    json_t *value = json_object_get(at->value, "pattern");
    const json_t *literal = json_object_get(value, "String");
    const json_t *regex = json_object_get(value, "Regex");
    const json_t *text = literal ? literal : regex;
    char *place = iol_format("%s.pattern", at->place);
    if (!place) {
        return iol_fail(IOL_E_NOMEM, "out of memory: reading %s", at->file);
    }
    if (json_object_size(value) != 1 || !json_is_string(text)) {
        status = iol_json_wrong(at, "pattern", value, "{\"String\": text} or {\"Regex\": text}");
    } else if (json_string_length(text) == 0) {
        status = iol_fail(IOL_E_UNSUPPORTED, "%s: %s: an empty pattern is not supported", at->file,
                          place);
    } else if (literal) {
        status =
            iol_pattern_literal(json_string_value(text), json_string_length(text), out_pattern);
    } else {
        status = iol_pattern_regex(at->file, place, json_string_value(text),
                                   json_string_length(text), out_pattern);
    }
    iol_free(place);
    return status;
}

/* --- normalizer ----------------------------------------------------------------------------------
 */

static enum iol_status load_normalizer_step(const struct iol_json *at, const char *type,
                                            struct iol_steps *steps)
{
    static const struct {
        const char *type;
        enum iol_step_kind kind;
    } kinds[] = {{"Prepend", IOL_STEP_PREPEND},
                 {"Replace", IOL_STEP_REPLACE},
                 {"NFC", IOL_STEP_NFC},
                 {"NFD", IOL_STEP_NFD},
                 {"NFKC", IOL_STEP_NFKC},
                 {"NFKD", IOL_STEP_NFKD},
                 {"Lowercase", IOL_STEP_LOWERCASE}};
    enum iol_status status = IOL_OK;
    struct iol_step *step = NULL;
    for (size_t i = 0; !step && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].type) == 0) {
            IOL_TRY(add_step(steps, kinds[i].kind, &step));
        }
    }
    if (!step) {
        return unsupported(at, "normalizer", type);
    }
    if (step->kind == IOL_STEP_PREPEND) {
        IOL_TRY(iol_json_copy(at, "prepend", true, &step->text, &step->text_length));
    } else if (step->kind == IOL_STEP_REPLACE) {
        IOL_TRY(load_pattern(at, &step->pattern));
        IOL_TRY(iol_json_copy(at, "content", true, &step->text, &step->text_length));
    }
out:
    return status;
}

typedef enum iol_status load_step(const struct iol_json *at, const char *type,
                                  struct iol_steps *steps);

/* One step, or a Sequence of them under `key`. */
static enum iol_status load_steps(const struct iol_json *at, const char *key, size_t depth,
                                  load_step *load, struct iol_steps *steps)
{
    enum iol_status status = IOL_OK;
    const char *type = NULL;
    char *place = NULL;
    IOL_TRY(iol_json_type(at, &type));
    if (strcmp(type, "Sequence") != 0) {
        return load(at, type, steps);
    }
    json_t *array = json_object_get(at->value, key);
    if (!json_is_array(array)) {
        return iol_json_wrong(at, key, array, "an array");
    }
    if (depth == 0) {
        return iol_fail(IOL_E_LIMIT, "%s: %s: Sequences within more than %d Sequences", at->file,
                        at->place, IOL_SEQUENCE_DEPTH);
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        struct iol_json element;
        iol_free(place);
        place = NULL;
        IOL_TRY(iol_json_element(at, key, array, i, &place, &element));
        IOL_TRY(load_steps(&element, key, depth - 1, load, steps));
    }
out:
    iol_free(place);
    return status;
}

enum iol_status iol_steps_load_normalizer(const struct iol_json *at, struct iol_steps *steps)
{
    if (!at->value || json_is_null(at->value)) {
        return IOL_OK;
    }
    return load_steps(at, "normalizers", IOL_SEQUENCE_DEPTH, load_normalizer_step, steps);
}

/* --- pre-tokenizer --- */

static const char gpt2_regex[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
                                 " ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/* char::is_numeric of Rust: Unicode 17 */
static const char digit_regex[] = "[\\p{N}\\x{11DE0}-\\x{11DE9}\\x{16FF4}-\\x{16FF6}]";

static enum iol_status load_byte_level(const struct iol_json *at, struct iol_step *step)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_json_bool(at, "add_prefix_space", true, &step->prefix_space));
    IOL_TRY(iol_json_bool(at, "use_regex", false, &step->splits));
    IOL_TRY(
        iol_pattern_regex(at->file, at->place, gpt2_regex, sizeof gpt2_regex - 1, &step->pattern));
out:
    return status;
}

static enum iol_status load_digits(const struct iol_json *at, struct iol_step *step)
{
    enum iol_status status = IOL_OK;
    bool individual = false;
    IOL_TRY(iol_json_bool(at, "individual_digits", true, &individual));
    step->behavior = individual ? IOL_SPLIT_ISOLATED : IOL_SPLIT_CONTIGUOUS;
    IOL_TRY(iol_pattern_regex(at->file, at->place, digit_regex, sizeof digit_regex - 1,
                              &step->pattern));
out:
    return status;
}

static enum iol_status load_split(const struct iol_json *at, struct iol_step *step)
{
    static const struct {
        const char *name;
        enum iol_behavior behavior;
    } behaviors[] = {{"Removed", IOL_SPLIT_REMOVED},
                     {"Isolated", IOL_SPLIT_ISOLATED},
                     {"MergedWithPrevious", IOL_SPLIT_MERGED_WITH_PREVIOUS},
                     {"MergedWithNext", IOL_SPLIT_MERGED_WITH_NEXT},
                     {"Contiguous", IOL_SPLIT_CONTIGUOUS}};
    enum iol_status status = IOL_OK;
    const char *name = NULL;
    size_t length = 0, i = 0, count = sizeof behaviors / sizeof *behaviors;
    IOL_TRY(load_pattern(at, &step->pattern));
    IOL_TRY(iol_json_bool(at, "invert", true, &step->invert));
    IOL_TRY(iol_json_text(at, "behavior", true, &name, &length));
    while (i < count && strcmp(behaviors[i].name, name) != 0) {
        i++;
    }
    if (i == count) {
        return unsupported(at, "split behavior", name);
    }
    step->behavior = behaviors[i].behavior;
out:
    return status;
}

/* One character, UTF-8. */
static bool one_character(const char *text, size_t length)
{
    unsigned char lead = (unsigned char)*text;
    return length == (lead < 0x80 ? 1U : lead < 0xE0 ? 2U : lead < 0xF0 ? 3U : 4U);
}

static enum iol_status load_metaspace(const struct iol_json *at, struct iol_step *step)
{
    enum iol_status status = IOL_OK;
    const char *scheme = "always";
    size_t length = 0;
    bool prefix_space = true;
    IOL_TRY(iol_json_copy(at, "replacement", true, &step->text, &step->text_length));
    if (!one_character(step->text, step->text_length)) {
        return iol_json_wrong(at, "replacement", json_object_get(at->value, "replacement"),
                              "one character");
    }
    IOL_TRY(iol_json_text(at, "prepend_scheme", false, &scheme, &length));
    IOL_TRY(iol_json_bool(at, "add_prefix_space", false, &prefix_space));
    IOL_TRY(iol_json_bool(at, "split", false, &step->splits));
    if (strcmp(scheme, "always") == 0) {
        step->prepend = IOL_PREPEND_ALWAYS;
    } else if (strcmp(scheme, "first") == 0) {
        step->prepend = IOL_PREPEND_FIRST;
    } else if (strcmp(scheme, "never") == 0) {
        step->prepend = IOL_PREPEND_NEVER;
    } else {
        return unsupported(at, "prepend_scheme", scheme);
    }
    if (!prefix_space && step->prepend != IOL_PREPEND_NEVER) {
        return iol_json_wrong(at, "add_prefix_space",
                              json_object_get(at->value, "add_prefix_space"),
                              "what prepend_scheme says (\"never\" for false)");
    }
    step->behavior = IOL_SPLIT_MERGED_WITH_NEXT;
    IOL_TRY(iol_pattern_literal(step->text, step->text_length, &step->pattern));
out:
    return status;
}

static enum iol_status load_pre_tokenizer_step(const struct iol_json *at, const char *type,
                                               struct iol_steps *steps)
{
    static const struct {
        const char *type;
        enum iol_step_kind kind;
        enum iol_status (*load)(const struct iol_json *at, struct iol_step *step);
    } kinds[] = {{"ByteLevel", IOL_STEP_BYTE_LEVEL, load_byte_level},
                 {"Digits", IOL_STEP_DIGITS, load_digits},
                 {"Split", IOL_STEP_SPLIT, load_split},
                 {"Metaspace", IOL_STEP_METASPACE, load_metaspace}};
    enum iol_status status = IOL_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].type) == 0) {
            struct iol_step *step = NULL;
            IOL_TRY(add_step(steps, kinds[i].kind, &step));
            return kinds[i].load(at, step);
        }
    }
    return unsupported(at, "pre-tokenizer", type);
out:
    return status;
}

enum iol_status iol_steps_load_pre_tokenizer(const struct iol_json *at, struct iol_steps *steps)
{
    if (!at->value || json_is_null(at->value)) {
        return IOL_OK;
    }
    return load_steps(at, "pretokenizers", IOL_SEQUENCE_DEPTH, load_pre_tokenizer_step, steps);
}
