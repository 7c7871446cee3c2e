/* silu_mul: every block is read before it or a later one is written, so y may be gate or up. */
#include "../lanes_activation.h"

void IOLK_NAME(size_t n, const float *gate, const float *up, float *y)
{
    size_t i = 0;
#ifdef IOLK_ONE_REGISTER
    if (n >= IOLK_WIDEST) {
        f32x64 all = f32x64_load(gate);
        struct quotients part = quotients_of(all, f32x64_exp_limited(f32x64_neg(all)), up, y, NULL);
        for (i = IOLK_WIDEST; n - i >= IOLK_WIDEST; i += IOLK_WIDEST) {
            all = f32x64_load(gate + i);
            part = quotients_of(all, f32x64_exp_limited(f32x64_neg(all)), up + i, y + i, &part);
        }
        finish(&part);
    }
#endif
    for (; n - i >= IOLK_WIDE; i += IOLK_WIDE) {
        f32x32_store(y + i, f32x32_silu_mul(f32x32_load(gate + i), f32x32_load(up + i)));
    }
    if (n - i >= IOLK_LANES) {
        f32x16_store(y + i, f32x16_silu_mul(f32x16_load(gate + i), f32x16_load(up + i)));
        i += IOLK_LANES;
    }
    const size_t rest = n - i;
    if (rest) {
        f32x16 g = f32x16_load_n(gate + i, rest), u = f32x16_load_n(up + i, rest);
        f32x16_store_n(y + i, f32x16_silu_mul(g, u), rest);
    }
}
