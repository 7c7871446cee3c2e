/* The ops on weights that stay as published: gemm and widen over packed panels of every dtype. */
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "kcheck.h"
#include "panel_layout.h"
#include "ref/ref.h"

/* --- panels of random weights, written by the words of panel_layout.h --- */

struct source {
    enum kc_kind kind;
    uint64_t seed;
};

static unsigned bits(struct source *s)
{
    return (unsigned)(iol_splitmix64(&s->seed) >> 40);
}

static void put_half(unsigned char *p, unsigned half)
{
    p[0] = (unsigned char)(half & 255U);
    p[1] = (unsigned char)(half >> 8);
}

/* An f16: `integer` where sums must be exact. */
static unsigned half_of(struct source *s, unsigned integer)
{
    static const unsigned special[8] = {0x7e00, 0x7c00, 0xfc00, 0x8000,
                                        0x0001, 0x0400, 0x7bff, 0x7c01};
    const unsigned r = bits(s);
    switch (s->kind) {
    case KC_INTEGER:
        return integer;
    case KC_WIDE: /* exponents 2^-14..2^2, and denormals */
        return (r & 0x8000U) | (r & 0x4000U ? r & 0x3ffU : (r & 0x3fffU) + 0x400U);
    case KC_TINY:
        return r & 0x83ffU;
    case KC_SPECIAL:
        return r >> 16 & 3U ? (r & 0x8fffU) | 0x3000U : special[r & 7U];
    case KC_REAL:
    case KC_KINDS:
    default:
        return (r & 0x8fffU) | 0x3000U; /* 2^-3..2 */
    }
}

/* The f16 of an integer in -4..4. */
static unsigned small_integer(struct source *s)
{
    static const unsigned halves[9] = {0xc400, 0xc200, 0xc000, 0xbc00, 0,
                                       0x3c00, 0x4000, 0x4200, 0x4400};
    return halves[bits(s) % 9];
}

static void fill_halves(unsigned char *p, size_t count, struct source *s, unsigned integer)
{
    for (size_t i = 0; i < count; i++) {
        put_half(p + 2 * i, half_of(s, integer));
    }
}

static void fill_bytes(unsigned char *p, size_t count, struct source *s, unsigned limit,
                       int integer)
{
    for (size_t i = 0; i < count; i++) {
        p[i] = (unsigned char)(s->kind == KC_INTEGER ? (unsigned)integer : bits(s) % limit);
    }
}

static void fill_bf16(unsigned char *panel, size_t k, struct source *s)
{
    for (size_t i = 0; i < iolk_panel_bytes_bf16(k) / 2; i++) {
        float f;
        uint32_t word;
        kc_fill(&(struct kc_array){1, 1, 1, sizeof f, KC_IN}, &f, s->kind, false, bits(s));
        memcpy(&word, &f, sizeof word);
        put_half(panel + 2 * i, word >> 16);
    }
}

static void fill_f16(unsigned char *panel, size_t k, struct source *s)
{
    for (size_t i = 0; i < iolk_panel_bytes_f16(k) / 2; i++) {
        put_half(panel + 2 * i, half_of(s, small_integer(s)));
    }
}

/* Nibbles lowest .. lowest + 8 for exact sums, any otherwise. */
static void fill_nibbles(unsigned char *p, size_t count, struct source *s, int lowest)
{
    for (size_t i = 0; i < count; i++) {
        const unsigned r = bits(s);
        unsigned low = r & 15U, high = r >> 4 & 15U;
        if (s->kind == KC_INTEGER) {
            low = (unsigned)((int)(r % 9) + lowest) & 15U;
            high = (unsigned)((int)(r / 9 % 9) + lowest) & 15U;
        }
        p[i] = (unsigned char)(low | high << 4);
    }
}

static void fill_q80(unsigned char *panel, size_t k, struct source *s)
{
    for (size_t i = 0; i < (k + 63) / 64; i++, panel += IOLK_Q80_PAIR) {
        fill_halves(panel, 96, s, 0x3c00);
        for (size_t b = 0; b < 64 * 48; b++) {
            const unsigned r = bits(s);
            panel[192 + b] = (unsigned char)(s->kind == KC_INTEGER ? r % 9 + 252U : r);
        }
    }
}

static void fill_q40(unsigned char *panel, size_t k, struct source *s)
{
    for (size_t i = 0; i < (k + 63) / 64; i++, panel += IOLK_Q40_PAIR) {
        fill_halves(panel, 96, s, 0x3c00);
        fill_nibbles(panel + 192, 64 * 24, s, 4);
    }
}

