/* gemm_bf16dot_neonbf16: tiles of 4 x 16 sums, two steps of k per instruction (bfdot).
 *
 * Registers: 16 q of C (4 rows x 4), 4 of B, 1 of A broadcast (eight rows of three spill in
 * gcc 12). A panel passes three times, sixteen columns each.
 *
 *   k = 0, 1         [b0 4][b1 4][b2 4][b3 4]       row 0  [acc00][acc01][acc02][acc03]
 *   ...              IOLK_NR words apart            row 3  [acc30][acc31][acc32][acc33]
 *
 * Absent rows do not exist in a body; absent columns are computed (panels are filled with zeros)
 * and not stored. */
#include "columns_neon.h"
#include "fast.h"

#include <assert.h>

enum { VECTORS = 4, LINE = 64, TALL = 4 };

struct tile {
    size_t pairs, ld_a, ld_init, ld_c, n; /* n columns from the first of this pass on */
    const uint32_t *a, *b;
    const float *init;
    float *c;
};

/* As an instruction and not as an intrinsic, and loads that stay in their step: gcc 12 would move
 * loads up until it has to spill accumulators. */
#define DOT(acc, b, a) __asm__("bfdot %0.4s, %1.8h, %2.8h" : "+w"(acc) : "w"(b), "w"(a))
#define STAY_BELOW()   __asm__ volatile("" ::: "memory")

#define ROWS4(X) X(0) X(1) X(2) X(3)

/* m is a constant in every caller: what it excludes is not compiled. */
static inline __attribute__((always_inline)) void run(const size_t m, const struct tile *t)
{
    const uint32_t *b = t->b;
#define START(r)                                                                                   \
    const uint32_t *a##r = t->a + (r < m ? r : 0) * t->ld_a;                                       \
    float32x4_t acc##r##0 = vdupq_n_f32(0), acc##r##1 = acc##r##0, acc##r##2 = acc##r##0,          \
                acc##r##3 = acc##r##0;                                                             \
    if (r < m && t->init) {                                                                        \
        const float *from = t->init + r * t->ld_init;                                              \
        acc##r##0 = load_some(from, t->n, 0);                                                      \
        acc##r##1 = load_some(from, t->n, 1);                                                      \
        acc##r##2 = load_some(from, t->n, 2);                                                      \
        acc##r##3 = load_some(from, t->n, 3);                                                      \
    }
#define ROW(r)                                                                                     \
    if (r < m) {                                                                                   \
        const uint32x4_t ar = vld1q_dup_u32(a##r + l);                                             \
        DOT(acc##r##0, b0, ar);                                                                    \
        DOT(acc##r##1, b1, ar);                                                                    \
        DOT(acc##r##2, b2, ar);                                                                    \
        DOT(acc##r##3, b3, ar);                                                                    \
    }
#define FINISH(r)                                                                                  \
    if (r < m) {                                                                                   \
        float *to = t->c + r * t->ld_c;                                                            \
        store_some(to, t->n, 0, acc##r##0);                                                        \
        store_some(to, t->n, 1, acc##r##1);                                                        \
        store_some(to, t->n, 2, acc##r##2);                                                        \
        store_some(to, t->n, 3, acc##r##3);                                                        \
    }
    ROWS4(START)
    for (size_t l = 0; l < t->pairs; l++, b += IOLK_NR) {
        STAY_BELOW();
        const uint32x4_t b0 = vld1q_u32(b), b1 = vld1q_u32(b + LANES),
                         b2 = vld1q_u32(b + 2 * LANES), b3 = vld1q_u32(b + 3 * LANES);
        ROWS4(ROW)
    }
    ROWS4(FINISH)
#undef START
#undef ROW
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

void iolk_gemm_bf16dot_neonbf16(size_t m, size_t n, size_t pairs, const uint32_t *a, size_t ld_a,
                                const uint32_t *b, const float *init, size_t ld_init, float *c,
                                size_t ld_c, const struct iolk_fetch *fetch)
{
    assert(m >= 1 && m <= IOLK_MR && n >= 1 && n <= IOLK_NR);
    assert(m == 1 || (ld_a >= pairs && ld_c >= n));
    const char *ahead = fetch ? fetch->at : NULL;
    const size_t tiles = (m + TALL - 1) / TALL,
                 passes = (n + VECTORS * LANES - 1) / (VECTORS * LANES);
    for (size_t i = 0; i < tiles * passes; i++) {
        const size_t tile = i % tiles, row = m * tile / tiles, rows = m * (tile + 1) / tiles - row,
                     column = i / tiles * VECTORS * LANES;
        const struct tile t = {.pairs = pairs,
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
