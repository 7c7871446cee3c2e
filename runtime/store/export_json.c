/* Schema iolaus-1: spec, prompts, effects, layers; and besides, the bill and the digest. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "store/export.h"

static const char what[] = "export it";

static void put_key(struct iol_sink *sink, const char *before, const char *key)
{
    iol_sink_text(sink, before);
    iol_sink_bytes(sink, "\"", 1);
    iol_sink_text(sink, key);
    iol_sink_bytes(sink, "\":", 2);
}

static void put_real(struct iol_sink *sink, const char *before, const char *key, double value)
{
    put_key(sink, before, key);
    iol_sink_real(sink, value, "null");
}

static void put_count(struct iol_sink *sink, const char *before, const char *key, uint64_t value)
{
    put_key(sink, before, key);
    iol_sink_count(sink, value);
}

/* Numbers of a blob, which may lie unaligned. */
static void put_reals(struct iol_sink *sink, const void *data, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double v;
        memcpy(&v, (const char *)data + i * sizeof v, sizeof v);
        iol_sink_bytes(sink, ",", i > 0);
        iol_sink_real(sink, v, "null");
    }
}

static void put_ids(struct iol_sink *sink, const void *data, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int32_t id;
        memcpy(&id, (const char *)data + i * sizeof id, sizeof id);
        iol_sink_bytes(sink, ",", i > 0);
        iol_sink_format(sink, "%d", (int)id);
    }
}

/* --- spec --- */

static void release_json_text(char *text)
{
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    if (text) {
        release(text);
    }
}

static enum iol_status put_spec(struct iol_results *results, struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    json_t *spec = json_copy(results->spec);
    char *text = NULL;
    if (!spec ||
        json_object_set_new(spec, "n_prompts", json_integer((json_int_t)results->prompt_count)) ||
        !(text = json_dumps(spec, JSON_COMPACT))) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", results->database.name);
        goto out;
    }
    iol_sink_text(sink, "{\"schema\":\"iolaus-1\",\n\"spec\":");
    iol_sink_text(sink, text);
out:
    release_json_text(text);
    json_decref(spec);
    return status;
}

/* --- prompts --- */

enum {
    P_PROMPT,
    P_LINE,
    P_TOKENS,
    P_TARGET,
#define AT(name) P_##name,
    IOL_CLEAN_REALS(AT) P_UNEMBED,
    IOL_CLEAN_DIST_REALS(AT)
#undef AT
        P_TOP_IDS,
    P_TOP_LOGITS,
    P_LOGITS
};
static const char select_prompts[] =
    "SELECT prompt, line, tokens, target" IOL_CLEAN_COLUMNS ", unembed" IOL_CLEAN_DIST_COLUMNS
    ", top_ids, top_logits, logits "
    "FROM prompts JOIN sources "
    "USING(source) ORDER BY prompt";

static void put_top(const struct iol_query *query, struct iol_sink *sink)
{
    const char *ids = sqlite3_column_blob(query->statement, P_TOP_IDS);
    const char *logits = sqlite3_column_blob(query->statement, P_TOP_LOGITS);
    size_t count = (size_t)sqlite3_column_bytes(query->statement, P_TOP_IDS) / sizeof(int32_t);
    size_t other = (size_t)sqlite3_column_bytes(query->statement, P_TOP_LOGITS) / sizeof(double);
    put_key(sink, ",", "top10");
    iol_sink_bytes(sink, "[", 1);
    for (size_t i = 0; i < count && i < other; i++) {
        iol_sink_text(sink, i ? ",[" : "[");
        put_ids(sink, ids + i * sizeof(int32_t), 1);
        iol_sink_bytes(sink, ",", 1);
        put_reals(sink, logits + i * sizeof(double), 1);
        iol_sink_bytes(sink, "]", 1);
    }
    iol_sink_bytes(sink, "]", 1);
}

static enum iol_status put_logits(const struct iol_results *results, const struct iol_query *query,
                                  struct iol_sink *sink)
{
    const void *data;
    enum iol_status status = iol_query_blob(query, P_LOGITS, results->vocab, sizeof(float), &data);
    if (status != IOL_OK) {
        return status;
    }
    put_key(sink, ",", "logits");
    iol_sink_bytes(sink, "[", 1);
    for (size_t j = 0; j < results->vocab; j++) {
        float v;
        memcpy(&v, (const char *)data + j * sizeof v, sizeof v);
        iol_sink_bytes(sink, ",", j > 0);
        iol_sink_real(sink, (double)v, "null");
    }
    iol_sink_bytes(sink, "]", 1);
    return IOL_OK;
}

