/* gemm_int8dot_avx512vnni: up to 4 x 48 sums of a block of 32 steps as integers, four steps of k
 * per instruction, scaled into as many sums in f32.
 *
 * Registers: 12 zmm of sums (4 rows x 3), 12 of sums of a block, 3 of B, 1 of A; 4 spare.
 *
 *   B, one block         [b0 16][b1 16][b2 16]  k = 0..3, unsigned: q + 128
 *   (9 x 48 words)       ...                    k = 28..31
 *                        [s0 16][s1 16][s2 16]  scales
 *   A, one block         [k = 0..3] ... [k = 28..31] [scale] [-128 * sum]
 *
 * The instruction multiplies unsigned bytes by signed ones: B's are 128 too large, which A's
 * correction, where the sums of a block begin, makes good. The sums are exact, and what follows is
 * one multiplication and one FMA per block: the same bits on every processor.
 *
 * Absent rows do not exist in a body; absent columns are computed (panels are filled with zeros)
 * and not stored. */
#include "columns_avx512.h"
#include "fast.h"
#include "int8_blocks.h"

#include <assert.h>
#include <stdbool.h>

enum { LINE = 64, TALL = 4 };

struct tile {
    size_t blocks, ld_a, ld_init, ld_c;
    const uint32_t *a, *b;
    const float *init;
    float *c;
    __mmask16 columns[3]; /* that are there, per vector */
    const char *ahead, *ahead_end;
    size_t rate; /* lines prefetched every block */
    bool into_l2;
};

#define ROWS4(X) X(0) X(1) X(2) X(3)

/* As an instruction and not as an intrinsic: gcc would fold loads of B into several of them and
 * move accumulators about. */
static inline __attribute__((always_inline)) __m512i dot_in_place(__m512i acc, __m512i b, __m512i a)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(b), "v"(a));
    return acc;
}

static inline __attribute__((always_inline)) __m512 scaled(__m512 acc, __m512i sum, __m512 scale)
{
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, acc);
}

/* m is a constant in every caller: what it excludes is not compiled. */
static inline __attribute__((always_inline)) void run(const size_t m, const struct tile *t)
{
    const uint32_t *b = t->b;
    const char *ahead = t->ahead;
#define START(r)                                                                                   \
    const uint32_t *a##r = t->a + (r < m ? r : 0) * t->ld_a;                                       \
    __m512 acc##r##0 = _mm512_setzero_ps(), acc##r##1 = acc##r##0, acc##r##2 = acc##r##0;          \
    if (r < m && t->init) {                                                                        \
        const float *from = t->init + r * t->ld_init;                                              \
        acc##r##0 = _mm512_maskz_loadu_ps(t->columns[0], from);                                    \
        acc##r##1 = _mm512_maskz_loadu_ps(t->columns[1], from + LANES);                            \
        acc##r##2 = _mm512_maskz_loadu_ps(t->columns[2], from + 2 * LANES);                        \
    }
#define CORRECT(r)                                                                                 \
    __m512i sum##r##0 = _mm512_setzero_si512(), sum##r##1 = sum##r##0, sum##r##2 = sum##r##0;      \
    if (r < m) {                                                                                   \
        sum##r##0 = sum##r##1 = sum##r##2 = _mm512_set1_epi32((int)a##r[CORRECTION]);              \
    }
#define ROW(r)                                                                                     \
    if (r < m) {                                                                                   \
        const __m512i ar = _mm512_set1_epi32((int)a##r[l]);                                        \
        sum##r##0 = dot_in_place(sum##r##0, b0, ar);                                               \
        sum##r##1 = dot_in_place(sum##r##1, b1, ar);                                               \
        sum##r##2 = dot_in_place(sum##r##2, b2, ar);                                               \
    }
#define SCALED(r)                                                                                  \
    if (r < m) {                                                                                   \
        const __m512 ar = _mm512_castsi512_ps(_mm512_set1_epi32((int)a##r[SCALE]));                \
        acc##r##0 = scaled(acc##r##0, sum##r##0, _mm512_mul_ps(ar, s0));                           \
        acc##r##1 = scaled(acc##r##1, sum##r##1, _mm512_mul_ps(ar, s1));                           \
        acc##r##2 = scaled(acc##r##2, sum##r##2, _mm512_mul_ps(ar, s2));                           \
        a##r += A_WORDS;                                                                           \
    }
#define FINISH(r)                                                                                  \
    if (r < m) {                                                                                   \
        float *to = t->c + r * t->ld_c;                                                            \
        _mm512_mask_storeu_ps(to, t->columns[0], acc##r##0);                                       \
        _mm512_mask_storeu_ps(to + LANES, t->columns[1], acc##r##1);                               \
        _mm512_mask_storeu_ps(to + 2 * LANES, t->columns[2], acc##r##2);                           \
    }
    ROWS4(START)
    for (size_t i = 0; i < t->blocks; i++) {
        ahead = fetch_lines(ahead, t->ahead_end, t->rate, t->into_l2);
        ROWS4(CORRECT)
#pragma GCC unroll 8
        for (size_t l = 0; l < SCALE; l++, b += IOLK_NR) {
            const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + LANES),
                          b2 = _mm512_loadu_si512(b + 2 * LANES);
            ROWS4(ROW)
        }
        const __m512 s0 = _mm512_loadu_ps(b), s1 = _mm512_loadu_ps(b + LANES),
                     s2 = _mm512_loadu_ps(b + 2 * LANES);
        ROWS4(SCALED)
        b += IOLK_NR;
    }
    ROWS4(FINISH)
#undef START
#undef CORRECT
#undef ROW
#undef SCALED
#undef FINISH
}

#define BODY(m)                                                                                    \
    static void tile_##m(const struct tile *t)                                                     \
    {                                                                                              \
        run(m, t);                                                                                 \
    }
BODY(1)
BODY(2)
BODY(3)
BODY(4)

static void (*const bodies[TALL])(const struct tile *) = {tile_1, tile_2, tile_3, tile_4};

void iolk_gemm_int8dot_avx512vnni(size_t m, size_t n, size_t blocks, const uint32_t *a, size_t ld_a,
                                  const uint32_t *b, const float *init, size_t ld_init, float *c,
                                  size_t ld_c, const struct iolk_fetch *fetch)
{
    assert(m >= 1 && m <= IOLK_MR && n >= 1 && n <= IOLK_NR);
    assert(m == 1 || (ld_a >= blocks * A_WORDS && ld_c >= n));
    const size_t tiles = (m + TALL - 1) / TALL, turns = blocks * tiles;
    const char *ahead = fetch ? fetch->at : NULL;
    const size_t lines = ahead ? fetch->lines : 0;
    struct tile t = {
        .blocks = blocks,
        .ld_a = ld_a,
        .ld_init = ld_init,
        .ld_c = ld_c,
        .b = b,
        .columns = {present(n, 0), present(n, 1), present(n, 2)},
        .rate = turns ? (lines + turns - 1) / turns : 0,
        .into_l2 = fetch && fetch->into_l2,
    };
    for (size_t i = 0; i < tiles; i++) {
        const size_t row = m * i / tiles, rows = m * (i + 1) / tiles - row;
        t.a = a + row * ld_a;
        t.init = init ? init + row * ld_init : NULL;
        t.c = c + row * ld_c;
        t.ahead = ahead ? ahead + lines * i / tiles * LINE : NULL;
        t.ahead_end = ahead ? ahead + lines * (i + 1) / tiles * LINE : NULL;
        bodies[rows - 1](&t);
    }
}
