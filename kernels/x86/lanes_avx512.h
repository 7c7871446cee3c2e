/* Sixteen virtual lanes in AVX-512 registers: 1 zmm of f32, 2 zmm of f64. The vocabulary is
 * described in ../scalar/lanes_scalar.h. Masked loads and stores do not touch masked-out memory. */
#ifndef IOLK_LANES_AVX512_H
#define IOLK_LANES_AVX512_H

#include "../ops.h"

#define IOLK_ONE_REGISTER

#include <assert.h>
#include <immintrin.h>

typedef __m512 f32x16;
typedef struct {
    __m512d lo, hi;
} f64x16;

static inline __mmask16 first_lanes(size_t n)
{
    return (__mmask16)((1U << n) - 1U);
}

static inline float f32_sqrt(float x)
{
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}

static inline f32x16 f32x16_set1(float x)
{
    return _mm512_set1_ps(x);
}

static inline f32x16 f32x16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline f32x16 f32x16_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}

static inline void f32x16_store(float *p, f32x16 v)
{
    _mm512_storeu_ps(p, v);
}

static inline void f32x16_store_n(float *p, f32x16 v, size_t n)
{
    _mm512_mask_storeu_ps(p, first_lanes(n), v);
}

static inline f32x16 f32x16_keep(f32x16 v, f32x16 old, size_t n)
{
    return _mm512_mask_mov_ps(old, first_lanes(n), v);
}

static inline f32x16 f32x16_neg(f32x16 a)
{
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}

static inline f32x16 f32x16_add(f32x16 a, f32x16 b)
{
    return _mm512_add_ps(a, b);
}

static inline f32x16 f32x16_sub(f32x16 a, f32x16 b)
{
    return _mm512_sub_ps(a, b);
}

static inline f32x16 f32x16_mul(f32x16 a, f32x16 b)
{
    return _mm512_mul_ps(a, b);
}

static inline f32x16 f32x16_div(f32x16 a, f32x16 b)
{
    return _mm512_div_ps(a, b);
}

/* As an instruction, which the compiler leaves where it is written. */
static inline f32x16 f32x16_div_here(f32x16 a, f32x16 b)
{
    __asm__ volatile("vdivps %1, %0, %0" : "+v"(a) : "v"(b));
    return a;
}

