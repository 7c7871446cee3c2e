/* The AVX-512 tile of gemm_f32 and mix_f32: at most 8 rows and 48 columns, which stay in registers
 * while k runs outermost (the outer-product micro-kernel of Goto and van de Geijn, 2008). The tiles
 * of one height follow one another inside one body, so that the next one starts while the last sums
 * of this one are still on their way. Absent rows and absent vectors of 16 columns do not exist in
 * a body.
 *
 * Registers: 24 zmm of C (8 rows x 3), 3 of B, 1 of A broadcast; 4 spare.
 *
 *            b: panel, 48 columns          c: tile
 *   k = 0    [b0 16][b1 16][b2 16]         row 0  [acc00][acc01][acc02]
 *   k = 1    [b0 16][b1 16][b2 16]         ...
 *   ...      rows ld_b apart               row 7  [acc70][acc71][acc72] */
#ifndef IOLK_TILE_AVX512_H
#define IOLK_TILE_AVX512_H

#include "../ops.h"

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
    const char *few_end; /* the second line of a few, up to this */
    size_t rate[UNROLL];
    bool into_l2;
    /* Every UNROLL steps from the next stream, which is `to_next` bytes further on; what would be
     * past the last one, from the first again. */
    const char *streams_end;
    ptrdiff_t to_next, to_first; /* bytes */
    const float *factor;         /* of a triangle: one for each row */
};

/* Every height of a tile; every row of one. */
#define HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define ROWS8(X)   X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* acc + a * b as an instruction and not as an intrinsic: gcc 12 would fold loads of B into several
 * FMAs and move accumulators about, up to spilling two of them. */
