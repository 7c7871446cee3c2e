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

void iolk_gemm_bf16x32dot_amxbf16(size_t m, size_t n, size_t blocks, const uint32_t *a, size_t ld_a,
                                  const uint32_t *b, const float *init, size_t ld_init, float *c,
                                  size_t ld_c, const struct iolk_fetch *fetch)
{
    assert(m >= 1 && m <= (size_t)2 * TILE_ROWS && n >= 1 && n <= IOLK_NR);
    assert(m == 1 || (ld_a >= blocks * BLOCK_WORDS && ld_c >= n));
    const bool two = m > TILE_ROWS, whole = n == IOLK_NR;
    const size_t height = two ? (m + 1) / 2 : m, second = m - height;
    const size_t lines = fetch && fetch->at ? fetch->lines : 0;
    const char *ahead = lines ? fetch->at : NULL;
    alignas(LINE) float edge[2 * TILE_ROWS * IOLK_NR];
    alignas(LINE) struct tile_shapes shapes = {.palette = 1};
    for (size_t t = 0; t < 8; t++) {
        shapes.bytes[t] = LINE;
        shapes.rows[t] = (uint8_t)(t < 7 ? height : TILE_ROWS);
    }
    if (!whole && init) {
        widen_rows(m, n, init, ld_init, edge);
        init = edge;
        ld_init = IOLK_NR;
    }
    float *to = whole ? c : edge;
    const size_t ld_to = whole ? ld_c : IOLK_NR;
    const struct work w = {
        .blocks = blocks,
        .ld_a = ld_a,
        .ld_from = ld_init,
        .ld_to = ld_to,
        .a = {a, a + second * ld_a},
        .b = b,
        .from = {init, init ? init + second * ld_init : NULL},
        .to = {to, to + second * ld_to},
        .ahead = ahead,
        .ahead_end = ahead ? ahead + lines * LINE : NULL,
        .rate = blocks ? (lines + blocks - 1) / blocks : 0,
        .into_l2 = fetch && fetch->into_l2,
    };
    TILE_SHAPES(&shapes);
    if (two) {
        run_both(&w);
    } else {
        run_half(&w);
    }
    TILE_RELEASE();
    if (!whole) {
        narrow_rows(m, n, edge, c, ld_c);
    }
}
