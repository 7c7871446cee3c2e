/* The fast mode's kernels and driver, on processors that have them (tiles of AMX also emulated):
 * against products in double of the rounded operands, within the bound of their additions; bit for
 * bit against the format's definition where it has one; rows independent of blocking; nothing
 * touched outside. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "amx_emulator.h"
#include "base/arithmetic.h"
#include "base/base.h"
#include "driver/gemm_fast.h"

static float uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (float)(int32_t)(*seed >> 32) / 2147483648.0f;
}

static void *need(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(p);
    memset(p, 0, bytes);
    return p;
}

/* Nearest bf16, ties to even, by plain arithmetic: the neighbours and their distances. */
static double nearest(float x)
{
    uint32_t bits, low;
    float below, above;
    memcpy(&bits, &x, sizeof bits);
    low = bits & 0xffff0000U;
    memcpy(&below, &low, sizeof below);
    low += 0x10000U;
    memcpy(&above, &low, sizeof above);
    const double under = fabs((double)x - (double)below), over = fabs((double)above - (double)x);
    if (under < over || (!(over < under) && (bits >> 16 & 1) == 0)) {
        return (double)below;
    }
    return (double)above;
}

/* What x, one of a block of `count`, becomes in int8: by plain arithmetic from the definition. */
static double nearest_int8(const float *block, size_t count, float x)
{
    float largest = 0;
    for (size_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(block[i]));
    }
    const float inverse = largest > 0 ? 127.0f / largest : 0;
    return (double)(largest / 127.0f) * rint((double)(x * inverse));
}

/* The kernels under test. */
static const struct iolk_fast *fast;

/* The newest ISA's ops with them. */
static struct iolk_ops fast_ops(void)
{
    struct iolk_ops ops;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    ops.fast = fast;
    return ops;
}

static size_t row_words(size_t k)
{
    return (k + fast->k - 1) / fast->k * fast->a_words;
}

/* Whether all but the tiles of `row` is there. */
static bool can_be_emulated(const struct iolk_fast *row)
{
#if defined(__x86_64__)
    const uint32_t mask = iolk_isa_detect();
    bool bf16 = false;
    const struct iolk_fast *other;
    for (size_t i = 0; (other = iolk_fast_get(i)); i++) {
        bf16 = bf16 || (other->format == IOLK_FAST_BF16 && iolk_fast_runs(other, mask));
    }
    return strstr(row->needs, "amx_tile") && bf16 && amx_emulate();
#else
    (void)row;
    return false;
#endif
}

/* check() with each row of a format that runs here. */
static void with_rows(enum iolk_fast_format format, void (*check)(void))
{
    size_t count = 0;
    for (size_t i = 0; (fast = iolk_fast_get(i)); i++) {
        if (fast->format != format) {
            continue;
        }
        const bool native = iolk_fast_runs(fast, iolk_isa_detect());
        const unsigned long before = amx_emulated();
        if (!native && !can_be_emulated(fast)) {
            print_message("skipped: %s, which this processor lacks\n", fast->isa);
            continue;
        }
        check();
        count++;
        if (amx_emulated() > before) {
            print_message("%s: %lu instructions emulated\n", fast->isa, amx_emulated() - before);
        }
    }
    if (count == 0) {
        print_message("skipped: this processor has no such dot products\n");
        skip();
    }
}

/* Values of every size, and ties. */
static void awkward(size_t n, float *x)
{
    uint64_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        x[i] = ldexpf(uniform(&seed), (int)(i % 61) - 30);
        if (i % 5 == 0) { /* a tie of bf16 */
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            bits = (bits & 0xffff0000U) | 0x8000U;
            memcpy(&x[i], &bits, sizeof bits);
        }
    }
}

enum { ROUNDED = 1037 };

static void check_rounding_bf16(void)
{
    static float x[ROUNDED];
    static uint32_t out[ROUNDED + 2];
    awkward(ROUNDED, x);
    for (size_t n = 0; n < ROUNDED; n += n < 50 ? 1 : 47) {
        for (size_t lead = 0; lead < fast->k; lead++) {
            memset(out, 0xee, sizeof out);
            fast->round(lead, n, x, out);
            for (size_t i = 0; i < 2 * row_words(lead + n); i++) {
                const uint32_t bits = out[i / 2] >> (i % 2 * 16) << 16;
                const double expected = i >= lead && i - lead < n ? nearest(x[i - lead]) : 0;
                float y;
                memcpy(&y, &bits, sizeof y);
                assert_true((double)y >= expected && (double)y <= expected);
            }
            assert_int_equal(out[row_words(lead + n)], 0xeeeeeeee);
        }
    }
}

