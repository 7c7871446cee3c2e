#include "driver/gemm.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

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
    const float *column = panel_column(packed, j);
    for (size_t k = 0; k < packed->k; k++) {
        out_row[k] = column[k * IOLK_NR];
    }
}

/* Columns of k walked at a time: a (block, 48) piece of a panel and the rows' piece of A stay near
 * the core. */
enum { K_BLOCK = 768 };

void iol_gemm_block(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                    const struct iol_packed *b, const struct iol_gemm_part *part, float *c,
                    size_t ld_c, uint64_t *flops)
{
    static const struct iol_gemm_part whole;
    part = part ? part : &whole;
    size_t k_begin = part->k_begin, k_end = part->k_end ? part->k_end : b->k;
    size_t panels = (b->n + IOLK_NR - 1) / IOLK_NR;
    size_t panel_end = part->panel_end ? part->panel_end : panels;
    assert(k_begin <= k_end && k_end <= b->k && part->panel_begin <= panel_end &&
           panel_end <= panels);
    if (m == 0 || part->panel_begin == panel_end) {
        return;
    }
    size_t last = panel_end * IOLK_NR < b->n ? panel_end * IOLK_NR : b->n;
    *flops += 2 * (uint64_t)m * (last - part->panel_begin * IOLK_NR) * (k_end - k_begin);
    /* Rows in tiles of equal height: 12 rows are 6 + 6, not 8 + 4. */
    size_t tiles = (m + IOLK_MR - 1) / IOLK_MR;
    size_t blocks = k_end - k_begin > K_BLOCK ? (k_end - k_begin + K_BLOCK - 1) / K_BLOCK : 1;
    for (size_t block = 0; block < blocks; block++) {
        size_t k0 = k_begin + (k_end - k_begin) * block / blocks;
        size_t k1 = k_begin + (k_end - k_begin) * (block + 1) / blocks;
        int from_c = part->accumulate || block > 0;
        for (size_t p = part->panel_begin; p < panel_end; p++) {
            const float *panel = b->panels + p * IOLK_NR * b->k + k0 * IOLK_NR;
            size_t n = b->n - p * IOLK_NR < IOLK_NR ? b->n - p * IOLK_NR : IOLK_NR;
            const float *bias = b->bias && !part->no_bias ? b->bias + p * IOLK_NR : NULL;
            /* The next piece of weights, spread over this panel's tiles. */
            const float *next = NULL;
            if (p + 1 < panel_end) {
                next = panel + IOLK_NR * b->k;
            } else if (block + 1 < blocks) {
                next = b->panels + part->panel_begin * IOLK_NR * b->k + k1 * IOLK_NR;
            }
            size_t lines = (k1 - k0) * IOLK_NR / 16;
            for (size_t t = 0; t < tiles; t++) {
                size_t row = m * t / tiles, rows = m * (t + 1) / tiles - row;
                size_t line0 = lines * t / tiles, line1 = lines * (t + 1) / tiles;
                float *c_tile = c + row * ld_c + (p - part->panel_begin) * IOLK_NR;
                const float *init = from_c ? c_tile : bias;
                ops->gemm_f32(rows, n, k1 - k0, a + row * ld_a + (k0 - k_begin), ld_a, panel,
                              IOLK_NR, init, from_c ? ld_c : 0, c_tile, ld_c,
                              next ? next + line0 * 16 : NULL, next ? line1 - line0 : 0);
            }
        }
    }
}
