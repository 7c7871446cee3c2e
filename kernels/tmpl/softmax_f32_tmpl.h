/* softmax: a first pass for the maximum of the scaled scores, a second for exp(s * scale - m) and
 * its L16 sum. Scaling twice is cheaper than storing the scaled row. The scores stay unnormalised:
 * the caller multiplies its output row by the reciprocal. NaN never enters the maximum, so that its
 * order stays without effect; the sum is NaN then. The second pass fetches the
 * next row: the first pass over it would wait for memory. */
#include "../lanes_wide.h"

static inline float softmax_row(size_t n, float scale, float *scores, const float *next)
{
    const size_t rest = n % IOLK_LANES, full = n - rest;
    const f32x16 factor = f32x16_set1(scale);
    const f32x32 factors = f32x32_set1(scale);
    f32x32 tops = f32x32_set1(-__builtin_inff());
    size_t i = 0;
    for (; full - i >= IOLK_WIDE; i += IOLK_WIDE) {
        tops = f32x32_max(f32x32_mul(f32x32_load(scores + i), factors), tops);
    }
    f32x16 top = f32x16_max(tops.lo, tops.hi);
    if (i < full) {
        top = f32x16_max(f32x16_mul(f32x16_load(scores + i), factor), top);
    }
    if (rest) {
        f32x16 last = f32x16_mul(f32x16_load_n(scores + full, rest), factor);
        top = f32x16_max(f32x16_keep(last, top, rest), top);
    }
    const float largest = f32x16_top(top);
    const f32x16 m = f32x16_set1(largest);
    const f32x32 ms = f32x32_set1(largest);

    f32x16 sum = f32x16_set1(0.0f);
    for (i = 0; full - i >= IOLK_WIDE; i += IOLK_WIDE) {
        __builtin_prefetch(next + i);
        __builtin_prefetch(next + i + IOLK_LANES);
        f32x32 e = f32x32_exp(f32x32_sub(f32x32_mul(f32x32_load(scores + i), factors), ms));
        f32x32_store(scores + i, e);
        sum = f32x16_add(f32x16_add(sum, e.lo), e.hi);
    }
    if (i < full) {
        f32x16 e = f32x16_exp(f32x16_sub(f32x16_mul(f32x16_load(scores + i), factor), m));
        f32x16_store(scores + i, e);
        sum = f32x16_add(sum, e);
    }
    if (rest) {
        f32x16 last = f32x16_mul(f32x16_load_n(scores + full, rest), factor);
        f32x16 e = f32x16_exp(f32x16_sub(last, m));
        f32x16_store_n(scores + full, e, rest);
        sum = f32x16_keep(f32x16_add(sum, e), sum, rest);
    }
    return 1.0f / f32x16_sum(sum);
}

void IOLK_NAME(size_t m, size_t n, size_t step, float scale, float *restrict scores, size_t ld,
               float *restrict out_rcp)
{
    assert(n >= 1 && (m <= 1 || ld >= n + (m - 1) * step));
    for (size_t r = 0; r < m; r++) {
        out_rcp[r] = softmax_row(n + r * step, scale, scores + r * ld, scores + (r + 1) * ld);
    }
}