/* One block of a row of A, laid out as fast.h says, against the definition. */
static void check_int8_block(const uint32_t *words, const float *block)
{
    int sum = 0;
    float scale;
    memcpy(&scale, &words[8], sizeof scale);
    for (size_t i = 0; i < 32; i++) {
        const int q = (int8_t)(words[i / 4] >> (i % 4 * 8));
        assert_true(q >= -127 && q <= 127);
        const double error = fabs(q * (double)scale - nearest_int8(block, 32, block[i]));
        assert_true(error <= 1e-6 * (double)scale);
        sum += q;
    }
    assert_int_equal((int32_t)words[9], -128 * sum);
}

static void check_rounding_int8(void)
{
    static float x[ROUNDED];
    static uint32_t out[ROUNDED];
    awkward(ROUNDED, x);
    memset(x + 64, 0, 32 * sizeof *x); /* a block of zeros */
    for (size_t n = 0; n < ROUNDED; n += n < 70 ? 1 : 47) {
        for (size_t lead = 0; lead < 32; lead += 5) {
            float padded[ROUNDED + 96] = {0};
            memcpy(padded + lead, x, n * sizeof *x);
            memset(out, 0xee, sizeof out);
            fast->round(lead, n, x, out);
            for (size_t i = 0; i < lead + n; i += 32) {
                check_int8_block(out + i / 32 * 10, padded + i);
            }
            assert_int_equal(out[row_words(lead + n)], 0xeeeeeeee);
        }
    }
}

/* What is not finite stays so, whatever the format. */
static void check_not_finite(void)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        float a[64], row[64], c[3] = {0};
        uint64_t seed = 3, flops = 0;
        struct iol_packed b = {.n = 3, .k = 64};
        const struct iolk_ops ops = fast_ops();
        b.panels = need(iol_packed_floats(3, 64) * sizeof(float));
        b.rounded = need(iol_rounded_words(fast, 3, 64) * sizeof(uint32_t));
        for (size_t j = 0; j < 64; j++) {
            a[j] = row[j] = 1.5f + uniform(&seed);
        }
        for (size_t j = 0; j < 3; j++) {
            iol_pack_rows_f32(row, 64, j, 1, &b);
        }
        a[37] = bad[i];
        iol_rounded_fill(fast, &b, row, b.rounded);
        iol_gemm_block(&ops, 1, a, 64, &b, NULL, c, 3, &flops);
        for (size_t j = 0; j < 3; j++) {
            assert_true(isfinite(c[j]) == 0);
        }
        free(b.panels);
        free(b.rounded);
    }
}

struct problem {
    size_t m, n, k;
    float *a, *rows, *c;
    struct iol_packed b;
};

static void problem_open(size_t m, size_t n, size_t k, struct problem *out)
{
    uint64_t seed = m * 131 + n * 7 + k;
    *out = (struct problem){.m = m, .n = n, .k = k, .b = {.n = n, .k = k}};
    out->a = need(m * (k + 1) * sizeof(float));
    out->rows = need(n * k * sizeof(float));
    out->c = need(m * (n + 2) * sizeof(float));
    out->b.panels = need(iol_packed_floats(n, k) * sizeof(float));
    out->b.bias = need(n * sizeof(float));
    out->b.rounded = need(iol_rounded_words(fast, n, k) * sizeof(uint32_t));
    float *row = need(k * sizeof(float));
    for (size_t i = 0; i < m * (k + 1); i++) {
        out->a[i] = uniform(&seed);
    }
    for (size_t i = 0; i < n * k; i++) {
        out->rows[i] = uniform(&seed);
    }
    for (size_t i = 0; i < n; i++) {
        out->b.bias[i] = uniform(&seed);
    }
    iol_pack_rows_f32(out->rows, k, 0, n, &out->b);
    iol_rounded_fill(fast, &out->b, row, out->b.rounded);
    free(row);
}

