/* bias_gelu_erf: add, then gelu_erf, without the sum going through memory. */
#include "../lanes_activation.h"

void IOLK_NAME(size_t m, size_t n, const float *x, size_t ld_x, const float *bias, float *y,
               size_t ld_y)
{
    assert(m <= 1 || (ld_x >= n && ld_y >= n));
    for (size_t r = 0; r < m; r++, x += ld_x, y += ld_y) {
        size_t i = 0;
#ifdef IOLK_ONE_REGISTER
        for (; n - i >= IOLK_WIDEST; i += IOLK_WIDEST) {
            f32x64 sum = f32x64_add(f32x64_load(x + i), f32x64_load(bias + i));
            f32x64_store(y + i, f32x64_gelu_erf(sum));
        }
#endif
        for (; n - i >= IOLK_WIDE; i += IOLK_WIDE) {
            f32x32 sum = f32x32_add(f32x32_load(x + i), f32x32_load(bias + i));
            f32x32_store(y + i, f32x32_gelu_erf(sum));
        }
        if (n - i >= IOLK_LANES) {
            f32x16 sum = f32x16_add(f32x16_load(x + i), f32x16_load(bias + i));
            f32x16_store(y + i, f32x16_gelu_erf(sum));
            i += IOLK_LANES;
        }
        const size_t rest = n - i;
        if (rest) {
            f32x16 sum = f32x16_add(f32x16_load_n(x + i, rest), f32x16_load_n(bias + i, rest));
            f32x16_store_n(y + i, f32x16_gelu_erf(sum), rest);
        }
    }
}
