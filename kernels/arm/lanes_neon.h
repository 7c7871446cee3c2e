/* Sixteen virtual lanes in NEON registers: 4 q of f32, 8 q of f64. The vocabulary is described in
 * ../scalar/lanes_scalar.h. Partial loads and stores go lane by lane. */
#ifndef IOLK_LANES_NEON_H
#define IOLK_LANES_NEON_H

#include "../ops.h"

#include <arm_neon.h>
#include <assert.h>

typedef struct {
    float32x4_t a, b, c, d; /* lanes 0-3, 4-7, 8-11, 12-15 */
} f32x16;
typedef struct {
    float64x2_t a, b, c, d, e, f, g, h; /* lanes 0-1, 2-3, ... */
} f64x16;

/* OF4(op): the four registers of an f32x16, OF8(op): the eight of an f64x16. */
#define OF4(op) ((f32x16){op(a), op(b), op(c), op(d)})
#define OF8(op) ((f64x16){op(a), op(b), op(c), op(d), op(e), op(f), op(g), op(h)})

static inline float f32_sqrt(float x)
{
    return vget_lane_f32(vsqrt_f32(vdup_n_f32(x)), 0);
}

/* How many of the lanes from `first` on are below n: 0..width. */
static inline size_t lanes_left(size_t n, size_t first, size_t width)
{
    return n <= first ? 0 : n - first < width ? n - first : width;
}

static inline float32x4_t load4_n(const float *p, size_t n)
{
    float32x4_t v = vdupq_n_f32(0.0f);
    switch (n) {
    case 4:
        return vld1q_f32(p);
    case 3:
        v = vld1q_lane_f32(p + 2, v, 2); /* fall through */
    case 2:
        return vcombine_f32(vld1_f32(p), vget_high_f32(v));
    case 1:
        return vld1q_lane_f32(p, v, 0);
    default:
        return v;
    }
}

static inline void store4_n(float *p, float32x4_t v, size_t n)
{
    switch (n) {
    case 4:
        vst1q_f32(p, v);
        break;
    case 3:
        vst1q_lane_f32(p + 2, v, 2); /* fall through */
    case 2:
        vst1_f32(p, vget_low_f32(v));
        break;
    case 1:
        vst1q_lane_f32(p, v, 0);
        break;
    default:
        break;
    }
}

static inline float64x2_t load2_n(const double *p, size_t n)
{
    float64x2_t v = vdupq_n_f64(0.0);
    return n == 2 ? vld1q_f64(p) : n == 1 ? vld1q_lane_f64(p, v, 0) : v;
}

/* All ones in the lanes from `first` on whose number is below n. */
static inline uint32x4_t below_4x32(size_t n, uint32_t first)
{
    static const uint32_t lane[4] = {0, 1, 2, 3};
    return vcltq_u32(vaddq_u32(vld1q_u32(lane), vdupq_n_u32(first)), vdupq_n_u32((uint32_t)n));
}

static inline uint64x2_t below_2x64(size_t n, uint64_t first)
{
    static const uint64_t lane[2] = {0, 1};
    return vcltq_u64(vaddq_u64(vld1q_u64(lane), vdupq_n_u64(first)), vdupq_n_u64(n));
}

static inline f32x16 f32x16_set1(float x)
{
    float32x4_t v = vdupq_n_f32(x);
    return (f32x16){v, v, v, v};
}

