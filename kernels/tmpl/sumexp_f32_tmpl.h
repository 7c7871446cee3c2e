/* sumexp: a first pass for the maximum, a second for the L16 sum of exp(x - m). A maximum of zero
 * is returned as +0, whichever zero the lanes met. NaN never enters the maximum, so that its order
 * stays without effect; the sum is NaN then. */
#include "../lanes_wide.h"

void IOLK_NAME(size_t n, const float *restrict x, float *restrict out_max, float *restrict out_sum)
{
    assert(n >= 1);
    const size_t rest = n % IOLK_LANES, full = n - rest;
    f32x32 tops = f32x32_set1(-__builtin_inff());
    size_t i = 0;
    for (; full - i >= IOLK_WIDE; i += IOLK_WIDE) {
        tops = f32x32_max(f32x32_load(x + i), tops);
    }
    f32x16 top = f32x16_max(tops.lo, tops.hi);
    if (i < full) {
        top = f32x16_max(f32x16_load(x + i), top);
    }
    if (rest) {
        top = f32x16_max(f32x16_keep(f32x16_load_n(x + full, rest), top, rest), top);
    }
    *out_max = f32x16_top(top) + 0.0f;
    const f32x16 m = f32x16_set1(*out_max);
    const f32x32 ms = f32x32_set1(*out_max);

    f32x16 sum = f32x16_set1(0.0f);
    i = 0;
#ifdef IOLK_ONE_REGISTER
    for (const f32x64 all = f32x64_set1(*out_max); full - i >= IOLK_WIDEST; i += IOLK_WIDEST) {
        f32x64 e = f32x64_exp_below(f32x64_sub(f32x64_load(x + i), all));
        sum = f32x16_add(f32x16_add(sum, e.lo.lo), e.lo.hi);
        sum = f32x16_add(f32x16_add(sum, e.hi.lo), e.hi.hi);
    }
#endif
    for (; full - i >= IOLK_WIDE; i += IOLK_WIDE) {
        f32x32 e = f32x32_exp_below(f32x32_sub(f32x32_load(x + i), ms));
        sum = f32x16_add(f32x16_add(sum, e.lo), e.hi);
    }
    if (i < full) {
        sum = f32x16_add(sum, f32x16_exp_below(f32x16_sub(f32x16_load(x + i), m)));
    }
    if (rest) {
        f32x16 e = f32x16_exp_below(f32x16_sub(f32x16_load_n(x + full, rest), m));
        sum = f32x16_keep(f32x16_add(sum, e), sum, rest);
    }
    *out_sum = f32x16_sum(sum);
}
