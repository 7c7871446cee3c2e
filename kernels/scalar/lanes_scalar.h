/* Sixteen virtual lanes as plain C arrays: what the vector layers must equal, bit for bit. The row
 * of isa.def switches the vectoriser off. On x86 fma() is one instruction (-mfma), on AArch64
 * always.
 *
 * The lane vocabulary, the same for every ISA (templates in ../tmpl use nothing else):
 *   f32x16_*, f64x16_*            arithmetic per lane, rounded once; fma(a, b, c) = a * b + c
 *   *_load, *_store               sixteen elements; f64x16_widen reads f32
 *   *_load_n, *_store_n, widen_n  the first n < 16 only, nothing else is touched; others read 0
 *   *_keep(v, old, n)             lanes below n from v, the others from old
 *   *_max(a, b), *_min(a, b)      a > b ? a : b, a < b ? a : b, thus b where either is NaN
 *   *_limit(a, most)              a, its magnitude at most `most`; NaN: whichever
 *   *_exp_within(a)               exp of a in -104..100
 *   *_exp_below(a)                exp of a <= 0 or NaN; whatever of other lanes
 *   *_round, *_ldexp(a, q)        nearest integer, ties to even; a * 2^q rounded once (for *_exp)
 *   *_ldexp_below(a, q)           the same for -150 <= q <= 0; not here, where exp_below is exp
 *   for *_erf: *_fms a * b - c; *_abs; *_signed_as(a, s), a >= 0 and the sign of s;
 *   *_piece_of(a, second, third)  which of three pieces a is in, by the lower ends of two; in
 *   *_pick(piece, c0, c1, c2)     a number for each piece; *_first(piece, a, b): a in the first
 *   for *_exp of f64: *_where_less(a, b, v, w): v where a < b, else w
 *   *_top                         the largest of lanes that hold no NaN
 *   *_sum                         a[j] += a[j + s] for s = 8, 4, 2, 1 */
#ifndef IOLK_LANES_SCALAR_H
#define IOLK_LANES_SCALAR_H

#include "../ops.h"

#define IOLK_ONE_LANE

#include <assert.h>
#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef struct {
    float r[IOLK_LANES];
} f32x16;
typedef struct {
    double r[IOLK_LANES];
} f64x16;

#define EACH_LANE(type, expression)                                                                \
    type out;                                                                                      \
    for (size_t j = 0; j < IOLK_LANES; j++) {                                                      \
        out.r[j] = (expression);                                                                   \
    }                                                                                              \
    return out

/* Correctly rounded, without the errno call that sqrtf brings. */
static inline float f32_sqrt(float x)
{
#if defined(__x86_64__)
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
#elif defined(__aarch64__)
    return vget_lane_f32(vsqrt_f32(vdup_n_f32(x)), 0);
#else
    return sqrtf(x);
#endif
}

static inline f32x16 f32x16_set1(float x)
{
    EACH_LANE(f32x16, x);
}

static inline f32x16 f32x16_load(const float *p)
{
    EACH_LANE(f32x16, p[j]);
}

static inline f32x16 f32x16_load_n(const float *p, size_t n)
{
    EACH_LANE(f32x16, j < n ? p[j] : 0.0f);
}

static inline void f32x16_store(float *p, f32x16 v)
{
    for (size_t j = 0; j < IOLK_LANES; j++) {
        p[j] = v.r[j];
    }
}

static inline void f32x16_store_n(float *p, f32x16 v, size_t n)
{
    for (size_t j = 0; j < IOLK_LANES; j++) {
        if (j < n) {
            p[j] = v.r[j];
        }
    }
}

static inline f32x16 f32x16_keep(f32x16 v, f32x16 old, size_t n)
{
    EACH_LANE(f32x16, j < n ? v.r[j] : old.r[j]);
}

static inline f32x16 f32x16_neg(f32x16 a)
{
    EACH_LANE(f32x16, -a.r[j]);
}

static inline f32x16 f32x16_add(f32x16 a, f32x16 b)
{
    EACH_LANE(f32x16, a.r[j] + b.r[j]);
}

