/* add: one sum per element; every block is read before it is written, so y may be x. */
void IOLK_NAME(size_t n, const float *x, const float *c, float *y)
{
    size_t i = 0;
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        f32x16_store(y + i, f32x16_add(f32x16_load(x + i), f32x16_load(c + i)));
    }
    const size_t rest = n - i;
    if (rest) {
        f32x16 sum = f32x16_add(f32x16_load_n(x + i, rest), f32x16_load_n(c + i, rest));
        f32x16_store_n(y + i, sum, rest);
    }
}
