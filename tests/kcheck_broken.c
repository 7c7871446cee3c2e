#include "kcheck_broken.h"

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

size_t kcb_fired;

/* --- denormals ---------------------------------------------------------------------------------
 */

#if defined(__x86_64__)
enum { FLUSH = 0x8040 };
static unsigned long mode_get(void)
{
    return _mm_getcsr();
}
static void mode_set(unsigned long mode)
{
    _mm_setcsr((unsigned)mode);
}
#elif defined(__aarch64__)
enum { FLUSH = 1 << 24 };
static unsigned long mode_get(void)
{
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void mode_set(unsigned long mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
}
#else
enum { FLUSH = 0 };
static unsigned long mode_get(void)
{
    return 0;
}
static void mode_set(unsigned long mode)
{
    (void)mode;
}
#endif

bool kcb_flush_denormals(void)
{
    mode_set(mode_get() | FLUSH);
    return FLUSH != 0;
}

void kcb_keep_denormals(void)
{
    mode_set(mode_get() & ~(unsigned long)FLUSH);
}

bool kcb_flushes_denormals(void)
{
    return FLUSH != 0 && (mode_get() & FLUSH) == FLUSH;
}

/* --- sabotage ----------------------------------------------------------------------------------
 */

static bool empty(const struct kc_array *a)
{
    return !a->rows || !a->columns;
}

static unsigned char *end_of(const struct kc_array *a, void *p)
{
    return (unsigned char *)p + ((a->rows - 1) * a->ld + a->columns) * a->size;
}

/* Do `statement` for the arrays (a, p[i]) of a role that are not empty. */
#define EACH_ARRAY(condition, statement)                                                           \
    for (size_t i = 0; i < c->arrays; i++) {                                                       \
        const struct kc_array *a = &c->array[i];                                                   \
        if (!empty(a) && (condition)) {                                                            \
            kcb_fired++;                                                                           \
            statement;                                                                             \
        }                                                                                          \
    }

/* The lowest bit of the last element: little-endian. */
static void flip_last_bit(const struct kc_case *c, void *const *p)
{
    EACH_ARRAY(a->role != KC_IN, end_of(a, p[i])[-(ptrdiff_t)a->size] ^= 1)
}

static void flip_when_unaligned(const struct kc_case *c, void *const *p)
{
    EACH_ARRAY(a->role != KC_IN && (uintptr_t)p[i] % 16, end_of(a, p[i])[-(ptrdiff_t)a->size] ^= 1)
}

static void write_after(const struct kc_case *c, void *const *p)
{
    EACH_ARRAY(a->role != KC_IN, *(volatile unsigned char *)end_of(a, p[i]) ^= 1)
}

static void write_before(const struct kc_case *c, void *const *p)
{
    EACH_ARRAY(a->role != KC_IN, ((volatile unsigned char *)p[i])[-1] ^= 1)
}

static void write_gap(const struct kc_case *c, void *const *p)
{
    EACH_ARRAY(a->role != KC_IN && a->rows > 1 && a->ld > a->columns,
               ((volatile unsigned char *)p[i])[a->columns * a->size] ^= 1)
}

static void write_input(const struct kc_case *c, void *const *p)
{
    EACH_ARRAY(a->role == KC_IN, end_of(a, p[i])[-1] ^= 1)
}

static void read_after(const struct kc_case *c, void *const *p)
{
    EACH_ARRAY(true, (void)*(volatile unsigned char *)end_of(a, p[i]))
}

static void read_before(const struct kc_case *c, void *const *p)
{
    EACH_ARRAY(true, (void)((volatile unsigned char *)p[i])[-1])
}

static void forget_last(const struct kc_case *c, void *const *p)
{
    EACH_ARRAY(a->role == KC_OUT, memset(end_of(a, p[i]) - a->size, 0xff, a->size))
}

static void lose_minus_zero(const struct kc_case *c, void *const *p)
{
    static const unsigned char minus_zero[4] = {0, 0, 0, 0x80};
    EACH_ARRAY(a->role != KC_IN && a->size == sizeof(float), {
        unsigned char *last = end_of(a, p[i]) - a->size;
        last[3] = memcmp(last, minus_zero, sizeof minus_zero) == 0 ? 0 : last[3];
    })
}

static void flush(void)
{
    kcb_fired += kcb_flush_denormals();
}

static void keep(const struct kc_case *c, void *const *p)
{
    (void)c;
    (void)p;
    kcb_keep_denormals();
}

const struct kcb_sabotage kcb_sabotages[] = {
    {"flips the last bit of the last result", NULL, flip_last_bit, false, NULL},
    {"gives other bits at unaligned addresses", NULL, flip_when_unaligned, false, NULL},
    {"writes past the end", NULL, write_after, false, NULL},
    {"writes before the start", NULL, write_before, false, NULL},
    {"writes between the rows", NULL, write_gap, false, NULL},
    {"writes to an input", NULL, write_input, false, NULL},
    {"reads past the end", NULL, read_after, true, NULL},
    {"reads before the start", NULL, read_before, true, NULL},
    {"leaves the last result unwritten", NULL, forget_last, false, NULL},
    {"turns -0 into 0", NULL, lose_minus_zero, false,
     "softmax_f32,sumexp_f32,exp_f32,chains_f32,gelu_erf_f32,bias_gelu_erf_f32,widen_f16,widen_q80,"
     "widen_q40,widen_q41,widen_q4k"},
    {"flushes denormals", flush, keep, false,
     "kl_f64,widen_bf16,widen_f16,widen_q80,widen_q40,widen_q41,widen_q4k"}, /* no f32 operation */
};
const size_t kcb_sabotage_count = sizeof kcb_sabotages / sizeof *kcb_sabotages;

/* --- broken kernels ----------------------------------------------------------------------------
 */

/* A right gemm over k of one element, to be spoilt. */
static float chain(size_t k, const float *a, const float *b, size_t ld_b, float sum)
{
    for (size_t l = 0; l < k; l++) {
        sum = fmaf(a[l], b[l * ld_b], sum);
    }
    return sum;
}

#define GEMM(name, value)                                                                          \
    static void name(size_t m, size_t n, size_t k, const float *a, size_t ld_a, const float *b,    \
                     size_t ld_b, const float *init, size_t ld_init, float *c, size_t ld_c,        \
                     const struct iolk_fetch *fetch)                                               \
    {                                                                                              \
        (void)fetch;                                                                               \
        kcb_fired++;                                                                               \
        for (size_t i = 0; i < m; i++) {                                                           \
            for (size_t j = 0; j < n; j++) {                                                       \
                const float *x = a + i * ld_a, *w = b + j;                                         \
                float start = init ? init[i * ld_init + j] : 0.0f;                                 \
                c[i * ld_c + j] = (value);                                                         \
            }                                                                                      \
        }                                                                                          \
    }

static float unfused(size_t k, const float *a, const float *b, size_t ld_b, float sum)
{
    for (size_t l = 0; l < k; l++) {
        float product = a[l] * b[l * ld_b];
        sum += product;
    }
    return sum;
}

static float descending(size_t k, const float *a, const float *b, size_t ld_b, float sum)
{
    while (k-- > 0) {
        sum = fmaf(a[k], b[k * ld_b], sum);
    }
    return sum;
}

/* k in two halves, added at the end: the usual way to hide the latency of an FMA. */
GEMM(gemm_two_chains,
     chain(k / 2, x, w, ld_b, start) + chain(k - k / 2, x + k / 2, w + k / 2 * ld_b, ld_b, 0.0f))
GEMM(gemm_unfused, unfused(k, x, w, ld_b, start))
GEMM(gemm_without_init, chain(k, x, w, ld_b, start * 0.0f))
GEMM(gemm_descending, descending(k, x, w, ld_b, start))
GEMM(gemm_without_tail, j < n / 16 * 16 || n < 16 ? chain(k, x, w, ld_b, start) : start)
/* Reads whole vectors of a row of B, as if panels were always full. */
GEMM(gemm_wide_reads,
     chain(k, x, w, ld_b, start) +
         (k && ((const volatile float *)w)[(k - 1) * ld_b + 3] > 1e30f ? 0.0f : 0.0f))
GEMM(gemm_rows_differ,
     m == 8 && i == 7 ? descending(k, x, w, ld_b, start) : chain(k, x, w, ld_b, start))

/* The next panel is taken to begin where this slice of k ends. */
static void panels_of_a_slice(size_t m, size_t panels, size_t k, const float *a, size_t ld_a,
                              const float *b, size_t panel_floats, const float *init,
                              size_t ld_init, float *c, size_t ld_c)
{
    (void)panel_floats;
    kcb_fired++;
    iolk_panels_f32_scalar(m, panels, k, a, ld_a, b, k * IOLK_NR, init, ld_init, c, ld_c);
}

static void chains_two(size_t m, size_t n, const float *restrict q, size_t ld_q,
                       const float *restrict k, size_t ld_k, float *restrict out)
{
    kcb_fired++;
    for (size_t i = 0; i < m; i++) {
        const float *x = q + i * ld_q, *y = k + i * ld_k;
        out[i] = chain(n / 2, x, y, 1, 0.0f) + chain(n - n / 2, x + n / 2, y + n / 2, 1, 0.0f);
    }
}

static void fma_unfused(size_t steps, float a, float b, float *y)
{
    const float product = a * b;
    kcb_fired++;
    for (size_t i = 0; i < IOLK_FMA_CHAINS; i++) {
        for (size_t s = 0; s < steps; s++) {
            y[i] += product;
        }
    }
}

static double sum_in_order(size_t n, const float *x)
{
    double sum = 0.0;
    kcb_fired++;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
    }
    return sum;
}

