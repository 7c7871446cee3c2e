#include "bench_prefill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/gemm_team.h"
#include "iolaus/context.h"
#include "measure.h"
#include "schedule/cost.h"
#include "schedule/walk.h"

struct prefill {
    struct iol_ctx *ctx;
    struct iol_model *model;
    struct iol_geometry geometry;
    struct iol_worker *workers;
    struct iol_team *team;
    size_t threads, count;
    int32_t *tokens;
    float *cos, *sin, *kv, *last, *logits; /* last: the final position after the final norm */
};

void prefill_close(struct prefill *p)
{
    if (!p) {
        return;
    }
    for (size_t t = 0; p->workers && t < p->threads; t++) {
        iol_worker_close(&p->workers[t]);
    }
    iol_team_close(p->team);
    iol_free(p->workers);
    iol_free(p->tokens);
    iol_free(p->cos);
    iol_free(p->sin);
    iol_free(p->kv);
    iol_free(p->last);
    iol_free(p->logits);
    iol_model_close(p->model);
    iol_ctx_close(p->ctx);
    iol_free(p);
}

static enum iol_status open_buffers(struct prefill *p)
{
    enum iol_status status = IOL_OK;
    const struct iol_arch *a = &p->model->arch;
    const size_t table = p->count * (a->head_dim / 2);
    p->cos = iol_alloc(table, sizeof *p->cos);
    p->sin = iol_alloc(table, sizeof *p->sin);
    p->kv = iol_alloc(a->layers * 2 * p->count * a->kv_heads * a->head_dim, sizeof *p->kv);
    p->last = iol_alloc(a->d_model, sizeof *p->last);
    p->logits = iol_alloc(a->vocab, sizeof *p->logits);
    p->workers = iol_alloc(p->threads, sizeof *p->workers);
    p->team = iol_team_open(p->threads);
    if (!p->team || !p->cos || !p->sin || !p->kv || !p->last || !p->logits || !p->workers) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: a prefill of %zu tokens", p->count);
        goto out;
    }
    const bool rope = a->rope.kind != IOL_ROPE_NONE;
    if (rope) {
        iol_rope_table(a, p->count, p->cos, p->sin);
    }
    for (size_t t = 0; t < p->threads; t++) {
        IOL_TRY(iol_worker_open(p->ctx, p->model, &p->geometry, 0, rope ? p->cos : NULL,
                                rope ? p->sin : NULL, &p->workers[t]));
    }
out:
    return status;
}

static enum iol_status check_tokens(const struct prefill *p, const char *folder)
{
    const struct iol_arch *a = &p->model->arch;
    if (p->count == 0 || p->count > a->context) {
        return iol_fail(IOL_E_LIMIT, "%s: a prompt of %zu tokens, expected 1 to %zu", folder,
                        p->count, a->context);
    }
    for (size_t i = 0; i < p->count; i++) {
        if (p->tokens[i] < 0 || (size_t)p->tokens[i] >= a->vocab) {
            return iol_fail(IOL_E_LIMIT, "%s: token %zu is %d, expected 0 to %zu", folder, i,
                            (int)p->tokens[i], a->vocab - 1);
        }
    }
    return IOL_OK;
}

enum iol_status prefill_open(const char *folder, const int32_t *tokens, size_t count,
                             size_t threads, struct prefill **out)
{
    enum iol_status status = IOL_OK;
    struct iol_ctx_settings settings;
    struct prefill *p = iol_alloc(1, sizeof *p);
    *out = NULL;
    if (!p) {
        return iol_fail(IOL_E_NOMEM, "out of memory: a prefill");
    }
    iol_ctx_settings_default(&settings);
    settings.threads = threads;
    settings.isa = getenv("IOL_ISA");
    p->threads = threads;
    p->count = count;
    IOL_TRY(iol_ctx_open(&settings, &p->ctx));
    IOL_TRY(iol_model_open(p->ctx, folder, &p->model));
    p->tokens = iol_alloc(count, sizeof *p->tokens);
    if (!p->tokens) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %zu tokens", count);
        goto out;
    }
    memcpy(p->tokens, tokens, count * sizeof *tokens);
    IOL_TRY(check_tokens(p, folder));
    iol_geometry_fill(p->ctx, p->model, count, &p->geometry);
    IOL_TRY(open_buffers(p));
    *out = p;
    p = NULL;
out:
    prefill_close(p);
    return status;
}

/* The final norm of the prompt's last row; the logits follow on all threads. */
static void keep_last(struct iol_worker *w, struct iol_block *block, void *user)
{
    struct prefill *p = user;
    const struct iol_model *m = p->model;
    iol_norm_row(&w->ctx->ops, &m->final_norm, m->arch.d_model, block->x, p->last);
}

void prefill_run(void *prefill)
{
    struct prefill *p = prefill;
    const struct iol_model *m = p->model;
    const struct iol_arch *a = &m->arch;
    struct iol_clean_blocks blocks;
    const struct iol_stream stream = {
        .tokens = p->tokens,
        .shape = {.length = p->count, .end = m->step_count},
        .own_kv = p->kv,
        .kv_floats = 2 * p->count * a->kv_heads * a->head_dim,
        .kv_length = p->count,
        .edit_step = SIZE_MAX,
        .edit_head = IOL_WHOLE,
    };
    if (iol_clean_blocks_open(m, &p->geometry, p->threads, &stream, 1, &blocks) != IOL_OK ||
        iol_walk(p->team, p->workers, blocks.blocks, blocks.block_count, NULL, keep_last, p) !=
            IOL_OK) {
        fprintf(stderr, "iolaus_bench: %s\n", iol_error());
        exit(2);
    }
    iol_clean_blocks_close(&blocks);
    uint64_t flops = 0;
    iol_gemm_team(p->team, &p->ctx->ops, 1, p->last, a->d_model, &m->unembed, NULL, p->logits,
                  a->vocab, &flops);
}

size_t prefill_vocabulary(const struct prefill *prefill)
{
    return prefill->model->arch.vocab;
}

const float *prefill_logits(const struct prefill *prefill)
{
    return prefill->logits;
}

double prefill_flops(const struct prefill *prefill)
{
    const struct iol_model *m = prefill->model;
    const struct iol_stream_shape shape = {.length = prefill->count, .end = m->step_count};
    return (double)(iol_cost_stream(m, &shape).flops + iol_cost_unembed(m).flops);
}
