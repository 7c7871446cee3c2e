/* What makes two experiments the same: only what determines the result bits. */
#include <string.h>

#include "base/base.h"
#include "iolaus/context.h"
#include "store/sink.h"
#include "store/store_tables.h"

/* In the order in which they are compared and hashed. Lists are joined by commas. */
static const char *const names[] = {"numerics", "weights", "architecture", "sites",
                                    "kinds",    "pairs",   "positions",    "seed",
                                    "metrics",  "bos",     "filter"};
enum { ITEMS = sizeof names / sizeof *names };

struct identity {
    char *texts[ITEMS];
};

static void write_item(size_t item, const struct iol_experiment *experiment, struct iol_sink *sink)
{
    static const char *const bos[] = {"auto", "yes", "no"};
    switch (item) {
    case 0:
        iol_sink_format(sink, "%d", iol_numerics_version());
        if (experiment->ctx && iol_ctx_fast_rate(experiment->ctx) > 0) {
            iol_sink_format(sink, " %s", iol_ctx_arithmetic(experiment->ctx));
        }
        break;
    case 1:
        iol_sink_text(sink, experiment->model->info.weights_hash);
        break;
    case 2:
        iol_sink_text(sink, experiment->model->info.architecture);
        break;
    case 3:
        for (size_t i = 0; i < experiment->site_count; i++) {
            iol_sink_format(sink, "%s%s", i ? "," : "", experiment->sites[i].name);
        }
        break;
    case 4:
        for (size_t i = 0; i < experiment->kind_count; i++) {
            iol_sink_format(sink, "%s%s", i ? "," : "", experiment->kinds[i].name);
        }
        break;
    case 5:
        for (size_t i = 0; i < experiment->pair_count; i++) {
            const struct iol_pair *pair = &experiment->pairs[i];
            iol_sink_format(sink, "%s%s=%s", i ? "," : "", experiment->sites[pair->site].name,
                            experiment->kinds[pair->kind].name);
        }
        break;
    case 6:
        iol_sink_text(sink, "final");
        break;
    case 7:
        iol_sink_count(sink, experiment->seed);
        break;
    case 8:
        iol_sink_text(sink, experiment->dist ? "hydra,dist" : "hydra");
        break;
    case 9:
        iol_sink_text(sink, bos[experiment->bos]);
        break;
    default:
        iol_sink_text(sink, experiment->filter_correct ? "correct" : "none");
        break;
    }
}

static void close_identity(struct identity *identity)
{
    for (size_t i = 0; i < ITEMS; i++) {
        iol_free(identity->texts[i]);
    }
}

static enum iol_status open_identity(const struct iol_experiment *experiment,
                                     struct identity *out_identity)
{
    enum iol_status status = IOL_OK;
    struct iol_sink sink;
    *out_identity = (struct identity){0};
    for (size_t i = 0; i < ITEMS; i++) {
        iol_sink_open_text(&sink);
        write_item(i, experiment, &sink);
        IOL_TRY(iol_sink_finish_text(&sink, &out_identity->texts[i]));
    }
out:
    return status;
}

/* --- the spec of section 2, for readers --- */

static json_t *text_list(const char *joined)
{
    json_t *list = json_array();
    while (*joined) {
        size_t length = strcspn(joined, ",");
        json_array_append_new(list, json_stringn(joined, length));
        joined += length + (joined[length] == ',');
    }
    return list;
}

static json_t *model_object(const struct iol_model_info *info)
{
    return json_pack("{s:s? s:s? s:I s:I s:I s:I s:s? s:s}", "name", info->name, "family",
                     info->family, "layers", (json_int_t)info->layers, "d_model",
                     (json_int_t)info->d_model, "heads", (json_int_t)info->heads, "vocab",
                     (json_int_t)info->vocab, "dtype", info->dtype, "hash", info->weights_hash);
}

static json_t *do_list(const struct iol_experiment *experiment)
{
    json_t *list = json_array();
    for (size_t i = 0; i < experiment->do_count; i++) {
        json_array_append_new(list, json_pack("{s:s s:s}", "sites", experiment->does[i].sites,
                                              "kinds", experiment->does[i].kinds));
    }
    return list;
}

static enum iol_status put_spec(const struct iol_store *store, const struct identity *identity)
{
    enum iol_status status = IOL_OK;
    const struct iol_experiment *experiment = store->experiment;
    char *text = NULL;
    json_t *spec = json_pack(
        "{s:o s:I s:o s:o s:o s:s s:s s:s s:o s:i s:i}", "model",
        model_object(&experiment->model->info), "seed", (json_int_t)experiment->seed, "do",
        do_list(experiment), "sites", text_list(identity->texts[3]), "kinds",
        text_list(identity->texts[4]), "positions", identity->texts[6], "filter",
        identity->texts[10], "bos", identity->texts[9], "metrics", text_list(identity->texts[8]),
        "bootstrap", (int)IOL_BOOTSTRAPS, "permutations", (int)IOL_PERMUTATIONS);
    text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
    if (!text) {
        status = iol_fail(IOL_E_NOMEM, "%s: the experiment cannot be written as JSON",
                          store->database.name);
        goto out;
    }
    IOL_TRY(iol_meta_put(&store->database, "spec", text));
out:
    json_decref(spec);
    if (text) {
        json_free_t release;
        json_get_alloc_funcs(NULL, &release);
        release(text);
    }
    return status;
}

