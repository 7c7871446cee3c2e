/* Weights of packed panels, one at a time, by the words of panel_layout.h; and the references of
 * the ops that widen them. A weight is a float exactly; products of it are bounded as in gemm_f32.
 */
#ifndef IOLK_PANEL_WEIGHT_H
#define IOLK_PANEL_WEIGHT_H

#include <stdint.h>
#include <string.h>

#include "ops.h"
#include "ref/ref.h"

static inline float panel_bf16(const unsigned char *p)
{
    uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float panel_f16(const unsigned char *p)
{
    const int exponent = p[1] >> 2 & 31, fraction = (p[1] & 3) << 8 | p[0];
    double size = exponent == 31  ? fraction ? (double)NAN : HUGE_VAL
                  : exponent == 0 ? ldexp(fraction, -24)
                                  : ldexp(1024 + fraction, exponent - 25);
    return (float)(p[1] & 128 ? -size : size);
}

static inline float panel_weight_bf16(const unsigned char *panel, size_t k, size_t j)
{
    return panel_bf16(panel + k / 2 * 192 + 4 * j + k % 2 * 2);
}

static inline float panel_weight_f16(const unsigned char *panel, size_t k, size_t j)
{
    return panel_f16(panel + 96 * k + 2 * j);
}

static inline float panel_weight_q80(const unsigned char *panel, size_t k, size_t j)
{
    const unsigned char *pair = panel + k / 64 * (2 * 96 + 64 * 48);
    const int q = pair[192 + k % 64 * 48 + j];
    return panel_f16(pair + k / 32 % 2 * 96 + 2 * j) * (float)(q > 127 ? q - 256 : q);
}

/* Nibble of step k, which is in the 32-bit word of column j of its group of 8. */
static inline int panel_nibble(const unsigned char *groups, size_t k, size_t j)
{
    return groups[k / 8 * 192 + 4 * j + k % 8 / 2] >> k % 2 * 4 & 15;
}

static inline float panel_weight_q40(const unsigned char *panel, size_t k, size_t j)
{
    const unsigned char *pair = panel + k / 64 * (2 * 96 + 64 * 24);
    const float d = panel_f16(pair + k / 32 % 2 * 96 + 2 * j);
    return fmaf(d, (float)panel_nibble(pair + 192, k % 64, j), -8.0f * d);
}

static inline float panel_weight_q41(const unsigned char *panel, size_t k, size_t j)
{
    const unsigned char *block = panel + k / 32 * (2 * 96 + 32 * 24);
    return fmaf(panel_f16(block + 2 * j), (float)panel_nibble(block + 192, k % 32, j),
                panel_f16(block + 96 + 2 * j));
}

static inline float panel_weight_q4k(const unsigned char *panel, size_t k, size_t j)
{
    const unsigned char *super = panel + k / 256 * (2 * 96 + 16 * 48 + 256 * 24);
    const unsigned char *scales = super + 192 + k % 256 / 32 * 48, *minima = scales + 8 * 48;
    const float d = panel_f16(super + 2 * j) * (float)scales[j];
    const float m = panel_f16(super + 96 + 2 * j) * (float)minima[j];
    return fmaf(d, (float)panel_nibble(super + 192 + 16 * 48, k % 256, j), -m);
}

#define IOLK_GEMM_WIDENED_REF(dtype)                                                               \
    void iolk_gemm_##dtype##_ref(                                                                  \
        size_t m, size_t n, size_t k0, size_t k1, const float *a, size_t ld_a, const void *panel,  \
        size_t panel_bytes, const float *init, size_t ld_init, double *out_c, double *out_bound)   \
    {                                                                                              \
        for (size_t j = 0; j < n; j++) {                                                           \
            const unsigned char *own = (const unsigned char *)panel + j / IOLK_NR * panel_bytes;   \
            for (size_t i = 0; i < m; i++) {                                                       \
                out_c[i * n + j] = init ? (double)init[i * ld_init + j] : 0.0;                     \
                out_bound[i * n + j] = fabs(out_c[i * n + j]);                                     \
            }                                                                                      \
            for (size_t k = k0; k < k1; k++) {                                                     \
                const double w = (double)panel_weight_##dtype(own, k, j % IOLK_NR);                \
                for (size_t i = 0; i < m; i++) {                                                   \
                    const double product = (double)a[i * ld_a + k - k0] * w;                       \
                    out_c[i * n + j] += product;                                                   \
                    out_bound[i * n + j] += fabs(product);                                         \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        const double steps = (double)(k1 - k0);                                                    \
        for (size_t i = 0; i < m * n; i++) {                                                       \
            const double size = out_bound[i];                                                      \
            out_bound[i] = ref_bound32(out_c[i], size,                                             \
                                       ref_gamma(steps, ref_u32) * size + steps * ref_tiny32);     \
        }                                                                                          \
    }

#define IOLK_WIDEN_REF(dtype)                                                                      \
    void iolk_widen_##dtype##_ref(size_t k0, size_t k1, const void *panel, double *out,            \
                                  double *out_bound)                                               \
    {                                                                                              \
        for (size_t i = 0; i < (k1 - k0) * IOLK_NR; i++) {                                         \
            out[i] = (double)panel_weight_##dtype(panel, k0 + i / IOLK_NR, i % IOLK_NR);           \
            out_bound[i] = 0.0;                                                                    \
        }                                                                                          \
    }

#endif
