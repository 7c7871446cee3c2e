/* widen: a slice of a panel of widened weights (panel_layout.h) as f32, for DTYPE and the
 * vocabulary included before: what the f32 tile then reads from the cache for every row. */
#include "../panel_dtypes.h"

#include <assert.h>

#define FETCH(stream, bytes) (void)(stream);
enum { next_panel = 0 };

void IOLK_NAME(size_t k0, size_t k1, const void *restrict from, float *restrict out)
{
    const unsigned char *const panel = from;
    assert(k0 <= k1);
    for (size_t column0 = 0; column0 < IOLK_NR; column0 += LANES * VECTORS) {
#define COLUMN(v, group, i, k)                                                                     \
    if (v < VECTORS) {                                                                             \
        vf_store(out + ((k)-k0) * IOLK_NR + at##v,                                                 \
                 OF(weight)(group + far##v, at##v, i, scale##v, offset##v));                       \
    }
#define ONE(group, i, k)                                                                           \
    {COLUMN(0, group, i, k) COLUMN(1, group, i, k) COLUMN(2, group, i, k) COLUMN(3, group, i, k)   \
         COLUMN(4, group, i, k) COLUMN(5, group, i, k)}
        WALK(panel, k0, k1, ONE)
#undef COLUMN
#undef ONE
    }
}
