/* The vocabulary of the kernels on weights as published (../panel_dtypes.h). Each ISA's
 * header gives LANES and how a panel of 48 columns is cut into VECTORS at a time and up to ROWS
 * rows, and on a vector vf of LANES floats:
 *
 *   vf_zero, vf_set1(p), vf_load, vf_store, vf_load_n, vf_store_n (the first n < LANES only)
 *   vf_neg, vf_mul, vf_fma(a, b, c) = a * b + c rounded once, vf_fma_in_place(acc, a, b)
 *   vf_bf16(p, i)   half i (0 low, 1 high) of LANES words, as the upper half of a float
 *   vf_f16(p)       LANES f16, exact (denormals kept)
 *   vf_s8(p)        LANES signed bytes
 *   vf_u4x16(p, i)  sixteen times nibble i of LANES words: 0, 16 .. 240
 *   fetch(p, l2)    a prefetch, which may point anywhere; l2: into L2, not through L1 */
#ifndef IOLK_PANEL_SCALAR_H
#define IOLK_PANEL_SCALAR_H

#include "../half.h"
#include "../ops.h"

#include <string.h>

enum { LANES = 1, VECTORS = 6 };
#define ROWS 2

typedef float vf;

static inline vf vf_of_bits(uint32_t bits)
{
    vf v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline vf vf_zero(void)
{
    return 0.0f;
}

static inline vf vf_set1(const float *p)
{
    return *p;
}

static inline vf vf_load(const float *p)
{
    return *p;
}

static inline vf vf_load_n(const float *p, size_t n)
{
    return n ? *p : 0.0f;
}

static inline void vf_store(float *p, vf v)
{
    *p = v;
}

static inline void vf_store_n(float *p, vf v, size_t n)
{
    if (n) {
        *p = v;
    }
}

static inline vf vf_neg(vf a)
{
    return -a;
}

static inline vf vf_mul(vf a, vf b)
{
    return a * b;
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return __builtin_fmaf(a, b, c);
}

static inline vf vf_fma_in_place(vf acc, vf a, vf b)
{
    return __builtin_fmaf(a, b, acc);
}

static inline uint32_t load_word(const unsigned char *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

static inline vf vf_bf16(const unsigned char *p, size_t i)
{
    const uint32_t w = load_word(p);
    return vf_of_bits(i ? w & 0xffff0000U : w << 16);
}

static inline vf vf_f16(const unsigned char *p)
{
    return iolk_half_widen((uint32_t)p[0] | (uint32_t)p[1] << 8);
}

static inline vf vf_s8(const unsigned char *p)
{
    return (vf)(*p < 128 ? (int)*p : (int)*p - 256);
}

static inline vf vf_u4x16(const unsigned char *p, size_t i)
{
    return (vf)((load_word(p) >> 4 * i & 15) * 16);
}

static inline void fetch(const unsigned char *p, int into_l2)
{
    (void)p, (void)into_l2;
}

#endif
