/* mix_f32_avx2: tiles of tile_avx2.h that end in a triangle: the sums never leave their registers
 * between what all rows of a tile see, what only the later ones see, and the division. Rows come in
 * groups of equal height; what the rows of the second group see before its own triangle is common
 * to them. */
#include "tile_avx2.h"

#include <assert.h>

TILE_BODIES(true)

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
                .columns = n,
                .mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane),
                .factor = factor + row,
            };
            bodies[rows - 1][tile_vectors(columns)](&t);
        }
    }
}
