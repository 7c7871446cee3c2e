/* axpy: one rounding. */
#include "ref/ref.h"

void iolk_axpy_f32_ref(size_t n, float a, const float *x, const float *y, double *out_y,
                       double *out_bound)
{
    for (size_t i = 0; i < n; i++) {
        double product = (double)a * (double)x[i];
        out_y[i] = product + (double)y[i];
        double doubled = 2.0 * ref_u64 * (fabs(product) + fabs((double)y[i]));
        double bound = ref_u32 * fabs(out_y[i]) + doubled + ref_tiny32;
        out_bound[i] = ref_bound32(out_y[i], fabs(out_y[i]), bound);
    }
}
