/* Weights that stay as published: packing from published rows, and products that have the bits of
 * the f32 product over the widened weights, on every ISA. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "driver/gemm.h"
#include "kcheck.h"

enum { MOST_N = 140, MOST_K = 1792, MOST_M = 100, FIRST = IOL_PANEL_BF16 };

static uint32_t available;

static struct {
    unsigned char published[MOST_N * MOST_K * 2 + 1]; /* rows, at an odd address */
    unsigned char turned[MOST_N * MOST_K * 2 + 1];
    float weights[MOST_N * MOST_K]; /* what they mean */
    float floats[192 * MOST_K], panels[192 * MOST_K];
    float a[MOST_M * MOST_K], bias[MOST_N];
    float want[MOST_M * MOST_N], got[MOST_M * MOST_N];
} x;

/* --- what is published means, from the definitions of ggml --- */

static float half(const unsigned char *p)
{
    const int exponent = p[1] >> 2 & 31, fraction = (p[1] & 3) << 8 | p[0];
    const double size = exponent == 31  ? fraction ? (double)NAN : HUGE_VAL
                        : exponent == 0 ? ldexp(fraction, -24)
                                        : ldexp(1024 + fraction, exponent - 25);
    return (float)(p[1] & 128 ? -size : size);
}

static float of_bf16(const unsigned char *row, size_t k)
{
    const uint32_t bits = (uint32_t)row[2 * k] << 16 | (uint32_t)row[2 * k + 1] << 24;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float of_f16(const unsigned char *row, size_t k)
{
    return half(row + 2 * k);
}

/* block_q8_0: d, 32 signed bytes */
static float of_q80(const unsigned char *row, size_t k)
{
    const unsigned char *block = row + k / 32 * 34;
    return half(block) * (float)(signed char)block[2 + k % 32];
}

/* block_q4_0: d, 16 bytes: weight i below 16 is the low nibble of byte i, i + 16 the high one */
static float of_q40(const unsigned char *row, size_t k)
{
    const unsigned char *block = row + k / 32 * 18;
    /* - 8 d + q d: a zero is +0 whatever the sign of d */
    return half(block) * (float)((block[2 + k % 16] >> (k % 32 < 16 ? 0 : 4) & 15) - 8) + 0.0f;
}

/* block_q4_1: d, m, 16 bytes */
static float of_q41(const unsigned char *row, size_t k)
{
    const unsigned char *block = row + k / 32 * 20;
    return half(block) * (float)(block[4 + k % 16] >> (k % 32 < 16 ? 0 : 4) & 15) + half(block + 2);
}

/* block_q4_K: d, dmin, 12 bytes of 6-bit scales and minima, 128 bytes: 32 of them hold 64 weights
 */
static float of_q4k(const unsigned char *row, size_t k)
{
    const unsigned char *block = row + k / 256 * 144, *packed = block + 4;
    const size_t j = k % 256 / 32;
    const int scale = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
    const int least = j < 4 ? packed[j + 4] & 63 : packed[j + 4] >> 4 | (packed[j] >> 6) << 4;
    const float d = half(block) * (float)scale, m = half(block + 2) * (float)least;
    return d * (float)(block[16 + j / 2 * 32 + k % 32] >> (j % 2 ? 4 : 0) & 15) - m;
}

static float (*const meaning[IOL_PANEL_DTYPE_COUNT])(const unsigned char *row, size_t k) = {
    NULL, of_bf16, of_f16, of_q80, of_q40, of_q41, of_q4k};

/* --- random matrices --- */

/* Bytes of a block's constants: at 0, f16 each. */
static const size_t constants[IOL_PANEL_DTYPE_COUNT] = {0, 0, 0, 1, 1, 2, 2};

/* Rows as published; `special`: any bits at all in bf16 and f16, NaN and infinities too. */
static void publish(enum iol_panel_dtype dtype, size_t n, size_t k, bool special, uint64_t seed)
{
    const size_t row = iol_panel_row_bytes(dtype, k), block = constants[dtype] ? row : 2;
    unsigned char *p = x.published + 1;
    assert_true(n * row < sizeof x.published && n * k <= sizeof x.weights / sizeof(float));
    for (size_t i = 0; i < n * row; i++) {
        p[i] = (unsigned char)(iol_splitmix64(&seed) >> 56);
    }
    const size_t step = dtype == IOL_PANEL_Q80   ? 34
                        : dtype == IOL_PANEL_Q40 ? 18
                        : dtype == IOL_PANEL_Q41 ? 20
                        : dtype == IOL_PANEL_Q4K ? 144
                                                 : block;
    for (size_t i = 0; !special && i < n * row; i += step) {
        if (!constants[dtype]) { /* the exponent of something near 1 */
            p[i + 1] = (unsigned char)((p[i + 1] & 0x80) | (dtype == IOL_PANEL_F16 ? 0x38 : 0x3f));
        }
        for (size_t c = 0; c < constants[dtype]; c++) {
            p[i + 2 * c + 1] = (unsigned char)((p[i + 2 * c + 1] & 0x83) | 0x30);
        }
    }
    for (size_t i = 0; special && constants[dtype] && i < n * row; i += step) {
        for (size_t c = 0; c < constants[dtype]; c++) { /* denormal d */
            p[i + 2 * c + 1] &= 0x83;
        }
    }
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < k; i++) {
            x.weights[j * k + i] = meaning[dtype](p + j * row, i);
        }
    }
}

