/* Double-precision references, one per op: what the order of operations in docs/numerics.md
 * computes, without the roundings. Linked by tests and benches only.
 *
 * Arguments are those of the kernel (ops.h); every output array becomes two dense arrays of double:
 * the value, and a bound on |kernel - value| from the standard model of rounding, fl(x) = x (1 +
 * d), |d| <= u (Higham, Accuracy and Stability of Numerical Algorithms, chapters 2-4), plus the
 * absolute error of results that underflow. A bound of HUGE_VAL means that nothing is claimed, as
 * for inputs that overflow f32. Read-outs in f64 are formed in long double. Outputs may not overlap
 * inputs. */
#ifndef IOLK_REF_H
#define IOLK_REF_H

#include <math.h>
#include <stddef.h>

/* Unit roundoff of f32 and f64, the largest error of a product or quotient that underflows, and the
 * largest exponent whose exp is finite in f32. */
static const double ref_u32 = 0x1p-24, ref_u64 = 0x1p-53, ref_tiny32 = 0x1p-149,
                    ref_exp_limit = 88.722839;
/* 1.05 for the higher-order terms that first-order sums of roundings leave out. */
static const double ref_slack = 1.05;

/* n roundings after one another: n u / (1 - n u) */
static inline double ref_gamma(double n, double u)
{
    return n * u / (1.0 - n * u);
}

/* Roundings that one term of L16 or D16 of n terms can meet. */
static inline double ref_lanes_depth(size_t n)
{
    return (double)((n + 15) / 16) + 5.0;
}

/* `bound` for values whose largest intermediate `size` f32 holds, 0 for NaN (which a kernel must
 * return too), nothing claimed otherwise. */
static inline double ref_bound32(double value, double size, double bound)
{
    return isnan(value) ? 0.0 : size + bound < 0x1p127 ? bound : HUGE_VAL;
}

/* A chain of `keys` steps with the value `sum`, whose terms have the absolute sum `size`, times a
 * factor. */
static inline double ref_divided(double sum, double size, size_t keys, double factor,
                                 double *out_bound)
{
    const double chain = ref_gamma((double)keys, ref_u32) * size + (double)keys * ref_tiny32,
                 value = sum * factor, most = fmax(size + chain, fabs(factor) * (size + chain));
    *out_bound =
        ref_bound32(value, most,
                    fabs(factor) * chain * (1.0 + ref_u32) +
                        ref_slack * ref_u32 * fabs(factor) * (fabs(sum) + chain) + ref_tiny32);
    return value;
}

void iolk_gemm_f32_ref(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,
                       size_t ld_b, const float *init, size_t ld_init, double *out_c,
                       double *out_bound);
void iolk_panels_f32_ref(size_t m, size_t panels, size_t k, const float *a, size_t ld_a,
                         const float *b, size_t panel_floats, const float *init, size_t ld_init,
                         double *out_c, double *out_bound);
void iolk_gemm_bf16_ref(size_t m, size_t n, size_t k0, size_t k1, const float *a, size_t ld_a,
                        const void *panel, size_t panel_bytes, const float *init, size_t ld_init,
                        double *out_c, double *out_bound);
void iolk_gemm_f16_ref(size_t m, size_t n, size_t k0, size_t k1, const float *a, size_t ld_a,
                       const void *panel, size_t panel_bytes, const float *init, size_t ld_init,
                       double *out_c, double *out_bound);
void iolk_gemm_q80_ref(size_t m, size_t n, size_t k0, size_t k1, const float *a, size_t ld_a,
                       const void *panel, size_t panel_bytes, const float *init, size_t ld_init,
                       double *out_c, double *out_bound);
void iolk_gemm_q40_ref(size_t m, size_t n, size_t k0, size_t k1, const float *a, size_t ld_a,
                       const void *panel, size_t panel_bytes, const float *init, size_t ld_init,
                       double *out_c, double *out_bound);
void iolk_gemm_q41_ref(size_t m, size_t n, size_t k0, size_t k1, const float *a, size_t ld_a,
                       const void *panel, size_t panel_bytes, const float *init, size_t ld_init,
                       double *out_c, double *out_bound);
void iolk_gemm_q4k_ref(size_t m, size_t n, size_t k0, size_t k1, const float *a, size_t ld_a,
                       const void *panel, size_t panel_bytes, const float *init, size_t ld_init,
                       double *out_c, double *out_bound);
