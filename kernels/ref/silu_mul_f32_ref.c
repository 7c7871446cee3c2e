/* silu_mul: exp 1 ULP <= 2 u, then three roundings. Where exp overflows, the kernel gives 0 and the
 * true value is below 3e-37 |up|. */
#include "ref/ref.h"

void iolk_silu_mul_f32_ref(size_t n, const float *gate, const float *up, double *out_y,
                           double *out_bound)
{
    for (size_t i = 0; i < n; i++) {
        double g = (double)gate[i], u = (double)up[i];
        out_y[i] = g / (1.0 + exp(-g)) * u;
        double relative = g < -ref_exp_limit + 0.001 ? 1.0 : ref_slack * 5.0 * ref_u32;
        double bound = fabs(out_y[i]) * relative + ref_tiny32 * (1.0 + fabs(u));
        out_bound[i] = ref_bound32(out_y[i], fabs(out_y[i]), bound);
    }
}