static inline f32x16 f32x16_load(const float *p)
{
    return (f32x16){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}

static inline f32x16 f32x16_load_n(const float *p, size_t n)
{
    return (f32x16){load4_n(p, lanes_left(n, 0, 4)), load4_n(p + 4, lanes_left(n, 4, 4)),
                    load4_n(p + 8, lanes_left(n, 8, 4)), load4_n(p + 12, lanes_left(n, 12, 4))};
}

static inline void f32x16_store(float *p, f32x16 v)
{
    vst1q_f32(p, v.a);
    vst1q_f32(p + 4, v.b);
    vst1q_f32(p + 8, v.c);
    vst1q_f32(p + 12, v.d);
}

static inline void f32x16_store_n(float *p, f32x16 v, size_t n)
{
    store4_n(p, v.a, lanes_left(n, 0, 4));
    store4_n(p + 4, v.b, lanes_left(n, 4, 4));
    store4_n(p + 8, v.c, lanes_left(n, 8, 4));
    store4_n(p + 12, v.d, lanes_left(n, 12, 4));
}

static inline f32x16 f32x16_keep(f32x16 v, f32x16 old, size_t n)
{
    return (f32x16){
        vbslq_f32(below_4x32(n, 0), v.a, old.a), vbslq_f32(below_4x32(n, 4), v.b, old.b),
        vbslq_f32(below_4x32(n, 8), v.c, old.c), vbslq_f32(below_4x32(n, 12), v.d, old.d)};
}

static inline f32x16 f32x16_neg(f32x16 x)
{
#define NEG(part) vnegq_f32(x.part)
    return OF4(NEG);
#undef NEG
}

static inline f32x16 f32x16_add(f32x16 x, f32x16 y)
{
#define ADD(part) vaddq_f32(x.part, y.part)
    return OF4(ADD);
#undef ADD
}

static inline f32x16 f32x16_sub(f32x16 x, f32x16 y)
{
#define SUB(part) vsubq_f32(x.part, y.part)
    return OF4(SUB);
#undef SUB
}

static inline f32x16 f32x16_mul(f32x16 x, f32x16 y)
{
#define MUL(part) vmulq_f32(x.part, y.part)
    return OF4(MUL);
#undef MUL
}

static inline f32x16 f32x16_div(f32x16 x, f32x16 y)
{
#define DIV(part) vdivq_f32(x.part, y.part)
    return OF4(DIV);
#undef DIV
}

static inline f32x16 f32x16_fma(f32x16 x, f32x16 y, f32x16 z)
{
#define FMA(part) vfmaq_f32(z.part, x.part, y.part)
    return OF4(FMA);
#undef FMA
}

static inline f32x16 f32x16_max(f32x16 x, f32x16 y)
{
/* vmaxq_f32 would return NaN where either is. */
#define MAX(part) vbslq_f32(vcgtq_f32(x.part, y.part), x.part, y.part)
    return OF4(MAX);
#undef MAX
}

static inline f32x16 f32x16_min(f32x16 x, f32x16 y)
{
#define MIN(part) vbslq_f32(vcltq_f32(x.part, y.part), x.part, y.part)
    return OF4(MIN);
#undef MIN
}

static inline f32x16 f32x16_limit(f32x16 x, f32x16 most)
{
    return f32x16_min(most, f32x16_max(f32x16_neg(most), x));
}

static inline f32x16 f32x16_round(f32x16 x)
{
#define ROUND(part) vrndnq_f32(x.part)
    return OF4(ROUND);
#undef ROUND
}

/* Two steps, of which only the second can round: half of q into the exponent, a factor of the rest.
 */
static inline float32x4_t ldexp4(float32x4_t v, float32x4_t q)
{
    int32x4_t n = vcvtq_s32_f32(q), half = vshrq_n_s32(n, 1);
    int32x4_t rest = vaddq_s32(vsubq_s32(n, half), vdupq_n_s32(127));
    int32x4_t most = vaddq_s32(vreinterpretq_s32_f32(v), vshlq_n_s32(half, 23));
    return vmulq_f32(vreinterpretq_f32_s32(most), vreinterpretq_f32_s32(vshlq_n_s32(rest, 23)));
}

static inline f32x16 f32x16_ldexp(f32x16 x, f32x16 q)
{
#define LDEXP(part) ldexp4(x.part, q.part)
    return OF4(LDEXP);
#undef LDEXP
}

/* -150 <= q <= 0: v times 2^(q + 25), which is exact, times 2^-25. Above 2^23 a float's last bits
 * count ones: those of 1.5 * 2^23 + 127 + q + 25 are the exponent of 2^(q + 25). */
static inline float32x4_t ldexp_below4(float32x4_t v, float32x4_t q)
{
    float32x4_t ones = vaddq_f32(q, vdupq_n_f32(0x1.8p23f + 127 + 25));
    float32x4_t power = vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(ones), 23));
    return vmulq_f32(vmulq_f32(v, power), vdupq_n_f32(0x1p-25f));
}

static inline f32x16 f32x16_ldexp_below(f32x16 x, f32x16 q)
{
#define LDEXP_BELOW(part) ldexp_below4(x.part, q.part)
    return OF4(LDEXP_BELOW);
#undef LDEXP_BELOW
}

typedef struct {
    uint32x4_t a, b, c, d;
} lanes_where;
typedef struct {
    lanes_where second, third; /* all ones: in it or beyond */
} f32x16_piece;