static enum iol_status put_prompt(const struct iol_results *results, const struct iol_query *query,
                                  struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    const void *unembed;
    size_t tokens = (size_t)sqlite3_column_bytes(query->statement, P_TOKENS) / sizeof(int32_t);
    put_count(sink, "{", "index", iol_query_count(query, P_PROMPT));
    put_count(sink, ",", "line", iol_query_count(query, P_LINE));
    put_key(sink, ",", "tokens");
    iol_sink_bytes(sink, "[", 1);
    put_ids(sink, sqlite3_column_blob(query->statement, P_TOKENS), tokens);
    iol_sink_bytes(sink, "]", 1);
    put_count(sink, ",", "target", iol_query_count(query, P_TARGET));
    put_real(sink, ",", "logit", iol_query_real(query, P_logit));
    put_real(sink, ",", "spread", iol_query_real(query, P_spread));
    put_real(sink, ",", "sigma", iol_query_real(query, P_sigma));
    IOL_TRY(iol_query_blob(query, P_UNEMBED, results->sublayers, sizeof(double), &unembed));
    put_key(sink, ",", "unembed");
    iol_sink_bytes(sink, "[", 1);
    put_reals(sink, unembed, results->sublayers);
    iol_sink_bytes(sink, "]", 1);
    put_real(sink, ",", "embed", iol_query_real(query, P_embed));
    put_real(sink, ",", "bias", iol_query_real(query, P_bias));
    if (results->dist) {
#define PUT(name) put_real(sink, ",", #name, iol_query_real(query, P_##name));
        IOL_CLEAN_DIST_REALS(PUT)
#undef PUT
        put_top(query, sink);
        if (!iol_query_is_null(query, P_LOGITS)) {
            IOL_TRY(put_logits(results, query, sink));
        }
    }
    iol_sink_bytes(sink, "}", 1);
out:
    return status;
}

static enum iol_status put_prompts(struct iol_results *results, struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    IOL_TRY(iol_query_open(&results->database, what, select_prompts, &query));
    iol_sink_text(sink, ",\n\"prompts\":[");
    for (bool first = true;; first = false) {
        bool row;
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        iol_sink_text(sink, first ? "\n" : ",\n");
        IOL_TRY(put_prompt(results, &query, sink));
        IOL_TRY(sink->status);
    }
    iol_sink_text(sink, "]");
out:
    iol_query_close(&query);
    return status;
}

/* --- effects --- */

enum {
    E_PROMPT,
    E_PAIR,
    E_POSITION,
#define AT(name) E_##name,
    IOL_EFFECT_REALS(AT) IOL_EFFECT_DIST_REALS(AT)
#undef AT
        E_argmax_changed,
    E_RESPONSE
};
static const char select_effects[] =
    "SELECT prompt, pair, position" IOL_EFFECT_COLUMNS IOL_EFFECT_DIST_COLUMNS
    ", argmax_changed, response FROM effects ORDER BY prompt, pair, position";

static enum iol_status put_donors(struct iol_query *donors, const struct iol_query *effect,
                                  struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    iol_query_bind_id(donors, iol_query_id(effect, E_PROMPT));
    iol_query_bind_id(donors, iol_query_id(effect, E_PAIR));
    iol_query_bind_id(donors, iol_query_id(effect, E_POSITION));
    put_key(sink, ",", "donors");
    iol_sink_bytes(sink, "[", 1);
    for (bool first = true;; first = false) {
        bool row;
        IOL_TRY(iol_query_step(donors, &row));
        if (!row) {
            break;
        }
        iol_sink_bytes(sink, ",", !first);
        iol_sink_count(sink, iol_query_count(donors, 0));
    }
    iol_sink_bytes(sink, "]", 1);
out:
    return status;
}

