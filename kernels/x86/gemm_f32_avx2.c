/* gemm_f32_avx2: tiles of tile_avx2.h, one body per height and width. Rows come in groups of equal
 * height; 3 and 4 rows over a whole panel go two by two. */
#include "tile_avx2.h"

#include <assert.h>

/* Steps of a piece of B that stays in L1 from its first pass to its last; of these, from one burst
 * of fetches to the next. */
enum { PIECE = 64, PIECE_FLOATS = PIECE * IOLK_NR, BURST = 32 };

TILE_BODIES(false)

#define OWN_BODY(m, vectors)                                                                       \
    static void tile_##m##x##vectors##_own(struct tiles *t)                                        \
    {                                                                                              \
        run_tiles(m, vectors, false, true, false, t);                                              \
    }
OWN_BODY(5, 2)
OWN_BODY(6, 2)

/* `count` groups of `rows` rows each, below one another, over all n columns. */
static void run_rows(size_t count, size_t rows, size_t n, const struct tiles *at, struct tiles *t)
{
    static void (*const own_bodies[MAX_ROWS])(struct tiles *) = {0,           0, 0, 0, tile_5x2_own,
                                                                 tile_6x2_own};
    for (size_t j = 0, columns; j < n; j += columns) {
        columns = tile_columns(rows, n - j);
        t->count = count;
        t->a = at->a;
        t->b = at->b + j;
        t->init = at->init ? at->init + j : at->init;
        t->c = at->c + j;
        t->beside = t->c + columns;
        t->last = columns < LANES ? 0 : columns - LANES;
        if (t->own && columns == widest(rows)) {
            own_bodies[rows - 1](t);
        } else {
            bodies[rows - 1][tile_vectors(columns)](t);
        }
    }
}

/* m rows as groups of equal height: 8 are 4 + 4. The first `taller` groups have a row more than the
 * rest. */
struct groups {
    size_t count, height, taller;
};

/* Three and four rows over a whole panel are two groups, each of which passes all its columns at
 * once: half of them in each of two passes, a line and a half a step, are no stream to the
 * processor. */
static struct groups groups_of(size_t m, size_t n)
{
    const bool halved = n == IOLK_NR && (m == 3 || m == 4);
    const size_t count = halved ? 2 : (m + MAX_ROWS - 1) / MAX_ROWS;
    return (struct groups){.count = count, .height = m / count, .taller = m % count};
}

/* Passes over B of all groups. */
static size_t passes(const struct groups *g, size_t n)
{
    const size_t wide = widest(g->height), wide_taller = widest(g->height + 1);
    return g->taller * ((n + wide_taller - 1) / wide_taller) +
           (g->count - g->taller) * ((n + wide - 1) / wide);
}

static void run_groups(const struct groups *g, size_t n, struct tiles *t)
{
    struct tiles at = *t;
    if (g->taller) {
        run_rows(g->taller, g->height + 1, n, &at, t);
        const size_t rows = g->taller * (g->height + 1);
        at.a += rows * at.ld_a;
        at.init += at.init ? rows * at.ld_init : 0;
        at.c += rows * at.ld_c;
    }
    run_rows(g->count - g->taller, g->height, n, &at, t);
}

/* Seven and eight rows: four passes over B, each of a half of its columns. Pieces of B stay in L1
 * until all passes are done, the sums wait in C, and the piece after the next is fetched meanwhile.
 * Three and four rows, two passes, wait for memory itself, which answers faster if many lines are
 * asked for at once, and from a piece further on. */
static void run_pieces(const struct groups *g, bool few, size_t n, const struct tiles *whole)
{
    struct tiles t = *whole;
    const size_t before = few ? 3 : 2;
    t.rate = (UNROLL * IOLK_NR / LINE_FLOATS + passes(g, n) - 1) / passes(g, n);
    if (few) {
        t.rate *= BURST / UNROLL;
        t.pause = BURST - UNROLL;
    }
    t.into_l2 = true;
    size_t from = 0;
    do {
        t.k = whole->k - from < PIECE ? whole->k - from : PIECE;
        t.a = whole->a + from;
        t.b = whole->b + from * IOLK_NR;
        t.c = whole->c;
        t.init = from ? t.c : whole->init;
        t.ld_init = from ? t.ld_c : whole->ld_init;
        t.ahead = (const char *)(t.b + before * PIECE_FLOATS);
        t.ahead_end = (const char *)(t.b + before * PIECE_FLOATS + t.k * IOLK_NR);
        run_groups(g, n, &t);
        from += PIECE;
    } while (from < whole->k);
}

void iolk_gemm_f32_avx2(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,
                        size_t ld_b, const float *init, size_t ld_init, float *c, size_t ld_c,
                        const struct iolk_fetch *fetch)
{
    assert(m >= 1 && n >= 1 && n <= (m == 1 ? IOLK_ROW_NR : IOLK_NR));
    assert((k <= 1 || ld_b >= n) && (m == 1 || (ld_a >= k && ld_c >= n)));
    const char *ahead = fetch ? fetch->at : NULL;
    const size_t lines = ahead ? fetch->lines : 0;
    const struct groups g = groups_of(m, n);
    const size_t turns = lines ? k / UNROLL * passes(&g, n) : 0;
    const bool own = fetch && !fetch->at && ld_b == IOLK_NR;
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
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
        .columns = n,
        .mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane),
        .ahead = ahead,
        .ahead_end = lines ? ahead + lines * LINE : ahead,
        .rate = turns ? (lines + turns - 1) / turns : 0,
        .into_l2 = fetch && fetch->into_l2,
        .own = own && g.height > 4,
        .next = k * IOLK_NR,
    };
    const bool few = n == IOLK_NR && (m == 3 || m == 4);
    if (own && (m > MAX_ROWS || (few && fetch->far))) {
        run_pieces(&g, few, n, &t);
    } else {
        run_groups(&g, n, &t);
    }
}
