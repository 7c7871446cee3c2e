/* The vocabulary of ../scalar/panel_scalar.h in AVX-512: 16 lanes, a panel is three vectors. */
#ifndef IOLK_PANEL_AVX512_H
#define IOLK_PANEL_AVX512_H

#include "../ops.h"

#include <immintrin.h>

enum { LANES = 16, VECTORS = 3 };
#define ROWS 4

typedef __m512 vf;
typedef uint32_t words __attribute__((vector_size(64)));

static inline vf vf_zero(void)
{
    return _mm512_setzero_ps();
}

static inline vf vf_set1(const float *p)
{
    return _mm512_set1_ps(*p);
}

static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline vf vf_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1U << n) - 1U), p);
}

static inline void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

static inline void vf_store_n(float *p, vf v, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1U << n) - 1U), v);
}

static inline vf vf_neg(vf a)
{
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}

static inline vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* As an instruction: gcc 12 moves accumulators about otherwise. */
static inline __attribute__((always_inline)) vf vf_fma_in_place(vf acc, vf a, vf b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

static inline __attribute__((always_inline)) vf vf_bf16(const unsigned char *p, size_t i)
{
    const words w = (words)_mm512_loadu_si512(p);
    return (vf)(i ? w & 0xffff0000U : w << 16);
}

static inline vf vf_f16(const unsigned char *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(const void *)p));
}

static inline vf vf_s8(const unsigned char *p)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i_u *)(const void *)p)));
}

/* Even nibbles by a table look-up, which takes the lowest four bits of each word, odd ones by mask
 * and conversion: so the work falls on different ports. */
static inline __attribute__((always_inline)) vf vf_u4x16(const unsigned char *p, size_t i)
{
    const words w = (words)_mm512_loadu_si512(p) >> (uint32_t)(i / 2 * 8);
    if (i % 2) {
        return _mm512_cvtepi32_ps((__m512i)(w & 240U));
    }
    return _mm512_permutexvar_ps((__m512i)w, _mm512_setr_ps(0, 16, 32, 48, 64, 80, 96, 112, 128,
                                                            144, 160, 176, 192, 208, 224, 240));
}

/* Inlined always: gcc 12 finds a function that only prefetches pure, and drops the call. */
static inline __attribute__((always_inline)) void fetch(const unsigned char *p, const int into_l2)
{
    if (into_l2) {
        _mm_prefetch((const char *)p, _MM_HINT_T1);
    } else {
        _mm_prefetch((const char *)p, _MM_HINT_T0);
    }
}

#endif
