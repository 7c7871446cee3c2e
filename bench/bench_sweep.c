/* The sweep: what an intervention found and what it cost, from one run through the public API.
 *
 *   sweep/MODEL/t:N/total           time = seconds of one whole sweep (capture and waves)
 *   sweep/MODEL/t:N/SITE/KIND       time = seconds of one intervention there; its effect beside it
 *
 * Environment: IOL_BENCH_MODEL (folder; default: the model in bench/zoo), IOL_BENCH_PROMPTS
 * (default: FOLDER/prompts.jsonl), IOL_BENCH_LIMIT (32), IOL_BENCH_DO, IOL_BENCH_THREADS ("1,2").
 */
#define _GNU_SOURCE
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "bench_cases.h"
#include "iolaus/experiment.h"
#include "measure.h"

enum { THREAD_COUNTS = 8 };

static const char default_do[] = "attn_out,mlp_out=zero,resample:15";

/* One thread count: the open model and its last run. */
struct sweep {
    const char *folder, *prompts, *clause;
    size_t threads, limit;
    struct iol_ctx *ctx;
    struct iol_model *model;
    struct iol_experiment *experiment;
    struct iol_results *results;
    double seconds; /* wall clock of the last run */
};

struct sweep_row {
    struct sweep *sweep;
    const char *site, *kind;
};

static enum iol_status sweep_open(struct sweep *s)
{
    enum iol_status status = IOL_OK;
    struct iol_ctx_settings settings;
    struct iol_run_settings run;
    if (s->experiment) {
        return IOL_OK;
    }
    iol_ctx_settings_default(&settings);
    settings.threads = s->threads;
    settings.isa = getenv("IOL_ISA");
    iol_run_settings_default(&run);
    run.prompts = s->prompts;
    run.limit = s->limit;
    run.does = &s->clause;
    run.do_count = 1;
    run.measure_none = true;
    IOL_TRY(iol_ctx_open(&settings, &s->ctx));
    IOL_TRY(iol_model_open(s->ctx, s->folder, &s->model));
    IOL_TRY(iol_experiment_open(s->ctx, s->model, s->folder, &run, &s->experiment));
out:
    return status;
}

static enum iol_status sweep_run(struct sweep *s)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(sweep_open(s));
    iol_results_close(s->results);
    s->results = NULL;
    double begin = iol_seconds();
    IOL_TRY(iol_experiment_run(s->experiment, NULL, NULL, &s->results));
    s->seconds = iol_seconds() - begin;
out:
    return status;
}

/* Cost and effects over all interventions: means over the rows of layers[]. */
static enum iol_status put_total(struct bench_state *state, struct sweep *s)
{
    enum iol_status status = IOL_OK;
    struct iol_bill_numbers bill = {.struct_size = sizeof bill};
    struct iol_plan_summary plan = {.struct_size = sizeof plan};
    IOL_TRY(iol_results_bill(s->results, &bill));
    IOL_TRY(iol_experiment_plan(s->experiment, &plan));
    const double seconds = bill.seconds_capture + bill.seconds_waves;
    const double flops = (double)(bill.flops_capture + bill.flops_waves);
    const double count = bill.interventions ? (double)bill.interventions : 1;
    bench_counter(state, "interventions", (double)bill.interventions);
    bench_counter(state, "us_each", 1e6 * seconds / count);
    bench_counter(state, "flops_each", flops / count);
    bench_counter(state, "bytes_each", (double)(plan.bytes_capture + plan.bytes_waves) / count);
    bench_counter(state, "s_per_prompt", seconds / (double)plan.prompts);
    bench_counter(state, "GFLOP/s", flops / seconds / 1e9);
    bench_counter(state, "peak%", 100 * bill.peak_share);
    bench_counter(state, "counted_x", (double)bill.flops_none / flops);
    bench_counter(state, "measured_x", bill.seconds_none / seconds);
    bench_counter(state, "capture_s", bill.seconds_capture);
    bench_counter(state, "waves_s", bill.seconds_waves);
    bench_counter(state, "spill_s", bill.seconds_spill);
    bench_counter(state, "store_s", bill.seconds_store);
    double slope = 0, r2 = 0, restoration = 0, rows = 0, beyond_null = 0;
    for (size_t i = 0; i < iol_results_layer_count(s->results); i++) {
        struct iol_layer_numbers row = {.struct_size = sizeof row};
        IOL_TRY(iol_results_layer(s->results, i, &row));
        if (!isnan(row.slope) && !isnan(row.r2) && !isnan(row.restoration)) {
            slope += row.slope;
            r2 += row.r2;
            restoration += row.restoration;
            beyond_null += row.restoration > row.null_q95;
            rows++;
        }
    }
    bench_counter(state, "slope", slope / rows);
    bench_counter(state, "r2", r2 / rows);
    bench_counter(state, "restoration", restoration / rows);
    bench_counter(state, "beyond_null", beyond_null);
out:
    return status;
}

