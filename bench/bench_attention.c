/* Attention through the driver: causal prefill, and branches of one prompt against its clean keys.
 */
#include "bench_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_cases.h"

void attention_open(const struct attention_shape *shape, struct attention_call *out)
{
    const size_t d = shape->head_dim, t = shape->keys, width = ATTENTION_HEADS * d;
    const size_t rows = shape->branches ? shape->branches : t;
    *out = (struct attention_call){
        .shape = *shape,
        .heads = {ATTENTION_HEADS, ATTENTION_HEADS, d, 1.0F / sqrtf((float)d)},
        .rows = rows};
    out->q = bench_floats(rows * width);
    out->q_clean = bench_floats(rows * width);
    bench_fill(out->q_clean, rows * width, 1);
    const size_t ld_kt = (t + 15) / 16 * 16;
    out->kt = bench_floats(width * ld_kt);
    bench_fill(out->kt, width * ld_kt, 2);
    out->v = bench_floats(t * width);
    bench_fill(out->v, t * width, 3);
    out->own = bench_floats(2 * rows * width);
    bench_fill(out->own, 2 * rows * width, 4);
    out->workspace = bench_floats(iol_attention_workspace(t + 1));
    out->keys = (struct iol_keys){out->kt, ld_kt, out->v, width, t};
}

void attention_close(struct attention_call *call)
{
    free(call->q);
    free(call->q_clean);
    free(call->kt);
    free(call->v);
    free(call->own);
    free(call->workspace);
    *call = (struct attention_call){0};
}

void attention_run(void *user)
{
    struct attention_call *call = user;
    const struct iolk_ops *ops = &bench_machine()->ops;
    const size_t width = ATTENTION_HEADS * call->heads.head_dim;
    /* The output replaces the queries. The copy is part of the time. */
    memcpy(call->q, call->q_clean, call->rows * width * sizeof(float));
    call->flops = 0;
    if (call->shape.branches) {
        iol_attention_branches(ops, &call->heads, &call->keys, call->own,
                               call->own + call->rows * width, width, call->rows, call->q, width,
                               call->workspace, &call->flops);
    } else {
        struct iol_keys none = {0};
        iol_attention_causal(ops, &call->heads, &none, &call->keys, 0, call->rows, call->q, width,
                             call->workspace, &call->flops);
    }
}

double attention_flops(const struct attention_shape *shape)
{
    const double t = (double)shape->keys, d = (double)shape->head_dim;
    const double pairs = shape->branches ? (double)shape->branches * (t + 1) : t * (t + 1) / 2;
    return 4 * ATTENTION_HEADS * d * pairs;
}

static void run_attention(struct bench_state *state, const void *user)
{
    const struct attention_shape *shape = user;
    struct attention_call call;
    attention_open(shape, &call);
    attention_run(&call);
    if ((double)call.flops != attention_flops(shape)) {
        bench_skip(state, "the driver's FLOP count is not that of the allowed keys");
    } else {
        const double d = (double)shape->head_dim, t = (double)shape->keys;
        struct bench_work work = {attention_flops(shape),
                                  4 * ATTENTION_HEADS * d * (2 * t + 2 * (double)call.rows), 1,
                                  bench_machine()->isa};
        bench_time(state, attention_run, &call, &work);
    }
    attention_close(&call);
}

void bench_register_attention(void)
{
    static const size_t prefill[] = {16, 64, 128, 512, 1024}, dims[] = {32, 64, 128},
                        rows[] = {1, 16, 384}, keys[] = {16, 128, 512};
    enum { T = 5, D = 3, B = 3, K = 3 };
    static struct attention_shape shapes[D * (T + B * K)];
    struct attention_shape *next = shapes;
    char name[160];
    for (size_t d = 0; d < D; d++) {
        for (size_t t = 0; t < T; t++) {
            *next = (struct attention_shape){prefill[t], dims[d], 0};
            snprintf(name, sizeof name, "attention/causal/t:%zu/d:%zu", next->keys, next->head_dim);
            bench_register(name, run_attention, next++);
        }
        for (size_t i = 0; i < B * K; i++) {
            *next = (struct attention_shape){keys[i % K], dims[d], rows[i / K]};
            snprintf(name, sizeof name, "attention/branches/b:%zu/t:%zu/d:%zu", next->branches,
                     next->keys, next->head_dim);
            bench_register(name, run_attention, next++);
        }
    }
}
