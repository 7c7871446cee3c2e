/* sum: D16 of x[i], widened. */
double IOLK_NAME(size_t n, const float *x)
{
    f64x16 sum = f64x16_set1(0.0);
    size_t i = 0;
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        sum = f64x16_add(sum, f64x16_widen(x + i));
    }
    const size_t rest = n - i;
    if (rest) {
        sum = f64x16_keep(f64x16_add(sum, f64x16_widen_n(x + i, rest)), sum, rest);
    }
    return f64x16_sum(sum);
}