static void problem_close(struct problem *p)
{
    free(p->a);
    free(p->rows);
    free(p->c);
    free(p->b.panels);
    free(p->b.bias);
    free(p->b.rounded);
}

/* Element l of a row of which k0 .. k1 take part, as rounded; `values` begins at k0. */
static double rounded(const float *values, size_t k0, size_t k1, size_t l)
{
    if (fast->format != IOLK_FAST_INT8) {
        return nearest(values[l - k0]);
    }
    const size_t begin = l / 32 * 32 > k0 ? l / 32 * 32 : k0,
                 end = (l / 32 + 1) * 32 < k1 ? (l / 32 + 1) * 32 : k1;
    return nearest_int8(values + (begin - k0), end - begin, values[l - k0]);
}

/* Against sums in double of the rounded operands; every addition may round by half a unit of the
 * largest partial sum, and some processors add the two products first. */
static void check(const struct problem *p, size_t k0, size_t k1, int bias)
{
    for (size_t r = 0; r < p->m; r++) {
        for (size_t j = 0; j < p->n; j++) {
            double sum = bias ? (double)p->b.bias[j] : 0, size = fabs(sum);
            for (size_t l = k0; l < k1; l++) {
                double term = rounded(p->a + r * (p->k + 1), k0, k1, l) *
                              rounded(p->rows + j * p->k, 0, p->k, l);
                sum += term;
                size += fabs(term);
            }
            const double error = fabs((double)p->c[r * (p->n + 2) + j] - sum);
            assert_true(error <= size * ldexp(1, -23) * (double)(k1 - k0 + 2) + 1e-30);
        }
        assert_true(p->c[r * (p->n + 2) + p->n] == 77.0f);
    }
}

static void fill_c(struct problem *p)
{
    for (size_t i = 0; i < p->m * (p->n + 2); i++) {
        p->c[i] = 77.0f;
    }
}

static void check_products(void)
{
    static const size_t sizes[][3] = {{1, 1, 1},    {1, 48, 2},   {8, 49, 3},     {9, 47, 64},
                                      {3, 31, 767}, {2, 97, 768}, {5, 33, 769},   {70, 50, 801},
                                      {33, 96, 65}, {7, 17, 0},   {16, 130, 1601}};
    const struct iolk_ops ops = fast_ops();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct problem p;
        uint64_t flops = 0;
        problem_open(sizes[i][0], sizes[i][1], sizes[i][2], &p);
        fill_c(&p);
        iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, NULL, p.c, p.n + 2, &flops);
        check(&p, 0, p.k, 1);
        assert_int_equal(flops, 2 * p.m * p.n * p.k);
        /* rows one by one, and panel by panel: the same bits */
        float *whole = need(p.m * (p.n + 2) * sizeof(float));
        memcpy(whole, p.c, p.m * (p.n + 2) * sizeof(float));
        fill_c(&p);
        for (size_t r = 0; r < p.m; r++) {
            for (size_t panel = 0; panel * IOLK_NR < p.n; panel++) {
                const struct iol_gemm_part part = {.panel_begin = panel, .panel_end = panel + 1};
                iol_gemm_block(&ops, 1, p.a + r * (p.k + 1), p.k + 1, &p.b, &part,
                               p.c + r * (p.n + 2) + panel * IOLK_NR, p.n + 2, &flops);
            }
        }
        assert_memory_equal(whole, p.c, p.m * (p.n + 2) * sizeof(float));
        free(whole);
        if (p.k >= 64) { /* slices: even and odd borders, without and with what is there */
            const struct iol_gemm_part odd = {.k_begin = 7, .k_end = 62, .no_bias = 1};
            fill_c(&p);
            iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, &odd, p.c, p.n + 2, &flops);
            check(&p, 7, 62, 0);
        }
        problem_close(&p);
    }
}

