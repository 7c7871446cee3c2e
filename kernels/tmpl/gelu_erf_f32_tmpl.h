/* gelu_erf: h = x / 2; y = fma(h, erf(x / sqrt(2)), h). */
static inline f32x16 gelu_erf(f32x16 x)
{
    f32x16 h = f32x16_mul(f32x16_set1(0.5f), x);
    return f32x16_fma(h, f32x16_erf(f32x16_mul(x, f32x16_set1(0.70710678f))), h);
}

void IOLK_NAME(size_t n, const float *x, float *y)
{
    size_t i = 0;
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        f32x16_store(y + i, gelu_erf(f32x16_load(x + i)));
    }
    const size_t rest = n - i;
    if (rest) {
        f32x16_store_n(y + i, gelu_erf(f32x16_load_n(x + i, rest)), rest);
    }
}
