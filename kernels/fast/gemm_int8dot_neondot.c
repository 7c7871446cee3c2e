/* gemm_int8dot_neondot: up to 4 x 12 sums of a block of 32 steps as integers, four steps of k per
 * instruction (sdot), scaled into as many sums in f32. A panel passes four times, twelve columns
 * each.
 *
 * Registers: 12 q of sums (4 rows x 3), 12 of sums of a block, 3 of B, 1 of A, 1 of 0x80; 3 spare.
 *
 * The instruction multiplies signed bytes: B's, which are 128 too large, lose that on the way, and
 * A's correction is not needed. The sums are exact and scaled as gemm_int8dot_avx512vnni scales
 * them: its bits.
 *
 * Absent rows do not exist in a body; absent columns are computed (panels are filled with zeros)
 * and not stored. */
#include "columns_neon.h"
#include "fast.h"
#include "int8_blocks.h"

#include <assert.h>

enum { VECTORS = 3, LINE = 64, TALL = 4 };

struct tile {
    size_t blocks, ld_a, ld_init, ld_c, n; /* n columns from the first of this pass on */
    const uint32_t *a, *b;
    const float *init;
    float *c;
};

#define ROWS4(X) X(0) X(1) X(2) X(3)

static inline int8x16_t weights(const uint32_t *b)
{
    return vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(vld1q_u32(b)), vdupq_n_u8(0x80)));
}

static inline float32x4_t scales(const uint32_t *b)
{
    return vreinterpretq_f32_u32(vld1q_u32(b));
}

/* m is a constant in every caller: what it excludes is not compiled. */
static inline __attribute__((always_inline)) void run(const size_t m, const struct tile *t)
{
    const uint32_t *b = t->b;
#define START(r)                                                                                   \
    const uint32_t *a##r = t->a + (r < m ? r : 0) * t->ld_a;                                       \
    float32x4_t acc##r##0 = vdupq_n_f32(0), acc##r##1 = acc##r##0, acc##r##2 = acc##r##0;          \
    if (r < m && t->init) {                                                                        \
        const float *from = t->init + r * t->ld_init;                                              \
        acc##r##0 = load_some(from, t->n, 0);                                                      \
        acc##r##1 = load_some(from, t->n, 1);                                                      \
        acc##r##2 = load_some(from, t->n, 2);                                                      \
    }
#define ZERO(r)                                                                                    \
    int32x4_t sum##r##0 = vdupq_n_s32(0), sum##r##1 = vdupq_n_s32(0), sum##r##2 = vdupq_n_s32(0);
#define ROW(r)                                                                                     \
    if (r < m) {                                                                                   \
        const int8x16_t ar = vreinterpretq_s8_u32(vld1q_dup_u32(a##r + l));                        \
        sum##r##0 = vdotq_s32(sum##r##0, b0, ar);                                                  \
        sum##r##1 = vdotq_s32(sum##r##1, b1, ar);                                                  \
        sum##r##2 = vdotq_s32(sum##r##2, b2, ar);                                                  \
    }
#define SCALED(r)                                                                                  \
    if (r < m) {                                                                                   \
        const float32x4_t ar = vreinterpretq_f32_u32(vld1q_dup_u32(a##r + SCALE));                 \
        acc##r##0 = vfmaq_f32(acc##r##0, vcvtq_f32_s32(sum##r##0), vmulq_f32(ar, s0));             \
        acc##r##1 = vfmaq_f32(acc##r##1, vcvtq_f32_s32(sum##r##1), vmulq_f32(ar, s1));             \
        acc##r##2 = vfmaq_f32(acc##r##2, vcvtq_f32_s32(sum##r##2), vmulq_f32(ar, s2));             \
        a##r += A_WORDS;                                                                           \
    }
#define FINISH(r)                                                                                  \
    if (r < m) {                                                                                   \
        float *to = t->c + r * t->ld_c;                                                            \
        store_some(to, t->n, 0, acc##r##0);                                                        \
        store_some(to, t->n, 1, acc##r##1);                                                        \
        store_some(to, t->n, 2, acc##r##2);                                                        \
    }
    ROWS4(START)
    for (size_t i = 0; i < t->blocks; i++) {
        ROWS4(ZERO)
        for (size_t l = 0; l < SCALE; l++, b += IOLK_NR) {
            const int8x16_t b0 = weights(b), b1 = weights(b + LANES), b2 = weights(b + 2 * LANES);
            ROWS4(ROW)
        }
        const float32x4_t s0 = scales(b), s1 = scales(b + LANES), s2 = scales(b + 2 * LANES);
        ROWS4(SCALED)
        b += IOLK_NR;
    }
    ROWS4(FINISH)
#undef START
#undef ZERO
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

void iolk_gemm_int8dot_neondot(size_t m, size_t n, size_t blocks, const uint32_t *a, size_t ld_a,
                               const uint32_t *b, const float *init, size_t ld_init, float *c,
                               size_t ld_c, const struct iolk_fetch *fetch)
{
    assert(m >= 1 && m <= IOLK_MR && n >= 1 && n <= IOLK_NR);
    assert(m == 1 || (ld_a >= blocks * A_WORDS && ld_c >= n));
    const char *ahead = fetch ? fetch->at : NULL;
    const size_t tiles = (m + TALL - 1) / TALL,
                 passes = (n + VECTORS * LANES - 1) / (VECTORS * LANES);
    for (size_t i = 0; i < tiles * passes; i++) {
        const size_t tile = i % tiles, row = m * tile / tiles, rows = m * (tile + 1) / tiles - row,
                     column = i / tiles * VECTORS * LANES;
        const struct tile t = {.blocks = blocks,
                               .ld_a = ld_a,
                               .ld_init = ld_init,
                               .ld_c = ld_c,
                               .n = n - column,
                               .a = a + row * ld_a,
                               .b = b + column,
                               .init = init ? init + row * ld_init + column : NULL,
                               .c = c + row * ld_c + column};
        bodies[rows - 1](&t);
        for (size_t j = ahead ? fetch->lines * i / (tiles * passes) : 0;
             ahead && j < fetch->lines * (i + 1) / (tiles * passes); j++) {
            __builtin_prefetch(ahead + j * LINE, 0, 2);
        }
    }
}
