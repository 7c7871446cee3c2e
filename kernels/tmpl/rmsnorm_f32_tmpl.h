/* rmsnorm: four rows at a time, then two, then one. */
#include "../lanes_norm.h"

void IOLK_NAME(size_t m, size_t n, const float *restrict x, size_t ld_x, const float *restrict gain,
               float eps, float *restrict y, size_t ld_y)
{
    assert(n >= 1 && (m <= 1 || (ld_x >= n && ld_y >= n)));
    struct norm_rows t = {
        .n = n, .ld_x = ld_x, .ld_y = ld_y, .x = x, .gain = gain, .y = y, .eps = eps};
    if (!norm_strides_collide(&t)) {
        for (const bool far = norm_is_far(m, n); far && m >= 4; m -= 4) {
            rmsnorm_rows(4, false, true, &t);
            norm_advance(&t, 4);
        }
        for (; m >= 4; m -= 4) {
            rmsnorm_rows(4, false, false, &t);
            norm_advance(&t, 4);
        }
    }
    for (; m >= 2; m -= 2) {
        rmsnorm_rows(2, false, false, &t);
        norm_advance(&t, 2);
    }
    if (m) {
        rmsnorm_rows(1, false, false, &t);
    }
}
