/* The reading side: what every reader needs is loaded when the file is opened. */
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "store/store_tables.h"

/* --- shared with the writing side --- */

static void copy_text(char *out, size_t size, const char *text)
{
    size_t length = strlen(text) < size ? strlen(text) : size - 1;
    memcpy(out, text, length);
    out[length] = '\0';
}

enum iol_status iol_pairs_get(const struct iol_database *database, size_t sublayers,
                              struct iol_stored_pair **out_pairs, size_t *out_count)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    struct iol_stored_pair *pairs = NULL;
    size_t count = 0, capacity = 0;
    *out_pairs = NULL;
    *out_count = 0;
    IOL_TRY(iol_query_open(database, "read the sites and kinds",
                           "SELECT pair, name, kind, type, site, layer, head, sublayer, runs, "
                           "donors FROM pairs JOIN sites USING(site) ORDER BY pair",
                           &query));
    for (;;) {
        bool row;
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        IOL_TRY(iol_grow(&pairs, &capacity, count + 1, sizeof *pairs));
        struct iol_stored_pair *pair = &pairs[count];
        *pair = (struct iol_stored_pair){.site_index = (size_t)iol_query_count(&query, 4),
                                         .layer = (size_t)iol_query_count(&query, 5),
                                         .head = (size_t)iol_query_count(&query, 6),
                                         .sublayer = (size_t)iol_query_count(&query, 7),
                                         .runs = (size_t)iol_query_count(&query, 8),
                                         .donors = iol_query_id(&query, 9) != 0};
        copy_text(pair->site, sizeof pair->site, iol_query_text(&query, 1));
        copy_text(pair->kind, sizeof pair->kind, iol_query_text(&query, 2));
        copy_text(pair->type, sizeof pair->type, iol_query_text(&query, 3));
        if (iol_query_count(&query, 0) != count || pair->sublayer >= sublayers || pair->runs == 0) {
            status = iol_fail(IOL_E_FORMAT, "%s: the file is damaged: pair %zu is out of order",
                              database->name, count);
            goto out;
        }
        pair->response_count = sublayers - 1 - pair->sublayer;
        count++;
    }
    *out_pairs = pairs;
    *out_count = count;
    pairs = NULL;
out:
    iol_free(pairs);
    iol_query_close(&query);
    return status;
}

enum iol_status iol_done_get(const struct iol_database *database, size_t pair_count,
                             size_t prompt_count, bool *done, size_t *out_count)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    *out_count = 0;
    for (size_t p = 0; done && p < prompt_count; p++) {
        done[p] = false;
    }
    IOL_TRY(iol_query_open(database, "read which prompts are done",
                           "SELECT prompt, count(*) FROM effects GROUP BY prompt", &query));
    for (;;) {
        bool row;
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        if (iol_query_count(&query, 0) < prompt_count && iol_query_count(&query, 1) == pair_count) {
            *out_count += 1;
            if (done) {
                done[iol_query_count(&query, 0)] = true;
            }
        }
    }
out:
    iol_query_close(&query);
    return status;
}

/* --- opening --- */

static enum iol_status fail_spec(const struct iol_results *results, const char *place)
{
    return iol_fail(IOL_E_FORMAT, "%s: the file is damaged: its spec has no usable %s",
                    results->database.name, place);
}

static enum iol_status load_spec(struct iol_results *results)
{
    enum iol_status status = IOL_OK;
    char *text = NULL;
    json_int_t layers = 0, vocab = 0;
    json_t *metrics = NULL;
    size_t index;
    json_t *metric;
    IOL_TRY(iol_meta_get(&results->database, "spec", &text));
    results->spec = text ? json_loads(text, 0, NULL) : NULL;
    if (json_unpack(results->spec, "{s:{s:I s:I} s:o}", "model", "layers", &layers, "vocab", &vocab,
                    "metrics", &metrics) != 0 ||
        layers < 1 || layers > INT32_MAX || vocab < 1 || vocab > INT32_MAX) {
        status = fail_spec(results, "model");
        goto out;
    }
    results->sublayers = 2 * (size_t)layers;
    results->vocab = (size_t)vocab;
    json_array_foreach(metrics, index, metric)
    {
        const char *name = json_string_value(metric);
        results->dist = results->dist || (name && strcmp(name, "dist") == 0);
    }
out:
    iol_free(text);
    return status;
}

