/* gelu_erf: two roundings of the argument z change erf by 2 u |z| 2 / sqrt(pi) exp(-z^2); erf
 * itself is good to 1 ULP <= 2 u |erf|. */
#include "ref/ref.h"

void iolk_gelu_erf_f32_ref(size_t n, const float *x, double *out_y, double *out_bound)
{
    const double sqrt_half = 0.70710678118654752440, two_over_sqrt_pi = 1.1283791670955125739;
    for (size_t i = 0; i < n; i++) {
        double h = 0.5 * (double)x[i], z = (double)x[i] * sqrt_half;
        /* erfc does not cancel where 1 + erf would */
        out_y[i] = h * erfc(-z);
        double erf_error =
            2.0 * ref_u32 * (fabs(z) * two_over_sqrt_pi * exp(-z * z) + fabs(erf(z)));
        double bound = ref_slack * (fabs(h) * erf_error + ref_u32 * fabs(out_y[i]));
        out_bound[i] = ref_bound32(out_y[i], fabs(out_y[i]), bound + 2.0 * ref_tiny32);
    }
}
