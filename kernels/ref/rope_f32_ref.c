/* rope: a rounded product, then one FMA. */
#include "ref/ref.h"

static void rotate(double a, double b, double *out, double *out_bound)
{
    *out = a + b;
    double bound = ref_slack * ref_u32 * (fabs(a) + fabs(*out)) + ref_tiny32;
    *out_bound = ref_bound32(*out, fabs(a) + fabs(b), bound);
}

void iolk_rope_f32_ref(size_t heads, size_t half, const float *x, size_t ld, const float *cos,
                       const float *sin, double *out_x, double *out_bound)
{
    for (size_t h = 0; h < heads; h++) {
        for (size_t i = 0; i < half; i++) {
            double x1 = (double)x[h * ld + i], x2 = (double)x[h * ld + half + i];
            double c = (double)cos[i], s = (double)sin[i];
            size_t first = h * 2 * half + i, second = first + half;
            rotate(x1 * c, -x2 * s, &out_x[first], &out_bound[first]);
            rotate(x2 * c, x1 * s, &out_x[second], &out_bound[second]);
        }
    }
}