/* Eight lanes instead of sixteen. */
static double dot_eight_lanes(size_t n, const float *x, const double *v)
{
    double lane[8] = {0.0};
    kcb_fired++;
    for (size_t i = 0; i < n; i++) {
        lane[i % 8] = fma((double)x[i], v[i], lane[i % 8]);
    }
    for (size_t s = 4; s > 0; s /= 2) {
        for (size_t j = 0; j < s; j++) {
            lane[j] += lane[j + s];
        }
    }
    return lane[0];
}

/* Multiplies by a reciprocal. */
static void silu_mul_reciprocal(size_t n, const float *gate, const float *up, float *y)
{
    kcb_fired++;
    for (size_t i = 0; i < n; i++) {
        y[i] = gate[i] * (1.0f / (1.0f + expf(-gate[i]))) * up[i];
    }
}

/* Variance as E(x^2) - E(x)^2, which cancels. */
static void layernorm_one_pass_row(size_t n, const float *restrict x, const float *restrict gain,
                                   const float *restrict bias, float eps, float *restrict y)
{
    float sum = 0.0f, squares = 0.0f;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        squares = fmaf(x[i], x[i], squares);
    }
    float mean = sum / (float)n, r = 1.0f / sqrtf(squares / (float)n - mean * mean + eps);
    for (size_t i = 0; i < n; i++) {
        y[i] = fmaf((x[i] - mean) * r, gain[i], bias[i]);
    }
}

