/* scale: one product per element; every block is read before it is written, so y may be x. */
void IOLK_NAME(size_t n, float a, const float *x, float *y)
{
    const f32x16 factor = f32x16_set1(a);
    size_t i = 0;
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        f32x16_store(y + i, f32x16_mul(factor, f32x16_load(x + i)));
    }
    const size_t rest = n - i;
    if (rest) {
        f32x16_store_n(y + i, f32x16_mul(factor, f32x16_load_n(x + i, rest)), rest);
    }
}
