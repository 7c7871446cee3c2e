/* The prompts file: JSONL, one object per line with `prompt` (text) or `tokens` (ids). */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "intervene/expand.h"

enum { FILE_LIMIT = 0x7fffffff }; /* bytes */

struct reader {
    const struct iol_experiment *experiment;
    const char *model_folder;
    struct iol_tokenizer *tokenizer; /* opened when the first text comes */
    size_t number;                   /* of the line in the file, from 1, for sentences */
    struct iol_prompt *prompts;
    size_t count, capacity;
};

static const char *type_name(const json_t *value)
{
    if (!value) {
        return "nothing";
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a truth value";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

/* "file:line: " + the sentence */
static enum iol_status fail_line(const struct reader *reader, enum iol_status status,
                                 const char *sentence)
{
    return iol_fail(status, "%s:%zu: %s", reader->experiment->prompts_path, reader->number,
                    sentence);
}

static enum iol_status fail_memory(const struct reader *reader)
{
    return fail_line(reader, IOL_E_NOMEM, "out of memory");
}

static enum iol_status encode(struct reader *reader, const char *text, size_t length,
                              int32_t **out_ids, size_t *out_count)
{
    enum iol_status status = IOL_OK;
    if (!reader->tokenizer) {
        IOL_TRY(iol_tokenizer_open(reader->model_folder, &reader->tokenizer));
    }
    status = iol_tokenizer_encode(reader->tokenizer, text, length, reader->experiment->bos, out_ids,
                                  out_count);
    if (status != IOL_OK) {
        status = fail_line(reader, status, iol_error());
    }
out:
    return status;
}

static enum iol_status fail_id(const struct reader *reader, size_t index, json_int_t id)
{
    char text[160];
    snprintf(text, sizeof text,
             "token %zu is %lld, expected an id from 0 to %zu (the model's vocabulary)", index,
             (long long)id, reader->experiment->model->arch.vocab - 1);
    return fail_line(reader, IOL_E_FORMAT, text);
}

/* Every id is in the vocabulary, there is one at least, and the context holds them. */
static enum iol_status check_ids(const struct reader *reader, const struct iol_prompt *prompt)
{
    const struct iol_arch *arch = &reader->experiment->model->arch;
    char text[160];
    if (prompt->count == 0) {
        return fail_line(reader, IOL_E_FORMAT,
                         "the prompt has 0 tokens, expected at least 1 (the tokenizer drops all of "
                         "it, and adds no BOS)");
    }
    for (size_t i = 0; i < prompt->count; i++) {
        int32_t id = prompt->tokens[i];
        if (id < 0 || (size_t)id >= arch->vocab) {
            return fail_id(reader, i, id);
        }
    }
    if (prompt->count > arch->context) {
        snprintf(text, sizeof text,
                 "the prompt has %zu tokens, expected at most %zu (the model's context length)",
                 prompt->count, arch->context);
        return fail_line(reader, IOL_E_LIMIT, text);
    }
    return IOL_OK;
}

static enum iol_status read_tokens(struct reader *reader, const json_t *tokens,
                                   struct iol_prompt *prompt)
{
    size_t count = json_array_size(tokens), vocab = reader->experiment->model->arch.vocab;
    char text[200];
    if (!json_is_array(tokens) || count == 0) {
        snprintf(text, sizeof text, "`tokens` is %s, expected an array of at least one integer",
                 json_is_array(tokens) ? "an empty array" : type_name(tokens));
        return fail_line(reader, IOL_E_FORMAT, text);
    }
    prompt->by_tokens = true;
    prompt->tokens = iol_alloc(count, sizeof *prompt->tokens);
    if (!prompt->tokens) {
        return fail_memory(reader);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(tokens, i);
        json_int_t id = json_is_integer(item) ? json_integer_value(item) : -1;
        if (!json_is_integer(item)) {
            snprintf(text, sizeof text, "token %zu is %s, expected an integer", i, type_name(item));
            return fail_line(reader, IOL_E_FORMAT, text);
        }
        if (id < 0 || (unsigned long long)id >= vocab) {
            return fail_id(reader, i, id);
        }
        prompt->tokens[i] = (int32_t)id;
    }
    prompt->count = count;
    return IOL_OK;
}

static enum iol_status read_text(struct reader *reader, const json_t *value,
                                 struct iol_prompt *prompt)
{
    char text[160];
    if (!json_is_string(value) || json_string_length(value) == 0) {
        snprintf(text, sizeof text, "`prompt` is %s, expected a string that is not empty",
                 json_is_string(value) ? "empty" : type_name(value));
        return fail_line(reader, IOL_E_FORMAT, text);
    }
    return encode(reader, json_string_value(value), json_string_length(value), &prompt->tokens,
                  &prompt->count);
}

/* Filter `correct`, text: the id after the prompt's in prompt + " " + answer; -1 if the prompt's
 * ids are not its beginning. */
static enum iol_status read_answer(struct reader *reader, const json_t *prompt_text,
                                   const json_t *answer, struct iol_prompt *prompt)
{
    enum iol_status status = IOL_OK;
    char *whole = NULL;
    int32_t *ids = NULL;
    size_t count = 0, length = 0, total = 0;
    size_t head = json_string_length(prompt_text);
    const char *tail = answer ? json_string_value(answer) : "";
    size_t tail_length = answer ? json_string_length(answer) : 0;
    if (!tail) {
        char text[120];
        snprintf(text, sizeof text, "`answer` is %s, expected a string", type_name(answer));
        status = fail_line(reader, IOL_E_FORMAT, text);
        goto out;
    }
    bool space = tail_length == 0 || tail[0] != ' ';
    if (!iol_add(head, tail_length, &length) || !iol_add(length, 1, &total) ||
        !(whole = iol_alloc(total, 1))) {
        status = fail_memory(reader);
        goto out;
    }
    memcpy(whole, json_string_value(prompt_text), head);
    whole[head] = ' ';
    memcpy(whole + head + (space ? 1 : 0), tail, tail_length);
    IOL_TRY(encode(reader, whole, length + (space ? 1 : 0), &ids, &count));
    if (count > prompt->count && memcmp(ids, prompt->tokens, prompt->count * sizeof *ids) == 0) {
        prompt->answer_id = ids[prompt->count];
    }
out:
    iol_ids_free(ids);
    iol_free(whole);
    return status;
}

static enum iol_status read_answer_id(const struct reader *reader, const json_t *answer_id,
                                      struct iol_prompt *prompt)
{
    if (answer_id && !json_is_integer(answer_id)) {
        char text[120];
        snprintf(text, sizeof text, "`answer_id` is %s, expected an integer", type_name(answer_id));
        return fail_line(reader, IOL_E_FORMAT, text);
    }
    prompt->answer_id = answer_id ? json_integer_value(answer_id) : -1;
    return IOL_OK;
}

static enum iol_status parse_line(const struct reader *reader, const char *line, size_t length,
                                  json_t **out_object)
{
    char text[400];
    json_error_t error;
    size_t bad = iol_utf8_check(line, length);
    if (bad < length) {
        snprintf(text, sizeof text, "byte %zu of the line (0x%02x) is not UTF-8, expected UTF-8",
                 bad, (unsigned)(unsigned char)line[bad]);
        return fail_line(reader, IOL_E_FORMAT, text);
    }
    *out_object = json_loadb(line, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!*out_object) {
        bool memory = json_error_code(&error) == json_error_out_of_memory;
        snprintf(text, sizeof text, "column %d: %s; expected one JSON object", error.column,
                 error.text);
        return fail_line(reader, memory ? IOL_E_NOMEM : IOL_E_FORMAT, text);
    }
    if (!json_is_object(*out_object)) {
        snprintf(text, sizeof text,
                 "found %s, expected an object with `prompt` (text) or `tokens` (ids)",
                 type_name(*out_object));
        return fail_line(reader, IOL_E_FORMAT, text);
    }
    return IOL_OK;
}

static enum iol_status read_line(struct reader *reader, const char *line, size_t length)
{
    enum iol_status status = IOL_OK;
    json_t *object = NULL;
    IOL_TRY(
        iol_grow(&reader->prompts, &reader->capacity, reader->count + 1, sizeof *reader->prompts));
    struct iol_prompt *prompt = &reader->prompts[reader->count];
    *prompt = (struct iol_prompt){.line = reader->count, .answer_id = -1};
    reader->count++;
    IOL_TRY(parse_line(reader, line, length, &object));
    const json_t *text = json_object_get(object, "prompt");
    const json_t *tokens = json_object_get(object, "tokens");
    if (!text == !tokens) {
        status = fail_line(reader, IOL_E_FORMAT,
                           text ? "found both `prompt` and `tokens`, expected one of them"
                                : "found neither `prompt` nor `tokens`, expected one of them");
        goto out;
    }
    if (tokens) {
        IOL_TRY(read_tokens(reader, tokens, prompt));
    } else {
        IOL_TRY(read_text(reader, text, prompt));
    }
    IOL_TRY(check_ids(reader, prompt));
    if (reader->experiment->filter_correct && tokens) {
        IOL_TRY(read_answer_id(reader, json_object_get(object, "answer_id"), prompt));
    } else if (reader->experiment->filter_correct) {
        IOL_TRY(read_answer(reader, text, json_object_get(object, "answer"), prompt));
    }
out:
    json_decref(object);
    return status;
}

static bool is_blank(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!strchr(" \t\r\v\f", line[i]) || line[i] == '\0') {
            return false;
        }
    }
    return true;
}

enum iol_status iol_prompts_read(struct iol_experiment *experiment, const char *model_folder,
                                 size_t limit)
{
    enum iol_status status = IOL_OK;
    char *file = NULL;
    size_t length = 0;
    struct reader reader = {.experiment = experiment, .model_folder = model_folder};
    IOL_TRY(iol_file_read(experiment->prompts_path, FILE_LIMIT, &file, &length));
    for (size_t at = 0; at < length && (limit == 0 || reader.count < limit);) {
        const char *end = memchr(file + at, '\n', length - at);
        size_t line = end ? (size_t)(end - (file + at)) : length - at;
        reader.number++;
        if (!is_blank(file + at, line)) {
            IOL_TRY(read_line(&reader, file + at, line));
        }
        at += line + (end ? 1 : 0);
    }
    if (reader.count == 0) {
        status = iol_fail(IOL_E_FORMAT,
                          "%s: found no prompts, expected at least one line with a JSON object",
                          experiment->prompts_path);
    }
out:
    experiment->prompts = reader.prompts; /* freed by iol_experiment_close, also after a failure */
    experiment->prompt_count = reader.count;
    iol_tokenizer_close(reader.tokenizer);
    iol_free(file);
    return status;
}