static enum iol_status load_layer(struct iol_results *results, const struct iol_query *query)
{
    enum iol_status status = IOL_OK;
    const void *response;
    const size_t pair = (size_t)iol_query_count(query, 0);
    int column = 2;
    if (pair != results->layer_count || pair >= results->pair_count) {
        status = iol_fail(IOL_E_FORMAT, "%s: the file is damaged: statistics of pair %zu",
                          results->database.name, pair);
        goto out;
    }
    struct iol_layer_row *row = &results->layers[pair];
    const size_t length = results->pairs[pair].response_count;
    row->response = iol_alloc(length, sizeof *row->response);
    results->layer_count++; /* close frees it from here on */
    if (!row->response) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", results->database.name);
        goto out;
    }
    row->n = (size_t)iol_query_count(query, 1);
#define LOAD(name, member) row->member = iol_query_real(query, column++);
    IOL_LAYER_REALS(LOAD)
#undef LOAD
    IOL_TRY(iol_query_blob(query, column, length, sizeof *row->response, &response));
    if (length) {
        memcpy(row->response, response, length * sizeof *row->response);
    }
out:
    return status;
}

static enum iol_status load_layers(struct iol_results *results)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    results->layers = iol_alloc(results->pair_count, sizeof *results->layers);
    if (!results->layers) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", results->database.name);
        goto out;
    }
    IOL_TRY(iol_query_open(
        &results->database, "read the statistics",
        "SELECT pair, n" IOL_LAYER_COLUMNS ", response FROM layers ORDER BY pair", &query));
    for (;;) {
        bool row;
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        IOL_TRY(load_layer(results, &query));
    }
    if (results->layer_count != results->pair_count) {
        status = iol_fail(IOL_E_FORMAT,
                          "%s: the file is damaged: found statistics of %zu rows, expected %zu",
                          results->database.name, results->layer_count, results->pair_count);
    }
out:
    iol_query_close(&query);
    return status;
}

static enum iol_status count_rows(const struct iol_database *database, const char *sql,
                                  size_t *out_count)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    bool row = false;
    *out_count = 0;
    IOL_TRY(iol_query_open(database, "read the prompts", sql, &query));
    IOL_TRY(iol_query_step(&query, &row));
    *out_count = row ? (size_t)iol_query_count(&query, 0) : 0;
out:
    iol_query_close(&query);
    return status;
}

/* Everything that open promises, from one state of the database. */
static enum iol_status load(struct iol_results *results)
{
    static const char what[] = "read it";
    enum iol_status status = IOL_OK;
    const struct iol_database *database = &results->database;
    size_t ignored, stored;
    IOL_TRY(iol_database_run(database, what, "BEGIN"));
    IOL_TRY(load_spec(results));
    IOL_TRY(iol_pairs_get(database, results->sublayers, &results->pairs, &results->pair_count));
    IOL_TRY(count_rows(database, "SELECT count(*) FROM sources", &results->source_count));
    IOL_TRY(iol_meta_get_count(database, "n_prompts", &results->captured, &results->prompt_count));
    IOL_TRY(count_rows(database, "SELECT count(*) FROM prompts", &stored));
    if (stored != results->prompt_count) {
        status = iol_fail(IOL_E_FORMAT, "%s: the file is damaged: found %zu prompts, expected %zu",
                          database->name, stored, results->prompt_count);
        goto out;
    }
    IOL_TRY(iol_meta_get_count(database, "finished", &results->finished, &ignored));
    IOL_TRY(iol_done_get(database, results->pair_count, results->prompt_count, NULL,
                         &results->done_count));
    if (results->finished) {
        IOL_TRY(load_layers(results));
    }
    IOL_TRY(iol_meta_get(database, "machine", &results->machine));
    IOL_TRY(iol_meta_get(database, "arithmetic", &results->arithmetic));
    results->bill.pairs = iol_alloc(results->pair_count, sizeof *results->bill.pairs);
    if (!results->bill.pairs) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", database->name);
        goto out;
    }
    IOL_TRY(iol_bill_get(database, results->pair_count, &results->bill));
out:
    iol_database_rollback(database);
    return status;
}

enum iol_status iol_results_open(const char *path, struct iol_results **out_results)
{
    enum iol_status status = IOL_OK;
    enum iol_database_state state;
    *out_results = NULL;
    struct iol_results *results = iol_alloc(1, sizeof *results);
    if (!results) {
        return iol_fail(IOL_E_NOMEM, "out of memory: %s", path);
    }
    IOL_TRY(iol_database_open(path, false, &results->database, &state));
    if (state == IOL_DATABASE_EMPTY) {
        status = iol_fail(IOL_E_FORMAT, "%s: not a results file: it is empty", path);
        goto out;
    }
    IOL_TRY(load(results));
    *out_results = results;
    results = NULL;
out:
    iol_results_close(results);
    return status;
}