static void fill_q41(unsigned char *panel, size_t k, struct source *s)
{
    for (size_t i = 0; i < (k + 31) / 32; i++, panel += IOLK_Q41_BLOCK) {
        fill_halves(panel, 48, s, 0x3c00);
        fill_halves(panel + 96, 48, s, 0xc400);
        fill_nibbles(panel + 192, 32 * 24, s, 0);
    }
}

static void fill_q4k(unsigned char *panel, size_t k, struct source *s)
{
    for (size_t i = 0; i < (k + 255) / 256; i++, panel += IOLK_Q4K_SUPER) {
        fill_halves(panel, 96, s, 0x3c00);
        fill_bytes(panel + 192, 8 * 48, s, 64, 1);
        fill_bytes(panel + 192 + 8 * 48, 8 * 48, s, 64, 4);
        fill_nibbles(panel + 192 + 16 * 48, 256 * 24, s, 0);
    }
}

typedef size_t bytes_fn(size_t k);
typedef void fill_fn(unsigned char *panel, size_t k, struct source *s);

static struct kc_array panel_array(bytes_fn *bytes, size_t k, size_t panels)
{
    const size_t floats = panels * bytes(k) / sizeof(float); /* whole groups of 192 bytes */
    return (struct kc_array){1, floats, floats, sizeof(float), KC_IN};
}

static void refill(const struct kc_case *c, size_t array, unsigned char *p, size_t k, size_t bytes,
                   fill_fn *fill)
{
    struct source s = {c->kind, c->size[0] * 1000003 + c->size[1] * 10007 + c->size[2] * 101 + k};
    const size_t all = c->array[array].columns * sizeof(float);
    for (size_t at = 0; at < all; at += bytes) {
        fill(p + at, k, &s);
    }
}

/* --- slices of k: within a group, over groups, blocks, pairs and super-blocks --- */

static const size_t slices[][2] = {{0, 0},  {0, 1},  {0, 2},   {1, 2},    {0, 7},   {3, 10},
                                   {0, 32}, {5, 64}, {31, 97}, {64, 160}, {40, 300}};
enum { SLICES = sizeof slices / sizeof *slices };

/* --- gemm --- */

/* The last two also keep the widened weights. */
enum { FROM_ZERO, FROM_BIAS, FROM_MATRIX, FROM_C, KEEP_ZERO, KEEP_C, INITS };

static bool from_c(size_t init)
{
    return init == FROM_C || init == KEEP_C;
}

static bool keeps(size_t init)
{
    return init >= KEEP_ZERO;
}

static bool gemm_shape(bytes_fn *bytes, size_t index, enum kc_kind kind, struct kc_case *out)
{
    static const size_t widths[] = {1,  2,  3,  4,  5,  6,  7,  8,   9,   15, 16, 17,
                                    23, 24, 25, 31, 32, 33, 39, 40,  41,  47, 48, 49,
                                    63, 64, 80, 81, 95, 96, 97, 143, 145, 192};
    enum { WIDTHS = sizeof widths / sizeof *widths };
    if (index >= (size_t)IOLK_WIDE_MR * WIDTHS * SLICES) {
        return false;
    }
    const size_t m = index % IOLK_WIDE_MR + 1, turn = index / IOLK_WIDE_MR;
    const size_t *slice = slices[turn / WIDTHS], k = slice[1] - slice[0];
    size_t n = widths[turn % WIDTHS], init = (index + index / INITS + kind) % INITS;
    if (m > 1 && n > IOLK_NR) { /* several panels are for one row that keeps nothing */
        n = (n - 1) % IOLK_NR + 1;
    } else if (n > IOLK_NR) {
        init %= KEEP_ZERO;
    }
    *out = (struct kc_case){
        .kind = kind,
        .size = {m, n, slice[0], slice[1], init},
        .array = {{m, k, k + n % 3 * 5, sizeof(float), KC_IN},
                  panel_array(bytes, slice[1], (n + IOLK_NR - 1) / IOLK_NR),
                  {m, n, n + m % 3 * 3, sizeof(float), from_c(init) ? KC_INOUT : KC_OUT},
                  {init == FROM_BIAS ? 1 : m, n, n + turn % 2, sizeof(float), KC_IN}},
        .arrays = init == FROM_ZERO || init == FROM_C ? 3 : 4};
    if (keeps(init)) {
        out->array[3] = (struct kc_array){k, IOLK_NR, IOLK_NR, sizeof(float), KC_OUT};
    }
    return true;
}

