/* kl: D16 of p * (expm1(-d) + d), one FMA per term: p = exp(lp), d = lp - lq, lp and lq the log
 * probabilities in f64. Every term is >= 0, so nothing cancels where KL is tiny. */
static inline f64x16 kl_step(f64x16 lp, f64x16 lq, f64x16 sum)
{
    f64x16 d = f64x16_sub(lp, lq);
    return f64x16_fma(f64x16_exp(lp), f64x16_add(f64x16_expm1(f64x16_neg(d)), d), sum);
}

double IOLK_NAME(size_t n, const float *x, double lse_x, const float *y, double lse_y)
{
    const f64x16 total_x = f64x16_set1(lse_x), total_y = f64x16_set1(lse_y);
    f64x16 sum = f64x16_set1(0.0);
    size_t i = 0;
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