static struct iol_packed pack(enum iol_panel_dtype dtype, size_t n, size_t k, size_t piece)
{
    struct iol_packed packed = {.n = n, .k = k, .panels = x.panels, .bias = x.bias, .dtype = dtype};
    const size_t bytes = iol_panel_bytes(dtype, n, k), row = iol_panel_row_bytes(dtype, k);
    assert_in_range(bytes, 1, sizeof x.panels);
    memset(x.panels, 0, bytes);
    for (size_t at = 0; at < n; at += piece) {
        iol_pack_rows_stored(x.published + 1 + at * row, row, at, n - at < piece ? n - at : piece,
                             &packed);
    }
    return packed;
}

static struct iol_packed pack_floats(size_t n, size_t k)
{
    struct iol_packed packed = {.n = n, .k = k, .panels = x.floats, .bias = x.bias};
    memset(x.floats, 0, iol_packed_floats(n, k) * sizeof(float));
    iol_pack_rows_f32(x.weights, k, 0, n, &packed);
    return packed;
}

/* Same bits, every NaN equal. */
static void same(const float *got, const float *want, size_t count, const char *what,
                 enum iol_panel_dtype dtype, size_t m, size_t n, size_t k)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&got[i], &want[i], sizeof *got) != 0 && !(isnan(got[i]) && isnan(want[i]))) {
            fail_msg("%s %s: m %zu n %zu k %zu element %zu is %a, expected %a",
                     iol_panel_dtype_name(dtype), what, m, n, k, i, (double)got[i],
                     (double)want[i]);
        }
    }
}

/* A depth that the dtype's blocks allow. */
static size_t allowed(enum iol_panel_dtype dtype, size_t k)
{
    const size_t block = dtype == IOL_PANEL_Q4K ? 256 : constants[dtype] ? 32 : 1;
    return (k + block - 1) / block * block;
}

/* --- tests --- */

