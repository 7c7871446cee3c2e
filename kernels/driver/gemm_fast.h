/* The products of the fast mode: both operands rounded, to bf16 or to int8 (kernels/fast/fast.h).
 * Rounded panels stand beside the f32 panels of a matrix, in blocks of the format's k:
 *   panel p: ceil(k / block) times (b_rows, 48) words; columns beyond n and steps beyond k are of
 *   no weight */
#ifndef IOL_GEMM_FAST_H
#define IOL_GEMM_FAST_H

#include "driver/gemm.h"
#include "fast/fast.h"

/* Words of the rounded panels of an (n, k) matrix; 0 on overflow. */
size_t iol_rounded_words(const struct iolk_fast *f, size_t n, size_t k);
/* Round the matrix of `packed` (panels filled, finite) into `out_words` (iol_rounded_words). row:
 * packed->k floats of workspace. A weight goes to the nearest number of the format, ties to even:
 * bf16 is at most 2^-9 of the weight away, int8 at most a 254th of its block's largest. */
void iol_rounded_fill(const struct iolk_fast *f, const struct iol_packed *packed, float *row,
                      uint32_t *out_words);

/* As iol_gemm_block, over packed->rounded (of ops->fast). A row of C has the same bits whatever m
 * and the boundaries of panels; slices of k that begin at multiples of the format's block change
 * nothing either. The rows of A are rounded a block at a time, on the stack (96 KiB). Thread-safe.
 */
void iol_gemm_rounded(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                      const struct iol_packed *b, const struct iol_gemm_part *part, float *c,
                      size_t ld_c);

#endif
