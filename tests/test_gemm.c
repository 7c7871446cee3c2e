/* The GEMM driver over packed panels, and what its micro-kernel promises beyond one call: rows that
 * do not depend on their company, chains that continue where they stopped. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/gemm.h"
#include "kcheck.h"
#include "ref/ref.h"

enum { SIDE = 140, DEPTH = 1700 };

static uint32_t available;

/* Buffers large enough for every product here; B as published is (n, k). */
static struct {
    float a[SIDE * DEPTH], b[SIDE * DEPTH], turned[SIDE * DEPTH], bias[SIDE], packed[192 * DEPTH];
    float want[SIDE * SIDE], got[SIDE * SIDE];
    double value[SIDE * SIDE], bound[SIDE * SIDE];
    uint64_t flops;
} x;

static void fill(float *p, size_t count, enum kc_kind kind, uint64_t seed)
{
    kc_fill(&(struct kc_array){1, count, count, sizeof(float), KC_IN}, p, kind, false, seed);
}

/* b (n, k) -> turned (k, n) */
static void turn_b(size_t n, size_t k)
{
    for (size_t j = 0; j < n; j++) {
        for (size_t l = 0; l < k; l++) {
            x.turned[l * n + j] = x.b[j * k + l];
        }
    }
}

static struct iol_packed pack(size_t n, size_t k, size_t piece, bool columns)
{
    struct iol_packed packed = {.n = n, .k = k, .panels = x.packed, .bias = x.bias};
    assert_true(iol_packed_floats(n, k) <= sizeof x.packed / sizeof(float));
    memset(x.packed, 0, iol_packed_floats(n, k) * sizeof(float));
    for (size_t row = 0; row < n; row += piece) {
        size_t rows = n - row < piece ? n - row : piece;
        if (columns) {
            iol_pack_columns_f32(x.turned + row, n, row, rows, &packed);
        } else {
            iol_pack_rows_f32(x.b + row * k, k, row, rows, &packed);
        }
    }
    return packed;
}

/* Same bits, every NaN equal. */
static void same(const float *got, const float *want, size_t count, const char *what, size_t m,
                 size_t n, size_t k)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&got[i], &want[i], sizeof *got) != 0 && !(isnan(got[i]) && isnan(want[i]))) {
            fail_msg("%s: m %zu n %zu k %zu element %zu is %a, expected %a", what, m, n, k, i,
                     (double)got[i], (double)want[i]);
        }
    }
}

static void test_packing(void **state)
{
    static const size_t sizes[][2] = {{1, 1}, {47, 5}, {48, 3}, {49, 1}, {97, 33}, {130, 7}};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s][0], k = sizes[s][1], panels = (n + IOLK_NR - 1) / IOLK_NR;
        fill(x.b, n * k, KC_SPECIAL, s);
        turn_b(n, k);
        assert_int_equal(iol_packed_floats(n, k), panels * IOLK_NR * k);
        for (size_t piece = 1; piece <= n; piece += 1 + piece * 3) {
            for (int columns = 0; columns < 2; columns++) {
                struct iol_packed packed = pack(n, k, piece, columns);
                for (size_t j = 0; j < panels * IOLK_NR; j++) {
                    float row[64] = {0.0f};
                    for (size_t l = 0; l < k; l++) {
                        row[l] = packed.panels[(j / IOLK_NR * k + l) * IOLK_NR + j % IOLK_NR];
                    }
                    if (j >= n) { /* padding stays zero */
                        same(row, (float[64]){0.0f}, k, "padding", 0, n, k);
                        continue;
                    }
                    same(row, x.b + j * k, k, "panel", 0, n, k);
                    iol_packed_row(&packed, j, row);
                    same(row, x.b + j * k, k, "iol_packed_row", 0, n, k);
                }
            }
        }
    }
    assert_int_equal(iol_packed_floats(SIZE_MAX, 1), 0);
    assert_int_equal(iol_packed_floats(SIZE_MAX / 8, 64), 0);
    assert_int_equal(iol_packed_floats((size_t)1 << 40, (size_t)1 << 40), 0);
}

/* One chain of fmaf per element: the definition. */
static void define(size_t m, size_t n, size_t k, const float *bias, size_t ld_c, float *c)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            float sum = bias ? bias[j] : 0.0f;
            for (size_t l = 0; l < k; l++) {
                sum = fmaf(x.a[i * k + l], x.b[j * k + l], sum);
            }
            c[i * ld_c + j] = sum;
        }
    }
}

static void check_reference(size_t m, size_t n, size_t k, bool exact)
{
    iolk_gemm_f32_ref(m, n, k, x.a, k, x.turned, n, x.bias, 0, x.value, x.bound);
    for (size_t i = 0; i < m * n; i++) {
        double error = fabs((double)x.got[i] - x.value[i]);
        assert_true(error <= (exact ? 0.0 : x.bound[i]));
    }
}

