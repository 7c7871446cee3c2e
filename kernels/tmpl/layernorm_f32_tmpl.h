/* layernorm: L16 for the mean, L16 of squared differences from it, r = 1 / sqrt(variance + eps)
 * with both operations correctly rounded, then fma(d * r, gain, bias). The difference is formed
 * twice instead of stored. */
void IOLK_NAME(size_t n, const float *restrict x, const float *restrict gain,
               const float *restrict bias, float eps, float *restrict y)
{
    assert(n >= 1);
    const size_t rest = n % IOLK_LANES, full = n - rest;
    f32x16 sum = f32x16_set1(0.0f);
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        sum = f32x16_add(sum, f32x16_load(x + i));
    }
    if (rest) {
        sum = f32x16_keep(f32x16_add(sum, f32x16_load_n(x + full, rest)), sum, rest);
    }
    const f32x16 mean = f32x16_set1(f32x16_sum(sum) / (float)n);

    f32x16 squares = f32x16_set1(0.0f);
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        f32x16 d = f32x16_sub(f32x16_load(x + i), mean);
        squares = f32x16_fma(d, d, squares);
    }
    if (rest) {
        f32x16 d = f32x16_sub(f32x16_load_n(x + full, rest), mean);
        squares = f32x16_keep(f32x16_fma(d, d, squares), squares, rest);
    }
    const f32x16 r = f32x16_set1(1.0f / f32_sqrt(f32x16_sum(squares) / (float)n + eps));

    for (size_t i = 0; i < full; i += IOLK_LANES) {
        f32x16 d = f32x16_mul(f32x16_sub(f32x16_load(x + i), mean), r);
        f32x16_store(y + i, f32x16_fma(d, f32x16_load(gain + i), f32x16_load(bias + i)));
    }
    if (rest) {
        f32x16 d = f32x16_mul(f32x16_sub(f32x16_load_n(x + full, rest), mean), r);
        f32x16 b = f32x16_load_n(bias + full, rest);
        f32x16_store_n(y + full, f32x16_fma(d, f32x16_load_n(gain + full, rest), b), rest);
    }
}
