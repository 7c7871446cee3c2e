#include "driver/gemm_fast.h"

#include <assert.h>
#include <stdalign.h>
#include <string.h>

size_t iol_pairs_words(size_t n, size_t k)
{
    return iol_packed_floats(n, k / 2 + k % 2);
}

/* Nearest, ties to even. Finite x; what would round to infinity becomes infinity. */
static uint32_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

void iol_pairs_fill(const struct iol_packed *packed, float *row, uint32_t *out_pairs)
{
    const size_t k = packed->k, pairs = k / 2 + k % 2;
    memset(out_pairs, 0, iol_pairs_words(packed->n, k) * sizeof *out_pairs);
    for (size_t j = 0; j < packed->n; j++) {
        uint32_t *column = out_pairs + j / IOLK_NR * IOLK_NR * pairs + j % IOLK_NR;
        iol_packed_row(packed, j, row);
        for (size_t l = 0; l < k; l++) {
            column[l / 2 * IOLK_NR] |= bf16_of(row[l]) << (l % 2 * 16);
        }
    }
}

/* As in gemm.c: pairs of k walked at a time, rows of A rounded at a time. A panel's piece of 72 KiB
 * serves 64 rows. */
enum { PAIR_BLOCK = 384, ROW_BLOCK = 8 * IOLK_MR };

struct piece {
    size_t rows, pair0, pair1;
    const uint32_t *a; /* (rows, pair1 - pair0), rounded */
    float *c;
    int from_c;
};

static void multiply(const struct iolk_ops *ops, const struct piece *x, const struct iol_packed *b,
                     const struct iol_gemm_part *part, size_t panel_end, size_t ld_c)
{
    const size_t pairs = b->k / 2 + b->k % 2, depth = x->pair1 - x->pair0;
    const size_t tiles = (x->rows + IOLK_MR - 1) / IOLK_MR, lines = depth * IOLK_NR / 16;
    for (size_t p = part->panel_begin; p < panel_end; p++) {
        const uint32_t *panel = b->pairs + (p * pairs + x->pair0) * IOLK_NR;
        const float *bias = b->bias && !part->no_bias ? b->bias + p * IOLK_NR : NULL;
        const uint32_t *next =
            x->rows < IOLK_MR || p + 1 == panel_end ? NULL : panel + pairs * IOLK_NR;
        const size_t n = b->n - p * IOLK_NR < IOLK_NR ? b->n - p * IOLK_NR : IOLK_NR;
        for (size_t t = 0; t < tiles; t++) {
            const size_t row = x->rows * t / tiles, rows = x->rows * (t + 1) / tiles - row;
            const size_t line0 = lines * t / tiles, line1 = lines * (t + 1) / tiles;
            float *c = x->c + row * ld_c + (p - part->panel_begin) * IOLK_NR;
            const struct iolk_fetch fetch =
                iol_fetch(ops, x->rows, next ? next + line0 * 16 : NULL, line1 - line0);
            ops->fast->gemm_bf16dot(rows, n, depth, x->a + row * depth, depth, panel,
                                    x->from_c ? c : bias, x->from_c ? ld_c : 0, c, ld_c,
                                    next ? &fetch : NULL);
        }
    }
}

/* Columns k0 .. k1 of a row of A, as halves of the words of pairs from pair0; zeros around them. */
static void round_row(const struct iolk_fast *fast, const float *a, size_t k0, size_t k1,
                      size_t pair0, size_t pair1, uint16_t *out)
{
    if (k0 > 2 * pair0) {
        out[0] = 0;
    }
    if (k1 < 2 * pair1) {
        out[2 * (pair1 - pair0) - 1] = 0;
    }
    fast->round_bf16(k1 - k0, a, out + (k0 - 2 * pair0));
}

void iol_gemm_pairs(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                    const struct iol_packed *b, const struct iol_gemm_part *part, float *c,
                    size_t ld_c)
{
    alignas(64) uint16_t rounded[ROW_BLOCK * 2 * PAIR_BLOCK];
    const size_t k_begin = part->k_begin, k_end = part->k_end ? part->k_end : b->k;
    const size_t panels = (b->n + IOLK_NR - 1) / IOLK_NR,
                 panel_end = part->panel_end ? part->panel_end : panels;
    const size_t first = k_begin / 2, depth = (k_end + 1) / 2 - first;
    const size_t k_blocks = depth > PAIR_BLOCK ? (depth + PAIR_BLOCK - 1) / PAIR_BLOCK : 1;
    const size_t row_blocks = (m + ROW_BLOCK - 1) / ROW_BLOCK;
    assert(k_begin <= k_end && k_end <= b->k && panel_end <= panels && b->pairs);
    for (size_t i = 0; i < row_blocks; i++) {
        const size_t row = m * i / row_blocks, rows = m * (i + 1) / row_blocks - row;
        for (size_t j = 0; j < k_blocks; j++) {
            const struct piece x = {.rows = rows,
                                    .pair0 = first + depth * j / k_blocks,
                                    .pair1 = first + depth * (j + 1) / k_blocks,
                                    .a = (const uint32_t *)(const void *)rounded,
                                    .c = c + row * ld_c,
                                    .from_c = part->accumulate || j > 0};
            const size_t k0 = 2 * x.pair0 > k_begin ? 2 * x.pair0 : k_begin,
                         k1 = 2 * x.pair1 < k_end ? 2 * x.pair1 : k_end;
            for (size_t r = 0; r < rows; r++) {
                round_row(ops->fast, a + (row + r) * ld_a + (k0 - k_begin), k0, k1, x.pair0,
                          x.pair1, rounded + r * 2 * (x.pair1 - x.pair0));
            }
            multiply(ops, &x, b, part, panel_end, ld_c);
        }
    }
}