static void test_sizes(void **state)
{
    (void)state;
    assert_string_equal(iol_panel_dtype_name(IOL_PANEL_F32), "f32");
    assert_string_equal(iol_panel_dtype_name(IOL_PANEL_Q4K), "q4k");
    assert_string_equal(iol_panel_dtype_name(IOL_PANEL_DTYPE_COUNT), "?");
    assert_int_equal(iol_panel_row_bytes(IOL_PANEL_F32, 7), 28);
    assert_int_equal(iol_panel_row_bytes(IOL_PANEL_BF16, 7), 14);
    assert_int_equal(iol_panel_row_bytes(IOL_PANEL_Q80, 64), 68);
    assert_int_equal(iol_panel_row_bytes(IOL_PANEL_Q4K, 512), 288);
    assert_int_equal(iol_panel_row_bytes(IOL_PANEL_Q4K, 64), 0); /* no whole block */
    assert_int_equal(iol_panel_bytes(IOL_PANEL_F32, 49, 5), 4 * iol_packed_floats(49, 5));
    assert_int_equal(iol_panel_bytes(IOL_PANEL_F16, 49, 5), 2 * 3 * 192);
    assert_int_equal(iol_panel_bytes(IOL_PANEL_Q41, 48, 96), 3 * (192 + 768));
    assert_int_equal(iol_panel_bytes(IOL_PANEL_Q40, 48, 33), 0);
    assert_int_equal(iol_panel_bytes(IOL_PANEL_BF16, SIZE_MAX, 2), 0);
    assert_int_equal(iol_panel_bytes(IOL_PANEL_BF16, 48, SIZE_MAX), 0);
    assert_int_equal(iol_panel_bytes(IOL_PANEL_Q80, (size_t)1 << 40, (size_t)1 << 40), 0);
    /* As small as published where blocks are whole: q4k unpacks its 6-bit scales. */
    for (unsigned d = FIRST; d < IOL_PANEL_DTYPE_COUNT; d++) {
        const enum iol_panel_dtype dtype = (enum iol_panel_dtype)d;
        const size_t published = 96 * iol_panel_row_bytes(dtype, 2048);
        assert_true(iol_panel_bytes(dtype, 96, 2048) <=
                    published + (dtype == IOL_PANEL_Q4K ? published / 32 : 0));
    }
}

static void test_packing(void **state)
{
    static const size_t sizes[][2] = {{1, 1}, {47, 5}, {48, 96}, {49, 255}, {97, 33}, {130, 300}};
    static float row[MOST_K], column[MOST_N];
    (void)state;
    for (unsigned d = FIRST; d < IOL_PANEL_DTYPE_COUNT; d++) {
        const enum iol_panel_dtype dtype = (enum iol_panel_dtype)d;
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const size_t n = sizes[s][0], k = allowed(dtype, sizes[s][1]);
            publish(dtype, n, k, s % 2 == 0, s);
            for (size_t piece = 1; piece <= n; piece += 1 + piece * 3) {
                struct iol_packed packed = pack(dtype, n, k, piece);
                for (size_t j = 0; j < n; j += 1 + j / 7) {
                    iol_packed_row(&packed, j, row);
                    same(row, x.weights + j * k, k, "iol_packed_row", dtype, j, n, k);
                }
                for (size_t i = 0; i < k; i += 1 + i / 7) {
                    iol_packed_column(&packed, i, column);
                    for (size_t j = 0; j < n; j++) {
                        same(column + j, x.weights + j * k + i, 1, "column", dtype, j, n, k);
                    }
                }
            }
        }
    }
    publish(IOL_PANEL_F16, 60, 70, false, 1);
    struct iol_packed floats = pack_floats(60, 70);
    iol_packed_column(&floats, 69, column);
    for (size_t j = 0; j < 60; j++) {
        same(column + j, x.weights + j * 70 + 69, 1, "column of f32", IOL_PANEL_F32, j, 60, 70);
    }
}

