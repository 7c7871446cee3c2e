/* softmax: an error of the exponent is a relative error of exp. With t = s * scale, roundings of t,
 * m and t - m give (|t| + |m| + |t - m|) u, and exp itself 1 ULP <= 2 u. */
#include "ref/ref.h"

void iolk_softmax_f32_ref(size_t n, float scale, const float *scores, double *out_scores,
                          double *out_bound, double *out_rcp, double *out_rcp_bound)
{
    double m = -HUGE_VAL, sum = 0.0, sum_error = 0.0;
    int nan = 0;
    for (size_t i = 0; i < n; i++) {
        double t = (double)scores[i] * (double)scale;
        nan |= isnan(t);
        m = t > m ? t : m;
    }
    for (size_t i = 0; i < n; i++) {
        double t = (double)scores[i] * (double)scale, d = t - m;
        out_scores[i] = exp(d);
        double relative = ref_slack * ref_u32 * (fabs(t) + fabs(m) + fabs(d) + 2.0);
        double bound = out_scores[i] * expm1(relative) + 2.0 * ref_tiny32;
        out_bound[i] = !nan && fabs(t) < 0x1p127 && isfinite(m) ? bound : HUGE_VAL;
        sum += out_scores[i];
        sum_error += out_bound[i];
    }
    double relative = sum_error / sum + ref_gamma(ref_lanes_depth(n) + 1.0, ref_u32);
    *out_rcp = nan ? (double)NAN : 1.0 / sum;
    *out_rcp_bound = relative < 0.5 ? *out_rcp * relative * (1.0 + 2.0 * relative) : HUGE_VAL;
    if (nan) {
        *out_rcp_bound = 0.0; /* NaN it must be */
    }
}
