/* gemm_f32_avx2: tiles that fit 16 registers, k outermost in each (the outer-product micro-kernel
 * of Goto and van de Geijn, 2008): 5-6 rows x 16 columns, 3-4 rows x 24, 1-2 rows x 48 (and 3-4 rows
 * over a whole panel, two by two). All tiles of one height and width follow one another inside one
 * body. Where a width is no multiple of 8, the last vector starts at width - 8 and computes a few
 * columns twice (equal chains, equal bits), so only widths below 8 need masks.
 *
 * Registers (6 x 16): 12 ymm of C, 2 of B, 1 of A broadcast. (4 x 24): 12, 3, 1. (2 x 48): 12,
 * 1, 2.
 *
 *            b: panel, 48 columns                        c: tiles
 *   k = 0    [b0 8][b1 8] | [b0 8][b1 8] | [b0][b1]      rows 0-5   [6 x 16] [6 x 16] [6 x 16]
 *   k = 1    [b0 8][b1 8] | [b0 8][b1 8] | [b0][b1]      rows 6-11  [6 x 16] [6 x 16] [6 x 16]
 *   ...      rows ld_b apart */
#include "../ops.h"

#include <assert.h>
#include <immintrin.h>
#include <stdbool.h>

enum { LANES = 8, UNROLL = 4, LINE = 64, LINE_FLOATS = 16, MAX_ROWS = 6, WIDE = 48 };
/* Steps of a piece of B that stays in L1 from its first pass to its last. */
enum { PIECE = 64, PIECE_FLOATS = PIECE * IOLK_NR };

