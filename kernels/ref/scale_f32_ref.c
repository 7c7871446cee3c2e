/* scale: one rounding. */
#include "ref/ref.h"

void iolk_scale_f32_ref(size_t n, float a, const float *x, double *out_y, double *out_bound)
{
    for (size_t i = 0; i < n; i++) {
        out_y[i] = (double)a * (double)x[i];
        out_bound[i] =
            ref_bound32(out_y[i], fabs(out_y[i]), ref_u32 * fabs(out_y[i]) + ref_tiny32 / 2.0);
    }
}
