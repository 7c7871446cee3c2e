/* The ops: what a micro-kernel of each op computes, and the table through which everything else
 * calls them.
 *
 * Micro-kernels know no threads, no allocation, no globals and no libc. `restrict` arrays never
 * overlap; sizes are elements; nothing outside the described elements is read or written (tests put
 * guard pages around every array). The order of operations is docs/numerics.md; every ISA gives the
 * same bits. L16 and D16 are its reductions over 16 virtual lanes. */
#ifndef IOLK_OPS_H
#define IOLK_OPS_H

#include <stddef.h>
#include <stdint.h>

enum {
    IOLK_MR = 8,               /* rows of a GEMM tile */
    IOLK_NR = 48,              /* columns of a GEMM panel: 3 zmm, 6 ymm, 12 NEON registers */
    IOLK_ROW_NR = 2 * IOLK_NR, /* columns of a single row */
    IOLK_WIDE_MR = 4,          /* rows of a tile whose weights are widened in registers */
    IOLK_WIDE_PANELS = 4,      /* panels of a single row of it */
    IOLK_LANES = 16,           /* virtual lanes of L16 and D16 */
    IOLK_CHUNK = 1024          /* columns of a reduction chunk over the vocabulary */
};

/* What a GEMM prefetches along the way, a hint: `lines` cache lines from `at`, spread over the
 * call; or, where `at` is NULL, B itself further on, by IOLK_STREAM_AHEAD floats (6 KiB), or by a
 * panel if the variant passes B several times. */
struct iolk_fetch {
    const void *at;
    size_t lines;
    int into_l2; /* 0: through L1. Of B itself: L1's misses are few; loads may be shaped by that */
    size_t streams; /* 2 and more: fetch the lines as so many equal parts, from each a few in turn,
                       which memory answers faster than one after the other */
    int far;        /* of B itself: part of a matrix three times as large as L2 and more */
};
enum { IOLK_STREAM_AHEAD = 1536 };

/* C = init + A * B, one FMA chain per element in ascending k.
 *   m >= 1 rows: all that share B, the variant cuts them into tiles; n 1..IOLK_NR columns, up to
 *   IOLK_ROW_NR where m is 1; k >= 0
 *   A (m, k) ld_a      B (k, n) ld_b: a packed panel (ld_b = IOLK_NR) or any row-major matrix
 *   init NULL: chains start from 0; ld_init 0: from init[j] (a bias); else from
 *   init[i * ld_init + j] (may be C itself)      C (m, n) ld_c
 *   fetch: NULL, or memory that will be read soon */
typedef void iolk_gemm_f32_fn(size_t m, size_t n, size_t k, const float *a, size_t ld_a,
                              const float *b, size_t ld_b, const float *init, size_t ld_init,
                              float *c, size_t ld_c, const struct iolk_fetch *fetch);

/* The same for few rows and whole panels (n = 48 panels), which may be read side by side:
 *   m 1..IOLK_SIDE_MR rows, m * panels at most IOLK_MR; k >= 0
 *   b: a packed panel; the next ones panel_floats floats apart      A, init, C: as above */
enum { IOLK_SIDE_MR = 4 };
typedef void iolk_panels_f32_fn(size_t m, size_t panels, size_t k, const float *a, size_t ld_a,
                                const float *b, size_t panel_floats, const float *init,
                                size_t ld_init, float *c, size_t ld_c);

/* The kernels below fetch their own stream so many bytes ahead: narrow weights pass faster than the
 * processor's prefetcher follows. The first ones are the caller's to fetch. */
