/* layernorm: an error e of the mean shifts every difference by e and the variance by e^2; the
 * differences are rounded once more. */
#include "ref/ref.h"

static void row(size_t n, const float *x, const float *gain, const float *bias, float eps,
                double *out_y, double *out_bound)
{
    double sum = 0.0, size = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        size += fabs((double)x[i]);
    }
    double mean = sum / (double)n;
    double shift = ref_gamma(ref_lanes_depth(n) + 1.0, ref_u32) * size / (double)n + ref_tiny32;
    double squares_error = 0.0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - mean, e = shift + ref_u32 * fabs(d);
        squares += d * d;
        squares_error += 2.0 * e * fabs(d) + e * e;
    }
    double v = squares / (double)n + (double)eps, r = 1.0 / sqrt(v);
    double relative_v = (squares_error / (double)n + 2.0 * ref_tiny32) / v +
                        ref_gamma(ref_lanes_depth(n) + 2.0, ref_u32);
    double relative_r = 0.5 * relative_v * (1.0 + relative_v) + 2.0 * ref_u32;
    int claimed = squares < 0x1p126 && size < 0x1p126 && relative_v < 0.1;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - mean, g = fabs((double)gain[i]);
        out_y[i] = d * r * (double)gain[i] + (double)bias[i];
        double unit_error =
            r * (shift + ref_u32 * fabs(d)) + fabs(d) * r * (relative_r + ref_u32) + ref_tiny32;
        double bound = ref_slack * (g * unit_error + ref_u32 * fabs(out_y[i])) + ref_tiny32;
        out_bound[i] = ref_bound32(out_y[i], claimed ? fabs(out_y[i]) : HUGE_VAL, bound);
    }
}

void iolk_layernorm_f32_ref(size_t m, size_t n, const float *x, size_t ld_x, const float *gain,
                            const float *bias, float eps, double *out_y, double *out_bound)
{
    for (size_t r = 0; r < m; r++) {
        row(n, x + r * ld_x, gain, bias, eps, out_y + r * n, out_bound + r * n);
    }
}
