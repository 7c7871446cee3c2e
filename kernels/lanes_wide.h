/* Thirty-two lanes as two times sixteen, one operation on both halves before the next: an exp is a
 * chain of some fifteen operations, and the processor's queue of waiting ones is too short to find
 * the next chain behind it. Exp side by side is 5 % faster on AVX-512, 30 % on AVX2 (4 registers).
 * Where sixteen lanes are one of 32 registers (IOLK_ONE_REGISTER), sixty-four as well, for longer
 * chains. Lane i is element i; nothing here reduces over lanes. */
#ifndef IOLK_LANES_WIDE_H
#define IOLK_LANES_WIDE_H

enum { IOLK_WIDE = 2 * IOLK_LANES, IOLK_WIDEST = 4 * IOLK_LANES };

#define OF_ONE(v, half, op)                                                                        \
    static inline v v##_##op(v a)                                                                  \
    {                                                                                              \
        return (v){half##_##op(a.lo), half##_##op(a.hi)};                                          \
    }
#define OF_TWO(v, half, op)                                                                        \
    static inline v v##_##op(v a, v b)                                                             \
    {                                                                                              \
        return (v){half##_##op(a.lo, b.lo), half##_##op(a.hi, b.hi)};                              \
    }
/* v: two of `half`, each of `lanes` lanes. */
#define DOUBLED(v, half, lanes)                                                                    \
    typedef struct {                                                                               \
        half lo, hi;                                                                               \
    } v;                                                                                           \
    static inline v v##_set1(float x)                                                              \
    {                                                                                              \
        return (v){half##_set1(x), half##_set1(x)};                                                \
    }                                                                                              \
    static inline v v##_load(const float *p)                                                       \
    {                                                                                              \
        return (v){half##_load(p), half##_load(p + (lanes))};                                      \
    }                                                                                              \
    static inline void v##_store(float *p, v a)                                                    \
    {                                                                                              \
        half##_store(p, a.lo);                                                                     \
        half##_store(p + (lanes), a.hi);                                                           \
    }                                                                                              \
    static inline v v##_fma(v a, v b, v c)                                                         \
    {                                                                                              \
        return (v){half##_fma(a.lo, b.lo, c.lo), half##_fma(a.hi, b.hi, c.hi)};                    \
    }                                                                                              \
    OF_ONE(v, half, neg)                                                                           \
    OF_ONE(v, half, erf)                                                                           \
    OF_TWO(v, half, add)                                                                           \
    OF_TWO(v, half, sub)                                                                           \
    OF_TWO(v, half, mul)                                                                           \
    OF_TWO(v, half, div)                                                                           \
    OF_TWO(v, half, max)                                                                           \
    OF_TWO(v, half, limit)
/* What lanes_exp.h takes besides. */
#define DOUBLED_FOR_EXP(v, half)                                                                   \
    OF_ONE(v, half, round)                                                                         \
    OF_TWO(v, half, min)                                                                           \
    OF_TWO(v, half, ldexp)                                                                         \
    OF_TWO(v, half, ldexp_below)

DOUBLED(f32x32, f32x16, IOLK_LANES)

#ifdef IOLK_ONE_LANE
/* Scalar code goes lane by lane; side by side it would only go through memory. */
OF_ONE(f32x32, f32x16, exp_within)
OF_ONE(f32x32, f32x16, exp)
OF_ONE(f32x32, f32x16, exp_below)
#else
DOUBLED_FOR_EXP(f32x32, f32x16)
#define IOLK_EXP_LANES f32x32
#define IOLK_EXP(op)   f32x32_##op
#include "lanes_exp.h"
#undef IOLK_EXP_LANES
#undef IOLK_EXP
#endif

#ifdef IOLK_ONE_REGISTER
DOUBLED(f32x64, f32x32, IOLK_WIDE)
DOUBLED_FOR_EXP(f32x64, f32x32)
#define IOLK_EXP_LANES f32x64
#define IOLK_EXP(op)   f32x64_##op
#include "lanes_exp.h"
#undef IOLK_EXP_LANES
#undef IOLK_EXP
#endif

#undef DOUBLED_FOR_EXP
#undef DOUBLED
#undef OF_TWO
#undef OF_ONE

#endif
