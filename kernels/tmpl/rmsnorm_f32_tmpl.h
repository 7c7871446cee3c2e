/* rmsnorm: L16 of squares, r = 1 / sqrt(mean + eps) with both operations correctly rounded, then
 * two products per element. */
void IOLK_NAME(size_t n, const float *restrict x, const float *restrict gain, float eps,
               float *restrict y)
{
    assert(n >= 1);
    const size_t rest = n % IOLK_LANES, full = n - rest;
    f32x16 squares = f32x16_set1(0.0f);
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        f32x16 v = f32x16_load(x + i);
        squares = f32x16_fma(v, v, squares);
    }
    if (rest) {
        f32x16 v = f32x16_load_n(x + full, rest);
        squares = f32x16_keep(f32x16_fma(v, v, squares), squares, rest);
    }
    const f32x16 r = f32x16_set1(1.0f / f32_sqrt(f32x16_sum(squares) / (float)n + eps));

    for (size_t i = 0; i < full; i += IOLK_LANES) {
        f32x16 v = f32x16_mul(f32x16_load(x + i), r);
        f32x16_store(y + i, f32x16_mul(v, f32x16_load(gain + i)));
    }
    if (rest) {
        f32x16 v = f32x16_mul(f32x16_load_n(x + full, rest), r);
        f32x16_store_n(y + full, f32x16_mul(v, f32x16_load_n(gain + full, rest)), rest);
    }
}