static inline f32x16 f32x16_sub(f32x16 a, f32x16 b)
{
    EACH_LANE(f32x16, a.r[j] - b.r[j]);
}

static inline f32x16 f32x16_mul(f32x16 a, f32x16 b)
{
    EACH_LANE(f32x16, a.r[j] * b.r[j]);
}

static inline f32x16 f32x16_div(f32x16 a, f32x16 b)
{
    EACH_LANE(f32x16, a.r[j] / b.r[j]);
}

static inline f32x16 f32x16_fma(f32x16 a, f32x16 b, f32x16 c)
{
    EACH_LANE(f32x16, __builtin_fmaf(a.r[j], b.r[j], c.r[j]));
}

static inline f32x16 f32x16_max(f32x16 a, f32x16 b)
{
    EACH_LANE(f32x16, a.r[j] > b.r[j] ? a.r[j] : b.r[j]);
}

/* One lane, for exp and erf: sixteen at a time would go through memory between any two operations.
 */
static inline float f32_set1(float x)
{
    return x;
}

static inline float f32_add(float a, float b)
{
    return a + b;
}

static inline float f32_mul(float a, float b)
{
    return a * b;
}

static inline float f32_fma(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}

static inline float f32_max(float a, float b)
{
    return a > b ? a : b;
}

static inline float f32_min(float a, float b)
{
    return a < b ? a : b;
}

