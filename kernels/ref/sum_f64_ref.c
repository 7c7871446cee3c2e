/* sum: |error| <= gamma_depth sum |x|. */
#include "ref/ref.h"

void iolk_sum_f64_ref(size_t n, const float *x, double *out, double *out_bound)
{
    long double sum = 0.0L;
    double size = 0.0;
    for (size_t i = 0; i < n; i++) {
        long double term = (long double)x[i];
        sum += term;
        size += (double)fabsl(term);
    }
    *out = (double)sum;
    *out_bound = ref_gamma(ref_lanes_depth(n) + 1.0, ref_u64) * size;
}
