/* round_int8_avx512vnni: a block of 32 as two registers. */
#define IOLK_NAME iolk_round_int8_avx512vnni
#include "fast.h"
#include "int8_blocks.h"

#include <assert.h>
#include <immintrin.h>
#include <string.h>

static inline void round_halves(__m512 low, __m512 high, uint32_t *out)
{
    /* As integers: NaN is above infinity, and both above all that is finite. */
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const __m512i most = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                                          _mm512_and_si512(_mm512_castps_si512(high), magnitude));
    const uint32_t bits = _mm512_reduce_max_epu32(most);
    float largest, scale;
    memcpy(&largest, &bits, sizeof largest);
    const __m512 inverse = _mm512_set1_ps(int8_inverse(largest));
    const __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse)),
                  q1 = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
    const int sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
    scale = largest / 127.0f;
    _mm_storeu_si128((__m128i_u *)out, _mm512_cvtsepi32_epi8(q0));
    _mm_storeu_si128((__m128i_u *)(out + 4), _mm512_cvtsepi32_epi8(q1));
    memcpy(out + SCALE, &scale, sizeof scale);
    out[CORRECTION] = (uint32_t)sum * (uint32_t)-128;
}

static inline void round_block(const float *x, uint32_t *out)
{
    round_halves(_mm512_loadu_ps(x), _mm512_loadu_ps(x + BLOCK / 2), out);
}

/* A block of which only some are there. */
static void round_some(size_t lead, size_t n, const float *x, uint32_t *out)
{
    const uint32_t there = (n < BLOCK ? (1U << n) - 1U : ~0U) << lead;
    const __mmask16 low = (__mmask16)there, high = (__mmask16)(there >> (BLOCK / 2));
    const size_t in_low = (size_t)__builtin_popcount(there & 0xffff);
    round_halves(_mm512_maskz_expandloadu_ps(low, x), _mm512_maskz_expandloadu_ps(high, x + in_low),
                 out);
}

#include "round_int8_tmpl.h"
