/* One entry per op: its shapes, how it is called, its reference. */
#include <math.h>
#include <string.h>

#include "kcheck.h"
#include "ref/ref.h"

/* Lengths around every vector width, primes, and beyond one chunk of the vocabulary. */
static const size_t lengths[] = {
    0,  1,  2,  3,   4,   5,   6,   7,   8,   9,   10,  11,  12,  13,  14,   15,   16,  17, 18, 19,
    20, 21, 22, 23,  24,  25,  26,  27,  28,  29,  30,  31,  32,  33,  34,   35,   36,  37, 38, 39,
    40, 41, 42, 43,  44,  45,  46,  47,  48,  49,  50,  53,  61,  63,  64,   65,   67,  79, 80, 81,
    95, 96, 97, 101, 112, 127, 128, 129, 131, 160, 257, 509, 521, 768, 1021, 1024, 1031};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static struct kc_array vector(size_t n, size_t size, enum kc_role role)
{
    return (struct kc_array){1, n, n, size, role};
}

static struct kc_array floats(size_t n, enum kc_role role)
{
    return vector(n, sizeof(float), role);
}

/* A factor: integer, inexact, or one that makes denormals. */
static double factor(enum kc_kind kind)
{
    static const double factors[KC_KINDS] = {3.0, -0.37, 1771.7, 0.3, -0.75};
    return (double)(float)factors[kind];
}

/* --- gemm --- */

enum { FROM_ZERO, FROM_BIAS, FROM_MATRIX, FROM_C, INITS };
enum { AHEAD_NONE, AHEAD_ELSEWHERE, AHEAD_OWN, AHEADS };

static bool gemm_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    static const size_t depths[] = {0, 1, 2, 3, 7, 16, 100, 63};
    enum { DEPTHS = sizeof depths / sizeof *depths };
    size_t m = index % IOLK_MR + 1, n = index / IOLK_MR % IOLK_NR + 1;
    size_t turn = index / (IOLK_MR * IOLK_NR);
    if (turn >= (size_t)DEPTHS * INITS) {
        return false;
    }
    if (m == 1 && turn % 2) {
        n += IOLK_NR; /* a single row may be twice as wide */
    } else {
        m += (n + turn) % 4 == 3 ? IOLK_MR * (1 + turn % 3) : 0; /* several tiles, up to 32 rows */
    }
    size_t k = depths[turn % DEPTHS], init = turn / DEPTHS, ahead = (m + n / 3 + kind) % AHEADS;
    size_t ld_b = (m + n) % 2 && n <= IOLK_NR ? (size_t)IOLK_NR : n + turn % 3 * 7;
    *out = (struct kc_case){
        .kind = kind,
        .size = {m, n, k, init, ahead},
        .array = {{m, k, k + n % 3 * 5, sizeof(float), KC_IN},
                  {k, n, ld_b, sizeof(float), KC_IN},
                  {m, n, n + m % 3 * 3, sizeof(float), init == FROM_C ? KC_INOUT : KC_OUT},
                  {init == FROM_BIAS ? 1 : m, n, n + turn % 2, sizeof(float), KC_IN}},
        .arrays = init == FROM_BIAS || init == FROM_MATRIX ? 4 : 3};
    return true;
}

static const float *gemm_init(const struct kc_case *c, void *const *p, size_t *out_ld)
{
    size_t init = c->size[3];
    *out_ld = init == FROM_C ? c->array[2].ld : init == FROM_MATRIX ? c->array[3].ld : 0;
    return init == FROM_ZERO ? NULL : init == FROM_C ? p[2] : p[3];
}

static void gemm_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    size_t ld_init;
    const float *init = gemm_init(c, p, &ld_init);
    /* A prefetch may not fault, wherever it points. */
    const struct iolk_fetch fetch = {.at = c->size[4] == AHEAD_ELSEWHERE ? kc_forbidden() : NULL,
                                     .lines = 37,
                                     .into_l2 = (c->size[0] + c->size[1] + c->size[2]) % 2,
                                     .streams = (c->size[0] + c->size[1]) % 5,
                                     .far = c->size[3] % 2};
    ((iolk_gemm_f32_fn *)fn)(c->size[0], c->size[1], c->size[2], p[0], c->array[0].ld, p[1],
                             c->array[1].ld, init, ld_init, p[2], c->array[2].ld,
                             c->size[4] == AHEAD_NONE ? NULL : &fetch);
}

