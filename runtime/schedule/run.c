/* One run from the plan to the finished store: capture, filter, waves, statistics; resumed where an
 * earlier one stopped. */
#include "schedule/run.h"

#include <stdlib.h>
#include <string.h>

bool iol_run_tell(struct iol_run *run, const char *phase, size_t done, size_t total, size_t resumed,
                  double seconds, double flops_done, double flops_total)
{
    struct iol_progress progress = {.phase = phase,
                                    .done = done,
                                    .total = total,
                                    .resumed = resumed,
                                    .seconds = seconds,
                                    .flops_done = flops_done,
                                    .flops_total = flops_total};
    return !run->progress || run->progress(&progress, run->user);
}

void iol_run_tick(struct iol_run *run)
{
    double now = iol_seconds();
    run->bill.wall_seconds += now - run->wall_mark;
    if (run->energy.count) {
        run->bill.joules += iol_energy_take(&run->energy);
        run->bill.joules_seconds += now - run->wall_mark;
    }
    run->wall_mark = now;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void iol_run_sample_peak(struct iol_run *run)
{
    struct iol_machine machine = {.struct_size = sizeof machine};
    double now = iol_seconds();
    if (run->peak_count && now - run->peak_time < 0.5) {
        return;
    }
    for (int i = 0; i < 3 && run->peak_count < IOL_PEAK_SAMPLES; i++) {
        if (iol_machine_probe(run->experiment->ctx, 0.002, &machine) == IOL_OK) {
            run->peaks[run->peak_count++] = machine.peak_flops;
        }
    }
    run->peak_time = iol_seconds();
    double sorted[IOL_PEAK_SAMPLES];
    memcpy(sorted, run->peaks, run->peak_count * sizeof *sorted);
    qsort(sorted, run->peak_count, sizeof *sorted, compare_doubles);
    run->bill.peak_flops = run->peak_count ? sorted[run->peak_count / 2] : 0;
}

/* --- opening and closing --- */

static void run_close(struct iol_run *run)
{
    iol_team_close(run->team);
    for (size_t t = 0; run->workers && t < run->threads; t++) {
        iol_worker_close(&run->workers[t]);
    }
    for (size_t t = 0; run->nests && t < run->threads; t++) {
        iol_free(run->nests[t].x);
        iol_free(run->nests[t].y);
        iol_free(run->nests[t].z);
    }
    iol_free(run->workers);
    iol_free(run->nests);
    iol_free(run->cos);
    iol_free(run->sin);
    iol_capture_close(&run->capture);
    iol_free(run->clean);
    iol_free(run->readers);
    iol_free(run->dots);
    iol_free(run->zeros);
    iol_free(run->means);
    iol_free(run->mean_norms);
    iol_free(run->head_norms);
    iol_free(run->sources);
    iol_free(run->done);
    iol_free(run->bill.pairs);
    iol_energy_close(&run->energy);
}

_Static_assert((int)IOL_MOST_THREADS <= (int)IOL_TEAM_MOST,
               "a context may have more threads than a team");

static enum iol_status open_nests(struct iol_run *run)
{
    const struct iol_experiment *e = run->experiment;
    const struct iol_arch *a = &e->model->arch;
    run->nests = iol_alloc(run->threads, sizeof *run->nests);
    for (size_t t = 0; run->nests && t < run->threads; t++) {
        struct iol_nest *nest = &run->nests[t];
        nest->x = iol_alloc(run->plan.geometry.max_rows, a->d_model * sizeof(float));
        nest->y = iol_alloc(IOL_NESTED_DONORS * e->model->step_count, a->d_model * sizeof(float));
        nest->z = iol_alloc(IOL_NESTED_DONORS * a->layers, a->heads * a->head_dim * sizeof(float));
        if (!nest->x || !nest->y || !nest->z) {
            return iol_fail(IOL_E_NOMEM, "out of memory: recomputed donors");
        }
    }
    return run->nests ? IOL_OK : iol_fail(IOL_E_NOMEM, "out of memory: recomputed donors");
}

static enum iol_status run_open(struct iol_experiment *e, struct iol_run *run)
{
    enum iol_status status = IOL_OK;
    const struct iol_model *m = e->model;
    const struct iol_arch *a = &m->arch;
    const size_t n = e->prompt_count, d = a->d_model;
    *run = (struct iol_run){.wall_mark = iol_seconds(),
                            .experiment = e,
                            .reuse = e->reuse,
                            .threads = e->ctx->threads,
                            .capture = {.fd = -1}};
    iol_energy_open("", NULL, &run->energy);
    IOL_TRY(iol_plan_make(e, &run->plan));
    const size_t rope = run->plan.geometry.max_length * (a->head_dim / 2);
    run->workers = iol_alloc(run->threads, sizeof *run->workers);
    run->clean = iol_alloc(n, sizeof *run->clean);
    run->readers = iol_alloc(n * d, sizeof *run->readers);
    run->dots = iol_alloc(n * m->step_count, sizeof *run->dots);
    run->zeros = iol_alloc(d, sizeof *run->zeros);
    run->means = iol_alloc(e->site_count * d, sizeof *run->means);
    run->mean_norms = iol_alloc(e->site_count, sizeof *run->mean_norms);
    run->head_norms =
        e->any_head ? iol_alloc(n * a->layers * a->heads, sizeof *run->head_norms) : NULL;
    run->sources = iol_alloc(n, sizeof *run->sources);
    run->done = iol_alloc(n, sizeof *run->done);
    run->bill.pairs = iol_alloc(e->pair_count, sizeof *run->bill.pairs);
    run->cos = a->rope.kind == IOL_ROPE_NONE ? NULL : iol_alloc(rope, sizeof(float));
    run->sin = a->rope.kind == IOL_ROPE_NONE ? NULL : iol_alloc(rope, sizeof(float));
    if (!run->workers || !run->clean || !run->readers || !run->dots || !run->zeros || !run->means ||
        !run->mean_norms || (e->any_head && !run->head_norms) || !run->sources || !run->done ||
        !run->bill.pairs || (a->rope.kind != IOL_ROPE_NONE && (!run->cos || !run->sin))) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: a run of %zu prompts", n);
        goto out;
    }
    if (run->cos) {
        iol_rope_table(a, run->plan.geometry.max_length, run->cos, run->sin);
    }
    run->team = iol_team_open(run->threads);
    if (!run->team) {
        status = iol_fail(IOL_E_NOMEM, "%zu threads could not be started: fewer with --threads",
                          run->threads);
        goto out;
    }
    for (size_t t = 0; t < run->threads; t++) {
        IOL_TRY(iol_worker_open(e->ctx, m, &run->plan.geometry, run->plan.logit_rows, run->cos,
                                run->sin, &run->workers[t]));
    }
    if (!(e->reuse & IOL_REUSE_DONOR) || e->measure_none) {
        IOL_TRY(open_nests(run));
    }
    run->bill.threads = run->threads;
    run->bill.peak_memory_bytes = run->plan.peak_bytes;
    run->bill.spill_bytes = run->plan.spill ? run->plan.capture_bytes : 0;
    run->bill.model_bytes = m->info.packed_bytes;
out:
    return status;
}

