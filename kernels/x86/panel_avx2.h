/* The vocabulary of ../scalar/panel_scalar.h in AVX2: 8 lanes, a panel is six vectors. */
#ifndef IOLK_PANEL_AVX2_H
#define IOLK_PANEL_AVX2_H

#include "../ops.h"

#include <immintrin.h>

enum { LANES = 8, VECTORS = 6 };
#define ROWS 4

/* Half a panel at a time: three and four rows have 9 and 12 sums then, and the constants of 4-bit
 * weights, which are arithmetic, stay in registers for fewer. One row and two of other weights,
 * which come from memory, walk whole lines. */
#define VECTORS_OF(rows) ((rows) < 3 && OF(GROUP) < 8 ? 6 : 3)
/* 12 sums and three weights leave one register, for the elements of A in turn. */
#define ROW_BY_ROW(rows) ((rows) > 2)
/* A register for each sum, and FMAs as instructions: gcc would copy sums within the loop and spill
 * them. */
#define SUM_IN(r, v, n)       register __m256 acc##r##v __asm__("ymm" #n)
#define SUM_UNUSED(r, v)      __m256 acc##r##v
#define SUM(r, v)             SUM_##r##v
#define ACCUMULATE(acc, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b))
#define SUM_00                SUM_IN(0, 0, 4)
#define SUM_01                SUM_IN(0, 1, 5)
#define SUM_02                SUM_IN(0, 2, 6)
#define SUM_03                SUM_IN(0, 3, 7)
#define SUM_04                SUM_IN(0, 4, 8)
#define SUM_05                SUM_IN(0, 5, 9)
#define SUM_10                SUM_IN(1, 0, 10)
#define SUM_11                SUM_IN(1, 1, 11)
#define SUM_12                SUM_IN(1, 2, 12)
#define SUM_13                SUM_IN(1, 3, 13)
#define SUM_14                SUM_IN(1, 4, 14)
#define SUM_15                SUM_IN(1, 5, 15)
#define SUM_20                SUM_IN(2, 0, 7)
#define SUM_21                SUM_IN(2, 1, 8)
#define SUM_22                SUM_IN(2, 2, 9)
#define SUM_23                SUM_UNUSED(2, 3)
#define SUM_24                SUM_UNUSED(2, 4)
#define SUM_25                SUM_UNUSED(2, 5)
#define SUM_30                SUM_IN(3, 0, 13)
#define SUM_31                SUM_IN(3, 1, 14)
#define SUM_32                SUM_IN(3, 2, 15)
#define SUM_33                SUM_UNUSED(3, 3)
#define SUM_34                SUM_UNUSED(3, 4)
#define SUM_35                SUM_UNUSED(3, 5)

typedef __m256 vf;
typedef uint32_t words __attribute__((vector_size(32)));

static inline vf vf_zero(void)
{
    return _mm256_setzero_ps();
}

static inline vf vf_set1(const float *p)
{
    return _mm256_set1_ps(*p);
}

static inline vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline __m256i first_lanes(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vf vf_load_n(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, first_lanes(n));
}

static inline void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}

static inline void vf_store_n(float *p, vf v, size_t n)
{
    _mm256_maskstore_ps(p, first_lanes(n), v);
}

static inline vf vf_neg(vf a)
{
    return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}

static inline vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* As an instruction: gcc 12 moves accumulators about otherwise. */
static inline __attribute__((always_inline)) vf vf_fma_in_place(vf acc, vf a, vf b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
    return acc;
}

static inline words load_words(const unsigned char *p)
{
    return (words)_mm256_loadu_si256((const __m256i_u *)(const void *)p);
}

static inline __attribute__((always_inline)) vf vf_bf16(const unsigned char *p, size_t i)
{
    const words w = load_words(p);
    return (vf)(i ? w & 0xffff0000U : w << 16);
}

static inline vf vf_f16(const unsigned char *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(const void *)p));
}

static inline vf vf_s8(const unsigned char *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64(p)));
}

static inline __attribute__((always_inline)) vf vf_u4x16(const unsigned char *p, size_t i)
{
    const words w = load_words(p);
    return _mm256_cvtepi32_ps((__m256i)((i ? w >> (uint32_t)(4 * i - 4) : w << 4) & 240U));
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
