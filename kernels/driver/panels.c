#include "driver/panels.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "driver/gemm.h"
#include "half.h"
#include "panel_layout.h"

/* --- sizes -------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    size_t block_bytes, block_weights;
} dtypes[IOL_PANEL_DTYPE_COUNT] = {{"f32", 4, 1},
#define D(dtype, UPPER, bytes, weights) {#dtype, bytes, weights},
                                   IOL_PANEL_DTYPES(D)
#undef D
};

const char *iol_panel_dtype_name(enum iol_panel_dtype dtype)
{
    return (unsigned)dtype < IOL_PANEL_DTYPE_COUNT ? dtypes[dtype].name : "?";
}

size_t iol_panel_row_bytes(enum iol_panel_dtype dtype, size_t k)
{
    return k % dtypes[dtype].block_weights
               ? 0
               : k / dtypes[dtype].block_weights * dtypes[dtype].block_bytes;
}

static size_t one_panel(enum iol_panel_dtype dtype, size_t k)
{
    switch (dtype) {
#define D(dtype, UPPER, bytes, weights)                                                            \
    case IOL_PANEL_##UPPER:                                                                        \
        return iolk_panel_bytes_##dtype(k);
        IOL_PANEL_DTYPES(D)
#undef D
    case IOL_PANEL_F32:
    case IOL_PANEL_DTYPE_COUNT:
    default:
        return k * IOLK_NR * sizeof(float);
    }
}

size_t iol_panel_bytes(enum iol_panel_dtype dtype, size_t n, size_t k)
{
    /* No panel takes more than f32; at most 255 steps are added to k. */
    size_t columns, steps, bytes, floats;
    if (k % dtypes[dtype].block_weights || __builtin_add_overflow(n, IOLK_NR - 1, &columns) ||
        __builtin_add_overflow(k, IOLK_SUPER_K, &steps) ||
        __builtin_mul_overflow(columns, steps, &floats) || floats > PTRDIFF_MAX / sizeof(float) ||
        __builtin_mul_overflow(columns / IOLK_NR, one_panel(dtype, k), &bytes)) {
        return 0;
    }
    return bytes;
}

/* --- packing -----------------------------------------------------------------------------------
 */

/* Panel of column j. */
static unsigned char *panel_of(const struct iol_packed *packed, size_t j)
{
    return (unsigned char *)packed->panels + j / IOLK_NR * one_panel(packed->dtype, packed->k);
}

const void *iol_panel_at(const struct iol_packed *packed, size_t p, size_t k)
{
    const size_t bytes = one_panel(packed->dtype, packed->k);
    return (const unsigned char *)packed->panels + p * bytes +
           (packed->k ? bytes * k / packed->k / 64 * 64 : 0);
}

/* Where the 2-byte element (k, j) of a bf16 or f16 panel lies. */
static unsigned char *half_at(const struct iol_packed *packed, unsigned char *panel, size_t k,
                              size_t j)
{
    unsigned char *group = panel + k / 2 * IOLK_GROUP_BYTES;
    return packed->dtype == IOL_PANEL_BF16 ? group + 4 * j + 2 * (k % 2)
                                           : group + IOLK_HALVES * (k % 2) + 2 * j;
}

static void pack_halves(const struct iol_packed *out, const unsigned char *row,
                        unsigned char *panel, size_t j)
{
    for (size_t k = 0; k < out->k; k++) {
        memcpy(half_at(out, panel, k, j), row + 2 * k, 2);
    }
}

static void put_nibble(unsigned char *data, size_t k, size_t j, unsigned nibble)
{
    unsigned char *byte = data + k / 8 * IOLK_GROUP_BYTES + 4 * j + k % 8 / 2;
    const unsigned old = *byte, shift = k % 2 * 4;
    *byte = (unsigned char)((old & ~(15U << shift)) | nibble << shift);
}

/* Nibbles of a block of 32: ggml puts weight i and weight i + 16 into one byte. */
static void put_halves_of_16(unsigned char *data, size_t j, const unsigned char *qs)
{
    for (size_t i = 0; i < 16; i++) {
        put_nibble(data, i, j, qs[i] & 15U);
        put_nibble(data, i + 16, j, (unsigned)(qs[i] >> 4));
    }
}

