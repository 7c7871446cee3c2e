/* AMX tiles, as instructions and not as intrinsics: those of gcc 12 do not tell the compiler that
 * memory is read. A tile number is a literal; strides are bytes. */
#ifndef IOLK_TILES_AMX_H
#define IOLK_TILES_AMX_H

#include <stdint.h>

#include "columns_avx512.h"
#include "ops.h"

enum { TILE_ROWS = 16 }; /* of 64 bytes */

/* The memory format of ldtilecfg, palette 1 (Intel SDM, volume 1, chapter 18). */
struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16]; /* of a row of each tile */
    uint8_t rows[16];
};

#define TILE_SHAPES(shapes)                                                                        \
    __asm__ volatile("ldtilecfg %0" ::"m"(*(const struct tile_shapes *)(shapes)))
#define TILE_RELEASE() __asm__ volatile("tilerelease")
#define TILE_ZERO(t)   __asm__ volatile("tilezero %%tmm" #t ::: "memory")
#define TILE_LOAD(t, from, stride)                                                                 \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(from), "r"((uint64_t)(stride))          \
                     : "memory")
#define TILE_STORE(t, to, stride)                                                                  \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(to), "r"((uint64_t)(stride))        \
                     : "memory")
/* Tile c += a * b: floats of pairs of bf16. */
#define TILE_DOT_BF16(c, a, b)                                                                     \
    __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::: "memory")

/* Rows of n columns, the others zeros (from NULL: all), into rows of IOLK_NR, and back. */
static inline void widen_rows(size_t m, size_t n, const float *from, size_t ld, float *out)
{
    for (size_t r = 0; r < m; r++) {
        for (size_t v = 0; v < 3; v++) {
            const __m512 x = from ? _mm512_maskz_loadu_ps(present(n, v), from + r * ld + v * LANES)
                                  : _mm512_setzero_ps();
            _mm512_store_ps(out + r * IOLK_NR + v * LANES, x);
        }
    }
}

static inline void narrow_rows(size_t m, size_t n, const float *from, float *out, size_t ld)
{
    for (size_t r = 0; r < m; r++) {
        for (size_t v = 0; v < 3; v++) {
            _mm512_mask_storeu_ps(out + r * ld + v * LANES, present(n, v),
                                  _mm512_load_ps(from + r * IOLK_NR + v * LANES));
        }
    }
}

#endif
