#include "driver/gemm.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "driver/gemm_fast.h"

size_t iol_packed_floats(size_t n, size_t k)
{
    size_t columns, floats;
    if (__builtin_add_overflow(n, IOLK_NR - 1, &columns) ||
        __builtin_mul_overflow(columns / IOLK_NR * IOLK_NR, k, &floats) ||
        floats > PTRDIFF_MAX / sizeof(float)) {
        return 0;
    }
    return floats;
}

/* Where column `j` of the panels begins (k = 0). */
static float *panel_column(const struct iol_packed *packed, size_t j)
{
    return packed->panels + j / IOLK_NR * IOLK_NR * packed->k + j % IOLK_NR;
}

void iol_pack_rows_f32(const float *b, size_t ld_b, size_t row0, size_t rows,
                       struct iol_packed *out)
{
    assert(row0 + rows <= out->n);
    for (size_t r = 0; r < rows; r++) {
        float *column = panel_column(out, row0 + r);
        for (size_t k = 0; k < out->k; k++) {
            column[k * IOLK_NR] = b[r * ld_b + k];
        }
    }
}

void iol_pack_columns_f32(const float *b, size_t ld_b, size_t row0, size_t columns,
                          struct iol_packed *out)
{
    assert(row0 + columns <= out->n);
    for (size_t k = 0; k < out->k; k++) {
        for (size_t c = 0; c < columns; c++) {
            panel_column(out, row0 + c)[k * IOLK_NR] = b[k * ld_b + c];
        }
    }
}

void iol_packed_row(const struct iol_packed *packed, size_t j, float *out_row)
{
    assert(j < packed->n);
    if (packed->dtype != IOL_PANEL_F32) {
        iol_packed_row_widened(packed, j, out_row);
        return;
    }
    const float *column = panel_column(packed, j);
    for (size_t k = 0; k < packed->k; k++) {
        out_row[k] = column[k * IOLK_NR];
    }
}

/* Columns of k walked at a time, where there are several tiles of rows: a (K_BLOCK, 48) piece of a
 * panel and the rows' piece of A stay near the core. */
enum { K_BLOCK = 768 };

/* One piece: rows of one block, columns k0 .. k1 of A, all panels of the part. */
struct piece {
    size_t rows, k0, k1; /* k relative to the packed matrix */
    const float *a;      /* at (first row, k0) */
    float *c;            /* at the first row */
    int from_c;          /* chains continue from C */
    const float *after;  /* weights that the next piece begins with, or NULL */
};

static void gemm_piece(const struct iolk_ops *ops, const struct piece *x, size_t ld_a,
                       const struct iol_packed *b, const struct iol_gemm_part *part,
                       size_t panel_end, size_t ld_c)
{
    const size_t lines = (x->k1 - x->k0) * IOLK_NR / 16;
    for (size_t p = part->panel_begin; p < panel_end; p++) {
        const float *panel = b->panels + p * IOLK_NR * b->k + x->k0 * IOLK_NR;
        const float *bias = b->bias && !part->no_bias ? b->bias + p * IOLK_NR : NULL;
        /* The next panel is fetched while this one is used. Rows of a single tile are bound by the
         * stream of weights itself: they fetch that, further on; one row gains nothing by it. */
        const bool single = x->rows <= IOLK_MR;
        const float *next = x->rows == 1        ? NULL
                            : single            ? panel + IOLK_STREAM_AHEAD
                            : p + 1 < panel_end ? panel + IOLK_NR * b->k
                                                : x->after;
        const size_t n = b->n - p * IOLK_NR < IOLK_NR ? b->n - p * IOLK_NR : IOLK_NR;
        float *c = x->c + (p - part->panel_begin) * IOLK_NR;
        ops->gemm_f32(x->rows, n, x->k1 - x->k0, x->a, ld_a, panel, IOLK_NR, x->from_c ? c : bias,
                      x->from_c ? ld_c : 0, c, ld_c, next, next && !single ? lines : 0);
    }
}

void iol_gemm_block(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                    const struct iol_packed *b, const struct iol_gemm_part *part, float *c,
                    size_t ld_c, uint64_t *flops)
{
    static const struct iol_gemm_part whole;
    part = part ? part : &whole;
    const size_t k_begin = part->k_begin, k_end = part->k_end ? part->k_end : b->k,
                 depth = k_end - k_begin;
    const size_t panels = (b->n + IOLK_NR - 1) / IOLK_NR,
                 panel_end = part->panel_end ? part->panel_end : panels;
    assert(k_begin <= k_end && k_end <= b->k && part->panel_begin <= panel_end &&
           panel_end <= panels);
    if (m == 0 || part->panel_begin == panel_end) {
        return;
    }
    const size_t last = panel_end * IOLK_NR < b->n ? panel_end * IOLK_NR : b->n;
    *flops += 2 * (uint64_t)m * (last - part->panel_begin * IOLK_NR) * depth;
    if (ops->fast && b->pairs) {
        iol_gemm_pairs(ops->fast, m, a, ld_a, b, part, c, ld_c);
        return;
    }
    if (b->dtype != IOL_PANEL_F32) {
        iol_gemm_widened(ops, m, a, ld_a, b, part, c, ld_c);
        return;
    }
    /* A single tile uses no weight twice and walks each panel from end to end. */
    const size_t k_blocks = m > IOLK_MR && depth > K_BLOCK ? (depth + K_BLOCK - 1) / K_BLOCK : 1;
    /* Rows whose slice of A takes three quarters of what two panels, this one and the next, leave
     * of L2: it stays there while panel after panel passes by. */
    const size_t bytes = sizeof(float) * (depth / k_blocks + 1), two = 2 * bytes * IOLK_NR,
                 fit = two < ops->l2_bytes ? (ops->l2_bytes - two) / 4 * 3 / bytes : 0;
    const size_t most = fit < 4 * IOLK_MR ? 4 * IOLK_MR : fit, row_blocks = (m + most - 1) / most;
    for (size_t i = 0; i < row_blocks; i++) {
        const size_t row = m * i / row_blocks, rows = m * (i + 1) / row_blocks - row;
        for (size_t j = 0; j < k_blocks; j++) {
            const size_t k0 = k_begin + depth * j / k_blocks,
                         k1 = k_begin + depth * (j + 1) / k_blocks;
            const size_t next_k = j + 1 < k_blocks ? k1 : k_begin;
            const int more = j + 1 < k_blocks || i + 1 < row_blocks;
            const struct piece x = {.rows = rows,
                                    .k0 = k0,
                                    .k1 = k1,
                                    .a = a + row * ld_a + (k0 - k_begin),
                                    .c = c + row * ld_c,
                                    .from_c = part->accumulate || j > 0,
                                    .after = more ? b->panels + part->panel_begin * IOLK_NR * b->k +
                                                        next_k * IOLK_NR
                                                  : part->after};
            gemm_piece(ops, &x, ld_a, b, part, panel_end, ld_c);
        }
    }
}