static void gemm_reference(const struct kc_case *c, void *const *p, double *const *out,
                           double *const *bound)
{
    size_t ld_init;
    const float *init = gemm_init(c, p, &ld_init);
    iolk_gemm_f32_ref(c->size[0], c->size[1], c->size[2], p[0], c->array[0].ld, p[1],
                      c->array[1].ld, init, ld_init, out[2], bound[2]);
}

const struct kc_op kc_gemm_f32 = {"m n k init ahead", true,          gemm_shape, NULL,
                                  gemm_call,          gemm_reference};

static bool panels_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    static const size_t depths[] = {0, 1, 2, 3, 17, 80};
    static const size_t sizes[][2] = {
        {1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {1, 7}, {1, 8}, {2, 1},
        {2, 2}, {2, 3}, {2, 4}, {3, 1}, {3, 2}, {4, 1}, {4, 2}}; /* m, panels: all there are */
    enum { DEPTHS = sizeof depths / sizeof *depths, SIZES = sizeof sizes / sizeof *sizes };
    const size_t m = sizes[index % SIZES][0], panels = sizes[index % SIZES][1],
                 turn = index / SIZES;
    if (turn >= (size_t)DEPTHS * INITS) {
        return false;
    }
    const size_t k = depths[turn % DEPTHS], init = turn / DEPTHS, n = panels * IOLK_NR,
                 rows = panels * (k + index % 3); /* other weights between the panels */
    *out = (struct kc_case){
        .kind = kind,
        .size = {m, panels, k, init, k + index % 3},
        .array = {{m, k, k + turn % 3 * 5, sizeof(float), KC_IN},
                  {rows, IOLK_NR, IOLK_NR, sizeof(float), KC_IN},
                  {m, n, n + m % 3 * 3, sizeof(float), init == FROM_C ? KC_INOUT : KC_OUT},
                  {init == FROM_BIAS ? 1 : m, n, n + turn % 2, sizeof(float), KC_IN}},
        .arrays = init == FROM_BIAS || init == FROM_MATRIX ? 4 : 3};
    return true;
}

static void panels_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    const size_t *s = c->size;
    size_t ld_init;
    const float *init = gemm_init(c, p, &ld_init);
    ((iolk_panels_f32_fn *)fn)(s[0], s[1], s[2], p[0], c->array[0].ld, p[1], s[4] * IOLK_NR, init,
                               ld_init, p[2], c->array[2].ld);
}

static void panels_reference(const struct kc_case *c, void *const *p, double *const *out,
                             double *const *bound)
{
    const size_t *s = c->size;
    size_t ld_init;
    const float *init = gemm_init(c, p, &ld_init);
    iolk_panels_f32_ref(s[0], s[1], s[2], p[0], c->array[0].ld, p[1], s[4] * IOLK_NR, init, ld_init,
                        out[2], bound[2]);
}

const struct kc_op kc_panels_f32 = {
    "m panels k init k_of_panel", true, panels_shape, NULL, panels_call, panels_reference};

/* --- chains --- */

static bool chains_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    static const size_t rows[] = {0, 1, 2, 3, 5, 7, 8, 9, 16, 17};
    static const size_t widths[] = {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 48, 64, 65, 101, 128};
    enum { ROWS = sizeof rows / sizeof *rows, WIDTHS = sizeof widths / sizeof *widths };
    if (index >= (size_t)2 * ROWS * WIDTHS) {
        return false;
    }
    const size_t shared = index / ((size_t)ROWS * WIDTHS); /* one k for all rows */
    size_t m = rows[index % ROWS], n = widths[index / ROWS % WIDTHS];
    *out =
        (struct kc_case){.kind = kind,
                         .size = {m, n, shared},
                         .array = {{m, n, n + index % 3 * 5, sizeof(float), KC_IN},
                                   {shared ? m > 0 : m, n, n + index % 2 * 3, sizeof(float), KC_IN},
                                   floats(m, KC_OUT)},
                         .arrays = 3};
    return true;
}

static void chains_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_chains_f32_fn *)fn)(c->size[0], c->size[1], p[0], c->array[0].ld, p[1],
                               c->size[2] ? 0 : c->array[1].ld, p[2]);
}

