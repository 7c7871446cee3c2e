/* silu_mul: gate / (1 + exp(-gate)), rounded, times up. Every block is read before it is written,
 * so y may be gate or up. */
static inline f32x16 silu_mul(f32x16 gate, f32x16 up)
{
    f32x16 silu = f32x16_div(gate, f32x16_add(f32x16_set1(1.0f), f32x16_exp(f32x16_neg(gate))));
    return f32x16_mul(silu, up);
}

void IOLK_NAME(size_t n, const float *gate, const float *up, float *y)
{
    size_t i = 0;
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        f32x16_store(y + i, silu_mul(f32x16_load(gate + i), f32x16_load(up + i)));
    }
    const size_t rest = n - i;
    if (rest) {
        f32x16 product = silu_mul(f32x16_load_n(gate + i, rest), f32x16_load_n(up + i, rest));
        f32x16_store_n(y + i, product, rest);
    }
}
