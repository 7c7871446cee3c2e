/* gemm_f32_avx512: tiles of at most 8 rows and 48 columns; a tile stays in registers while k runs
 * outermost (the outer-product micro-kernel of Goto and van de Geijn, 2008), and the tiles of one
 * height follow one another inside one body, so that the next one starts while the last sums of
 * this one are still on their way. One body per (m, vectors, masked); absent rows and absent
 * vectors of 16 columns do not exist in it.
 *
 * Registers: 24 zmm of C (8 rows x 3), 3 of B, 1 of A broadcast; 4 spare.
 *
 *            b: panel, 48 columns          c: tile
 *   k = 0    [b0 16][b1 16][b2 16]         row 0  [acc00][acc01][acc02]
 *   k = 1    [b0 16][b1 16][b2 16]         ...
 *   ...      rows ld_b apart               row 7  [acc70][acc71][acc72] */
#include "../ops.h"

#include <assert.h>
#include <immintrin.h>
#include <stdbool.h>

enum { LANES = 16, UNROLL = 4, LINE = 64 };

struct tiles {
    size_t count, rest; /* tiles of this height; tiles of another height that follow in C */
    size_t k, ld_a, ld_b, ld_init, ld_c;
    const float *a, *b, *init;
    float *c;
    const float *beside; /* C to the right of the first tile: where the next panel begins */
    __mmask16 last;      /* columns present in the last vector */
    const char *ahead; /* prefetched, up to ahead_end: so many lines before each of UNROLL steps */
    const char *ahead_end;
    size_t rate[UNROLL];
    bool into_l2;
};

#define ROWS8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* acc + a * b as an instruction and not as an intrinsic: gcc 12 would fold loads of B into several
 * FMAs and move accumulators about, up to spilling two of them. */
