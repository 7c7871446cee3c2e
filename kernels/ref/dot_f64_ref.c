/* dot: |error| <= gamma_depth sum |x| |v|. */
#include "ref/ref.h"

void iolk_dot_f64_ref(size_t n, const float *x, const double *v, double *out, double *out_bound)
{
    long double sum = 0.0L;
    double size = 0.0;
    for (size_t i = 0; i < n; i++) {
        long double term = (long double)x[i] * (long double)v[i];
        sum += term;
        size += (double)fabsl(term);
    }
    *out = (double)sum;
    *out_bound = ref_gamma(ref_lanes_depth(n) + 1.0, ref_u64) * size;
}
