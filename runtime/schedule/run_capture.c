/* Phase A: the clean walk. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "metric/metric_dist.h"
#include "schedule/run.h"

static double u_of(const struct iol_clean *c, double dot)
{
    return dot / c->sigma;
}

/* Read-outs of one prompt from its final residual x and its logits. */
static void read_clean(struct iol_worker *w, struct iol_run *run, size_t source, const float *x,
                       const float *logits)
{
    const struct iol_experiment *e = run->experiment;
    const struct iol_model *m = e->model;
    const struct iolk_ops *ops = &w->ctx->ops;
    const size_t d = m->arch.d_model, vocab = m->arch.vocab;
    struct iol_clean *c = &run->clean[source];
    struct iol_logit_stats stats;
    iol_logits_reduce(ops, vocab, logits, &stats);
    c->target = (int32_t)stats.argmax;
    c->reader = run->readers + source * d;
    c->dots = run->dots + source * m->step_count;
    iol_reader_fill(ops, m, c->target, w->normed, c->reader, &c->bias);
    c->sigma = iol_sigma(ops, m, x);
    c->dot_z = ops->dot_f64(d, x, c->reader);
    c->logit = u_of(c, c->dot_z) + c->bias;
    c->spread = iol_logits_spread(ops, vocab, logits, stats.sum);
    const float *record = run->capture.at[source];
    c->embed = u_of(c, ops->dot_f64(d, record + run->capture.records[source].resid_at, c->reader));
    const float *y = iol_capture_y(&run->capture, source);
    for (size_t s = 0; s < m->step_count; s++) {
        c->dots[s] = ops->dot_f64(d, y + s * d, c->reader);
    }
    if (e->dist) {
        iol_dist_clean(vocab, logits, &stats, c);
        memcpy(run->capture.at[source] + run->capture.records[source].logits_at, logits,
               vocab * sizeof(float));
    }
}

static void finish_clean(struct iol_worker *w, struct iol_block *block, void *user)
{
    struct iol_run *run = user;
    const struct iol_model *m = w->model;
    const size_t d = m->arch.d_model, vocab = m->arch.vocab;
    for (size_t first = 0; first < block->count; first += w->logit_rows) {
        size_t rows = block->count - first < w->logit_rows ? block->count - first : w->logit_rows;
        for (size_t r = 0; r < rows; r++) {
            iol_norm_row(&w->ctx->ops, &m->final_norm, d, block->x + (first + r) * d, w->y + r * d);
        }
        iol_unembed_rows(&w->ctx->ops, rows, w->y, d, &m->unembed, w->logits, vocab, &block->flops);
        for (size_t r = 0; r < rows; r++) {
            size_t source = block->streams[first + r].tag;
            read_clean(w, run, source, block->x + (first + r) * d, w->logits + r * vocab);
        }
    }
}

static void clean_stream(struct iol_run *run, size_t source, struct iol_stream *out)
{
    const struct iol_experiment *e = run->experiment;
    const struct iol_record *r = &run->capture.records[source];
    float *record = run->capture.at[source];
    *out = (struct iol_stream){
        .tokens = e->prompts[source].tokens,
        .shape = {.length = e->prompts[source].count, .end = e->model->step_count},
        .tag = source,
        .own_kv = record,
        .kv_floats = r->kv_floats,
        .kv_length = e->prompts[source].count,
        .edit_step = SIZE_MAX,
        .edit_head = IOL_WHOLE,
        .out_y = iol_capture_y(&run->capture, source),
        .out_z = iol_capture_z(&run->capture, source),
        .out_resid = record + r->resid_at,
        .out_resid_rows = r->logits_at > r->rows_at ? record + r->rows_at : NULL,
    };
}

/* One group: all its rows pass a step together. */
static enum iol_status capture_group(struct iol_run *run, const size_t *sources, size_t count,
                                     uint64_t *flops)
{
    enum iol_status status = IOL_OK;
    const struct iol_experiment *e = run->experiment;
    struct iol_clean_blocks blocks = {0};
    struct iol_stream *streams = iol_alloc(count, sizeof *streams);
    if (!streams) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %zu prompts", count);
        goto out;
    }
    IOL_TRY(iol_capture_bring(&run->capture, sources, count, false));
    for (size_t i = 0; i < count; i++) {
        clean_stream(run, sources[i], &streams[i]);
    }
    IOL_TRY(iol_clean_blocks_open(e->model, &run->plan.geometry, run->threads, streams, count,
                                  &blocks));
    IOL_TRY(iol_walk(run->team, run->workers, blocks.blocks, blocks.block_count, NULL, finish_clean,
                     run));
    for (size_t b = 0; b < blocks.block_count; b++) {
        *flops += blocks.blocks[b].flops;
    }
    IOL_TRY(iol_capture_flush(&run->capture, sources, count));
out:
    iol_clean_blocks_close(&blocks);
    iol_free(streams);
    return status;
}

