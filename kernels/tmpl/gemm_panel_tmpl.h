/* gemm over a panel of widened weights (panel_layout.h), for DTYPE and the vocabulary included
 * before: LANES * VECTORS_OF(rows) columns and up to ROWS rows at a time stay in registers through
 * all of k, each weight is widened there once and used by every row (the outer-product micro-kernel
 * of Goto and van de Geijn, 2008).
 *
 *   per group: 3 cache lines of weights, fetched IOLK_PANEL_AHEAD ahead
 *   per k:     for each vector widen, and an FMA for each row; A broadcast
 *   per block: for each vector a scale (and an offset)
 *
 * A single row is one chain of FMAs per column: three vectors are three chains, and each waits for
 * itself. Where a panel is three vectors, one row takes two panels side by side; and four (PANELS 4
 * before this file) where their constants leave the registers. */
#include "../panel_dtypes.h"

#include <assert.h>

enum { LINE = 64, PAIRED = LANES * 3 == IOLK_NR, MOST_PANELS = PAIRED ? PANELS : 1 };
/* What an ISA with few registers decides itself: how many vectors of a panel so many rows walk
 * together (VECTORS at most); whether all weights of a step are widened before the first row
 * multiplies by them, and words are read again for each step; the registers of the sums. */
#ifndef VECTORS_OF
#define VECTORS_OF(rows)      VECTORS
#define ROW_BY_ROW(rows)      0
#define SUM(r, v)             vf acc##r##v = vf_zero()
#define ACCUMULATE(acc, a, b) acc = vf_fma_in_place(acc, a, b)
#endif
#define FETCH(stream, bytes)                                                                       \
    if (first_pass) {                                                                              \
        /* Of panels side by side, the last part fetches from those that follow. */                \
        const unsigned char *ahead =                                                               \
            (stream) + IOLK_PANEL_AHEAD + ((stream) >= near_end ? (panels - 1) * next_panel : 0);  \
        fetch_lines(ahead, (size_t)(bytes), into_l2);                                              \
        if (panels > 1) {                                                                          \
            fetch_lines(ahead + next_panel, (size_t)(bytes), into_l2);                             \
        }                                                                                          \
        if (panels > 2) {                                                                          \
            fetch_lines(ahead + 2 * next_panel, (size_t)(bytes), into_l2);                         \
            fetch_lines(ahead + 3 * next_panel, (size_t)(bytes), into_l2);                         \
        }                                                                                          \
    }

#define EACH_ROW(X)         X(0) X(1) X(2) X(3)
#define CELL_OF_ROW_0(v)    CELL(0, v)
#define CELL_OF_ROW_1(v)    CELL(1, v)
#define CELL_OF_ROW_2(v)    CELL(2, v)
#define CELL_OF_ROW_3(v)    CELL(3, v)
#define EACH_CELL_OF_ROW(r) EACH_VECTOR(CELL_OF_ROW_##r)

/* At most three lines; always inlined, as fetch is. */
PART void fetch_lines(const unsigned char *p, const size_t bytes, const int into_l2)
{
    if (bytes > 0) {
        fetch(p, into_l2);
    }
    if (bytes > LINE) {
        fetch(p + LINE, into_l2);
    }
    if (bytes > 2 * LINE) {
        fetch(p + 2 * LINE, into_l2);
    }
}

struct job {
    size_t k0, k1, n, ld_a, ld_init, ld_c; /* n: columns that exist, from column0 */
    size_t panel_bytes;                    /* from the panel to the next one */
    const float *a, *init;
    const unsigned char *panel;
    float *c, *widened; /* at step k0; NULL: nothing is stored */
};

/* The first min(n, LANES) elements, n > 0. */
PART vf load_some(const float *p, size_t n)
{
    return n >= LANES ? vf_load(p) : vf_load_n(p, n);
}

PART void store_some(float *p, vf v, size_t n)
{
    if (n >= LANES) {
        vf_store(p, v);
    } else {
        vf_store_n(p, v, n);
    }
}