static void chains_reference(const struct kc_case *c, void *const *p, double *const *out,
                             double *const *bound)
{
    iolk_chains_f32_ref(c->size[0], c->size[1], p[0], c->array[0].ld, p[1],
                        c->size[2] ? 0 : c->array[1].ld, out[2], bound[2]);
}

const struct kc_op kc_chains_f32 = {"m n shared", true,        chains_shape,
                                    NULL,         chains_call, chains_reference};

/* --- one or two vectors in, one out --- */

static bool fma_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    static const size_t steps[] = {0, 1, 2, 3, 7, 16, 63, 100};
    static const double others[KC_KINDS] = {2.0, -0.83, 0x1.3p-9, 0x1.8p-126, 0.77};
    if (index >= sizeof steps / sizeof *steps) {
        return false;
    }
    *out = (struct kc_case){.kind = kind,
                            .size = {steps[index]},
                            .scalar = {factor(kind), (double)(float)others[kind]},
                            .array = {floats(IOLK_FMA_CHAINS, KC_INOUT)},
                            .arrays = 1};
    return true;
}

/* A chain of no steps that ends as -0. */
static void fma_prepare(struct kc_case *c, void *const *p)
{
    if (c->kind == KC_SPECIAL) {
        ((float *)p[0])[IOLK_FMA_CHAINS - 1] = -0.0F;
    }
}

static void fma_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_fma_f32_fn *)fn)(c->size[0], (float)c->scalar[0], (float)c->scalar[1], p[0]);
}

static void fma_reference(const struct kc_case *c, void *const *p, double *const *out,
                          double *const *bound)
{
    iolk_fma_f32_ref(IOLK_FMA_CHAINS, c->size[0], (float)c->scalar[0], (float)c->scalar[1], p[0],
                     out[0], bound[0]);
}

const struct kc_op kc_fma_f32 = {"steps", true, fma_shape, fma_prepare, fma_call, fma_reference};

/* size[1], in_place: the output array is input number in_place - 1. */
static bool map_shape(size_t index, enum kc_kind kind, size_t inputs, size_t in_places,
                      struct kc_case *out)
{
    size_t in_place = index / LENGTHS, n = lengths[index % LENGTHS];
    if (in_place > in_places) {
        return false;
    }
    *out = (struct kc_case){.kind = kind, .size = {n, in_place}, .scalar = {factor(kind)}};
    for (; out->arrays < inputs; out->arrays++) {
        out->array[out->arrays] = floats(n, out->arrays + 1 == in_place ? KC_INOUT : KC_IN);
    }
    if (!in_place) {
        out->array[out->arrays++] = floats(n, KC_OUT);
    }
    return true;
}

/* Which array is the output. */
static size_t map_output(const struct kc_case *c)
{
    return c->size[1] ? c->size[1] - 1 : c->arrays - 1;
}

static bool unary_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    return map_shape(index, kind, 1, 1, out);
}

static bool add_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    return map_shape(index, kind, 2, 1, out);
}

static bool silu_mul_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    return map_shape(index, kind, 2, 2, out);
}

