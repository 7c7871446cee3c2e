/* Packed weights that stay as they were published: bf16, f16 and ggml's quantised blocks, 48
 * columns to a panel like the f32 ones (kernels/panel_layout.h), and the GEMM over them.
 *
 *   published, one output after another          panels
 *   row j: 2-byte elements, or blocks of 32 or   ceil(n / 48) of them, each the 48 columns'
 * elements 256 weights with their constants      in steps of k, a block's constants before its data
 *
 * Arithmetic is f32 on the widened weights: a product over such panels has the bits of the product
 * over f32 panels of the same weights. */
#ifndef IOL_PANELS_H
#define IOL_PANELS_H

#include <stddef.h>
#include <stdint.h>

#include "ops.h"

/* D(dtype, UPPER, bytes of a block as published, weights of a block) */
#define IOL_PANEL_DTYPES(D)                                                                        \
    D(bf16, BF16, 2, 1)                                                                            \
    D(f16, F16, 2, 1)                                                                              \
    D(q80, Q80, 34, 32)                                                                            \
    D(q40, Q40, 18, 32)                                                                            \
    D(q41, Q41, 20, 32)                                                                            \
    D(q4k, Q4K, 144, 256)

/* f32 is 0: a zeroed struct iol_packed holds f32. */
enum iol_panel_dtype {
    IOL_PANEL_F32,
#define D(dtype, UPPER, bytes, weights) IOL_PANEL_##UPPER,
    IOL_PANEL_DTYPES(D)
#undef D
        IOL_PANEL_DTYPE_COUNT
};

struct iol_packed;    /* driver/gemm.h */
struct iol_gemm_part; /* driver/gemm.h */

/* "q80". Static storage. */
const char *iol_panel_dtype_name(enum iol_panel_dtype dtype);
/* Bytes of one row of k weights as published; 0 where k is no multiple of the block. f32: 4 k. */
size_t iol_panel_row_bytes(enum iol_panel_dtype dtype, size_t k);
/* Bytes of the panels of an (n, k) matrix; 0 on overflow, or where k is no multiple of the block.
 */
size_t iol_panel_bytes(enum iol_panel_dtype dtype, size_t n, size_t k);

/* Panels of `dtype`, not f32, that one row reads side by side. */
size_t iol_narrow_at_once(const struct iolk_ops *ops, enum iol_panel_dtype dtype);
/* Write rows row0 .. row0 + rows of B as published (`row_bytes` apart, any alignment) into the
 * panels of `out` (n, k, dtype set; panels zeroed). Not for f32. */
void iol_pack_rows_stored(const void *b, size_t row_bytes, size_t row0, size_t rows,
                          struct iol_packed *out);
/* The same for B stored transposed, bf16 and f16 only: (k, any) row-major, `row_bytes` apart; its
 * column j becomes output row0 + j. */
void iol_pack_columns_stored(const void *b, size_t row_bytes, size_t row0, size_t columns,
                             struct iol_packed *out);

/* Steps k0 .. k1 of panel p as f32 into out (k1 - k0, 48): a piece of an f32 panel. Not for f32. */
void iol_panel_widen(const struct iolk_ops *ops, const struct iol_packed *packed, size_t p,
                     size_t k0, size_t k1, float *out);
/* Where step k of panel p lies, or little before it: what a prefetch wants to know. Any dtype. */
const void *iol_panel_at(const struct iol_packed *packed, size_t p, size_t k);
/* Column `k` of B out of the panels of any dtype, f32 included: n floats. (Rows: iol_packed_row.)
 */
void iol_packed_column(const struct iol_packed *packed, size_t k, float *out_column);
/* iol_packed_row for the dtypes here. */
void iol_packed_row_widened(const struct iol_packed *packed, size_t j, float *out_row);
/* iol_gemm_block for the dtypes here: the same bits as over f32 panels of the widened weights. The
 * first IOLK_WIDE_MR rows of a block are computed on weights widened in registers, the others on
 * what these left behind: a slice of the panel as f32, in 144 KiB of stack. Thread-safe. */
void iol_gemm_widened(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                      const struct iol_packed *b, const struct iol_gemm_part *part, float *c,
                      size_t ld_c);

#endif
