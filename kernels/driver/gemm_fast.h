/* The products of the fast mode: both operands rounded to bf16, sums in f32 (kernels/fast/fast.h).
 * Panels of pairs stand beside the f32 panels of a matrix:
 *   panel p: ceil(k / 2) steps of 48 words; word (l, j) = bf16 of row 48 p + j of B at k = 2 l (low
 *   half) and at 2 l + 1 (high half; zero beyond k) */
#ifndef IOL_GEMM_FAST_H
#define IOL_GEMM_FAST_H

#include "driver/gemm.h"
#include "fast/fast.h"

/* Words of the pairs of an (n, k) matrix; 0 on overflow. */
size_t iol_pairs_words(size_t n, size_t k);
/* Round the matrix of `packed` (panels filled) into `out_pairs` (iol_pairs_words). row: packed->k
 * floats of workspace. A weight goes to the nearest bf16, ties to even; it is at most 2^-9 of
 * itself away. */
void iol_pairs_fill(const struct iol_packed *packed, float *row, uint32_t *out_pairs);

/* As iol_gemm_block, over packed->pairs. A row of C has the same bits whatever m and the
 * boundaries of panels; slices of k that begin at even columns change nothing either. The rows of A
 * are rounded a block at a time, on the stack (97 KiB). Thread-safe. */
void iol_gemm_pairs(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                    const struct iol_packed *b, const struct iol_gemm_part *part, float *c,
                    size_t ld_c);

#endif
