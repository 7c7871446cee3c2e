/* rope: each head is two halves, rotated element against element (Su et al., 2021, in the layout of
 * GPT-NeoX): x1' = fma(-x2, sin, x1 * cos), x2' = fma(x1, sin, x2 * cos). Cosines and sines of 32
 * pairs stay in registers for all heads. */
#include "../lanes_wide.h"

static inline void rotate(float *x1, float *x2, f32x16 c, f32x16 s)
{
    f32x16 a = f32x16_load(x1), b = f32x16_load(x2);
    f32x16_store(x1, f32x16_fma(f32x16_neg(b), s, f32x16_mul(a, c)));
    f32x16_store(x2, f32x16_fma(a, s, f32x16_mul(b, c)));
}

void IOLK_NAME(size_t heads, size_t half, float *restrict x, size_t ld, const float *restrict cos,
               const float *restrict sin)
{
    assert(heads <= 1 || ld >= 2 * half);
    const size_t rest = half % IOLK_LANES, full = half - rest;
    size_t i = 0;
    for (; full - i >= IOLK_WIDE; i += IOLK_WIDE) {
        const f32x32 c = f32x32_load(cos + i), s = f32x32_load(sin + i);
        for (size_t h = 0; h < heads; h++) {
            float *x1 = x + h * ld + i, *x2 = x1 + half;
            rotate(x1, x2, c.lo, s.lo);
            rotate(x1 + IOLK_LANES, x2 + IOLK_LANES, c.hi, s.hi);
        }
    }
    if (i < full) {
        const f32x16 c = f32x16_load(cos + i), s = f32x16_load(sin + i);
        for (size_t h = 0; h < heads; h++) {
            rotate(x + h * ld + i, x + h * ld + half + i, c, s);
        }
    }
    if (rest) {
        const f32x16 c = f32x16_load_n(cos + full, rest), s = f32x16_load_n(sin + full, rest);
        for (size_t h = 0; h < heads; h++) {
            float *x1 = x + h * ld + full, *x2 = x1 + half;
            f32x16 a = f32x16_load_n(x1, rest), b = f32x16_load_n(x2, rest);
            f32x16_store_n(x1, f32x16_fma(f32x16_neg(b), s, f32x16_mul(a, c)), rest);
            f32x16_store_n(x2, f32x16_fma(a, s, f32x16_mul(b, c)), rest);
        }
    }
}
