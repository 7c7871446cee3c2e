/* add_layernorm: the residual added on the way of the first pass; four rows at a time, then two,
 * then one. */
#include "../lanes_norm.h"

void IOLK_NAME(size_t m, size_t n, float *restrict x, size_t ld_x, const float *restrict c,
               size_t ld_c, const float *restrict gain, const float *restrict bias, float eps,
               float *restrict y, size_t ld_y)
{
    assert(n >= 1 && (m <= 1 || (ld_x >= n && ld_y >= n && ld_c >= n)));
    struct norm_rows t = {.n = n,
                          .ld_x = ld_x,
                          .ld_y = ld_y,
                          .x = x,
                          .gain = gain,
                          .y = y,
                          .eps = eps,
                          .bias = bias,
                          .c = c,
                          .ld_c = ld_c,
                          .sum = x};
    if (!norm_strides_collide(&t)) {
        for (const bool far = norm_is_far(m, n); far && m >= 4; m -= 4) {
            layernorm_rows(4, true, true, &t);
            norm_advance(&t, 4);
        }
        for (; m >= 4; m -= 4) {
            layernorm_rows(4, true, false, &t);
            norm_advance(&t, 4);
        }
    }
    for (; m >= 2; m -= 2) {
        layernorm_rows(2, true, false, &t);
        norm_advance(&t, 2);
    }
    if (m) {
        layernorm_rows(1, true, false, &t);
    }
}