/* All but column0 and t are constants in every caller: what they exclude is not compiled. */
PART void run(const size_t rows, const size_t panels, const int first_pass, const int into_l2,
              const int store, const size_t column0, const struct job *t)
{
    const size_t vectors = VECTORS_OF(rows);
    const unsigned char *const panel = t->panel;
    const size_t n = t->n, next_panel = panels > 1 ? t->panel_bytes : 0;
    const unsigned char *const near_end =
        panel + (next_panel > IOLK_PANEL_AHEAD ? next_panel - IOLK_PANEL_AHEAD : 0);
    float *const widened = store ? t->widened - t->k0 * IOLK_NR : NULL;
#define CELL(r, v)                                                                                 \
    SUM(r, v);                                                                                     \
    if (r < rows && v < vectors * panels) {                                                        \
        acc##r##v = vf_zero();                                                                     \
        if (t->init && n > v * LANES) {                                                            \
            acc##r##v = load_some(t->init + r * t->ld_init + v * LANES, n - v * LANES);            \
        }                                                                                          \
    }
#define START(r)                                                                                   \
    const float *const a##r = t->a + (r < rows ? r : 0) * t->ld_a - t->k0;                         \
    EACH_CELL_OF_ROW(r)
    EACH_ROW(START)
#undef CELL
#define LOAD_A(r, k)                                                                               \
    vf x##r = vf_zero();                                                                           \
    if (r < rows) {                                                                                \
        x##r = vf_set1(a##r + (k));                                                                \
    }
#define WEIGHT(v, group, i, k)                                                                     \
    vf w##v = vf_zero();                                                                           \
    if (v < vectors * panels) {                                                                    \
        w##v = OF(weight)(group + far##v, at##v, i, scale##v, offset##v);                          \
        if (store) {                                                                               \
            vf_store(widened + (k)*IOLK_NR + at##v, w##v);                                         \
        }                                                                                          \
    }
#define COLUMN(v, group, i, k)                                                                     \
    if (v < vectors * panels) {                                                                    \
        WEIGHT(v, group, i, k)                                                                     \
        ACCUMULATE(acc0##v, x0, w##v);                                                             \
        if (1 < rows) {                                                                            \
            ACCUMULATE(acc1##v, x1, w##v);                                                         \
        }                                                                                          \
        if (2 < rows) {                                                                            \
            ACCUMULATE(acc2##v, x2, w##v);                                                         \
        }                                                                                          \
        if (3 < rows) {                                                                            \
            ACCUMULATE(acc3##v, x3, w##v);                                                         \
        }                                                                                          \
    }
#if PANELS > 2
#define MORE_COLUMNS(group, i, k)                                                                  \
    COLUMN(6, group, i, k)                                                                         \
    COLUMN(7, group, i, k)                                                                         \
    COLUMN(8, group, i, k) COLUMN(9, group, i, k) COLUMN(10, group, i, k) COLUMN(11, group, i, k)
#else
#define MORE_COLUMNS(group, i, k)
#endif
#define ROW(r, k)                                                                                  \
    if (r < rows) {                                                                                \
        const vf x = vf_set1(a##r + (k));                                                          \
        ACCUMULATE(acc##r##0, x, w0);                                                              \
        ACCUMULATE(acc##r##1, x, w1);                                                              \
        ACCUMULATE(acc##r##2, x, w2);                                                              \
    }
#define COLUMN_BY_COLUMN(group, i, k)                                                              \
    LOAD_A(0, k)                                                                                   \
    LOAD_A(1, k)                                                                                   \
    LOAD_A(2, k)                                                                                   \
    LOAD_A(3, k)                                                                                   \
    COLUMN(0, group, i, k)                                                                         \
    COLUMN(1, group, i, k)                                                                         \
    COLUMN(2, group, i, k)                                                                         \
    COLUMN(3, group, i, k) COLUMN(4, group, i, k) COLUMN(5, group, i, k) MORE_COLUMNS(group, i, k)
#define ALL_WEIGHTS(group, i, k)                                                                   \
    WEIGHT(0, group, i, k)                                                                         \
    WEIGHT(1, group, i, k)                                                                         \
    WEIGHT(2, group, i, k)
#define ONE(group, i, k)                                                                           \
    if (ROW_BY_ROW(rows)) {                                                                        \
        __asm__ volatile("" : : : "memory");                                                       \
        ALL_WEIGHTS(group, i, k)                                                                   \
        ROW(0, k)                                                                                  \
        ROW(1, k)                                                                                  \
        ROW(2, k)                                                                                  \
        ROW(3, k)                                                                                  \
    } else {                                                                                       \
        COLUMN_BY_COLUMN(group, i, k)                                                              \
    }
    WALK(panel, t->k0, t->k1, ONE)
#define CELL(r, v)                                                                                 \
    if (r < rows && v < vectors * panels && n > v * LANES) {                                       \
        store_some(t->c + r * t->ld_c + v * LANES, acc##r##v, n - v * LANES);                      \
    }
    EACH_ROW(EACH_CELL_OF_ROW)
#undef CELL
#undef START
#undef LOAD_A
#undef COLUMN
#undef ONE
#undef COLUMN_BY_COLUMN
#undef ALL_WEIGHTS
#undef WEIGHT
#undef ROW
#undef MORE_COLUMNS
}

#define TILE(r)                                                                                    \
    static void tile_##r(const int first_pass, const size_t column0, const struct job *t)          \
    {                                                                                              \
        if (t->widened) {                                                                          \
            run(r, 1, 0, 0, 1, column0, t);                                                        \
        } else if (first_pass) {                                                                   \
            run(r, 1, 1, 0, 0, column0, t);                                                        \
        } else {                                                                                   \
            run(r, 1, 0, 0, 0, column0, t);                                                        \
        }                                                                                          \
    }                                                                                              \
    static __attribute__((noinline)) void tile_##r##_l2(const struct job *t)                       \
    {                                                                                              \
        run(r, 1, 1, 1, 0, 0, t);                                                                  \
    }
TILE(1)
TILE(2)
#if ROWS > 2
TILE(3)
TILE(4)
#endif

static __attribute__((noinline)) void tile_pair(const struct job *t)
{
    run(1, PAIRED ? 2 : 1, 1, 0, 0, 0, t);
}

static __attribute__((noinline)) void tile_pair_l2(const struct job *t)
{
    run(1, PAIRED ? 2 : 1, 1, 1, 0, 0, t);
}

#if PANELS > 2
static __attribute__((noinline)) void tile_four(const struct job *t)
{
    run(1, MOST_PANELS, 1, 0, 0, 0, t);
}
#endif

static void (*const tiles[ROWS])(const int first_pass, const size_t column0,
                                 const struct job *t) = {
    tile_1,
    tile_2,
#if ROWS > 2
    tile_3,
    tile_4,
#endif
};

static void (*const tiles_l2[ROWS])(const struct job *t) = {
    tile_1_l2,
    tile_2_l2,
#if ROWS > 2
    tile_3_l2,
    tile_4_l2,
#endif
};

void IOLK_NAME(size_t m, size_t n, size_t k0, size_t k1, const float *a, size_t ld_a,
               const void *panel, size_t panel_bytes, enum iolk_panel_fetch how, const float *init,
               size_t ld_init, float *c, size_t ld_c, float *restrict widened)
{
    assert(m >= 1 && m <= IOLK_WIDE_MR && n >= 1 && k0 <= k1);
    assert(n <= IOLK_NR || (n <= IOLK_WIDE_PANELS * IOLK_NR && m == 1 && !widened));
    assert(m == 1 || (ld_a >= k1 - k0 && ld_c >= n));
    const int four = MOST_PANELS > 2 && n > 3 * IOLK_NR;
    if (four || (n > IOLK_NR && n <= 2 * IOLK_NR && PAIRED)) {
        const struct job t = {.k0 = k0,
                              .k1 = k1,
                              .n = n,
                              .panel_bytes = panel_bytes,
                              .a = a,
                              .init = init,
                              .panel = panel,
                              .c = c};
#if PANELS > 2
        (four ? tile_four : how == IOLK_FETCH_L2 ? tile_pair_l2 : tile_pair)(&t);
#else
        (how == IOLK_FETCH_L2 ? tile_pair_l2 : tile_pair)(&t);
#endif
        return;
    }
    if (n > IOLK_NR) {
        const size_t taken = PAIRED && n > 2 * IOLK_NR ? 2 : 1, columns = taken * IOLK_NR;
        IOLK_NAME(1, columns, k0, k1, a, ld_a, panel, panel_bytes, how, init, ld_init, c, ld_c,
                  NULL);
        IOLK_NAME(1, n - columns, k0, k1, a, ld_a,
                  (const unsigned char *)panel + taken * panel_bytes, panel_bytes, how,
                  init ? init + columns : NULL, ld_init, c + columns, ld_c, NULL);
        return;
    }
    /* Rows in passes of equal height. */
    const size_t passes = (m + ROWS - 1) / ROWS;
    for (size_t pass = 0; pass < passes; pass++) {
        const size_t row = m * pass / passes, rows = m * (pass + 1) / passes - row;
        for (size_t column = 0; column < (widened && pass == 0 ? IOLK_NR : n);
             column += LANES * (size_t)VECTORS_OF(rows)) {
            const struct job t = {.k0 = k0,
                                  .k1 = k1,
                                  .n = n > column ? n - column : 0,
                                  .ld_a = ld_a,
                                  .ld_init = ld_init,
                                  .ld_c = ld_c,
                                  .a = a + row * ld_a,
                                  .init = init && n > column ? init + row * ld_init + column : NULL,
                                  .panel = panel,
                                  .c = c + row * ld_c + column,
                                  .widened = pass == 0 ? widened : NULL};
            const int first = pass == 0 && column == 0;
            if (first && how == IOLK_FETCH_L2 && !widened) {
                tiles_l2[rows - 1](&t);
            } else {
                tiles[rows - 1](first && how != IOLK_FETCH_NONE, column, &t);
            }
        }
    }
}
