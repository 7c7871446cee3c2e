/* Blocks of int8 (fast.h): where a row of A has what, and its factor. */
#ifndef IOLK_INT8_BLOCKS_H
#define IOLK_INT8_BLOCKS_H

enum { BLOCK = 32, A_WORDS = 10, SCALE = 8, CORRECTION = 9 }; /* the words before SCALE: the q */

/* 127 / largest. Below 2^-100 it would not be finite, and the block counts as zeros; so does one
 * whose largest is NaN, which finds its way into the scale, largest / 127. */
static inline float int8_inverse(float largest)
{
    return largest >= 0x1p-100f ? 127.0f / largest : 0.0f;
}

#endif
