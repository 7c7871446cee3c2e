/* Vectors of sixteen columns of C at the edge of a matrix, for the kernels of the fast mode on
 * AVX-512. */
#ifndef IOLK_COLUMNS_AVX512_H
#define IOLK_COLUMNS_AVX512_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>

enum { LANES = 16 };

/* Which lanes of vector `vector` are among n columns. */
static inline __mmask16 present(size_t n, size_t vector)
{
    const size_t first = vector * LANES;
    const unsigned lanes = n >= first + LANES ? 0xffffU : n > first ? (1U << (n - first)) - 1U : 0U;
    return (__mmask16)lanes;
}

/* Prefetch `count` lines, as far as there are some. Inlined always: gcc 12 finds a function that
 * only prefetches pure, and drops the call. */
static inline __attribute__((always_inline)) const char *
fetch_lines(const char *ahead, const char *end, size_t count, bool into_l2)
{
    enum { BYTES = 64 };
    for (; count && ahead < end; count--, ahead += BYTES) {
        if (into_l2) {
            _mm_prefetch(ahead, _MM_HINT_T1);
        } else {
            _mm_prefetch(ahead, _MM_HINT_T0);
        }
    }
    return ahead;
}

#endif
