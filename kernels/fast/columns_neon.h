/* Vectors of four columns of C at the edge of a matrix, for the kernels of the fast mode on NEON.
 */
#ifndef IOLK_COLUMNS_NEON_H
#define IOLK_COLUMNS_NEON_H

#include <arm_neon.h>
#include <stddef.h>

enum { LANES = 4 };

/* Vector v of up to n columns. Inlined: a call would cost the sums their registers. */
static inline __attribute__((always_inline)) float32x4_t load_some(const float *p, size_t n,
                                                                   size_t v)
{
    float32x4_t x = vdupq_n_f32(0);
    if (n >= (v + 1) * LANES) {
        return vld1q_f32(p + v * LANES);
    }
    x = n > v * LANES ? vld1q_lane_f32(p + v * LANES, x, 0) : x;
    x = n > v * LANES + 1 ? vld1q_lane_f32(p + v * LANES + 1, x, 1) : x;
    return n > v * LANES + 2 ? vld1q_lane_f32(p + v * LANES + 2, x, 2) : x;
}

static inline __attribute__((always_inline)) void store_some(float *p, size_t n, size_t v,
                                                             float32x4_t x)
{
    if (n >= (v + 1) * LANES) {
        vst1q_f32(p + v * LANES, x);
        return;
    }
    if (n > v * LANES) {
        vst1q_lane_f32(p + v * LANES, x, 0);
    }
    if (n > v * LANES + 1) {
        vst1q_lane_f32(p + v * LANES + 1, x, 1);
    }
    if (n > v * LANES + 2) {
        vst1q_lane_f32(p + v * LANES + 2, x, 2);
    }
}

#endif
