/* add_layernorm: the residual added on the way of the first pass. */
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
    layernorm_all(true, m, &t);
}