/* k in two slices, the second added to the first, is the whole. */
static void check_slices(void)
{
    const struct iolk_ops ops = fast_ops();
    struct problem p;
    uint64_t flops = 0;
    problem_open(11, 60, 301, &p);
    float *whole = need(p.m * (p.n + 2) * sizeof(float));
    iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, NULL, whole, p.n + 2, &flops);
    const struct iol_gemm_part first = {.k_end = 96},
                               rest = {.k_begin = 96, .k_end = 301, .accumulate = 1};
    fill_c(&p);
    iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, &first, p.c, p.n + 2, &flops);
    iol_gemm_block(&ops, p.m, p.a + 96, p.k + 1, &p.b, &rest, p.c, p.n + 2, &flops);
    for (size_t r = 0; r < p.m; r++) {
        assert_memory_equal(whole + r * (p.n + 2), p.c + r * (p.n + 2), p.n * sizeof(float));
    }
    free(whole);
    problem_close(&p);
}

/* The bits of a block's step as fast.h defines them. a: a row's words of the block, b: the panel's,
 * from the column on. */
static float step_bf16x32(const uint32_t *a, const uint32_t *b, float c)
{
    float sums[2] = {0, 0};
    for (size_t i = 0; i < 32; i++) {
        const uint32_t x = a[i / 2] >> (i % 2 * 16) << 16, y = b[i / 2 * IOLK_NR] >> (i % 2 * 16)
                                                                                         << 16;
        float values[2];
        memcpy(&values[0], &x, sizeof x);
        memcpy(&values[1], &y, sizeof y);
        sums[i % 2] = fmaf(values[0], values[1], sums[i % 2]);
    }
    const float sum = sums[0] + sums[1];
    return c + sum;
}

static float step_int8(const uint32_t *a, const uint32_t *b, float c)
{
    int32_t sum = 0;
    float scales[2];
    for (size_t i = 0; i < 32; i++) {
        const int x = (int8_t)(a[i / 4] >> (i % 4 * 8)),
                  y = (int)(b[i / 4 * IOLK_NR] >> (i % 4 * 8) & 0xff) - 128;
        sum += x * y;
    }
    memcpy(&scales[0], &a[8], sizeof *scales);
    memcpy(&scales[1], &b[8 * IOLK_NR], sizeof *scales);
    const float scale = scales[0] * scales[1];
    return fmaf((float)sum, scale, c);
}

/* The same bits as the definition's, on every processor that has the instructions. */
static void check_definition(void)
{
    float (*const step)(const uint32_t *, const uint32_t *, float) =
        fast->format == IOLK_FAST_INT8 ? step_int8 : step_bf16x32;
    struct problem p;
    const struct iolk_ops ops = fast_ops();
    uint64_t flops = 0;
    problem_open(35, 101, 200, &p);
    fill_c(&p);
    iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, NULL, p.c, p.n + 2, &flops);
    uint32_t *row = need(row_words(p.k) * sizeof *row);
    const size_t blocks = (p.k + fast->k - 1) / fast->k;
    for (size_t r = 0; r < p.m; r++) {
        fast->round(0, p.k, p.a + r * (p.k + 1), row);
        for (size_t j = 0; j < p.n; j++) {
            const uint32_t *column =
                p.b.rounded + j / IOLK_NR * blocks * fast->b_rows * IOLK_NR + j % IOLK_NR;
            float c = p.b.bias[j];
            for (size_t i = 0; i < blocks; i++) {
                c = step(row + i * fast->a_words, column + i * fast->b_rows * IOLK_NR, c);
            }
            assert_memory_equal(&c, &p.c[r * (p.n + 2) + j], sizeof c);
        }
    }
    free(row);
    problem_close(&p);
}

