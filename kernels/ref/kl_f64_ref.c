/* kl: rounding lp, lq and d = lp - lq moves d by e = (|lp| + |lq| + |d|) u, the term by
 * p |expm1(-d)| e to first order; p has |lp| u + 1 ULP, expm1 1 ULP, its sum with d one rounding.
 */
#include "ref/ref.h"

void iolk_kl_f64_ref(size_t n, const float *x, double lse_x, const float *y, double lse_y,
                     double *out, double *out_bound)
{
    long double sum = 0.0L;
    double size = 0.0, error = 0.0;
    for (size_t i = 0; i < n; i++) {
        long double lp = (long double)x[i] - (long double)lse_x;
        long double lq = (long double)y[i] - (long double)lse_y, d = lp - lq;
        long double p = expl(lp), m = expm1l(-d), term = p * (m + d);
        double e = (double)(fabsl(lp) + fabsl(lq) + fabsl(d)) * ref_u64;
        /* e^2 exp(-d): the second-order term, all that is left of it where d is near 0 */
        double inner = (double)fabsl(m) * (e + 3.0 * ref_u64) + e * e * (double)expl(-d) +
                       ref_u64 * (double)fabsl(m + d);
        error += (double)p * inner + (double)fabsl(term) * ((double)fabsl(lp) + 4.0) * ref_u64;
        sum += term;
        size += (double)fabsl(term);
    }
    *out = (double)sum;
    double bound = ref_slack * (error + ref_gamma(ref_lanes_depth(n), ref_u64) * size);
    *out_bound = isfinite(*out) && *out < 1e300 ? bound + (double)n * 0x1p-1022 : HUGE_VAL;
}
