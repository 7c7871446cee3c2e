/* gemm_f32_avx2: the tile is cut into sub-tiles that fit 16 registers, k outermost in each (the
 * outer-product micro-kernel of Goto and van de Geijn, 2008): 3-4 rows x 24 columns, 1-2 rows x 48.
 * Where a width is no multiple of 8, the last vector starts at width - 8 and computes a few columns
 * twice (equal chains, equal bits), so only widths below 8 need masks.
 *
 * Registers (4 x 24): 12 ymm of C, 3 of B, 1 of A broadcast. (2 x 48): 12 of C, 1-2 of B, 2 of A.
 *
 *            b: panel, 48 columns                      c: sub-tiles of an 8 x 48 tile
 *   k = 0    [b0 8][b1 8][b2 8] | [b0][b1][b2]         rows 0-3  [4 x 24] [4 x 24]
 *   k = 1    [b0 8][b1 8][b2 8] | [b0][b1][b2]         rows 4-7  [4 x 24] [4 x 24]
 *   ...      rows ld_b apart */
#include "../ops.h"

#include <assert.h>
#include <immintrin.h>
#include <stdbool.h>

enum { LANES = 8, UNROLL = 4, LINE = 64, MAX_ROWS = 4, WIDE = 48, NARROW = 24 };

struct tile {
    size_t k, ld_a, ld_b, ld_init, ld_c;
    const float *a, *b, *init;
    float *c;
    size_t last;       /* first column of the last vector */
    __m256i mask;      /* columns present, where there are fewer than LANES */
    const char *ahead; /* prefetched to L2: `rate` lines every UNROLL steps, up to ahead_end */
    const char *ahead_end;
    size_t rate;
};

#define ROWS4(X)       X(0) X(1) X(2) X(3)
#define VECTORS6(X, r) X(r, 0) X(r, 1) X(r, 2) X(r, 3) X(r, 4) X(r, 5)

/* acc + a * b as an instruction and not as an intrinsic: gcc 12 would fold loads of B into several
 * FMAs and move accumulators about, in exactly the loops that have no register to spare. */
static inline __attribute__((always_inline)) __m256 fma_in_place(__m256 acc, __m256 a, __m256 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
    return acc;
}

