/* rmsnorm: squares are positive, so their L16 has a relative error of depth * u; the root halves
 * it. Squares that underflow are worth n * 2^-149 beside the sum. */
#include "ref/ref.h"

static void row(size_t n, const float *x, const float *gain, float eps, double *out_y,
                double *out_bound)
{
    double squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        squares += (double)x[i] * (double)x[i];
    }
    double v = squares / (double)n + (double)eps, r = 1.0 / sqrt(v);
    double relative_v = ref_gamma(ref_lanes_depth(n) + 2.0, ref_u32) + 2.0 * ref_tiny32 / v;
    double relative = ref_slack * (0.5 * relative_v + 4.0 * ref_u32);
    int claimed = squares < 0x1p126 && relative_v < 0.1;
    for (size_t i = 0; i < n; i++) {
        double unit = (double)x[i] * r;
        out_y[i] = unit * (double)gain[i];
        double bound = fabs(out_y[i]) * relative + ref_tiny32 * (1.0 + fabs((double)gain[i]));
        out_bound[i] = ref_bound32(out_y[i], claimed ? fabs(out_y[i]) : HUGE_VAL, bound);
    }
}

void iolk_rmsnorm_f32_ref(size_t m, size_t n, const float *x, size_t ld_x, const float *gain,
                          float eps, double *out_y, double *out_bound)
{
    for (size_t r = 0; r < m; r++) {
        row(n, x + r * ld_x, gain, eps, out_y + r * n, out_bound + r * n);
    }
}
