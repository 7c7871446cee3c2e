/* Vectors of sixteen columns of C at the edge of a matrix, for the kernels of the fast mode on
 * AVX-512. */
#ifndef IOLK_COLUMNS_AVX512_H
#define IOLK_COLUMNS_AVX512_H

#include <immintrin.h>
#include <stddef.h>

enum { LANES = 16 };

/* Which lanes of vector `vector` are among n columns. */
static inline __mmask16 present(size_t n, size_t vector)
{
    const size_t first = vector * LANES;
    const unsigned lanes = n >= first + LANES ? 0xffffU : n > first ? (1U << (n - first)) - 1U : 0U;
    return (__mmask16)lanes;
}

#endif