/* To the nearest integer, ties to even; |x| < 2^22. Adding 1.5 * 2^23 leaves no bits below 1. */
static inline float f32_round(float x)
{
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

/* a * 2^q, a near 1, |q| < 252, rounded once: only the second product can be inexact. */
static inline float f32_ldexp(float a, float q)
{
    union {
        float value;
        int32_t bits;
    } most, rest;
    const int32_t n = q == q ? (int32_t)q : 0, half = n / 2; /* NaN has no integer */
    most.bits = (half + 127) * (1 << 23);
    rest.bits = (n - half + 127) * (1 << 23);
    return a * most.value * rest.value;
}

typedef unsigned f32_piece;

static inline float f32_sub(float a, float b)
{
    return a - b;
}

static inline float f32_fms(float a, float b, float c)
{
    return __builtin_fmaf(a, b, -c);
}

static inline float f32_abs(float a)
{
    return __builtin_fabsf(a);
}

static inline float f32_signed_as(float a, float sign)
{
    return __builtin_copysignf(a, sign);
}

static inline f32_piece f32_piece_of(float a, float second, float third)
{
    return a >= third ? 2 : a >= second ? 1 : 0;
}

static inline float f32_pick(f32_piece piece, float c0, float c1, float c2)
{
    return piece == 0 ? c0 : piece == 1 ? c1 : c2;
}

static inline float f32_first(f32_piece piece, float a, float otherwise)
{
    return piece == 0 ? a : otherwise;
}

#define IOLK_LANE_TYPE float
#define IOLK_LANE(op)  f32_##op
#include "../lanes_erf.h"
#include "../lanes_exp.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE

static inline f32x16 f32x16_limit(f32x16 a, f32x16 most)
{
    EACH_LANE(f32x16, f32_min(most.r[j], f32_max(-most.r[j], a.r[j])));
}

static inline f32x16 f32x16_exp_within(f32x16 a)
{
    EACH_LANE(f32x16, f32_exp_within(a.r[j]));
}

static inline f32x16 f32x16_exp_below(f32x16 a)
{
    EACH_LANE(f32x16, f32_exp(a.r[j]));
}

static inline f32x16 f32x16_exp(f32x16 a)
{
    EACH_LANE(f32x16, f32_exp(a.r[j]));
}

static inline f32x16 f32x16_erf(f32x16 a)
{
    EACH_LANE(f32x16, f32_erf(a.r[j]));
}

static inline float f32x16_sum(f32x16 a)
{
    for (size_t s = IOLK_LANES / 2; s > 0; s /= 2) {
        for (size_t j = 0; j < s; j++) {
            a.r[j] += a.r[j + s];
        }
    }
    return a.r[0];
}

static inline float f32x16_top(f32x16 a)
{
    float top = a.r[0];
    for (size_t j = 1; j < IOLK_LANES; j++) {
        top = a.r[j] > top ? a.r[j] : top;
    }
    return top;
}

static inline f64x16 f64x16_set1(double x)
{
    EACH_LANE(f64x16, x);
}

static inline f64x16 f64x16_load(const double *p)
{
    EACH_LANE(f64x16, p[j]);
}

static inline f64x16 f64x16_load_n(const double *p, size_t n)
{
    EACH_LANE(f64x16, j < n ? p[j] : 0.0);
}

static inline f64x16 f64x16_widen(const float *p)
{
    EACH_LANE(f64x16, (double)p[j]);
}

static inline f64x16 f64x16_widen_n(const float *p, size_t n)
{
    EACH_LANE(f64x16, j < n ? (double)p[j] : 0.0);
}

static inline f64x16 f64x16_keep(f64x16 v, f64x16 old, size_t n)
{
    EACH_LANE(f64x16, j < n ? v.r[j] : old.r[j]);
}

static inline f64x16 f64x16_neg(f64x16 a)
{
    EACH_LANE(f64x16, -a.r[j]);
}

static inline f64x16 f64x16_add(f64x16 a, f64x16 b)
{
    EACH_LANE(f64x16, a.r[j] + b.r[j]);
}

static inline f64x16 f64x16_sub(f64x16 a, f64x16 b)
{
    EACH_LANE(f64x16, a.r[j] - b.r[j]);
}

static inline f64x16 f64x16_fma(f64x16 a, f64x16 b, f64x16 c)
{
    EACH_LANE(f64x16, __builtin_fma(a.r[j], b.r[j], c.r[j]));
}

/* One lane, for exp and expm1. */
static inline double f64_set1(double x)
{
    return x;
}

static inline double f64_add(double a, double b)
{
    return a + b;
}

static inline double f64_sub(double a, double b)
{
    return a - b;
}

static inline double f64_mul(double a, double b)
{
    return a * b;
}

static inline double f64_fma(double a, double b, double c)
{
    return __builtin_fma(a, b, c);
}

static inline double f64_fms(double a, double b, double c)
{
    return __builtin_fma(a, b, -c);
}

static inline double f64_max(double a, double b)
{
    return a > b ? a : b;
}

static inline double f64_min(double a, double b)
{
    return a < b ? a : b;
}

static inline double f64_where_less(double a, double b, double v, double otherwise)
{
    return a < b ? v : otherwise;
}

/* To the nearest integer, ties to even; |x| < 2^51. */
static inline double f64_round(double x)
{
    return (x + 0x1.8p52) - 0x1.8p52;
}

/* 2^q, |q| < 1022: above 2^52 a double's last bits count ones: those of 1.5 * 2^52 + 1023 + q. */
static inline double f64_power(double q)
{
    union {
        double value;
        uint64_t bits;
    } ones = {.value = q + (0x1.8p52 + 1023)};
    ones.bits <<= 52;
    return ones.value;
}

/* Two steps, of which only the second can round. */
static inline double f64_ldexp(double a, double q)
{
    const double half = f64_round(q * 0.5);
    return a * f64_power(half) * f64_power(q - half);
}

#define IOLK_LANE_TYPE double
#define IOLK_LANE(op)  f64_##op
#include "../lanes_exp64.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE

static inline f64x16 f64x16_exp(f64x16 a)
{
    EACH_LANE(f64x16, f64_exp(a.r[j]));
}

static inline f64x16 f64x16_expm1(f64x16 a)
{
    EACH_LANE(f64x16, f64_expm1(a.r[j]));
}

static inline double f64x16_sum(f64x16 a)
{
    for (size_t s = IOLK_LANES / 2; s > 0; s /= 2) {
        for (size_t j = 0; j < s; j++) {
            a.r[j] += a.r[j + s];
        }
    }
    return a.r[0];
}

#undef EACH_LANE

#endif
