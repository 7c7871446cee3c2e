/* The vocabulary of ../scalar/panel_scalar.h in NEON: 4 lanes, a panel is two times six vectors. */
#ifndef IOLK_PANEL_NEON_H
#define IOLK_PANEL_NEON_H

#include "../ops.h"

#include <arm_neon.h>
#include <string.h>

enum { LANES = 4, VECTORS = 6 };
#define ROWS 2

typedef float32x4_t vf;

static inline vf vf_zero(void)
{
    return vdupq_n_f32(0.0f);
}

static inline vf vf_set1(const float *p)
{
    return vld1q_dup_f32(p);
}

static inline vf vf_load(const float *p)
{
    return vld1q_f32(p);
}

static inline vf vf_load_n(const float *p, size_t n)
{
    vf v = vld1q_lane_f32(p, vf_zero(), 0);
    v = n > 1 ? vld1q_lane_f32(p + 1, v, 1) : v;
    return n > 2 ? vld1q_lane_f32(p + 2, v, 2) : v;
}

static inline void vf_store(float *p, vf v)
{
    vst1q_f32(p, v);
}

static inline void vf_store_n(float *p, vf v, size_t n)
{
    vst1q_lane_f32(p, v, 0);
    if (n > 1) {
        vst1q_lane_f32(p + 1, v, 1);
    }
    if (n > 2) {
        vst1q_lane_f32(p + 2, v, 2);
    }
}

static inline vf vf_neg(vf a)
{
    return vnegq_f32(a);
}

static inline vf vf_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}

/* As an instruction: gcc 12 moves accumulators about otherwise. */
static inline __attribute__((always_inline)) vf vf_fma_in_place(vf acc, vf a, vf b)
{
    __asm__("fmla %0.4s, %1.4s, %2.4s" : "+w"(acc) : "w"(a), "w"(b));
    return acc;
}

static inline uint32x4_t load_words(const unsigned char *p)
{
    return vreinterpretq_u32_u8(vld1q_u8(p));
}

static inline __attribute__((always_inline)) vf vf_bf16(const unsigned char *p, size_t i)
{
    const uint32x4_t w = load_words(p);
    return vreinterpretq_f32_u32(i ? w & 0xffff0000U : w << 16);
}

static inline vf vf_f16(const unsigned char *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

static inline vf vf_s8(const unsigned char *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

static inline __attribute__((always_inline)) vf vf_u4x16(const unsigned char *p, size_t i)
{
    const uint32x4_t w = load_words(p);
    return vcvtq_f32_u32((i ? w >> (uint32_t)(4 * i - 4) : w << 4) & 240U);
}

/* Inlined always: gcc 12 finds a function that only prefetches pure, and drops the call. */
static inline __attribute__((always_inline)) void fetch(const unsigned char *p, const int into_l2)
{
    (void)into_l2; /* a panel's single rows take the L1 way: one panel at a time */
    __builtin_prefetch(p, 0, 3);
}

#endif
