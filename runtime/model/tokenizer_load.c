/* tokenizer.json, tokenizer_config.json and config.json to a tokenizer. */
#include <string.h>

#include "base/base.h"
#include "model/tokenizer_json.h"

#define TOKENIZER_BYTES ((size_t)512 << 20) /* the largest file read */
#define CONFIG_BYTES    ((size_t)64 << 20)

/* --- model -------------------------------------------------------------------------------------
 */

static enum iol_status load_vocab(const struct iol_json *at, struct iol_bpe *bpe)
{
    enum iol_status status = IOL_OK;
    json_t *vocab = json_object_get(at->value, "vocab");
    const struct iol_json inside = {.file = at->file, .place = "model.vocab", .value = vocab};
    int32_t *owner = NULL; /* id -> entry + 1 */
    size_t owners = 0;
    for (void *i = json_object_iter(vocab); i; i = json_object_iter_next(vocab, i)) {
        const char *name = json_object_iter_key(i);
        size_t entry = bpe->count;
        int32_t id = -1;
        IOL_TRY(iol_json_id(&inside, name, json_object_iter_value(i), &id));
        IOL_TRY(iol_bpe_add(bpe, name, strlen(name), id));
        IOL_TRY(iol_grow(&owner, &owners, (size_t)id + 1, sizeof *owner));
        if (owner[id]) {
            status = iol_fail(IOL_E_FORMAT,
                              "%s: model.vocab.%.64s: found id %d, which \"%.64s\" has already, "
                              "expected different ids",
                              at->file, name, id, bpe->names + bpe->entries[owner[id] - 1].name);
            goto out;
        }
        owner[id] = (int32_t)entry + 1;
    }
out:
    iol_free(owner);
    return status;
}

/* The two halves of a merge: "a b" or ["a", "b"]. */
static bool merge_halves(const json_t *merge, const char **out_left, size_t *out_left_length,
                         const char **out_right, size_t *out_right_length)
{
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge);
        size_t length = json_string_length(merge);
        const char *space = memchr(text, ' ', length);
        if (!space || memchr(space + 1, ' ', length - (size_t)(space + 1 - text))) {
            return false;
        }
        *out_left = text;
        *out_left_length = (size_t)(space - text);
        *out_right = space + 1;
        *out_right_length = length - *out_left_length - 1;
        return true;
    }
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right)) {
        return false;
    }
    *out_left = json_string_value(left);
    *out_left_length = json_string_length(left);
    *out_right = json_string_value(right);
    *out_right_length = json_string_length(right);
    return true;
}

struct merge_work {
    char *joined;
    size_t capacity;
};

static enum iol_status load_merge(const struct iol_json *at, size_t row, uint32_t rank,
                                  const json_t *merge, struct iol_bpe *bpe, struct merge_work *work)
{
    enum iol_status status = IOL_OK;
    const char *left = "", *right = "";
    size_t left_length = 0, right_length = 0, skip = bpe->prefix ? strlen(bpe->prefix) : 0;
    if (!merge_halves(merge, &left, &left_length, &right, &right_length)) {
        char *key = iol_format("merges[%zu]", row);
        status = iol_json_wrong(at, key ? key : "merges", merge,
                                "\"left right\" or [\"left\", \"right\"]");
        iol_free(key);
        return status;
    }
    int32_t a = iol_bpe_find(bpe, left, left_length), b = iol_bpe_find(bpe, right, right_length);
    if (a < 0 || b < 0) {
        return iol_fail(IOL_E_FORMAT,
                        "%s: model.merges[%zu]: found \"%.64s\", expected a piece of model.vocab",
                        at->file, row,
                        json_is_string(merge) ? json_string_value(merge)
                        : a < 0               ? left
                                              : right);
    }
    if (right_length < skip) {
        return iol_fail(IOL_E_FORMAT,
                        "%s: model.merges[%zu]: \"%.64s\" is shorter than "
                        "continuing_subword_prefix, expected it to begin with that",
                        at->file, row, right);
    }
    size_t length = left_length + right_length - skip;
    IOL_TRY(iol_grow(&work->joined, &work->capacity, length + 1, 1));
    memcpy(work->joined, left, left_length);
    memcpy(work->joined + left_length, right + skip, right_length - skip);
    work->joined[length] = '\0';
    int32_t id = iol_bpe_find(bpe, work->joined, length);
    if (id < 0) {
        return iol_fail(IOL_E_FORMAT,
                        "%s: model.merges[%zu]: the joined \"%.64s\" is not there, expected a "
                        "piece of model.vocab",
                        at->file, row, work->joined);
    }
    iol_bpe_merge(bpe, a, b, rank, id);
out:
    return status;
}