/* --- phase A
 * --------------------------------------------------------------------------------------------------
 */

static bool kept(const struct iol_run *run, size_t source)
{
    const struct iol_experiment *e = run->experiment;
    return !e->filter_correct || e->prompts[source].answer_id == (int64_t)run->clean[source].target;
}

static enum iol_status check_count(const struct iol_run *run)
{
    const struct iol_experiment *e = run->experiment;
    if (run->count == 0) {
        return iol_fail(IOL_E_INVAL, "%s: the filter 'correct' leaves none of %zu prompts",
                        e->prompts_path, e->prompt_count);
    }
    if (e->max_runs && e->max_runs > run->count - 1) {
        return iol_fail(IOL_E_LIMIT,
                        "%s: resample:%zu needs at least %zu prompts, found %zu after the filter",
                        e->prompts_path, e->max_runs, e->max_runs + 1, run->count);
    }
    return IOL_OK;
}

static enum iol_status put_clean(struct iol_run *run, struct iol_store *store)
{
    const struct iol_experiment *e = run->experiment;
    enum iol_status status = IOL_OK;
    const size_t steps = e->model->step_count;
    struct iol_clean_row *rows = iol_alloc(run->count, sizeof *rows);
    double *unembed = iol_alloc(run->count * steps, sizeof *unembed);
    size_t first[2] = {0};
    if (!rows || !unembed) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %zu clean rows", run->count);
        goto out;
    }
    for (size_t p = 0; p < run->count && p < 2; p++) {
        first[p] = run->sources[p];
    }
    if (e->dist) {
        IOL_TRY(iol_capture_bring(&run->capture, first, run->count < 2 ? run->count : 2, true));
    }
    for (size_t p = 0; p < run->count; p++) {
        const size_t source = run->sources[p];
        const struct iol_clean *c = &run->clean[source];
        for (size_t s = 0; s < steps; s++) {
            unembed[p * steps + s] = c->dots[s] / c->sigma;
        }
        rows[p] = (struct iol_clean_row){.prompt = p,
                                         .source = source,
                                         .target = c->target,
                                         .logit = c->logit,
                                         .spread = c->spread,
                                         .sigma = c->sigma,
                                         .embed = c->embed,
                                         .bias = c->bias,
                                         .unembed = unembed + p * steps,
                                         .logp = c->logp,
                                         .margin = c->margin,
                                         .logit_mean = c->logit_mean,
                                         .top_count = c->top_count,
                                         .y = iol_capture_y(&run->capture, source),
                                         .z = iol_capture_z(&run->capture, source),
                                         .logits = e->dist && p < 2
                                                       ? run->capture.at[source] +
                                                             run->capture.records[source].logits_at
                                                       : NULL};
        memcpy(rows[p].top_ids, c->top_ids, sizeof rows[p].top_ids);
        memcpy(rows[p].top_logits, c->top_logits, sizeof rows[p].top_logits);
    }
    IOL_TRY(iol_store_put_clean(store, rows, run->count));
