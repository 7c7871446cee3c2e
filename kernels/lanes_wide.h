/* Thirty-two lanes as two times sixteen, one operation on both halves before the next: an exp is a
 * chain of some fifteen operations, and the processor's queue of waiting ones is too short to find
 * the next chain behind it. Exp side by side is 5 % faster on AVX-512, 30 % on AVX2 (4 registers).
 * Lane i is element i; nothing here reduces over lanes. */
#ifndef IOLK_LANES_WIDE_H
#define IOLK_LANES_WIDE_H

enum { IOLK_WIDE = 2 * IOLK_LANES };

typedef struct {
    f32x16 lo, hi;
} f32x32;

static inline f32x32 f32x32_set1(float x)
{
    return (f32x32){f32x16_set1(x), f32x16_set1(x)};
}

static inline f32x32 f32x32_load(const float *p)
{
    return (f32x32){f32x16_load(p), f32x16_load(p + IOLK_LANES)};
}

static inline void f32x32_store(float *p, f32x32 v)
{
    f32x16_store(p, v.lo);
    f32x16_store(p + IOLK_LANES, v.hi);
}

static inline f32x32 f32x32_neg(f32x32 a)
{
    return (f32x32){f32x16_neg(a.lo), f32x16_neg(a.hi)};
}

static inline f32x32 f32x32_add(f32x32 a, f32x32 b)
{
    return (f32x32){f32x16_add(a.lo, b.lo), f32x16_add(a.hi, b.hi)};
}

static inline f32x32 f32x32_sub(f32x32 a, f32x32 b)
{
    return (f32x32){f32x16_sub(a.lo, b.lo), f32x16_sub(a.hi, b.hi)};
}

static inline f32x32 f32x32_mul(f32x32 a, f32x32 b)
{
    return (f32x32){f32x16_mul(a.lo, b.lo), f32x16_mul(a.hi, b.hi)};
}

static inline f32x32 f32x32_div(f32x32 a, f32x32 b)
{
    return (f32x32){f32x16_div(a.lo, b.lo), f32x16_div(a.hi, b.hi)};
}

static inline f32x32 f32x32_max(f32x32 a, f32x32 b)
{
    return (f32x32){f32x16_max(a.lo, b.lo), f32x16_max(a.hi, b.hi)};
}

static inline f32x32 f32x32_fma(f32x32 a, f32x32 b, f32x32 c)
{
    return (f32x32){f32x16_fma(a.lo, b.lo, c.lo), f32x16_fma(a.hi, b.hi, c.hi)};
}

static inline f32x32 f32x32_erf(f32x32 a)
{
    return (f32x32){f32x16_erf(a.lo), f32x16_erf(a.hi)};
}

#ifdef IOLK_ONE_LANE
/* Scalar code goes lane by lane; side by side it would only go through memory. */
static inline f32x32 f32x32_exp(f32x32 a)
{
    return (f32x32){f32x16_exp(a.lo), f32x16_exp(a.hi)};
}
#else
static inline f32x32 f32x32_min(f32x32 a, f32x32 b)
{
    return (f32x32){f32x16_min(a.lo, b.lo), f32x16_min(a.hi, b.hi)};
}

static inline f32x32 f32x32_round(f32x32 a)
{
    return (f32x32){f32x16_round(a.lo), f32x16_round(a.hi)};
}

static inline f32x32 f32x32_ldexp(f32x32 a, f32x32 b)
{
    return (f32x32){f32x16_ldexp(a.lo, b.lo), f32x16_ldexp(a.hi, b.hi)};
}

#define IOLK_EXP_LANES f32x32
#define IOLK_EXP(op)   f32x32_##op
#include "lanes_exp.h"
#undef IOLK_EXP_LANES
#undef IOLK_EXP
#endif

#endif
