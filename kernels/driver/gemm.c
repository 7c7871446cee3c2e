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
enum { K_BLOCK = 768, FEW_TILES = 4 };

/* One piece: rows of one block, columns k0 .. k1 of A, some panels. */
struct piece {
    size_t rows, k0, k1; /* k relative to the packed matrix */
    size_t panel, panel_end;
    const float *a;     /* at (first row, k0) */
    float *c;           /* at the first row, first column of the panels */
    int from_c;         /* chains continue from C */
    const float *after; /* weights that the next piece begins with, or NULL */
};

static void gemm_piece(const struct iolk_ops *ops, const struct piece *x, size_t ld_a,
                       const struct iol_packed *b, bool no_bias, size_t ld_c)
{
    const size_t lines = (x->k1 - x->k0) * IOLK_NR / 16;
    for (size_t p = x->panel; p < x->panel_end; p++) {
        const float *panel = b->panels + p * IOLK_NR * b->k + x->k0 * IOLK_NR;
        const float *bias = b->bias && !no_bias ? b->bias + p * IOLK_NR : NULL;
        /* The next panel is fetched while this one is used. Rows of a single tile are bound by the
         * stream of weights itself: they fetch that, further on; one row gains nothing by it. */
        const bool single = x->rows <= IOLK_MR;
        const float *next = x->rows == 1           ? NULL
                            : single               ? panel + IOLK_STREAM_AHEAD
                            : p + 1 < x->panel_end ? panel + IOLK_NR * b->k
                                                   : x->after;
        const size_t n = b->n - p * IOLK_NR < IOLK_NR ? b->n - p * IOLK_NR : IOLK_NR;
        float *c = x->c + (p - x->panel) * IOLK_NR;
        ops->gemm_f32(x->rows, n, x->k1 - x->k0, x->a, ld_a, panel, IOLK_NR, x->from_c ? c : bias,
                      x->from_c ? ld_c : 0, c, ld_c, next, next && !single ? lines : 0);
    }
}

struct call {
    const struct iolk_ops *ops;
    const float *a;
    size_t ld_a;
    const struct iol_packed *b;
    const struct iol_gemm_part *part;
    float *c;
    size_t ld_c, m, k_begin, depth, panel_end;
};

/* Bytes of L2 for rows of A that stay there while panel after panel passes by: three quarters of
 * what two pieces of this depth, the one in use and the next, leave of it. */
static size_t l2_for_rows(const struct iolk_ops *ops, size_t depth)
{
    const size_t two = 2 * sizeof(float) * IOLK_NR * (depth + 1);
    return two < ops->l2_bytes ? (ops->l2_bytes - two) / 4 * 3 : 0;
}

/* Up to FEW_TILES of rows, if all of A stays in L2: each panel is walked from end to end, piece by
 * piece, so that memory sees one stream. False: not such a call. */
static bool few_tiles(const struct call *x)
{
    if (x->m <= IOLK_MR || x->m > FEW_TILES * IOLK_MR ||
        sizeof(float) * x->m * x->depth > l2_for_rows(x->ops, K_BLOCK)) {
        return false;
    }
    const size_t blocks = x->depth > K_BLOCK ? (x->depth + K_BLOCK - 1) / K_BLOCK : 1,
                 panel_floats = IOLK_NR * x->b->k;
    for (size_t p = x->part->panel_begin; p < x->panel_end; p++) {
        const float *panel = x->b->panels + p * panel_floats,
                    *after = p + 1 < x->panel_end ? panel + panel_floats + x->k_begin * IOLK_NR
                                                  : x->part->after;
        for (size_t j = 0; j < blocks; j++) {
            const size_t from = x->depth * j / blocks, to = x->depth * (j + 1) / blocks;
            const struct piece piece = {
                .rows = x->m,
                .k0 = x->k_begin + from,
                .k1 = x->k_begin + to,
                .panel = p,
                .panel_end = p + 1,
                .a = x->a + from,
                .c = x->c + (p - x->part->panel_begin) * IOLK_NR,
                .from_c = x->part->accumulate || j > 0,
                .after = j + 1 < blocks ? panel + (x->k_begin + to) * IOLK_NR : after};
            gemm_piece(x->ops, &piece, x->ld_a, x->b, x->part->no_bias, x->ld_c);
        }
    }
    return true;
}

/* Blocks of rows whose slice of A stays in L2; for each, a slice of k of every panel. */
static void many_tiles(const struct call *x)
{
    /* A single tile uses no weight twice and walks each panel from end to end. */
    const size_t k_blocks =
        x->m > IOLK_MR && x->depth > K_BLOCK ? (x->depth + K_BLOCK - 1) / K_BLOCK : 1;
    const size_t fit =
        l2_for_rows(x->ops, x->depth / k_blocks) / (sizeof(float) * (x->depth / k_blocks + 1));
    const size_t most = fit < 4 * IOLK_MR ? 4 * IOLK_MR : fit,
                 row_blocks = (x->m + most - 1) / most;
    for (size_t i = 0; i < row_blocks; i++) {
        const size_t row = x->m * i / row_blocks, rows = x->m * (i + 1) / row_blocks - row;
        for (size_t j = 0; j < k_blocks; j++) {
            const size_t from = x->depth * j / k_blocks, to = x->depth * (j + 1) / k_blocks,
                         next_k = j + 1 < k_blocks ? to : 0;
            const bool more = j + 1 < k_blocks || i + 1 < row_blocks;
            const struct piece piece = {
                .rows = rows,
                .k0 = x->k_begin + from,
                .k1 = x->k_begin + to,
                .panel = x->part->panel_begin,
                .panel_end = x->panel_end,
                .a = x->a + row * x->ld_a + from,
                .c = x->c + row * x->ld_c,
                .from_c = x->part->accumulate || j > 0,
                .after = more ? x->b->panels + x->part->panel_begin * IOLK_NR * x->b->k +
                                    (x->k_begin + next_k) * IOLK_NR
                              : x->part->after};
            gemm_piece(x->ops, &piece, x->ld_a, x->b, x->part->no_bias, x->ld_c);
        }
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
    const struct call x = {ops, a, ld_a, b, part, c, ld_c, m, k_begin, depth, panel_end};
    if (!few_tiles(&x)) {
        many_tiles(&x);
    }
}
