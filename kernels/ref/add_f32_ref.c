/* add: one rounding; a sum of two f32 never underflows. */
#include "ref/ref.h"

void iolk_add_f32_ref(size_t n, const float *x, const float *c, double *out_y, double *out_bound)
{
    for (size_t i = 0; i < n; i++) {
        out_y[i] = (double)x[i] + (double)c[i];
        double bound = (ref_u32 + 2.0 * ref_u64) * fabs(out_y[i]);
        out_bound[i] = ref_bound32(out_y[i], fabs(out_y[i]), bound);
    }
}