struct tiles {
    size_t count; /* of this height and width, one below the other */
    size_t k, ld_a, ld_b, ld_init, ld_c;
    const float *a, *b, *init;
    float *c;
    const float *beside; /* C to the right of the first tile */
    size_t last;         /* first column of the last vector */
    __m256i mask;        /* columns present, where there are fewer than LANES */
    const char *ahead;   /* prefetched: `rate` lines every UNROLL steps, up to ahead_end */
    const char *ahead_end;
    size_t rate;
    bool into_l2;
    bool own;    /* 5 or 6 rows that fetch B itself */
    size_t next; /* floats from a weight to the one in its place in the next panel */
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

/* m, vectors, masked and own are constants in every caller: what they exclude is not compiled. own:
 * B is passed several times, a part of its columns each time, so what is fetched is the same part
 * of the next panel, with nothing to count. */
static inline __attribute__((always_inline)) void
run(const size_t m, const size_t vectors, const bool masked, const bool own, struct tiles *t)
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
#define ROW(r, step)                                                                               \
    if (r < m) {                                                                                   \
        __m256 ar;                                                                                 \
        SPREAD_##r(ar, step);                                                                      \
        FMA(r, 0)                                                                                  \
        FMA(r, 1)                                                                                  \
        FMA(r, 2)                                                                                  \
    }
#define COLUMN(r, v)                                                                               \
    if (v < vectors) {                                                                             \
        B_VECTOR(v)                                                                                \
        acc0##v = fma_in_place(acc0##v, ar0, b##v);                                                \
        acc1##v = m > 1 ? fma_in_place(acc1##v, ar1, b##v) : acc1##v;                              \
    }
/* Up to three vectors: all of B, then row by row. More: all of A, then column by column. */
#define STEP(step)                                                                                 \
    if (vectors <= 3) {                                                                            \
        B_VECTOR(0)                                                                                \
        B_VECTOR(1)                                                                                \
        B_VECTOR(2)                                                                                \
        ROW(0, step)                                                                               \
        ROW(1, step)                                                                               \
        ROW(2, step)                                                                               \
        ROW(3, step)                                                                               \
        ROW(4, step)                                                                               \
        ROW(5, step)                                                                               \
    } else {                                                                                       \
        __m256 ar0, ar1 = _mm256_setzero_ps();                                                     \
        SPREAD_0(ar0, step);                                                                       \
        if (m > 1) {                                                                               \
            SPREAD_1(ar1, step);                                                                   \
        }                                                                                          \
        VECTORS6(COLUMN, 0)                                                                        \
    }                                                                                              \
    if (own) {                                                                                     \
        _mm_prefetch((const char *)(b + t->next), _MM_HINT_T1);                                    \
    }                                                                                              \
    b += ld_b;                                                                                     \
    __asm__ volatile("" : "+r"(b));
#define STORE(r, v)                                                                                \
    if (r < m && v < vectors) {                                                                    \
        if (masked) {                                                                              \
            _mm256_maskstore_ps(t->c + r * t->ld_c, t->mask, acc##r##v);                           \
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
            for (size_t i = t->rate; i && ahead < t->ahead_end; i--, ahead += LINE) {
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
#undef STORE
#undef FINISH
}

#define BODY(m, vectors)                                                                           \
    static void tile_##m##x##vectors(struct tiles *t)                                              \
    {                                                                                              \
        run(m, vectors, false, false, t);                                                          \
    }
#define BODIES(m)                                                                                  \
    static void tile_##m##_masked(struct tiles *t)                                                 \
    {                                                                                              \
        run(m, 1, true, false, t);                                                                 \
    }                                                                                              \
    BODY(m, 1) BODY(m, 2)
BODIES(1)
BODIES(2)
BODIES(3)
BODIES(4)
BODIES(5)
BODIES(6)
BODY(1, 3)
BODY(1, 4)
BODY(1, 5)
BODY(1, 6)
BODY(2, 3)
BODY(2, 4)
BODY(2, 5)
BODY(2, 6)
BODY(3, 3)
BODY(4, 3)

#define OWN_BODY(m, vectors)                                                                       \
    static void tile_##m##x##vectors##_own(struct tiles *t)                                        \
    {                                                                                              \
        run(m, vectors, false, true, t);                                                           \
    }
OWN_BODY(5, 2)
OWN_BODY(6, 2)

/* Widest tile of so many rows. */
static size_t widest(size_t rows)
{
    return rows <= 2 ? WIDE : rows <= 4 ? WIDE / 2 : WIDE / 3;
}

/* `count` groups of `rows` rows each, below one another, over all n columns. */
static void run_rows(size_t count, size_t rows, size_t n, const struct tiles *at, struct tiles *t)
{
    /* Column 0: fewer than LANES columns. */
    static void (*const bodies[MAX_ROWS][7])(struct tiles *) = {
        {tile_1_masked, tile_1x1, tile_1x2, tile_1x3, tile_1x4, tile_1x5, tile_1x6},
        {tile_2_masked, tile_2x1, tile_2x2, tile_2x3, tile_2x4, tile_2x5, tile_2x6},
        {tile_3_masked, tile_3x1, tile_3x2, tile_3x3, 0, 0, 0},
        {tile_4_masked, tile_4x1, tile_4x2, tile_4x3, 0, 0, 0},
        {tile_5_masked, tile_5x1, tile_5x2, 0, 0, 0, 0},
        {tile_6_masked, tile_6x1, tile_6x2, 0, 0, 0, 0}};
    static void (*const own_bodies[MAX_ROWS])(struct tiles *) = {0,           0, 0, 0, tile_5x2_own,
                                                                 tile_6x2_own};
    const size_t most = widest(rows);
    for (size_t j = 0, columns; j < n; j += columns) {
        /* No piece is below LANES wide unless n is. */
        columns = n - j;
        if (columns > most) {
            columns = columns - most <= LANES ? most - LANES : most;
        }
        t->count = count;
        t->a = at->a;
        t->b = at->b + j;
        t->init = at->init ? at->init + j : at->init;
        t->c = at->c + j;
        t->beside = t->c + columns;
        t->last = columns < LANES ? 0 : columns - LANES;
        if (t->own && columns == most) {
            own_bodies[rows - 1](t);
        } else {
            bodies[rows - 1][columns < LANES ? 0 : (columns + LANES - 1) / LANES](t);
        }
    }
}

/* m rows as groups of equal height: 8 are 4 + 4. The first `taller` groups have a row more than the
 * rest. */
struct groups {
    size_t count, height, taller;
};

/* Three and four rows over a whole panel are two groups, each of which passes all its columns at
 * once: half of them in each of two passes, a line and a half a step, are no stream to the
 * processor. */
static struct groups groups_of(size_t m, size_t n)
{
    const bool halved = n == IOLK_NR && (m == 3 || m == 4);
    const size_t count = halved ? 2 : (m + MAX_ROWS - 1) / MAX_ROWS;
    return (struct groups){.count = count, .height = m / count, .taller = m % count};
}

/* Passes over B of all groups. */
static size_t passes(const struct groups *g, size_t n)
{
    const size_t wide = widest(g->height), wide_taller = widest(g->height + 1);
    return g->taller * ((n + wide_taller - 1) / wide_taller) +
           (g->count - g->taller) * ((n + wide - 1) / wide);
}

static void run_groups(const struct groups *g, size_t n, struct tiles *t)
{
    struct tiles at = *t;
    if (g->taller) {
        run_rows(g->taller, g->height + 1, n, &at, t);
        const size_t rows = g->taller * (g->height + 1);
        at.a += rows * at.ld_a;
        at.init += at.init ? rows * at.ld_init : 0;
        at.c += rows * at.ld_c;
    }
    run_rows(g->count - g->taller, g->height, n, &at, t);
}

/* Seven and eight rows: four passes over B, each of a half of its columns. Pieces of B stay in L1
 * until all passes are done, the sums wait in C, and the piece after the next is fetched meanwhile.
 * (3 and 4 rows would gain 20 % more by this from memory than groups_of gives them, and lose up to
 * 35 % where B is in a cache.) */
static void run_pieces(const struct groups *g, size_t n, const struct tiles *whole)
{
    struct tiles t = *whole;
    t.rate = (UNROLL * IOLK_NR / LINE_FLOATS + passes(g, n) - 1) / passes(g, n);
    t.into_l2 = true;
    size_t from = 0;
    do {
        t.k = whole->k - from < PIECE ? whole->k - from : PIECE;
        t.a = whole->a + from;
        t.b = whole->b + from * IOLK_NR;
        t.c = whole->c;
        t.init = from ? t.c : whole->init;
        t.ld_init = from ? t.ld_c : whole->ld_init;
        t.ahead = (const char *)(t.b + 2 * PIECE_FLOATS);
        t.ahead_end = (const char *)(t.b + 2 * PIECE_FLOATS + t.k * IOLK_NR);
        run_groups(g, n, &t);
        from += PIECE;
    } while (from < whole->k);
}

void iolk_gemm_f32_avx2(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,
                        size_t ld_b, const float *init, size_t ld_init, float *c, size_t ld_c,
                        const struct iolk_fetch *fetch)
{
    assert(m >= 1 && n >= 1 && n <= (m == 1 ? IOLK_ROW_NR : IOLK_NR));
    assert((k <= 1 || ld_b >= n) && (m == 1 || (ld_a >= k && ld_c >= n)));
    const char *ahead = fetch ? fetch->at : NULL;
    const size_t lines = ahead ? fetch->lines : 0;
    const struct groups g = groups_of(m, n);
    const size_t turns = lines ? k / UNROLL * passes(&g, n) : 0;
    const bool own = fetch && !fetch->at && ld_b == IOLK_NR;
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    struct tiles t = {
        .k = k,
        .ld_a = ld_a,
        .ld_b = ld_b,
        .ld_init = ld_init,
        .ld_c = ld_c,
        .a = a,
        .b = b,
        .init = init,
        .c = c,
        .mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane),
        .ahead = ahead,
        .ahead_end = lines ? ahead + lines * LINE : ahead,
        .rate = turns ? (lines + turns - 1) / turns : 0,
        .into_l2 = fetch && fetch->into_l2,
        .own = own && g.height > 4,
        .next = k * IOLK_NR,
    };
    if (own && m > MAX_ROWS) {
        run_pieces(&g, n, &t);
    } else {
        run_groups(&g, n, &t);
    }
}
