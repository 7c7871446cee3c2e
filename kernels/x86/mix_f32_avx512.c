/* mix_f32_avx512: a tile of tile_avx512.h that ends in a triangle: the sums never leave their
 * registers between what all rows see, what only the later ones see, and the division. */
#include "tile_avx512.h"

#include <assert.h>

#define BODY(m, name, vectors, edge)                                                               \
    static void tile_##m##x##name(struct tiles *t)                                                 \
    {                                                                                              \
        run_tiles(m, vectors, edge, NOTHING, true, t);                                             \
    }
#define BODIES(m)                                                                                  \
    BODY(m, 16, 1, WHOLE)                                                                          \
    BODY(m, 32, 2, WHOLE)                                                                          \
    BODY(m, 48, 3, WHOLE)                                                                          \
    BODY(m, 16_masked, 1, MASKED)                                                                  \
    BODY(m, 32_masked, 2, MASKED)                                                                  \
    BODY(m, 48_masked, 3, MASKED)
#define ROW_OF_TABLE(m)                                                                            \
    {tile_##m##x16,        tile_##m##x32,        tile_##m##x48,                                    \
     tile_##m##x16_masked, tile_##m##x32_masked, tile_##m##x48_masked},
HEIGHTS(BODIES)

static void (*const bodies[IOLK_MR][6])(struct tiles *) = {HEIGHTS(ROW_OF_TABLE)};

void iolk_mix_f32_avx512(size_t m, size_t n, size_t first, const float *e, size_t ld_e,
                         const float *v, size_t ld_v, const float *factor, int from_y, float *y,
                         size_t ld_y)
{
    assert(m >= 1 && m <= IOLK_MR && n >= 1 && n <= IOLK_NR);
    const size_t vectors = (n + LANES - 1) / LANES;
    struct tiles t = {
        .count = 1,
        .k = first,
        .ld_a = ld_e,
        .ld_b = ld_v,
        .ld_init = ld_y,
        .ld_c = ld_y,
        .a = e,
        .b = v,
        .init = from_y ? y : NULL,
        .c = y,
        .beside = y + n,
        .last = (__mmask16)((1U << (n - (vectors - 1) * LANES)) - 1U),
        .factor = factor,
    };
    bodies[m - 1][(n % LANES ? 3 : 0) + vectors - 1](&t);
}