enum { IOLK_PANEL_AHEAD = 4096 };
/* How, a hint: through L1; into L2; not at all. */
enum iolk_panel_fetch { IOLK_FETCH_L1, IOLK_FETCH_L2, IOLK_FETCH_NONE };
/* The same over weights that stay as published: bf16, f16, and ggml's Q8_0, Q4_0, Q4_1, Q4_K as
 * q80, q40, q41, q4k. Each weight is widened in registers, which is exact but for the last addition
 * of q41 and q4k (panel_layout.h), then c = fma(a, w, c) for k0 <= k < k1.
 *   m 1..IOLK_WIDE_MR rows, n 1..IOLK_NR columns; a single row that keeps no weights: up to
 *   IOLK_WIDE_PANELS panels of columns, panel_bytes apart
 *   A (m, k1 - k0) ld_a: its column 0 belongs to k0
 *   panel: one whole panel, from k = 0 (panel_layout.h)      init, C: as in gemm_f32
 *   widened: NULL; or (k1 - k0, IOLK_NR), where the weights of all 48 columns go too, for other
 *   rows: the stores hide behind the products. */
typedef void iolk_gemm_widened_fn(size_t m, size_t n, size_t k0, size_t k1, const float *a,
                                  size_t ld_a, const void *panel, size_t panel_bytes,
                                  enum iolk_panel_fetch fetch, const float *init, size_t ld_init,
                                  float *c, size_t ld_c, float *restrict widened);
typedef iolk_gemm_widened_fn iolk_gemm_bf16_fn, iolk_gemm_f16_fn, iolk_gemm_q80_fn,
    iolk_gemm_q40_fn, iolk_gemm_q41_fn, iolk_gemm_q4k_fn;
/* Steps k0 .. k1 of such a panel as f32: out (k1 - k0, IOLK_NR), a piece of an f32 panel. */
typedef void iolk_widen_fn(size_t k0, size_t k1, const void *restrict panel, float *restrict out);
typedef iolk_widen_fn iolk_widen_bf16_fn, iolk_widen_f16_fn, iolk_widen_q80_fn, iolk_widen_q40_fn,
    iolk_widen_q41_fn, iolk_widen_q4k_fn;

/* out[i] = chain over j ascending of fma(q[i][j], k[i][j], .) from 0; q (m, n) ld_q, k (m, n) ld_k
 * (0: one k for all rows). m independent chains. */
typedef void iolk_chains_f32_fn(size_t m, size_t n, const float *restrict q, size_t ld_q,
                                const float *restrict k, size_t ld_k, float *restrict out);

/* The machine's FMA peak: `steps` times y[i] = fma(a, b, y[i]), as independent chains that stay in
 * registers. y (IOLK_FMA_CHAINS) */
enum { IOLK_FMA_CHAINS = 192 };
typedef void iolk_fma_f32_fn(size_t steps, float a, float b, float *y);
/* y[i] = x[i] + c[i]; y may be x */
typedef void iolk_add_f32_fn(size_t n, const float *x, const float *c, float *y);

/* Rows of scores, ld apart, row r of n + r * step elements: scores[i] = expf(scores[i] * scale -
 * m), m = max over i of scores[i] * scale; out_rcp[r] = 1 / L16(scores). m 1..IOLK_MR rows, n >= 1.
 */
typedef void iolk_softmax_f32_fn(size_t m, size_t n, size_t step, float scale,
                                 float *restrict scores, size_t ld, float *restrict out_rcp);
/* Attention's exponentials times its values, for the rows of a causal tile, and the division: y[r]
 * = factor[r] * chain over j < first + r ascending of fma(e[r][j], v[j], .), from y[r] where from_y
 * is not 0, else from 0. m 1..IOLK_MR rows, n 1..IOLK_NR columns, first >= 0 e (m, first + m - 1)
 * ld_e, nothing past a row's own end is read      v (first + m - 1, n) ld_v factor (m)      y (m,
 * n) ld_y */
typedef void iolk_mix_f32_fn(size_t m, size_t n, size_t first, const float *e, size_t ld_e,
                             const float *v, size_t ld_v, const float *factor, int from_y, float *y,
                             size_t ld_y);
/* The last key of m rows of attention, each its own, and the division: y[r] = factor[r] * fma(e[r],
 * v[r], y[r]). e: one element each ld_e; v (m, n) ld_v (0: one v for all rows),
 * y (m, n) ld_y, factor (m). */