enum iol_status iol_run_capture(struct iol_run *run, const size_t *sources, size_t count,
                                uint64_t *out_flops)
{
    enum iol_status status = IOL_OK;
    double begin = iol_seconds(), spilled = run->capture.spill_seconds;
    struct iol_cost cost = iol_plan_capture(run->experiment, sources, count, 1);
    *out_flops = 0;
    for (size_t i = 0; i < count; i += run->plan.group) {
        size_t n = count - i < run->plan.group ? count - i : run->plan.group;
        IOL_TRY(capture_group(run, sources + i, n, out_flops));
        if (!iol_run_tell(run, "capture", i + n, count, 0, iol_seconds() - begin,
                          (double)*out_flops, (double)cost.flops)) {
            status = iol_fail(IOL_E_STOPPED, "stopped in the capture, before anything was stored");
            goto out;
        }
    }
out:
    run->bill.capture.seconds += iol_seconds() - begin - (run->capture.spill_seconds - spilled);
    return status;
}

/* --- means and norms --- */

const float *iol_run_value(const struct iol_run *run, const struct iol_site *site, size_t source)
{
    const struct iol_arch *a = &run->experiment->model->arch;
    if (site->type == IOL_SITE_HEAD) {
        return iol_capture_z(&run->capture, source) +
               (site->layer * a->heads + site->head) * a->head_dim;
    }
    return iol_capture_y(&run->capture, source) + iol_site_sublayer(site) * a->d_model;
}

/* f64 sums over the prompts ascending, divided, rounded to f32 once. */
static void mean_value(struct iol_run *run, size_t index, double *sums)
{
    const struct iol_site *site = &run->experiment->sites[index];
    const size_t width = iol_site_width(&run->experiment->model->arch, site);
    float *mean = run->means + index * run->experiment->model->arch.d_model;
    memset(sums, 0, width * sizeof *sums);
    for (size_t p = 0; p < run->count; p++) {
        const float *value = iol_run_value(run, site, run->sources[p]);
        for (size_t i = 0; i < width; i++) {
            sums[i] += (double)value[i];
        }
    }
    for (size_t i = 0; i < width; i++) {
        mean[i] = (float)(sums[i] / (double)run->count);
    }
}

/* L2 norm of what a head's z adds to the residual stream. */
static double contribution_norm(struct iol_worker *w, const struct iol_site *site, const float *z,
                                uint64_t *flops)
{
    const struct iol_arch *a = &w->model->arch;
    const struct iol_gemm_part part = {
        .k_begin = site->head * a->head_dim, .k_end = (site->head + 1) * a->head_dim, .no_bias = 1};
    iol_gemm_block(&w->ctx->ops, 1, z, a->head_dim, &w->model->steps[2 * site->layer].o, &part,
                   w->y, a->d_model, flops);
    return iol_norm2(&w->ctx->ops, a->d_model, w->y);
}

struct head_norms {
    struct iol_run *run;
    _Atomic uint64_t flops;
};

/* The norms of one prompt's heads. */
static void prompt_head_norms(void *user, size_t p, size_t worker)
{
    struct head_norms *all = user;
    struct iol_run *run = all->run;
    const struct iol_experiment *e = run->experiment;
    const struct iol_arch *a = &e->model->arch;
    const size_t source = run->sources[p];
    uint64_t flops = 0;
    for (size_t i = 0; i < e->site_count; i++) {
        const struct iol_site *site = &e->sites[i];
        if (site->type == IOL_SITE_HEAD) {
            run->head_norms[(source * a->layers + site->layer) * a->heads + site->head] =
                contribution_norm(&run->workers[worker], site, iol_run_value(run, site, source),
                                  &flops);
        }
    }
    atomic_fetch_add(&all->flops, flops);
}

enum iol_status iol_run_values(struct iol_run *run, uint64_t *flops)
{
    const struct iol_experiment *e = run->experiment;
    const struct iol_arch *a = &e->model->arch;
    double begin = iol_seconds();
    double *sums = iol_alloc(a->d_model, sizeof *sums);
    if (!sums) {
        return iol_fail(IOL_E_NOMEM, "out of memory: a mean");
    }
    struct iol_fpmode mode = iol_fpmode_enter();
    struct iol_worker *w = &run->workers[0];
    for (size_t i = 0; i < e->pair_count; i++) {
        if (e->kinds[e->pairs[i].kind].kind->source != IOL_VALUE_MEAN) {
            continue;
        }
        size_t index = e->pairs[i].site;
        mean_value(run, index, sums);
        const float *mean = run->means + index * a->d_model;
        run->mean_norms[index] = e->sites[index].type == IOL_SITE_HEAD
                                     ? contribution_norm(w, &e->sites[index], mean, flops)
                                     : iol_norm2(&w->ctx->ops, a->d_model, mean);
    }
    iol_fpmode_leave(mode);
    struct head_norms norms = {.run = run};
    if (e->any_head) {
        iol_team_run(run->team, run->count, prompt_head_norms, &norms);
    }
    *flops += atomic_load(&norms.flops);
    iol_free(sums);
    run->bill.capture.seconds += iol_seconds() - begin;
    return IOL_OK;
}
