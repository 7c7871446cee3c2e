/* gemm_f32_avx512: tiles of tile_avx512.h, one body per height and width; a single row has bodies
 * of its own. */
#include "tile_avx512.h"

#include <assert.h>

#define BODY(m, name, vectors, edge, source)                                                       \
    static void tile_##m##x##name(struct tiles *t)                                                 \
    {                                                                                              \
        run_tiles(m, vectors, edge, source, false, t);                                             \
    }
#define BODIES(m)                                                                                  \
    BODY(m, 16, 1, WHOLE, AHEAD)                                                                   \
    BODY(m, 32, 2, WHOLE, AHEAD)                                                                   \
    BODY(m, 48, 3, WHOLE, AHEAD)                                                                   \
    BODY(m, 16_masked, 1, MASKED, AHEAD)                                                           \
    BODY(m, 32_masked, 2, MASKED, AHEAD)                                                           \
    BODY(m, 48_masked, 3, MASKED, AHEAD)                                                           \
    BODY(m, 8_by_halves, 1, HALF, NOTHING)                                                         \
    BODY(m, 24_by_halves, 2, HALF, NOTHING)                                                        \
    BODY(m, 40_by_halves, 3, HALF, NOTHING)                                                        \
    BODY(m, 48_streams, 3, WHOLE, STREAMS)                                                         \
    BODY(m, 48_own, 3, WHOLE, OWN_L1)
HEIGHTS(BODIES)

typedef void body_fn(struct tiles *);
/* Of each height: 1 to 3 vectors of columns, for each edge; a panel that fetches, that fetches
 * itself. */