static void run_total(struct bench_state *state, const void *user)
{
    struct sweep *const *s = user;
    while (bench_keep_running(state, 1)) {
        struct iol_bill_numbers bill = {.struct_size = sizeof bill};
        if (sweep_run(*s) != IOL_OK || iol_results_bill((*s)->results, &bill) != IOL_OK) {
            bench_skip(state, iol_error());
            return;
        }
        bench_batch_took(state, bill.seconds_capture + bill.seconds_waves);
    }
    if (put_total(state, *s) != IOL_OK) {
        bench_skip(state, iol_error());
    }
}

static void run_row(struct bench_state *state, const void *user)
{
    const struct sweep_row *r = user;
    struct sweep *s = r->sweep;
    if (!s->results && sweep_run(s) != IOL_OK) {
        bench_skip(state, iol_error());
        return;
    }
    for (size_t i = 0; i < iol_results_layer_count(s->results); i++) {
        struct iol_layer_numbers row = {.struct_size = sizeof row};
        if (iol_results_layer(s->results, i, &row) != IOL_OK) {
            bench_skip(state, iol_error());
            return;
        }
        if (strcmp(row.site, r->site) != 0 || strcmp(row.kind, r->kind) != 0) {
            continue;
        }
        while (
            bench_keep_running(state, 1000000)) { /* a figure of the run, not a new measurement */
            bench_batch_took(state, 1e6 * row.seconds);
        }
        bench_counter(state, "us", 1e6 * row.seconds);
        bench_counter(state, "flops", row.flops);
        bench_counter(state, "bytes", row.bytes);
        bench_counter(state, "n", (double)row.n);
        bench_counter(state, "slope", row.slope);
        bench_counter(state, "r2", row.r2);
        bench_counter(state, "restoration", row.restoration);
        bench_counter(state, "restoration_low", row.restoration_low);
        bench_counter(state, "restoration_high", row.restoration_high);
        bench_counter(state, "null_q95", row.null_q95);
        bench_counter(state, "te_clean", row.te_clean);
        bench_counter(state, "de", row.de);
        return;
    }
    bench_skip(state, "the results have no such row");
}

static void skip_sweep(struct bench_state *state, const void *user)
{
    bench_skip(state, user);
}

/* Rows of layers[] as the schema names them: site "attn_out.3", kind "resample:15" ... are those of
 * the default clause; of another clause only the total is registered. */
static void register_rows(struct sweep *s, const char *name)
{
    static const char *const types[] = {"attn_out", "mlp_out"}, *const kinds[] = {"zero",
                                                                                  "resample:15"};
    const struct iol_model_info *info = iol_model_get_info(s->model);
    for (size_t i = 0; i < info->layers * 4; i++) {
        struct sweep_row *row = malloc(sizeof *row); /* lives until the program ends */
        char full[256];
        if (!row) {
            return;
        }
        *row = (struct sweep_row){s, iol_format("%s.%zu", types[i / 2 % 2], i / 4), kinds[i % 2]};
        snprintf(full, sizeof full, "sweep/%s/t:%zu/%s/%s", name, s->threads, row->site, row->kind);
        bench_register(full, run_row, row);
    }
}

static const char *zoo_model(void)
{
    glob_t found;
    const char *folder = NULL;
    if (glob(IOL_SOURCE_DIR "/bench/zoo/*/config.json", 0, NULL, &found) == 0) {
        folder = iol_strndup(found.gl_pathv[0], strlen(found.gl_pathv[0]) - strlen("/config.json"));
        globfree(&found);
    }
    return folder;
}

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

void bench_register_sweep(void)
{
    static struct sweep sweeps[THREAD_COUNTS];
    static struct sweep *handles[THREAD_COUNTS];
    const char *folder = setting("IOL_BENCH_MODEL", NULL);
    folder = folder ? folder : zoo_model();
    if (!folder) {
        bench_register("sweep", skip_sweep, "no model: none in bench/zoo, IOL_BENCH_MODEL not set");
        return;
    }
    const char *list = setting("IOL_BENCH_THREADS", "1,2"), *base = strrchr(folder, '/');
    base = base && base[1] ? base + 1 : folder;
    for (size_t i = 0; i < THREAD_COUNTS && *list; i++) {
        char *end;
        size_t threads = strtoul(list, &end, 10);
        list = *end == ',' ? end + 1 : "";
        if (threads == 0 || threads > bench_machine()->threads) {
            continue;
        }
        sweeps[i] = (struct sweep){
            .folder = folder,
            .prompts = setting("IOL_BENCH_PROMPTS", iol_format("%s/prompts.jsonl", folder)),
            .clause = setting("IOL_BENCH_DO", default_do),
            .threads = threads,
            .limit = strtoul(setting("IOL_BENCH_LIMIT", "32"), NULL, 10)};
        handles[i] = &sweeps[i];
        char name[256];
        snprintf(name, sizeof name, "sweep/%s/t:%zu/total", base, threads);
        bench_register(name, run_total, &handles[i]);
        if (strcmp(sweeps[i].clause, default_do) == 0 && sweep_open(&sweeps[i]) == IOL_OK) {
            register_rows(&sweeps[i], base);
        }
    }
}
