/* round_bf16_neonbf16: four at a time by bfcvtn. */
#include "fast.h"

#include <arm_neon.h>
#include <assert.h>

/* Or gcc makes a call of memcpy of a loop. */
#define NO_CALL() __asm__ volatile("" ::: "memory")

static uint16x4_t rounded(float32x4_t x)
{
    return vreinterpret_u16_bf16(vcvt_bf16_f32(x));
}

void iolk_round_bf16_neonbf16(size_t lead, size_t n, const float *restrict x,
                              uint32_t *restrict words)
{
    uint16_t *out = (uint16_t *)(void *)words;
    assert(lead < 2);
    if (lead) {
        *out++ = 0;
    }
    if ((lead + n) % 2) {
        out[n] = 0;
    }
    size_t i = 0;
    for (; n - i >= 4; i += 4) {
        vst1_u16(out + i, rounded(vld1q_f32(x + i)));
    }
    if (i < n) {
        float some[4] = {0};
        uint16_t bits[4];
        for (size_t j = i; j < n; j++) {
            some[j - i] = x[j];
            NO_CALL();
        }
        vst1_u16(bits, rounded(vld1q_f32(some)));
        for (size_t j = i; j < n; j++) {
            out[j] = bits[j - i];
            NO_CALL();
        }
    }
}