static const float *gemm_init(const struct kc_case *c, void *const *p, size_t *out_ld)
{
    const size_t init = c->size[4];
    *out_ld = from_c(init) ? c->array[2].ld : init == FROM_MATRIX ? c->array[3].ld : 0;
    return from_c(init) ? p[2] : init == FROM_BIAS || init == FROM_MATRIX ? p[3] : NULL;
}

/* Of one of the panels that the case has. */
static size_t gemm_panel_bytes(const struct kc_case *c)
{
    return c->array[1].columns * sizeof(float) / ((c->size[1] + IOLK_NR - 1) / IOLK_NR);
}

static void gemm_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    size_t ld_init;
    const float *init = gemm_init(c, p, &ld_init);
    ((iolk_gemm_widened_fn *)fn)(c->size[0], c->size[1], c->size[2], c->size[3], p[0],
                                 c->array[0].ld, p[1], gemm_panel_bytes(c),
                                 (enum iolk_panel_fetch)(c->size[2] % 3), init, ld_init, p[2],
                                 c->array[2].ld, keeps(c->size[4]) ? p[3] : NULL);
}

/* --- widen --- */

static bool widen_shape(bytes_fn *bytes, size_t index, enum kc_kind kind, struct kc_case *out)
{
    if (index >= SLICES) {
        return false;
    }
    const size_t *slice = slices[index], k = slice[1] - slice[0];
    *out = (struct kc_case){
        .kind = kind,
        .size = {slice[0], slice[1]},
        .array = {panel_array(bytes, slice[1], 1), {k, IOLK_NR, IOLK_NR, sizeof(float), KC_OUT}},
        .arrays = 2};
    return true;
}

static void widen_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_widen_fn *)fn)(c->size[0], c->size[1], p[0], p[1]);
}

#define DTYPE(dtype)                                                                               \
    static bool gemm_shape_##dtype(size_t index, enum kc_kind kind, struct kc_case *out)           \
    {                                                                                              \
        return gemm_shape(iolk_panel_bytes_##dtype, index, kind, out);                             \
    }                                                                                              \
    static void gemm_prepare_##dtype(struct kc_case *c, void *const *p)                            \
    {                                                                                              \
        refill(c, 1, p[1], c->size[3], iolk_panel_bytes_##dtype(c->size[3]), fill_##dtype);        \
    }                                                                                              \
    static void gemm_reference_##dtype(const struct kc_case *c, void *const *p,                    \
                                       double *const *out, double *const *bound)                   \
    {                                                                                              \
        size_t ld_init;                                                                            \
        const float *init = gemm_init(c, p, &ld_init);                                             \
        iolk_gemm_##dtype##_ref(c->size[0], c->size[1], c->size[2], c->size[3], p[0],              \
                                c->array[0].ld, p[1], gemm_panel_bytes(c), init, ld_init, out[2],  \
                                bound[2]);                                                         \
        if (keeps(c->size[4])) {                                                                   \
            iolk_widen_##dtype##_ref(c->size[2], c->size[3], p[1], out[3], bound[3]);              \
        }                                                                                          \
    }                                                                                              \
    static bool widen_shape_##dtype(size_t index, enum kc_kind kind, struct kc_case *out)          \
    {                                                                                              \
        return widen_shape(iolk_panel_bytes_##dtype, index, kind, out);                            \
    }                                                                                              \
    static void widen_prepare_##dtype(struct kc_case *c, void *const *p)                           \
    {                                                                                              \
        refill(c, 0, p[0], c->size[1], iolk_panel_bytes_##dtype(c->size[1]), fill_##dtype);        \
    }                                                                                              \
    static void widen_reference_##dtype(const struct kc_case *c, void *const *p,                   \
                                        double *const *out, double *const *bound)                  \
    {                                                                                              \
        iolk_widen_##dtype##_ref(c->size[0], c->size[1], p[0], out[1], bound[1]);                  \
    }                                                                                              \
    const struct kc_op kc_gemm_##dtype = {                                                         \
        "m n k0 k1 init",     true,      gemm_shape_##dtype,                                       \
        gemm_prepare_##dtype, gemm_call, gemm_reference_##dtype};                                  \
    const struct kc_op kc_widen_##dtype = {"k0 k1",                                                \
                                           true,                                                   \
                                           widen_shape_##dtype,                                    \
                                           widen_prepare_##dtype,                                  \
                                           widen_call,                                             \
                                           widen_reference_##dtype};

DTYPE(bf16)
DTYPE(f16)
DTYPE(q80)
DTYPE(q40)
DTYPE(q41)
DTYPE(q4k)
