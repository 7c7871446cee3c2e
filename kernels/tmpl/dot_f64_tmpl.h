/* dot: D16 of x[i] * v[i], x widened. */
double IOLK_NAME(size_t n, const float *x, const double *v)
{
    f64x16 sum = f64x16_set1(0.0);
    size_t i = 0;
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        sum = f64x16_fma(f64x16_widen(x + i), f64x16_load(v + i), sum);
    }
    const size_t rest = n - i;
    if (rest) {
        f64x16 a = f64x16_widen_n(x + i, rest), b = f64x16_load_n(v + i, rest);
        sum = f64x16_keep(f64x16_fma(a, b, sum), sum, rest);
    }
    return f64x16_sum(sum);
}