/* m, vectors and masked are constants in every caller: what they exclude is not compiled. */
static inline __attribute__((always_inline)) void run(const size_t m, const size_t vectors,
                                                      const bool masked, struct tile *t)
{
    const size_t k = t->k, ld_b = t->ld_b, last = t->last;
    const float *b = t->b;
    const char *ahead = t->ahead;
#define AT(v)      (vectors == (v) + 1 ? last : LANES * (size_t)(v))
#define LOAD(p, v) (masked ? _mm256_maskload_ps(p, t->mask) : _mm256_loadu_ps((p) + AT(v)))
#define START_VECTOR(r, v)                                                                         \
    __m256 acc##r##v = _mm256_setzero_ps();                                                        \
    if (r < m && v < vectors && t->init) {                                                         \
        acc##r##v = LOAD(t->init + r * t->ld_init, v);                                             \
    }
#define START(r)                                                                                   \
    const float *a##r = t->a + (r < m ? r : 0) * t->ld_a;                                          \
    VECTORS6(START_VECTOR, r)
#define FMA(r, v)                                                                                  \
    if (r < m && v < vectors) {                                                                    \
        acc##r##v = fma_in_place(acc##r##v, ar, b##v);                                             \
    }
/* Up to three vectors: all of B, then row by row. More: all of A, then column by column. */
#define B_VECTOR(r, v)                                                                             \
    __m256 b##v = _mm256_setzero_ps();                                                             \
    if (v < vectors) {                                                                             \
        b##v = LOAD(b, v);                                                                         \
    }
#define ROW(r)                                                                                     \
    if (r < m) {                                                                                   \
        __m256 ar = _mm256_broadcast_ss(a##r + l);                                                 \
        FMA(r, 0)                                                                                  \
        FMA(r, 1)                                                                                  \
        FMA(r, 2)                                                                                  \
    }
#define COLUMN(r, v)                                                                               \
    if (v < vectors) {                                                                             \
        B_VECTOR(r, v)                                                                             \
        acc0##v = fma_in_place(acc0##v, ar0, b##v);                                                \
        acc1##v = m > 1 ? fma_in_place(acc1##v, ar1, b##v) : acc1##v;                              \
    }
#define STEP                                                                                       \
    if (vectors <= 3) {                                                                            \
        B_VECTOR(0, 0)                                                                             \
        B_VECTOR(0, 1)                                                                             \
        B_VECTOR(0, 2)                                                                             \
        ROWS4(ROW)                                                                                 \
    } else {                                                                                       \
        __m256 ar0 = _mm256_broadcast_ss(a0 + l), ar1 = _mm256_broadcast_ss(a1 + l);               \
        VECTORS6(COLUMN, 0)                                                                        \
    }                                                                                              \
    b += ld_b;                                                                                     \
    l++;
#define STORE(r, v)                                                                                \
    if (r < m && v < vectors) {                                                                    \
        if (masked) {                                                                              \
            _mm256_maskstore_ps(t->c + r * t->ld_c, t->mask, acc##r##v);                           \
        } else {                                                                                   \
            _mm256_storeu_ps(t->c + r * t->ld_c + AT(v), acc##r##v);                               \
        }                                                                                          \
    }
#define FINISH(r) VECTORS6(STORE, r)
    ROWS4(START)
    size_t l = 0;
    while (k - l >= UNROLL) {
        for (size_t i = t->rate; i && ahead < t->ahead_end; i--, ahead += LINE) {
            _mm_prefetch(ahead, _MM_HINT_T1);
        }
        STEP STEP STEP STEP
    }
    while (l < k) {
        STEP
    }
    ROWS4(FINISH)
    t->ahead = ahead;
#undef AT
#undef LOAD
#undef START_VECTOR
#undef START
#undef FMA
#undef ROW
#undef B_VECTOR
#undef COLUMN
#undef STEP
#undef STORE
#undef FINISH
}

#define BODY(m, vectors)                                                                           \
    static void tile_##m##x##vectors(struct tile *t)                                               \
    {                                                                                              \
        run(m, vectors, false, t);                                                                 \
    }
#define BODIES(m)                                                                                  \
    static void tile_##m##_masked(struct tile *t)                                                  \
    {                                                                                              \
        run(m, 1, true, t);                                                                        \
    }                                                                                              \
    BODY(m, 1) BODY(m, 2) BODY(m, 3)
BODIES(1)
BODIES(2)
BODIES(3)
BODIES(4)
BODY(1, 4)
BODY(1, 5)
BODY(1, 6)
BODY(2, 4)
BODY(2, 5)
BODY(2, 6)

/* In how many pieces `rows` rows of n columns are computed. */
static size_t pieces(size_t rows, size_t n)
{
    return rows == 0 ? 0 : rows > 2 && n > NARROW ? 2 : 1;
}

void iolk_gemm_f32_avx2(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,
                        size_t ld_b, const float *init, size_t ld_init, float *c, size_t ld_c,
                        const void *ahead, size_t ahead_lines)
{
    /* Column 0: fewer than LANES columns. */
    static void (*const bodies[MAX_ROWS][7])(struct tile *) = {
        {tile_1_masked, tile_1x1, tile_1x2, tile_1x3, tile_1x4, tile_1x5, tile_1x6},
        {tile_2_masked, tile_2x1, tile_2x2, tile_2x3, tile_2x4, tile_2x5, tile_2x6},
        {tile_3_masked, tile_3x1, tile_3x2, tile_3x3, 0, 0, 0},
        {tile_4_masked, tile_4x1, tile_4x2, tile_4x3, 0, 0, 0}};
    assert(m >= 1 && m <= IOLK_MR && n >= 1 && n <= IOLK_NR);
    assert((k <= 1 || ld_b >= n) && (m == 1 || (ld_a >= k && ld_c >= n)));
    assert(!ahead_lines || ahead);
    /* Rows in one group or two nearly equal ones, columns in one or two pieces of which none is
     * below LANES wide unless n is. */
    const size_t first_rows = m <= MAX_ROWS ? m : (m + 1) / 2;
    const size_t passes = pieces(first_rows, n) + pieces(m - first_rows, n);
    const size_t turns = k / UNROLL * passes;
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    struct tile t = {
        .k = k,
        .ld_a = ld_a,
        .ld_b = ld_b,
        .ld_init = ld_init,
        .ld_c = ld_c,
        .mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane),
        .ahead = ahead,
        .ahead_end = ahead_lines ? (const char *)ahead + ahead_lines * LINE : ahead,
        .rate = turns ? (ahead_lines + turns - 1) / turns : 0,
    };
    for (size_t i = 0, rows = first_rows; i < m; i += rows, rows = m - i) {
        const size_t widest = rows <= 2 ? WIDE : NARROW;
        for (size_t j = 0, columns; j < n; j += columns) {
            columns = n - j;
            if (columns > widest) {
                columns = columns - widest < LANES ? widest - LANES : widest;
            }
            t.a = a + i * ld_a;
            t.b = b + j;
            t.init = init ? init + i * ld_init + j : init;
            t.c = c + i * ld_c + j;
            t.last = columns < LANES ? 0 : columns - LANES;
            bodies[rows - 1][columns < LANES ? 0 : (columns + LANES - 1) / LANES](&t);
        }
    }
}
