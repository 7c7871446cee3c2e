/* f16 to f32 in integers: exact, and any floating-point mode gives the same bits. */
#ifndef IOLK_HALF_H
#define IOLK_HALF_H

#include <stdint.h>
#include <string.h>

/* NaN becomes quiet, as in hardware. */
static inline float iolk_half_widen(uint32_t half)
{
    const uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    uint32_t bits = sign;
    float value;
    if (exponent == 31) {
        bits |= 0x7f800000U | (fraction ? 0x400000U : 0U) | fraction << 13;
    } else if (exponent > 0) {
        bits |= (exponent + 112) << 23 | fraction << 13;
    } else if (fraction > 0) { /* fraction * 2^-24: its top bit becomes the hidden one */
        const uint32_t shift = (uint32_t)__builtin_clz(fraction) - 21;
        bits |= (113 - shift) << 23 | (fraction << shift & 1023) << 13;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