void iolk_widen_bf16_ref(size_t k0, size_t k1, const void *panel, double *out, double *out_bound);
void iolk_widen_f16_ref(size_t k0, size_t k1, const void *panel, double *out, double *out_bound);
void iolk_widen_q80_ref(size_t k0, size_t k1, const void *panel, double *out, double *out_bound);
void iolk_widen_q40_ref(size_t k0, size_t k1, const void *panel, double *out, double *out_bound);
void iolk_widen_q41_ref(size_t k0, size_t k1, const void *panel, double *out, double *out_bound);
void iolk_widen_q4k_ref(size_t k0, size_t k1, const void *panel, double *out, double *out_bound);
void iolk_chains_f32_ref(size_t m, size_t n, const float *q, size_t ld_q, const float *k,
                         size_t ld_k, double *out, double *out_bound);
void iolk_fma_f32_ref(size_t n, size_t steps, float a, float b, const float *y, double *out_y,
                      double *out_bound);
void iolk_add_f32_ref(size_t n, const float *x, const float *c, double *out_y, double *out_bound);
/* out_scores (m, n + (m - 1) * step), dense: what lies beyond a row stays as it was */
void iolk_softmax_f32_ref(size_t m, size_t n, size_t step, float scale, const float *scores,
                          size_t ld, double *out_scores, double *out_bound, double *out_rcp,
                          double *out_rcp_bound);
void iolk_mix_f32_ref(size_t m, size_t n, size_t first, const float *e, size_t ld_e, const float *v,
                      size_t ld_v, const float *factor, int from_y, const float *y, size_t ld_y,
                      double *out_y, double *out_bound);
void iolk_tail_f32_ref(size_t m, size_t n, const float *e, size_t ld_e, const float *v, size_t ld_v,
                       const float *factor, const float *y, size_t ld_y, double *out_y,
                       double *out_bound);
void iolk_sumexp_f32_ref(size_t n, const float *x, double *out_max, double *out_max_bound,
                         double *out_sum, double *out_sum_bound);
/* Of rows; results are dense, (m, n). sums: m * n elements to work in. */
void iolk_rmsnorm_f32_ref(size_t m, size_t n, const float *x, size_t ld_x, const float *gain,
                          float eps, double *out_y, double *out_bound);
void iolk_layernorm_f32_ref(size_t m, size_t n, const float *x, size_t ld_x, const float *gain,
                            const float *bias, float eps, double *out_y, double *out_bound);
void iolk_add_rmsnorm_f32_ref(size_t m, size_t n, const float *x, size_t ld_x, const float *c,
                              size_t ld_c, const float *gain, float eps, float *sums, double *out_x,
                              double *out_x_bound, double *out_y, double *out_bound);
void iolk_add_layernorm_f32_ref(size_t m, size_t n, const float *x, size_t ld_x, const float *c,
                                size_t ld_c, const float *gain, const float *bias, float eps,
                                float *sums, double *out_x, double *out_x_bound, double *out_y,
                                double *out_bound);
void iolk_bias_gelu_tanh_f32_ref(size_t m, size_t n, const float *x, size_t ld_x, const float *bias,
                                 float *sums, double *out_y, double *out_bound);
void iolk_bias_gelu_erf_f32_ref(size_t m, size_t n, const float *x, size_t ld_x, const float *bias,
                                float *sums, double *out_y, double *out_bound);
void iolk_exp_f32_ref(size_t n, const float *x, double *out_y, double *out_bound);
void iolk_silu_mul_f32_ref(size_t n, const float *gate, const float *up, double *out_y,
                           double *out_bound);
void iolk_gelu_tanh_f32_ref(size_t n, const float *x, double *out_y, double *out_bound);
void iolk_gelu_erf_f32_ref(size_t n, const float *x, double *out_y, double *out_bound);
/* out_x (m, heads * 2 * half), dense */
void iolk_rope_f32_ref(size_t m, size_t heads, size_t half, const float *x, size_t ld,
                       const float *cos, const float *sin, size_t ld_table, double *out_x,
                       double *out_bound);
void iolk_dot_f64_ref(size_t n, const float *x, const double *v, double *out, double *out_bound);
void iolk_sum_f64_ref(size_t n, const float *x, double *out, double *out_bound);
void iolk_ssq_f64_ref(size_t n, const float *x, double mean, double *out, double *out_bound);
void iolk_kl_f64_ref(size_t n, const float *x, double lse_x, const float *y, double lse_y,
                     double *out, double *out_bound);

#endif