/* The product in one call, then cut in every way; all with the same bits. */
static void check_product(const struct iolk_ops *ops, size_t m, size_t n, size_t k)
{
    const size_t panels = (n + IOLK_NR - 1) / IOLK_NR;
    struct iol_packed b = pack(n, k, n, false);
    define(m, n, k, x.bias, n, x.want);
    const uint64_t counted = 2 * (uint64_t)m * n * k;
    memset(x.got, 0xff, sizeof x.got);
    x.flops = 7;
    iol_gemm_block(ops, m, x.a, k, &b, NULL, x.got, n, &x.flops);
    assert_int_equal(x.flops, counted + 7);
    same(x.got, x.want, m * n, "whole", m, n, k);
    for (size_t i = m * n; i < m * n + 64; i++) {
        assert_true(isnan(x.got[i])); /* nothing beyond C */
    }
    for (size_t cut = 1; cut < k; cut += 1 + cut * 2) {
        struct iol_gemm_part first = {.k_end = cut}, second = {.k_begin = cut, .accumulate = 1};
        memset(x.got, 0xff, sizeof x.got);
        x.flops = 0;
        iol_gemm_block(ops, m, x.a, k, &b, &first, x.got, n, &x.flops);
        iol_gemm_block(ops, m, x.a + cut, k, &b, &second, x.got, n, &x.flops);
        same(x.got, x.want, m * n, "k in two parts", m, n, k);
        assert_int_equal(x.flops, counted);
    }
    for (size_t cut = 1; cut < panels; cut++) {
        struct iol_gemm_part left = {.panel_end = cut}, right = {.panel_begin = cut};
        memset(x.got, 0xff, sizeof x.got);
        x.flops = 0;
        iol_gemm_block(ops, m, x.a, k, &b, &left, x.got, n, &x.flops);
        iol_gemm_block(ops, m, x.a, k, &b, &right, x.got + cut * IOLK_NR, n, &x.flops);
        same(x.got, x.want, m * n, "panels in two parts", m, n, k);
        assert_int_equal(x.flops, counted);
    }
    for (size_t cut = 1; cut < m; cut += 1 + cut) {
        memset(x.got, 0xff, sizeof x.got);
        x.flops = 0;
        iol_gemm_block(ops, cut, x.a, k, &b, NULL, x.got, n, &x.flops);
        iol_gemm_block(ops, m - cut, x.a + cut * k, k, &b, NULL, x.got + cut * n, n, &x.flops);
        same(x.got, x.want, m * n, "rows in two parts", m, n, k);
        assert_int_equal(x.flops, counted);
    }
    struct iol_gemm_part no_bias = {.no_bias = 1};
    iol_gemm_block(ops, m, x.a, k, &b, &no_bias, x.got, n, &x.flops);
    define(m, n, k, NULL, n, x.want);
    same(x.got, x.want, m * n, "no bias", m, n, k);
    b.bias = NULL;
    memset(x.got, 0xff, sizeof x.got);
    iol_gemm_block(ops, m, x.a, k, &b, NULL, x.got, n, &x.flops);
    same(x.got, x.want, m * n, "bias NULL", m, n, k);
}

static void test_driver(void **state)
{
    static const size_t rows[] = {1, 3, 4, 7, 8, 9, 12, 20, 36, 100};
    static const size_t shapes[][2] = {{1, 1},    {47, 2},   {48, 100}, {49, 7},   {97, 33},
                                       {130, 64}, {50, 769}, {5, 1601}, {50, 769}, {5, 1601}};
    enum { LARGE_L2 = 8 }; /* from this shape on: k in short pieces */
    (void)state;
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        struct iolk_ops ops;
        if (!(available >> isa & 1U)) {
            continue;
        }
        iolk_ops_fill(1U << IOLK_ISA_SCALAR | 1U << isa, &ops);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            /* 0: blocks of 32 rows; of a few, also weights that are far */
            ops.l2_bytes = s % 2 ? 0 : (size_t)1 << (s % 4 ? 14 : 20);
            ops.l1_bytes = s % 3 ? (size_t)32 << 10 : (size_t)48 << 10;
            if (s >= LARGE_L2) {
                ops.l2_bytes = (size_t)2 << 20;
                ops.l1_bytes = (size_t)48 << 10;
            }
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                size_t m = rows[r], n = shapes[s][0], k = shapes[s][1];
                if (m * n * k > 500000) {
                    m = 12;
                }
                enum kc_kind kind = (r + s) % 3 == 0 ? KC_INTEGER : KC_REAL;
                fill(x.a, m * k, kind, s + r);
                fill(x.b, n * k, kind, s + r + 100);
                fill(x.bias, n, kind, s + r + 200);
                turn_b(n, k);
                check_product(&ops, m, n, k);
                struct iol_packed b = pack(n, k, 1 + n / 3, true);
                iol_gemm_block(&ops, m, x.a, k, &b, NULL, x.got, n, &x.flops);
                check_reference(m, n, k, kind == KC_INTEGER);
                fill(x.b, n * k, KC_SPECIAL, s);
                b = pack(n, k, n, false);
                iol_gemm_block(&ops, m, x.a, k, &b, NULL, x.got, n, &x.flops);
                define(m, n, k, x.bias, n, x.want);
                same(x.got, x.want, m * n, "special values", m, n, k);
            }
        }
    }
}

