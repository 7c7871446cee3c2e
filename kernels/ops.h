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
    IOLK_MR = 8,      /* rows of a GEMM tile */
    IOLK_NR = 48,     /* columns of a GEMM panel: 3 zmm, 6 ymm, 12 NEON registers */
    IOLK_LANES = 16,  /* virtual lanes of L16 and D16 */
    IOLK_CHUNK = 1024 /* columns of a reduction chunk over the vocabulary */
};

/* C = init + A * B, one FMA chain per element in ascending k.
 *   m 1..IOLK_MR rows, n 1..IOLK_NR columns, k >= 0
 *   A (m, k) ld_a      B (k, n) ld_b: a packed panel (ld_b = IOLK_NR) or any row-major matrix
 *   init NULL: chains start from 0; ld_init 0: from init[j] (a bias); else from init[i * ld_init +
 * j] (may be C itself) C (m, n) ld_c ahead: NULL, or memory that will be read soon; ahead_lines
 * cache lines of it are prefetched along the way. */
typedef void iolk_gemm_f32_fn(size_t m, size_t n, size_t k, const float *a, size_t ld_a,
                              const float *b, size_t ld_b, const float *init, size_t ld_init,
                              float *c, size_t ld_c, const void *ahead, size_t ahead_lines);

/* out[i] = chain over j ascending of fma(q[i][j], k[i][j], .) from 0; q (m, n) ld_q, k (m, n) ld_k.
 * m independent chains. */
typedef void iolk_chains_f32_fn(size_t m, size_t n, const float *restrict q, size_t ld_q,
                                const float *restrict k, size_t ld_k, float *restrict out);

/* y[i] = fma(a, x[i], y[i]) */
typedef void iolk_axpy_f32_fn(size_t n, float a, const float *restrict x, float *restrict y);
/* y[i] = a * x[i]; y may be x */
typedef void iolk_scale_f32_fn(size_t n, float a, const float *x, float *y);
/* y[i] = x[i] + c[i]; y may be x */
typedef void iolk_add_f32_fn(size_t n, const float *x, const float *c, float *y);

/* scores[i] = expf(scores[i] * scale - m), m = max over i of scores[i] * scale; *out_rcp = 1 /
 * L16(scores). n >= 1. */
typedef void iolk_softmax_f32_fn(size_t n, float scale, float *restrict scores,
                                 float *restrict out_rcp);
/* *out_max = max x[i]; *out_sum = L16(expf(x[i] - *out_max)). n >= 1. */
typedef void iolk_sumexp_f32_fn(size_t n, const float *restrict x, float *restrict out_max,
                                float *restrict out_sum);

/* y = (x * r) * gain, r = 1 / sqrt(L16(x * x) / n + eps). n >= 1. */
typedef void iolk_rmsnorm_f32_fn(size_t n, const float *restrict x, const float *restrict gain,
                                 float eps, float *restrict y);
/* d = x - L16(x) / n; y = fma(d * r, gain, bias), r = 1 / sqrt(L16(d * d) / n + eps). n >= 1. */
typedef void iolk_layernorm_f32_fn(size_t n, const float *restrict x, const float *restrict gain,
                                   const float *restrict bias, float eps, float *restrict y);

/* y = (gate / (1 + expf(-gate))) * up; y may be gate or up */
typedef void iolk_silu_mul_f32_fn(size_t n, const float *gate, const float *up, float *y);
/* p = fma(0.044715f, x * x, 1); w = (x * p) * -1.5957691216f; y = x / (1 + expf(w)); y may be x */
typedef void iolk_gelu_tanh_f32_fn(size_t n, const float *x, float *y);
/* h = 0.5f * x; y = fma(h, erff(x * 0.70710678f), h); y may be x */
typedef void iolk_gelu_erf_f32_fn(size_t n, const float *x, float *y);

/* Rotates `heads` heads of 2 * half elements, ld apart, in place: with x1 the first and x2 the
 * second half, x1' = fma(-x2, sin, x1 * cos), x2' = fma(x1, sin, x2 * cos). cos, sin: half
 * elements. */
typedef void iolk_rope_f32_fn(size_t heads, size_t half, float *restrict x, size_t ld,
                              const float *restrict cos, const float *restrict sin);

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
    O(chains, f32)                                                                                 \
    O(axpy, f32)                                                                                   \
    O(scale, f32)                                                                                  \
    O(add, f32)                                                                                    \
    O(softmax, f32)                                                                                \
    O(sumexp, f32)                                                                                 \
    O(rmsnorm, f32)                                                                                \
    O(layernorm, f32)                                                                              \
    O(silu_mul, f32)                                                                               \
    O(gelu_tanh, f32)                                                                              \
    O(gelu_erf, f32)                                                                               \
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
    size_t l2_bytes; /* of one core: what the driver's block sizes follow from */
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
