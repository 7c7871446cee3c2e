/* gelu_tanh: x / (1 + exp(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x^3), which is
 * 0.5 x (1 + tanh(z)) without its cancellation. Six roundings (two of them the constants') meet the
 * exponent, whose error is a relative error of exp; 1 ULP of exp and two roundings follow. */
#include "ref/ref.h"

void iolk_gelu_tanh_f32_ref(size_t n, const float *x, double *out_y, double *out_bound)
{
    const double minus_2_sqrt_2_over_pi = -1.5957691216057307117597842397375;
    for (size_t i = 0; i < n; i++) {
        double t = (double)x[i];
        double w = minus_2_sqrt_2_over_pi * t * (1.0 + 0.044715 * t * t);
        out_y[i] = t / (1.0 + exp(w));
        double relative = ref_slack * ref_u32 * (6.0 * fabs(w) + 4.0);
        if (w > ref_exp_limit - 0.01) {
            relative = 1.0; /* exp overflows and the kernel gives 0 */
        }
        double bound = fabs(out_y[i]) * relative + 2.0 * ref_tiny32;
        out_bound[i] = ref_bound32(out_y[i], fabs(out_y[i]), bound);
    }
}