static void pack_q80(unsigned char *panel, size_t block, size_t j, const unsigned char *from)
{
    unsigned char *pair = panel + block / 2 * IOLK_Q80_PAIR;
    unsigned char *data = pair + 2 * IOLK_HALVES + block % 2 * IOLK_Q80_DATA;
    memcpy(pair + block % 2 * IOLK_HALVES + 2 * j, from, 2);
    for (size_t i = 0; i < IOLK_BLOCK_K; i++) {
        data[i * IOLK_BYTES + j] = from[2 + i];
    }
}

static void pack_q40(unsigned char *panel, size_t block, size_t j, const unsigned char *from)
{
    unsigned char *pair = panel + block / 2 * IOLK_Q40_PAIR;
    memcpy(pair + block % 2 * IOLK_HALVES + 2 * j, from, 2);
    put_halves_of_16(pair + 2 * IOLK_HALVES + block % 2 * IOLK_Q4_DATA, j, from + 2);
}

static void pack_q41(unsigned char *panel, size_t block, size_t j, const unsigned char *from)
{
    unsigned char *to = panel + block * IOLK_Q41_BLOCK;
    memcpy(to + 2 * j, from, 2);
    memcpy(to + IOLK_HALVES + 2 * j, from + 2, 2);
    put_halves_of_16(to + 2 * IOLK_HALVES, j, from + 4);
}

