/* The fused unembedding against stored logits, by memcmp, on every ISA of this processor. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/unembed.h"

enum { TOP = 64, CHOSEN = 3 };

enum kind { SMOOTH, TIES, ALL_EQUAL, SOME_MINUS_INFINITY, ALL_MINUS_INFINITY, KINDS };

struct problem {
    struct iol_packed w;
    size_t m, ld_x;
    float *x, *rows; /* rows: (n, k), before packing */
};

static void *need(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    assert_non_null(p);
    memset(p, 0, bytes);
    return p;
}

static float uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (float)(int32_t)(*seed >> 32) / 2147483648.0f;
}

/* Ties: few small integers, so that many logits are equal. -infinity: by the bias, which the
 * chains start from. */
static void problem_open(size_t m, size_t n, size_t k, enum kind kind, struct problem *out)
{
    uint64_t seed = n * 31 + m * 7 + k + (uint64_t)kind;
    *out = (struct problem){.w = {.n = n, .k = k}, .m = m, .ld_x = k + 3};
    out->w.panels = need(iol_packed_floats(n, k) * sizeof(float));
    out->x = need(m * out->ld_x * sizeof(float));
    out->rows = need(n * k * sizeof(float));
    for (size_t i = 0; i < m * out->ld_x; i++) {
        out->x[i] = kind == TIES ? rintf(uniform(&seed) * 2) : 3 * uniform(&seed);
    }
    for (size_t i = 0; i < n * k; i++) {
        out->rows[i] = kind == TIES        ? rintf(uniform(&seed))
                       : kind == ALL_EQUAL ? 0.5f
                                           : uniform(&seed);
    }
    iol_pack_rows_f32(out->rows, k, 0, n, &out->w);
    if (kind == SOME_MINUS_INFINITY || kind == ALL_MINUS_INFINITY) {
        out->w.bias = need(n * sizeof(float));
        for (size_t i = 0; i < n; i++) {
            /* the first chunk wholly, then every third */
            out->w.bias[i] =
                kind == ALL_MINUS_INFINITY || i < IOLK_CHUNK || i % 3 == 0 ? -INFINITY : 0.25f;
        }
    }
}

static void problem_close(struct problem *p)
{
    free(p->w.panels);
    free(p->w.bias);
    free(p->x);
    free(p->rows);
}

static void check(const struct iolk_ops *ops, const struct problem *p, size_t top)
{
    const size_t n = p->w.n, m = p->m;
    top = top < n ? top : n;
    struct iol_unembed_row *rows = need(m * sizeof *rows);
    size_t *index = need(m * TOP * sizeof *index), chosen[CHOSEN] = {n - 1, 0, n / 2};
    float *values = need(m * TOP * sizeof *values), *picked = need(m * CHOSEN * sizeof *picked);
    const size_t floats = iol_unembed_workspace(m, n);
    float *workspace = need((floats + 1) * sizeof *workspace),
          *logits = need(m * n * sizeof *logits);
    uint64_t flops = 0, stored_flops = 0;
    for (size_t r = 0; r < m; r++) {
        rows[r] = (struct iol_unembed_row){.chosen_count = CHOSEN,
                                           .chosen = chosen,
                                           .out_chosen = picked + r * CHOSEN,
                                           .top_count = top,
                                           .out_top = index + r * TOP,
                                           .out_top_logits = values + r * TOP};
    }
    workspace[floats] = 12345;
    iol_unembed_reduce(ops, m, p->x, p->ld_x, &p->w, rows, workspace, &flops);
    assert_true(workspace[floats] == 12345);
    iol_unembed_rows(ops, m, p->x, p->ld_x, &p->w, logits, n, &stored_flops);
    assert_int_equal(flops, stored_flops);
    for (size_t r = 0; r < m; r++) {
        const float *row = logits + r * n;
        struct iol_logit_stats stats;
        size_t best[TOP], lowest = 0;
        float best_values[TOP];
        iol_logits_reduce(ops, n, row, &stats);
        for (size_t i = 1; i < n; i++) {
            lowest = row[i] > row[lowest] ? i : lowest;
        }
        assert_int_equal(stats.argmax, lowest);
        assert_memory_equal(&rows[r].stats, &stats, sizeof stats);
        iol_logits_top(n, row, top, best, best_values);
        assert_memory_equal(index + r * TOP, best, top * sizeof *best);
        assert_memory_equal(values + r * TOP, best_values, top * sizeof *best_values);
        for (size_t i = 0; i < CHOSEN; i++) {
            assert_memory_equal(picked + r * CHOSEN + i, &row[chosen[i]], sizeof *row);
        }
    }
    free(rows);
    free(index);
    free(values);
    free(picked);
    free(workspace);
    free(logits);
}