static inline __attribute__((always_inline)) __m512 fma_in_place(__m512 acc, __m512 a, __m512 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

/* Fetch a row of C or of B, `vectors` lines. */
static inline __attribute__((always_inline)) void touch_row(const float *c, const size_t vectors)
{
    _mm_prefetch((const char *)c, _MM_HINT_T0);
    if (vectors > 1) {
        _mm_prefetch((const char *)(c + LANES), _MM_HINT_T0);
    }
    if (vectors > 2) {
        _mm_prefetch((const char *)(c + 2 * LANES), _MM_HINT_T0);
    }
}

/* What *t holds stays in memory, where general registers are short, and what A holds is read from
 * here on. */
#define IN_MEMORY() __asm__ volatile("" : : : "memory")

/* What a body fetches: what *t says; B itself, further on, with nothing to count, through L1 or
 * into L2. */
enum source { AHEAD, OWN_L1, OWN_L2 };

static inline __attribute__((always_inline)) void touch_own(const float *b, const size_t vectors,
                                                            const enum source source)
{
    if (source == OWN_L1) {
        touch_row(b + IOLK_STREAM_AHEAD, vectors);
    } else if (source == OWN_L2) {
        for (size_t v = 0; v < vectors; v++) {
            _mm_prefetch((const char *)(b + IOLK_STREAM_AHEAD + LANES * v), _MM_HINT_T1);
        }
    }
}

/* m, vectors, masked and source are constants in every caller: what they exclude is not compiled.
 */
static inline __attribute__((always_inline)) void run(const size_t m, const size_t vectors,
                                                      const bool masked, const enum source source,
                                                      struct tiles *t)
{
    const size_t k = t->k, ld_a = t->ld_a, ld_b = t->ld_b, ld_c = t->ld_c,
                 row_bytes = ld_a * sizeof(float), three_rows = 3 * row_bytes;
    const __mmask16 last = t->last;
    const char *ahead = t->ahead;
    const bool in_place = t->init == t->c;
#define LOAD(p, v)                                                                                 \
    (masked && vectors == (v) + 1 ? _mm512_maskz_loadu_ps(last, (p) + LANES * (v))                 \
                                  : _mm512_loadu_ps((p) + LANES * (v)))
#define STORE(p, v, x)                                                                             \
    if (masked && vectors == (v) + 1) {                                                            \
        _mm512_mask_storeu_ps((p) + LANES * (v), last, x);                                         \
    } else if (vectors > (v)) {                                                                    \
        _mm512_storeu_ps((p) + LANES * (v), x);                                                    \
    }
#define PINNED(r, x, y, z)                                                                         \
    register __m512 acc##r##0 __asm__("zmm" #x) = _mm512_setzero_ps();                             \
    register __m512 acc##r##1 __asm__("zmm" #y) = _mm512_setzero_ps();                             \
    register __m512 acc##r##2 __asm__("zmm" #z) = _mm512_setzero_ps();
#define START(r)                                                                                   \
    if (r < m) {                                                                                   \
        acc##r##0 = LOAD(from, 0);                                                                 \
        acc##r##1 = vectors > 1 ? LOAD(from, 1) : acc##r##1;                                       \
        acc##r##2 = vectors > 2 ? LOAD(from, 2) : acc##r##2;                                       \
        from += t->ld_init;                                                                        \
    }
/* Element `step` of row r of A in all lanes. Rows are a0 + {0, 1, 2, 4, 6} and a3 + {0, 2, 4}
 * leading dimensions, so that five general registers address all of them. An instruction, too: gcc
 * would keep eight pointers, more than there is room for. */
#define SPREAD(ar, base, index, scale, step)                                                       \
    __asm__ volatile("vbroadcastss %c3(%1,%2," #scale "), %0"                                      \
                     : "=v"(ar)                                                                    \
                     : "r"(base), "r"(index), "i"((step) * sizeof(float)))
#define SPREAD_0(ar, step) SPREAD_ALONE(ar, a0, step)
#define SPREAD_1(ar, step) SPREAD(ar, a0, row_bytes, 1, step)
#define SPREAD_2(ar, step) SPREAD(ar, a0, row_bytes, 2, step)
#define SPREAD_3(ar, step) SPREAD_ALONE(ar, a3, step)
#define SPREAD_4(ar, step) SPREAD(ar, a0, row_bytes, 4, step)
#define SPREAD_5(ar, step) SPREAD(ar, a3, row_bytes, 2, step)
#define SPREAD_6(ar, step) SPREAD(ar, a0, three_rows, 2, step)
#define SPREAD_7(ar, step) SPREAD(ar, a3, row_bytes, 4, step)
#define SPREAD_ALONE(ar, base, step)                                                               \
    __asm__ volatile("vbroadcastss %c2(%1), %0" : "=v"(ar) : "r"(base), "i"((step) * sizeof(float)))
/* acc + element `step` of row r * b: one vector is no reason for a register of A. */
#define FUSED(acc, b, base, index, scale, step)                                                    \
    __asm__ volatile("vfmadd231ps %c4(%2,%3," #scale ")%{1to16%}, %1, %0"                          \
                     : "+v"(acc)                                                                   \
                     : "v"(b), "r"(base), "r"(index), "i"((step) * sizeof(float)))
#define FUSED_ALONE(acc, b, base, step)                                                            \
    __asm__ volatile("vfmadd231ps %c3(%2)%{1to16%}, %1, %0"                                        \
                     : "+v"(acc)                                                                   \
                     : "v"(b), "r"(base), "i"((step) * sizeof(float)))
#define FUSED_0(acc, b, step) FUSED_ALONE(acc, b, a0, step)
#define FUSED_1(acc, b, step) FUSED(acc, b, a0, row_bytes, 1, step)
#define FUSED_2(acc, b, step) FUSED(acc, b, a0, row_bytes, 2, step)
#define FUSED_3(acc, b, step) FUSED_ALONE(acc, b, a3, step)
#define FUSED_4(acc, b, step) FUSED(acc, b, a0, row_bytes, 4, step)
#define FUSED_5(acc, b, step) FUSED(acc, b, a3, row_bytes, 2, step)
#define FUSED_6(acc, b, step) FUSED(acc, b, a0, three_rows, 2, step)
#define FUSED_7(acc, b, step) FUSED(acc, b, a3, row_bytes, 4, step)
#define ROW(r, step)                                                                               \
    if (r < m && (vectors == 1 || (vectors == 2 && r % 2))) {                                      \
        FUSED_##r(acc##r##0, b0, step);                                                            \
        if (vectors > 1) {                                                                         \
            FUSED_##r(acc##r##1, b1, step);                                                        \
        }                                                                                          \
    } else if (r < m) {                                                                            \
        __m512 ar;                                                                                 \
        SPREAD_##r(ar, step);                                                                      \
        acc##r##0 = fma_in_place(acc##r##0, ar, b0);                                               \
        acc##r##1 = vectors > 1 ? fma_in_place(acc##r##1, ar, b1) : acc##r##1;                     \
        acc##r##2 = vectors > 2 ? fma_in_place(acc##r##2, ar, b2) : acc##r##2;                     \
    }
#define STEP(step)                                                                                 \
    {                                                                                              \
        __m512 b0 = LOAD(b, 0);                                                                    \
        __m512 b1 = vectors > 1 ? LOAD(b, 1) : _mm512_setzero_ps();                                \
        __m512 b2 = vectors > 2 ? LOAD(b, 2) : _mm512_setzero_ps();                                \
        __asm__("" : "+v"(b0), "+v"(b1), "+v"(b2)); /* loaded once, not again for each row */      \
        ROW(0, step)                                                                               \
        ROW(1, step)                                                                               \
        ROW(2, step)                                                                               \
        ROW(3, step)                                                                               \
        ROW(4, step)                                                                               \
        ROW(5, step)                                                                               \
        ROW(6, step)                                                                               \
        ROW(7, step)                                                                               \
        touch_own(b, vectors, source);                                                             \
        b += ld_b;                                                                                 \
        __asm__ volatile("" : "+r"(b));                                                            \
    }
#define FETCH(lines)                                                                               \
    for (size_t i = source == AHEAD ? lines : 0; i && ahead < t->ahead_end; i--, ahead += LINE) {  \
        if (t->into_l2) {                                                                          \
            _mm_prefetch(ahead, _MM_HINT_T1);                                                      \
        } else {                                                                                   \
            _mm_prefetch(ahead, _MM_HINT_T0);                                                      \
        }                                                                                          \
    }
#define FINISH(r)                                                                                  \
    if (r < m) {                                                                                   \
        STORE(to, 0, acc##r##0)                                                                    \
        STORE(to, 1, acc##r##1)                                                                    \
        STORE(to, 2, acc##r##2)                                                                    \
        to += ld_c;                                                                                \
    }
    do {
        const float *a0 = t->a, *a3 = a0 + (m > 3 ? 3 : 0) * ld_a, *b = t->b, *from = t->init;
        /* C is needed at the end of a tile, or at its start if chains continue from it: then that
         * of the next tile is fetched during this one. */
        const float *touch = !in_place                 ? t->c
                             : t->count + t->rest == 1 ? t->beside
                                                       : t->c + m * ld_c;
        size_t touches = m;
        IN_MEMORY();
        /* Named registers, or gcc would copy sums within the loop. */
        PINNED(0, 8, 9, 10)
        PINNED(1, 11, 12, 13)
        PINNED(2, 14, 15, 16)
        PINNED(3, 17, 18, 19)
        PINNED(4, 20, 21, 22)
        PINNED(5, 23, 24, 25)
        PINNED(6, 26, 27, 28)
        PINNED(7, 29, 30, 31)
        if (from) {
            ROWS8(START)
        }
        size_t left = k;
        for (; left >= UNROLL; left -= UNROLL, a0 += UNROLL, a3 += UNROLL) {
            IN_MEMORY();
            FETCH(t->rate[0])
            if (touches) {
                touch_row(touch, vectors);
                touch += t->ld_c;
                touches--;
            }
            STEP(0)
            FETCH(t->rate[1])
            STEP(1)
            FETCH(t->rate[2])
            STEP(2)
            FETCH(t->rate[3])
            STEP(3)
        }
        for (; left; left--, a0++, a3++) {
            STEP(0)
        }
        float *to = t->c;
        ROWS8(FINISH)
        t->a += m * ld_a;
        t->init += from ? m * t->ld_init : 0;
        t->c += m * ld_c;
    } while (--t->count);
    t->ahead = ahead;
#undef LOAD
#undef STORE
#undef PINNED
#undef START
#undef SPREAD
#undef SPREAD_ALONE
#undef SPREAD_0
#undef SPREAD_1
#undef SPREAD_2
#undef SPREAD_3
#undef SPREAD_4
#undef SPREAD_5
#undef SPREAD_6
#undef SPREAD_7
#undef ROW
#undef STEP
#undef FETCH
#undef FINISH
}

#define BODIES(m)                                                                                  \
    static void tile_##m##x48(struct tiles *t)                                                     \
    {                                                                                              \
        run(m, 3, false, AHEAD, t);                                                                \
    }                                                                                              \
    static void tile_##m##x48_own(struct tiles *t)                                                 \
    {                                                                                              \
        run(m, 3, false, OWN_L1, t);                                                               \
    }                                                                                              \
    static void tile_##m##x16_masked(struct tiles *t)                                              \
    {                                                                                              \
        run(m, 1, true, AHEAD, t);                                                                 \
    }                                                                                              \
    static void tile_##m##x32_masked(struct tiles *t)                                              \
    {                                                                                              \
        run(m, 2, true, AHEAD, t);                                                                 \
    }                                                                                              \
    static void tile_##m##x48_masked(struct tiles *t)                                              \
    {                                                                                              \
        run(m, 3, true, AHEAD, t);                                                                 \
    }
#define ROW_OF_TABLE(m)                                                                            \
    {                                                                                              \
        tile_##m##x48, tile_##m##x16_masked, tile_##m##x32_masked, tile_##m##x48_masked,           \
            tile_##m##x48_own                                                                      \
    }

BODIES(1)
BODIES(2)
BODIES(3)
BODIES(4)
BODIES(5)
BODIES(6)
BODIES(7)
BODIES(8)

enum { OWN = 4 };
static void (*const bodies[IOLK_MR][OWN + 1])(struct tiles *) = {
    ROW_OF_TABLE(1), ROW_OF_TABLE(2), ROW_OF_TABLE(3), ROW_OF_TABLE(4),
    ROW_OF_TABLE(5), ROW_OF_TABLE(6), ROW_OF_TABLE(7), ROW_OF_TABLE(8)};

/* Into L2: for up to 5 rows the processor's own prefetchers bring more, undisturbed. */
enum { OWN_L2_ROWS = 6 };
#define OWN_L2_BODY(m)                                                                             \
    static void tile_##m##x48_own_l2(struct tiles *t)                                              \
    {                                                                                              \
        run(m, 3, false, OWN_L2, t);                                                               \
    }
OWN_L2_BODY(6)
OWN_L2_BODY(7)
OWN_L2_BODY(8)
static void (*const own_l2_bodies[])(struct tiles *) = {tile_6x48_own_l2, tile_7x48_own_l2,
                                                        tile_8x48_own_l2};

/* A single row of 4 to 6 vectors: three chains would wait for themselves. */
#define EACH_VECTOR(X) X(0) X(1) X(2) X(3) X(4) X(5)
static inline __attribute__((always_inline)) void row_of(const size_t vectors, const bool own,
                                                         const struct tiles *t)
{
    const float *b = t->b;
#define PRESENT(v)                                                                                 \
    ((v) + 1 < vectors ? (__mmask16)0xffff : (v) + 1 == vectors ? t->last : (__mmask16)0)
#define START(v)                                                                                   \
    __m512 acc##v = t->init && (v) < vectors                                                       \
                        ? _mm512_maskz_loadu_ps(PRESENT(v), t->init + LANES * (v))                 \
                        : _mm512_setzero_ps();
#define STEP(v)                                                                                    \
    if ((v) < vectors) {                                                                           \
        acc##v = fma_in_place(acc##v, x, _mm512_maskz_loadu_ps(PRESENT(v), b + LANES * (v)));      \
        if (own) {                                                                                 \
            _mm_prefetch((const char *)(b + IOLK_STREAM_AHEAD + LANES * (v)), _MM_HINT_T0);        \
        }                                                                                          \
    }
#define FINISH(v)                                                                                  \
    if ((v) < vectors) {                                                                           \
        _mm512_mask_storeu_ps(t->c + LANES * (v), PRESENT(v), acc##v);                             \
    }
    EACH_VECTOR(START)
    for (size_t i = 0; i < t->k; i++, b += t->ld_b) {
        const __m512 x = _mm512_set1_ps(t->a[i]);
        EACH_VECTOR(STEP)
    }
    EACH_VECTOR(FINISH)
#undef PRESENT
#undef START
#undef STEP
#undef FINISH
}

#define WIDE_ROW(vectors)                                                                          \
    static void row_of_##vectors(const struct tiles *t, bool own)                                  \
    {                                                                                              \
        if (own) {                                                                                 \
            row_of(vectors, true, t);                                                              \
        } else {                                                                                   \
            row_of(vectors, false, t);                                                             \
        }                                                                                          \
    }
WIDE_ROW(4)
WIDE_ROW(5)
WIDE_ROW(6)
static void (*const wide_rows[])(const struct tiles *, bool) = {row_of_4, row_of_5, row_of_6};

/* A single row over a whole panel, read by halves of lines: half as many lines are asked for ahead
 * of need, and the buffers of L1's misses are left to the processor's prefetchers, which know more.
 */
static __attribute__((noinline)) void row_by_halves(const struct tiles *t)
{
    enum { HALF = LANES / 2 };
    const float *b = t->b;
#define START(v)                                                                                   \
    __m256 acc##v = t->init ? _mm256_loadu_ps(t->init + HALF * (v)) : _mm256_setzero_ps();
#define STEP(v)                                                                                    \
    {                                                                                              \
        const __m256 weights = _mm256_loadu_ps(b + HALF * (v));                                    \
        __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc##v) : "v"(x), "v"(weights));                   \
    }
#define FINISH(v) _mm256_storeu_ps(t->c + HALF * (v), acc##v);
    EACH_VECTOR(START)
#pragma GCC unroll 4
    for (size_t i = 0; i < t->k; i++, b += IOLK_NR) {
        const __m256 x = _mm256_set1_ps(t->a[i]);
        EACH_VECTOR(STEP)
        __asm__ volatile("" : "+r"(b));
    }
    EACH_VECTOR(FINISH)
#undef START
#undef STEP
#undef FINISH
}

void iolk_gemm_f32_avx512(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,
                          size_t ld_b, const float *init, size_t ld_init, float *c, size_t ld_c,
                          const struct iolk_fetch *fetch)
{
    assert(m >= 1 && n >= 1 && n <= (m == 1 ? IOLK_ROW_NR : IOLK_NR));
    assert((k <= 1 || ld_b >= n) && (m == 1 || (ld_a >= k && ld_c >= n)));
    const bool into_l2 = fetch && fetch->into_l2,
               own = fetch && !fetch->at && (!into_l2 || m >= OWN_L2_ROWS);
    const char *ahead = fetch ? fetch->at : NULL;
    const size_t lines = ahead ? fetch->lines : 0;
    /* Tiles of equal height: 12 rows are 6 + 6. The first `taller` have a row more than the rest.
     */
    const size_t count = (m + IOLK_MR - 1) / IOLK_MR, height = m / count, taller = m % count;
    const size_t vectors = (n + LANES - 1) / LANES, turns = k / UNROLL * count;
    /* Many lines at once would keep the loads of B waiting: three or more in UNROLL steps go step
     * by step, and evenly: memory that has nothing to do for a while is short of time later. */
    const size_t rate = turns ? (lines + turns - 1) / turns : 0;
    const bool often = rate >= UNROLL - 1;
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
        .beside = c + n,
        .last = (__mmask16)((1U << (n - (vectors - 1) * LANES)) - 1U),
        .ahead = ahead,
        .ahead_end = lines ? ahead + lines * LINE : ahead,
        .into_l2 = into_l2,
        .rate = {often ? (rate + 3) / UNROLL : rate, often ? (rate + 1) / UNROLL : 0,
                 often ? (rate + 2) / UNROLL : 0, often ? rate / UNROLL : 0},
    };
    if (n > IOLK_NR) {
        wide_rows[vectors - 4](&t, own);
        return;
    }
    if (m == 1 && into_l2 && n == IOLK_NR && ld_b == IOLK_NR) {
        row_by_halves(&t);
        return;
    }
    if (own && into_l2 && n == IOLK_NR && ld_b == IOLK_NR && m <= IOLK_MR) {
        t.count = 1;
        t.rest = 0;
        own_l2_bodies[m - OWN_L2_ROWS](&t);
        return;
    }
    const size_t width = n < IOLK_NR ? vectors : own && ld_b == IOLK_NR ? OWN : 0;
    if (taller) {
        t.count = taller;
        t.rest = count - taller;
        bodies[height][width](&t);
    }
    t.count = count - taller;
    t.rest = 0;
    bodies[height - 1][width](&t);
}
