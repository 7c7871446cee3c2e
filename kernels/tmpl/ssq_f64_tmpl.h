/* ssq: D16 of d * d, d = x[i] - mean in f64. */
double IOLK_NAME(size_t n, const float *x, double mean)
{
    const f64x16 centre = f64x16_set1(mean);
    f64x16 squares = f64x16_set1(0.0);
    size_t i = 0;
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        f64x16 d = f64x16_sub(f64x16_widen(x + i), centre);
        squares = f64x16_fma(d, d, squares);
    }
    const size_t rest = n - i;
    if (rest) {
        f64x16 d = f64x16_sub(f64x16_widen_n(x + i, rest), centre);
        squares = f64x16_keep(f64x16_fma(d, d, squares), squares, rest);
    }
    return f64x16_sum(squares);
}