static enum iol_status put_effect(const struct iol_results *results, const struct iol_query *query,
                                  struct iol_query *donors, struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    const void *response;
    const size_t index = (size_t)iol_query_count(query, E_PAIR);
    if (index >= results->pair_count) {
        status = iol_fail(IOL_E_FORMAT, "%s: the file is damaged: an effect of pair %zu of %zu",
                          results->database.name, index, results->pair_count);
        goto out;
    }
    const struct iol_stored_pair *pair = &results->pairs[index];
    put_count(sink, "{", "prompt", iol_query_count(query, E_PROMPT));
    put_key(sink, ",", "site");
    iol_sink_json_string(sink, pair->site);
    put_count(sink, ",", "pos", iol_query_count(query, E_POSITION));
    put_key(sink, ",", "kind");
    iol_sink_json_string(sink, pair->kind);
    IOL_TRY(put_donors(donors, query, sink));
#define PUT(name) put_real(sink, ",", #name, iol_query_real(query, E_##name));
    PUT(delta_unembed)
    PUT(delta_ablate)
    PUT(te_clean)
    PUT(de)
    IOL_TRY(iol_query_blob(query, E_RESPONSE, pair->response_count, sizeof(double), &response));
    put_key(sink, ",", "response");
    iol_sink_bytes(sink, "[", 1);
    put_reals(sink, response, pair->response_count);
    iol_sink_bytes(sink, "]", 1);
    PUT(ce_attn)
    PUT(ce_mlp)
    PUT(norm_term)
    PUT(sigma_ratio)
    PUT(norm_ratio)
    PUT(de_even)
    PUT(ce_odd)
    if (results->dist) {
        PUT(kl)
        PUT(logp)
        PUT(margin)
        put_count(sink, ",", "argmax_changed", iol_query_count(query, E_argmax_changed));
        PUT(margin_closest)
    }
#undef PUT
    iol_sink_bytes(sink, "}", 1);
out:
    return status;
}

static enum iol_status put_effects(struct iol_results *results, struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0}, donors = {0};
    IOL_TRY(iol_query_open(&results->database, what, select_effects, &query));
    IOL_TRY(iol_query_open(&results->database, what, IOL_SELECT_DONORS, &donors));
    iol_sink_text(sink, ",\n\"effects\":[");
    for (bool first = true;; first = false) {
        bool row;
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        iol_sink_text(sink, first ? "\n" : ",\n");
        IOL_TRY(put_effect(results, &query, &donors, sink));
        IOL_TRY(sink->status);
    }
    iol_sink_text(sink, "]");
out:
    iol_query_close(&donors);
    iol_query_close(&query);
    return status;
}

/* --- layers --- */

static void put_regression(struct iol_sink *sink, const char *key, struct iol_regression fit)
{
    put_key(sink, ",", key);
    put_real(sink, "{", "slope", fit.slope);
    put_real(sink, ",", "intercept", fit.intercept);
    put_real(sink, ",", "r2", fit.r2);
    iol_sink_bytes(sink, "}", 1);
}

/* [low,high], or null if no resample had a fit. */
static void put_interval(struct iol_sink *sink, const char *before, const char *key, double low,
                         double high)
{
    put_key(sink, before, key);
    if (!isfinite(low)) {
        iol_sink_text(sink, "null");
        return;
    }
    iol_sink_bytes(sink, "[", 1);
    iol_sink_real(sink, low, "null");
    iol_sink_bytes(sink, ",", 1);
    iol_sink_real(sink, high, "null");
    iol_sink_bytes(sink, "]", 1);
}

