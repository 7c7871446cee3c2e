/* Sixteen virtual lanes in AVX2 registers: 2 ymm of f32, 4 ymm of f64. The vocabulary is described
 * in ../scalar/lanes_scalar.h. vmaskmov does not touch masked-out memory. */
#ifndef IOLK_LANES_AVX2_H
#define IOLK_LANES_AVX2_H

#include "../ops.h"
#include "store_avx2.h"

#include <assert.h>
#include <immintrin.h>

typedef struct {
    __m256 a, b; /* lanes 0-7, 8-15 */
} f32x16;
typedef struct {
    __m256d a, b, c, d; /* lanes 0-3, 4-7, 8-11, 12-15 */
} f64x16;

/* All ones in the lanes from `first` on whose number is below n. */
static inline __m256i below_8x32(size_t n, int first)
{
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - first), lane);
}

static inline __m256i below_4x64(size_t n, int first)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n - first),
                              _mm256_setr_epi64x(0, 1, 2, 3));
}

static inline float f32_sqrt(float x)
{
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}

static inline f32x16 f32x16_set1(float x)
{
    return (f32x16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

static inline f32x16 f32x16_load(const float *p)
{
    return (f32x16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

static inline f32x16 f32x16_load_n(const float *p, size_t n)
{
    return (f32x16){_mm256_maskload_ps(p, below_8x32(n, 0)),
                    _mm256_maskload_ps(p + 8, below_8x32(n, 8))};
}

static inline void f32x16_store(float *p, f32x16 v)
{
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
}

static inline void f32x16_store_n(float *p, f32x16 v, size_t n)
{
    if (n & 8) {
        _mm256_storeu_ps(p, v.a);
        v.a = v.b;
        p += 8;
    }
    store8_n(p, v.a, n);
}

static inline f32x16 f32x16_keep(f32x16 v, f32x16 old, size_t n)
{
    return (f32x16){_mm256_blendv_ps(old.a, v.a, _mm256_castsi256_ps(below_8x32(n, 0))),
                    _mm256_blendv_ps(old.b, v.b, _mm256_castsi256_ps(below_8x32(n, 8)))};
}

static inline f32x16 f32x16_neg(f32x16 x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (f32x16){_mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign)};
}

static inline f32x16 f32x16_add(f32x16 x, f32x16 y)
{
    return (f32x16){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}

static inline f32x16 f32x16_sub(f32x16 x, f32x16 y)
{
    return (f32x16){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}

static inline f32x16 f32x16_mul(f32x16 x, f32x16 y)
{
    return (f32x16){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}

static inline f32x16 f32x16_div(f32x16 x, f32x16 y)
{
    return (f32x16){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}

static inline f32x16 f32x16_fma(f32x16 x, f32x16 y, f32x16 z)
{
    return (f32x16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}

static inline f32x16 f32x16_max(f32x16 x, f32x16 y)
{
    return (f32x16){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}

static inline f32x16 f32x16_min(f32x16 x, f32x16 y)
{
    return (f32x16){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}

static inline f32x16 f32x16_limit(f32x16 x, f32x16 most)
{
    return f32x16_min(most, f32x16_max(f32x16_neg(most), x));
}

static inline __m256 round8(__m256 v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline f32x16 f32x16_round(f32x16 x)
{
    return (f32x16){round8(x.a), round8(x.b)};
}

/* Two steps, of which only the second can round: half of q into the exponent, a factor of the rest.
 */
static inline __m256 ldexp8(__m256 v, __m256 q)
{
    __m256i n = _mm256_cvtps_epi32(q), half = _mm256_srai_epi32(n, 1);
    __m256i rest = _mm256_add_epi32(_mm256_sub_epi32(n, half), _mm256_set1_epi32(127));
    __m256i most = _mm256_add_epi32(_mm256_castps_si256(v), _mm256_slli_epi32(half, 23));
    return _mm256_mul_ps(_mm256_castsi256_ps(most),
                         _mm256_castsi256_ps(_mm256_slli_epi32(rest, 23)));
}

static inline f32x16 f32x16_ldexp(f32x16 x, f32x16 q)
{
    return (f32x16){ldexp8(x.a, q.a), ldexp8(x.b, q.b)};
}

/* -150 <= q <= 0: v times 2^(q + 25), which is exact, times 2^-25. Above 2^23 a float's last bits
 * count ones: those of 1.5 * 2^23 + 127 + q + 25 are the exponent of 2^(q + 25). */
static inline __m256 ldexp_below8(__m256 v, __m256 q)
{
    __m256i ones = _mm256_castps_si256(_mm256_add_ps(q, _mm256_set1_ps(0x1.8p23f + 127 + 25)));
    __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(ones, 23));
    return _mm256_mul_ps(_mm256_mul_ps(v, power), _mm256_set1_ps(0x1p-25f));
}

static inline f32x16 f32x16_ldexp_below(f32x16 x, f32x16 q)
{
    return (f32x16){ldexp_below8(x.a, q.a), ldexp_below8(x.b, q.b)};
}

typedef struct {
    __m256i a, b; /* index of vpermilps: 0, 3, 2; the sign is set but for the first piece */
} f32x16_piece;

static inline f32x16 f32x16_fms(f32x16 x, f32x16 y, f32x16 z)
{
    return (f32x16){_mm256_fmsub_ps(x.a, y.a, z.a), _mm256_fmsub_ps(x.b, y.b, z.b)};
}

static inline f32x16 f32x16_abs(f32x16 x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (f32x16){_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}

static inline f32x16 f32x16_signed_as(f32x16 x, f32x16 y)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (f32x16){_mm256_or_ps(x.a, _mm256_and_ps(y.a, sign)),
                    _mm256_or_ps(x.b, _mm256_and_ps(y.b, sign))};
}

/* A comparison is -1 where it holds. */
static inline __m256i piece8(__m256 v, __m256 second, __m256 third)
{
    return _mm256_add_epi32(_mm256_castps_si256(_mm256_cmp_ps(v, second, _CMP_GE_OQ)),
                            _mm256_castps_si256(_mm256_cmp_ps(v, third, _CMP_GE_OQ)));
}

static inline f32x16_piece f32x16_piece_of(f32x16 x, float second, float third)
{
    __m256 from_second = _mm256_set1_ps(second), from_third = _mm256_set1_ps(third);
    return (f32x16_piece){piece8(x.a, from_second, from_third),
                          piece8(x.b, from_second, from_third)};
}

static inline f32x16 f32x16_pick(f32x16_piece piece, float c0, float c1, float c2)
{
    const __m256 table = _mm256_setr_ps(c0, c0, c2, c1, c0, c0, c2, c1);
    return (f32x16){_mm256_permutevar_ps(table, piece.a), _mm256_permutevar_ps(table, piece.b)};
}

static inline f32x16 f32x16_first(f32x16_piece piece, f32x16 x, f32x16 otherwise)
{
    return (f32x16){_mm256_blendv_ps(x.a, otherwise.a, _mm256_castsi256_ps(piece.a)),
                    _mm256_blendv_ps(x.b, otherwise.b, _mm256_castsi256_ps(piece.b))};
}

#define IOLK_LANE_TYPE f32x16
#define IOLK_LANE(op)  f32x16_##op
#include "../lanes_erf.h"
#include "../lanes_exp.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE

static inline float f32x16_sum(f32x16 x)
{
    __m256 s8 = _mm256_add_ps(x.a, x.b);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

static inline float f32x16_top(f32x16 x)
{
    __m256 t8 = _mm256_max_ps(x.a, x.b);
    __m128 t4 = _mm_max_ps(_mm256_castps256_ps128(t8), _mm256_extractf128_ps(t8, 1));
    __m128 t2 = _mm_max_ps(t4, _mm_movehl_ps(t4, t4));
    return _mm_cvtss_f32(_mm_max_ss(t2, _mm_movehdup_ps(t2)));
}

static inline f64x16 f64x16_set1(double x)
{
    __m256d v = _mm256_set1_pd(x);
    return (f64x16){v, v, v, v};
}

static inline f64x16 f64x16_load(const double *p)
{
    return (f64x16){_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4), _mm256_loadu_pd(p + 8),
                    _mm256_loadu_pd(p + 12)};
}

static inline f64x16 f64x16_load_n(const double *p, size_t n)
{
    return (f64x16){
        _mm256_maskload_pd(p, below_4x64(n, 0)), _mm256_maskload_pd(p + 4, below_4x64(n, 4)),
        _mm256_maskload_pd(p + 8, below_4x64(n, 8)), _mm256_maskload_pd(p + 12, below_4x64(n, 12))};
}

static inline f64x16 f64x16_of(f32x16 x)
{
    return (f64x16){_mm256_cvtps_pd(_mm256_castps256_ps128(x.a)),
                    _mm256_cvtps_pd(_mm256_extractf128_ps(x.a, 1)),
                    _mm256_cvtps_pd(_mm256_castps256_ps128(x.b)),
                    _mm256_cvtps_pd(_mm256_extractf128_ps(x.b, 1))};
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
    return (f64x16){_mm256_blendv_pd(old.a, v.a, _mm256_castsi256_pd(below_4x64(n, 0))),
                    _mm256_blendv_pd(old.b, v.b, _mm256_castsi256_pd(below_4x64(n, 4))),
                    _mm256_blendv_pd(old.c, v.c, _mm256_castsi256_pd(below_4x64(n, 8))),
                    _mm256_blendv_pd(old.d, v.d, _mm256_castsi256_pd(below_4x64(n, 12)))};
}

static inline f64x16 f64x16_neg(f64x16 x)
{
    __m256d sign = _mm256_set1_pd(-0.0);
    return (f64x16){_mm256_xor_pd(x.a, sign), _mm256_xor_pd(x.b, sign), _mm256_xor_pd(x.c, sign),
                    _mm256_xor_pd(x.d, sign)};
}

static inline f64x16 f64x16_add(f64x16 x, f64x16 y)
{
    return (f64x16){_mm256_add_pd(x.a, y.a), _mm256_add_pd(x.b, y.b), _mm256_add_pd(x.c, y.c),
                    _mm256_add_pd(x.d, y.d)};
}

static inline f64x16 f64x16_sub(f64x16 x, f64x16 y)
{
    return (f64x16){_mm256_sub_pd(x.a, y.a), _mm256_sub_pd(x.b, y.b), _mm256_sub_pd(x.c, y.c),
                    _mm256_sub_pd(x.d, y.d)};
}

static inline f64x16 f64x16_fma(f64x16 x, f64x16 y, f64x16 z)
{
    return (f64x16){_mm256_fmadd_pd(x.a, y.a, z.a), _mm256_fmadd_pd(x.b, y.b, z.b),
                    _mm256_fmadd_pd(x.c, y.c, z.c), _mm256_fmadd_pd(x.d, y.d, z.d)};
}

static inline f64x16 f64x16_fms(f64x16 x, f64x16 y, f64x16 z)
{
    return (f64x16){_mm256_fmsub_pd(x.a, y.a, z.a), _mm256_fmsub_pd(x.b, y.b, z.b),
                    _mm256_fmsub_pd(x.c, y.c, z.c), _mm256_fmsub_pd(x.d, y.d, z.d)};
}

static inline f64x16 f64x16_mul(f64x16 x, f64x16 y)
{
    return (f64x16){_mm256_mul_pd(x.a, y.a), _mm256_mul_pd(x.b, y.b), _mm256_mul_pd(x.c, y.c),
                    _mm256_mul_pd(x.d, y.d)};
}

static inline f64x16 f64x16_max(f64x16 x, f64x16 y)
{
    return (f64x16){_mm256_max_pd(x.a, y.a), _mm256_max_pd(x.b, y.b), _mm256_max_pd(x.c, y.c),
                    _mm256_max_pd(x.d, y.d)};
}

static inline f64x16 f64x16_min(f64x16 x, f64x16 y)
{
    return (f64x16){_mm256_min_pd(x.a, y.a), _mm256_min_pd(x.b, y.b), _mm256_min_pd(x.c, y.c),
                    _mm256_min_pd(x.d, y.d)};
}

static inline __m256d round4(__m256d v)
{
    return _mm256_round_pd(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline f64x16 f64x16_round(f64x16 x)
{
    return (f64x16){round4(x.a), round4(x.b), round4(x.c), round4(x.d)};
}

/* 2^q, |q| < 1022: above 2^52 a double's last bits count ones: those of 1.5 * 2^52 + 1023 + q. */
static inline __m256d power4(__m256d q)
{
    __m256i ones = _mm256_castpd_si256(_mm256_add_pd(q, _mm256_set1_pd(0x1.8p52 + 1023)));
    return _mm256_castsi256_pd(_mm256_slli_epi64(ones, 52));
}

/* Two steps, of which only the second can round. */
static inline __m256d ldexp4(__m256d v, __m256d q)
{
    __m256d half = round4(_mm256_mul_pd(q, _mm256_set1_pd(0.5)));
    return _mm256_mul_pd(_mm256_mul_pd(v, power4(half)), power4(_mm256_sub_pd(q, half)));
}

static inline f64x16 f64x16_ldexp(f64x16 x, f64x16 q)
{
    return (f64x16){ldexp4(x.a, q.a), ldexp4(x.b, q.b), ldexp4(x.c, q.c), ldexp4(x.d, q.d)};
}

static inline __m256d where_less4(__m256d x, __m256d y, __m256d v, __m256d otherwise)
{
    return _mm256_blendv_pd(otherwise, v, _mm256_cmp_pd(x, y, _CMP_LT_OQ));
}

static inline f64x16 f64x16_where_less(f64x16 x, f64x16 y, f64x16 v, f64x16 otherwise)
{
    return (f64x16){
        where_less4(x.a, y.a, v.a, otherwise.a), where_less4(x.b, y.b, v.b, otherwise.b),
        where_less4(x.c, y.c, v.c, otherwise.c), where_less4(x.d, y.d, v.d, otherwise.d)};
}

#define IOLK_LANE_TYPE f64x16
#define IOLK_LANE(op)  f64x16_##op
#include "../lanes_exp64.h"
#undef IOLK_LANE_TYPE
#undef IOLK_LANE

static inline double f64x16_sum(f64x16 x)
{
    __m256d s4 = _mm256_add_pd(_mm256_add_pd(x.a, x.c), _mm256_add_pd(x.b, x.d));
    __m128d s2 = _mm_add_pd(_mm256_castpd256_pd128(s4), _mm256_extractf128_pd(s4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s2, _mm_unpackhi_pd(s2, s2)));
}

#endif
