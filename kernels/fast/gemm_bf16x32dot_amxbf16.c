/* gemm_bf16x32dot_amxbf16: up to 32 x 48 sums in six of the eight tiles, 32 steps of k per
 * instruction.
 *
 *   C   [0][1][2]   rows 0 .. h-1, h half of them, upwards (of 16 rows or fewer, all)
 *       [3][4][5]   rows m-h .. m-1
 *   A   [6]         h rows of 16 words
 *   B   [7]         16 rows of a panel, 16 of their 48 words
 *
 * The halves have the same height, so that one shape does: where m is odd, the row in the middle
 * is computed twice. The tiles of A are loaded in turns, 0 1, 1 0, 0 1, so that a block takes seven
 * loads for six products. Absent columns are computed (panels are filled with zeros) and go through
 * a buffer. */
#include "fast.h"
#include "tiles_amx.h"

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>

enum { LINE = 64, WORD = 4, BLOCK_WORDS = 16, B_STRIDE = IOLK_NR * WORD };

struct work {
    size_t blocks, ld_a, ld_from, ld_to;
    const uint32_t *a[2], *b;
    const float *from[2]; /* NULL: sums start from 0 */
    float *to[2];
    const char *ahead, *ahead_end;
    size_t rate; /* lines prefetched every block */
    bool into_l2;
    const float *next; /* rows of C that are due next, ld_next apart */
    size_t ld_next, next_rate;
};

#define START(c, half, vector)                                                                     \
    if (w->from[half]) {                                                                           \
        TILE_LOAD(c, w->from[half] + (vector)*LANES, w->ld_from * WORD);                           \
    } else {                                                                                       \
        TILE_ZERO(c);                                                                              \
    }
#define FINISH(c, half, vector) TILE_STORE(c, w->to[half] + (vector)*LANES, w->ld_to * WORD)
#define LOAD_A(half)            TILE_LOAD(6, w->a[half] + i * BLOCK_WORDS, w->ld_a * WORD)
#define LOAD_B(vector)          TILE_LOAD(7, b + (vector)*LANES, B_STRIDE)

/* two: a constant in both callers. */
static inline __attribute__((always_inline)) void run(const bool two, const struct work *w)
{
    const uint32_t *b = w->b;
    const char *ahead = w->ahead;
    const float *next = w->next;
    START(0, 0, 0)
    START(1, 0, 1)
    START(2, 0, 2)
    if (two) {
        START(3, 1, 0)
        START(4, 1, 1)
        START(5, 1, 2)
    }
    for (size_t i = 0; i < w->blocks; i++, b += BLOCK_WORDS * IOLK_NR) {
        ahead = fetch_lines(ahead, w->ahead_end, w->rate, w->into_l2);
        for (size_t r = 0; r < w->next_rate; r++, next += w->ld_next) {
            __builtin_prefetch(next, 1);
            __builtin_prefetch(next + LANES, 1);
            __builtin_prefetch(next + 2 * LANES, 1);
        }
        LOAD_A(0);
        LOAD_B(0);
        TILE_DOT_BF16(0, 6, 7);
        if (two) {
            LOAD_A(1);
            TILE_DOT_BF16(3, 6, 7);
            LOAD_B(1);
            TILE_DOT_BF16(4, 6, 7);
            LOAD_A(0);
        } else {
            LOAD_B(1);
        }
        TILE_DOT_BF16(1, 6, 7);
        LOAD_B(2);
        TILE_DOT_BF16(2, 6, 7);
        if (two) {
            LOAD_A(1);
            TILE_DOT_BF16(5, 6, 7);
        }
    }
    FINISH(0, 0, 0);
    FINISH(1, 0, 1);
    FINISH(2, 0, 2);
    if (two) {
        FINISH(3, 1, 0);
        FINISH(4, 1, 1);
        FINISH(5, 1, 2);
    }
}

static void run_half(const struct work *w)
{
    run(false, w);
}

static void run_both(const struct work *w)
{
    run(true, w);
}

/* Rows of one block of C, in shapes that are set. */
static void multiply(size_t m, size_t n, const struct work *shared, const float *init,
                     size_t ld_init, float *c, size_t ld_c)
{
    const bool two = m > TILE_ROWS, whole = n == IOLK_NR;
    const size_t second = two ? m / 2 : 0; /* the row where the lower half begins */
    alignas(LINE) float edge[2 * TILE_ROWS * IOLK_NR];
    struct work w = *shared;
    if (!whole && init) {
        widen_rows(m, n, init, ld_init, edge);
        init = edge;
        ld_init = IOLK_NR;
    }
    float *to = whole ? c : edge;
    w.ld_from = ld_init;
    w.ld_to = whole ? ld_c : IOLK_NR;
    w.a[1] = w.a[0] + second * w.ld_a;
    w.from[0] = init;
    w.from[1] = init ? init + second * ld_init : NULL;
    w.to[0] = to;
    w.to[1] = to + second * w.ld_to;
    if (two) {
        run_both(&w);
    } else {
        run_half(&w);
    }
    if (!whole) {
        narrow_rows(m, n, edge, c, ld_c);
    }
}

/* With the release, as long as two blocks of six products: once for all parts of the same height.
 */
static void set_shapes(size_t height)
{
    alignas(LINE) struct tile_shapes shapes = {.palette = 1};
    for (size_t t = 0; t < 8; t++) {
        shapes.bytes[t] = LINE;
        shapes.rows[t] = (uint8_t)(t < 7 ? height : TILE_ROWS);
    }
    TILE_SHAPES(&shapes);
}

void iolk_gemm_bf16x32dot_amxbf16(size_t m, size_t n, size_t blocks, const uint32_t *a, size_t ld_a,
                                  const uint32_t *b, const float *init, size_t ld_init, float *c,
                                  size_t ld_c, const struct iolk_fetch *fetch)
{
    enum { TALL = 2 * TILE_ROWS };
    assert(m >= 1 && m <= IOLK_FAST_ROWS && n >= 1 && n <= IOLK_NR);
    assert(m == 1 || (ld_a >= blocks * BLOCK_WORDS && ld_c >= n));
    const size_t parts = (m + TALL - 1) / TALL, turns = blocks * parts;
    const size_t lines = fetch && fetch->at ? fetch->lines : 0,
                 rate = turns ? (lines + turns - 1) / turns : 0;
    const char *const ahead = lines ? fetch->at : NULL;
    const char *const end = lines ? ahead + lines * LINE : NULL;
    size_t height = 0;
    for (size_t i = 0; i < parts; i++) {
        const size_t row = m * i / parts, rows = m * (i + 1) / parts - row,
                     needed = rows > TILE_ROWS ? (rows + 1) / 2 : rows;
        if (height != needed) {
            height = needed;
            set_shapes(height);
        }
        const size_t at = rate * blocks * i;
        const struct work w = {.blocks = blocks,
                               .ld_a = ld_a,
                               .a = {a + row * ld_a},
                               .b = b,
                               .ahead = at < lines ? ahead + at * LINE : end,
                               .ahead_end = end,
                               .rate = rate,
                               .next = i + 1 < parts ? c + (row + rows) * ld_c : c + IOLK_NR,
                               .ld_next = ld_c,
                               .next_rate = blocks ? (rows + blocks - 1) / blocks : 0,
                               .into_l2 = fetch && fetch->into_l2};
        multiply(rows, n, &w, init ? init + row * ld_init : NULL, ld_init, c + row * ld_c, ld_c);
    }
    TILE_RELEASE();
}
