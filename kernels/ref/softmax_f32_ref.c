/* softmax: an error of the exponent is a relative error of exp. With t = s * scale, roundings of t,
 * m and t - m give (|t| + |m| + |t - m|) u, and exp itself 1 ULP <= 2 u. */
#include "ref/ref.h"

static void one_row(size_t n, float scale, const float *scores, double *out_scores,
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

void iolk_softmax_f32_ref(size_t m, size_t n, size_t step, float scale, const float *scores,
                          size_t ld, double *out_scores, double *out_bound, double *out_rcp,
                          double *out_rcp_bound)
{
    const size_t width = n + (m - 1) * step;
    for (size_t r = 0; r < m; r++) {
        double *to = out_scores + r * width, *bound = out_bound + r * width;
        one_row(n + r * step, scale, scores + r * ld, to, bound, out_rcp + r, out_rcp_bound + r);
        for (size_t i = n + r * step; i < width; i++) { /* beyond the row: as before */
            to[i] = (double)scores[r * ld + i];
            bound[i] = 0.0;
        }
    }
}