static enum iol_status load_merges(const struct iol_json *at, struct iol_bpe *bpe)
{
    enum iol_status status = IOL_OK;
    const json_t *merges = json_object_get(at->value, "merges");
    struct merge_work work = {0};
    uint32_t rank = 0;
    for (size_t row = 0; row < json_array_size(merges); row++) {
        const json_t *merge = json_array_get(merges, row);
        if (json_is_string(merge) && strncmp(json_string_value(merge), "#version", 8) == 0) {
            continue;
        }
        IOL_TRY(load_merge(at, row, rank++, merge, bpe, &work));
    }
out:
    iol_free(work.joined);
    return status;
}

static enum iol_status load_model(const struct iol_json *at, struct iol_bpe *bpe)
{
    enum iol_status status = IOL_OK;
    const json_t *vocab = json_object_get(at->value, "vocab");
    const json_t *merges = json_object_get(at->value, "merges");
    const json_t *dropout = json_object_get(at->value, "dropout");
    const char *type = "BPE";
    size_t length = 0;
    if (!json_is_object(at->value)) {
        return iol_json_wrong(at, NULL, at->value, "an object");
    }
    IOL_TRY(iol_json_text(at, "type", false, &type, &length));
    if (strcmp(type, "BPE") != 0) {
        return iol_fail(IOL_E_UNSUPPORTED,
                        "%s: model: the tokenizer model '%.48s' is not supported", at->file, type);
    }
    if (!json_is_object(vocab)) {
        return iol_json_wrong(at, "vocab", vocab, "an object of pieces and ids");
    }
    if (!json_is_array(merges)) {
        return iol_json_wrong(at, "merges", merges, "an array");
    }
    if (dropout && !json_is_null(dropout) &&
        !(json_is_number(dropout) &&
          !(json_number_value(dropout) > 0.0 || json_number_value(dropout) < 0.0))) {
        return iol_fail(IOL_E_UNSUPPORTED, "%s: model.dropout: dropout is not supported", at->file);
    }
    IOL_TRY(iol_json_copy(at, "unk_token", false, &bpe->unk_token, &length));
    IOL_TRY(iol_json_copy(at, "continuing_subword_prefix", false, &bpe->prefix, &length));
    IOL_TRY(iol_json_copy(at, "end_of_word_suffix", false, &bpe->suffix, &length));
    IOL_TRY(iol_json_bool(at, "fuse_unk", false, &bpe->fuse_unk));
    IOL_TRY(iol_json_bool(at, "byte_fallback", false, &bpe->byte_fallback));
    IOL_TRY(iol_json_bool(at, "ignore_merges", false, &bpe->ignore_merges));
    IOL_TRY(iol_bpe_reserve(bpe, json_object_size(vocab), json_array_size(merges)));
    IOL_TRY(load_vocab(at, bpe));
    IOL_TRY(load_merges(at, bpe));
    iol_bpe_finish(bpe);
out:
    return status;
}

/* --- added tokens --------------------------------------------------------------------------------
 */

/* The text an added token is looked for by. */
static enum iol_status added_pattern(const struct iol_tokenizer *tokenizer, struct iol_added *token)
{
    enum iol_status status = IOL_OK;
    struct iol_split_work work = {0};
    IOL_TRY(iol_text_set(&work, token->content, token->content_length, 0));
    if (token->normalized) {
        IOL_TRY(iol_steps_normalize(&tokenizer->normalizer, &work));
    }
    token->pattern = iol_strndup(work.text.data, work.text.length);
    token->pattern_length = work.text.length;
    if (!token->pattern) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: added tokens");
    }
out:
    iol_split_work_close(&work);
    return status;
}