static inline f32x16 f32x16_fma(f32x16 a, f32x16 b, f32x16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline f32x16 f32x16_max(f32x16 a, f32x16 b)
{
    return _mm512_max_ps(a, b);
}

static inline f32x16 f32x16_min(f32x16 a, f32x16 b)
{
    return _mm512_min_ps(a, b);
}

static inline f32x16 f32x16_limit(f32x16 a, f32x16 most)
{
    return _mm512_range_ps(a, most, 2); /* the smaller magnitude, the sign of a */
}

static inline f32x16 f32x16_round(f32x16 a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline f32x16 f32x16_ldexp(f32x16 a, f32x16 q)
{
    return _mm512_scalef_ps(a, q);
}

static inline f32x16 f32x16_ldexp_below(f32x16 a, f32x16 q)
{
    return f32x16_ldexp(a, q);
}

typedef struct {
    __m512i index; /* of vpermilps: 0, 3, 2 */
    __mmask16 first;
} f32x16_piece;

static inline f32x16 f32x16_fms(f32x16 a, f32x16 b, f32x16 c)
{
    return _mm512_fmsub_ps(a, b, c);
}

static inline f32x16 f32x16_abs(f32x16 a)
{
    return _mm512_abs_ps(a);
}

static inline f32x16 f32x16_signed_as(f32x16 a, f32x16 sign)
{
    return _mm512_or_ps(a, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}

static inline f32x16_piece f32x16_piece_of(f32x16 a, float second, float third)
{
    const __mmask16 last = _mm512_cmp_ps_mask(a, _mm512_set1_ps(third), _CMP_GE_OQ),
                    first = _mm512_cmp_ps_mask(a, _mm512_set1_ps(second), _CMP_NGE_UQ);
    const __m512i two = _mm512_mask_mov_epi32(_mm512_set1_epi32(3), last, _mm512_set1_epi32(2));
    return (f32x16_piece){_mm512_maskz_mov_epi32(_knot_mask16(first), two), first};
}

static inline f32x16 f32x16_pick(f32x16_piece piece, float c0, float c1, float c2)
{
    const __m512 table = _mm512_broadcast_f32x4(_mm_setr_ps(c0, c0, c2, c1));
    return _mm512_permutevar_ps(table, piece.index);
}

static inline f32x16 f32x16_first(f32x16_piece piece, f32x16 a, f32x16 otherwise)
{
    return _mm512_mask_mov_ps(otherwise, piece.first, a);
}

#define IOLK_LANE_TYPE f32x16
#define IOLK_LANE(op)  f32x16_##op
#include "../lanes_erf.h"
#include "../lanes_exp.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE

static inline float f32x16_sum(f32x16 a)
{
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

static inline float f32x16_top(f32x16 a)
{
    return _mm512_reduce_max_ps(a);
}

static inline f64x16 f64x16_set1(double x)
{
    return (f64x16){_mm512_set1_pd(x), _mm512_set1_pd(x)};
}

static inline f64x16 f64x16_load(const double *p)
{
    return (f64x16){_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)};
}

static inline f64x16 f64x16_load_n(const double *p, size_t n)
{
    __mmask16 m = first_lanes(n);
    return (f64x16){_mm512_maskz_loadu_pd((__mmask8)(m & 0xff), p),
                    _mm512_maskz_loadu_pd((__mmask8)(m >> 8), p + 8)};
}

static inline f64x16 f64x16_of(__m512 v)
{
    return (f64x16){_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                    _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))};
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
    __mmask16 m = first_lanes(n);
    return (f64x16){_mm512_mask_mov_pd(old.lo, (__mmask8)(m & 0xff), v.lo),
                    _mm512_mask_mov_pd(old.hi, (__mmask8)(m >> 8), v.hi)};
}

static inline f64x16 f64x16_neg(f64x16 a)
{
    __m512d sign = _mm512_set1_pd(-0.0);
    return (f64x16){_mm512_xor_pd(a.lo, sign), _mm512_xor_pd(a.hi, sign)};
}

static inline f64x16 f64x16_add(f64x16 a, f64x16 b)
{
    return (f64x16){_mm512_add_pd(a.lo, b.lo), _mm512_add_pd(a.hi, b.hi)};
}

static inline f64x16 f64x16_sub(f64x16 a, f64x16 b)
{
    return (f64x16){_mm512_sub_pd(a.lo, b.lo), _mm512_sub_pd(a.hi, b.hi)};
}

static inline f64x16 f64x16_fma(f64x16 a, f64x16 b, f64x16 c)
{
    return (f64x16){_mm512_fmadd_pd(a.lo, b.lo, c.lo), _mm512_fmadd_pd(a.hi, b.hi, c.hi)};
}

static inline f64x16 f64x16_fms(f64x16 a, f64x16 b, f64x16 c)
{
    return (f64x16){_mm512_fmsub_pd(a.lo, b.lo, c.lo), _mm512_fmsub_pd(a.hi, b.hi, c.hi)};
}

static inline f64x16 f64x16_mul(f64x16 a, f64x16 b)
{
    return (f64x16){_mm512_mul_pd(a.lo, b.lo), _mm512_mul_pd(a.hi, b.hi)};
}

static inline f64x16 f64x16_max(f64x16 a, f64x16 b)
{
    return (f64x16){_mm512_max_pd(a.lo, b.lo), _mm512_max_pd(a.hi, b.hi)};
}

static inline f64x16 f64x16_min(f64x16 a, f64x16 b)
{
    return (f64x16){_mm512_min_pd(a.lo, b.lo), _mm512_min_pd(a.hi, b.hi)};
}

static inline __m512d round8_f64(__m512d v)
{
    return _mm512_roundscale_pd(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline f64x16 f64x16_round(f64x16 a)
{
    return (f64x16){round8_f64(a.lo), round8_f64(a.hi)};
}

static inline f64x16 f64x16_ldexp(f64x16 a, f64x16 q)
{
    return (f64x16){_mm512_scalef_pd(a.lo, q.lo), _mm512_scalef_pd(a.hi, q.hi)};
}

static inline __m512d where_less8(__m512d a, __m512d b, __m512d v, __m512d otherwise)
{
    return _mm512_mask_mov_pd(otherwise, _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), v);
}

static inline f64x16 f64x16_where_less(f64x16 a, f64x16 b, f64x16 v, f64x16 otherwise)
{
    return (f64x16){where_less8(a.lo, b.lo, v.lo, otherwise.lo),
                    where_less8(a.hi, b.hi, v.hi, otherwise.hi)};
}

#define IOLK_LANE_TYPE f64x16
#define IOLK_LANE(op)  f64x16_##op
#include "../lanes_exp64.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE

static inline double f64x16_sum(f64x16 a)
{
    __m512d s8 = _mm512_add_pd(a.lo, a.hi);
    __m256d s4 = _mm256_add_pd(_mm512_castpd512_pd256(s8), _mm512_extractf64x4_pd(s8, 1));
    __m128d s2 = _mm_add_pd(_mm256_castpd256_pd128(s4), _mm256_extractf128_pd(s4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s2, _mm_unpackhi_pd(s2, s2)));
}

#endif
