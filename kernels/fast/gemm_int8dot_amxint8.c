/* gemm_int8dot_amxint8: up to 16 x 48 sums of a block of 32 steps in three tiles of integers, which
 * go through memory into as many sums in f32; those of the next block are under way meanwhile.
 *
 *   C   [0][1][2]   a block's sums
 *   A   [3]         m rows of 8 words
 *   B   [4][5][6]   8 rows of a panel, 48 words
 *
 * A's bytes are signed, B's are q + 128 (fast.h); A's correction joins the sums on their way. What
 * is summed in f32 and in what order is as in gemm_int8dot_avx512vnni: the same bits. */
#include "fast.h"
#include "int8_blocks.h"
#include "tiles_amx.h"

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>

enum { LINE = 64, WORD = 4, B_STRIDE = IOLK_NR * WORD, B_WORDS = 9 * IOLK_NR };

struct sums {
    alignas(LINE) int32_t of_block[2][TILE_ROWS * IOLK_NR];
    alignas(LINE) float c[TILE_ROWS * IOLK_NR];
};

static inline void multiply(const uint32_t *a, size_t ld_a, const uint32_t *b, int32_t *out)
{
    TILE_LOAD(3, a, ld_a * WORD);
    TILE_LOAD(4, b, B_STRIDE);
    TILE_LOAD(5, b + LANES, B_STRIDE);
    TILE_LOAD(6, b + 2 * LANES, B_STRIDE);
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_DOT_INT8(0, 3, 4);
    TILE_DOT_INT8(1, 3, 5);
    TILE_DOT_INT8(2, 3, 6);
    TILE_STORE(0, out, B_STRIDE);
    TILE_STORE(1, out + LANES, B_STRIDE);
    TILE_STORE(2, out + 2 * LANES, B_STRIDE);
}

static inline __m512 scaled(const float *c, const int32_t *sum, __m512i correction, __m512 scale)
{
    const __m512i whole = _mm512_add_epi32(_mm512_load_si512(sum), correction);
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), scale, _mm512_load_ps(c));
}

/* The sums of a block of A, at a, and of B, its scales at b_scale, into c. */
static inline void add(size_t m, const uint32_t *a, size_t ld_a, const uint32_t *b_scale,
                       const int32_t *sums, float *c)
{
    const __m512 s0 = _mm512_loadu_ps(b_scale), s1 = _mm512_loadu_ps(b_scale + LANES),
                 s2 = _mm512_loadu_ps(b_scale + 2 * LANES);
    for (size_t r = 0; r < m; r++, a += ld_a, sums += IOLK_NR, c += IOLK_NR) {
        const __m512 ar = _mm512_castsi512_ps(_mm512_set1_epi32((int)a[SCALE]));
        const __m512i correction = _mm512_set1_epi32((int)a[CORRECTION]);
        _mm512_store_ps(c, scaled(c, sums, correction, _mm512_mul_ps(ar, s0)));
        _mm512_store_ps(c + LANES,
                        scaled(c + LANES, sums + LANES, correction, _mm512_mul_ps(ar, s1)));
        _mm512_store_ps(c + 2 * LANES,
                        scaled(c + 2 * LANES, sums + 2 * LANES, correction, _mm512_mul_ps(ar, s2)));
    }
}

void iolk_gemm_int8dot_amxint8(size_t m, size_t n, size_t blocks, const uint32_t *a, size_t ld_a,
                               const uint32_t *b, const float *init, size_t ld_init, float *c,
                               size_t ld_c, const struct iolk_fetch *fetch)
{
    assert(m >= 1 && m <= TILE_ROWS && n >= 1 && n <= IOLK_NR);
    assert(m == 1 || (ld_a >= blocks * A_WORDS && ld_c >= n));
    const size_t lines = fetch && fetch->at ? fetch->lines : 0,
                 rate = blocks ? (lines + blocks - 1) / blocks : 0;
    const char *ahead = lines ? fetch->at : NULL, *const end = ahead + lines * LINE;
    const bool into_l2 = fetch && fetch->into_l2;
    struct sums sums;
    alignas(LINE) struct tile_shapes shapes = {.palette = 1};
    for (size_t t = 0; t < 7; t++) {
        shapes.bytes[t] = t == 3 ? SCALE * WORD : LINE;
        shapes.rows[t] = (uint8_t)(t <= 3 ? m : SCALE);
    }
    widen_rows(m, n, init, ld_init, sums.c);
    TILE_SHAPES(&shapes);
    for (size_t i = 0; i <= blocks; i++) {
        ahead = fetch_lines(ahead, end, rate, into_l2);
        if (i < blocks) {
            multiply(a + i * A_WORDS, ld_a, b + i * B_WORDS, sums.of_block[i % 2]);
        }
        if (i > 0) {
            add(m, a + (i - 1) * A_WORDS, ld_a, b + (i - 1) * B_WORDS + SCALE * IOLK_NR,
                sums.of_block[(i - 1) % 2], sums.c);
        }
    }
    TILE_RELEASE();
    narrow_rows(m, n, sums.c, c, ld_c);
}