typedef void iolk_tail_f32_fn(size_t m, size_t n, const float *restrict e, size_t ld_e,
                              const float *restrict v, size_t ld_v, const float *restrict factor,
                              float *restrict y, size_t ld_y);
/* *out_max = max x[i]; *out_sum = L16(expf(x[i] - *out_max)). n >= 1. */
typedef void iolk_sumexp_f32_fn(size_t n, const float *restrict x, float *restrict out_max,
                                float *restrict out_sum);

/* Norms of m rows, each on its own: x (m, n) ld_x, y (m, n) ld_y, gain and bias n. n >= 1.
 * y = (x * r) * gain, r = 1 / sqrt(L16(x * x) / n + eps). */
typedef void iolk_rmsnorm_f32_fn(size_t m, size_t n, const float *restrict x, size_t ld_x,
                                 const float *restrict gain, float eps, float *restrict y,
                                 size_t ld_y);
/* d = x - L16(x) / n; y = fma(d * r, gain, bias), r = 1 / sqrt(L16(d * d) / n + eps). */
typedef void iolk_layernorm_f32_fn(size_t m, size_t n, const float *restrict x, size_t ld_x,
                                   const float *restrict gain, const float *restrict bias,
                                   float eps, float *restrict y, size_t ld_y);
/* x = x + c, c (m, n) ld_c; then the norm of x: the bits of add and the norm one after the other.
 */
typedef void iolk_add_rmsnorm_f32_fn(size_t m, size_t n, float *restrict x, size_t ld_x,
                                     const float *restrict c, size_t ld_c,
                                     const float *restrict gain, float eps, float *restrict y,
                                     size_t ld_y);
typedef void iolk_add_layernorm_f32_fn(size_t m, size_t n, float *restrict x, size_t ld_x,
                                       const float *restrict c, size_t ld_c,
                                       const float *restrict gain, const float *restrict bias,
                                       float eps, float *restrict y, size_t ld_y);

/* y[i] = expf(x[i]); y may be x */
typedef void iolk_exp_f32_fn(size_t n, const float *x, float *y);

/* y = (gate / (1 + expf(-gate))) * up; y may be gate or up */
typedef void iolk_silu_mul_f32_fn(size_t n, const float *gate, const float *up, float *y);
/* p = fma(0.044715f, x * x, 1); w = (x * p) * -1.5957691216f; y = x / (1 + expf(w)); y may be x */
typedef void iolk_gelu_tanh_f32_fn(size_t n, const float *x, float *y);
/* h = 0.5f * x; y = fma(h, erff(x * 0.70710678f), h); y may be x */
typedef void iolk_gelu_erf_f32_fn(size_t n, const float *x, float *y);
/* y = gelu(x + bias) of m rows, the sum rounded: the bits of add and gelu one after the other.
 * x (m, n) ld_x, y (m, n) ld_y, bias n; y may be x where ld_y is ld_x. */
typedef void iolk_bias_gelu_tanh_f32_fn(size_t m, size_t n, const float *x, size_t ld_x,
                                        const float *bias, float *y, size_t ld_y);
typedef void iolk_bias_gelu_erf_f32_fn(size_t m, size_t n, const float *x, size_t ld_x,
                                       const float *bias, float *y, size_t ld_y);

/* Rotates m rows of `heads` heads of 2 * half elements in place: with x1 the first and x2 the
 * second half of a head, x1' = fma(-x2, sin, x1 * cos), x2' = fma(x1, sin, x2 * cos). x (m, heads *
 * 2 * half) ld; cos, sin (m, half) ld_table, which may be 0: one row for all. */
typedef void iolk_rope_f32_fn(size_t m, size_t heads, size_t half, float *restrict x, size_t ld,
                              const float *restrict cos, const float *restrict sin,
                              size_t ld_table);

/* Read-outs in f64, operands widened first. */
/* D16(x[i] * v[i]) with fma */
typedef double iolk_dot_f64_fn(size_t n, const float *x, const double *v);
/* D16(x[i]) */
typedef double iolk_sum_f64_fn(size_t n, const float *x);
/* D16(d * d) with fma, d = x[i] - mean */
typedef double iolk_ssq_f64_fn(size_t n, const float *x, double mean);
/* D16 of p * (expm1(-d) + d), p = exp(lp), d = lp - lq, lp = x[i] - lse_x, lq = y[i] - lse_y (Sleef
 * *_u10 FMA variants) */
