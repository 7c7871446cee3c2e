/* gemm: |error| <= gamma_k (|init| + sum |a| |b|), and 2^-149 per step that underflows. */
#include "ref/ref.h"

void iolk_gemm_f32_ref(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,
                       size_t ld_b, const float *init, size_t ld_init, double *out_c,
                       double *out_bound)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = init ? (double)init[i * ld_init + j] : 0.0, size = fabs(sum);
            for (size_t l = 0; l < k; l++) {
                double product = (double)a[i * ld_a + l] * (double)b[l * ld_b + j];
                sum += product;
                size += fabs(product);
            }
            out_c[i * n + j] = sum;
            double bound = ref_gamma((double)k, ref_u32) * size + (double)k * ref_tiny32;
            out_bound[i * n + j] = ref_bound32(sum, size, bound);
        }
    }
}
