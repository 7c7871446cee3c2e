/* rope: a rounded product, then one FMA. */
#include "ref/ref.h"

static void rotate(double a, double b, double *out, double *out_bound)
{
    *out = a + b;
    double bound = ref_slack * ref_u32 * (fabs(a) + fabs(*out)) + ref_tiny32;
    *out_bound = ref_bound32(*out, fabs(a) + fabs(b), bound);
}

void iolk_rope_f32_ref(size_t m, size_t heads, size_t half, const float *x, size_t ld,
                       const float *cos, const float *sin, size_t ld_table, double *out_x,
                       double *out_bound)
{
    for (size_t row = 0; row < m * heads; row++) {
        const size_t r = row / heads, h = row % heads;
        const float *head = x + r * ld + h * 2 * half;
        for (size_t i = 0; i < half; i++) {
            double x1 = (double)head[i], x2 = (double)head[half + i];
            double c = (double)cos[r * ld_table + i], s = (double)sin[r * ld_table + i];
            size_t first = row * 2 * half + i, second = first + half;
            rotate(x1 * c, -x2 * s, &out_x[first], &out_bound[first]);
            rotate(x2 * c, x1 * s, &out_x[second], &out_bound[second]);
        }
    }
}