/* (k, n) as published gives the panels of (n, k). */
static void test_packing_columns(void **state)
{
    (void)state;
    for (unsigned d = IOL_PANEL_BF16; d <= IOL_PANEL_F16; d++) {
        const enum iol_panel_dtype dtype = (enum iol_panel_dtype)d;
        const size_t n = 101, k = 37, bytes = iol_panel_bytes(dtype, n, k);
        publish(dtype, n, k, true, d);
        for (size_t i = 0; i < n * k; i++) {
            memcpy(x.turned + 1 + 2 * (i % k * n + i / k), x.published + 1 + 2 * i, 2);
        }
        struct iol_packed packed = pack(dtype, n, k, n);
        memcpy(x.floats, x.panels, bytes);
        memset(x.panels, 0, bytes);
        for (size_t at = 0; at < n; at += 40) {
            iol_pack_columns_stored(x.turned + 1 + 2 * at, 2 * n, at, n - at < 40 ? n - at : 40,
                                    &packed);
        }
        assert_memory_equal(x.panels, x.floats, bytes);
    }
}

static void check_product(const struct iolk_ops *ops, enum iol_panel_dtype dtype, size_t m,
                          size_t n, size_t k)
{
    struct iol_packed narrow = pack(dtype, n, k, n), floats = pack_floats(n, k);
    const size_t panels = (n + IOLK_NR - 1) / IOLK_NR;
    uint64_t flops = 0, counted = 0;
    iol_gemm_block(ops, m, x.a, k, &floats, NULL, x.want, n, &counted);
    memset(x.got, 0xff, sizeof x.got);
    iol_gemm_block(ops, m, x.a, k, &narrow, NULL, x.got, n, &flops);
    assert_int_equal(flops, counted);
    same(x.got, x.want, m * n, "whole", dtype, m, n, k);
    for (size_t i = m * n; i < m * n + 64 && i < sizeof x.got / sizeof(float); i++) {
        assert_true(isnan(x.got[i])); /* nothing beyond C */
    }
    for (size_t cut = 1; cut < k; cut += 1 + cut * 3) {
        struct iol_gemm_part first = {.k_end = cut}, second = {.k_begin = cut, .accumulate = 1};
        memset(x.got, 0xff, sizeof x.got);
        iol_gemm_block(ops, m, x.a, k, &narrow, &first, x.got, n, &flops);
        iol_gemm_block(ops, m, x.a + cut, k, &narrow, &second, x.got, n, &flops);
        same(x.got, x.want, m * n, "k in two parts", dtype, m, n, k);
    }
    for (size_t cut = 1; cut < panels; cut++) {
        struct iol_gemm_part left = {.panel_end = cut}, right = {.panel_begin = cut};
        memset(x.got, 0xff, sizeof x.got);
        iol_gemm_block(ops, m, x.a, k, &narrow, &left, x.got, n, &flops);
        iol_gemm_block(ops, m, x.a, k, &narrow, &right, x.got + cut * IOLK_NR, n, &flops);
        same(x.got, x.want, m * n, "panels in two parts", dtype, m, n, k);
    }
    const struct iol_gemm_part no_bias = {.no_bias = 1};
    iol_gemm_block(ops, m, x.a, k, &floats, &no_bias, x.want, n, &flops);
    iol_gemm_block(ops, m, x.a, k, &narrow, &no_bias, x.got, n, &flops);
    same(x.got, x.want, m * n, "no bias", dtype, m, n, k);
}

static void fill(float *p, size_t count, enum kc_kind kind, uint64_t seed)
{
    kc_fill(&(struct kc_array){1, count, count, sizeof(float), KC_IN}, p, kind, false, seed);
}

