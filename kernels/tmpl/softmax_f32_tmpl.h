/* softmax: a first pass for the maximum of the scaled scores, a second for exp(s * scale - m) and
 * its L16 sum. Scaling twice is cheaper than storing the scaled row. The scores stay unnormalised:
 * the caller multiplies its output row by the reciprocal. NaN never enters the maximum, so that its
 * order stays without effect; the sum is NaN then. */
void IOLK_NAME(size_t n, float scale, float *restrict scores, float *restrict out_rcp)
{
    assert(n >= 1);
    const size_t rest = n % IOLK_LANES, full = n - rest;
    const f32x16 factor = f32x16_set1(scale);
    f32x16 top = f32x16_set1(-__builtin_inff());
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        top = f32x16_max(f32x16_mul(f32x16_load(scores + i), factor), top);
    }
    if (rest) {
        f32x16 last = f32x16_mul(f32x16_load_n(scores + full, rest), factor);
        top = f32x16_max(f32x16_keep(last, top, rest), top);
    }
    const f32x16 m = f32x16_set1(f32x16_top(top));

    f32x16 sum = f32x16_set1(0.0f);
    for (size_t i = 0; i < full; i += IOLK_LANES) {
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
    *out_rcp = 1.0f / f32x16_sum(sum);
}
