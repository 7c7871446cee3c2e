/* How far fast arithmetic is from exact: clean logits of the first prompts, computed both ways. */
#include <math.h>
#include <string.h>

#include "driver/unembed.h"
#include "schedule/run.h"

enum { PROMPTS = 4 };

struct logits_pass {
    struct iol_stream streams[PROMPTS];
    struct iol_block blocks[PROMPTS];
    float *x[PROMPTS];
    float *out; /* (count, vocab) */
};

static void keep_logits(struct iol_worker *w, struct iol_block *block, void *user)
{
    const struct logits_pass *pass = user;
    const struct iol_model *m = w->model;
    const size_t vocab = m->arch.vocab;
    iol_norm_row(&w->ctx->ops, &m->final_norm, m->arch.d_model, block->x, w->y);
    iol_gemm_block(&w->ctx->ops, 1, w->y, m->arch.d_model, &m->unembed, NULL,
                   pass->out + block->streams->tag * vocab, vocab, &block->flops);
}

/* One clean walk of the first `count` prompts under `ctx`. */
static enum iol_status walk_logits(struct iol_run *run, const struct iol_ctx *ctx, size_t count,
                                   float *out)
{
    enum iol_status status = IOL_OK;
    const struct iol_experiment *e = run->experiment;
    struct logits_pass *pass = iol_alloc(1, sizeof *pass);
    struct iol_worker *workers = iol_alloc(run->threads, sizeof *workers);
    if (!pass || !workers) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: the error of fast arithmetic");
        goto out;
    }
    memcpy(workers, run->workers,
           run->threads * sizeof *workers); /* their arenas, another context */
    for (size_t t = 0; t < run->threads; t++) {
        workers[t].ctx = ctx;
    }
    pass->out = out;
    for (size_t i = 0; i < count; i++) {
        const size_t length = e->prompts[i].count;
        pass->streams[i] =
            (struct iol_stream){.tokens = e->prompts[i].tokens,
                                .tag = i,
                                .shape = {.length = length, .end = e->model->step_count},
                                .edit_step = SIZE_MAX,
                                .edit_head = IOL_WHOLE};
        iol_block_init(e->model, &pass->blocks[i], &pass->streams[i], 1);
        pass->x[i] = iol_alloc(length * run->plan.geometry.d, sizeof *pass->x[i]);
        if (!pass->x[i]) {
            status = iol_fail(IOL_E_NOMEM, "out of memory: the error of fast arithmetic");
            goto out;
        }
        pass->blocks[i].x = pass->x[i];
    }
    IOL_TRY(iol_walk(run->team, workers, pass->blocks, count, NULL, keep_logits, pass));
out:
    for (size_t i = 0; pass && i < count; i++) {
        iol_free(pass->x[i]);
    }
    iol_free(workers);
    iol_free(pass);
    return status;
}

static void compare(const struct iolk_ops *ops, size_t vocab, const float *exact, const float *fast,
                    struct iol_fast_error *error)
{
    struct iol_logit_stats a, b;
    double squares = 0, most = 0;
    iol_logits_reduce(ops, vocab, exact, &a);
    iol_logits_reduce(ops, vocab, fast, &b);
    const double spread = iol_logits_spread(ops, vocab, exact, a.sum);
    for (size_t i = 0; i < vocab; i++) {
        const double d = ((double)fast[i] - (double)exact[i]) / spread;
        squares += d * d;
        most = fmax(most, fabs(d));
    }
    error->rms += squares / (double)vocab;
    error->max = fmax(error->max, most);
    error->same_targets += a.argmax == b.argmax;
}

enum iol_status iol_run_fast_error(struct iol_run *run, struct iol_fast_error *out_error)
{
    enum iol_status status = IOL_OK;
    const struct iol_experiment *e = run->experiment;
    const size_t vocab = e->model->arch.vocab,
                 count = e->prompt_count < PROMPTS ? e->prompt_count : PROMPTS;
    struct iol_ctx exact = *e->ctx;
    float *logits = iol_alloc(2 * count * vocab, sizeof *logits);
    *out_error = (struct iol_fast_error){.prompts = count};
    exact.ops.fast = NULL;
    if (!logits) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: the error of fast arithmetic");
        goto out;
    }
    IOL_TRY(walk_logits(run, &exact, count, logits));
    IOL_TRY(walk_logits(run, e->ctx, count, logits + count * vocab));
    for (size_t i = 0; i < count; i++) {
        compare(&exact.ops, vocab, logits + i * vocab, logits + (count + i) * vocab, out_error);
    }
    out_error->rms = sqrt(out_error->rms / (double)count);
out:
    iol_free(logits);
    return status;
}
