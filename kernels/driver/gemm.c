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

enum { LEAST_ROWS = 4 * IOLK_MR }; /* of a block of rows */
/* Weights three times as large as L2 are far: nothing of them stays there, of a half of them, where
 * two threads share them, neither. */
enum { FAR_L2S = 3, FAR_ROWS = 6 };

/* Up to 32 rows wait for weights that come from memory: those are fetched into a large L2 as
 * several streams, each of a page and a half at least. A processor looks ahead within a page only,
 * and of several pages further in all: from memory 16 rows are 1.25 times as fast. */
enum { STREAM_LINES = 96, MOST_STREAMS = 8 };

size_t iol_panels_at_once(const struct iolk_ops *ops, size_t rows, const struct iol_packed *b)
{
    if (ops->fast && b->rounded) {
        return 1;
    }
    if (b->dtype != IOL_PANEL_F32) {
        return rows == 1 ? iol_narrow_at_once(ops, b->dtype) : 1;
    }
    return rows <= IOLK_SIDE_MR && iol_large_l2(ops) ? IOLK_MR / rows : 1;
}

/* One piece: rows of one block, columns k0 .. k1 of A, some panels. */
struct piece {
    size_t rows, k0, k1; /* k relative to the packed matrix */
    size_t panel, panel_end;
    const float *a;     /* at (first row, k0) */
    float *c;           /* at the first row, first column of the panels */
    int from_c;         /* chains continue from C */
    const float *after; /* weights that the next piece begins with, or NULL */
    size_t lines;       /* of each next piece of a panel, to be fetched */
};

static size_t lines_of(size_t steps)
{
    return steps * IOLK_NR / 16;
}

static void gemm_piece(const struct iolk_ops *ops, const struct piece *x, size_t ld_a,
                       const struct iol_packed *b, bool no_bias, size_t ld_c)
{
    const bool far = ops->l2_bytes > 0 && b->n * b->k * sizeof(float) / ops->l2_bytes >= FAR_L2S;
    const size_t side = iol_panels_at_once(ops, x->rows, b),
                 whole = b->n / IOLK_NR < x->panel_end ? b->n / IOLK_NR : x->panel_end;
    for (size_t p = x->panel, count; p < x->panel_end; p += count) {
        const float *panel = b->panels + p * IOLK_NR * b->k + x->k0 * IOLK_NR;
        const float *bias = b->bias && !no_bias ? b->bias + p * IOLK_NR : NULL;
        float *c = x->c + (p - x->panel) * IOLK_NR;
        const float *init = x->from_c ? c : bias;
        const size_t ld_init = x->from_c ? ld_c : 0;
        if (side > 1 && p < whole) {
            count = whole - p < side ? whole - p : side;
            ops->panels_f32(x->rows, count, x->k1 - x->k0, x->a, ld_a, panel, b->k * IOLK_NR, init,
                            ld_init, c, ld_c);
            continue;
        }
        count = 1;
        /* The next panel is fetched while this one is used. Rows of a single tile are bound by the
         * stream of weights itself: they fetch that, further on, and six and more of them far
         * weights into a large L2. One row does not (it would lose where weights come from L2), and
         * where L1 is small it is told so. */
        const bool single = x->rows <= IOLK_MR;
        const float *next = p + 1 < x->panel_end ? panel + IOLK_NR * b->k : x->after;
        struct iolk_fetch fetch = iol_fetch(ops, x->rows, single ? NULL : next, x->lines);
        fetch.into_l2 |= single && far && iol_large_l2(ops) && x->rows >= FAR_ROWS;
        fetch.far = far;
        if (!single && x->rows <= LEAST_ROWS && iol_large_l2(ops)) {
            const size_t streams = x->lines / STREAM_LINES;
            fetch.streams = streams < MOST_STREAMS ? streams : MOST_STREAMS;
        }
        const size_t n = b->n - p * IOLK_NR < IOLK_NR ? b->n - p * IOLK_NR : IOLK_NR;
        ops->gemm_f32(x->rows, n, x->k1 - x->k0, x->a, ld_a, panel, IOLK_NR, init, ld_init, c, ld_c,
                      (x->rows > 1 || fetch.into_l2) && (single || next) ? &fetch : NULL);
    }
}

struct call {
    const struct iolk_ops *ops;
    size_t m, ld_a, ld_c;
    const float *a;
    float *c;
    const struct iol_packed *b;
    const struct iol_gemm_part *part;
    size_t k_begin, depth;
};

/* Rows whose slice of A stays in L2 while panel after panel passes by: it takes three quarters of
 * what two panels' pieces, this one and the next, leave. */
static size_t rows_in_l2(const struct iolk_ops *ops, size_t slice, size_t piece)
{
    const size_t two = 2 * sizeof(float) * IOLK_NR * (piece + 1);
    return two < ops->l2_bytes ? (ops->l2_bytes - two) / 4 * 3 / (sizeof(float) * (slice + 1)) : 0;
}

/* Few rows, all of A in L2: panel by panel from end to end, so that memory sees one stream. */
static bool panel_by_panel(const struct call *x)
{
    return x->m > IOLK_MR && x->m <= LEAST_ROWS &&
           x->m <= rows_in_l2(x->ops, x->depth, IOL_K_WALKED);
}

