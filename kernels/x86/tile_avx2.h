/* The AVX2 tiles of gemm_f32 and mix_f32, which fit 16 registers; k runs outermost in each (the
 * outer-product micro-kernel of Goto and van de Geijn, 2008): 5-6 rows x 16 columns, 3-4 rows x 24,
 * 1-2 rows x 48. All tiles of one height and width follow one another inside one body. Where a
 * width is no multiple of 8, the last vector starts at width - 8 and computes a few columns twice
 * (equal chains, equal bits), so only widths below 8 need masks.
 *
 * Registers (6 x 16): 12 ymm of C, 2 of B, 1 of A broadcast. (4 x 24): 12, 3, 1. (2 x 48): 12,
 * 1, 2.
 *
 *            b: panel, 48 columns                        c: tiles
 *   k = 0    [b0 8][b1 8] | [b0 8][b1 8] | [b0][b1]      rows 0-5   [6 x 16] [6 x 16] [6 x 16]
 *   k = 1    [b0 8][b1 8] | [b0 8][b1 8] | [b0][b1]      rows 6-11  [6 x 16] [6 x 16] [6 x 16]
 *   ...      rows ld_b apart */
#ifndef IOLK_TILE_AVX2_H
#define IOLK_TILE_AVX2_H

#include "../ops.h"
#include "store_avx2.h"

#include <immintrin.h>
#include <stdbool.h>

enum { LANES = 8, UNROLL = 4, LINE = 64, LINE_FLOATS = 16, MAX_ROWS = 6, WIDE = 48 };

struct tiles {
    size_t count; /* of this height and width, one below the other */
    size_t k, ld_a, ld_b, ld_init, ld_c;
    const float *a, *b, *init;
    float *c;
    const float *beside; /* C to the right of the first tile */
    size_t last;         /* first column of the last vector */
    size_t columns;      /* of the block; of use where there are fewer than LANES */
    __m256i mask;        /* these */
    const char *ahead;   /* prefetched: `rate` lines every UNROLL steps, up to ahead_end; by wide
                            tiles only where no bit of `pause` is set in the number of steps left */
    const char *ahead_end;
    size_t rate, pause;
    bool into_l2;
    bool own;            /* 5 or 6 rows that fetch B itself */
    size_t next;         /* floats from a weight to the one in its place in the next panel */
    const float *factor; /* of a triangle: one for each row */
};

#define ROWS6(X)       X(0) X(1) X(2) X(3) X(4) X(5)
#define VECTORS6(X, r) X(r, 0) X(r, 1) X(r, 2) X(r, 3) X(r, 4) X(r, 5)

/* acc + a * b as an instruction and not as an intrinsic: gcc 12 would fold loads of B into several
 * FMAs and move accumulators about, in exactly the loops that have no register to spare. */
static inline __attribute__((always_inline)) __m256 fma_in_place(__m256 acc, __m256 a, __m256 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
    return acc;
}

/* Fetch a row of C. */
static inline __attribute__((always_inline)) void touch_row(const float *c, const size_t vectors)
{
    _mm_prefetch((const char *)c, _MM_HINT_T0);
    if (vectors > 2) {
        _mm_prefetch((const char *)(c + LINE_FLOATS), _MM_HINT_T0);
    }
    if (vectors > 4) {
        _mm_prefetch((const char *)(c + 2 * LINE_FLOATS), _MM_HINT_T0);
    }
}

/* What *t holds stays in memory, where general registers are short, and what A holds is read from
 * here on. */
#define IN_MEMORY() __asm__ volatile("" : : : "memory")

/* All but t are constants in every caller: what they exclude is not compiled. own: B is passed
 * several times, a part of its columns each time, so what is fetched is the same part of the next
 * panel, with nothing to count. triangle: row r has r steps of k more, and is multiplied by its
 * factor at the end; one tile, which fetches nothing. */