static inline f32x16 f32x16_fms(f32x16 x, f32x16 y, f32x16 z)
{
#define FMS(part) vfmaq_f32(vnegq_f32(z.part), x.part, y.part)
    return OF4(FMS);
#undef FMS
}

static inline f32x16 f32x16_abs(f32x16 x)
{
#define ABS(part) vabsq_f32(x.part)
    return OF4(ABS);
#undef ABS
}

static inline f32x16 f32x16_signed_as(f32x16 x, f32x16 y)
{
#define SIGNED(part) vbslq_f32(vdupq_n_u32(0x80000000U), y.part, x.part)
    return OF4(SIGNED);
#undef SIGNED
}

static inline lanes_where at_least(f32x16 x, float least)
{
    const float32x4_t v = vdupq_n_f32(least);
    return (lanes_where){vcgeq_f32(x.a, v), vcgeq_f32(x.b, v), vcgeq_f32(x.c, v),
                         vcgeq_f32(x.d, v)};
}

static inline f32x16_piece f32x16_piece_of(f32x16 x, float second, float third)
{
    return (f32x16_piece){at_least(x, second), at_least(x, third)};
}

static inline f32x16 f32x16_pick(f32x16_piece piece, float c0, float c1, float c2)
{
    const float32x4_t v0 = vdupq_n_f32(c0), v1 = vdupq_n_f32(c1), v2 = vdupq_n_f32(c2);
#define PICK_OF(part) vbslq_f32(piece.third.part, v2, vbslq_f32(piece.second.part, v1, v0))
    return OF4(PICK_OF);
#undef PICK_OF
}

static inline f32x16 f32x16_first(f32x16_piece piece, f32x16 x, f32x16 otherwise)
{
#define FIRST(part) vbslq_f32(piece.second.part, otherwise.part, x.part)
    return OF4(FIRST);
#undef FIRST
}

#define IOLK_LANE_TYPE f32x16
#define IOLK_LANE(op)  f32x16_##op
#include "../lanes_erf.h"
#include "../lanes_exp.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE

static inline float f32x16_sum(f32x16 x)
{
    float32x4_t s4 = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(vpadd_f32(s2, s2), 0);
}

static inline float f32x16_top(f32x16 x)
{
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.a, x.b), vmaxq_f32(x.c, x.d)));
}

static inline f64x16 f64x16_set1(double x)
{
    float64x2_t v = vdupq_n_f64(x);
    return (f64x16){v, v, v, v, v, v, v, v};
}

static inline f64x16 f64x16_load(const double *p)
{
    return (f64x16){vld1q_f64(p),     vld1q_f64(p + 2),  vld1q_f64(p + 4),  vld1q_f64(p + 6),
                    vld1q_f64(p + 8), vld1q_f64(p + 10), vld1q_f64(p + 12), vld1q_f64(p + 14)};
}

static inline f64x16 f64x16_load_n(const double *p, size_t n)
{
    return (f64x16){load2_n(p, lanes_left(n, 0, 2)),       load2_n(p + 2, lanes_left(n, 2, 2)),
                    load2_n(p + 4, lanes_left(n, 4, 2)),   load2_n(p + 6, lanes_left(n, 6, 2)),
                    load2_n(p + 8, lanes_left(n, 8, 2)),   load2_n(p + 10, lanes_left(n, 10, 2)),
                    load2_n(p + 12, lanes_left(n, 12, 2)), load2_n(p + 14, lanes_left(n, 14, 2))};
}

static inline f64x16 f64x16_of(f32x16 x)
{
    return (f64x16){vcvt_f64_f32(vget_low_f32(x.a)), vcvt_high_f64_f32(x.a),
                    vcvt_f64_f32(vget_low_f32(x.b)), vcvt_high_f64_f32(x.b),
                    vcvt_f64_f32(vget_low_f32(x.c)), vcvt_high_f64_f32(x.c),
                    vcvt_f64_f32(vget_low_f32(x.d)), vcvt_high_f64_f32(x.d)};
}

static inline f64x16 f64x16_widen(const float *p)
{
    return f64x16_of(f32x16_load(p));
}

static inline f64x16 f64x16_widen_n(const float *p, size_t n)
{
    return f64x16_of(f32x16_load_n(p, n));
}