static void layernorm_one_pass(size_t m, size_t n, const float *restrict x, size_t ld_x,
                               const float *restrict gain, const float *restrict bias, float eps,
                               float *restrict y, size_t ld_y)
{
    kcb_fired++;
    for (size_t r = 0; r < m; r++) {
        layernorm_one_pass_row(n, x + r * ld_x, gain, bias, eps, y + r * ld_y);
    }
}

/* Normalises the residual that was there before the addition. */
static void add_rmsnorm_of_old(size_t m, size_t n, float *restrict x, size_t ld_x,
                               const float *restrict c, size_t ld_c, const float *restrict gain,
                               float eps, float *restrict y, size_t ld_y)
{
    kcb_fired++;
    for (size_t r = 0; r < m; r++, x += ld_x, c += ld_c, y += ld_y) {
        float squares = 0.0f;
        for (size_t i = 0; i < n; i++) {
            squares = fmaf(x[i], x[i], squares);
        }
        float factor = 1.0f / sqrtf(squares / (float)n + eps);
        for (size_t i = 0; i < n; i++) {
            x[i] += c[i];
            y[i] = x[i] * factor * gain[i];
        }
    }
}

/* Another exponential, right within 1 ULP: the bits must tell. */
static void exp_of_libm(size_t n, const float *x, float *y)
{
    kcb_fired++;
    for (size_t i = 0; i < n; i++) {
        y[i] = (float)exp((double)x[i]);
    }
}