out:
    iol_free(unembed);
    iol_free(rows);
    return status;
}

/* A fresh run: walk every prompt, filter, store the clean rows. */
static enum iol_status capture_fresh(struct iol_run *run, struct iol_store *store)
{
    enum iol_status status = IOL_OK;
    const size_t n = run->experiment->prompt_count;
    uint64_t flops = 0;
    for (size_t i = 0; i < n; i++) {
        run->sources[i] = i;
    }
    IOL_TRY(iol_capture_open(run->experiment, NULL, run->plan.window_floats, &run->capture));
    IOL_TRY(iol_run_capture(run, run->sources, n, &flops));
    for (size_t i = 0; i < n; i++) {
        if (kept(run, i)) {
            run->sources[run->count++] = i;
        }
    }
    IOL_TRY(check_count(run));
    IOL_TRY(iol_run_values(run, &flops));
    struct iol_cost cost =
        iol_plan_capture(run->experiment, NULL, n, (n + run->plan.group - 1) / run->plan.group);
    run->bill.capture.flops += flops;
    run->bill.capture.rows += cost.rows;
    run->bill.capture.bytes += cost.bytes;
    double begin = iol_seconds();
    IOL_TRY(put_clean(run, store));
    run->bill.store.seconds += iol_seconds() - begin;
out:
    return status;
}

/* The bill of the earlier parts; what belongs to this part's machine and plan stays. */
static enum iol_status get_bill(struct iol_run *run, struct iol_store *store)
{
    const struct iol_bill mine = run->bill;
    enum iol_status status = iol_store_get_bill(store, &run->bill);
    run->bill.threads = mine.threads;
    run->bill.peak_flops = mine.peak_flops;
    run->bill.peak_memory_bytes = mine.peak_memory_bytes;
    run->bill.spill_bytes = mine.spill_bytes;
    run->bill.model_bytes = mine.model_bytes;
    return status;
}

/* A resumed run: donors come from the store; only prompts whose effects are missing are walked
 * again. */
