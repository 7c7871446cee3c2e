/* The fast mode's kernels and driver, on processors that have them: against products in double of
 * the rounded operands, within the bound of their additions; rows independent of blocking; nothing
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

static const struct iolk_fast *fast_or_skip(void)
{
    const struct iolk_fast *fast = iolk_fast_detect(iolk_isa_detect());
    if (!fast) {
        print_message("skipped: this processor has no bf16 dot products\n");
        skip();
    }
    return fast;
}

static void test_rounding(void **state)
{
    (void)state;
    enum { N = 1037 };
    static float x[N];
    static uint16_t out[N + 1];
    const struct iolk_fast *fast = fast_or_skip();
    uint64_t seed = 1;
    for (size_t i = 0; i < N; i++) {
        x[i] = ldexpf(uniform(&seed), (int)(i % 61) - 30);
        if (i % 5 == 0) { /* a tie */
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            bits = (bits & 0xffff0000U) | 0x8000U;
            memcpy(&x[i], &bits, sizeof bits);
        }
    }
    for (size_t n = 0; n <= N; n += n < 50 ? 1 : 47) {
        memset(out, 0xee, sizeof out);
        fast->round_bf16(n, x, out);
        for (size_t i = 0; i < n; i++) {
            const uint32_t bits = (uint32_t)out[i] << 16;
            float y;
            memcpy(&y, &bits, sizeof y);
            assert_true((double)y >= nearest(x[i]) && (double)y <= nearest(x[i]));
        }
        assert_int_equal(out[n], 0xeeee);
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
    out->b.pairs = need(iol_pairs_words(n, k) * sizeof(uint32_t));
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
    iol_pairs_fill(&out->b, row, out->b.pairs);
    free(row);
}

static void problem_close(struct problem *p)
{
    free(p->a);
    free(p->rows);
    free(p->c);
    free(p->b.panels);
    free(p->b.bias);
    free(p->b.pairs);
}

/* Against sums in double of the rounded operands; every addition may round by half a unit of the
 * largest partial sum, and some processors add the two products first. */
static void check(const struct problem *p, size_t k0, size_t k1, int bias)
{
    for (size_t r = 0; r < p->m; r++) {
        for (size_t j = 0; j < p->n; j++) {
            double sum = bias ? (double)p->b.bias[j] : 0, size = fabs(sum);
            for (size_t l = k0; l < k1; l++) {
                double term =
                    nearest(p->a[r * (p->k + 1) + l - k0]) * nearest(p->rows[j * p->k + l]);
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

static void test_products(void **state)
{
    (void)state;
    static const size_t sizes[][3] = {{1, 1, 1},    {1, 48, 2},     {8, 49, 3},   {9, 47, 64},
                                      {3, 31, 767}, {2, 97, 768},   {5, 33, 769}, {70, 50, 801},
                                      {7, 17, 0},   {16, 130, 1601}};
    const struct iolk_fast *fast = fast_or_skip();
    struct iolk_ops ops;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    ops.fast = fast;
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
static void test_slices(void **state)
{
    (void)state;
    struct iolk_ops ops;
    struct problem p;
    uint64_t flops = 0;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    ops.fast = fast_or_skip();
    problem_open(11, 60, 301, &p);
    float *whole = need(p.m * (p.n + 2) * sizeof(float));
    iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, NULL, whole, p.n + 2, &flops);
    const struct iol_gemm_part first = {.k_end = 100},
                               rest = {.k_begin = 100, .k_end = 301, .accumulate = 1};
    fill_c(&p);
    iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, &first, p.c, p.n + 2, &flops);
    iol_gemm_block(&ops, p.m, p.a + 100, p.k + 1, &p.b, &rest, p.c, p.n + 2, &flops);
    for (size_t r = 0; r < p.m; r++) {
        assert_memory_equal(whole + r * (p.n + 2), p.c + r * (p.n + 2), p.n * sizeof(float));
    }
    free(whole);
    problem_close(&p);
}

/* Without being asked for, products are exact, whatever stands beside the panels. */
static void test_opt_in(void **state)
{
    (void)state;
    struct iolk_ops ops;
    struct problem p;
    uint64_t flops = 0;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    assert_null(ops.fast);
    problem_open(3, 50, 20, &p);
    float *plain = need(p.m * (p.n + 2) * sizeof(float));
    iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, NULL, p.c, p.n + 2, &flops);
    uint32_t *pairs = p.b.pairs;
    p.b.pairs = NULL;
    iol_gemm_block(&ops, p.m, p.a, p.k + 1, &p.b, NULL, plain, p.n + 2, &flops);
    p.b.pairs = pairs;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),  cmocka_unit_test(test_products),
        cmocka_unit_test(test_slices),    cmocka_unit_test(test_opt_in),
        cmocka_unit_test(test_judgement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
