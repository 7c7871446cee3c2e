/* round_bf16_avx512bf16: sixteen at a time by vcvtneps2bf16. */
#include "fast.h"

#include <assert.h>
#include <immintrin.h>

static __m256i rounded(__m512 x)
{
    __m256i y;
    __asm__("vcvtneps2bf16 %1, %0" : "=v"(y) : "v"(x));
    return y;
}

void iolk_round_bf16_avx512bf16(size_t lead, size_t n, const float *restrict x,
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
    for (; n - i >= 16; i += 16) {
        _mm256_storeu_si256((__m256i_u *)(out + i), rounded(_mm512_loadu_ps(x + i)));
    }
    if (i < n) {
        const __mmask16 rest = (__mmask16)((1U << (n - i)) - 1U);
        _mm256_mask_storeu_epi16(out + i, rest, rounded(_mm512_maskz_loadu_ps(rest, x + i)));
    }
}