static enum iol_status capture_resumed(struct iol_run *run, struct iol_store *store, size_t count)
{
    enum iol_status status = IOL_OK;
    const struct iol_experiment *e = run->experiment;
    const struct iol_arch *a = &e->model->arch;
    const size_t y_floats = e->model->step_count * a->d_model,
                 z_floats = a->layers * a->heads * a->head_dim;
    uint64_t flops = 0;
    bool *wanted = iol_alloc(e->prompt_count, sizeof *wanted);
    size_t *pending = iol_alloc(e->prompt_count, sizeof *pending), pending_count = 0;
    int32_t *targets = iol_alloc(count, sizeof *targets);
    float *y = iol_alloc(count * y_floats, sizeof *y),
          *z = e->any_head ? iol_alloc(count * z_floats, sizeof *z) : NULL;
    if (!wanted || !pending || !targets || !y || (e->any_head && !z)) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: a resumed run");
        goto out;
    }
    run->count = count;
    IOL_TRY(check_count(run));
    IOL_TRY(iol_store_get_clean(store, count, run->sources, targets, y, z));
    IOL_TRY(iol_store_get_done(store, count, run->done));
    IOL_TRY(get_bill(run, store));
    for (size_t p = 0; p < count; p++) {
        if (!run->done[p]) {
            wanted[run->sources[p]] = true;
            pending[pending_count++] = run->sources[p];
        }
    }
    IOL_TRY(iol_capture_open(e, wanted, run->plan.window_floats, &run->capture));
    IOL_TRY(iol_run_capture(run, pending, pending_count, &flops));
    for (size_t p = 0; p < count; p++) {
        size_t source = run->sources[p];
        if (wanted[source] && run->clean[source].target != targets[p]) {
            status = iol_fail(
                IOL_E_MISMATCH,
                "%s: prompt %zu: stored target %d, computed %d: the file was made by another build",
                e->out, p, (int)targets[p], (int)run->clean[source].target);
            goto out;
        }
        memcpy(iol_capture_y(&run->capture, source), y + p * y_floats, y_floats * sizeof *y);
        if (z) {
            memcpy(iol_capture_z(&run->capture, source), z + p * z_floats, z_floats * sizeof *z);
        }
    }
    IOL_TRY(iol_run_values(run, &flops));
    struct iol_cost cost = iol_plan_capture(
        e, pending, pending_count, (pending_count + run->plan.group - 1) / run->plan.group);
    run->bill.capture.flops += flops;
    run->bill.capture.rows += cost.rows;
    run->bill.capture.bytes += cost.bytes;
out:
    iol_free(wanted);
    iol_free(pending);
    iol_free(targets);
    iol_free(y);
    iol_free(z);
    return status;
}

/* --- phase B
 * -----------------------------------------------------------------------------------------------------
 */

/* Waves over the prompts that `skip` does not name. */
static enum iol_status run_waves(struct iol_run *run, struct iol_store *store, const bool *skip,
                                 double flops_total)
{
    enum iol_status status = IOL_OK;
    size_t *pending = iol_alloc(run->count, sizeof *pending), count = 0;
    if (!pending) {
        return iol_fail(IOL_E_NOMEM, "out of memory: waves");
    }
    for (size_t p = 0; p < run->count; p++) {
        if (!skip || !skip[p]) {
            pending[count++] = p;
        }
    }
    const size_t before = run->count - count;
    const double begin = iol_seconds(), flops_before = (double)run->bill.waves.flops;
    double total = flops_total - flops_before;
    for (size_t i = 0; i < count; i += run->plan.wave) {
        size_t n = count - i < run->plan.wave ? count - i : run->plan.wave;
        IOL_TRY(iol_run_wave(run, pending + i, n, store));
        iol_run_sample_peak(run);
        if (!iol_run_tell(run, store ? "waves" : "baseline", before + i + n, run->count, before,
                          iol_seconds() - begin, (double)run->bill.waves.flops - flops_before,
                          total) &&
            i + n < count) {
            status = iol_fail(IOL_E_STOPPED, "stopped after %zu of %zu prompts", before + i + n,
                              run->count);
            goto out;
        }
    }
out:
    iol_free(pending);
    return status;
}

