/* rmsnorm: the norms of lanes_norm.h. */
#include "../lanes_norm.h"

void IOLK_NAME(size_t m, size_t n, const float *restrict x, size_t ld_x, const float *restrict gain,
               float eps, float *restrict y, size_t ld_y)
{
    assert(n >= 1 && (m <= 1 || (ld_x >= n && ld_y >= n)));
    struct norm_rows t = {
        .n = n, .ld_x = ld_x, .ld_y = ld_y, .x = x, .gain = gain, .y = y, .eps = eps};
    rmsnorm_all(false, m, &t);
}