/* Forgets to subtract the maximum. */
static void sumexp_without_max(size_t n, const float *restrict x, float *restrict out_max,
                               float *restrict out_sum)
{
    *out_max = -INFINITY;
    *out_sum = 0.0f;
    kcb_fired++;
    for (size_t i = 0; i < n; i++) {
        *out_max = x[i] > *out_max ? x[i] : *out_max;
        *out_sum += expf(x[i]);
    }
}

/* All rows as long as the first. */
static void softmax_one_length(size_t m, size_t n, size_t step, float scale, float *restrict scores,
                               size_t ld, float *restrict out_rcp)
{
    (void)step;
    kcb_fired++;
    iolk_softmax_f32_scalar(m, n, 0, scale, scores, ld, out_rcp);
}

/* Masked keys added as 0 times their value: NaN where that is not finite, and -0 becomes 0. */
static void mix_masked(size_t m, size_t n, size_t first, const float *e, size_t ld_e,
                       const float *v, size_t ld_v, const float *factor, int from_y, float *y,
                       size_t ld_y)
{
    kcb_fired++;
    for (size_t r = 0; r < m; r++) {
        for (size_t c = 0; c < n; c++) {
            float sum = from_y ? y[r * ld_y + c] : 0.0f;
            for (size_t j = 0; j < first + m - 1; j++) {
                float weight = j < first + r ? e[r * ld_e + j] : 0.0f;
                sum = fmaf(weight, v[j * ld_v + c], sum);
            }
            y[r * ld_y + c] = factor[r] * sum;
        }
    }
}

static void tail_divided_first(size_t m, size_t n, const float *restrict e, size_t ld_e,
                               const float *restrict v, size_t ld_v, const float *restrict factor,
                               float *restrict y, size_t ld_y)
{
    kcb_fired++;
    for (size_t r = 0; r < m; r++) {
        for (size_t c = 0; c < n; c++) {
            float *to = y + r * ld_y + c;
            *to = fmaf(factor[r] * e[r * ld_e], v[r * ld_v + c], factor[r] * *to);
        }
    }
}

#define BROKEN(op, fn)                                                                             \
    {                                                                                              \
        IOLK_OP_##op, IOLK_ISA_SCALAR, #fn, (kc_fn *)fn, NULL, NULL                                \
    }
const struct kc_variant kcb_broken[] = {BROKEN(gemm_f32, gemm_two_chains),
                                        BROKEN(gemm_f32, gemm_unfused),
                                        BROKEN(gemm_f32, gemm_without_init),
                                        BROKEN(gemm_f32, gemm_descending),
                                        BROKEN(gemm_f32, gemm_without_tail),
                                        BROKEN(gemm_f32, gemm_wide_reads),
                                        BROKEN(gemm_f32, gemm_rows_differ),
                                        BROKEN(panels_f32, panels_of_a_slice),
                                        BROKEN(chains_f32, chains_two),
                                        BROKEN(fma_f32, fma_unfused),
                                        BROKEN(sum_f64, sum_in_order),
                                        BROKEN(dot_f64, dot_eight_lanes),
                                        BROKEN(silu_mul_f32, silu_mul_reciprocal),
                                        BROKEN(layernorm_f32, layernorm_one_pass),
                                        BROKEN(add_rmsnorm_f32, add_rmsnorm_of_old),
                                        BROKEN(exp_f32, exp_of_libm),
                                        BROKEN(softmax_f32, softmax_one_length),
                                        BROKEN(mix_f32, mix_masked),
                                        BROKEN(tail_f32, tail_divided_first),
                                        BROKEN(sumexp_f32, sumexp_without_max)};
const size_t kcb_broken_count = sizeof kcb_broken / sizeof *kcb_broken;