#define WITH_ROWS(what, format, FORMAT)                                                            \
    static void test_##what##_##format(void **state)                                               \
    {                                                                                              \
        (void)state;                                                                               \
        with_rows(IOLK_FAST_##FORMAT, check_##what);                                               \
    }
#define ALL_WITH_ROWS(format, FORMAT)                                                              \
    WITH_ROWS(not_finite, format, FORMAT)                                                          \
    WITH_ROWS(products, format, FORMAT)                                                            \
    WITH_ROWS(slices, format, FORMAT)
ALL_WITH_ROWS(bf16, BF16)
ALL_WITH_ROWS(bf16x32, BF16X32)
ALL_WITH_ROWS(int8, INT8)
WITH_ROWS(definition, bf16x32, BF16X32)
WITH_ROWS(definition, int8, INT8)
WITH_ROWS(rounding_int8, int8, INT8)
WITH_ROWS(rounding_bf16, bf16, BF16)
WITH_ROWS(rounding_bf16, bf16x32, BF16X32)

/* Without being asked for, products are exact, whatever stands beside the panels. */
static void test_opt_in(void **state)
{
    (void)state;
    fast = iolk_fast_get(0);
    if (!fast) {
        print_message("skipped: no fast mode is built for this architecture\n");
        skip();
    }
    struct iolk_ops ops;
    struct problem p;
    uint64_t flops = 0;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    assert_null(ops.fast);
    problem_open(3, 50, 20, &p);
    float *plain = need(p.m * (p.n + 2) * sizeof(float));
    iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, NULL, p.c, p.n + 2, &flops);
    uint32_t *words = p.b.rounded;
    p.b.rounded = NULL;
    iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, NULL, plain, p.n + 2, &flops);
    p.b.rounded = words;
    assert_memory_equal(plain, p.c, p.m * (p.n + 2) * sizeof(float));
    free(plain);
    problem_close(&p);
}

/* No kernels, or of no use: refused in a sentence that says so. */
static void test_judgement(void **state)
{
    (void)state;
    assert_int_equal(iol_fast_judge(NULL, 0), IOL_E_CPU);
    assert_non_null(strstr(iol_error(), "arithmetic: fast"));
    const struct iolk_fast *built = iolk_fast_get(0);
    if (built) {
        assert_int_equal(iol_fast_judge(built, 0.5), IOL_E_CPU);
        assert_non_null(strstr(iol_error(), "measured 0.50 times"));
        assert_int_equal(iol_fast_judge(built, (double)NAN), IOL_E_CPU);
        assert_int_equal(iol_fast_judge(built, 1.9), IOL_OK);
    }
}

/* By name: of a format, of any, of none. */
static void test_choice(void **state)
{
    (void)state;
    struct iolk_ops ops;
    const struct iolk_fast *found = iolk_fast_get(0);
    double rate = 1;
    const uint32_t mask = iolk_isa_detect();
    iolk_ops_fill(mask, &ops);
    assert_int_equal(iol_arithmetic_choose(NULL, &ops, mask, &found, &rate), IOL_OK);
    assert_null(found);
    assert_true(rate == 0);
    assert_int_equal(iol_arithmetic_choose("exact", &ops, mask, &found, &rate), IOL_OK);
    assert_int_equal(iol_arithmetic_choose("int4", &ops, mask, &found, &rate), IOL_E_INVAL);
    assert_non_null(
        strstr(iol_error(), "found 'int4', expected exact, fast, bf16, bf16x32 or int8"));
    static const char *const names[] = {"fast", "bf16", "bf16x32", "int8"};
    for (size_t i = 0; i < 4; i++) {
        enum iol_status status = iol_arithmetic_choose(names[i], &ops, mask, &found, &rate);
        assert_true(status == IOL_OK ? found && rate >= 1.1 : !found && rate == 0);
        assert_true(!found || i == 0 || strcmp(found->name, names[i]) == 0);
        /* not where the ISAs are narrowed */
        assert_int_equal(
            iol_arithmetic_choose(names[i], &ops, 1U << IOLK_ISA_SCALAR, &found, &rate), IOL_E_CPU);
        assert_null(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding_bf16_bf16),
        cmocka_unit_test(test_rounding_bf16_bf16x32),
        cmocka_unit_test(test_rounding_int8_int8),
        cmocka_unit_test(test_not_finite_bf16),
        cmocka_unit_test(test_products_bf16),
        cmocka_unit_test(test_slices_bf16),
        cmocka_unit_test(test_not_finite_bf16x32),
        cmocka_unit_test(test_products_bf16x32),
        cmocka_unit_test(test_slices_bf16x32),
        cmocka_unit_test(test_not_finite_int8),
        cmocka_unit_test(test_products_int8),
        cmocka_unit_test(test_slices_int8),
        cmocka_unit_test(test_definition_bf16x32),
        cmocka_unit_test(test_definition_int8),
        cmocka_unit_test(test_opt_in),
        cmocka_unit_test(test_judgement),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