enum iol_status iol_store_into_results(struct iol_store *store, struct iol_results **out_results)
{
    enum iol_status status = IOL_OK;
    *out_results = NULL;
    struct iol_results *results = iol_alloc(1, sizeof *results);
    if (!results) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", store->database.name);
        goto out;
    }
    results->database = store->database;
    store->database = (struct iol_database){0};
    IOL_TRY(load(results));
    *out_results = results;
    results = NULL;
out:
    iol_results_close(results);
    iol_store_close(store);
    return status;
}

void iol_results_close(struct iol_results *results)
{
    if (!results) {
        return;
    }
    json_decref(results->spec);
    for (size_t i = 0; i < results->layer_count; i++) {
        iol_free(results->layers[i].response);
    }
    iol_free(results->layers);
    iol_free(results->pairs);
    iol_free(results->bill.pairs);
    iol_free(results->machine);
    iol_free(results->arithmetic);
    iol_database_close(&results->database);
    iol_free(results);
}

/* --- numbers for programs --- */

size_t iol_results_layer_count(const struct iol_results *results)
{
    return results->layer_count;
}

/* Copy as much as the caller's struct has room for; `struct_size` is the first member of both. */
static enum iol_status hand_out(const void *full, size_t full_size, void *out, const char *name)
{
    size_t size;
    memcpy(&size, out, sizeof size);
    if (size < sizeof size) {
        return iol_fail(IOL_E_INVAL, "%s: struct_size: found %zu, expected sizeof (struct %s)",
                        name, size, name);
    }
    size_t copied = size < full_size ? size : full_size;
    memcpy((char *)out + sizeof size, (const char *)full + sizeof size, copied - sizeof size);
    return IOL_OK;
}

enum iol_status iol_results_layer(struct iol_results *results, size_t index,
                                  struct iol_layer_numbers *out_numbers)
{
    if (index >= results->layer_count) {
        return iol_fail(IOL_E_INVAL, "%s: row %zu of %zu", results->database.name, index,
                        results->layer_count);
    }
    const struct iol_layer_row *row = &results->layers[index];
    const struct iol_stored_pair *pair = &results->pairs[index];
    const struct iol_cost *cost = &results->bill.pairs[index];
    const double runs = (double)row->n * (double)pair->runs;
    struct iol_layer_numbers numbers = {
        .site = pair->site,
        .kind = pair->kind,
        .n = row->n,
        .slope = row->ce_on_de.slope,
        .r2 = row->ce_on_de.r2,
        .restoration = row->restoration,
        .restoration_low = -row->bootstrap.slope_high,
        .restoration_high = -row->bootstrap.slope_low,
        .null_q95 = row->null.restoration_q95,
        .delta_unembed = row->mean[IOL_MEAN_delta_unembed],
        .delta_ablate = row->mean[IOL_MEAN_delta_ablate],
        .te_clean = row->mean[IOL_MEAN_te_clean],
        .de = row->mean[IOL_MEAN_de],
        .ce_attn = row->mean[IOL_MEAN_ce_attn],
        .ce_mlp = row->mean[IOL_MEAN_ce_mlp],
        .norm_term = row->mean[IOL_MEAN_norm_term],
        .flops = runs > 0 ? (double)cost->flops / runs : 0,
        .bytes = runs > 0 ? (double)cost->bytes / runs : 0,
        .seconds = runs > 0 ? cost->seconds / runs : 0,
    };
    return hand_out(&numbers, sizeof numbers, out_numbers, "iol_layer_numbers");
}

enum iol_status iol_results_bill(struct iol_results *results, struct iol_bill_numbers *out_bill)
{
    const struct iol_bill *bill = &results->bill;
    struct iol_bill_numbers numbers = {
        .flops_capture = bill->capture.flops,
        .flops_waves = bill->waves.flops,
        .flops_noise = bill->noise.flops,
        .flops_none = bill->none.flops,
        .seconds_capture = bill->capture.seconds,
        .seconds_waves = bill->waves.seconds,
        .seconds_spill = bill->spill.seconds,
        .seconds_store = bill->store.seconds,
        .seconds_none = bill->none.seconds,
        .peak_flops = bill->peak_flops,
        .peak_share = iol_bill_share(bill),
        .joules = bill->joules,
    };
    for (size_t i = 0; i < results->pair_count; i++) {
        numbers.interventions += (uint64_t)results->done_count * results->pairs[i].runs;
    }
    return hand_out(&numbers, sizeof numbers, out_bill, "iol_bill_numbers");
}
