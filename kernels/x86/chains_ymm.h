/* chains of eight rows as the lanes of one ymm: four elements of q and k of all eight are
 * transposed (a 4 x 4 block in each half of a register), then each lane is the chain of its row.
 * Sixteen rows at a time where there are so many, or the FMAs of one chain would wait for each
 * other. Twice as fast as eight scalar chains, which load every element on its own. Rows beyond m
 * repeat the last one and are dropped. */
#include "../ops.h"

#include <assert.h>
#include <immintrin.h>

struct eight {
    const float *row[8];
};

static inline __attribute__((always_inline)) struct eight rows_from(const float *p, size_t ld,
                                                                    size_t m)
{
    struct eight rows;
    for (size_t r = 0; r < 8; r++) {
        rows.row[r] = p + (r < m ? r : m - 1) * ld;
    }
    return rows;
}

/* out[c], lane r = element j + c of row r. */
static inline __attribute__((always_inline)) void transpose(const struct eight *rows, size_t j,
                                                            __m256 out[4])
{
#define PAIR(r)                                                                                    \
    _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows->row[r] + j)),                   \
                         _mm_loadu_ps(rows->row[(r) + 4] + j), 1)
    const __m256 a = PAIR(0), b = PAIR(1), c = PAIR(2), d = PAIR(3);
#undef PAIR
    const __m256 ab = _mm256_unpacklo_ps(a, b), ab2 = _mm256_unpackhi_ps(a, b);
    const __m256 cd = _mm256_unpacklo_ps(c, d), cd2 = _mm256_unpackhi_ps(c, d);
    out[0] = _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0));
    out[1] = _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2));
    out[2] = _mm256_shuffle_ps(ab2, cd2, _MM_SHUFFLE(1, 0, 1, 0));
    out[3] = _mm256_shuffle_ps(ab2, cd2, _MM_SHUFFLE(3, 2, 3, 2));
}

static inline __attribute__((always_inline)) __m256
four_steps(const struct eight *q, const struct eight *k, size_t j, __m256 chain)
{
    __m256 x[4], y[4];
    transpose(q, j, x);
    transpose(k, j, y);
    chain = _mm256_fmadd_ps(x[0], y[0], chain);
    chain = _mm256_fmadd_ps(x[1], y[1], chain);
    chain = _mm256_fmadd_ps(x[2], y[2], chain);
    return _mm256_fmadd_ps(x[3], y[3], chain);
}

/* The last elements, n % 4 of them, and the results of the first m rows. */
static inline void finish(const struct eight *q, const struct eight *k, size_t j, size_t n,
                          __m256 chain, size_t m, float *out)
{
    float sums[8];
    _mm256_storeu_ps(sums, chain);
    for (size_t r = 0; r < 8 && r < m; r++) {
        for (size_t i = j; i < n; i++) {
            sums[r] = __builtin_fmaf(q->row[r][i], k->row[r][i], sums[r]);
        }
        out[r] = sums[r];
    }
}

void IOLK_NAME(size_t m, size_t n, const float *restrict q, size_t ld_q, const float *restrict k,
               size_t ld_k, float *restrict out)
{
    assert(m <= 1 || (ld_q >= n && (ld_k >= n || ld_k == 0)));
    const size_t whole = n / 4 * 4;
    size_t i = 0;
    for (; m - i > 8; i += m - i < 16 ? m - i : 16) {
        const struct eight q0 = rows_from(q + i * ld_q, ld_q, 8),
                           k0 = rows_from(k + i * ld_k, ld_k, 8),
                           q1 = rows_from(q + (i + 8) * ld_q, ld_q, m - i - 8),
                           k1 = rows_from(k + (i + 8) * ld_k, ld_k, m - i - 8);
        __m256 chain0 = _mm256_setzero_ps(), chain1 = chain0;
        for (size_t j = 0; j < whole; j += 4) {
            chain0 = four_steps(&q0, &k0, j, chain0);
            chain1 = four_steps(&q1, &k1, j, chain1);
        }
        finish(&q0, &k0, whole, n, chain0, 8, out + i);
        finish(&q1, &k1, whole, n, chain1, m - i - 8, out + i + 8);
    }
    if (i < m) {
        const struct eight q0 = rows_from(q + i * ld_q, ld_q, m - i),
                           k0 = rows_from(k + i * ld_k, ld_k, m - i);
        __m256 chain = _mm256_setzero_ps();
        for (size_t j = 0; j < whole; j += 4) {
            chain = four_steps(&q0, &k0, j, chain);
        }
        finish(&q0, &k0, whole, n, chain, m - i, out + i);
    }
}
