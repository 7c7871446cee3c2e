/* What each dtype of panel_layout.h is in the vocabulary of scalar/panel_scalar.h:
 *
 *   <dtype>_GROUP, _BLOCK, _HEAD   steps of k in a group of 192 bytes; of k that share constants;
 *                                  bytes of these constants (q4k: an eighth of a super-block's)
 *   <dtype>_data(panel, block)     the first group of a block
 *   <dtype>_scale, _offset         a block's constants for LANES columns from `column`
 *   <dtype>_weight                 LANES weights: step i of a group
 *
 * Nibbles come sixteen times too large (half of them need no shift then) and 4-bit scales are a
 * sixteenth, which changes no bit. */
#ifndef IOLK_PANEL_DTYPES_H
#define IOLK_PANEL_DTYPES_H

#include "panel_layout.h"

/* One block that never ends: no constants. */
#define WHOLE ((size_t)1 << 40)

#define bf16_GROUP 2
#define bf16_BLOCK WHOLE
#define bf16_HEAD  0
#define f16_GROUP  2
#define f16_BLOCK  WHOLE
#define f16_HEAD   0
#define q80_GROUP  4
#define q80_BLOCK  IOLK_BLOCK_K
#define q80_HEAD   IOLK_HALVES
#define q40_GROUP  8
#define q40_BLOCK  IOLK_BLOCK_K
#define q40_HEAD   IOLK_HALVES
#define q41_GROUP  8
#define q41_BLOCK  IOLK_BLOCK_K
#define q41_HEAD   (2 * IOLK_HALVES)
#define q4k_GROUP  8
#define q4k_BLOCK  IOLK_BLOCK_K
#define q4k_HEAD   (IOLK_HALVES / 4 + 2 * IOLK_BYTES)

/* Inlined always: i is a constant wherever it matters. */
#define PART static inline __attribute__((always_inline))

PART vf times(vf a, float b)
{
    return vf_mul(a, vf_set1(&b));
}

#define NO_CONSTANTS(dtype)                                                                        \
    PART const unsigned char *dtype##_data(const unsigned char *panel, size_t block)               \
    {                                                                                              \
        return panel + block;                                                                      \
    }                                                                                              \
    PART vf dtype##_scale(const unsigned char *panel, size_t block, size_t column)                 \
    {                                                                                              \
        (void)panel, (void)block, (void)column;                                                    \
        return vf_zero();                                                                          \
    }                                                                                              \
    PART vf dtype##_offset(const unsigned char *panel, size_t block, size_t column)                \
    {                                                                                              \
        (void)panel, (void)block, (void)column;                                                    \
        return vf_zero();                                                                          \
    }

NO_CONSTANTS(bf16)
PART vf bf16_weight(const unsigned char *group, size_t column, size_t i, vf scale, vf offset)
{
    (void)scale, (void)offset;
    return vf_bf16(group + 4 * column, i);
}

NO_CONSTANTS(f16)
PART vf f16_weight(const unsigned char *group, size_t column, size_t i, vf scale, vf offset)
{
    (void)scale, (void)offset;
    return vf_f16(group + IOLK_HALVES * i + 2 * column);
}

/* Pairs of blocks: the constants of both, then the data of both. */
#define PAIRS(dtype, pair_bytes, data_bytes)                                                       \
    PART const unsigned char *dtype##_data(const unsigned char *panel, size_t block)               \
    {                                                                                              \
        return panel + block / 2 * pair_bytes + 2 * IOLK_HALVES + block % 2 * data_bytes;          \
    }                                                                                              \
    PART vf dtype##_d(const unsigned char *panel, size_t block, size_t column)                     \
    {                                                                                              \
        return vf_f16(panel + block / 2 * pair_bytes + block % 2 * IOLK_HALVES + 2 * column);      \
    }

PAIRS(q80, IOLK_Q80_PAIR, IOLK_Q80_DATA)
PART vf q80_scale(const unsigned char *panel, size_t block, size_t column)
{
    return q80_d(panel, block, column);
}
PART vf q80_offset(const unsigned char *panel, size_t block, size_t column)
{
    (void)panel, (void)block, (void)column;
    return vf_zero();
}
PART vf q80_weight(const unsigned char *group, size_t column, size_t i, vf scale, vf offset)
{
    (void)offset;
    return vf_mul(scale, vf_s8(group + IOLK_BYTES * i + column));
}

PAIRS(q40, IOLK_Q40_PAIR, IOLK_Q4_DATA)
PART vf q40_scale(const unsigned char *panel, size_t block, size_t column)
{
    return times(q40_d(panel, block, column), 0x1p-4f);
}
PART vf q40_offset(const unsigned char *panel, size_t block, size_t column)
{
    return times(q40_d(panel, block, column), -8.0f);
}
PART vf q40_weight(const unsigned char *group, size_t column, size_t i, vf scale, vf offset)
{
    return vf_fma(scale, vf_u4x16(group + 4 * column, i), offset);
}

