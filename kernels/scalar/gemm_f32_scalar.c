/* gemm_f32_scalar: blocks of 2 rows and 4 columns, eight independent chains in scalar registers:
 *   for k: chain[r][s] = fma(a[r][k], b[k][s], chain[r][s])
 * At the edges a block repeats the last row or column and drops the copies.
 * Registers: 8 chains, 4 of B, 2 of A. `fetch` is a hint and is not taken. */
#include "../ops.h"

#include <assert.h>

enum { ROWS = 2, COLUMNS = 4 };

#define EACH(X) X(0, 0) X(0, 1) X(0, 2) X(0, 3) X(1, 0) X(1, 1) X(1, 2) X(1, 3)

void iolk_gemm_f32_scalar(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,
                          size_t ld_b, const float *init, size_t ld_init, float *c, size_t ld_c,
                          const struct iolk_fetch *fetch)
{
    assert(m >= 1 && n >= 1 && n <= (m == 1 ? IOLK_ROW_NR : IOLK_NR));
    assert((k <= 1 || ld_b >= n) && (m == 1 || (ld_a >= k && ld_c >= n)));
    (void)fetch;
    for (size_t i = 0; i < m; i += ROWS) {
        const size_t last_row = m - i - 1;
        const size_t row0 = i, row1 = i + (last_row >= 1 ? 1 : 0);
        const float *a0 = a + row0 * ld_a, *a1 = a + row1 * ld_a;
        for (size_t j = 0; j < n; j += COLUMNS) {
            const size_t last = n - j - 1;
            const size_t col0 = j, col1 = j + (last < 1 ? last : 1);
            const size_t col2 = j + (last < 2 ? last : 2), col3 = j + (last < 3 ? last : 3);
#define START(r, s) float chain##r##s = init ? init[row##r * ld_init + col##s] : 0.0f;
#define STEP(r, s)  chain##r##s = __builtin_fmaf(a##r[l], b_row[col##s], chain##r##s);
#define FINISH(r, s)                                                                               \
    if (r < last_row + 1 && s < last + 1) {                                                        \
        c[row##r * ld_c + col##s] = chain##r##s;                                                   \
    }
            EACH(START)
            for (size_t l = 0; l < k; l++) {
                const float *b_row = b + l * ld_b;
                EACH(STEP)
            }
            EACH(FINISH)
#undef START
#undef STEP
#undef FINISH
        }
    }
}
