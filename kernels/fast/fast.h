/* The kernels of the fast mode: products of operands rounded to bf16, or to int8 with a scale for
 * each 32 along k. They give up the numeric contract (docs/numerics.md), so nothing chooses them
 * unless asked to by name; they are no rows of registry.def and no scalar variant stands beside
 * them. What they compute is within the bounds of tests/test_fast.c. */
#ifndef IOLK_FAST_H
#define IOLK_FAST_H

#include <stddef.h>
#include <stdint.h>

#include "ops.h"

/* F(format, UPPER, k, b_rows, a_words, everywhere): a block is k steps of k, which take b_rows rows
 * of IOLK_NR words of a panel and a_words words of a row of A; whether its bits are the same on
 * every processor.
 *
 * bf16: c += a[2l] * w[2l] + a[2l + 1] * w[2l + 1], products exact, additions in f32, denormals
 * taken as zero. A word is two bf16, that of the even k in the low half. What the processor does
 * first is its own: bits differ between processors.
 *
 * bf16x32: the same words. Each block is summed from zero, even k in one chain of FMAs, odd k in
 * another; c += the sum of the two (AMX; Intel SDM, TDPBF16PS).
 *
 * int8: x is s * q, s = max |x| of the block / 127, q nearest to x * (127 / max |x|). A block of
 * products is summed exactly, S, then c = fma(S, s_a * s_w, c): the same bits on every processor.
 * B: 8 rows of words of four (q + 128), ascending k from the low byte, and a row of s_w.
 * A: 8 words of four q, s_a, and -128 times the sum of the q. */
#define IOLK_FAST_FORMATS(F)                                                                       \
    F(bf16, BF16, 2, 1, 1, 0)                                                                      \
    F(bf16x32, BF16X32, 32, 16, 16, 0)                                                             \
    F(int8, INT8, 32, 9, 10, 1)

enum { IOLK_FAST_ROWS = 256 }; /* at most, of any row of fast.def */

enum iolk_fast_format {
#define F(format, UPPER, k, b_rows, a_words, everywhere) IOLK_FAST_##UPPER,
    IOLK_FAST_FORMATS(F)
#undef F
};

/* C = init + A * B over blocks of k.
 *   m 1..rows (of its row in fast.def), n 1..IOLK_NR columns
 *   A (m, a_words * blocks) ld_a words      B (b_rows * blocks, IOLK_NR) words: one panel
 *   init, C, fetch: as in gemm_f32 */
typedef void iolk_gemm_fast_fn(size_t m, size_t n, size_t blocks, const uint32_t *a, size_t ld_a,
                               const uint32_t *b, const float *init, size_t ld_init, float *c,
                               size_t ld_c, const struct iolk_fetch *fetch);
/* A row of A, rounded: `lead` zeros (fewer than a block's k), x, zeros to the end of its block. A
 * value that is not finite makes its block so. */
typedef void iolk_round_fast_fn(size_t lead, size_t n, const float *restrict x,
                                uint32_t *restrict out);

#define FAST(format, isa, rows, flags, needs, text)                                                \
    iolk_gemm_fast_fn iolk_gemm_##format##dot_##isa;                                               \
    iolk_round_fast_fn iolk_round_##format##_##isa;
#include "fast.def"
#undef FAST

struct iolk_fast {
    enum iolk_fast_format format;
    size_t k, b_rows, a_words; /* of the format */
    int everywhere;            /* the same bits on every processor */
    size_t rows;               /* of one call, at most */
    iolk_gemm_fast_fn *gemm;
    iolk_round_fast_fn *round;
    const char *name, *isa, *needs, *text; /* "bf16", "avx512bf16", what a processor must have, what
                                              it computes with */
};

/* Row `index` of fast.def; NULL past the end. Static storage. */
const struct iolk_fast *iolk_fast_get(size_t index);
/* Whether this processor and operating system can run it, and its vector registers are those of an
 * ISA in `mask`. Asks the operating system for tiles where it needs them: for the whole process. */
int iolk_fast_runs(const struct iolk_fast *fast, uint32_t mask);

#endif
