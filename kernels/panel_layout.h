/* Packed panels of weights that stay as published: 48 columns each, the panels of a matrix one
 * after another, all ISAs alike. A panel is a list of groups of 192 bytes (three cache lines) that
 * hold 48 columns of 2, 4 or 8 steps of k; quantised ones have their blocks' constants in between.
 *
 *   bf16  2 steps: 48 words, the earlier k in the low half (shift), the later in the high half
 * (and) f16   2 steps: 48 halves, then 48 halves q80   4 steps of 48 bytes (ggml's Q8_0); each pair
 * of blocks of 32 begins with their 2 x 48 f16 scales d q40   8 steps: 48 words of 8 nibbles, the
 * earliest k lowest, two's complement (Q4_0 stores q + 8); pairs of blocks as in q80 q41   8 steps:
 * the same, 0..15 (Q4_1); each block of 32 begins with 48 f16 d and 48 f16 m q4k   8 steps: the
 * same (Q4_K); each super-block of 256 begins with 48 f16 d, 48 f16 dmin, 8 x 48 bytes of scales sc
 * and 8 x 48 bytes of minima mn
 *
 *   weight  q80: d * q    q40: fma(d, q, -8 d)    q41: fma(d, q, m)
 *           q4k: fma(d * sc, q, -(dmin * mn))
 *
 * d * q, d * sc and dmin * mn have at most 19 significant bits, d * sc * q 21: every product is
 * exact, a weight is rounded once at most (q80 and q40 are not), and fma(d, q, m) equals d * q + m.
 * Columns and steps beyond the matrix are zero. */
#ifndef IOLK_PANEL_LAYOUT_H
#define IOLK_PANEL_LAYOUT_H

#include <stddef.h>

enum {
    IOLK_GROUP_BYTES = 192,
    IOLK_BLOCK_K = 32,  /* q80, q40, q41 */
    IOLK_SUPER_K = 256, /* q4k */
    IOLK_HALVES = 96,   /* 48 f16 */
    IOLK_BYTES = 48,
    /* data of a block of 32, all of a pair of blocks or of a (super-)block */
    IOLK_Q80_DATA = 32 * 48,
    IOLK_Q4_DATA = 32 * 48 / 2,
    IOLK_Q80_PAIR = 2 * IOLK_HALVES + 2 * IOLK_Q80_DATA,
    IOLK_Q40_PAIR = 2 * IOLK_HALVES + 2 * IOLK_Q4_DATA,
    IOLK_Q41_BLOCK = 2 * IOLK_HALVES + IOLK_Q4_DATA,
    IOLK_Q4K_SUPER = 2 * IOLK_HALVES + 16 * IOLK_BYTES + 8 * IOLK_Q4_DATA
};

/* Bytes of one panel of k steps. */
static inline size_t iolk_panel_bytes_bf16(size_t k)
{
    return (k + 1) / 2 * IOLK_GROUP_BYTES;
}
static inline size_t iolk_panel_bytes_f16(size_t k)
{
    return (k + 1) / 2 * IOLK_GROUP_BYTES;
}
static inline size_t iolk_panel_bytes_q80(size_t k)
{
    return (k + 63) / 64 * IOLK_Q80_PAIR;
}
static inline size_t iolk_panel_bytes_q40(size_t k)
{
    return (k + 63) / 64 * IOLK_Q40_PAIR;
}
static inline size_t iolk_panel_bytes_q41(size_t k)
{
    return (k + 31) / 32 * IOLK_Q41_BLOCK;
}
static inline size_t iolk_panel_bytes_q4k(size_t k)
{
    return (k + 255) / 256 * IOLK_Q4K_SUPER;
}

#endif
