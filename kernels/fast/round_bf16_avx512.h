/* round_bf16 under the name IOLK_NAME, in blocks of BLOCK: sixteen at a time by vcvtneps2bf16. */
#include "fast.h"

#include <assert.h>
#include <immintrin.h>

static __m256i rounded(__m512 x)
{
    __m256i y;
    __asm__("vcvtneps2bf16 %1, %0" : "=v"(y) : "v"(x));
    return y;
}

/* Zeros, fewer than 32. */
static void zero_some(uint16_t *out, size_t n)
{
    _mm512_mask_storeu_epi16(out, (__mmask32)((1U << n) - 1U), _mm512_setzero_si512());
}

void IOLK_NAME(size_t lead, size_t n, const float *restrict x, uint32_t *restrict words)
{
    uint16_t *out = (uint16_t *)(void *)words;
    const size_t past = (lead + n) % BLOCK;
    assert(lead < BLOCK);
    zero_some(out, lead);
    out += lead;
    if (past) {
        zero_some(out + n, BLOCK - past);
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