static enum iol_status load_added_token(const struct iol_json *at, size_t row, int32_t *next_id,
                                        struct iol_tokenizer *tokenizer)
{
    enum iol_status status = IOL_OK;
    struct iol_added token = {.row = row};
    bool special = false;
    int32_t stated = -1;
    if (!json_is_object(at->value)) {
        return iol_json_wrong(at, NULL, at->value, "an object");
    }
    IOL_TRY(iol_json_id(at, "id", json_object_get(at->value, "id"), &stated));
    IOL_TRY(iol_json_bool(at, "special", true, &special));
    IOL_TRY(iol_json_bool(at, "single_word", true, &token.single_word));
    IOL_TRY(iol_json_bool(at, "lstrip", true, &token.lstrip));
    IOL_TRY(iol_json_bool(at, "rstrip", true, &token.rstrip));
    IOL_TRY(iol_json_bool(at, "normalized", true, &token.normalized));
    IOL_TRY(iol_json_copy(at, "content", true, &token.content, &token.content_length));
    if (token.content_length == 0) { /* the reference passes over it */
        goto out;
    }
    token.id = iol_tokenizer_find(tokenizer, token.content, token.content_length);
    token.id = token.id >= 0 ? token.id : (*next_id)++;
    if (token.id != stated) {
        status = iol_fail(IOL_E_FORMAT,
                          "%s: %s.id: found %d for \"%.64s\", expected %d (its id in model.vocab, "
                          "or the next free one)",
                          at->file, at->place, stated, token.content, token.id);
        goto out;
    }
    IOL_TRY(added_pattern(tokenizer, &token));
    size_t slot = 0; /* the same content again replaces the earlier row */
    while (slot < tokenizer->added_count && tokenizer->added[slot].id != token.id) {
        slot++;
    }
    if (slot < tokenizer->added_count) {
        iol_free(tokenizer->added[slot].content);
        iol_free(tokenizer->added[slot].pattern);
    } else {
        tokenizer->added_count++;
    }
    tokenizer->added[slot] = token;
    token = (struct iol_added){0};
out:
    iol_free(token.content);
    iol_free(token.pattern);
    return status;
}

static enum iol_status load_added(const struct iol_json *root, struct iol_tokenizer *tokenizer)
{
    enum iol_status status = IOL_OK;
    json_t *array = json_object_get(root->value, "added_tokens");
    size_t count = json_array_size(array);
    int32_t next_id = (int32_t)tokenizer->bpe.count;
    char *place = NULL;
    if (array && !json_is_array(array)) {
        return iol_json_wrong(root, "added_tokens", array, "an array");
    }
    tokenizer->added = iol_alloc(count, sizeof *tokenizer->added);
    if (!tokenizer->added) {
        return iol_fail(IOL_E_NOMEM, "out of memory: %zu added tokens", count);
    }
    for (size_t i = 0; i < count; i++) {
        struct iol_json element;
        iol_free(place);
        place = NULL;
        IOL_TRY(iol_json_element(root, "added_tokens", array, i, &place, &element));
        IOL_TRY(load_added_token(&element, i, &next_id, tokenizer));
    }
    IOL_TRY(iol_added_set_open(root->file, tokenizer->added, tokenizer->added_count, false,
                               &tokenizer->raw));
    IOL_TRY(iol_added_set_open(root->file, tokenizer->added, tokenizer->added_count, true,
                               &tokenizer->normalized));
out:
    iol_free(place);
    return status;
}

/* --- post-processor --- */

static enum iol_status push_template(struct iol_tokenizer *tokenizer, int32_t id)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_grow(&tokenizer->template, &tokenizer->template_capacity,
                     tokenizer->template_count + 1, sizeof *tokenizer->template));
    tokenizer->template[tokenizer->template_count++] = id;
out:
    return status;
}

/* One part of a template: {"Sequence": {"id": "A"}} or {"SpecialToken": {"id": name}}. */
static enum iol_status load_template_part(const struct iol_json *processor,
                                          const struct iol_json *part,
                                          struct iol_tokenizer *tokenizer)
{
    enum iol_status status = IOL_OK;
    const json_t *sequence = json_object_get(part->value, "Sequence");
    const json_t *special = json_object_get(part->value, "SpecialToken");
    const json_t *name = json_object_get(sequence ? sequence : special, "id");
    if (json_object_size(part->value) != 1 || !json_is_string(name)) {
        return iol_json_wrong(part, NULL, part->value, "a Sequence or a SpecialToken with an id");
    }
    if (sequence) {
        if (strcmp(json_string_value(name), "A") != 0) {
            return iol_json_wrong(part, "Sequence.id", name, "\"A\"");
        }
        return push_template(tokenizer, -1);
    }
    const json_t *tokens = json_object_get(processor->value, "special_tokens");
    const json_t *token =
        json_object_getn(tokens, json_string_value(name), json_string_length(name));
    const json_t *ids = json_object_get(token, "ids");
    if (!json_is_array(ids)) {
        return iol_json_wrong(part, "SpecialToken.id", name,
                              "a name in special_tokens that has an array of ids");
    }
    for (size_t i = 0; i < json_array_size(ids); i++) {
        int32_t id = -1;
        IOL_TRY(iol_json_id(part, "SpecialToken ids", json_array_get(ids, i), &id));
        IOL_TRY(push_template(tokenizer, id));
    }
out:
    return status;
}

