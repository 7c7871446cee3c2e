/* tail: sixteen columns of a row at a time. */
void IOLK_NAME(size_t m, size_t n, const float *restrict e, size_t ld_e, const float *restrict v,
               size_t ld_v, const float *restrict factor, float *restrict y, size_t ld_y)
{
    for (size_t r = 0; r < m; r++, e += ld_e, v += ld_v, y += ld_y) {
        const f32x16 weight = f32x16_set1(*e), by = f32x16_set1(factor[r]);
        size_t c = 0;
        for (; n - c >= IOLK_LANES; c += IOLK_LANES) {
            const f32x16 sum = f32x16_fma(weight, f32x16_load(v + c), f32x16_load(y + c));
            f32x16_store(y + c, f32x16_mul(by, sum));
        }
        if (c < n) {
            const f32x16 sum =
                f32x16_fma(weight, f32x16_load_n(v + c, n - c), f32x16_load_n(y + c, n - c));
            f32x16_store_n(y + c, f32x16_mul(by, sum), n - c);
        }
    }
}
