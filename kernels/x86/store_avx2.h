/* The first n < 8 floats of a vector, by the bits of n: a vmaskmov to memory is some forty
 * micro-operations on AMD. */
#ifndef IOLK_STORE_AVX2_H
#define IOLK_STORE_AVX2_H

#include <immintrin.h>
#include <stddef.h>

static inline void store8_n(float *p, __m256 v, size_t n)
{
    __m128 part = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1) {
        _mm_store_ss(p, part);
    }
}

#endif
