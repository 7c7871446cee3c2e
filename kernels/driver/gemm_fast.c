#include "driver/gemm_fast.h"

#include <assert.h>
#include <math.h>
#include <stdalign.h>
#include <string.h>

#include "fast/int8_blocks.h"

/* Nearest, ties to even. Finite x; what would round to infinity becomes infinity. */
static uint32_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

/* One block of a column, `count` weights of it, the words IOLK_NR apart. */
static void fill_bf16(const float *weights, size_t count, uint32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i / 2 * IOLK_NR] |= bf16_of(weights[i]) << (i % 2 * 16);
    }
}

static void fill_bf16x32(const float *weights, size_t count, uint32_t *out)
{
    fill_bf16(weights, count, out);
}

static void fill_int8(const float *weights, size_t count, uint32_t *out)
{
    enum { ZERO = 0x80 };
    float largest = 0;
    for (size_t i = 0; i < count; i++) {
        largest = fabsf(weights[i]) > largest ? fabsf(weights[i]) : largest;
    }
    const float inverse = int8_inverse(largest), scale = largest / 127.0f;
    for (size_t i = 0; i < BLOCK; i++) {
        const long q = i < count ? lrintf(weights[i] * inverse) : 0;
        out[i / 4 * IOLK_NR] |= (uint32_t)(q + ZERO) << (i % 4 * 8);
    }
    memcpy(&out[SCALE * IOLK_NR], &scale, sizeof scale);
}

static void (*const fill[])(const float *weights, size_t count, uint32_t *out) = {
#define F(format, UPPER, k, b_rows, a_words, everywhere) [IOLK_FAST_##UPPER] = fill_##format,
    IOLK_FAST_FORMATS(F)
#undef F
};

static size_t blocks_of(const struct iolk_fast *f, size_t k)
{
    return k / f->k + (k % f->k != 0);
}

size_t iol_rounded_words(const struct iolk_fast *f, size_t n, size_t k)
{
    size_t rows;
    return __builtin_mul_overflow(blocks_of(f, k), f->b_rows, &rows) ? 0
                                                                     : iol_packed_floats(n, rows);
}

void iol_rounded_fill(const struct iolk_fast *f, const struct iol_packed *packed, float *row,
                      uint32_t *out_words)
{
    const size_t k = packed->k, blocks = blocks_of(f, k), panel = blocks * f->b_rows * IOLK_NR;
    memset(out_words, 0, iol_rounded_words(f, packed->n, k) * sizeof *out_words);
    for (size_t j = 0; j < packed->n; j++) {
        uint32_t *column = out_words + j / IOLK_NR * panel + j % IOLK_NR;
        iol_packed_row(packed, j, row);
        for (size_t i = 0; i < blocks; i++) {
            const size_t left = k - i * f->k;
            fill[f->format](row + i * f->k, left < f->k ? left : f->k,
                            column + i * f->b_rows * IOLK_NR);
        }
    }
}

/* As in gemm.c: k walked at a time (whole blocks of every format), rows of A rounded at a time
 * where a kernel takes fewer. */
enum { WALKED = IOL_K_WALKED, ROW_BLOCK = 8 * IOLK_MR, MOST_WORDS = WALKED / 2 };
#define F(format, UPPER, k, b_rows, a_words, everywhere)                                           \
    _Static_assert(WALKED % (k) == 0 && WALKED / (k) * (a_words) <= MOST_WORDS,                    \
                   "a piece is whole blocks, and a row of it fits");
IOLK_FAST_FORMATS(F)
#undef F
_Static_assert((int)ROW_BLOCK <= (int)IOLK_FAST_ROWS, "a block of rows fits");

struct piece {
    size_t rows, block0, block1;
    const uint32_t *a; /* (rows, a_words * (block1 - block0)), rounded */
    float *c;
    int from_c;
};

static void multiply(const struct iolk_ops *ops, const struct piece *x, const struct iol_packed *b,
                     const struct iol_gemm_part *part, size_t panel_end, size_t ld_c)
{
    const struct iolk_fast *f = ops->fast;
    const size_t depth = x->block1 - x->block0, ld_a = depth * f->a_words,
                 panel_words = blocks_of(f, b->k) * f->b_rows * IOLK_NR;
    const size_t tiles = (x->rows + f->rows - 1) / f->rows,
                 lines = depth * f->b_rows * IOLK_NR / 16;
    for (size_t p = part->panel_begin; p < panel_end; p++) {
        const uint32_t *panel = b->rounded + p * panel_words + x->block0 * f->b_rows * IOLK_NR;
        const float *bias = b->bias && !part->no_bias ? b->bias + p * IOLK_NR : NULL;
        const uint32_t *next = x->rows < IOLK_MR || p + 1 == panel_end ? NULL : panel + panel_words;
        const size_t n = b->n - p * IOLK_NR < IOLK_NR ? b->n - p * IOLK_NR : IOLK_NR;
        for (size_t t = 0; t < tiles; t++) {
            const size_t row = x->rows * t / tiles, rows = x->rows * (t + 1) / tiles - row;
            const size_t line0 = lines * t / tiles, line1 = lines * (t + 1) / tiles;
            float *c = x->c + row * ld_c + (p - part->panel_begin) * IOLK_NR;
            const struct iolk_fetch fetch =
                iol_fetch(ops, x->rows, next ? next + line0 * 16 : NULL, line1 - line0);
            f->gemm(rows, n, depth, x->a + row * ld_a, ld_a, panel, x->from_c ? c : bias,
                    x->from_c ? ld_c : 0, c, ld_c, next ? &fetch : NULL);
        }
    }
}

void iol_gemm_rounded(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                      const struct iol_packed *b, const struct iol_gemm_part *part, float *c,
                      size_t ld_c)
{
    const struct iolk_fast *f = ops->fast;
    alignas(64) uint32_t rounded[IOLK_FAST_ROWS * MOST_WORDS];
    const size_t k_begin = part->k_begin, k_end = part->k_end ? part->k_end : b->k;
    const size_t panels = (b->n + IOLK_NR - 1) / IOLK_NR,
                 panel_end = part->panel_end ? part->panel_end : panels;
    const size_t first = k_begin / f->k, depth = blocks_of(f, k_end) - first,
                 walked = WALKED / f->k;
    const size_t pieces = depth > walked ? (depth + walked - 1) / walked : 1;
    const size_t at_once = f->rows > ROW_BLOCK ? f->rows : ROW_BLOCK,
                 row_blocks = (m + at_once - 1) / at_once;
    assert(k_begin <= k_end && k_end <= b->k && panel_end <= panels && b->rounded);
    for (size_t i = 0; i < row_blocks; i++) {
        const size_t row = m * i / row_blocks, rows = m * (i + 1) / row_blocks - row;
        for (size_t j = 0; j < pieces; j++) {
            const struct piece x = {.rows = rows,
                                    .block0 = first + depth * j / pieces,
                                    .block1 = first + depth * (j + 1) / pieces,
                                    .a = rounded,
                                    .c = c + row * ld_c,
                                    .from_c = part->accumulate || j > 0};
            const size_t k0 = x.block0 * f->k > k_begin ? x.block0 * f->k : k_begin,
                         k1 = x.block1 * f->k < k_end ? x.block1 * f->k : k_end;
            for (size_t r = 0; r < rows; r++) {
                f->round(k0 - x.block0 * f->k, k1 - k0, a + (row + r) * ld_a + (k0 - k_begin),
                         rounded + r * (x.block1 - x.block0) * f->a_words);
            }
            multiply(ops, &x, b, part, panel_end, ld_c);
        }
    }
}