enum iol_status iol_identity_put(struct iol_store *store)
{
    enum iol_status status = IOL_OK;
    struct identity identity = {0};
    IOL_TRY(open_identity(store->experiment, &identity));
    for (size_t i = 0; i < ITEMS; i++) {
        char key[32] = "identity.";
        strncat(key, names[i], sizeof key - strlen(key) - 1);
        IOL_TRY(iol_meta_put(&store->database, key, identity.texts[i]));
    }
    IOL_TRY(put_spec(store, &identity));
out:
    close_identity(&identity);
    return status;
}

/* --- comparing --- */

static size_t element_count(const char *list)
{
    size_t count = *list != 0;
    for (; *list; list++) {
        count += *list == ',';
    }
    return count;
}

/* Name what differs: short texts whole, lists by their first different element. */
static enum iol_status fail_item(const struct iol_database *database, const char *name,
                                 const char *found, const char *expected)
{
    const char *file = database->name;
    if (strlen(found) <= 80 && strlen(expected) <= 80) {
        return iol_fail(IOL_E_MISMATCH, "%s: holds another experiment: %s: found %s, expected %s",
                        file, name, found, expected);
    }
    size_t found_count = element_count(found), expected_count = element_count(expected);
    size_t a = strcspn(found, ","), b = strcspn(expected, ",");
    while (a == b && strncmp(found, expected, a) == 0 && found[a] && expected[b]) {
        found += a + 1;
        expected += b + 1;
        a = strcspn(found, ",");
        b = strcspn(expected, ",");
    }
    if (a == b && strncmp(found, expected, a) == 0) { /* one list goes on where the other ends */
        const char *more = found[a] ? found + a + 1 : expected + b + 1;
        return iol_fail(IOL_E_MISMATCH,
                        "%s: holds another experiment: %s: found %zu, expected %zu; only one has "
                        "%.*s",
                        file, name, found_count, expected_count, (int)strcspn(more, ","), more);
    }
    return iol_fail(IOL_E_MISMATCH,
                    "%s: holds another experiment: %s: found %zu, expected %zu; the first that "
                    "differs: found %.*s, expected %.*s",
                    file, name, found_count, expected_count, (int)(a < 80 ? a : 80), found,
                    (int)(b < 80 ? b : 80), expected);
}

/* `line` counts from 1 for people. */
static enum iol_status compare_prompt(const struct iol_store *store, const struct iol_query *query,
                                      const struct iol_prompt *prompt)
{
    const char *file = store->database.name;
    size_t line = prompt->line + 1;
    if (iol_query_count(query, 0) != prompt->line) {
        return iol_fail(IOL_E_MISMATCH,
                        "%s: holds another experiment: prompts: found line %zu, expected line %zu",
                        file, (size_t)iol_query_count(query, 0) + 1, line);
    }
    size_t bytes = (size_t)sqlite3_column_bytes(query->statement, 1);
    const void *data = NULL;
    if (bytes != prompt->count * sizeof *prompt->tokens) {
        return iol_fail(IOL_E_MISMATCH,
                        "%s: holds another experiment: prompts: line %zu: found %zu tokens, "
                        "expected %zu",
                        file, line, bytes / sizeof *prompt->tokens, prompt->count);
    }
    enum iol_status status = iol_query_blob(query, 1, prompt->count, sizeof *prompt->tokens, &data);
    if (status != IOL_OK) {
        return status;
    }
    for (size_t t = 0; t < prompt->count; t++) {
        int32_t id;
        memcpy(&id, (const char *)data + t * sizeof id, sizeof id);
        if (id != prompt->tokens[t]) {
            return iol_fail(IOL_E_MISMATCH,
                            "%s: holds another experiment: prompts: line %zu: token %zu: found "
                            "%d, expected %d",
                            file, line, t, (int)id, (int)prompt->tokens[t]);
        }
    }
    if (store->experiment->filter_correct && iol_query_id(query, 2) != prompt->answer_id) {
        return iol_fail(IOL_E_MISMATCH,
                        "%s: holds another experiment: prompts: line %zu: answer: found id %lld, "
                        "expected %lld",
                        file, line, (long long)iol_query_id(query, 2),
                        (long long)prompt->answer_id);
    }
    return IOL_OK;
}

static enum iol_status compare_prompts(const struct iol_store *store)
{
    static const char what[] = "read the prompts";
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    const struct iol_experiment *experiment = store->experiment;
    size_t found = 0;
    bool row = false;
    IOL_TRY(iol_query_open(&store->database, what,
                           "SELECT line, tokens, answer FROM sources ORDER BY source", &query));
    for (;;) {
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        if (found < experiment->prompt_count) {
            IOL_TRY(compare_prompt(store, &query, &experiment->prompts[found]));
        }
        found++;
    }
    if (found != experiment->prompt_count) {
        status = iol_fail(IOL_E_MISMATCH,
                          "%s: holds another experiment: prompts: found %zu, expected %zu",
                          store->database.name, found, experiment->prompt_count);
    }
out:
    iol_query_close(&query);
    return status;
}

enum iol_status iol_identity_check(struct iol_store *store)
{
    enum iol_status status = IOL_OK;
    struct identity identity = {0};
    char *found = NULL;
    IOL_TRY(open_identity(store->experiment, &identity));
    for (size_t i = 0; i < ITEMS; i++) {
        char key[32] = "identity.";
        strncat(key, names[i], sizeof key - strlen(key) - 1);
        IOL_TRY(iol_meta_get(&store->database, key, &found));
        if (!found || strcmp(found, identity.texts[i]) != 0) {
            status =
                fail_item(&store->database, names[i], found ? found : "nothing", identity.texts[i]);
            goto out;
        }
        iol_free(found);
        found = NULL;
    }
    IOL_TRY(compare_prompts(store));
out:
    iol_free(found);
    close_identity(&identity);
    return status;
}
