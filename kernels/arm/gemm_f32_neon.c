/* gemm_f32_neon: sub-tiles of up to 4 rows x 24 columns, k outermost in each (the outer-product
 * micro-kernel of Goto and van de Geijn, 2008), four steps of k at a time so that one register
 * holds four elements of a row of A for FMLA by element. Where a width is no multiple of 4, the
 * last vector starts at width - 4 and computes a few columns twice (equal chains, equal bits), so
 * only widths below 4 are loaded lane by lane.
 *
 * Registers (4 x 24): 24 q of C, 4 of A (4 rows x 4 steps), 1-4 of B.
 *
 *            b: panel, 48 columns                                c: sub-tiles of an 8 x 48 tile
 *   k = 0    [b0 4][b1 4][b2 4][b3 4][b4 4][b5 4] | [b0]...      rows 0-3  [4 x 24] [4 x 24]
 *   k = 1    [b0 4][b1 4][b2 4][b3 4][b4 4][b5 4] | [b0]...      rows 4-7  [4 x 24] [4 x 24]
 *   ...      rows ld_b apart */
#include "../ops.h"

#include <arm_neon.h>
#include <assert.h>
#include <stdbool.h>

enum { LANES = 4, UNROLL = 4, LINE = 64, MAX_ROWS = 4, WIDE = 24 };

struct tile {
    size_t k, ld_a, ld_b, ld_init, ld_c;
    const float *a, *b, *init;
    float *c;
    size_t columns;    /* present, where there are fewer than LANES */
    size_t last;       /* first column of the last vector */
    const char *ahead; /* prefetched to L2: `rate` lines every UNROLL steps, up to ahead_end */
    const char *ahead_end;
    size_t rate;
};

#define ROWS4(X)       X(0) X(1) X(2) X(3)
#define VECTORS6(X, r) X(r, 0) X(r, 1) X(r, 2) X(r, 3) X(r, 4) X(r, 5)

/* acc += b * a[lane] as an instruction and not as an intrinsic, and loads that stay in their step:
 * gcc 12 would move loads up until it has to spill accumulators. */