typedef double iolk_kl_f64_fn(size_t n, const float *x, double lse_x, const float *y, double lse_y);

/* O(op, dtype): every op, in the order of the table. */
#define IOLK_OPS(O)                                                                                \
    O(gemm, f32)                                                                                   \
    O(panels, f32)                                                                                 \
    O(gemm, bf16)                                                                                  \
    O(gemm, f16)                                                                                   \
    O(gemm, q80)                                                                                   \
    O(gemm, q40)                                                                                   \
    O(gemm, q41)                                                                                   \
    O(gemm, q4k)                                                                                   \
    O(widen, bf16)                                                                                 \
    O(widen, f16)                                                                                  \
    O(widen, q80)                                                                                  \
    O(widen, q40)                                                                                  \
    O(widen, q41)                                                                                  \
    O(widen, q4k)                                                                                  \
    O(chains, f32)                                                                                 \
    O(fma, f32)                                                                                    \
    O(add, f32)                                                                                    \
    O(softmax, f32)                                                                                \
    O(mix, f32)                                                                                    \
    O(tail, f32)                                                                                   \
    O(sumexp, f32)                                                                                 \
    O(rmsnorm, f32)                                                                                \
    O(layernorm, f32)                                                                              \
    O(add_rmsnorm, f32)                                                                            \
    O(add_layernorm, f32)                                                                          \
    O(exp, f32)                                                                                    \
    O(silu_mul, f32)                                                                               \
    O(gelu_tanh, f32)                                                                              \
    O(gelu_erf, f32)                                                                               \
    O(bias_gelu_tanh, f32)                                                                         \
    O(bias_gelu_erf, f32)                                                                          \
    O(rope, f32)                                                                                   \
    O(dot, f64)                                                                                    \
    O(sum, f64)                                                                                    \
    O(ssq, f64)                                                                                    \
    O(kl, f64)

enum iolk_isa {
#define ISA(name, UPPER, folder, flags, needs) IOLK_ISA_##UPPER,
#include "isa.def"
#undef ISA
    IOLK_ISA_COUNT
};

enum iolk_op {
#define O(op, dtype) IOLK_OP_##op##_##dtype,
    IOLK_OPS(O)
#undef O
        IOLK_OP_COUNT
};

/* One function pointer per op. Filled once from an ISA mask, passed by pointer, never patched. */
struct iolk_ops {
#define O(op, dtype) iolk_##op##_##dtype##_fn *op##_##dtype;
    IOLK_OPS(O)
#undef O
    enum iolk_isa chosen[IOLK_OP_COUNT]; /* which ISA's variant each op got */
    size_t l1_bytes, l2_bytes;    /* of one core: what the driver's block sizes follow from */
    const struct iolk_fast *fast; /* NULL: exact; else the fast mode's (fast/fast.h) */
};

/* Prototypes of every variant in registry.def. */
#define KERNEL(op, dtype, isa) iolk_##op##_##dtype##_fn iolk_##op##_##dtype##_##isa;
#include "registry.def"
#undef KERNEL

/* Bit (1 << enum iolk_isa) for each ISA this processor and operating system can run (CPUID and
 * XCR0, or HWCAP). 0: none. */
uint32_t iolk_isa_detect(void);
/* Fill the table from the variants whose ISA is in `mask`, oldest first, so that the newest wins.
 * Every op must be covered by the mask (the scalar row always is). */
void iolk_ops_fill(uint32_t mask, struct iolk_ops *out_ops);
/* "avx2"; what it needs of a processor. Static storage. */
const char *iolk_isa_name(enum iolk_isa isa);
const char *iolk_isa_needs(enum iolk_isa isa);
/* "gemm_f32". Static storage. */
const char *iolk_op_name(enum iolk_op op);

#endif
