/* kl: D16 of p * (expm1(-d) + d), one FMA per term: p = exp(lp), d = lp - lq, lp and lq the log
 * probabilities in f64. Every term is >= 0, so nothing cancels where KL is tiny. */
#include "../lanes_wide.h"

/* expm1(-d) + d. */
#define KL_REST(v)                                                                                 \
    static inline __attribute__((always_inline)) v v##_kl_rest(v d)                                \
    {                                                                                              \
        return v##_add(v##_expm1(v##_neg(d)), d);                                                  \
    }
KL_REST(f64x16)
#ifdef IOLK_ONE_REGISTER
KL_REST(f64x32)
#endif
#undef KL_REST

static inline __attribute__((always_inline)) f64x16 kl_step(f64x16 lp, f64x16 lq, f64x16 sum)
{
    return f64x16_fma(f64x16_exp(lp), f64x16_kl_rest(f64x16_sub(lp, lq)), sum);
}

double IOLK_NAME(size_t n, const float *x, double lse_x, const float *y, double lse_y)
{
    const f64x16 total_x = f64x16_set1(lse_x), total_y = f64x16_set1(lse_y);
    f64x16 sum = f64x16_set1(0.0);
    size_t i = 0;
#ifdef IOLK_ONE_REGISTER
    const f64x32 wide_x = {total_x, total_x}, wide_y = {total_y, total_y};
    for (; n - i >= IOLK_WIDE; i += IOLK_WIDE) {
        const f64x32 lp = f64x32_sub(f64x32_widen(x + i), wide_x),
                     lq = f64x32_sub(f64x32_widen(y + i), wide_y),
                     rest = f64x32_kl_rest(f64x32_sub(lp, lq)), p = f64x32_exp(lp);
        sum = f64x16_fma(p.hi, rest.hi, f64x16_fma(p.lo, rest.lo, sum));
    }
#endif
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        f64x16 lp = f64x16_sub(f64x16_widen(x + i), total_x);
        f64x16 lq = f64x16_sub(f64x16_widen(y + i), total_y);
        sum = kl_step(lp, lq, sum);
    }
    const size_t rest = n - i;
    if (rest) {
        f64x16 lp = f64x16_sub(f64x16_widen_n(x + i, rest), total_x);
        f64x16 lq = f64x16_sub(f64x16_widen_n(y + i, rest), total_y);
        sum = f64x16_keep(kl_step(lp, lq, sum), sum, rest);
    }
    return f64x16_sum(sum);
}
