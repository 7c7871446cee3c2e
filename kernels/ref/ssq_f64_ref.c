/* ssq: all terms are positive; each difference is rounded once before it is squared. */
#include "ref/ref.h"

void iolk_ssq_f64_ref(size_t n, const float *x, double mean, double *out, double *out_bound)
{
    long double sum = 0.0L;
    double size = 0.0;
    for (size_t i = 0; i < n; i++) {
        long double d = (long double)x[i] - (long double)mean, term = d * d;
        sum += term;
        size += (double)fabsl(term);
    }
    *out = (double)sum;
    *out_bound = ref_gamma(ref_lanes_depth(n) + 3.0, ref_u64) * size;
}
