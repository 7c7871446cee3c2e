/* sumexp: the maximum is exact; terms as in softmax, without the scale. */
#include "ref/ref.h"

void iolk_sumexp_f32_ref(size_t n, const float *x, double *out_max, double *out_max_bound,
                         double *out_sum, double *out_sum_bound)
{
    double m = -HUGE_VAL, sum = 0.0, sum_error = 0.0;
    int nan = 0;
    for (size_t i = 0; i < n; i++) {
        nan |= isnan(x[i]);
        m = (double)x[i] > m ? (double)x[i] : m;
    }
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - m, e = exp(d);
        sum += e;
        /* nothing is left of a term of 0, though its exponent is -infinity */
        sum_error += 2.0 * ref_tiny32;
        sum_error += e > 0.0 ? e * expm1(ref_slack * ref_u32 * (fabs(d) + 2.0)) : 0.0;
    }
    *out_max = m;
    *out_max_bound = 0.0; /* of the numbers, where there are NaN too */
    *out_sum = nan ? (double)NAN : sum;
    double bound = sum_error + (sum + sum_error) * ref_gamma(ref_lanes_depth(n), ref_u32);
    *out_sum_bound = nan ? 0.0 : bound;
    if (!nan && !(isfinite(m) && fabs(m) < 0x1p126)) {
        *out_sum_bound = HUGE_VAL;
    }
}
