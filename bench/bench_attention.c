/* Attention through the driver: causal prefill, and branches of one prompt against its clean keys.
 */
#include "bench_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_cases.h"

size_t attention_heads(const struct attention_shape *shape)
{
    return 12 % shape->group ? 16 : 12;
}

/* K as K^T of each head, columns ld_kt apart, becomes the panels of the driver. */
static void write_keys(const struct iol_heads *heads, const float *transposed, size_t ld_kt,
                       size_t keys, float *kt)
{
    const size_t width = heads->kv_heads * heads->head_dim;
    float *row = bench_floats(width);
    for (size_t j = 0; j < keys; j++) {
        for (size_t i = 0; i < width; i++) {
            row[i] = transposed[i * ld_kt + j];
        }
        iol_keys_transpose(heads, 1, row, width, j, kt, ld_kt);
    }
    free(row);
}

/* V drawn position by position, left head by head, as the walk keeps it. */
static void write_values(const struct iol_heads *heads, size_t keys, float *v)
{
    const size_t d = heads->head_dim, width = heads->kv_heads * d;
    float *rows = bench_floats(keys * width);
    bench_fill(rows, keys * width, 3);
    for (size_t j = 0; j < keys; j++) {
        for (size_t g = 0; g < heads->kv_heads; g++) {
            memcpy(v + (g * keys + j) * d, rows + j * width + g * d, d * sizeof(float));
        }
    }
    free(rows);
}

void attention_open(const struct attention_shape *shape, size_t threads, struct attention_call *out)
{
    const size_t d = shape->head_dim, t = shape->keys, heads = attention_heads(shape);
    const size_t kv_heads = heads / shape->group, width = heads * d, kv_width = kv_heads * d;
    const size_t rows = shape->branches ? shape->branches : t;
    const size_t ld_kt = (t + IOLK_LANES - 1) / IOLK_LANES * IOLK_LANES;
    *out = (struct attention_call){.shape = *shape,
                                   .heads = {heads, kv_heads, d, 1.0F / sqrtf((float)d)}};
    out->q = bench_floats(rows * width);
    bench_fill(out->q, rows * width, 1);
    out->z = bench_floats(rows * width);
    out->kt = bench_floats(kv_width * ld_kt);
    float *transposed = bench_floats(kv_width * ld_kt);
    bench_fill(transposed, kv_width * ld_kt, 2);
    write_keys(&out->heads, transposed, ld_kt, t, out->kt);
    free(transposed);
    out->v = bench_floats(t * kv_width);
    write_values(&out->heads, t, out->v);
    out->keys = (struct iol_keys){
        .kt = out->kt, .ld_kt = ld_kt, .v = out->v, .ld_v = d, .v_head = t * d, .count = t};
    out->own = bench_floats(2 * rows * kv_width);
    bench_fill(out->own, 2 * rows * kv_width, 4);
    out->workspace_floats = (iol_attention_workspace(t + 1) + IOLK_LANES) / IOLK_LANES * IOLK_LANES;
    out->workspace = bench_floats(threads * out->workspace_floats);
    out->attention = (struct iol_attention){.ops = &bench_machine()->ops,
                                            .heads = &out->heads,
                                            .shared = shape->branches ? &out->keys : &out->none,
                                            .own = shape->branches ? NULL : &out->keys,
                                            .k = out->own,
                                            .v = out->own + rows * kv_width,
                                            .ld_kv = kv_width,
                                            .rows = rows,
                                            .q = out->q,
                                            .ld_q = width,
                                            .z = out->z,
                                            .ld_z = width};
}

void attention_close(struct attention_call *call)
{
    free(call->q);
    free(call->z);
    free(call->kt);
    free(call->v);
    free(call->own);
    free(call->workspace);
    *call = (struct attention_call){0};
}

static void run_task(void *user, size_t task, size_t worker)
{
    const struct attention_call *call = user;
    iol_attention_task(&call->attention, task, call->workspace + worker * call->workspace_floats);
}

void attention_run(void *user)
{
    struct attention_call *call = user;
    iol_team_run(call->team, iol_attention_tasks(&call->attention), run_task, call);
}

double attention_flops(const struct attention_shape *shape)
{
    const double t = (double)shape->keys, d = (double)shape->head_dim;
    const double pairs = shape->branches ? (double)shape->branches * (t + 1) : t * (t + 1) / 2;
    return 4 * (double)attention_heads(shape) * d * pairs;
}

static void run_attention(struct bench_state *state, const void *user)
{
    const struct attention_shape *shape = user;
    struct attention_call call;
    attention_open(shape, 1, &call);
    if ((double)iol_attention_flops(&call.attention) != attention_flops(shape)) {
        bench_skip(state, "the driver's FLOP count is not that of the allowed keys");
    } else {
        const double d = (double)shape->head_dim, t = (double)shape->keys;
        const double heads = (double)call.heads.heads, kv_heads = (double)call.heads.kv_heads;
        struct bench_work work = {attention_flops(shape),
                                  8 * d * (kv_heads * t + heads * (double)call.attention.rows), 1,
                                  bench_machine()->isa};
        bench_time(state, attention_run, &call, &work);
    }
    attention_close(&call);
}

void bench_register_attention(void)
{
    static const size_t prefill[] = {16, 32, 64, 128, 512, 1024, 4096},
                        dims[] = {32, 48, 64, 80, 96, 128}, groups[] = {1, 3, 4, 8},
                        rows[] = {1, 16, 384, 4096}, keys[] = {16, 128, 512};
    enum { T = 7, D = 6, G = 4, B = 4, K = 3 };
    static struct attention_shape shapes[D * G * (T + B * K)];
    struct attention_shape *next = shapes;
    char name[160];
    for (size_t d = 0; d < (size_t)D * G; d++) {
        for (size_t t = 0; t < T; t++) {
            *next = (struct attention_shape){prefill[t], dims[d / G], 0, groups[d % G]};
            snprintf(name, sizeof name, "attention/causal/t:%zu/d:%zu/gqa:%zu", next->keys,
                     next->head_dim, next->group);
            bench_register(name, run_attention, next++);
        }
        for (size_t i = 0; i < B * K; i++) {
            *next = (struct attention_shape){keys[i % K], dims[d / G], rows[i / K], groups[d % G]};
            snprintf(name, sizeof name, "attention/branches/b:%zu/t:%zu/d:%zu/gqa:%zu",
                     next->branches, next->keys, next->head_dim, next->group);
            bench_register(name, run_attention, next++);
        }
    }
}