/* The same sweep without any reuse, measured: what the waves above would have cost. */
static enum iol_status measure_none(struct iol_run *run)
{
    iol_run_tick(run);
    struct iol_bill saved = run->bill;
    struct iol_cost *pairs = iol_alloc(run->experiment->pair_count, sizeof *pairs);
    if (!pairs) {
        return iol_fail(IOL_E_NOMEM, "out of memory: a bill");
    }
    run->bill.pairs = pairs;
    run->reuse = 0;
    const size_t wave = run->plan.wave;
    run->plan.wave = run->plan.baseline_wave;
    double begin = iol_seconds();
    enum iol_status status = run_waves(run, NULL, NULL, (double)saved.none.flops);
    double seconds = iol_seconds() - begin + saved.capture.seconds;
    run->reuse = run->experiment->reuse;
    run->plan.wave = wave;
    run->wall_mark = iol_seconds();
    (void)iol_energy_take(&run->energy);
    iol_free(pairs);
    run->bill = saved;
    run->bill.none.seconds = status == IOL_OK ? seconds : 0;
    return status;
}

static enum iol_status price_alternatives(struct iol_run *run)
{
    enum iol_status status = IOL_OK;
    const struct iol_experiment *e = run->experiment;
    static const unsigned axes[3] = {IOL_REUSE_DEPTH, IOL_REUSE_POSITION, IOL_REUSE_DONOR};
    const size_t groups = (e->prompt_count + run->plan.group - 1) / run->plan.group,
                 waves = (run->count + run->plan.wave - 1) / run->plan.wave;
    struct iol_cost clean = iol_plan_capture(e, NULL, e->prompt_count, groups);
    struct iol_bill *bill = &run->bill;
    for (size_t i = 0; i < 4; i++) {
        unsigned reuse = i < 3 ? IOL_REUSE_ALL & ~axes[i] : 0;
        struct iol_cost *out = i < 3 ? &bill->without[i] : &bill->none;
        double measured = out->seconds;
        IOL_TRY(iol_plan_branches(e, reuse, run->sources, run->count, NULL, out));
        iol_cost_add(out, clean, 1);
        out->bytes += waves * iol_plan_wave_weights(e, reuse);
        out->seconds = measured;
    }
out:
    return status;
}

enum iol_status iol_experiment_run(struct iol_experiment *experiment, iol_progress_fn *progress,
                                   void *user, struct iol_results **out_results)
{
    enum iol_status status = IOL_OK;
    struct iol_run run;
    struct iol_store *store = NULL;
    bool stored = false;
    size_t count = 0;
    *out_results = NULL;
    const struct iol_fpmode mode = iol_fpmode_enter(); /* statistics run in this thread too */
    IOL_TRY(run_open(experiment, &run));
    run.progress = progress;
    run.user = user;
    IOL_TRY(iol_store_open(experiment->out, experiment, &store));
    IOL_TRY(iol_store_clean_count(store, &stored, &count));
    iol_run_sample_peak(&run);
    if (iol_ctx_fast_rate(experiment->ctx) > 0) {
        struct iol_fast_error error;
        IOL_TRY(iol_run_fast_error(&run, &error));
        IOL_TRY(iol_store_put_fast(store, &error));
    }
    IOL_TRY(stored ? capture_resumed(&run, store, count) : capture_fresh(&run, store));
    IOL_TRY(price_alternatives(&run));
    struct iol_cost sum;
    IOL_TRY(iol_plan_branches(experiment, run.reuse, run.sources, run.count, NULL, &sum));
    size_t resumed = 0;
    for (size_t p = 0; p < run.count; p++) {
        resumed += run.done[p];
    }
    if (resumed && !iol_run_tell(&run, "waves", resumed, run.count, resumed, 0, 0, 0)) {
        status = iol_fail(IOL_E_STOPPED, "stopped after %zu of %zu prompts", resumed, run.count);
        goto out;
    }
    IOL_TRY(run_waves(&run, store, run.done, (double)sum.flops));
    if (experiment->measure_none) {
        IOL_TRY(measure_none(&run));
    }
    run.bill.spill.seconds += run.capture.spill_seconds;
    run.bill.spill.bytes += run.capture.spill_bytes;
    iol_run_tell(&run, "statistics", run.count, run.count, resumed, 0, 0, 0);
    iol_run_tick(&run);
    IOL_TRY(iol_store_finish(store, &run.bill));
    status = iol_store_into_results(store, out_results);
    store = NULL;
out:
    iol_store_close(store);
    run_close(&run);
    iol_fpmode_leave(mode);
    return status;
}