static inline __attribute__((always_inline)) void run_tiles(const size_t m, const size_t vectors,
                                                            const bool masked, const bool own,
                                                            const bool triangle, struct tiles *t)
{
    const size_t ld_a = t->ld_a, ld_b = t->ld_b, last = t->last, row_bytes = ld_a * sizeof(float);
    const bool in_place = t->init == t->c;
    const char *ahead = t->ahead;
#define AT(v)           (vectors == (v) + 1 ? last : LANES * (size_t)(v))
#define LOAD(p, v)      (masked ? _mm256_maskload_ps(p, t->mask) : _mm256_loadu_ps((p) + AT(v)))
#define PINNED(r, v, n) register __m256 acc##r##v __asm__("ymm" #n)
#define ZERO_VECTOR(r, v)                                                                          \
    if (r < m && v < vectors) {                                                                    \
        acc##r##v = _mm256_setzero_ps();                                                           \
    }
#define ZERO(r) VECTORS6(ZERO_VECTOR, r)
#define START_VECTOR(r, v)                                                                         \
    if (r < m && v < vectors) {                                                                    \
        acc##r##v = LOAD(from + r * t->ld_init, v);                                                \
    }
#define START(r) VECTORS6(START_VECTOR, r)
/* Element `step` of row r of A in all lanes. Rows are a0 + {0, 1, 2, 4} and a3 + {0, 2} leading
 * dimensions, so that three general registers address all of them. An instruction, too: gcc would
 * keep a pointer for each. */
#define SPREAD_ALONE(ar, base, step)                                                               \
    __asm__ volatile("vbroadcastss %c2(%1), %0" : "=x"(ar) : "r"(base), "i"((step) * sizeof(float)))
#define SPREAD(ar, base, scale, step)                                                              \
    __asm__ volatile("vbroadcastss %c3(%1,%2," #scale "), %0"                                      \
                     : "=x"(ar)                                                                    \
                     : "r"(base), "r"(row_bytes), "i"((step) * sizeof(float)))
#define SPREAD_0(ar, step) SPREAD_ALONE(ar, a0, step)
#define SPREAD_1(ar, step) SPREAD(ar, a0, 1, step)
#define SPREAD_2(ar, step) SPREAD(ar, a0, 2, step)
#define SPREAD_3(ar, step) SPREAD_ALONE(ar, a3, step)
#define SPREAD_4(ar, step) SPREAD(ar, a0, 4, step)
#define SPREAD_5(ar, step) SPREAD(ar, a3, 2, step)
#define FMA(r, v)                                                                                  \
    if (r < m && v < vectors) {                                                                    \
        acc##r##v = fma_in_place(acc##r##v, ar, b##v);                                             \
    }
/* A vector of B, loaded once and not again for each row. */
#define B_VECTOR(v)                                                                                \
    __m256 b##v = _mm256_setzero_ps();                                                             \
    if (v < vectors) {                                                                             \
        b##v = LOAD(b, v);                                                                         \
        __asm__("" : "+x"(b##v));                                                                  \
    }
#define ROW(r, first, step)                                                                        \
    if (r < m && r >= first) {                                                                     \
        __m256 ar;                                                                                 \
        SPREAD_##r(ar, step);                                                                      \
        FMA(r, 0)                                                                                  \
        FMA(r, 1)                                                                                  \
        FMA(r, 2)                                                                                  \
    }
#define COLUMN(first, v)                                                                           \
    if (v < vectors) {                                                                             \
        B_VECTOR(v)                                                                                \
        acc0##v = first < 1 ? fma_in_place(acc0##v, ar0, b##v) : acc0##v;                          \
        acc1##v = m > 1 ? fma_in_place(acc1##v, ar1, b##v) : acc1##v;                              \
    }
/* The rows from `first` on. Up to three vectors: all of B, then row by row. More: all of A, then
 * column by column. */
#define STEP_FROM(first, step)                                                                     \
    if (vectors <= 3) {                                                                            \
        B_VECTOR(0)                                                                                \
        B_VECTOR(1)                                                                                \
        B_VECTOR(2)                                                                                \
        ROW(0, first, step)                                                                        \
        ROW(1, first, step)                                                                        \
        ROW(2, first, step)                                                                        \
        ROW(3, first, step)                                                                        \
        ROW(4, first, step)                                                                        \
        ROW(5, first, step)                                                                        \
    } else {                                                                                       \
        __m256 ar0 = _mm256_setzero_ps(), ar1 = _mm256_setzero_ps();                               \
        if (first < 1) {                                                                           \
            SPREAD_0(ar0, step);                                                                   \
        }                                                                                          \
        if (m > 1) {                                                                               \
            SPREAD_1(ar1, step);                                                                   \
        }                                                                                          \
        VECTORS6(COLUMN, first)                                                                    \
    }                                                                                              \
    if (own) {                                                                                     \
        _mm_prefetch((const char *)(b + t->next), _MM_HINT_T1);                                    \
    }                                                                                              \
    b += ld_b;                                                                                     \
    __asm__ volatile("" : "+r"(b));
#define STEP(step) STEP_FROM(0, step)
/* What the rows from r + 1 on see alone, the first of them last. */
#define CORNER(r)                                                                                  \
    if (triangle && r + 1 < m) {                                                                   \
        STEP_FROM(r + 1, r)                                                                        \
    }
#define DIVIDE_VECTOR(r, v)                                                                        \
    if (triangle && r < m && v < vectors) {                                                        \
        acc##r##v = _mm256_mul_ps(_mm256_broadcast_ss(t->factor + r), acc##r##v);                  \
    }
#define DIVIDE(r) VECTORS6(DIVIDE_VECTOR, r)
#define STORE(r, v)                                                                                \
    if (r < m && v < vectors) {                                                                    \
        if (masked) {                                                                              \
            store8_n(t->c + r * t->ld_c, acc##r##v, t->columns);                                   \
        } else {                                                                                   \
            _mm256_storeu_ps(t->c + r * t->ld_c + AT(v), acc##r##v);                               \
        }                                                                                          \
    }
#define FINISH(r) VECTORS6(STORE, r)
    do {
        const float *a0 = t->a, *a3 = a0 + (m > 3 ? 3 : 0) * ld_a, *b = t->b, *from = t->init;
        /* C is needed at the end of a tile, or at its start if chains continue from it: then that
         * of the next tile is fetched during this one. */
        const float *touch = !in_place ? t->c : t->count == 1 ? t->beside : t->c + m * t->ld_c;
        size_t touches = m;
        IN_MEMORY();
        /* One register for each sum of the three shapes, or gcc would copy sums within the loop. */
        PINNED(0, 0, 4);
        PINNED(0, 1, 5);
        PINNED(0, 2, 12);
        PINNED(0, 3, 8);
        PINNED(0, 4, 9);
        PINNED(0, 5, 10);
        PINNED(1, 0, 6);
        PINNED(1, 1, 7);
        PINNED(1, 2, 13);
        PINNED(1, 3, 11);
        PINNED(1, 4, 14);
        PINNED(1, 5, 15);
        PINNED(2, 0, 8);
        PINNED(2, 1, 9);
        PINNED(2, 2, 14);
        PINNED(3, 0, 10);
        PINNED(3, 1, 11);
        PINNED(3, 2, 15);
        PINNED(4, 0, 12);
        PINNED(4, 1, 13);
        PINNED(5, 0, 14);
        PINNED(5, 1, 15);
        __m256 acc23, acc24, acc25, acc33, acc34, acc35, acc42, acc43, acc44, acc45, acc52, acc53,
            acc54, acc55;
        ROWS6(ZERO)
        if (from) {
            ROWS6(START)
        }
        size_t left = t->k;
        for (; left >= UNROLL; left -= UNROLL, a0 += UNROLL, a3 += UNROLL) {
            IN_MEMORY();
            size_t lines = triangle ? 0 : t->rate;
            if (vectors > 3 && lines && left & t->pause) {
                lines = 0;
            }
            for (; lines && ahead < t->ahead_end; lines--, ahead += LINE) {
                if (t->into_l2) {
                    _mm_prefetch(ahead, _MM_HINT_T1);
                } else {
                    _mm_prefetch(ahead, _MM_HINT_T0);
                }
            }
            if (touches) {
                touch_row(touch, vectors);
                touch += t->ld_c;
                touches--;
            }
            STEP(0)
            STEP(1)
            STEP(2)
            STEP(3)
        }
        for (; left; left--, a0++, a3++) {
            STEP(0)
        }
        ROWS6(CORNER)
        ROWS6(DIVIDE)
        ROWS6(FINISH)
        t->a += m * ld_a;
        t->init += from ? m * t->ld_init : 0;
        t->c += m * t->ld_c;
    } while (--t->count);
    t->ahead = ahead;
#undef AT
#undef LOAD
#undef PINNED
#undef ZERO_VECTOR
#undef ZERO
#undef START_VECTOR
#undef START
#undef SPREAD_ALONE
#undef SPREAD
#undef SPREAD_0
#undef SPREAD_1
#undef SPREAD_2
#undef SPREAD_3
#undef SPREAD_4
#undef SPREAD_5
#undef FMA
#undef B_VECTOR
#undef ROW
#undef COLUMN
#undef STEP
#undef STEP_FROM
#undef CORNER
#undef DIVIDE_VECTOR
#undef DIVIDE
#undef STORE
#undef FINISH
}

/* Widest tile of so many rows. */
static inline size_t widest(size_t rows)
{
    return rows <= 2 ? WIDE : rows <= 4 ? WIDE / 2 : WIDE / 3;
}

/* Columns of the next tile of so many rows, `left` at most. No tile is below LANES wide unless left
 * is. */
static inline size_t tile_columns(size_t rows, size_t left)
{
    const size_t most = widest(rows);
    return left <= most ? left : left - most <= LANES ? most - LANES : most;
}

/* Every body but those that fetch B themselves, and their table by height and by vectors of a
 * width; at 0 vectors: fewer than LANES columns. */
#define TILE_BODY(m, vectors, triangle)                                                            \
    static void tile_##m##x##vectors(struct tiles *t)                                              \
    {                                                                                              \
        run_tiles(m, vectors, false, false, triangle, t);                                          \
    }
#define TILE_NARROW_BODIES(m, triangle)                                                            \
    static void tile_##m##_masked(struct tiles *t)                                                 \
    {                                                                                              \
        run_tiles(m, 1, true, false, triangle, t);                                                 \
    }                                                                                              \
    TILE_BODY(m, 1, triangle) TILE_BODY(m, 2, triangle)
#define TILE_BODIES(triangle)                                                                      \
    TILE_NARROW_BODIES(1, triangle)                                                                \
    TILE_NARROW_BODIES(2, triangle)                                                                \
    TILE_NARROW_BODIES(3, triangle)                                                                \
    TILE_NARROW_BODIES(4, triangle)                                                                \
    TILE_NARROW_BODIES(5, triangle)                                                                \
    TILE_NARROW_BODIES(6, triangle)                                                                \
    TILE_BODY(1, 3, triangle)                                                                      \
    TILE_BODY(1, 4, triangle)                                                                      \
    TILE_BODY(1, 5, triangle)                                                                      \
    TILE_BODY(1, 6, triangle)                                                                      \
    TILE_BODY(2, 3, triangle)                                                                      \
    TILE_BODY(2, 4, triangle)                                                                      \
    TILE_BODY(2, 5, triangle)                                                                      \
    TILE_BODY(2, 6, triangle)                                                                      \
    TILE_BODY(3, 3, triangle)                                                                      \
    TILE_BODY(4, 3, triangle)                                                                      \
    static void (*const bodies[MAX_ROWS][WIDE / LANES + 1])(struct tiles *) = {                    \
        {tile_1_masked, tile_1x1, tile_1x2, tile_1x3, tile_1x4, tile_1x5, tile_1x6},               \
        {tile_2_masked, tile_2x1, tile_2x2, tile_2x3, tile_2x4, tile_2x5, tile_2x6},               \
        {tile_3_masked, tile_3x1, tile_3x2, tile_3x3, 0, 0, 0},                                    \
        {tile_4_masked, tile_4x1, tile_4x2, tile_4x3, 0, 0, 0},                                    \
        {tile_5_masked, tile_5x1, tile_5x2, 0, 0, 0, 0},                                           \
        {tile_6_masked, tile_6x1, tile_6x2, 0, 0, 0, 0}};

/* Index of a width in the table. */
static inline size_t tile_vectors(size_t columns)
{
    return columns < LANES ? 0 : (columns + LANES - 1) / LANES;
}

#endif