/* A and the panels end at a page that cannot be read, C at one that cannot be written. */
static void test_driver_stays_inside(void **state)
{
    (void)state;
    const size_t m = 13, n = 61, k = 20, panel_floats = iol_packed_floats(n, k);
    fill(x.a, m * k, KC_REAL, 1);
    fill(x.b, n * k, KC_REAL, 2);
    fill(x.bias, n, KC_REAL, 3);
    define(m, n, k, x.bias, n, x.want);
    struct iol_packed ordinary = pack(n, k, n, false);
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        struct iolk_ops ops;
        if (!(available >> isa & 1U)) {
            continue;
        }
        iolk_ops_fill(1U << IOLK_ISA_SCALAR | 1U << isa, &ops);
        for (unsigned place = 0; place < KC_PLACES; place++) {
            struct kc_array arrays[4] = {{m, k, k + 3, sizeof(float), KC_IN},
                                         {1, panel_floats, panel_floats, sizeof(float), KC_IN},
                                         {1, n, n, sizeof(float), KC_IN},
                                         {m, n, n + 5, sizeof(float), KC_OUT}};
            float *p[4];
            for (size_t i = 0; i < 4; i++) {
                p[i] = kc_place(i, &arrays[i], (enum kc_place)place);
            }
            for (size_t i = 0; i < m; i++) {
                memcpy(p[0] + i * (k + 3), x.a + i * k, k * sizeof(float));
            }
            memcpy(p[1], ordinary.panels, panel_floats * sizeof(float));
            memcpy(p[2], x.bias, n * sizeof(float));
            struct iol_packed b = {.n = n, .k = k, .panels = p[1], .bias = p[2]};
            iol_gemm_block(&ops, m, p[0], k + 3, &b, NULL, p[3], n + 5, &x.flops);
            assert_true(kc_intact(3, &arrays[3], p[3]));
            for (size_t i = 0; i < m; i++) {
                same(p[3] + i * (n + 5), x.want + i * n, n, "guarded", m, n, k);
            }
        }
    }
}

static void test_no_rows(void **state)
{
    struct iolk_ops ops;
    (void)state;
    iolk_ops_fill(available, &ops);
    struct iol_packed b = pack(48, 4, 48, false);
    x.got[0] = 42.0f;
    iol_gemm_block(&ops, 0, x.a, 4, &b, NULL, x.got, 48, &x.flops);
    assert_true(x.got[0] == 42.0f);
}

/* The micro-kernels of every ISA: a row alone has the bits that it has among others; a chain cut at
 * any k and continued in C has the bits of the whole. */
static void test_rows_and_chains(void **state)
{
    (void)state;
    enum { K = 41 };
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        const struct kc_variant *row = kc_row(IOLK_OP_gemm_f32, (enum iolk_isa)isa);
        if (!(available >> isa & 1U) || !row) {
            continue;
        }
        iolk_gemm_f32_fn *gemm = (iolk_gemm_f32_fn *)row->fn;
        for (size_t n = 1; n <= IOLK_NR; n++) {
            fill(x.a, (size_t)IOLK_MR * K, KC_REAL, n);
            fill(x.turned, n * K, KC_REAL, n + 100);
            fill(x.bias, n, KC_REAL, n + 200);
            gemm(IOLK_MR, n, K, x.a, K, x.turned, n, x.bias, 0, x.want, n, NULL);
            for (size_t m = 1; m <= IOLK_MR; m++) {
                for (size_t i = 0; i + m <= IOLK_MR; i++) {
                    gemm(m, n, K, x.a + i * K, K, x.turned, n, x.bias, 0, x.got, n, NULL);
                    same(x.got, x.want + i * n, m * n, "rows of their own", m, n, K);
                }
                for (size_t cut = 0; cut <= K; cut += 1 + cut / 3) {
                    const struct iolk_fetch few = {.at = x.b, .lines = 9, .into_l2 = cut % 2};
                    const struct iolk_fetch many = {
                        .at = x.b, .lines = 700, .into_l2 = m % 2, .streams = m};
                    gemm(m, n, cut, x.a, K, x.turned, n, x.bias, 0, x.got, n, &few);
                    gemm(m, n, K - cut, x.a + cut, K, x.turned + cut * n, n, x.got, n, x.got, n,
                         &many);
                    same(x.got, x.want, m * n, "chain in two parts", m, n, cut);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_driver),
        cmocka_unit_test(test_driver_stays_inside),
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_rows_and_chains),
    };
    available = iolk_isa_detect();
    if (!(available & 1U << IOLK_ISA_SCALAR) || !kc_open()) {
        fprintf(stderr, "test_gemm: no memory, or this processor lacks %s\n",
                iolk_isa_needs(IOLK_ISA_SCALAR));
        return 1;
    }
    int failed = cmocka_run_group_tests_name("gemm", tests, NULL, NULL);
    kc_close();
    return failed ? 1 : 0;
}