/* A kernel (n, x, y), and one of (n, x, c, y). */
#define UNARY(op)                                                                                  \
    static void op##_call(kc_fn *fn, const struct kc_case *c, void *const *p)                      \
    {                                                                                              \
        ((iolk_##op##_f32_fn *)fn)(c->size[0], p[0], p[map_output(c)]);                            \
    }                                                                                              \
    static void op##_reference(const struct kc_case *c, void *const *p, double *const *out,        \
                               double *const *bound)                                               \
    {                                                                                              \
        iolk_##op##_f32_ref(c->size[0], p[0], out[map_output(c)], bound[map_output(c)]);           \
    }
#define BINARY(op)                                                                                 \
    static void op##_call(kc_fn *fn, const struct kc_case *c, void *const *p)                      \
    {                                                                                              \
        ((iolk_##op##_f32_fn *)fn)(c->size[0], p[0], p[1], p[map_output(c)]);                      \
    }                                                                                              \
    static void op##_reference(const struct kc_case *c, void *const *p, double *const *out,        \
                               double *const *bound)                                               \
    {                                                                                              \
        iolk_##op##_f32_ref(c->size[0], p[0], p[1], out[map_output(c)], bound[map_output(c)]);     \
    }

BINARY(add)
BINARY(silu_mul)
UNARY(gelu_tanh)
UNARY(gelu_erf)
UNARY(exp)

const struct kc_op kc_add_f32 = {"n in_place", true, add_shape, NULL, add_call, add_reference};
const struct kc_op kc_silu_mul_f32 = {"n in_place", false,         silu_mul_shape,
                                      NULL,         silu_mul_call, silu_mul_reference};
const struct kc_op kc_gelu_tanh_f32 = {"n in_place", false,          unary_shape,
                                       NULL,         gelu_tanh_call, gelu_tanh_reference};
const struct kc_op kc_gelu_erf_f32 = {"n in_place", false,         unary_shape,
                                      NULL,         gelu_erf_call, gelu_erf_reference};
const struct kc_op kc_exp_f32 = {"n in_place", false, unary_shape, NULL, exp_call, exp_reference};

/* --- mix, tail --- */

static bool mix_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    static const size_t widths[] = {1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 47, 48};
    static const size_t firsts[] = {0, 1, 2, 3, 4, 5, 16, 67};
    enum { WIDTHS = sizeof widths / sizeof *widths, FIRSTS = sizeof firsts / sizeof *firsts };
    const size_t m = index % IOLK_MR + 1, n = widths[index / IOLK_MR % WIDTHS];
    const size_t turn = index / ((size_t)IOLK_MR * WIDTHS), from_y = turn % 2;
    if (turn >= (size_t)2 * FIRSTS) {
        return false;
    }
    const size_t first = firsts[turn / 2], most = first + m - 1; /* keys of the last row */
    *out = (struct kc_case){
        .kind = kind,
        .size = {m, n, first, from_y},
        .array = {{m, most, most + n % 3 * 5, sizeof(float), KC_IN},
                  {most, n, n + (turn + m) % 3 * 7, sizeof(float), KC_IN},
                  floats(m, KC_IN),
                  {m, n, n + m % 3 * 3, sizeof(float), from_y ? KC_INOUT : KC_OUT}},
        .arrays = 4};
    return true;
}

static void mix_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    const size_t *s = c->size;
    ((iolk_mix_f32_fn *)fn)(s[0], s[1], s[2], p[0], c->array[0].ld, p[1], c->array[1].ld, p[2],
                            (int)s[3], p[3], c->array[3].ld);
}

static void mix_reference(const struct kc_case *c, void *const *p, double *const *out,
                          double *const *bound)
{
    const size_t *s = c->size;
    iolk_mix_f32_ref(s[0], s[1], s[2], p[0], c->array[0].ld, p[1], c->array[1].ld, p[2], (int)s[3],
                     p[3], c->array[3].ld, out[3], bound[3]);
}

const struct kc_op kc_mix_f32 = {"m n first from_y", true,         mix_shape, NULL,
                                 mix_call,           mix_reference};

static bool tail_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    static const size_t widths[] = {0, 1, 8, 15, 16, 17, 31, 32, 33, 48, 50, 64, 80, 101, 128};
    enum { WIDTHS = sizeof widths / sizeof *widths, ROWS = IOLK_MR + 4 };
    const size_t m = index % ROWS, n = widths[index / ROWS % WIDTHS];
    const size_t turn = index / ((size_t)ROWS * WIDTHS);
    const size_t shared = turn == 2; /* one v for all rows */
    if (turn >= 3) {
        return false;
    }
    *out = (struct kc_case){.kind = kind,
                            .size = {m, n, shared},
                            .array = {{m, 1, 1 + n % 3 * 5, sizeof(float), KC_IN},
                                      {shared ? m > 0 : m, n, n + turn * 7, sizeof(float), KC_IN},
                                      floats(m, KC_IN),
                                      {m, n, n + m % 3 * 3, sizeof(float), KC_INOUT}},
                            .arrays = 4};
    return true;
}

static void tail_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_tail_f32_fn *)fn)(c->size[0], c->size[1], p[0], c->array[0].ld, p[1],
                             c->size[2] ? 0 : c->array[1].ld, p[2], p[3], c->array[3].ld);
}