static inline f64x16 f64x16_keep(f64x16 v, f64x16 old, size_t n)
{
    return (f64x16){
        vbslq_f64(below_2x64(n, 0), v.a, old.a),  vbslq_f64(below_2x64(n, 2), v.b, old.b),
        vbslq_f64(below_2x64(n, 4), v.c, old.c),  vbslq_f64(below_2x64(n, 6), v.d, old.d),
        vbslq_f64(below_2x64(n, 8), v.e, old.e),  vbslq_f64(below_2x64(n, 10), v.f, old.f),
        vbslq_f64(below_2x64(n, 12), v.g, old.g), vbslq_f64(below_2x64(n, 14), v.h, old.h)};
}

static inline f64x16 f64x16_neg(f64x16 x)
{
#define NEG(part) vnegq_f64(x.part)
    return OF8(NEG);
#undef NEG
}

static inline f64x16 f64x16_add(f64x16 x, f64x16 y)
{
#define ADD(part) vaddq_f64(x.part, y.part)
    return OF8(ADD);
#undef ADD
}

static inline f64x16 f64x16_sub(f64x16 x, f64x16 y)
{
#define SUB(part) vsubq_f64(x.part, y.part)
    return OF8(SUB);
#undef SUB
}

static inline f64x16 f64x16_fma(f64x16 x, f64x16 y, f64x16 z)
{
#define FMA(part) vfmaq_f64(z.part, x.part, y.part)
    return OF8(FMA);
#undef FMA
}

static inline f64x16 f64x16_fms(f64x16 x, f64x16 y, f64x16 z)
{
#define FMS(part) vfmaq_f64(vnegq_f64(z.part), x.part, y.part)
    return OF8(FMS);
#undef FMS
}

static inline f64x16 f64x16_mul(f64x16 x, f64x16 y)
{
#define MUL(part) vmulq_f64(x.part, y.part)
    return OF8(MUL);
#undef MUL
}

/* vmaxq_f64 would return NaN where either is. */
static inline f64x16 f64x16_max(f64x16 x, f64x16 y)
{
#define MAX(part) vbslq_f64(vcgtq_f64(x.part, y.part), x.part, y.part)
    return OF8(MAX);
#undef MAX
}

static inline f64x16 f64x16_min(f64x16 x, f64x16 y)
{
#define MIN(part) vbslq_f64(vcltq_f64(x.part, y.part), x.part, y.part)
    return OF8(MIN);
#undef MIN
}

static inline f64x16 f64x16_round(f64x16 x)
{
#define ROUND(part) vrndnq_f64(x.part)
    return OF8(ROUND);
#undef ROUND
}

/* 2^q, |q| < 1022: above 2^52 a double's last bits count ones: those of 1.5 * 2^52 + 1023 + q. */
static inline float64x2_t power2(float64x2_t q)
{
    float64x2_t ones = vaddq_f64(q, vdupq_n_f64(0x1.8p52 + 1023));
    return vreinterpretq_f64_s64(vshlq_n_s64(vreinterpretq_s64_f64(ones), 52));
}

/* Two steps, of which only the second can round. */
static inline float64x2_t ldexp2(float64x2_t v, float64x2_t q)
{
    float64x2_t half = vrndnq_f64(vmulq_f64(q, vdupq_n_f64(0.5)));
    return vmulq_f64(vmulq_f64(v, power2(half)), power2(vsubq_f64(q, half)));
}

static inline f64x16 f64x16_ldexp(f64x16 x, f64x16 q)
{
#define LDEXP(part) ldexp2(x.part, q.part)
    return OF8(LDEXP);
#undef LDEXP
}

static inline f64x16 f64x16_where_less(f64x16 x, f64x16 y, f64x16 v, f64x16 otherwise)
{
#define WHERE(part) vbslq_f64(vcltq_f64(x.part, y.part), v.part, otherwise.part)
    return OF8(WHERE);
#undef WHERE
}

#define IOLK_LANE_TYPE f64x16
#define IOLK_LANE(op)  f64x16_##op
#include "../lanes_exp64.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE

static inline double f64x16_sum(f64x16 x)
{
    float64x2_t s8a = vaddq_f64(x.a, x.e), s8b = vaddq_f64(x.b, x.f);
    float64x2_t s8c = vaddq_f64(x.c, x.g), s8d = vaddq_f64(x.d, x.h);
    float64x2_t s2 = vaddq_f64(vaddq_f64(s8a, s8c), vaddq_f64(s8b, s8d));
    return vgetq_lane_f64(s2, 0) + vgetq_lane_f64(s2, 1);
}

#undef OF4
#undef OF8

#endif
