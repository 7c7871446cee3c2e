/* mix: the chain as in gemm, |error| <= gamma_k (|y| + sum |e| |v|) + k 2^-149, times the factor,
 * and the rounding of that product. */
#include "ref/ref.h"

void iolk_mix_f32_ref(size_t m, size_t n, size_t first, const float *e, size_t ld_e, const float *v,
                      size_t ld_v, const float *factor, int from_y, const float *y, size_t ld_y,
                      double *out_y, double *out_bound)
{
    for (size_t r = 0; r < m; r++) {
        for (size_t c = 0; c < n; c++) {
            double sum = from_y ? (double)y[r * ld_y + c] : 0.0, size = fabs(sum);
            for (size_t j = 0; j < first + r; j++) {
                const double product = (double)e[r * ld_e + j] * (double)v[j * ld_v + c];
                sum += product;
                size += fabs(product);
            }
            out_y[r * n + c] =
                ref_divided(sum, size, first + r, (double)factor[r], &out_bound[r * n + c]);
        }
    }
}
