/* axpy: one FMA per element, sixteen at a time; order cannot matter. */
void IOLK_NAME(size_t n, float a, const float *restrict x, float *restrict y)
{
    const f32x16 factor = f32x16_set1(a);
    size_t i = 0;
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        f32x16_store(y + i, f32x16_fma(factor, f32x16_load(x + i), f32x16_load(y + i)));
    }
    const size_t rest = n - i;
    if (rest) {
        f32x16 old = f32x16_load_n(y + i, rest);
        f32x16_store_n(y + i, f32x16_fma(factor, f32x16_load_n(x + i, rest), old), rest);
    }
}
