/* fma: n chains of so many steps, one rounding each, of at most the largest sum there can be. */
#include "ref/ref.h"

void iolk_fma_f32_ref(size_t n, size_t steps, float a, float b, const float *y, double *out_y,
                      double *out_bound)
{
    const double product = (double)a * (double)b, count = (double)steps;
    for (size_t i = 0; i < n; i++) {
        const double most = count * fabs(product) + fabs((double)y[i]);
        out_y[i] = count * product + (double)y[i];
        double bound = ref_gamma(count, ref_u32) * most + count * ref_tiny32 + 4 * ref_u64 * most;
        out_bound[i] = ref_bound32(out_y[i], most, bound);
    }
}