static void check_all_isas(const struct problem *p, size_t top)
{
    const uint32_t available = iolk_isa_detect();
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        if (available >> isa & 1U) {
            struct iolk_ops ops;
            iolk_ops_fill((1U << isa) | 1U, &ops);
            check(&ops, p, top);
        }
    }
}

/* Widths around panels (48), chunks (1,024) and strips (3,072), rows around a block of them. */
static void test_shapes(void **state)
{
    (void)state;
    static const size_t widths[] = {1,    2,    47,   48,   49,   1023, 1024, 1025,
                                    3071, 3072, 3073, 4097, 6144, 6200, 9999};
    static const size_t rows[] = {1, 2, 8, 9};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++) {
            struct problem p;
            problem_open(rows[j], widths[i], 5, SMOOTH, &p);
            check_all_isas(&p, i % 3 == 0 ? TOP : i % 3 == 1 ? 10 : 0);
            problem_close(&p);
        }
    }
}

static void test_kinds(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        static const size_t tops[] = {1, 7, TOP};
        for (size_t i = 0; i < sizeof tops / sizeof *tops; i++) {
            struct problem p;
            problem_open(3, 7001, 4, (enum kind)kind, &p);
            check_all_isas(&p, tops[i]);
            problem_close(&p);
        }
    }
}

/* More rows than a strip holds; K_BLOCKs of the product. */
static void test_many_rows(void **state)
{
    (void)state;
    struct problem p;
    problem_open(131, 5003, 33, SMOOTH, &p);
    check_all_isas(&p, 20);
    problem_close(&p);
    problem_open(65, 3500, 1601, SMOOTH, &p);
    check_all_isas(&p, 5);
    problem_close(&p);
}

/* Logits of many kinds: ties, ascending (each is a new largest), descending, all the same, few that
 * are not -infinity, zeros of both signs. */
static float logit_of(size_t kind, size_t i, uint64_t *seed)
{
    const float x = uniform(seed);
    switch (kind) {
    case 0:
        return rintf(40 * x);
    case 1:
        return (float)i;
    case 2:
        return -(float)(i / 3);
    case 3:
        return 1;
    case 4:
        return i % 97 == 5 ? x : -INFINITY;
    default:
        return x > 0.9f ? x : copysignf(0, x);
    }
}

/* Against plain code: the top is sorted, holds the largest, lower index first. */
static void check_top(size_t n, const float *x, size_t count)
{
    enum { MOST = 300 };
    size_t index[MOST];
    float values[MOST];
    iol_logits_top(n, x, count, index, values);
    for (size_t i = 0; i < count; i++) {
        size_t before = 0; /* indices that come before index[i] in the order */
        assert_true(index[i] < n);
        for (size_t j = 0; j < n; j++) {
            before += x[j] > x[index[i]] || (!(x[j] < x[index[i]]) && j < index[i]);
        }
        assert_int_equal(before, i);
        assert_memory_equal(&values[i], &x[index[i]], sizeof values[i]);
    }
}

static void test_top(void **state)
{
    (void)state;
    enum { N = 4500 };
    static float x[N];
    static const size_t sizes[] = {1, 31, 64, 300, 3071, N},
                        counts[] = {0, 1, 2, 5, 64, 127, 128, 129, 300};
    uint64_t seed = 5;
    for (size_t kind = 0; kind < 6; kind++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            for (size_t i = 0; i < sizes[s]; i++) {
                x[i] = logit_of(kind, i, &seed);
            }
            for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
                if (counts[c] <= sizes[s]) {
                    check_top(sizes[s], x, counts[c]);
                }
            }
        }
    }
}

/* NaN is over nothing and nothing over it: it stays where it came, and keeps out what follows. */
static void test_top_nan(void **state)
{
    (void)state;
    float x[200];
    size_t index[3];
    float values[3];
    for (size_t i = 0; i < 200; i++) {
        x[i] = (float)(i % 7);
    }
    x[150] = NAN;
    iol_logits_top(200, x, 3, index, values);
    assert_int_equal(index[0], 6);
    assert_int_equal(index[1], 13);
    assert_int_equal(index[2], 20);
    x[1] = NAN;
    iol_logits_top(200, x, 3, index, values);
    assert_int_equal(index[0], 0);
    assert_int_equal(index[1], 1);
    assert_int_equal(index[2], 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),    cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_many_rows), cmocka_unit_test(test_top),
        cmocka_unit_test(test_top_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
