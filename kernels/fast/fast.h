/* The kernels of the fast mode: products of operands rounded to bf16. They give up the numeric
 * contract (docs/numerics.md), so nothing chooses them unless asked to by name; they are no rows of
 * registry.def and no scalar variant stands beside them. What they compute is within the bound of
 * tests/test_fast.c; its bits depend on the processor. */
#ifndef IOLK_FAST_H
#define IOLK_FAST_H

#include <stddef.h>
#include <stdint.h>

#include "ops.h"

/* C = init + A * B over pairs of k: c += a[2l] * w[2l] + a[2l + 1] * w[2l + 1], products exact,
 * additions in f32, denormals taken as zero.
 *   m 1..IOLK_MR rows, n 1..IOLK_NR columns
 *   A (m, pairs) ld_a words, a word = bf16 of the even k in the low half, of the odd k in the high
 *   B (pairs, IOLK_NR) words: one panel      init, C, fetch: as in gemm_f32 */
typedef void iolk_gemm_bf16dot_fn(size_t m, size_t n, size_t pairs, const uint32_t *a, size_t ld_a,
                                  const uint32_t *b, const float *init, size_t ld_init, float *c,
                                  size_t ld_c, const struct iolk_fetch *fetch);
/* out[i] = bf16 nearest to x[i], ties to even; denormals become zero. */
typedef void iolk_round_bf16_fn(size_t n, const float *restrict x, uint16_t *restrict out);

#define FAST(isa, flags, needs, text)                                                              \
    iolk_gemm_bf16dot_fn iolk_gemm_bf16dot_##isa;                                                  \
    iolk_round_bf16_fn iolk_round_bf16_##isa;
#include "fast.def"
#undef FAST

struct iolk_fast {
    iolk_gemm_bf16dot_fn *gemm_bf16dot;
    iolk_round_bf16_fn *round_bf16;
    const char *isa, *needs, *text; /* "avx512bf16", what a processor must have, what it is */
};

/* Row `index` of fast.def; NULL past the end. Static storage. */
const struct iolk_fast *iolk_fast_get(size_t index);
/* The last row that this processor and operating system can run and whose vector registers are
 * those of an ISA in `mask`; NULL: none. */
const struct iolk_fast *iolk_fast_detect(uint32_t mask);

#endif