static enum iol_status load_template(const struct iol_json *at, struct iol_tokenizer *tokenizer)
{
    enum iol_status status = IOL_OK;
    json_t *single = json_object_get(at->value, "single");
    char *place = NULL;
    if (tokenizer->template) {
        return iol_fail(IOL_E_UNSUPPORTED, "%s: %s: a second TemplateProcessing is not supported",
                        at->file, at->place);
    }
    if (!json_is_array(single)) {
        return iol_json_wrong(at, "single", single, "an array");
    }
    IOL_TRY(iol_grow(&tokenizer->template, &tokenizer->template_capacity, 1,
                     sizeof *tokenizer->template)); /* an empty template is one, too */
    for (size_t i = 0; i < json_array_size(single); i++) {
        struct iol_json part;
        iol_free(place);
        place = NULL;
        IOL_TRY(iol_json_element(at, "single", single, i, &place, &part));
        IOL_TRY(load_template_part(at, &part, tokenizer));
    }
out:
    iol_free(place);
    return status;
}

static enum iol_status load_post_processor(const struct iol_json *at, size_t depth,
                                           struct iol_tokenizer *tokenizer)
{
    enum iol_status status = IOL_OK;
    const char *type = NULL;
    char *place = NULL;
    IOL_TRY(iol_json_type(at, &type));
    if (strcmp(type, "ByteLevel") == 0) { /* moves offsets only */
        return IOL_OK;
    }
    if (strcmp(type, "TemplateProcessing") == 0) {
        return load_template(at, tokenizer);
    }
    if (strcmp(type, "Sequence") != 0) {
        return iol_fail(IOL_E_UNSUPPORTED, "%s: %s: the post-processor '%.48s' is not supported",
                        at->file, at->place, type);
    }
    json_t *array = json_object_get(at->value, "processors");
    if (!json_is_array(array)) {
        return iol_json_wrong(at, "processors", array, "an array");
    }
    if (depth == 0) {
        return iol_fail(IOL_E_LIMIT, "%s: %s: Sequences within more than %d Sequences", at->file,
                        at->place, IOL_SEQUENCE_DEPTH);
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        struct iol_json element;
        iol_free(place);
        place = NULL;
        IOL_TRY(iol_json_element(at, "processors", array, i, &place, &element));
        IOL_TRY(load_post_processor(&element, depth - 1, tokenizer));
    }
out:
    iol_free(place);
    return status;
}

/* --- the files --- */

/* Settings of the file that would change the ids of a single text. */
static enum iol_status check_frame(const struct iol_json *root)
{
    enum iol_status status = IOL_OK;
    const json_t *version = json_object_get(root->value, "version");
    const json_t *truncation = json_object_get(root->value, "truncation");
    json_t *padding = json_object_get(root->value, "padding");
    const json_t *strategy = json_object_get(padding, "strategy");
    const json_t *multiple = json_object_get(padding, "pad_to_multiple_of");
    if (version && (!json_is_string(version) || strcmp(json_string_value(version), "1.0") != 0)) {
        return iol_json_wrong(root, "version", version, "\"1.0\"");
    }
    if (truncation && !json_is_null(truncation)) {
        status =
            iol_fail(IOL_E_UNSUPPORTED,
                     "%s: truncation: cutting texts is not supported, expected null", root->file);
    } else if (padding && !json_is_null(padding) &&
               (!json_is_string(strategy) ||
                strcmp(json_string_value(strategy), "BatchLongest") != 0 ||
                (multiple && !json_is_null(multiple)))) {
        status = iol_fail(IOL_E_UNSUPPORTED,
                          "%s: padding: padding a single text is not supported, expected null",
                          root->file);
    }
    return status;
}

