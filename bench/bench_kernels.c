/* Every row of kernels/registry.def that this machine runs: how fast one call is on data in cache.
 *
 * What a call of an op means is one struct kernel_op, named after the op, so that an op without one
 * does not link; a new row of an op that is here needs no edit.
 *
 * FLOPs are counted as the comments of ops.h write them: an addition, a multiplication, a division,
 * an exponential, a logarithm and an error function are one each, an FMA is two. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_cases.h"
#include "measure.h"
#include "panel_layout.h"

enum { SIZES = 3, ARRAYS = 5, CASES = 3, ARRAY_FLOATS = 1 << 17 };

typedef void any_fn(void); /* a kernel of any op */

struct kernel_op {
    const char *names[SIZES]; /* of the sizes, NULL after the last */
    size_t sizes[CASES][SIZES];
    void (*call)(any_fn *fn, const size_t *s, float *const *p);
    double (*flops)(const size_t *s);
    double (*bytes)(const size_t *s); /* read + written */
};

#define OP(op, dtype)   static const struct kernel_op op_##op##_##dtype
#define CALL(op, dtype) ((iolk_##op##_##dtype##_fn *)fn)

/* --- products -----------------------------------------------------------------------------------
 */

static void gemm_call(any_fn *fn, const size_t *s, float *const *p)
{
    CALL(gemm, f32)(s[0], s[1], s[2], p[0], s[2], p[1], IOLK_NR, NULL, 0, p[2], IOLK_NR, NULL);
}
static double gemm_flops(const size_t *s)
{
    return 2.0 * (double)s[0] * (double)s[1] * (double)s[2];
}
static double gemm_bytes(const size_t *s)
{
    return 4.0 * (double)(s[0] * s[2] + s[1] * s[2] + s[0] * s[1]);
}
OP(gemm, f32) = {{"m", "n", "k"},
                 {{IOLK_MR, IOLK_NR, 96}, {IOLK_MR, IOLK_NR, 768}, {1, IOLK_NR, 768}},
                 gemm_call,
                 gemm_flops,
                 gemm_bytes};

static void panels_call(any_fn *fn, const size_t *s, float *const *p)
{
    CALL(panels, f32)
    (s[0], s[1], s[2], p[0], s[2], p[1], s[2] * IOLK_NR, NULL, 0, p[2], s[1] * IOLK_NR);
}
static double panels_flops(const size_t *s)
{
    return 2.0 * (double)(s[0] * s[1] * IOLK_NR * s[2]);
}
static double panels_bytes(const size_t *s)
{
    return 4.0 * (double)(s[0] * s[2] + s[1] * IOLK_NR * (s[2] + s[0]));
}
OP(panels, f32) = {{"m", "panels", "k"},
                   {{1, 8, 96}, {2, 4, 192}, {4, 2, 384}},
                   panels_call,
                   panels_flops,
                   panels_bytes};

