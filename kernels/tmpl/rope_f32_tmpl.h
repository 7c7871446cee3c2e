/* rope: each head is two halves, rotated element against element (Su et al., 2021, in the layout of
 * GPT-NeoX): x1' = fma(-x2, sin, x1 * cos), x2' = fma(x1, sin, x2 * cos). Cosines and sines of 32
 * pairs stay in registers for all heads of a row. */
#include "../lanes_wide.h"

/* minus: -s, once for all heads. */
static inline void rotate(float *x1, float *x2, f32x16 c, f32x16 s, f32x16 minus)
{
    f32x16 a = f32x16_load(x1), b = f32x16_load(x2);
    f32x16_store(x1, f32x16_fma(b, minus, f32x16_mul(a, c)));
    f32x16_store(x2, f32x16_fma(a, s, f32x16_mul(b, c)));
}

/* Where registers allow, stores of neighbouring lines follow each other: in L1 0.034 instead of
 * 0.047 ns per element (AVX-512), which is what the eight products take. */
static inline void rotate_wide(float *x1, float *x2, f32x32 c, f32x32 s, f32x32 minus)
{
#ifdef IOLK_ONE_REGISTER
    f32x32 a = f32x32_load(x1), b = f32x32_load(x2);
    f32x32_store(x1, f32x32_fma(b, minus, f32x32_mul(a, c)));
    f32x32_store(x2, f32x32_fma(a, s, f32x32_mul(b, c)));
#else
    rotate(x1, x2, c.lo, s.lo, minus.lo);
    rotate(x1 + IOLK_LANES, x2 + IOLK_LANES, c.hi, s.hi, minus.hi);
#endif
}

/* 32 columns of both halves of every head; x, cos, sin: the first one's. */
static inline void rotate_heads(size_t heads, size_t half, float *x, const float *cos,
                                const float *sin)
{
    const f32x32 c = f32x32_load(cos), s = f32x32_load(sin), minus = f32x32_neg(s);
    for (float *const end = x + heads * 2 * half; x < end; x += 2 * half) {
        rotate_wide(x, x + half, c, s, minus);
    }
}

/* Columns i .. half of a row, fewer than 32. */
static inline void rotate_rest(size_t i, size_t heads, size_t half, float *x, const float *cos,
                               const float *sin)
{
    float *const end = x + heads * 2 * half;
    if (half - i >= IOLK_LANES) {
        const f32x16 c = f32x16_load(cos + i), s = f32x16_load(sin + i), minus = f32x16_neg(s);
        for (float *head = x; head < end; head += 2 * half) {
            rotate(head + i, head + half + i, c, s, minus);
        }
        i += IOLK_LANES;
    }
    const size_t rest = half - i;
    if (rest) {
        const f32x16 c = f32x16_load_n(cos + i, rest), s = f32x16_load_n(sin + i, rest),
                     minus = f32x16_neg(s);
        for (float *head = x; head < end; head += 2 * half) {
            float *x1 = head + i, *x2 = x1 + half;
            f32x16 a = f32x16_load_n(x1, rest), b = f32x16_load_n(x2, rest);
            f32x16_store_n(x1, f32x16_fma(b, minus, f32x16_mul(a, c)), rest);
            f32x16_store_n(x2, f32x16_fma(a, s, f32x16_mul(b, c)), rest);
        }
    }
}

static __attribute__((noinline)) void rotate_odd(size_t m, size_t heads, size_t half, float *x,
                                                 size_t ld, const float *cos, const float *sin,
                                                 size_t ld_table)
{
    const size_t wide = half - half % IOLK_WIDE;
    for (size_t r = 0; r < m; r++, x += ld, cos += ld_table, sin += ld_table) {
        for (size_t i = 0; i < wide; i += IOLK_WIDE) {
            rotate_heads(heads, half, x + i, cos + i, sin + i);
        }
        rotate_rest(wide, heads, half, x, cos, sin);
    }
}

/* Halves of 32 columns have a loop of their own: a call of four rows is short enough for what a
 * general one does at its beginning to show (4 % in L1). */
void IOLK_NAME(size_t m, size_t heads, size_t half, float *restrict x, size_t ld,
               const float *restrict cos, const float *restrict sin, size_t ld_table)
{
    assert(m <= 1 || ld >= heads * 2 * half);
    if (half != IOLK_WIDE) {
        rotate_odd(m, heads, half, x, ld, cos, sin, ld_table);
        return;
    }
    for (size_t r = 0; r < m; r++) {
        rotate_heads(heads, IOLK_WIDE, x + r * ld, cos + r * ld_table, sin + r * ld_table);
    }
}
