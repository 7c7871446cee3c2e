/* Packed weights and the GEMM over them: C = A * B^T with B packed once into column panels.
 *
 *   B (n, k) row-major, as published          panels: ceil(n / 48) blocks of (k, 48)
 *        k ->                                    panel 0        panel 1
 *     n  [ row j: weights of output j ]         k=0 [ w0 w1 ... w47 ]   [ w48 ... w95 ] ...
 *     |                                         k=1 [ ...           ]
 *     v                                         columns beyond n are zero and never stored to C
 *
 * One layout for all ISAs; a slice of k is a contiguous slice of every panel. */
#ifndef IOL_GEMM_H
#define IOL_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include "driver/panels.h"
#include "ops.h"

struct iol_packed {
    size_t n, k;   /* outputs, inputs */
    float *panels; /* iol_packed_floats(n, k) floats, 64-byte aligned, owned by whoever allocated
                      them */
    float *bias;   /* (n) or NULL */
    uint32_t *rounded;          /* the same matrix for the fast mode (gemm_fast.h), or NULL */
    enum iol_panel_dtype dtype; /* 0: f32; others: `panels` points to iol_panel_bytes() of them */
};

/* Floats of the panels of an (n, k) matrix; 0 on overflow. */
size_t iol_packed_floats(size_t n, size_t k);

/* Write rows row0 .. row0 + rows of B (f32, row-major, ld_b elements) into the panels of `out` (n,
 * k and panels set). */
void iol_pack_rows_f32(const float *b, size_t ld_b, size_t row0, size_t rows,
                       struct iol_packed *out);
/* The same for B stored transposed: (k, n) row-major (GPT-2's Conv1D): column j of b becomes output
 * row0 + j. */
void iol_pack_columns_f32(const float *b, size_t ld_b, size_t row0, size_t columns,
                          struct iol_packed *out);
/* Row `j` of B out of the panels: k floats. */
void iol_packed_row(const struct iol_packed *packed, size_t j, float *out_row);

/* Which part of a product to compute. Zeroed fields mean: all of k, all of n, chains start from
 * bias or 0. */
struct iol_gemm_part {
    size_t k_begin, k_end;         /* k_end 0: packed->k. A column 0 belongs to k_begin. */
    size_t panel_begin, panel_end; /* panel_end 0: all. C column 0 belongs to panel_begin. */
    int accumulate;                /* chains continue from C; bias is not added */
    int no_bias;
    const float *after; /* weights that the caller reads next, or NULL: fetched during the last
                           panel */
    int fetched;        /* the first panel was the `after` of what this thread did before */
};

/* Columns of k walked at a time, where there are several tiles of rows: a (IOL_K_WALKED, 48) piece
 * of a panel and the rows' piece of A stay near the core. */
enum { IOL_K_WALKED = 768 };

/* An L1 below 48 KiB, whose miss buffers run short (docs/kernels.md). */
static inline int iol_small_l1(const struct iolk_ops *ops)
{
    return ops->l1_bytes < (size_t)48 << 10;
}

/* An L2 of 2 MiB and more, which waits for three times as many lines as an L1. */
static inline int iol_large_l2(const struct iolk_ops *ops)
{
    return ops->l2_bytes >= (size_t)2 << 20;
}

/* Weights that a product of `rows` rows fetches while it uses others (`at` NULL: its own). A fetch
 * through L1 holds one of its miss buffers until memory answers; those of a small L1 are all held
 * where fewer than 24 rows use a line (more ask for fewer lines), and the loads wait. */
static inline struct iolk_fetch iol_fetch(const struct iolk_ops *ops, size_t rows, const void *at,
                                          size_t lines)
{
    const int large_l2 = at && iol_large_l2(ops);
    return (struct iolk_fetch){
        .at = at, .lines = lines, .into_l2 = large_l2 || (iol_small_l1(ops) && rows < 24)};
}

/* Panels that a product of `rows` rows reads side by side, as so many streams: few rows of f32
 * where L2 is large, a single row of narrower weights. 1: one after the other. */
size_t iol_panels_at_once(const struct iolk_ops *ops, size_t rows, const struct iol_packed *b);

/* C = A * B^T (+ bias), one FMA chain per output in ascending k, single-threaded.
 *   A (m, k) ld_a    C (m, n) ld_c
 * A row of C has the same bits whatever m, the part boundaries and the ISA. Adds 2 m n k to *flops.
 * In fast mode (ops->fast, b->rounded) as iol_gemm_rounded. Thread-safe. */
void iol_gemm_block(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                    const struct iol_packed *b, const struct iol_gemm_part *part, float *c,
                    size_t ld_c, uint64_t *flops);

#endif