static bool is_byte_level(json_t *root, const struct iol_steps *pre_tokenizer)
{
    for (size_t i = 0; i < pre_tokenizer->count; i++) {
        if (pre_tokenizer->items[i].kind == IOL_STEP_BYTE_LEVEL) {
            return true;
        }
    }
    const json_t *decoder = json_object_get(json_object_get(root, "decoder"), "type");
    return json_is_string(decoder) && strcmp(json_string_value(decoder), "ByteLevel") == 0;
}

enum iol_status iol_tokenizer_load(const char *path, struct iol_tokenizer *tokenizer)
{
    enum iol_status status = IOL_OK;
    json_t *file = NULL;
    tokenizer->bos = -1;
    IOL_TRY(iol_tokjson_read(path, TOKENIZER_BYTES, &file));
    struct iol_json root = {.file = path, .place = "", .value = file};
    struct iol_json part = root;
    IOL_TRY(check_frame(&root));
    part.place = "normalizer";
    part.value = json_object_get(file, part.place);
    IOL_TRY(iol_steps_load_normalizer(&part, &tokenizer->normalizer));
    part.place = "pre_tokenizer";
    part.value = json_object_get(file, part.place);
    IOL_TRY(iol_steps_load_pre_tokenizer(&part, &tokenizer->pre_tokenizer));
    part.place = "model";
    part.value = json_object_get(file, part.place);
    IOL_TRY(load_model(&part, &tokenizer->bpe));
    IOL_TRY(load_added(&root, tokenizer));
    part.place = "post_processor";
    part.value = json_object_get(file, part.place);
    if (part.value && !json_is_null(part.value)) {
        IOL_TRY(load_post_processor(&part, IOL_SEQUENCE_DEPTH, tokenizer));
    }
    tokenizer->byte_level = is_byte_level(file, &tokenizer->pre_tokenizer);
out:
    json_decref(file);
    return status;
}

/* bos_token_id of config.json: an id, a list that begins with one, or null. */
static enum iol_status load_config_bos(const struct iol_json *at, struct iol_tokenizer *tokenizer)
{
    const json_t *value = json_object_get(at->value, "bos_token_id");
    if (json_is_array(value)) {
        value = json_array_get(value, 0);
    }
    if (!value || json_is_null(value)) {
        return IOL_OK;
    }
    return iol_json_id(at, "bos_token_id", value, &tokenizer->bos);
}

/* add_bos_token and, where no id is known yet, bos_token of tokenizer_config.json. */
static enum iol_status load_token_bos(const struct iol_json *at, struct iol_tokenizer *tokenizer)
{
    enum iol_status status = IOL_OK;
    const json_t *token = json_object_get(at->value, "bos_token");
    IOL_TRY(iol_json_bool(at, "add_bos_token", false, &tokenizer->add_bos));
    if (json_is_object(token)) {
        token = json_object_get(token, "content");
    }
    if (tokenizer->bos >= 0 || !token || json_is_null(token)) {
        goto out;
    }
    if (!json_is_string(token)) {
        return iol_json_wrong(at, "bos_token", token, "a string or an object with \"content\"");
    }
    tokenizer->bos =
        iol_tokenizer_find(tokenizer, json_string_value(token), json_string_length(token));
out:
    return status;
}

enum iol_status iol_tokenizer_load_bos(const char *folder, struct iol_tokenizer *tokenizer)
{
    static const struct {
        const char *name;
        enum iol_status (*load)(const struct iol_json *at, struct iol_tokenizer *tokenizer);
    } files[] = {{"config.json", load_config_bos}, {"tokenizer_config.json", load_token_bos}};
    enum iol_status status = IOL_OK;
    char *path = NULL;
    json_t *root = NULL;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        iol_free(path);
        json_decref(root);
        root = NULL;
        path = iol_path_join(folder, files[i].name);
        if (!path) {
            status = iol_fail(IOL_E_NOMEM, "out of memory: reading %s", folder);
            goto out;
        }
        if (iol_file_exists(path)) {
            IOL_TRY(iol_tokjson_read(path, CONFIG_BYTES, &root));
            struct iol_json at = {.file = path, .place = "", .value = root};
            IOL_TRY(files[i].load(&at, tokenizer));
        }
    }
out:
    iol_free(path);
    json_decref(root);
    return status;
}