static void test_product(void **state)
{
    static const size_t rows[] = {1, 2, 3, 4, 5, 8, 33, 100};
    static const size_t shapes[][2] = {{1, 1}, {47, 2}, {48, 100}, {97, 333}, {60, 1601}};
    (void)state;
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        struct iolk_ops ops;
        if (!(available >> isa & 1U)) {
            continue;
        }
        iolk_ops_fill(1U << IOLK_ISA_SCALAR | 1U << isa, &ops);
        ops.l2_bytes = 200000; /* several blocks of rows */
        for (unsigned d = FIRST; d < IOL_PANEL_DTYPE_COUNT; d++) {
            const enum iol_panel_dtype dtype = (enum iol_panel_dtype)d;
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                const size_t n = shapes[s][0], k = allowed(dtype, shapes[s][1]);
                for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                    const size_t m = k > 1000 && rows[r] > 33 ? 40 : rows[r];
                    publish(dtype, n, k, (r + s) % 3 == 0, r + s);
                    fill(x.a, m * k, (r + s) % 3 == 1 ? KC_TINY : KC_REAL, r + s);
                    fill(x.bias, n, KC_REAL, r + s + 100);
                    check_product(&ops, dtype, m, n, k);
                }
            }
        }
    }
}

/* A and the panels end at a page that cannot be read, C at one that cannot be written. */
static void test_stays_inside(void **state)
{
    (void)state;
    const size_t n = 61, m_all[2] = {3, 13};
    for (unsigned i = 0; i < IOLK_ISA_COUNT * IOL_PANEL_DTYPE_COUNT * KC_PLACES * 2; i++) {
        const unsigned isa = i % IOLK_ISA_COUNT, rest = i / IOLK_ISA_COUNT;
        const enum iol_panel_dtype dtype = (enum iol_panel_dtype)(rest % IOL_PANEL_DTYPE_COUNT);
        const unsigned last = rest / IOL_PANEL_DTYPE_COUNT;
        const size_t m = m_all[last / KC_PLACES], k = allowed(dtype, 20);
        struct iolk_ops ops;
        if (!(available >> isa & 1U) || dtype == IOL_PANEL_F32) {
            continue;
        }
        iolk_ops_fill(1U << IOLK_ISA_SCALAR | 1U << isa, &ops);
        publish(dtype, n, k, false, i);
        fill(x.a, m * k, KC_REAL, i);
        fill(x.bias, n, KC_REAL, i + 1);
        const size_t panel_floats = iol_panel_bytes(dtype, n, k) / sizeof(float);
        struct kc_array arrays[3] = {{m, k, k + 3, sizeof(float), KC_IN},
                                     {1, panel_floats, panel_floats, sizeof(float), KC_IN},
                                     {m, n, n + 5, sizeof(float), KC_OUT}};
        float *p[3];
        for (size_t s = 0; s < 3; s++) {
            p[s] = kc_place(s, &arrays[s], (enum kc_place)(last % KC_PLACES));
        }
        for (size_t r = 0; r < m; r++) {
            memcpy(p[0] + r * (k + 3), x.a + r * k, k * sizeof(float));
        }
        struct iol_packed b = pack(dtype, n, k, n), floats = pack_floats(n, k);
        memcpy(p[1], x.panels, panel_floats * sizeof(float));
        b.panels = p[1];
        uint64_t flops = 0;
        iol_gemm_block(&ops, m, x.a, k, &floats, NULL, x.want, n, &flops);
        iol_gemm_block(&ops, m, p[0], k + 3, &b, NULL, p[2], n + 5, &flops);
        assert_true(kc_intact(2, &arrays[2], p[2]));
        for (size_t r = 0; r < m; r++) {
            same(p[2] + r * (n + 5), x.want + r * n, n, "guarded", dtype, m, n, k);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),           cmocka_unit_test(test_packing),
        cmocka_unit_test(test_packing_columns), cmocka_unit_test(test_product),
        cmocka_unit_test(test_stays_inside),
    };
    available = iolk_isa_detect();
    if (!(available & 1U << IOLK_ISA_SCALAR) || !kc_open()) {
        fprintf(stderr, "test_panels: no memory, or this processor lacks %s\n",
                iolk_isa_needs(IOLK_ISA_SCALAR));
        return 1;
    }
    int failed = cmocka_run_group_tests_name("panels", tests, NULL, NULL);
    kc_close();
    return failed ? 1 : 0;
}
