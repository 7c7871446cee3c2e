/* mix_f32_avx2: tiles of tile_avx2.h that end in a triangle: the sums never leave their registers
 * between what all rows of a tile see, what only the later ones see, and the division. Rows come in
 * groups of equal height; what the rows of the second group see before its own triangle is common
 * to them. */
#include "tile_avx2.h"

#include <assert.h>

#define BODY(m, vectors)                                                                           \
    static void tile_##m##x##vectors(struct tiles *t)                                              \
    {                                                                                              \
        run_tiles(m, vectors, false, false, true, t);                                              \
    }
#define BODIES(m)                                                                                  \
    static void tile_##m##_masked(struct tiles *t)                                                 \
    {                                                                                              \
        run_tiles(m, 1, true, false, true, t);                                                     \
    }                                                                                              \
    BODY(m, 1) BODY(m, 2)
BODIES(1)
BODIES(2)
BODIES(3)
BODIES(4)
BODIES(5)
BODIES(6)
BODY(1, 3)
BODY(1, 4)
BODY(1, 5)
BODY(1, 6)
BODY(2, 3)
BODY(2, 4)
BODY(2, 5)
BODY(2, 6)
BODY(3, 3)
BODY(4, 3)

/* Column 0: fewer than LANES columns. */
static void (*const bodies[MAX_ROWS][7])(struct tiles *) = {
    {tile_1_masked, tile_1x1, tile_1x2, tile_1x3, tile_1x4, tile_1x5, tile_1x6},
    {tile_2_masked, tile_2x1, tile_2x2, tile_2x3, tile_2x4, tile_2x5, tile_2x6},
    {tile_3_masked, tile_3x1, tile_3x2, tile_3x3, 0, 0, 0},
    {tile_4_masked, tile_4x1, tile_4x2, tile_4x3, 0, 0, 0},
    {tile_5_masked, tile_5x1, tile_5x2, 0, 0, 0, 0},
    {tile_6_masked, tile_6x1, tile_6x2, 0, 0, 0, 0}};

void iolk_mix_f32_avx2(size_t m, size_t n, size_t first, const float *e, size_t ld_e,
                       const float *v, size_t ld_v, const float *factor, int from_y, float *y,
                       size_t ld_y)
{
    assert(m >= 1 && m <= IOLK_MR && n >= 1 && n <= IOLK_NR);
    const size_t groups = m > MAX_ROWS ? 2 : 1;
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (size_t group = 0; group < groups; group++) {
        const size_t row = m * group / groups, rows = m * (group + 1) / groups - row;
        for (size_t j = 0, columns; j < n; j += columns) {
            columns = tile_columns(rows, n - j);
            struct tiles t = {
                .count = 1,
                .k = first + row,
                .ld_a = ld_e,
                .ld_b = ld_v,
                .ld_init = ld_y,
                .ld_c = ld_y,
                .a = e + row * ld_e,
                .b = v + j,
                .init = from_y ? y + row * ld_y + j : NULL,
                .c = y + row * ld_y + j,
                .beside = y + row * ld_y + j + columns,
                .last = columns < LANES ? 0 : columns - LANES,
                .mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane),
                .factor = factor + row,
            };
            bodies[rows - 1][columns < LANES ? 0 : (columns + LANES - 1) / LANES](&t);
        }
    }
}