/* Arrays: 4 is any panel. */
static double widened_flops(const size_t *s)
{
    return 2.0 * (double)s[0] * (double)s[1] * (double)s[2];
}
static double widen_flops(const size_t *s)
{
    return (double)s[0] * (double)IOLK_NR;
}
#define WIDENED(dtype)                                                                             \
    static void gemm_##dtype##_call(any_fn *fn, const size_t *s, float *const *p)                  \
    {                                                                                              \
        CALL(gemm, dtype)                                                                          \
        (s[0], s[1], 0, s[2], p[0], s[2], p[4], 0, 0, NULL, 0, p[2], IOLK_NR, NULL);               \
    }                                                                                              \
    static double gemm_##dtype##_bytes(const size_t *s)                                            \
    {                                                                                              \
        return 4.0 * (double)(s[0] * s[2] + s[0] * s[1]) + (double)iolk_panel_bytes_##dtype(s[2]); \
    }                                                                                              \
    static void widen_##dtype##_call(any_fn *fn, const size_t *s, float *const *p)                 \
    {                                                                                              \
        CALL(widen, dtype)(0, s[0], p[4], p[2]);                                                   \
    }                                                                                              \
    static double widen_##dtype##_bytes(const size_t *s)                                           \
    {                                                                                              \
        return 4.0 * (double)(s[0] * IOLK_NR) + (double)iolk_panel_bytes_##dtype(s[0]);            \
    }                                                                                              \
    OP(gemm, dtype) = {{"m", "n", "k"},                                                            \
                       {{1, IOLK_NR, 768}, {2, IOLK_NR, 768}, {IOLK_WIDE_MR, IOLK_NR, 768}},       \
                       gemm_##dtype##_call,                                                        \
                       widened_flops,                                                              \
                       gemm_##dtype##_bytes};                                                      \
    OP(widen, dtype) = {                                                                           \
        {"k"}, {{96}, {256}, {768}}, widen_##dtype##_call, widen_flops, widen_##dtype##_bytes};
WIDENED(bf16)
WIDENED(f16)
WIDENED(q80)
WIDENED(q40)
WIDENED(q41)
WIDENED(q4k)

static void chains_call(any_fn *fn, const size_t *s, float *const *p)
{
    CALL(chains, f32)(s[0], s[1], p[0], s[1], p[1], s[1], p[2]);
}
static double chains_flops(const size_t *s)
{
    return 2.0 * (double)s[0] * (double)s[1];
}
static double chains_bytes(const size_t *s)
{
    return 4.0 * (double)(2 * s[0] * s[1] + s[0]);
}
OP(chains,
   f32) = {{"m", "n"}, {{8, 32}, {8, 64}, {8, 128}}, chains_call, chains_flops, chains_bytes};

/* A tile of the causal form that begins at key `first`, heads of `n`. */
static void mix_call(any_fn *fn, const size_t *s, float *const *p)
{
    static const float factor[IOLK_MR] = {1, 1, 1, 1, 1, 1, 1, 1};
    const size_t ld_e = s[2] + IOLK_MR;
    for (size_t c = 0; c < s[1]; c += IOLK_NR) {
        const size_t n = s[1] - c < IOLK_NR ? s[1] - c : IOLK_NR;
        CALL(mix, f32)(s[0], n, s[2], p[0], ld_e, p[1] + c, s[1], factor, 0, p[2] + c, s[1]);
    }
}
static double mix_flops(const size_t *s)
{
    return (double)s[1] * (double)(2 * s[0] * s[2] + s[0] * (s[0] - 1) + s[0]);
}
static double mix_bytes(const size_t *s)
{
    return 4.0 * (double)s[1] * (double)(s[0] + s[2] + s[0] - 1);
}
OP(mix, f32) = {
    {"m", "n", "first"}, {{8, 64, 1}, {8, 128, 9}, {8, 64, 121}}, mix_call, mix_flops, mix_bytes};

/* The own keys of a tile of branches. */
static void tail_call(any_fn *fn, const size_t *s, float *const *p)
{
    static const float factor[IOLK_MR] = {1, 1, 1, 1, 1, 1, 1, 1};
    CALL(tail, f32)(s[0], s[1], p[0], 1, p[1], s[1], factor, p[2], s[1]);
}
static double tail_flops(const size_t *s)
{
    return 3.0 * (double)s[0] * (double)s[1];
}
static double tail_bytes(const size_t *s)
{
    return 12.0 * (double)s[0] * (double)s[1];
}
OP(tail, f32) = {{"m", "n"}, {{8, 32}, {8, 64}, {8, 128}}, tail_call, tail_flops, tail_bytes};

static void fma_call(any_fn *fn, const size_t *s, float *const *p)
{
    CALL(fma, f32)(s[0], 1e-3F, 1e-3F, p[2]);
}
static double fma_flops(const size_t *s)
{
    return 2.0 * IOLK_FMA_CHAINS * (double)s[0];
}
static double fma_bytes(const size_t *s)
{
    (void)s;
    return 8.0 * IOLK_FMA_CHAINS;
}
OP(fma, f32) = {{"steps"}, {{96}, {768}, {3072}}, fma_call, fma_flops, fma_bytes};

/* --- over n elements ----------------------------------------------------------------------------
 * VECTOR(op, dtype, FLOPs and arrays moved per element, sizes..., how to call) */

#define VECTOR_SIZES                                                                               \
    {                                                                                              \
        {768}, {3072},                                                                             \
        {                                                                                          \
            50257                                                                                  \
        }                                                                                          \
    }
#define VECTOR(op, dtype, flops_each, arrays_each, ...)                                            \
    static void op##_call(any_fn *fn, const size_t *s, float *const *p)                            \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }                                                                                              \
    static double op##_flops(const size_t *s)                                                      \
    {                                                                                              \
        return flops_each * (double)s[0];                                                          \
    }                                                                                              \
    static double op##_bytes(const size_t *s)                                                      \
    {                                                                                              \
        return arrays_each * 4.0 * (double)s[0];                                                   \
    }                                                                                              \
    OP(op, dtype) = {{"n"}, VECTOR_SIZES, op##_call, op##_flops, op##_bytes};

/* Arrays: 0 and 1 are data, 2 and 3 are written. */
static volatile double sink;

VECTOR(add, f32, 1.0, 3.0, CALL(add, f32)(s[0], p[0], p[1], p[2]))
VECTOR(softmax, f32, 5.0, 2.0, CALL(softmax, f32)(1, s[0], 0, 0.125F, p[2], s[0], p[3]))
VECTOR(sumexp, f32, 3.0, 1.0, CALL(sumexp, f32)(s[0], p[0], p[2], p[3]))
VECTOR(exp, f32, 1.0, 2.0, CALL(exp, f32)(s[0], p[0], p[2]))
VECTOR(silu_mul, f32, 4.0, 3.0, CALL(silu_mul, f32)(s[0], p[0], p[1], p[2]))
VECTOR(gelu_tanh, f32, 7.0, 2.0, CALL(gelu_tanh, f32)(s[0], p[0], p[2]))
VECTOR(gelu_erf, f32, 5.0, 2.0, CALL(gelu_erf, f32)(s[0], p[0], p[2]))
VECTOR(dot, f64, 2.0, 3.0, sink = CALL(dot, f64)(s[0], p[0], (const double *)(const void *)p[3]))
VECTOR(sum, f64, 1.0, 1.0, sink = CALL(sum, f64)(s[0], p[0]))
VECTOR(ssq, f64, 3.0, 1.0, sink = CALL(ssq, f64)(s[0], p[0], 0.01))
VECTOR(kl, f64, 8.0, 2.0, sink = CALL(kl, f64)(s[0], p[0], 9.0, p[1], 9.0))

/* --- over m rows of n elements ------------------------------------------------------------------
 * MATRIX(op, FLOPs per element, arrays of m rows and of one row moved, how to call) */

#define MATRIX(op, flops_each, arrays_each, vectors, ...)                                          \
    static void op##_call(any_fn *fn, const size_t *s, float *const *p)                            \
    {                                                                                              \
        const size_t m = s[0], n = s[1];                                                           \
        __VA_ARGS__;                                                                               \
    }                                                                                              \
    static double op##_flops(const size_t *s)                                                      \
    {                                                                                              \
        return flops_each * (double)(s[0] * s[1]);                                                 \
    }                                                                                              \
    static double op##_bytes(const size_t *s)                                                      \
    {                                                                                              \
        return 4.0 * (arrays_each * (double)s[0] + vectors) * (double)s[1];                        \
    }                                                                                              \
    OP(op, f32) = {{"m", "n"}, {{1, 768}, {4, 768}, {32, 768}}, op##_call, op##_flops, op##_bytes};

/* x of the fused norms, p[3], grows by p[0] with every call: slowly enough for f32. */
MATRIX(rmsnorm, 4.0, 2.0, 1.0, CALL(rmsnorm, f32)(m, n, p[0], n, p[1], 1e-5F, p[2], n))
MATRIX(layernorm, 7.0, 2.0, 2.0, CALL(layernorm, f32)(m, n, p[0], n, p[1], p[3], 1e-5F, p[2], n))
MATRIX(add_rmsnorm, 5.0, 4.0, 1.0,
       CALL(add_rmsnorm, f32)(m, n, p[3], n, p[0], n, p[1], 1e-5F, p[2], n))
MATRIX(add_layernorm, 8.0, 4.0, 2.0,
       CALL(add_layernorm, f32)(m, n, p[3], n, p[0], n, p[1], p[1], 1e-5F, p[2], n))
MATRIX(bias_gelu_tanh, 8.0, 2.0, 1.0, CALL(bias_gelu_tanh, f32)(m, n, p[0], n, p[1], p[2], n))
MATRIX(bias_gelu_erf, 6.0, 2.0, 1.0, CALL(bias_gelu_erf, f32)(m, n, p[0], n, p[1], p[2], n))

static void rope_call(any_fn *fn, const size_t *s, float *const *p)
{
    CALL(rope, f32)(s[0], s[1], s[2], p[2], 2 * s[1] * s[2], p[0], p[1], s[2]);
}
static double rope_flops(const size_t *s)
{
    return 6.0 * (double)(s[0] * s[1] * s[2]);
}
static double rope_bytes(const size_t *s)
{
    return 4.0 * (double)(s[0] * (4 * s[1] * s[2] + 2 * s[2]));
}
OP(rope, f32) = {{"m", "heads", "half"},
                 {{1, 12, 32}, {4, 9, 32}, {4, 12, 32}},
                 rope_call,
                 rope_flops,
                 rope_bytes};

static const struct kernel_op *const ops[IOLK_OP_COUNT] = {
#define O(op, dtype) &op_##op##_##dtype,
    IOLK_OPS(O)
#undef O
};

/* --- rows of the registry -----------------------------------------------------------------------
 */

struct kernel_row {
    enum iolk_op op;
    enum iolk_isa isa;
    any_fn *fn;
};

enum {
#define ISA(name, UPPER, folder, flags, needs) isa_of_##name = IOLK_ISA_##UPPER,
#include "isa.def"
#undef ISA
};

static const struct kernel_row rows[] = {
#define KERNEL(op, dtype, isa)                                                                     \
    {IOLK_OP_##op##_##dtype, (enum iolk_isa)isa_of_##isa, (any_fn *)iolk_##op##_##dtype##_##isa},
#include "registry.def"
#undef KERNEL
};
enum { ROWS = sizeof rows / sizeof *rows };

struct kernel_case {
    const struct kernel_row *row;
    const size_t *sizes;
};

struct kernel_call {
    const struct kernel_case *c;
    float *arrays[ARRAYS];
};

static void call_once(void *user)
{
    const struct kernel_call *call = user;
    ops[call->c->row->op]->call(call->c->row->fn, call->c->sizes, call->arrays);
}

/* 0: cosines, 1: sines (or any data in -1..1), 2: the same data, 3: doubles in -1..1, 4: a
 * panel. */
static void fill(float *const *p)
{
    for (size_t i = 0; i < 2; i++) {
        bench_fill(p[i], ARRAY_FLOATS, i + 1);
    }
    for (size_t i = 0; i < ARRAY_FLOATS; i++) {
        p[0][i] = p[0][i] * 0.7F + 0.01F; /* with the next: about rotations, |x| stays bounded */
        p[1][i] = p[1][i] * 0.7F - 0.02F;
        p[2][i] = p[1][i];
    }
    for (size_t i = 0; i < ARRAY_FLOATS / 2; i++) {
        ((double *)(void *)p[3])[i] = (double)p[0][i];
    }
    memset(p[4], 0x3c, ARRAY_FLOATS * sizeof(float)); /* scales and weights of every dtype */
}

static void run_kernel(struct bench_state *state, const void *user)
{
    struct kernel_call call = {.c = user};
    const struct kernel_row *row = call.c->row;
    for (size_t i = 0; i < ARRAYS; i++) {
        call.arrays[i] = bench_floats(ARRAY_FLOATS);
    }
    fill(call.arrays);
    const struct kernel_op *op = ops[row->op];
    struct bench_work work = {op->flops(call.c->sizes), op->bytes(call.c->sizes), 1, row->isa};
    bench_time(state, call_once, &call, &work);
    for (size_t i = 0; i < ARRAYS; i++) {
        free(call.arrays[i]);
    }
}

void bench_register_kernels(void)
{
    static struct kernel_case cases[ROWS * CASES];
    for (size_t r = 0; r < ROWS; r++) {
        if (!(bench_machine()->mask >> rows[r].isa & 1U)) {
            continue;
        }
        for (size_t i = 0; i < CASES; i++) {
            struct kernel_case *c = &cases[r * CASES + i];
            const struct kernel_op *op = ops[rows[r].op];
            *c = (struct kernel_case){&rows[r], op->sizes[i]};
            char name[160];
            int used = snprintf(name, sizeof name, "kernel/%s/%s", iolk_op_name(rows[r].op),
                                iolk_isa_name(rows[r].isa));
            for (size_t s = 0; s < SIZES && op->names[s]; s++) {
                used += snprintf(name + used, sizeof name - (size_t)used, "/%s:%zu", op->names[s],
                                 c->sizes[s]);
            }
            bench_register(name, run_kernel, c);
        }
    }
}