/* In how many pieces k is walked. A single tile uses no weight twice and walks each panel from end
 * to end. Few rows that fetch into a large L2, panel by panel, take shorter pieces: the next one is
 * fetched a shorter way ahead, which memory answers faster. Below sixteen rows, where memory or L2
 * binds anyway, two of them fit into L1, so that the second tile reads its weights there; more rows
 * would pay more for C than that brings. */
static size_t pieces_of_k(const struct call *x)
{
    enum { FEW = 2 * IOLK_MR };
    const size_t l1_steps = x->ops->l1_bytes / (IOLK_NR * sizeof(float));
    const bool near = panel_by_panel(x) && iol_large_l2(x->ops) && l1_steps >= FEW;
    if (near && x->m < FEW) {
        const size_t steps = l1_steps / 2, pieces = (x->depth + steps / 2) / steps;
        return pieces > 1 ? pieces : 1;
    }
    if (x->m <= IOLK_MR || x->depth <= IOL_K_WALKED) {
        return 1;
    }
    const size_t steps = near && l1_steps < IOL_K_WALKED ? l1_steps : IOL_K_WALKED;
    return (x->depth + steps - 1) / steps;
}

/* The first panel, which nobody has fetched: the tiles wait for a quarter of it, and the rest comes
 * while they use that. Fewer rows wait for memory all the time; up to 32 gain where L1 has buffers
 * for misses beside the loads. */
static bool begins_cold(const struct call *x, const struct piece *work)
{
    enum { LEAST_DEPTH = 64 };
    const bool many = iol_large_l2(x->ops) || iol_small_l1(x->ops);
    const size_t least = many ? LEAST_ROWS + 1 : 3 * IOLK_MR;
    return !x->part->fetched && work->rows >= least && work->k1 - work->k0 >= LEAST_DEPTH;
}

static void begin_cold(const struct call *x, const struct piece *work)
{
    const size_t panel_floats = x->b->k * IOLK_NR, cut = work->k0 + (work->k1 - work->k0) / 4;
    const float *panel = x->b->panels + work->panel * panel_floats;
    struct piece some = *work;
    some.panel_end = work->panel + 1;
    some.k1 = cut;
    some.after = panel + cut * IOLK_NR;
    some.lines = lines_of(work->k1 - cut);
    gemm_piece(x->ops, &some, x->ld_a, x->b, x->part->no_bias, x->ld_c);
    some.a += cut - work->k0;
    some.k0 = cut;
    some.k1 = work->k1;
    some.from_c = true;
    some.after =
        some.panel_end < work->panel_end ? panel + panel_floats + work->k0 * IOLK_NR : work->after;
    some.lines = work->lines;
    gemm_piece(x->ops, &some, x->ld_a, x->b, x->part->no_bias, x->ld_c);
}

/* Some panels: block by block of rows; for each, a slice of k of every panel. */
static void walk_panels(const struct call *x, size_t panel, size_t panel_end, const float *after)
{
    const size_t k_blocks = pieces_of_k(x);
    const size_t piece = x->depth / k_blocks, fit = rows_in_l2(x->ops, piece, piece),
                 most = fit < LEAST_ROWS ? LEAST_ROWS : fit, row_blocks = (x->m + most - 1) / most;
    const float *first = x->b->panels + (panel * x->b->k + x->k_begin) * IOLK_NR;
    for (size_t i = 0; i < row_blocks; i++) {
        const size_t row = x->m * i / row_blocks, rows = x->m * (i + 1) / row_blocks - row;
        for (size_t j = 0; j < k_blocks; j++) {
            const size_t from = x->depth * j / k_blocks, to = x->depth * (j + 1) / k_blocks,
                         next_k = j + 1 < k_blocks ? to : 0;
            const bool more = j + 1 < k_blocks || i + 1 < row_blocks;
            struct piece work = {.rows = rows,
                                 .k0 = x->k_begin + from,
                                 .k1 = x->k_begin + to,
                                 .panel = panel,
                                 .panel_end = panel_end,
                                 .a = x->a + row * x->ld_a + from,
                                 .c = x->c + row * x->ld_c +
                                      (panel - x->part->panel_begin) * IOLK_NR,
                                 .from_c = x->part->accumulate || j > 0,
                                 .after = more ? first + next_k * IOLK_NR : after,
                                 .lines = lines_of(to - from)};
            if (i == 0 && j == 0 && panel == x->part->panel_begin && begins_cold(x, &work)) {
                begin_cold(x, &work);
                work.panel++;
                work.c += IOLK_NR;
            }
            gemm_piece(x->ops, &work, x->ld_a, x->b, x->part->no_bias, x->ld_c);
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
    if (ops->fast && b->rounded) {
        iol_gemm_rounded(ops, m, a, ld_a, b, part, c, ld_c);
        return;
    }
    if (b->dtype != IOL_PANEL_F32) {
        iol_gemm_widened(ops, m, a, ld_a, b, part, c, ld_c);
        return;
    }
    const struct call x = {.ops = ops,
                           .m = m,
                           .ld_a = ld_a,
                           .ld_c = ld_c,
                           .a = a,
                           .c = c,
                           .b = b,
                           .part = part,
                           .k_begin = k_begin,
                           .depth = depth};
    const size_t at_once = panel_by_panel(&x) ? 1 : panel_end - part->panel_begin;
    for (size_t p = part->panel_begin, next; p < panel_end; p = next) {
        next = p + at_once;
        walk_panels(&x, p, next,
                    next < panel_end ? b->panels + (next * b->k + k_begin) * IOLK_NR : part->after);
    }
}