PART const unsigned char *q41_data(const unsigned char *panel, size_t block)
{
    return panel + block * IOLK_Q41_BLOCK + 2 * IOLK_HALVES;
}
PART vf q41_scale(const unsigned char *panel, size_t block, size_t column)
{
    return times(vf_f16(panel + block * IOLK_Q41_BLOCK + 2 * column), 0x1p-4f);
}
PART vf q41_offset(const unsigned char *panel, size_t block, size_t column)
{
    return vf_f16(panel + block * IOLK_Q41_BLOCK + IOLK_HALVES + 2 * column);
}
PART vf q41_weight(const unsigned char *group, size_t column, size_t i, vf scale, vf offset)
{
    return vf_fma(scale, vf_u4x16(group + 4 * column, i), offset);
}

/* block: of 32, eight to a super-block. */
PART const unsigned char *q4k_data(const unsigned char *panel, size_t block)
{
    return panel + block / 8 * IOLK_Q4K_SUPER + 2 * IOLK_HALVES + 16 * IOLK_BYTES +
           block % 8 * IOLK_Q4_DATA;
}
PART vf q4k_scale(const unsigned char *panel, size_t block, size_t column)
{
    const unsigned char *super = panel + block / 8 * IOLK_Q4K_SUPER;
    return vf_mul(times(vf_f16(super + 2 * column), 0x1p-4f),
                  vf_s8(super + 2 * IOLK_HALVES + block % 8 * IOLK_BYTES + column));
}
PART vf q4k_offset(const unsigned char *panel, size_t block, size_t column)
{
    const unsigned char *super = panel + block / 8 * IOLK_Q4K_SUPER;
    return vf_neg(vf_mul(vf_f16(super + IOLK_HALVES + 2 * column),
                         vf_s8(super + 2 * IOLK_HALVES + (8 + block % 8) * IOLK_BYTES + column)));
}
PART vf q4k_weight(const unsigned char *group, size_t column, size_t i, vf scale, vf offset)
{
    return vf_fma(scale, vf_u4x16(group + 4 * column, i), offset);
}

#define PASTE2(a, b) a##b
#define PASTE(a, b)  PASTE2(a, b)
/* `name` of the DTYPE of the including file: OF(weight) is q80_weight. */
#define OF(name) PASTE(DTYPE, _##name)

/* PANELS: how many a single row reads at once, at most. */
#ifndef PANELS
#define PANELS 2
#endif
#if PANELS > 2
#define MORE_VECTORS(X) X(6) X(7) X(8) X(9) X(10) X(11)
#else
#define MORE_VECTORS(X)
#endif
#define EACH_VECTOR(X) X(0) X(1) X(2) X(3) X(4) X(5) MORE_VECTORS(X)

/* Steps k0 .. k1 of a panel, LANES * VECTORS columns from column0: for each, ONE(group, i, k) with
 * the constants scale0.., offset0.. of its block. A whole group is unrolled. Vectors from VECTORS
 * on are those of the next panels, next_panel bytes apart. */
#define CONSTANT(v)                                                                                \
    const size_t at##v = column0 + v % VECTORS * LANES, far##v = v / VECTORS * next_panel;         \
    const vf scale##v = OF(scale)(panel + far##v, block, at##v),                                   \
             offset##v = OF(offset)(panel + far##v, block, at##v);
#define WALK(panel, k0, k1, ONE)                                                                   \
    for (size_t k = k0; k < k1;) {                                                                 \
        const size_t block = k / OF(BLOCK), begin = block * OF(BLOCK),                             \
                     end = k1 - begin < OF(BLOCK) ? k1 : begin + OF(BLOCK);                        \
        const unsigned char *group =                                                               \
            OF(data)(panel, block) + (k - begin) / OF(GROUP) * IOLK_GROUP_BYTES;                   \
        /* The same place in the stream, had it no gaps: what is fetched ahead covers all of it.   \
         */                                                                                        \
        const unsigned char *stream =                                                              \
            panel + block * (OF(HEAD) + OF(BLOCK) / OF(GROUP) * (size_t)IOLK_GROUP_BYTES) +        \
            (k - begin) / OF(GROUP) * IOLK_GROUP_BYTES;                                            \
        FETCH(stream, OF(HEAD))                                                                    \
        stream += OF(HEAD);                                                                        \
        EACH_VECTOR(CONSTANT)                                                                      \
        while (k < end && k % OF(GROUP)) {                                                         \
            ONE(group, k % OF(GROUP), k)                                                           \
            k++;                                                                                   \
            group += k % OF(GROUP) ? 0 : IOLK_GROUP_BYTES;                                         \
        }                                                                                          \
        for (; end - k >= OF(GROUP); k += OF(GROUP), group += IOLK_GROUP_BYTES) {                  \
            FETCH(stream, IOLK_GROUP_BYTES)                                                        \
            stream += IOLK_GROUP_BYTES;                                                            \
            ONE(group, 0, k)                                                                       \
            ONE(group, 1, k + 1)                                                                   \
            if (OF(GROUP) > 2) {                                                                   \
                ONE(group, 2, k + 2)                                                               \
                ONE(group, 3, k + 3)                                                               \
            }                                                                                      \
            if (OF(GROUP) > 4) {                                                                   \
                ONE(group, 4, k + 4)                                                               \
                ONE(group, 5, k + 5)                                                               \
                ONE(group, 6, k + 6)                                                               \
                ONE(group, 7, k + 7)                                                               \
            }                                                                                      \
        }                                                                                          \
        for (; k < end; k++) {                                                                     \
            ONE(group, k % OF(GROUP), k)                                                           \
        }                                                                                          \
    }

#endif
