/* exp: every block is read before it is written, so y may be x. */
#include "../lanes_wide.h"

void IOLK_NAME(size_t n, const float *x, float *y)
{
    size_t i = 0;
    for (; n - i >= IOLK_WIDE; i += IOLK_WIDE) {
        f32x32_store(y + i, f32x32_exp(f32x32_load(x + i)));
    }
    if (n - i >= IOLK_LANES) {
        f32x16_store(y + i, f32x16_exp(f32x16_load(x + i)));
        i += IOLK_LANES;
    }
    const size_t rest = n - i;
    if (rest) {
        f32x16_store_n(y + i, f32x16_exp(f32x16_load_n(x + i, rest)), rest);
    }
}