/* Twelve bytes hold eight 6-bit scales and eight 6-bit minima. */
static void unpack_q4k_scales(const unsigned char packed[12], unsigned char scales[8],
                              unsigned char minima[8])
{
    for (size_t i = 0; i < 4; i++) {
        scales[i] = packed[i] & 63;
        minima[i] = packed[i + 4] & 63;
        scales[i + 4] = (unsigned char)((packed[i + 8] & 15) | packed[i] >> 6 << 4);
        minima[i + 4] = (unsigned char)(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
    }
}

static void pack_q4k(unsigned char *panel, size_t super, size_t j, const unsigned char *from)
{
    unsigned char *to = panel + super * IOLK_Q4K_SUPER, scales[8], minima[8];
    memcpy(to + 2 * j, from, 2);
    memcpy(to + IOLK_HALVES + 2 * j, from + 2, 2);
    unpack_q4k_scales(from + 4, scales, minima);
    unsigned char *bytes = to + 2 * IOLK_HALVES, *data = bytes + 16 * IOLK_BYTES;
    for (size_t block = 0; block < 8; block++) {
        bytes[block * IOLK_BYTES + j] = scales[block];
        bytes[(8 + block) * IOLK_BYTES + j] = minima[block];
        /* 32 bytes hold two blocks: the low nibbles one, the high nibbles the next. */
        const unsigned char *qs = from + 16 + block / 2 * 32;
        for (size_t i = 0; i < IOLK_BLOCK_K; i++) {
            put_nibble(data + block * IOLK_Q4_DATA, i, j,
                       block % 2 ? (unsigned)(qs[i] >> 4) : qs[i] & 15U);
        }
    }
}

void iol_pack_rows_stored(const void *b, size_t row_bytes, size_t row0, size_t rows,
                          struct iol_packed *out)
{
    static void (*const pack[IOL_PANEL_DTYPE_COUNT])(
        unsigned char *, size_t, size_t, const unsigned char *) = {[IOL_PANEL_Q80] = pack_q80,
                                                                   [IOL_PANEL_Q40] = pack_q40,
                                                                   [IOL_PANEL_Q41] = pack_q41,
                                                                   [IOL_PANEL_Q4K] = pack_q4k};
    assert(row0 + rows <= out->n && out->dtype != IOL_PANEL_F32);
    assert(out->k % dtypes[out->dtype].block_weights == 0);
    const size_t blocks = out->k / dtypes[out->dtype].block_weights;
    for (size_t r = 0; r < rows; r++) {
        const unsigned char *row = (const unsigned char *)b + r * row_bytes;
        unsigned char *panel = panel_of(out, row0 + r);
        const size_t j = (row0 + r) % IOLK_NR;
        if (!pack[out->dtype]) {
            pack_halves(out, row, panel, j);
            continue;
        }
        for (size_t i = 0; i < blocks; i++) {
            pack[out->dtype](panel, i, j, row + i * dtypes[out->dtype].block_bytes);
        }
    }
}

void iol_pack_columns_stored(const void *b, size_t row_bytes, size_t row0, size_t columns,
                             struct iol_packed *out)
{
    assert(row0 + columns <= out->n);
    assert(out->dtype == IOL_PANEL_BF16 || out->dtype == IOL_PANEL_F16);
    for (size_t k = 0; k < out->k; k++) {
        const unsigned char *from = (const unsigned char *)b + k * row_bytes;
        for (size_t j = row0; j < row0 + columns;) {
            unsigned char *panel = panel_of(out, j);
            const size_t rest = row0 + columns - j, room = IOLK_NR - j % IOLK_NR,
                         end = j + (rest < room ? rest : room);
            for (; j < end; j++, from += 2) {
                memcpy(half_at(out, panel, k, j % IOLK_NR), from, 2);
            }
        }
    }
}

/* --- unpacking ---------------------------------------------------------------------------------
 */

static iolk_widen_fn *widen_of(const struct iolk_ops *ops, enum iol_panel_dtype dtype)
{
    switch (dtype) {
#define D(dtype, UPPER, bytes, weights)                                                            \
    case IOL_PANEL_##UPPER:                                                                        \
        return ops->widen_##dtype;
        IOL_PANEL_DTYPES(D)
#undef D
    case IOL_PANEL_F32:
    case IOL_PANEL_DTYPE_COUNT:
    default:
        return NULL;
    }
}

static iolk_gemm_widened_fn *gemm_of(const struct iolk_ops *ops, enum iol_panel_dtype dtype)
{
    switch (dtype) {
#define D(dtype, UPPER, bytes, weights)                                                            \
    case IOL_PANEL_##UPPER:                                                                        \
        return ops->gemm_##dtype;
        IOL_PANEL_DTYPES(D)
#undef D
    case IOL_PANEL_F32:
    case IOL_PANEL_DTYPE_COUNT:
    default:
        return NULL;
    }
}

void iol_panel_widen(const struct iolk_ops *ops, const struct iol_packed *packed, size_t p,
                     size_t k0, size_t k1, float *out)
{
    assert(p * IOLK_NR < packed->n && k0 <= k1 && k1 <= packed->k);
    widen_of(ops, packed->dtype)(k0, k1, panel_of(packed, p * IOLK_NR), out);
}

/* Steps of k widened at a time where no speed is needed. */
enum { FEW = 16 };

void iol_packed_row_widened(const struct iol_packed *packed, size_t j, float *out_row)
{
    struct iolk_ops ops;
    float few[FEW * IOLK_NR];
    assert(j < packed->n);
    if (packed->dtype == IOL_PANEL_BF16 || packed->dtype == IOL_PANEL_F16) {
        unsigned char *panel = panel_of(packed, j);
        for (size_t k = 0; k < packed->k; k++) {
            const unsigned char *p = half_at(packed, panel, k, j % IOLK_NR);
            const uint32_t half = (uint32_t)p[0] | (uint32_t)p[1] << 8, wide = half << 16;
            if (packed->dtype == IOL_PANEL_F16) {
                out_row[k] = iolk_half_widen(half);
            } else {
                memcpy(out_row + k, &wide, sizeof wide);
            }
        }
        return;
    }
    iolk_ops_fill(1U << IOLK_ISA_SCALAR, &ops); /* all ISAs give the same bits */
    for (size_t k = 0; k < packed->k; k += FEW) {
        const size_t end = packed->k - k < FEW ? packed->k : k + FEW;
        widen_of(&ops, packed->dtype)(k, end, panel_of(packed, j), few);
        for (size_t i = k; i < end; i++) {
            out_row[i] = few[(i - k) * IOLK_NR + j % IOLK_NR];
        }
    }
}

void iol_packed_column(const struct iol_packed *packed, size_t k, float *out_column)
{
    struct iolk_ops ops;
    float widened[IOLK_NR];
    assert(k < packed->k);
    iolk_ops_fill(1U << IOLK_ISA_SCALAR, &ops);
    for (size_t j = 0; j < packed->n; j += IOLK_NR) {
        const float *step = packed->panels + j * packed->k + k * IOLK_NR;
        if (packed->dtype != IOL_PANEL_F32) {
            widen_of(&ops, packed->dtype)(k, k + 1, panel_of(packed, j), widened);
            step = widened;
        }
        const size_t columns = packed->n - j < IOLK_NR ? packed->n - j : IOLK_NR;
        memcpy(out_column + j, step, columns * sizeof *step);
    }
}

/* --- the product -------------------------------------------------------------------------------
 */

enum {
    SLICE_K = 768, /* steps of a widened slice: 144 KiB */
    SLICE_GRAIN = 64,
    LINE = 64
};

/* One block of rows, more than IOLK_WIDE_MR, on one slice of k, all panels of the part. The first
 * rows are computed on weights widened in registers, which stay behind for the others. */
struct slice {
    size_t rows, k0, k1;
    const float *a;    /* at (first row, k0) */
    float *c;          /* at the first row */
    int from_c;        /* chains continue from C */
    const void *after; /* weights that are read next, or NULL */
};

static void slice_product(const struct iolk_ops *ops, const struct slice *x, size_t ld_a,
                          const struct iol_packed *b, const struct iol_gemm_part *part,
                          size_t panel_end, size_t ld_c)
{
    _Alignas(64) float widened[SLICE_K * IOLK_NR]; /* vectors that cross no cache line */
    iolk_gemm_widened_fn *const gemm = gemm_of(ops, b->dtype);
    const size_t depth = x->k1 - x->k0, first_rows = IOLK_WIDE_MR, rest = x->rows - first_rows;
    const size_t lines = (one_panel(b->dtype, b->k) * depth / b->k + LINE - 1) / LINE;
    for (size_t p = part->panel_begin; p < panel_end; p++) {
        /* The same slice of the next panel comes into L2 while this one is used. */
        const void *next = p + 1 < panel_end ? iol_panel_at(b, p + 1, x->k0) : x->after;
        const float *bias = b->bias && !part->no_bias ? b->bias + p * IOLK_NR : NULL;
        const size_t n = b->n - p * IOLK_NR < IOLK_NR ? b->n - p * IOLK_NR : IOLK_NR;
        float *to = x->c + (p - part->panel_begin) * IOLK_NR;
        gemm(first_rows, n, x->k0, x->k1, x->a, ld_a, panel_of(b, p * IOLK_NR), 0, IOLK_FETCH_L1,
             x->from_c ? to : bias, x->from_c ? ld_c : 0, to, ld_c, widened);
        to += first_rows * ld_c;
        const struct iolk_fetch fetch = iol_fetch(ops, rest, next, lines);
        ops->gemm_f32(rest, n, depth, x->a + first_rows * ld_a, ld_a, widened, IOLK_NR,
                      x->from_c ? to : bias, x->from_c ? ld_c : 0, to, ld_c, next ? &fetch : NULL);
    }
}

/* As in iol_fetch: where L1 is small, fetches of a byte a weight hold all its miss buffers, and for
 * one or two rows of two bytes a weight the processor's own prefetchers, undisturbed, bring more.
 * Where L2 is large, two bytes a weight for several rows come faster into it (the others do not
 * wait for memory, and one row takes four streams). */
static enum iolk_panel_fetch narrow_fetch(const struct iolk_ops *ops, size_t m,
                                          enum iol_panel_dtype dtype)
{
    if (!iol_small_l1(ops)) {
        return iol_large_l2(ops) && m > 1 && dtypes[dtype].block_weights == 1 ? IOLK_FETCH_L2
                                                                              : IOLK_FETCH_L1;
    }
    if (dtypes[dtype].block_weights == 1) {
        return m <= 2 ? IOLK_FETCH_NONE : IOLK_FETCH_L1;
    }
    return dtype == IOL_PANEL_Q80 && m == 1 ? IOLK_FETCH_L2 : IOLK_FETCH_L1;
}

/* Of a single row: two panels of quantised weights, whose chains it waits for. Where L2 is large
 * memory gives more to four streams, if their constants leave the registers for that; elsewhere two
 * streams of two bytes a weight cost 3 to 6 %. */
size_t iol_narrow_at_once(const struct iolk_ops *ops, enum iol_panel_dtype dtype)
{
    const bool small_blocks = dtypes[dtype].block_weights == 1;
    if (iol_large_l2(ops) && (small_blocks || dtype == IOL_PANEL_Q80)) {
        return IOLK_WIDE_PANELS;
    }
    return small_blocks ? 1 : 2;
}

/* All of k in one call per panel, or some panels, weights widened in registers. */
static void narrow_product(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                           const struct iol_packed *b, const struct iol_gemm_part *part,
                           size_t k_end, size_t panel_end, float *c, size_t ld_c)
{
    iolk_gemm_widened_fn *const gemm = gemm_of(ops, b->dtype);
    const size_t bytes = one_panel(b->dtype, b->k);
    const size_t at_once = iol_panels_at_once(ops, m, b);
    const enum iolk_panel_fetch how = narrow_fetch(ops, m, b->dtype);
    /* The kernel fetches its streams from so many bytes on: their beginnings, all at once. */
    const char *first = iol_panel_at(b, part->panel_begin, part->k_begin);
    for (size_t i = 0; i < IOLK_PANEL_AHEAD && i < bytes; i += LINE) {
        for (size_t p = 0; p < at_once; p++) {
            __builtin_prefetch(first + p * bytes + i);
        }
    }
    for (size_t p = part->panel_begin, panels; p < panel_end; p += panels) {
        panels = panel_end - p < at_once ? panel_end - p : at_once;
        const float *bias = b->bias && !part->no_bias ? b->bias + p * IOLK_NR : NULL;
        const size_t most = panels * IOLK_NR, rest = b->n - p * IOLK_NR;
        float *to = c + (p - part->panel_begin) * IOLK_NR;
        gemm(m, rest < most ? rest : most, part->k_begin, k_end, a, ld_a, panel_of(b, p * IOLK_NR),
             bytes, how, part->accumulate ? to : bias, part->accumulate ? ld_c : 0, to, ld_c, NULL);
    }
}

void iol_gemm_widened(const struct iolk_ops *ops, size_t m, const float *a, size_t ld_a,
                      const struct iol_packed *b, const struct iol_gemm_part *part, float *c,
                      size_t ld_c)
{
    const size_t k_end = part->k_end ? part->k_end : b->k, depth = k_end - part->k_begin;
    const size_t panels = (b->n + IOLK_NR - 1) / IOLK_NR,
                 panel_end = part->panel_end ? part->panel_end : panels;
    assert(b->dtype > IOL_PANEL_F32 && b->dtype < IOL_PANEL_DTYPE_COUNT && b->k > 0);
    if (m <= IOLK_WIDE_MR) {
        narrow_product(ops, m, a, ld_a, b, part, k_end, panel_end, c, ld_c);
        return;
    }
    /* Slices of equal size, cut where groups and blocks end. */
    const size_t slices = depth > SLICE_K ? (depth + SLICE_K - 1) / SLICE_K : 1;
    const size_t each = (depth + slices - 1) / slices + !depth,
                 step = (each + SLICE_GRAIN - 1) / SLICE_GRAIN * SLICE_GRAIN;
    /* Rows whose slice of A takes three quarters of what the slice of this panel as f32 and of the
     * next as stored, at most half of that, leave of L2. */
    const size_t bytes = sizeof(float) * (step < depth ? step : depth + 1),
                 both = bytes * IOLK_NR * 3 / 2,
                 fit = both < ops->l2_bytes ? (ops->l2_bytes - both) / 4 * 3 / bytes : 0;
    const size_t most = fit < 4 * IOLK_MR ? 4 * IOLK_MR : fit, blocks = (m + most - 1) / most;
    for (size_t i = 0; i < blocks; i++) {
        const size_t row = m * i / blocks, rows = m * (i + 1) / blocks - row;
        size_t k0 = part->k_begin;
        do {
            const size_t next = k0 - k0 % SLICE_GRAIN + step;
            const int more = next < k_end, again = i + 1 < blocks;
            const size_t next_k = more ? next : part->k_begin;
            const struct slice x = {
                .rows = rows,
                .k0 = k0,
                .k1 = more ? next : k_end,
                .after = more || again ? iol_panel_at(b, part->panel_begin, next_k) : part->after,
                .a = a + row * ld_a + (k0 - part->k_begin),
                .c = c + row * ld_c,
                .from_c = part->accumulate || k0 > part->k_begin};
            slice_product(ops, &x, ld_a, b, part, panel_end, ld_c);
            k0 = x.k1;
        } while (k0 < k_end);
    }
}
