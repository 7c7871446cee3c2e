/* exp: within 1 ULP, which is 2 u of the result or the smallest denormal. */
#include "ref/ref.h"

void iolk_exp_f32_ref(size_t n, const float *x, double *out_y, double *out_bound)
{
    for (size_t i = 0; i < n; i++) {
        out_y[i] = exp((double)x[i]);
        double bound = 2.0 * ref_u32 * out_y[i] + ref_tiny32;
        out_bound[i] = ref_bound32(out_y[i], out_y[i], bound);
    }
}