static void put_means(const struct iol_layer_row *row, bool dist, struct iol_sink *sink)
{
    const char *before = "{";
    put_key(sink, ",", "mean");
#define PUT(name)                                                                                  \
    put_real(sink, before, #name, row->mean[IOL_MEAN_##name]);                                     \
    before = ",";
    IOL_MEANS(PUT)
    if (dist) {
        IOL_DIST_MEANS(PUT)
    }
#undef PUT
    iol_sink_bytes(sink, "}", 1);
}

static void put_layer(const struct iol_results *results, size_t index, struct iol_sink *sink)
{
    const struct iol_layer_row *row = &results->layers[index];
    const struct iol_stored_pair *pair = &results->pairs[index];
    const struct iol_cost *cost = &results->bill.pairs[index];
    put_key(sink, "{", "site");
    iol_sink_json_string(sink, pair->site);
    put_key(sink, ",", "kind");
    iol_sink_json_string(sink, pair->kind);
    iol_sink_text(sink, ",\"class\":\"final\"");
    put_count(sink, ",", "n", row->n);
    put_regression(sink, "ce_on_de", row->ce_on_de);
    put_regression(sink, "te_on_de", row->te_on_de);
    put_real(sink, ",", "restoration", row->restoration);
    put_real(sink, ",", "pearson", row->pearson);
    put_real(sink, ",", "spearman", row->spearman);
    put_real(sink, ",", "share", row->share);
    if (pair->runs >= 2) {
        put_regression(sink, "disjoint", row->disjoint);
    } else {
        iol_sink_text(sink, ",\"disjoint\":null");
    }
    put_key(sink, ",", "bootstrap");
    put_interval(sink, "{", "slope", row->bootstrap.slope_low, row->bootstrap.slope_high);
    put_interval(sink, ",", "r2", row->bootstrap.r2_low, row->bootstrap.r2_high);
    iol_sink_bytes(sink, "}", 1);
    put_key(sink, ",", "null");
    put_real(sink, "{", "r2_mean", row->null.r2_mean);
    put_real(sink, ",", "r2_q95", row->null.r2_q95);
    put_real(sink, ",", "restoration_mean", row->null.restoration_mean);
    put_real(sink, ",", "restoration_q95", row->null.restoration_q95);
    iol_sink_bytes(sink, "}", 1);
    put_means(row, results->dist, sink);
    put_key(sink, ",", "response");
    iol_sink_bytes(sink, "[", 1);
    put_reals(sink, row->response, pair->response_count);
    iol_sink_bytes(sink, "]", 1);
    put_real(sink, ",", "noise_floor", row->noise_floor);
    put_key(sink, ",", "cost"); /* of all runs and prompts of the row */
    put_count(sink, "{", "flops", cost->flops);
    put_count(sink, ",", "bytes", cost->bytes);
    put_count(sink, ",", "rows", cost->rows);
    put_real(sink, ",", "seconds", cost->seconds);
    iol_sink_text(sink, "}}");
}

/* --- bill and digest --- */

static void put_cost(struct iol_sink *sink, const char *before, const char *key,
                     const struct iol_cost *cost)
{
    put_key(sink, before, key);
    put_count(sink, "{", "flops", cost->flops);
    put_count(sink, ",", "bytes", cost->bytes);
    put_count(sink, ",", "rows", cost->rows);
    put_real(sink, ",", "seconds", cost->seconds);
    iol_sink_bytes(sink, "}", 1);
}

static void put_bill(const struct iol_results *results, struct iol_sink *sink)
{
    const struct iol_bill *bill = &results->bill;
    iol_sink_text(sink, ",\n\"bill\":");
    put_cost(sink, "{", "capture", &bill->capture);
    put_cost(sink, ",", "waves", &bill->waves);
    put_cost(sink, ",", "noise", &bill->noise);
    put_cost(sink, ",", "spill", &bill->spill);
    put_cost(sink, ",", "store", &bill->store);
    put_cost(sink, ",", "reuse_none", &bill->none);
    put_cost(sink, ",", "without_depth", &bill->without[0]);
    put_cost(sink, ",", "without_position", &bill->without[1]);
    put_cost(sink, ",", "without_donor", &bill->without[2]);
    put_real(sink, ",", "peak_flops", bill->peak_flops);
    put_real(sink, ",", "wall_seconds", bill->wall_seconds);
    put_real(sink, ",", "joules", bill->joules);
    put_real(sink, ",", "joules_seconds", bill->joules_seconds);
    put_count(sink, ",", "spill_bytes", bill->spill_bytes);
    put_count(sink, ",", "peak_memory_bytes", bill->peak_memory_bytes);
    put_count(sink, ",", "model_bytes", bill->model_bytes);
    put_count(sink, ",", "waves_done", bill->waves_done);
    put_count(sink, ",", "threads", bill->threads);
    iol_sink_bytes(sink, "}", 1);
}

enum iol_status iol_export_json(struct iol_results *results, struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    char digest[33];
    IOL_TRY(put_spec(results, sink));
    IOL_TRY(put_prompts(results, sink));
    IOL_TRY(put_effects(results, sink));
    iol_sink_text(sink, ",\n\"layers\":[");
    for (size_t i = 0; i < results->layer_count; i++) {
        iol_sink_text(sink, i ? ",\n" : "\n");
        put_layer(results, i, sink);
    }
    iol_sink_text(sink, "]");
    put_bill(results, sink);
    iol_sink_format(sink, ",\n\"arithmetic\":%s,\n\"machine\":%s,\n\"finished\":%s,\n\"digest\":",
                    results->arithmetic ? results->arithmetic : "{\"name\":\"exact\"}",
                    results->machine ? results->machine : "null",
                    results->finished ? "true" : "false");
    if (results->finished) {
        IOL_TRY(iol_results_digest(results, digest));
        iol_sink_json_string(sink, digest);
    } else {
        iol_sink_text(sink, "null");
    }
    iol_sink_text(sink, "}\n");
    IOL_TRY(sink->status);
out:
    return status;
}
