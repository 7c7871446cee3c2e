/* add_rmsnorm: x + c rounded to f32, which leaves no choice, and the norm of that. */
#include "ref/ref.h"

void iolk_add_rmsnorm_f32_ref(size_t m, size_t n, const float *x, size_t ld_x, const float *c,
                              size_t ld_c, const float *gain, float eps, float *sums, double *out_x,
                              double *out_x_bound, double *out_y, double *out_bound)
{
    for (size_t i = 0; i < m * n; i++) {
        sums[i] = x[i / n * ld_x + i % n] + c[i / n * ld_c + i % n];
        out_x[i] = (double)sums[i];
        out_x_bound[i] = 0.0;
    }
    iolk_rmsnorm_f32_ref(m, n, sums, n, gain, eps, out_y, out_bound);
}
