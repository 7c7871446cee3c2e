/* gemm_bf16dot_avx512bf16: the tile of gemm_f32_avx512 with two steps of k per instruction.
 *
 * Registers: 24 zmm of C (8 rows x 3), 3 of B, 1 of A broadcast; 4 spare.
 *
 *                    b: panel, 48 words          c: tile
 *   k = 0, 1         [b0 16][b1 16][b2 16]       row 0  [acc00][acc01][acc02]
 *   k = 2, 3         [b0 16][b1 16][b2 16]       ...
 *   ...              IOLK_NR words apart         row 7  [acc70][acc71][acc72]
 *
 * Absent rows do not exist in a body; absent columns are computed (panels are filled with zeros)
 * and not stored. */
#include "columns_avx512.h"
#include "fast.h"

#include <assert.h>
#include <stdbool.h>

enum { UNROLL = 4, LINE = 64 };

struct tile {
    size_t pairs, ld_a, ld_init, ld_c;
    const uint32_t *a, *b;
    const float *init;
    float *c;
    __mmask16 columns[3]; /* that are there, per vector */
    const char *ahead, *ahead_end;
    size_t rate; /* lines prefetched every UNROLL steps */
    bool into_l2;
};

#define ROWS8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* As an instruction and not as an intrinsic: compilers without the type __m512bh at hand, and none
 * moves accumulators about. */
static inline __attribute__((always_inline)) __m512 dot_in_place(__m512 acc, __m512i a, __m512i b)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

/* m is a constant in every caller: what it excludes is not compiled. */
static inline __attribute__((always_inline)) void run(const size_t m, const struct tile *t)
{
    const size_t pairs = t->pairs;
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
#define ROW(r)                                                                                     \
    if (r < m) {                                                                                   \
        __m512i ar = _mm512_set1_epi32((int)a##r[l]);                                              \
        acc##r##0 = dot_in_place(acc##r##0, ar, b0);                                               \
        acc##r##1 = dot_in_place(acc##r##1, ar, b1);                                               \
        acc##r##2 = dot_in_place(acc##r##2, ar, b2);                                               \
    }
#define STEP                                                                                       \
    {                                                                                              \
        __m512i b0 = _mm512_loadu_si512(b);                                                        \
        __m512i b1 = _mm512_loadu_si512(b + LANES);                                                \
        __m512i b2 = _mm512_loadu_si512(b + 2 * LANES);                                            \
        ROWS8(ROW)                                                                                 \
        b += IOLK_NR;                                                                              \
        l++;                                                                                       \
    }
#define FINISH(r)                                                                                  \
    if (r < m) {                                                                                   \
        float *to = t->c + r * t->ld_c;                                                            \
        _mm512_mask_storeu_ps(to, t->columns[0], acc##r##0);                                       \
        _mm512_mask_storeu_ps(to + LANES, t->columns[1], acc##r##1);                               \
        _mm512_mask_storeu_ps(to + 2 * LANES, t->columns[2], acc##r##2);                           \
    }
    ROWS8(START)
    size_t l = 0;
    while (pairs - l >= UNROLL) {
        ahead = fetch_lines(ahead, t->ahead_end, t->rate, t->into_l2);
        STEP STEP STEP STEP
    }
    while (l < pairs) {
        STEP
    }
    ROWS8(FINISH)
#undef START
#undef ROW
#undef STEP
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
BODY(5)
BODY(6)
BODY(7)
BODY(8)

static void (*const bodies[IOLK_MR])(const struct tile *) = {tile_1, tile_2, tile_3, tile_4,
                                                             tile_5, tile_6, tile_7, tile_8};

void iolk_gemm_bf16dot_avx512bf16(size_t m, size_t n, size_t pairs, const uint32_t *a, size_t ld_a,
                                  const uint32_t *b, const float *init, size_t ld_init, float *c,
                                  size_t ld_c, const struct iolk_fetch *fetch)
{
    assert(m >= 1 && m <= IOLK_MR && n >= 1 && n <= IOLK_NR);
    assert(m == 1 || (ld_a >= pairs && ld_c >= n));
    const char *ahead = fetch ? fetch->at : NULL;
    const size_t lines = ahead ? fetch->lines : 0;
    const size_t turns = pairs / UNROLL;
    const struct tile t = {
        .pairs = pairs,
        .ld_a = ld_a,
        .ld_init = ld_init,
        .ld_c = ld_c,
        .a = a,
        .b = b,
        .init = init,
        .c = c,
        .columns = {present(n, 0), present(n, 1), present(n, 2)},
        .ahead = ahead,
        .ahead_end = lines ? ahead + lines * LINE : ahead,
        .rate = turns ? (lines + turns - 1) / turns : 0,
        .into_l2 = fetch && fetch->into_l2,
    };
    bodies[m - 1](&t);
}