static void tail_reference(const struct kc_case *c, void *const *p, double *const *out,
                           double *const *bound)
{
    iolk_tail_f32_ref(c->size[0], c->size[1], p[0], c->array[0].ld, p[1],
                      c->size[2] ? 0 : c->array[1].ld, p[2], p[3], c->array[3].ld, out[3],
                      bound[3]);
}

const struct kc_op kc_tail_f32 = {"m n shared", true, tail_shape, NULL, tail_call, tail_reference};

/* --- softmax, sumexp ---------------------------------------------------------------------------
 */

static bool softmax_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    static const double scales[KC_KINDS] = {1.0, 0.125, 1.0, 0.37, 0.5};
    static const size_t rows[][2] = {{1, 0}, {2, 1}, {3, 0}, {4, 1}, {5, 1},
                                     {7, 0}, {8, 0}, {8, 1}, {6, 3}}; /* m, step */
    enum { ROWS = sizeof rows / sizeof *rows };
    if (index >= (size_t)ROWS * (LENGTHS - 1)) {
        return false;
    }
    size_t n = lengths[index / ROWS + 1], m = rows[index % ROWS][0], step = rows[index % ROWS][1];
    size_t width = n + (m - 1) * step;
    *out = (struct kc_case){
        .kind = kind,
        .size = {m, n, step},
        .scalar = {(double)(float)scales[kind]},
        .array = {{m, width, width + index % 3 * 5, sizeof(float), KC_INOUT}, floats(m, KC_OUT)},
        .arrays = 2};
    return true;
}

static void softmax_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_softmax_f32_fn *)fn)(c->size[0], c->size[1], c->size[2], (float)c->scalar[0], p[0],
                                c->array[0].ld, p[1]);
}

static void softmax_reference(const struct kc_case *c, void *const *p, double *const *out,
                              double *const *bound)
{
    iolk_softmax_f32_ref(c->size[0], c->size[1], c->size[2], (float)c->scalar[0], p[0],
                         c->array[0].ld, out[0], bound[0], out[1], bound[1]);
}

static bool sumexp_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    if (index + 1 >= LENGTHS) {
        return false;
    }
    size_t n = lengths[index + 1];
    *out = (struct kc_case){.kind = kind,
                            .size = {n},
                            .array = {floats(n, KC_IN), floats(1, KC_OUT), floats(1, KC_OUT)},
                            .arrays = 3};
    return true;
}

static void sumexp_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_sumexp_f32_fn *)fn)(c->size[0], p[0], p[1], p[2]);
}

static void sumexp_reference(const struct kc_case *c, void *const *p, double *const *out,
                             double *const *bound)
{
    iolk_sumexp_f32_ref(c->size[0], p[0], out[1], bound[1], out[2], bound[2]);
}

const struct kc_op kc_softmax_f32 = {"m n step", false,        softmax_shape,
                                     NULL,       softmax_call, softmax_reference};
const struct kc_op kc_sumexp_f32 = {"n", false, sumexp_shape, NULL, sumexp_call, sumexp_reference};

/* --- rope --------------------------------------------------------------------------------------
 */

static bool rope_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    static const size_t counts[] = {0, 1, 2, 3, 7}, rows[] = {1, 3, 0, 2};
    enum { COUNTS = sizeof counts / sizeof *counts, ROWS = sizeof rows / sizeof *rows };
    enum { HALVES = 70 };
    if (index >= (size_t)COUNTS * HALVES * 2) {
        return false;
    }
    size_t heads = counts[index % COUNTS], half = index / COUNTS % HALVES;
    size_t m = rows[(index + index / COUNTS) % ROWS], width = heads * 2 * half;
    size_t ld = width + index % 3 * 5;
    bool shared = index >= (size_t)COUNTS * HALVES; /* one row of the tables for all */
    struct kc_array table = {shared ? 1 : m, half, half + index % 2 * 3, sizeof(float), KC_IN};
    *out = (struct kc_case){.kind = kind,
                            .size = {m, heads, half, shared ? 0 : table.ld},
                            .array = {{m, width, ld, sizeof(float), KC_INOUT}, table, table},
                            .arrays = 3};
    return true;
}

static void rope_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_rope_f32_fn *)fn)(c->size[0], c->size[1], c->size[2], p[0], c->array[0].ld, p[1], p[2],
                             c->size[3]);
}

