/* tail: one step of the chain, |error| <= gamma_1 (|y| + |e| |v|) + 2^-149, times the factor, and
 * the rounding of that product. */
#include "ref/ref.h"

void iolk_tail_f32_ref(size_t m, size_t n, const float *e, size_t ld_e, const float *v, size_t ld_v,
                       const float *factor, const float *y, size_t ld_y, double *out_y,
                       double *out_bound)
{
    for (size_t r = 0; r < m; r++) {
        for (size_t c = 0; c < n; c++) {
            const double product = (double)e[r * ld_e] * (double)v[r * ld_v + c];
            const double sum = (double)y[r * ld_y + c] + product,
                         size = fabs((double)y[r * ld_y + c]) + fabs(product);
            out_y[r * n + c] = ref_divided(sum, size, 1, (double)factor[r], &out_bound[r * n + c]);
        }
    }
}