static inline __attribute__((always_inline)) __m512 fma_in_place(__m512 acc, __m512 a, __m512 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

/* The same of the lower halves. */
static inline __attribute__((always_inline)) __m512 half_fma(__m512 acc, __m512 a, __m512 b)
{
    __asm__("vfmadd231ps %t2, %t1, %t0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

/* How the last vector ends: with all 16 columns; with fewer; with 8 at most, which a processor that
 * does 512 bits in two halves has in half the time. */
enum edge { WHOLE, MASKED, HALF };

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

/* What a body fetches: what *t says, at any rate; the same over a panel, whose rows lie IOLK_NR
 * apart: a line or two every UNROLL steps, through L1 or into L2; at any rate, from several places
 * in turn; a panel itself, further on, with nothing to count, through L1 or into L2. */
enum source { NOTHING, AHEAD, FEW_L1, FEW_L2, STREAMS, OWN_L1, OWN_L2 };

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

static inline __attribute__((always_inline)) const char *next_stream(const struct tiles *t,
                                                                     const char *ahead)
{
    ahead += t->to_next;
    return __builtin_expect(ahead >= t->streams_end, 0) ? ahead + t->to_first : ahead;
}

/* All but t are constants in every caller: what they exclude is not compiled. triangle: row r has r
 * steps of k more, and is multiplied by its factor at the end; one tile. */
static inline __attribute__((always_inline)) void run_tiles(const size_t m, const size_t vectors,
                                                            const enum edge edge,
                                                            const enum source source,
                                                            const bool triangle, struct tiles *t)
{
    const size_t k = t->k, ld_a = t->ld_a, ld_b = source > AHEAD ? IOLK_NR : t->ld_b,
                 ld_c = t->ld_c, row_bytes = ld_a * sizeof(float), three_rows = 3 * row_bytes;
    const __mmask16 last = t->last;
    const char *ahead = t->ahead;
    const bool in_place = t->init == t->c;
#define EDGE(v) (vectors == (v) + 1 ? edge : WHOLE)
#define LOAD(p, v)                                                                                 \
    (EDGE(v) == HALF                                                                               \
         ? _mm512_castps256_ps512(_mm256_maskz_loadu_ps((__mmask8)last, (p) + LANES * (v)))        \
     : EDGE(v) == MASKED ? _mm512_maskz_loadu_ps(last, (p) + LANES * (v))                          \
                         : _mm512_loadu_ps((p) + LANES * (v)))
#define STORE(p, v, x)                                                                             \
    if (EDGE(v) == HALF) {                                                                         \
        _mm256_mask_storeu_ps((p) + LANES * (v), (__mmask8)last, _mm512_castps512_ps256(x));       \
    } else if (EDGE(v) == MASKED) {                                                                \
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
/* A broadcast is not free where 512 bits are two halves: one vector takes it within the FMA (1.4
 * times as fast on Zen 4), two in every fourth row: each such row loads once more, and a processor
 * with two FMAs of 512 bits has no loads to spare (in every second row Sapphire Rapids loses 5 to 8
 * %). */
#define FUSED(r, v, base, index, scale, step)                                                      \
    if (EDGE(v) == HALF) {                                                                         \
        __asm__ volatile("vfmadd231ps %c4(%2,%3," #scale ")%{1to8%}, %t1, %t0"                     \
                         : "+v"(acc##r##v)                                                         \
                         : "v"(b##v), "r"(base), "r"(index), "i"((step) * sizeof(float)));         \
    } else {                                                                                       \
        __asm__ volatile("vfmadd231ps %c4(%2,%3," #scale ")%{1to16%}, %1, %0"                      \
                         : "+v"(acc##r##v)                                                         \
                         : "v"(b##v), "r"(base), "r"(index), "i"((step) * sizeof(float)));         \
    }
#define FUSED_ALONE(r, v, base, step)                                                              \
    if (EDGE(v) == HALF) {                                                                         \
        __asm__ volatile("vfmadd231ps %c3(%2)%{1to8%}, %t1, %t0"                                   \
                         : "+v"(acc##r##v)                                                         \
                         : "v"(b##v), "r"(base), "i"((step) * sizeof(float)));                     \
    } else {                                                                                       \
        __asm__ volatile("vfmadd231ps %c3(%2)%{1to16%}, %1, %0"                                    \
                         : "+v"(acc##r##v)                                                         \
                         : "v"(b##v), "r"(base), "i"((step) * sizeof(float)));                     \
    }
#define FUSED_0(v, step) FUSED_ALONE(0, v, a0, step)
#define FUSED_1(v, step) FUSED(1, v, a0, row_bytes, 1, step)
#define FUSED_2(v, step) FUSED(2, v, a0, row_bytes, 2, step)
#define FUSED_3(v, step) FUSED_ALONE(3, v, a3, step)
#define FUSED_4(v, step) FUSED(4, v, a0, row_bytes, 4, step)
#define FUSED_5(v, step) FUSED(5, v, a3, row_bytes, 2, step)
#define FUSED_6(v, step) FUSED(6, v, a0, three_rows, 2, step)
#define FUSED_7(v, step) FUSED(7, v, a3, row_bytes, 4, step)
#define FMA(r, v)                                                                                  \
    if (vectors > (v)) {                                                                           \
        acc##r##v =                                                                                \
            EDGE(v) == HALF ? half_fma(acc##r##v, ar, b##v) : fma_in_place(acc##r##v, ar, b##v);   \
    }
#define ROW(r, first, step)                                                                        \
    if (r < m && r >= first && (vectors == 1 || (vectors == 2 && r % 4 == 3))) {                   \
        FUSED_##r(0, step);                                                                        \
        if (vectors > 1) {                                                                         \
            FUSED_##r(1, step);                                                                    \
        }                                                                                          \
    } else if (r < m && r >= first) {                                                              \
        __m512 ar;                                                                                 \
        SPREAD_##r(ar, step);                                                                      \
        FMA(r, 0)                                                                                  \
        FMA(r, 1)                                                                                  \
        FMA(r, 2)                                                                                  \
    }
/* A vector of B is not loaded again for each row. */
#define LOADED_ONCE(b) __asm__("" : "+v"(b));
/* The rows from `first` on. */
#define STEP_FROM(first, step)                                                                     \
    {                                                                                              \
        __m512 b0 = LOAD(b, 0);                                                                    \
        __m512 b1 = vectors > 1 ? LOAD(b, 1) : _mm512_setzero_ps();                                \
        __m512 b2 = vectors > 2 ? LOAD(b, 2) : _mm512_setzero_ps();                                \
        LOADED_ONCE(b0)                                                                            \
        if (vectors > 1) {                                                                         \
            LOADED_ONCE(b1)                                                                        \
        }                                                                                          \
        if (vectors > 2) {                                                                         \
            LOADED_ONCE(b2)                                                                        \
        }                                                                                          \
        ROW(0, first, step)                                                                        \
        ROW(1, first, step)                                                                        \
        ROW(2, first, step)                                                                        \
        ROW(3, first, step)                                                                        \
        ROW(4, first, step)                                                                        \
        ROW(5, first, step)                                                                        \
        ROW(6, first, step)                                                                        \
        ROW(7, first, step)                                                                        \
        touch_own(b, vectors, source);                                                             \
        b += ld_b;                                                                                 \
        if (source <= AHEAD) {                                                                     \
            __asm__ volatile("" : "+r"(b));                                                        \
        }                                                                                          \
    }
#define STEP(step) STEP_FROM(0, step)
/* What the rows from r + 1 on see alone, the first of them last. */
#define CORNER(r)                                                                                  \
    if (triangle && r + 1 < m) {                                                                   \
        STEP_FROM(r + 1, r)                                                                        \
    }
#define FETCH(lines)                                                                               \
    for (size_t i = source == AHEAD || source == STREAMS ? lines : 0; i && ahead < t->ahead_end;   \
         i--, ahead += LINE) {                                                                     \
        if (t->into_l2) {                                                                          \
            _mm_prefetch(ahead, _MM_HINT_T1);                                                      \
        } else {                                                                                   \
            _mm_prefetch(ahead, _MM_HINT_T0);                                                      \
        }                                                                                          \
    }
/* A line, with nothing decided here that could be before. */
#define FETCH_FEW(end)                                                                             \
    if ((source == FEW_L1 || source == FEW_L2) && ahead < (end)) {                                 \
        if (source == FEW_L2) {                                                                    \
            _mm_prefetch(ahead, _MM_HINT_T1);                                                      \
        } else {                                                                                   \
            _mm_prefetch(ahead, _MM_HINT_T0);                                                      \
        }                                                                                          \
        ahead += LINE;                                                                             \
    }
#define FINISH(r)                                                                                  \
    if (r < m && triangle) {                                                                       \
        const __m512 factor = _mm512_set1_ps(t->factor[r]);                                        \
        acc##r##0 = _mm512_mul_ps(factor, acc##r##0);                                              \
        acc##r##1 = vectors > 1 ? _mm512_mul_ps(factor, acc##r##1) : acc##r##1;                    \
        acc##r##2 = vectors > 2 ? _mm512_mul_ps(factor, acc##r##2) : acc##r##2;                    \
    }                                                                                              \
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
            FETCH_FEW(t->ahead_end)
            FETCH(t->rate[0])
            if (touches) {
                touch_row(touch, vectors);
                touch += t->ld_c;
                touches--;
            }
            STEP(0)
            FETCH(t->rate[1])
            STEP(1)
            FETCH_FEW(t->few_end)
            FETCH(t->rate[2])
            STEP(2)
            FETCH(t->rate[3])
            STEP(3)
            if (source == STREAMS) {
                ahead = next_stream(t, ahead);
            }
        }
        for (; left; left--, a0++, a3++) {
            STEP(0)
        }
        ROWS8(CORNER)
        float *to = t->c;
        ROWS8(FINISH)
        t->a += m * ld_a;
        t->init += from ? m * t->ld_init : 0;
        t->c += m * ld_c;
    } while (--t->count);
    t->ahead = ahead;
#undef EDGE
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
#undef FUSED
#undef FUSED_ALONE
#undef FUSED_0
#undef FUSED_1
#undef FUSED_2
#undef FUSED_3
#undef FUSED_4
#undef FUSED_5
#undef FUSED_6
#undef FUSED_7
#undef FMA
#undef ROW
#undef LOADED_ONCE
#undef STEP
#undef STEP_FROM
#undef CORNER
#undef FETCH
#undef FETCH_FEW
#undef FINISH
}

#endif