static void rope_reference(const struct kc_case *c, void *const *p, double *const *out,
                           double *const *bound)
{
    iolk_rope_f32_ref(c->size[0], c->size[1], c->size[2], p[0], c->array[0].ld, p[1], p[2],
                      c->size[3], out[0], bound[0]);
}

const struct kc_op kc_rope_f32 = {"m heads half ld_table", true, rope_shape, NULL, rope_call,
                                  rope_reference};

/* --- read-outs in f64 ----------------------------------------------------------------------------
 * The last array holds the returned value. */

static bool readout_shape(size_t index, enum kc_kind kind, size_t second_size, struct kc_case *out)
{
    if (index >= LENGTHS) {
        return false;
    }
    size_t n = lengths[index];
    *out = (struct kc_case){.kind = kind, .size = {n}, .array = {floats(n, KC_IN)}, .arrays = 1};
    if (second_size) {
        out->array[out->arrays++] = vector(n, second_size, KC_IN);
    }
    out->array[out->arrays++] = vector(1, sizeof(double), KC_OUT);
    return true;
}

static bool dot_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    return readout_shape(index, kind, sizeof(double), out);
}

static bool sum_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    return readout_shape(index, kind, 0, out);
}

static bool kl_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    return readout_shape(index, kind, sizeof(float), out);
}

static void dot_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    *(double *)p[2] = ((iolk_dot_f64_fn *)fn)(c->size[0], p[0], p[1]);
}

static void dot_reference(const struct kc_case *c, void *const *p, double *const *out,
                          double *const *bound)
{
    iolk_dot_f64_ref(c->size[0], p[0], p[1], out[2], bound[2]);
}

static void sum_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    *(double *)p[1] = ((iolk_sum_f64_fn *)fn)(c->size[0], p[0]);
}

static void sum_reference(const struct kc_case *c, void *const *p, double *const *out,
                          double *const *bound)
{
    iolk_sum_f64_ref(c->size[0], p[0], out[1], bound[1]);
}

/* The mean of the values, where the kind allows one; an integer for integers. */
static void ssq_prepare(struct kc_case *c, void *const *p)
{
    const float *x = p[0];
    double sum = 0.0;
    for (size_t i = 0; i < c->size[0]; i++) {
        sum += (double)x[i];
    }
    double mean = sum / (double)(c->size[0] ? c->size[0] : 1);
    c->scalar[0] = c->kind == KC_INTEGER ? 2.0 : isfinite(mean) ? mean : 0.1;
}

static void ssq_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    *(double *)p[1] = ((iolk_ssq_f64_fn *)fn)(c->size[0], p[0], c->scalar[0]);
}

static void ssq_reference(const struct kc_case *c, void *const *p, double *const *out,
                          double *const *bound)
{
    iolk_ssq_f64_ref(c->size[0], p[0], c->scalar[0], out[1], bound[1]);
}

/* log sum exp of the values by the one-line formula, rounded to 2^-20 so that all machines agree.
 */
static double log_sum_exp(size_t n, const float *x)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += exp((double)x[i] - 300.0);
    }
    double lse = nearbyint((log(sum) + 300.0) * 0x1p20) * 0x1p-20;
    return isfinite(lse) ? lse : 1.5;
}

static void kl_prepare(struct kc_case *c, void *const *p)
{
    c->scalar[0] = log_sum_exp(c->size[0], p[0]);
    c->scalar[1] = log_sum_exp(c->size[0], p[1]);
}

static void kl_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    *(double *)p[2] = ((iolk_kl_f64_fn *)fn)(c->size[0], p[0], c->scalar[0], p[1], c->scalar[1]);
}

static void kl_reference(const struct kc_case *c, void *const *p, double *const *out,
                         double *const *bound)
{
    iolk_kl_f64_ref(c->size[0], p[0], c->scalar[0], p[1], c->scalar[1], out[2], bound[2]);
}

const struct kc_op kc_dot_f64 = {"n", true, dot_shape, NULL, dot_call, dot_reference};
const struct kc_op kc_sum_f64 = {"n", true, sum_shape, NULL, sum_call, sum_reference};
const struct kc_op kc_ssq_f64 = {"n", true, sum_shape, ssq_prepare, ssq_call, ssq_reference};
const struct kc_op kc_kl_f64 = {"n", false, kl_shape, kl_prepare, kl_call, kl_reference};