enum { EDGES = 3, PANEL_STREAMS = 3 * EDGES, PANEL_OWN, WIDTHS };
#define ROW_OF_TABLE(m)                                                                            \
    {tile_##m##x16,          tile_##m##x32,           tile_##m##x48,                               \
     tile_##m##x16_masked,   tile_##m##x32_masked,    tile_##m##x48_masked,                        \
     tile_##m##x8_by_halves, tile_##m##x24_by_halves, tile_##m##x40_by_halves,                     \
     tile_##m##x48_streams,  tile_##m##x48_own},
static body_fn *const bodies[IOLK_MR][WIDTHS] = {HEIGHTS(ROW_OF_TABLE)};

/* Of a panel and 6 to 8 rows: few lines fetched, or none; the panel itself into L2 (for up to 5
 * rows the processor's own prefetchers bring more, undisturbed). */
enum { HIGH = 6 };
#define HIGH_HEIGHTS(X) X(6) X(7) X(8)
#define HIGH_BODIES(m)                                                                             \
    BODY(m, 48_few_l1, 3, WHOLE, FEW_L1)                                                           \
    BODY(m, 48_few_l2, 3, WHOLE, FEW_L2)                                                           \
    BODY(m, 48_own_l2, 3, WHOLE, OWN_L2)
HIGH_HEIGHTS(HIGH_BODIES)
#define HIGH_ROW_OF_TABLE(m) {tile_##m##x48_few_l1, tile_##m##x48_few_l2, tile_##m##x48_own_l2},
static body_fn *const high_bodies[][3] = {HIGH_HEIGHTS(HIGH_ROW_OF_TABLE)};

/* The body for m rows of n columns; of a panel, where the source says so. */
static body_fn *body_of(size_t m, size_t n, enum source source)
{
    switch (source) {
    case FEW_L1:
        return high_bodies[m - HIGH][0];
    case FEW_L2:
        return high_bodies[m - HIGH][1];
    case OWN_L2:
        return high_bodies[m - HIGH][2];
    case OWN_L1:
        return bodies[m - 1][PANEL_OWN];
    case STREAMS:
        return bodies[m - 1][PANEL_STREAMS];
    default:
        break;
    }
    const size_t vectors = (n + LANES - 1) / LANES, absent = vectors * LANES - n;
    const enum edge edge = absent == 0 ? WHOLE : absent < LANES / 2 ? MASKED : HALF;
    return bodies[m - 1][EDGES * edge + vectors - 1];
}

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

/* A single row over a whole panel, which may fetch it further on. Of all that a tile's body does
 * besides nothing is left: B from L2 comes an eighth faster. */
static inline __attribute__((always_inline)) void row_of_panel(const bool own,
                                                               const struct tiles *t)
{
    const float *b = t->b;
    __m512 acc0 = _mm512_setzero_ps(), acc1 = acc0, acc2 = acc0;
    if (t->init) {
        acc0 = _mm512_loadu_ps(t->init);
        acc1 = _mm512_loadu_ps(t->init + LANES);
        acc2 = _mm512_loadu_ps(t->init + 2 * LANES);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < t->k; i++, b += IOLK_NR) {
        const __m512 x = _mm512_set1_ps(t->a[i]);
        acc0 = fma_in_place(acc0, x, _mm512_loadu_ps(b));
        acc1 = fma_in_place(acc1, x, _mm512_loadu_ps(b + LANES));
        acc2 = fma_in_place(acc2, x, _mm512_loadu_ps(b + 2 * LANES));
        if (own) {
            touch_row(b + IOLK_STREAM_AHEAD, 3);
        }
    }
    _mm512_storeu_ps(t->c, acc0);
    _mm512_storeu_ps(t->c + LANES, acc1);
    _mm512_storeu_ps(t->c + 2 * LANES, acc2);
}

static __attribute__((noinline)) void row_of_panel_alone(const struct tiles *t)
{
    row_of_panel(false, t);
}

static __attribute__((noinline)) void row_of_panel_own(const struct tiles *t)
{
    row_of_panel(true, t);
}

/* A single row over a whole panel, read by halves of lines: half as many lines are asked for ahead
 * of need, and the buffers of L1's misses are left to the processor's prefetchers, which know more.
 */
static __attribute__((noinline)) void row_by_halves(const struct tiles *t)
{
    enum { HALF_LANES = LANES / 2 };
    const float *b = t->b;
#define START(v)                                                                                   \
    __m256 acc##v = t->init ? _mm256_loadu_ps(t->init + HALF_LANES * (v)) : _mm256_setzero_ps();
#define STEP(v)                                                                                    \
    {                                                                                              \
        const __m256 weights = _mm256_loadu_ps(b + HALF_LANES * (v));                              \
        __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc##v) : "v"(x), "v"(weights));                   \
    }
#define FINISH(v) _mm256_storeu_ps(t->c + HALF_LANES * (v), acc##v);
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
               own = fetch && !fetch->at && (!into_l2 || m >= HIGH);
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
    const size_t streams = lines ? fetch->streams : 0;
    const ptrdiff_t rate_bytes = (ptrdiff_t)(rate * LINE),
                    stream_bytes = streams > 1 ? (ptrdiff_t)(lines / streams * LINE) : 0;
    enum source source = AHEAD;
    if (n == IOLK_NR && ld_b == IOLK_NR) {
        const bool few = streams < 2 && rate <= 2 && height >= HIGH;
        source = own     ? into_l2 && count == 1 ? OWN_L2 : OWN_L1
                 : few   ? into_l2 ? FEW_L2 : FEW_L1
                 : lines ? STREAMS
                         : AHEAD;
    }
    const char *const ahead_end = lines ? ahead + lines * LINE : ahead;
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
        .ahead_end = ahead_end,
        .few_end = rate > 1 ? ahead_end : ahead,
        .into_l2 = into_l2,
        /* One place is a stream without an end. */
        .streams_end = streams > 1 ? ahead + (ptrdiff_t)streams * stream_bytes
                       : lines     ? ahead_end + 1
                                   : ahead,
        .to_next = streams > 1 ? stream_bytes - rate_bytes : 0,
        .to_first = rate_bytes - (ptrdiff_t)streams * stream_bytes,
        .rate = {often ? (rate + 3) / UNROLL : rate, often ? (rate + 1) / UNROLL : 0,
                 often ? (rate + 2) / UNROLL : 0, often ? rate / UNROLL : 0},
    };
    if (n > IOLK_NR) {
        wide_rows[vectors - 4](&t, own);
        return;
    }
    if (m == 1 && !ahead && n == IOLK_NR && ld_b == IOLK_NR) {
        (into_l2 ? row_by_halves : own ? row_of_panel_own : row_of_panel_alone)(&t);
        return;
    }
    if (taller) {
        t.count = taller;
        t.rest = count - taller;
        body_of(height + 1, n, source)(&t);
    }
    t.count = count - taller;
    t.rest = 0;
    body_of(height, n, source)(&t);
}
