/* tail: the chain as in gemm, |error| <= gamma_k (|y| + sum |e| |v|) + k 2^-149, times the factor,
 * and the rounding of that product. */
#include "ref/ref.h"

void iolk_tail_f32_ref(size_t m, size_t n, size_t first, size_t step, const float *e, size_t ld_e,
                       const float *v, size_t ld_row, size_t ld_key, const float *factor,
                       const float *y, size_t ld_y, double *out_y, double *out_bound)
{
    for (size_t r = 0; r < m; r++) {
        const size_t keys = first + r * step;
        for (size_t c = 0; c < n; c++) {
            double sum = (double)y[r * ld_y + c], size = fabs(sum), by = (double)factor[r];
            for (size_t j = 0; j < keys; j++) {
                double product = (double)e[r * ld_e + j] * (double)v[r * ld_row + j * ld_key + c];
                sum += product;
                size += fabs(product);
            }
            double chain = ref_gamma((double)keys, ref_u32) * size + (double)keys * ref_tiny32;
            double value = sum * by, most = fmax(size + chain, fabs(by) * (size + chain));
            double bound = fabs(by) * chain * (1.0 + ref_u32) +
                           ref_slack * ref_u32 * fabs(by) * (fabs(sum) + chain) + ref_tiny32;
            out_y[r * n + c] = value;
            out_bound[r * n + c] = ref_bound32(value, most, bound);
        }
    }
}
