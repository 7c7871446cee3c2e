/* rope: each head is two halves, rotated element against element (Su et al., 2021, in the layout of
 * GPT-NeoX): x1' = fma(-x2, sin, x1 * cos), x2' = fma(x1, sin, x2 * cos). */
void IOLK_NAME(size_t heads, size_t half, float *restrict x, size_t ld, const float *restrict cos,
               const float *restrict sin)
{
    assert(heads <= 1 || ld >= 2 * half);
    const size_t rest = half % IOLK_LANES, full = half - rest;
    for (size_t h = 0; h < heads; h++) {
        float *x1 = x + h * ld, *x2 = x1 + half;
        for (size_t i = 0; i < full; i += IOLK_LANES) {
            f32x16 a = f32x16_load(x1 + i), b = f32x16_load(x2 + i);
            f32x16 c = f32x16_load(cos + i), s = f32x16_load(sin + i);
            f32x16_store(x1 + i, f32x16_fma(f32x16_neg(b), s, f32x16_mul(a, c)));
            f32x16_store(x2 + i, f32x16_fma(a, s, f32x16_mul(b, c)));
        }
        if (rest) {
            f32x16 a = f32x16_load_n(x1 + full, rest), b = f32x16_load_n(x2 + full, rest);
            f32x16 c = f32x16_load_n(cos + full, rest), s = f32x16_load_n(sin + full, rest);
            f32x16_store_n(x1 + full, f32x16_fma(f32x16_neg(b), s, f32x16_mul(a, c)), rest);
            f32x16_store_n(x2 + full, f32x16_fma(a, s, f32x16_mul(b, c)), rest);
        }
    }
}