#define FMLA(acc, b, a, lane)                                                                      \
    __asm__("fmla %0.4s, %1.4s, %2.s[" #lane "]" : "+w"(acc) : "w"(b), "w"(a))
#define STAY_BELOW() __asm__ volatile("" ::: "memory")

/* The first n = 1..3 elements at p. */
static inline float32x4_t load_narrow(const float *p, size_t n)
{
    float32x4_t v = vld1q_lane_f32(p, vdupq_n_f32(0.0f), 0);
    v = n > 1 ? vld1q_lane_f32(p + 1, v, 1) : v;
    return n > 2 ? vld1q_lane_f32(p + 2, v, 2) : v;
}

static inline void store_narrow(float *p, float32x4_t v, size_t n)
{
    vst1q_lane_f32(p, v, 0);
    if (n > 1) {
        vst1q_lane_f32(p + 1, v, 1);
    }
    if (n > 2) {
        vst1q_lane_f32(p + 2, v, 2);
    }
}

/* m, vectors and narrow are constants in every caller: what they exclude is not compiled. */
static inline __attribute__((always_inline)) void run(const size_t m, const size_t vectors,
                                                      const bool narrow, struct tile *t)
{
    const size_t k = t->k, ld_b = t->ld_b, last = t->last;
    const float *b = t->b;
    const char *ahead = t->ahead;
#define AT(v)      (vectors == (v) + 1 ? last : LANES * (size_t)(v))
#define LOAD(p, v) (narrow ? load_narrow(p, t->columns) : vld1q_f32((p) + AT(v)))
#define START_VECTOR(r, v)                                                                         \
    float32x4_t acc##r##v = vdupq_n_f32(0.0f);                                                     \
    if (r < m && v < vectors && t->init) {                                                         \
        acc##r##v = LOAD(t->init + r * t->ld_init, v);                                             \
    }
#define START(r)                                                                                   \
    const float *a##r = t->a + (r < m ? r : 0) * t->ld_a;                                          \
    VECTORS6(START_VECTOR, r)
#define LOAD_A(r)  const float32x4_t ar##r = r < m ? vld1q_f32(a##r + l) : vdupq_n_f32(0.0f);
#define LOAD_A1(r) const float32x4_t ar##r = r < m ? vld1q_dup_f32(a##r + l) : vdupq_n_f32(0.0f);
#define COLUMN(lane, v)                                                                            \
    if (v < vectors) {                                                                             \
        const float32x4_t bv = LOAD(b, v);                                                         \
        FMLA(acc0##v, bv, ar0, lane);                                                              \
        if (m > 1) {                                                                               \
            FMLA(acc1##v, bv, ar1, lane);                                                          \
        }                                                                                          \
        if (m > 2) {                                                                               \
            FMLA(acc2##v, bv, ar2, lane);                                                          \
        }                                                                                          \
        if (m > 3) {                                                                               \
            FMLA(acc3##v, bv, ar3, lane);                                                          \
        }                                                                                          \
    }
#define STEP(lane)                                                                                 \
    STAY_BELOW();                                                                                  \
    VECTORS6(COLUMN, lane)                                                                         \
    b += ld_b;
#define STORE(r, v)                                                                                \
    if (r < m && v < vectors) {                                                                    \
        if (narrow) {                                                                              \
            store_narrow(t->c + r * t->ld_c, acc##r##v, t->columns);                               \
        } else {                                                                                   \
            vst1q_f32(t->c + r * t->ld_c + AT(v), acc##r##v);                                      \
        }                                                                                          \
    }
#define FINISH(r) VECTORS6(STORE, r)
    ROWS4(START)
    size_t l = 0;
    for (; k - l >= UNROLL; l += UNROLL) {
        for (size_t i = t->rate; i && ahead < t->ahead_end; i--, ahead += LINE) {
            __builtin_prefetch(ahead, 0, 2);
        }
        ROWS4(LOAD_A)
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
    }
    for (; l < k; l++) {
        ROWS4(LOAD_A1)
        STEP(0)
    }
    ROWS4(FINISH)
    t->ahead = ahead;
#undef AT
#undef LOAD
#undef START_VECTOR
#undef START
#undef LOAD_A
#undef LOAD_A1
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
    static void tile_##m##_narrow(struct tile *t)                                                  \
    {                                                                                              \
        run(m, 1, true, t);                                                                        \
    }                                                                                              \
    BODY(m, 1) BODY(m, 2) BODY(m, 3) BODY(m, 4) BODY(m, 5) BODY(m, 6)
BODIES(1)
BODIES(2)
BODIES(3)
BODIES(4)

void iolk_gemm_f32_neon(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,
                        size_t ld_b, const float *init, size_t ld_init, float *c, size_t ld_c,
                        const struct iolk_fetch *fetch)
{
    /* Column 0: fewer than LANES columns. */
    static void (*const bodies[MAX_ROWS][7])(struct tile *) = {
        {tile_1_narrow, tile_1x1, tile_1x2, tile_1x3, tile_1x4, tile_1x5, tile_1x6},
        {tile_2_narrow, tile_2x1, tile_2x2, tile_2x3, tile_2x4, tile_2x5, tile_2x6},
        {tile_3_narrow, tile_3x1, tile_3x2, tile_3x3, tile_3x4, tile_3x5, tile_3x6},
        {tile_4_narrow, tile_4x1, tile_4x2, tile_4x3, tile_4x4, tile_4x5, tile_4x6}};
    assert(m >= 1 && n >= 1 && n <= (m == 1 ? IOLK_ROW_NR : IOLK_NR));
    assert((k <= 1 || ld_b >= n) && (m == 1 || (ld_a >= k && ld_c >= n)));
    const char *ahead = fetch ? fetch->at : NULL;
    const size_t lines = ahead ? fetch->lines : 0;
    /* Rows in groups of nearly equal height, columns in one or two pieces of which none is below
     * LANES wide unless n is. */
    const size_t groups = (m + MAX_ROWS - 1) / MAX_ROWS, height = m / groups, taller = m % groups;
    const size_t passes = groups * (n > WIDE ? 2U : 1U);
    const size_t turns = k / UNROLL * passes;
    struct tile t = {
        .k = k,
        .ld_a = ld_a,
        .ld_b = ld_b,
        .ld_init = ld_init,
        .ld_c = ld_c,
        .ahead = ahead,
        .ahead_end = lines ? ahead + lines * LINE : ahead,
        .rate = turns ? (lines + turns - 1) / turns : 0,
    };
    for (size_t g = 0, i = 0, rows; g < groups; g++, i += rows) {
        rows = height + (g < taller ? 1 : 0);
        for (size_t j = 0; j < n; j += t.columns) {
            t.columns = n - j;
            if (t.columns > WIDE) {
                t.columns = t.columns - WIDE < LANES ? WIDE - LANES : WIDE;
            }
            t.a = a + i * ld_a;
            t.b = b + j;
            t.init = init ? init + i * ld_init + j : init;
            t.c = c + i * ld_c + j;
            t.last = t.columns < LANES ? 0 : t.columns - LANES;
            bodies[rows - 1][t.columns < LANES ? 0 : (t.columns + LANES - 1) / LANES](&t);
        }
    }
}
