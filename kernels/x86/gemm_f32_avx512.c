/* gemm_f32_avx512: the whole m x n tile stays in registers, k runs outermost (the outer-product
 * micro-kernel of Goto and van de Geijn, 2008). One body per (m, vectors, masked); absent rows and
 * absent vectors of 16 columns do not exist in it.
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

struct tile {
    size_t k, ld_a, ld_b, ld_init, ld_c;
    const float *a, *b, *init;
    float *c;
    __mmask16 last;    /* columns present in the last vector */
    const char *ahead; /* prefetched to L2: `rate` lines every UNROLL steps, up to ahead_end */
    const char *ahead_end;
    size_t rate;
};

#define ROWS8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* acc + a * b as an instruction and not as an intrinsic: gcc 12 would fold loads of B into several
 * FMAs and move accumulators about, up to spilling two of them. */
static inline __attribute__((always_inline)) __m512 fma_in_place(__m512 acc, __m512 a, __m512 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

/* m, vectors and masked are constants in every caller: what they exclude is not compiled. */
static inline __attribute__((always_inline)) void run(const size_t m, const size_t vectors,
                                                      const bool masked, const struct tile *t)
{
    const size_t k = t->k, ld_b = t->ld_b;
    const float *b = t->b;
    const __mmask16 last = t->last;
    const char *ahead = t->ahead;
#define LOAD(p, v)                                                                                 \
    (masked && vectors == (v) + 1 ? _mm512_maskz_loadu_ps(last, (p) + LANES * (v))                 \
                                  : _mm512_loadu_ps((p) + LANES * (v)))
#define STORE(p, v, x)                                                                             \
    if (masked && vectors == (v) + 1) {                                                            \
        _mm512_mask_storeu_ps((p) + LANES * (v), last, x);                                         \
    } else if (vectors > (v)) {                                                                    \
        _mm512_storeu_ps((p) + LANES * (v), x);                                                    \
    }
#define START(r)                                                                                   \
    const float *a##r = t->a + (r < m ? r : 0) * t->ld_a;                                          \
    __m512 acc##r##0 = _mm512_setzero_ps(), acc##r##1 = acc##r##0, acc##r##2 = acc##r##0;          \
    if (r < m) { /* C will be written: fetch its lines while the chains run */                     \
        _mm_prefetch((const char *)(t->c + r * t->ld_c), _MM_HINT_T0);                             \
        if (vectors > 1) {                                                                         \
            _mm_prefetch((const char *)(t->c + r * t->ld_c + LANES), _MM_HINT_T0);                 \
        }                                                                                          \
        if (vectors > 2) {                                                                         \
            _mm_prefetch((const char *)(t->c + r * t->ld_c + 2 * LANES), _MM_HINT_T0);             \
        }                                                                                          \
    }                                                                                              \
    if (r < m && t->init) {                                                                        \
        const float *from = t->init + r * t->ld_init;                                              \
        acc##r##0 = LOAD(from, 0);                                                                 \
        acc##r##1 = vectors > 1 ? LOAD(from, 1) : acc##r##1;                                       \
        acc##r##2 = vectors > 2 ? LOAD(from, 2) : acc##r##2;                                       \
    }
#define ROW(r)                                                                                     \
    if (r < m) {                                                                                   \
        __m512 ar = _mm512_set1_ps(a##r[l]);                                                       \
        acc##r##0 = fma_in_place(acc##r##0, ar, b0);                                               \
        acc##r##1 = vectors > 1 ? fma_in_place(acc##r##1, ar, b1) : acc##r##1;                     \
        acc##r##2 = vectors > 2 ? fma_in_place(acc##r##2, ar, b2) : acc##r##2;                     \
    }
#define STEP                                                                                       \
    {                                                                                              \
        __m512 b0 = LOAD(b, 0);                                                                    \
        __m512 b1 = vectors > 1 ? LOAD(b, 1) : b0;                                                 \
        __m512 b2 = vectors > 2 ? LOAD(b, 2) : b0;                                                 \
        ROWS8(ROW)                                                                                 \
        b += ld_b;                                                                                 \
        l++;                                                                                       \
    }
#define FINISH(r)                                                                                  \
    if (r < m) {                                                                                   \
        float *to = t->c + r * t->ld_c;                                                            \
        STORE(to, 0, acc##r##0)                                                                    \
        STORE(to, 1, acc##r##1)                                                                    \
        STORE(to, 2, acc##r##2)                                                                    \
    }
    ROWS8(START)
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
    ROWS8(FINISH)
#undef LOAD
#undef STORE
#undef START
#undef ROW
#undef STEP
#undef FINISH
}

#define BODIES(m)                                                                                  \
    static void tile_##m##x48(const struct tile *t)                                                \
    {                                                                                              \
        run(m, 3, false, t);                                                                       \
    }                                                                                              \
    static void tile_##m##x16_masked(const struct tile *t)                                         \
    {                                                                                              \
        run(m, 1, true, t);                                                                        \
    }                                                                                              \
    static void tile_##m##x32_masked(const struct tile *t)                                         \
    {                                                                                              \
        run(m, 2, true, t);                                                                        \
    }                                                                                              \
    static void tile_##m##x48_masked(const struct tile *t)                                         \
    {                                                                                              \
        run(m, 3, true, t);                                                                        \
    }
#define ROW_OF_TABLE(m)                                                                            \
    {                                                                                              \
        tile_##m##x48, tile_##m##x16_masked, tile_##m##x32_masked, tile_##m##x48_masked            \
    }

BODIES(1)
BODIES(2)
BODIES(3)
BODIES(4)
BODIES(5)
BODIES(6)
BODIES(7)
BODIES(8)

static void (*const bodies[IOLK_MR][4])(const struct tile *) = {
    ROW_OF_TABLE(1), ROW_OF_TABLE(2), ROW_OF_TABLE(3), ROW_OF_TABLE(4),
    ROW_OF_TABLE(5), ROW_OF_TABLE(6), ROW_OF_TABLE(7), ROW_OF_TABLE(8)};

void iolk_gemm_f32_avx512(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,
                          size_t ld_b, const float *init, size_t ld_init, float *c, size_t ld_c,
                          const void *ahead, size_t ahead_lines)
{
    assert(m >= 1 && m <= IOLK_MR && n >= 1 && n <= IOLK_NR);
    assert((k <= 1 || ld_b >= n) && (m == 1 || (ld_a >= k && ld_c >= n)));
    assert(!ahead_lines || ahead);
    const size_t vectors = (n + LANES - 1) / LANES, turns = k / UNROLL;
    const struct tile t = {
        .k = k,
        .ld_a = ld_a,
        .ld_b = ld_b,
        .ld_init = ld_init,
        .ld_c = ld_c,
        .a = a,
        .b = b,
        .init = init,
        .c = c,
        .last = (__mmask16)((1U << (n - (vectors - 1) * LANES)) - 1U),
        .ahead = ahead,
        .ahead_end = ahead_lines ? (const char *)ahead + ahead_lines * LINE : ahead,
        .rate = turns ? (ahead_lines + turns - 1) / turns : 0,
    };
    bodies[m - 1][n == IOLK_NR ? 0 : vectors](&t);
}
