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
/* v: two of `half`, lanes of type `real`. */
#define DOUBLED(v, half, real)                                                                     \
    typedef struct {                                                                               \
        half lo, hi;                                                                               \
    } v;                                                                                           \
    static inline v v##_set1(real x)                                                               \
    {                                                                                              \
        return (v){half##_set1(x), half##_set1(x)};                                                \
    }                                                                                              \
    static inline v v##_fma(v a, v b, v c)                                                         \
    {                                                                                              \
        return (v){half##_fma(a.lo, b.lo, c.lo), half##_fma(a.hi, b.hi, c.hi)};                    \
    }                                                                                              \
    OF_ONE(v, half, neg)                                                                           \
    OF_TWO(v, half, add)                                                                           \
    OF_TWO(v, half, sub)                                                                           \
    OF_TWO(v, half, mul)                                                                           \
    OF_TWO(v, half, max)
/* f32, `half` of `lanes` lanes. */
#define DOUBLED_F32(v, half, lanes)                                                                \
    DOUBLED(v, half, float)                                                                        \
    static inline v v##_load(const float *p)                                                       \
    {                                                                                              \
        return (v){half##_load(p), half##_load(p + (lanes))};                                      \
    }                                                                                              \
    static inline void v##_store(float *p, v a)                                                    \
    {                                                                                              \
        half##_store(p, a.lo);                                                                     \
        half##_store(p + (lanes), a.hi);                                                           \
    }                                                                                              \
    OF_TWO(v, half, div)                                                                           \
    OF_TWO(v, half, limit)
/* What lanes_exp.h, lanes_exp64.h and lanes_pair.h take besides. */
#define DOUBLED_FOR_EXP(v, half)                                                                   \
    static inline v v##_fms(v a, v b, v c)                                                         \
    {                                                                                              \
        return (v){half##_fms(a.lo, b.lo, c.lo), half##_fms(a.hi, b.hi, c.hi)};                    \
    }                                                                                              \
    OF_ONE(v, half, round)                                                                         \
    OF_TWO(v, half, min)                                                                           \
    OF_TWO(v, half, ldexp)
/* What lanes_exp.h and lanes_erf.h take besides. */
#define DOUBLED_FOR_ERF(v, half)                                                                   \
    OF_TWO(v, half, ldexp_below)                                                                   \
    typedef struct {                                                                               \
        half##_piece lo, hi;                                                                       \
    } v##_piece;                                                                                   \
    static inline v##_piece v##_piece_of(v a, float second, float third)                           \
    {                                                                                              \
        return (v##_piece){half##_piece_of(a.lo, second, third),                                   \
                           half##_piece_of(a.hi, second, third)};                                  \
    }                                                                                              \
    static inline v v##_pick(v##_piece piece, float c0, float c1, float c2)                        \
    {                                                                                              \
        return (v){half##_pick(piece.lo, c0, c1, c2), half##_pick(piece.hi, c0, c1, c2)};          \
    }                                                                                              \
    static inline v v##_first(v##_piece piece, v a, v otherwise)                                   \
    {                                                                                              \
        return (v){half##_first(piece.lo, a.lo, otherwise.lo),                                     \
                   half##_first(piece.hi, a.hi, otherwise.hi)};                                    \
    }                                                                                              \
    OF_ONE(v, half, abs)                                                                           \
    OF_TWO(v, half, signed_as)

DOUBLED_F32(f32x32, f32x16, IOLK_LANES)

#ifdef IOLK_ONE_LANE
/* Scalar code goes lane by lane; side by side it would only go through memory. */
OF_ONE(f32x32, f32x16, exp_within)
OF_ONE(f32x32, f32x16, exp)
OF_ONE(f32x32, f32x16, exp_below)
OF_ONE(f32x32, f32x16, erf)
#else
DOUBLED_FOR_EXP(f32x32, f32x16)
DOUBLED_FOR_ERF(f32x32, f32x16)
#define IOLK_LANE_TYPE f32x32
#define IOLK_LANE(op)  f32x32_##op
#include "lanes_erf.h"
#include "lanes_exp.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE
#endif

#ifdef IOLK_ONE_REGISTER
DOUBLED_F32(f32x64, f32x32, IOLK_WIDE)
DOUBLED_FOR_EXP(f32x64, f32x32)
DOUBLED_FOR_ERF(f32x64, f32x32)
#define IOLK_LANE_TYPE f32x64
#define IOLK_LANE(op)  f32x64_##op
#include "lanes_erf.h"
#include "lanes_exp.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE

DOUBLED(f64x32, f64x16, double)
DOUBLED_FOR_EXP(f64x32, f64x16)
static inline f64x32 f64x32_widen(const float *p)
{
    return (f64x32){f64x16_widen(p), f64x16_widen(p + IOLK_LANES)};
}
static inline f64x32 f64x32_where_less(f64x32 a, f64x32 b, f64x32 v, f64x32 otherwise)
{
    return (f64x32){f64x16_where_less(a.lo, b.lo, v.lo, otherwise.lo),
                    f64x16_where_less(a.hi, b.hi, v.hi, otherwise.hi)};
}
#define IOLK_LANE_TYPE f64x32
#define IOLK_LANE(op)  f64x32_##op
#include "lanes_exp64.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE
#endif

#undef DOUBLED_FOR_ERF
#undef DOUBLED_FOR_EXP
#undef DOUBLED_F32
#undef DOUBLED
#undef OF_TWO
#undef OF_ONE

#endif
