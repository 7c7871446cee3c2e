/* The writing side: creation and resume, clean rows, waves, the finish. */
#include "store/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/context.h"
#include "store/sink.h"
#include "store/store_tables.h"

/* --- opening --- */

/* WAL: readers may look while a run writes. synchronous NORMAL: a killed process loses nothing that
 * was committed (the log is in the page cache), and after a power cut the file is consistent with
 * at most the last waves missing, which a resumed run computes again to the same bits; FULL would
 * wait for the disk in every wave and buy nothing else. */
static const char settings[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
                               "PRAGMA journal_size_limit = 67108864";

enum iol_status iol_store_open(const char *path, const struct iol_experiment *experiment,
                               struct iol_store **out_store)
{
    enum iol_status status = IOL_OK;
    enum iol_database_state state;
    const struct iol_arch *arch = &experiment->model->arch;
    *out_store = NULL;
    struct iol_store *store = iol_alloc(1, sizeof *store);
    if (!store) {
        return iol_fail(IOL_E_NOMEM, "out of memory: %s", path ? path : "results in memory");
    }
    store->experiment = experiment;
    store->sublayers = 2 * arch->layers;
    store->d_model = arch->d_model;
    store->z_width = arch->heads * arch->head_dim;
    IOL_TRY(iol_database_open(path, true, &store->database, &state));
    IOL_TRY(iol_database_run(&store->database, "set it up", settings));
    IOL_TRY(state == IOL_DATABASE_EMPTY ? iol_store_create(store) : iol_identity_check(store));
    *out_store = store;
    store = NULL;
out:
    iol_store_close(store);
    return status;
}

void iol_store_close(struct iol_store *store)
{
    if (store) {
        iol_database_rollback(&store->database);
        iol_database_close(&store->database);
        iol_free(store);
    }
}

/* --- clean rows --- */

enum iol_status iol_store_clean_count(struct iol_store *store, bool *out_stored, size_t *out_count)
{
    return iol_meta_get_count(&store->database, "n_prompts", out_stored, out_count);
}

static void bind_clean(const struct iol_store *store, const struct iol_clean_row *row,
                       struct iol_query *query)
{
    const bool dist = store->experiment->dist;
    iol_query_bind_count(query, row->prompt);
    iol_query_bind_count(query, row->source);
    iol_query_bind_id(query, row->target);
#define BIND(name) iol_query_bind_real(query, row->name);
    IOL_CLEAN_REALS(BIND)
#undef BIND
    iol_query_bind_blob(query, row->unembed, store->sublayers * sizeof *row->unembed);
#define BIND(name) iol_query_bind_real(query, dist ? row->name : (double)NAN);
    IOL_CLEAN_DIST_REALS(BIND)
#undef BIND
    if (dist) {
        iol_query_bind_blob(query, row->top_ids, row->top_count * sizeof *row->top_ids);
        iol_query_bind_blob(query, row->top_logits, row->top_count * sizeof *row->top_logits);
        iol_query_bind_blob(query, row->logits,
                            store->experiment->model->arch.vocab * sizeof *row->logits);
    } else {
        iol_query_bind_null(query);
        iol_query_bind_null(query);
        iol_query_bind_null(query);
    }
}

enum iol_status iol_store_put_clean(struct iol_store *store, const struct iol_clean_row *rows,
                                    size_t count)
{
    static const char what[] = "store the clean runs";
    enum iol_status status = IOL_OK;
    struct iol_query prompts = {0}, clean = {0};
    const struct iol_experiment *experiment = store->experiment;
    const size_t y_bytes = store->sublayers * store->d_model * sizeof(float);
    const size_t z_bytes = experiment->model->arch.layers * store->z_width * sizeof(float);
    char number[24];
    IOL_TRY(iol_database_begin(&store->database, what));
    IOL_TRY(iol_query_open(&store->database, what,
                           "INSERT INTO prompts VALUES(?, ?, ?" IOL_CLEAN_PARAMETERS
                           ", ?" IOL_CLEAN_DIST_PARAMETERS ", ?, ?, ?)",
                           &prompts));
    IOL_TRY(iol_query_open(&store->database, what, "INSERT INTO clean VALUES(?, ?, ?)", &clean));
    for (size_t p = 0; p < count; p++) {
        bind_clean(store, &rows[p], &prompts);
        IOL_TRY(iol_query_run(&prompts));
        iol_query_bind_count(&clean, rows[p].prompt);
        iol_query_bind_blob(&clean, rows[p].y, y_bytes);
        iol_query_bind_blob(&clean, rows[p].z, z_bytes);
        IOL_TRY(iol_query_run(&clean));
    }
    snprintf(number, sizeof number, "%zu", count);
    IOL_TRY(iol_meta_put(&store->database, "n_prompts", number));
    IOL_TRY(iol_database_commit(&store->database, what));
out:
    iol_query_close(&clean);
    iol_query_close(&prompts);
    iol_database_rollback(&store->database);
    return status;
}

enum iol_status iol_store_get_clean(struct iol_store *store, size_t count, size_t *sources,
                                    int32_t *targets, float *y, float *z)
{
    static const char what[] = "read the clean runs";
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    const size_t y_count = store->sublayers * store->d_model;
    const size_t z_count = store->experiment->model->arch.layers * store->z_width;
    size_t p = 0;
    IOL_TRY(iol_query_open(&store->database, what,
                           "SELECT prompt, source, target, y, z FROM prompts JOIN clean "
                           "USING(prompt) ORDER BY prompt",
                           &query));
    for (;; p++) {
        bool row;
        const void *data;
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        if (p >= count || iol_query_count(&query, 0) != p ||
            iol_query_count(&query, 1) >= store->experiment->prompt_count) {
            status = iol_fail(IOL_E_FORMAT, "%s: the clean run of prompt %zu is out of order",
                              store->database.name, p);
            goto out;
        }
        sources[p] = (size_t)iol_query_count(&query, 1);
        targets[p] = (int32_t)iol_query_id(&query, 2);
        IOL_TRY(iol_query_blob(&query, 3, y_count, sizeof *y, &data));
        memcpy(y + p * y_count, data, y_count * sizeof *y);
        if (z) {
            IOL_TRY(iol_query_blob(&query, 4, z_count, sizeof *z, &data));
            memcpy(z + p * z_count, data, z_count * sizeof *z);
        }
    }
    if (p != count) {
        status = iol_fail(IOL_E_FORMAT, "%s: found clean runs of %zu prompts, expected %zu",
                          store->database.name, p, count);
    }
out:
    iol_query_close(&query);
    return status;
}

enum iol_status iol_store_get_done(struct iol_store *store, size_t count, bool *out_done)
{
    size_t done;
    return iol_done_get(&store->database, store->experiment->pair_count, count, out_done, &done);
}

enum iol_status iol_store_get_bill(struct iol_store *store, struct iol_bill *bill)
{
    return iol_bill_get(&store->database, store->experiment->pair_count, bill);
}

/* --- waves --- */

static void bind_effect(const struct iol_effect_row *row, bool dist, struct iol_query *query)
{
    iol_query_bind_count(query, row->prompt);
    iol_query_bind_count(query, row->pair);
    iol_query_bind_count(query, row->position);
#define BIND(name) iol_query_bind_real(query, row->name);
    IOL_EFFECT_REALS(BIND)
#undef BIND
#define BIND(name) iol_query_bind_real(query, dist ? row->name : (double)NAN);
    IOL_EFFECT_DIST_REALS(BIND)
#undef BIND
    if (dist) {
        iol_query_bind_count(query, row->argmax_changed);
    } else {
        iol_query_bind_null(query);
    }
    iol_query_bind_blob(query, row->response, row->response_count * sizeof *row->response);
}

static void bind_run(const struct iol_effect_row *effect, size_t run, bool dist,
                     struct iol_query *query)
{
    const struct iol_run_row *row = &effect->run_rows[run];
    iol_query_bind_count(query, effect->prompt);
    iol_query_bind_count(query, effect->pair);
    iol_query_bind_count(query, effect->position);
    iol_query_bind_count(query, run);
    if (effect->donors) {
        iol_query_bind_count(query, effect->donors[run]);
    } else {
        iol_query_bind_null(query);
    }
#define BIND(name) iol_query_bind_real(query, row->name);
    IOL_RUN_REALS(BIND)
#undef BIND
#define BIND(name) iol_query_bind_real(query, dist ? row->name : (double)NAN);
    IOL_RUN_DIST_REALS(BIND)
#undef BIND
    if (dist) {
        iol_query_bind_id(query, row->argmax_changed);
    } else {
        iol_query_bind_null(query);
    }
}

static enum iol_status put_effects(struct iol_store *store, const char *what,
                                   const struct iol_effect_row *effects, size_t count)
{
    enum iol_status status = IOL_OK;
    struct iol_query rows = {0}, runs = {0};
    const bool dist = store->experiment->dist;
    IOL_TRY(iol_query_open(
        &store->database, what,
        "INSERT INTO effects VALUES(?, ?, ?" IOL_EFFECT_PARAMETERS IOL_EFFECT_DIST_PARAMETERS
        ", ?, ?)",
        &rows));
    IOL_TRY(iol_query_open(
        &store->database, what,
        "INSERT INTO runs VALUES(?, ?, ?, ?, ?" IOL_RUN_PARAMETERS IOL_RUN_DIST_PARAMETERS ", ?)",
        &runs));
    for (size_t e = 0; e < count; e++) {
        bind_effect(&effects[e], dist, &rows);
        IOL_TRY(iol_query_run(&rows));
        for (size_t r = 0; r < effects[e].runs; r++) {
            bind_run(&effects[e], r, dist, &runs);
            IOL_TRY(iol_query_run(&runs));
        }
    }
out:
    iol_query_close(&runs);
    iol_query_close(&rows);
    return status;
}

enum iol_status iol_store_put_wave(struct iol_store *store, const struct iol_effect_row *effects,
                                   size_t effect_count, const struct iol_noise_row *noise,
                                   size_t noise_count, const struct iol_bill *bill)
{
    static const char what[] = "store a wave";
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    IOL_TRY(iol_database_begin(&store->database, what));
    IOL_TRY(put_effects(store, what, effects, effect_count));
    IOL_TRY(iol_query_open(&store->database, what, "INSERT INTO noise VALUES(?, ?, ?)", &query));
    for (size_t i = 0; i < noise_count; i++) {
        iol_query_bind_count(&query, noise[i].prompt);
        iol_query_bind_count(&query, noise[i].site);
        iol_query_bind_real(&query, noise[i].floor);
        IOL_TRY(iol_query_run(&query));
    }
    IOL_TRY(iol_bill_put(&store->database, store->experiment->pair_count, bill));
    IOL_TRY(iol_database_commit(&store->database, what));
out:
    iol_query_close(&query);
    iol_database_rollback(&store->database);
    return status;
}

/* --- the finish --- */

static enum iol_status put_machine(struct iol_store *store)
{
    enum iol_status status = IOL_OK;
    struct iol_sink sink;
    char *text = NULL;
    const struct iol_ctx *ctx = store->experiment->ctx;
    struct iol_machine machine = {.struct_size = sizeof machine};
    const unsigned reuse = store->experiment->reuse;
    if (!ctx) {
        return IOL_OK;
    }
    IOL_TRY(iol_machine_probe(ctx, 0, &machine));
    iol_sink_open_text(&sink);
    iol_sink_text(&sink, "{\"cpu\":");
    iol_sink_json_string(&sink, machine.cpu);
    iol_sink_format(&sink,
                    ",\"isa\":\"%s\",\"threads\":%zu,\"l1_bytes\":%zu,\"l2_bytes\":%zu,"
                    "\"l3_bytes\":%zu,\"memory_bytes\":%llu,\"reuse\":\"",
                    iol_ctx_isa(ctx), iol_ctx_threads(ctx), machine.l1_bytes, machine.l2_bytes,
                    machine.l3_bytes, (unsigned long long)machine.memory_bytes);
    if (reuse == 0 || reuse == IOL_REUSE_ALL) {
        iol_sink_text(&sink, reuse ? "all" : "none");
    } else {
        iol_sink_format(&sink, "%s%s%s", reuse & IOL_REUSE_DEPTH ? "depth " : "",
                        reuse & IOL_REUSE_POSITION ? "position " : "",
                        reuse & IOL_REUSE_DONOR ? "donor " : "");
        sink.length -= sink.status == IOL_OK; /* the last blank */
    }
    iol_sink_text(&sink, "\"}");
    IOL_TRY(iol_sink_finish_text(&sink, &text));
    IOL_TRY(iol_meta_put(&store->database, "machine", text));
out:
    iol_free(text);
    return status;
}

enum iol_status iol_store_put_fast(struct iol_store *store, const struct iol_fast_error *error)
{
    enum iol_status status = IOL_OK;
    const struct iol_ctx *ctx = store->experiment->ctx;
    char *text = NULL;
    struct iol_sink sink;
    iol_sink_open_text(&sink);
    iol_sink_text(&sink, "{\"name\":");
    iol_sink_json_string(&sink, iol_ctx_arithmetic(ctx));
    iol_sink_format(&sink,
                    ",\"rate\":%.2f,\"error_rms\":%.3e,\"error_max\":%.3e,\"prompts\":%zu,"
                    "\"same_targets\":%zu}",
                    iol_ctx_fast_rate(ctx), error->rms, error->max, error->prompts,
                    error->same_targets);
    IOL_TRY(iol_sink_finish_text(&sink, &text));
    IOL_TRY(iol_meta_put(&store->database, "arithmetic", text));
out:
    iol_free(text);
    return status;
}

enum iol_status iol_store_finish(struct iol_store *store, const struct iol_bill *bill)
{
    static const char what[] = "store the statistics";
    enum iol_status status = IOL_OK;
    const struct iol_experiment *experiment = store->experiment;
    struct iol_number_scope scope = {0};
    struct iol_stored_pair *pairs = NULL;
    size_t prompts = 0, done = 0, pair_count = 0, ignored;
    bool captured = false, finished = false;
    IOL_TRY(iol_number_scope_enter(&scope));
    IOL_TRY(iol_database_begin(&store->database, what));
    IOL_TRY(iol_store_clean_count(store, &captured, &prompts));
    IOL_TRY(iol_done_get(&store->database, experiment->pair_count, prompts, NULL, &done));
    if (!captured || done != prompts) {
        status =
            iol_fail(IOL_E_INVAL, "%s: the run is not finished: %zu of %zu prompts",
                     store->database.name, done, captured ? prompts : experiment->prompt_count);
        goto out;
    }
    IOL_TRY(iol_meta_get_count(&store->database, "finished", &finished, &ignored));
    if (!finished) {
        IOL_TRY(iol_pairs_get(&store->database, store->sublayers, &pairs, &pair_count));
        IOL_TRY(iol_layers_compute(&store->database, pairs, pair_count, prompts, experiment->seed,
                                   experiment->ctx ? iol_ctx_threads(experiment->ctx) : 1));
        IOL_TRY(iol_meta_put(&store->database, "finished", "1"));
    }
    IOL_TRY(iol_bill_put(&store->database, experiment->pair_count, bill));
    IOL_TRY(put_machine(store));
    IOL_TRY(iol_database_commit(&store->database, what));
    /* The log goes into the file, so that the file alone can be copied; a reader may forbid it. */
    sqlite3_wal_checkpoint_v2(store->database.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
out:
    iol_database_rollback(&store->database);
    iol_free(pairs);
    iol_number_scope_leave(&scope);
    return status;
}
