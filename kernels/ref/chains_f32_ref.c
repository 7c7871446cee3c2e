/* chains: |error| <= gamma_n sum |q| |k|, and 2^-149 per step that underflows. */
#include "ref/ref.h"

void iolk_chains_f32_ref(size_t m, size_t n, const float *q, size_t ld_q, const float *k,
                         size_t ld_k, double *out, double *out_bound)
{
    for (size_t i = 0; i < m; i++) {
        double sum = 0.0, size = 0.0;
        for (size_t j = 0; j < n; j++) {
            double product = (double)q[i * ld_q + j] * (double)k[i * ld_k + j];
            sum += product;
            size += fabs(product);
        }
        out[i] = sum;
        double bound = ref_gamma((double)n, ref_u32) * size + (double)n * ref_tiny32;
        out_bound[i] = ref_bound32(sum, size, bound);
    }
}
