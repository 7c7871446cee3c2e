/* gelu_erf: the erf form of GELU. Every block is read before it is written, so y may be x. */
#include "../lanes_activation.h"

void IOLK_NAME(size_t n, const float *x, float *y)
{
    size_t i = 0;
#ifdef IOLK_ONE_REGISTER
    for (; n - i >= IOLK_WIDEST; i += IOLK_WIDEST) {
        f32x64_store(y + i, f32x64_gelu_erf(f32x64_load(x + i)));
    }
#endif
    for (; n - i >= IOLK_WIDE; i += IOLK_WIDE) {
        f32x32_store(y + i, f32x32_gelu_erf(f32x32_load(x + i)));
    }
    if (n - i >= IOLK_LANES) {
        f32x16_store(y + i, f32x16_gelu_erf(f32x16_load(x + i)));
        i += IOLK_LANES;
    }
    const size_t rest = n - i;
    if (rest) {
        f32x16_store_n(y + i, f32x16_gelu_erf(f32x16_load_n(x + i, rest)), rest);
    }
}
