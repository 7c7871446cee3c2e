/* rope: each head is two halves, rotated element against element (Su et al., 2021, in the layout of
 * GPT-NeoX): x1' = fma(-x2, sin, x1 * cos), x2' = fma(x1, sin, x2 * cos). Cosines and sines of 32
 * pairs stay in registers for all heads of a row. */
#include "../lanes_wide.h"

static inline void rotate(float *x1, float *x2, f32x16 c, f32x16 s)
{
    f32x16 a = f32x16_load(x1), b = f32x16_load(x2);
    f32x16_store(x1, f32x16_fma(f32x16_neg(b), s, f32x16_mul(a, c)));
    f32x16_store(x2, f32x16_fma(a, s, f32x16_mul(b, c)));
}

/* Where registers allow, stores of neighbouring lines follow each other: in L1 0.034 instead of
 * 0.047 ns per element (AVX-512), which is what the eight products take. */
static inline void rotate_wide(float *x1, float *x2, f32x32 c, f32x32 s)
{
#ifdef IOLK_ONE_REGISTER
    f32x32 a = f32x32_load(x1), b = f32x32_load(x2);
    f32x32_store(x1, f32x32_fma(f32x32_neg(b), s, f32x32_mul(a, c)));
    f32x32_store(x2, f32x32_fma(a, s, f32x32_mul(b, c)));
#else
    rotate(x1, x2, c.lo, s.lo);
    rotate(x1 + IOLK_LANES, x2 + IOLK_LANES, c.hi, s.hi);
#endif
}

static inline void rotate_row(size_t heads, size_t half, float *x, const float *cos,
                              const float *sin)
{
    const size_t rest = half % IOLK_LANES, full = half - rest;
    float *const end = x + heads * 2 * half;
    size_t i = 0;
    for (; full - i >= IOLK_WIDE; i += IOLK_WIDE) {
        const f32x32 c = f32x32_load(cos + i), s = f32x32_load(sin + i);
        for (float *head = x; head < end; head += 2 * half) {
            rotate_wide(head + i, head + half + i, c, s);
        }
    }
    if (i < full) {
        const f32x16 c = f32x16_load(cos + i), s = f32x16_load(sin + i);
        for (float *head = x; head < end; head += 2 * half) {
            rotate(head + i, head + half + i, c, s);
        }
    }
    if (rest) {
        const f32x16 c = f32x16_load_n(cos + full, rest), s = f32x16_load_n(sin + full, rest);
        for (float *head = x; head < end; head += 2 * half) {
            float *x1 = head + full, *x2 = x1 + half;
            f32x16 a = f32x16_load_n(x1, rest), b = f32x16_load_n(x2, rest);
            f32x16_store_n(x1, f32x16_fma(f32x16_neg(b), s, f32x16_mul(a, c)), rest);
            f32x16_store_n(x2, f32x16_fma(a, s, f32x16_mul(b, c)), rest);
        }
    }
}

void IOLK_NAME(size_t m, size_t heads, size_t half, float *restrict x, size_t ld,
               const float *restrict cos, const float *restrict sin, size_t ld_table)
{
    assert(m <= 1 || ld >= heads * 2 * half);
    for (size_t r = 0; r < m; r++) {
        rotate_row(heads, half, x + r * ld, cos + r * ld_table, sin + r * ld_table);
    }
}
