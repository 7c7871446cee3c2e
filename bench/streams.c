#include "streams.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <sleef.h>
#endif

/* STREAMS(isa, attribute, vector, lanes, load, store, constraint, exp, erf): the three loops. What
 * is loaded goes into an empty instruction, so that the load stays. */
#define STREAMS(isa, target, vector, lanes, load, store, in, exp_fn, erf_fn)                       \
    target static inline __attribute__((always_inline)) void sweep_some_##isa(                     \
        size_t n, const size_t reads, const float *const *read, float *write)                      \
    {                                                                                              \
        const float *a = read[0], *b = reads > 1 ? read[1] : a, *c = reads > 2 ? read[2] : a;      \
        for (size_t i = 0; i < n; i += 2 * (lanes)) {                                              \
            vector a0 = load(a + i), a1 = load(a + i + (lanes));                                   \
            __asm__ volatile("" : : in(a0), in(a1));                                               \
            if (reads > 1) {                                                                       \
                vector b0 = load(b + i), b1 = load(b + i + (lanes));                               \
                __asm__ volatile("" : : in(b0), in(b1));                                           \
            }                                                                                      \
            if (reads > 2) {                                                                       \
                vector c0 = load(c + i), c1 = load(c + i + (lanes));                               \
                __asm__ volatile("" : : in(c0), in(c1));                                           \
            }                                                                                      \
            if (write) {                                                                           \
                store(write + i, a0);                                                              \
                store(write + i + (lanes), a1);                                                    \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    target static void sweep_##isa(size_t n, size_t reads, const float *const *read, float *write) \
    {                                                                                              \
        switch (reads) {                                                                           \
        case 1:                                                                                    \
            sweep_some_##isa(n, 1, read, write);                                                   \
            break;                                                                                 \
        case 2:                                                                                    \
            sweep_some_##isa(n, 2, read, write);                                                   \
            break;                                                                                 \
        default:                                                                                   \
            sweep_some_##isa(n, 3, read, write);                                                   \
            break;                                                                                 \
        }                                                                                          \
    }                                                                                              \
    target static void exp_##isa(size_t n, const float *x, float *y)                               \
    {                                                                                              \
        for (size_t i = 0; i < n; i += (lanes)) {                                                  \
            store(y + i, exp_fn(load(x + i)));                                                     \
        }                                                                                          \
    }                                                                                              \
    target static void erf_##isa(size_t n, const float *x, float *y)                               \
    {                                                                                              \
        for (size_t i = 0; i < n; i += (lanes)) {                                                  \
            store(y + i, erf_fn(load(x + i)));                                                     \
        }                                                                                          \
    }                                                                                              \
    static const struct bench_streams streams_##isa = {sweep_##isa, exp_##isa, erf_##isa};

extern float Sleef_expf1_u10purecfma(float);
extern float Sleef_erff1_u10purecfma(float);
#define LOAD1(p)     (*(p))
#define STORE1(p, v) (*(p) = (v))
#if defined(__x86_64__)
/* sleef.h shows each of these under its own compile flag only. */
extern __m256 Sleef_expf8_u10avx2(__m256);
extern __m256 Sleef_erff8_u10avx2(__m256);
extern __m512 Sleef_expf16_u10avx512f(__m512);
extern __m512 Sleef_erff16_u10avx512f(__m512);
STREAMS(scalar, , float, 1, LOAD1, STORE1, "x", Sleef_expf1_u10purecfma, Sleef_erff1_u10purecfma)
STREAMS(avx2, __attribute__((target("avx2"))), __m256, 8, _mm256_loadu_ps, _mm256_storeu_ps, "x",
        Sleef_expf8_u10avx2, Sleef_erff8_u10avx2)
STREAMS(avx512, __attribute__((target("avx512f"))), __m512, 16, _mm512_loadu_ps, _mm512_storeu_ps,
        "v", Sleef_expf16_u10avx512f, Sleef_erff16_u10avx512f)
#elif defined(__aarch64__)
STREAMS(scalar, , float, 1, LOAD1, STORE1, "w", Sleef_expf1_u10purecfma, Sleef_erff1_u10purecfma)
STREAMS(neon, , float32x4_t, 4, vld1q_f32, vst1q_f32, "w", Sleef_expf4_u10advsimd,
        Sleef_erff4_u10advsimd)
#else
STREAMS(scalar, , float, 1, LOAD1, STORE1, "r", Sleef_expf1_u10purecfma, Sleef_erff1_u10purecfma)
#endif

const struct bench_streams *bench_streams_of(enum iolk_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case IOLK_ISA_AVX2:
        return &streams_avx2;
    case IOLK_ISA_AVX512:
        return &streams_avx512;
#elif defined(__aarch64__)
    case IOLK_ISA_NEON:
        return &streams_neon;
#endif
    default:
        return &streams_scalar;
    }
}
