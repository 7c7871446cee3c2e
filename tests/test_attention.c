/* The attention and vocabulary drivers: against double references, and bit for bit between the
 * forms that must agree. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "driver/attention.h"
#include "driver/unembed.h"

struct shape {
    size_t heads, kv_heads, head_dim, length;
};

/* The last three: rows of q, and of k, that share sets of L1. */
static const struct shape shapes[] = {{1, 1, 1, 1},    {3, 3, 10, 2},   {4, 2, 16, 7},
                                      {6, 1, 24, 8},   {2, 2, 48, 9},   {4, 4, 64, 17},
                                      {8, 2, 50, 49},  {3, 1, 96, 100}, {2, 1, 16, 290},
                                      {16, 16, 64, 5}, {8, 4, 64, 5},   {4, 2, 256, 3}};

static float uniform(uint64_t *state)
{
    return (float)((double)(iol_splitmix64(state) >> 40) / (1 << 23) - 1.0);
}

static float *random_floats(size_t count, uint64_t *state)
{
    float *x = iol_alloc(count, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++) {
        x[i] = uniform(state);
    }
    return x;
}

struct problem {
    struct iol_heads heads;
    size_t length, q_width, kv_width;
    float *q, *k, *v, *kt; /* (length, ...), kt (kv_width, length) */
    float *workspace;
};

static void problem_open(const struct shape *s, struct problem *p)
{
    uint64_t state = s->head_dim * 1000 + s->length;
    p->heads =
        (struct iol_heads){s->heads, s->kv_heads, s->head_dim, 1.0f / sqrtf((float)s->head_dim)};
    p->length = s->length;
    p->q_width = s->heads * s->head_dim;
    p->kv_width = s->kv_heads * s->head_dim;
    p->q = random_floats(p->length * p->q_width, &state);
    p->k = random_floats(p->length * p->kv_width, &state);
    p->v = random_floats(p->length * p->kv_width, &state);
    p->kt = iol_alloc(p->length * p->kv_width, sizeof *p->kt);
    p->workspace = iol_alloc(iol_attention_workspace(p->length), sizeof *p->workspace);
    assert_non_null(p->kt);
    assert_non_null(p->workspace);
    iol_keys_transpose(&p->heads, p->length, p->k, p->kv_width, 0, p->kt, p->length);
}

static void problem_close(struct problem *p)
{
    iol_free(p->q);
    iol_free(p->k);
    iol_free(p->v);
    iol_free(p->kt);
    iol_free(p->workspace);
}

static struct iol_keys keys_of(const struct problem *p, size_t count)
{
    return (struct iol_keys){
        .kt = p->kt, .ld_kt = p->length, .v = p->v, .ld_v = p->kv_width, .count = count};
}

/* Head h of row t in double precision. */
static void reference(const struct problem *p, size_t t, size_t h, double *out)
{
    const size_t d = p->heads.head_dim, g = h / (p->heads.heads / p->heads.kv_heads);
    double *s = calloc(t + 1, sizeof *s), max = -(double)INFINITY, sum = 0;
    assert_non_null(s);
    for (size_t j = 0; j <= t; j++) {
        for (size_t i = 0; i < d; i++) {
            s[j] += (double)p->q[t * p->q_width + h * d + i] *
                    (double)p->k[j * p->kv_width + g * d + i];
        }
        s[j] *= (double)p->heads.scale;
        max = fmax(max, s[j]);
    }
    memset(out, 0, d * sizeof *out);
    for (size_t j = 0; j <= t; j++) {
        sum += exp(s[j] - max);
        for (size_t i = 0; i < d; i++) {
            out[i] += exp(s[j] - max) * (double)p->v[j * p->kv_width + g * d + i];
        }
    }
    for (size_t i = 0; i < d; i++) {
        out[i] /= sum;
    }
    free(s);
}

static uint64_t causal(const struct iolk_ops *ops, struct problem *p, size_t first, size_t rows,
                       float *z)
{
    const struct iol_keys none = {0}, own = keys_of(p, first + rows);
    uint64_t flops = 0;
    memcpy(z, p->q + first * p->q_width, rows * p->q_width * sizeof *z);
    iol_attention_causal(ops, &p->heads, &none, &own, first, rows, z, p->q_width, p->workspace,
                         &flops);
    return flops;
}

/* Whole causal attention is near the reference, counts its FLOPs, and has the same bits on every
 * ISA and for every way to cut the rows. */
static void test_causal(void **state)
{
    (void)state;
    const uint32_t available = iolk_isa_detect();
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        struct problem p;
        problem_open(&shapes[c], &p);
        const size_t floats = p.length * p.q_width;
        float *z = iol_alloc(floats, sizeof *z), *other = iol_alloc(floats, sizeof *other);
        double *want = calloc(p.heads.head_dim, sizeof *want);
        for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
            struct iolk_ops ops;
            if (!(available >> isa & 1U)) {
                continue;
            }
            iolk_ops_fill((1U << isa) | 1U, &ops);
            float *to = isa ? other : z;
            uint64_t flops = causal(&ops, &p, 0, p.length, to);
            assert_int_equal(flops, 4 * p.q_width * (p.length * (p.length + 1) / 2));
            assert_memory_equal(to, z, floats * sizeof *z);
            for (size_t t = 0; t < p.length; t++) { /* one row alone */
                causal(&ops, &p, t, 1, other);
                assert_memory_equal(other, z + t * p.q_width, p.q_width * sizeof *z);
            }
        }
        for (size_t t = 0; t < p.length; t++) {
            for (size_t h = 0; h < p.heads.heads; h++) {
                reference(&p, t, h, want);
                for (size_t i = 0; i < p.heads.head_dim; i++) {
                    assert_true(
                        fabs((double)z[t * p.q_width + h * p.heads.head_dim + i] - want[i]) < 2e-6);
                }
            }
        }
        free(want);
        iol_free(other);
        iol_free(z);
        problem_close(&p);
    }
}

/* Values head by head, and an L2 so small that every call fetches its rows ahead: the same bits. */
static void test_layouts(void **state)
{
    (void)state;
    struct iolk_ops ops, small;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    small = ops;
    small.l2_bytes = 1;
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        struct problem p;
        problem_open(&shapes[c], &p);
        const size_t floats = p.length * p.q_width, d = p.heads.head_dim;
        float *z = iol_alloc(floats, sizeof *z), *other = iol_alloc(floats, sizeof *other),
              *v = iol_alloc(p.length * p.kv_width, sizeof *v);
        const struct iol_keys none = {0};
        struct iol_keys keys = keys_of(&p, p.length);
        uint64_t flops = 0;
        causal(&ops, &p, 0, p.length, z);
        causal(&small, &p, 0, p.length, other);
        assert_memory_equal(other, z, floats * sizeof *z);
        for (size_t t = 0; t < p.length; t++) {
            for (size_t g = 0; g < p.heads.kv_heads; g++) {
                memcpy(v + (g * p.length + t) * d, p.v + t * p.kv_width + g * d, d * sizeof *v);
            }
        }
        keys.v = v;
        keys.ld_v = d;
        keys.v_head = p.length * d;
        memcpy(other, p.q, floats * sizeof *z);
        iol_attention_causal(&ops, &p.heads, &none, &keys, 0, p.length, other, p.q_width,
                             p.workspace, &flops);
        assert_memory_equal(other, z, floats * sizeof *z);
        iol_free(v);
        iol_free(other);
        iol_free(z);
        problem_close(&p);
    }
}

/* More rows than go through the heads together, near (256) and far (1024): each once, the same
 * bits. */
static void test_spans(void **state)
{
    (void)state;
    static const struct shape shape = {3, 1, 16, 1100};
    struct iolk_ops near, far;
    struct problem p;
    iolk_ops_fill(iolk_isa_detect(), &near);
    far = near;
    near.l2_bytes = (size_t)1 << 30;
    far.l2_bytes = 1;
    problem_open(&shape, &p);
    const size_t floats = p.length * p.q_width;
    float *z = iol_alloc(floats, sizeof *z), *other = iol_alloc(floats, sizeof *other);
    causal(&near, &p, 0, p.length, z);
    causal(&far, &p, 0, p.length, other);
    assert_memory_equal(other, z, floats * sizeof *z);
    causal(&far, &p, 1090, 1, other);
    assert_memory_equal(other, z + 1090 * p.q_width, p.q_width * sizeof *z);
    iol_free(other);
    iol_free(z);
    problem_close(&p);
}

/* Keys and values that pass by L2, cut into slices and fetched ahead, by the first rows that read
 * them, by all rows where L2 is large: the bits of an L2 that holds everything. */
static void passing_keys(uint32_t isas, size_t l1_bytes, size_t l2_bytes)
{
    enum { ROWS = 77, LENGTH = 1057, D = 128, HEADS = 4, KV_HEADS = 2 };
    static const struct shape shape = {HEADS, KV_HEADS, D, LENGTH};
    struct iolk_ops passing, holding;
    struct problem p;
    uint64_t seed = 5, flops = 0;
    iolk_ops_fill(isas, &passing);
    passing.l1_bytes = l1_bytes;
    holding = passing;
    passing.l2_bytes = l2_bytes;
    holding.l2_bytes = (size_t)1 << 30;
    problem_open(&shape, &p);
    struct iol_keys keys = keys_of(&p, LENGTH), shared = keys;
    const struct iol_keys none = {0};
    keys.ld_v = shared.ld_v = D;
    keys.v_head = shared.v_head = LENGTH * D; /* any values will do */
    float *kv = random_floats(ROWS * 2 * p.kv_width, &seed);
    float *one = iol_alloc(ROWS * p.q_width, sizeof *one),
          *other = iol_alloc(ROWS * p.q_width, sizeof *other);
    const size_t bytes = ROWS * p.q_width * sizeof *one;
    for (size_t i = 0; i < 2; i++) {
        float *z = i ? other : one;
        memcpy(z, p.q, bytes);
        iol_attention_causal(i ? &passing : &holding, &p.heads, &none, &keys, LENGTH - ROWS, ROWS,
                             z, p.q_width, p.workspace, &flops);
    }
    assert_memory_equal(one, other, bytes);
    shared.count = LENGTH - 1;
    static const size_t branches[] = {8, 9, 23, 37, ROWS};
    for (size_t c = 0; c < sizeof branches / sizeof *branches; c++) {
        for (size_t i = 0; i < 2; i++) {
            float *z = i ? other : one;
            memcpy(z, p.q, bytes);
            iol_attention_branches(i ? &passing : &holding, &p.heads, &shared, kv, kv + p.kv_width,
                                   2 * p.kv_width, branches[c], z, p.q_width, p.workspace, &flops);
        }
        assert_memory_equal(one, other, bytes);
    }
    iol_free(kv);
    iol_free(one);
    iol_free(other);
    problem_close(&p);
}

static void test_passing_keys(void **state)
{
    (void)state;
    enum { LARGE = 2 << 20, SMALL = 1 << 20 };
    const uint32_t isas = iolk_isa_detect();
    passing_keys(isas, 48 << 10, LARGE);
    passing_keys(isas, 48 << 10, SMALL);
    passing_keys(isas, 32 << 10, SMALL);
#if defined(__x86_64__)
    passing_keys(isas & ~((uint32_t)1 << IOLK_ISA_AVX512), 32 << 10, SMALL);
#endif
}

/* A branch row with its own key and value at the last position gives the bits of the causal form,
 * alone or among others. */
static void test_branches(void **state)
{
    (void)state;
    struct iolk_ops ops, small;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    small = ops;
    small.l2_bytes = 1; /* rows, keys and values are all far */
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        struct problem p;
        problem_open(&shapes[c], &p);
        enum { ROWS = 21 };
        const size_t last = p.length - 1;
        uint64_t seed = c + 7, flops = 0;
        float *q = random_floats(ROWS * p.q_width, &seed),
              *kv = random_floats(ROWS * 2 * p.kv_width, &seed);
        float *z = iol_alloc(ROWS * p.q_width, sizeof *z), *one = iol_alloc(p.q_width, sizeof *one);
        float *far = iol_alloc(ROWS * p.q_width, sizeof *far);
        const struct iol_keys shared = keys_of(&p, last), none = {0};
        memcpy(z, q, ROWS * p.q_width * sizeof *z);
        iol_attention_branches(&ops, &p.heads, &shared, kv, kv + p.kv_width, 2 * p.kv_width, ROWS,
                               z, p.q_width, p.workspace, &flops);
        assert_int_equal(flops, ROWS * 4 * p.q_width * p.length);
        for (size_t count = 1; count <= ROWS; count += 4) {
            memcpy(far, q, count * p.q_width * sizeof *far);
            iol_attention_branches(&small, &p.heads, &shared, kv, kv + p.kv_width, 2 * p.kv_width,
                                   count, far, p.q_width, p.workspace, &flops);
            assert_memory_equal(far, z, count * p.q_width * sizeof *far);
        }
        for (size_t r = 0; r < ROWS; r++) {
            float *row = kv + r * 2 * p.kv_width;
            memcpy(one, q + r * p.q_width, p.q_width * sizeof *one);
            iol_attention_branches(&ops, &p.heads, &shared, row, row + p.kv_width, 2 * p.kv_width,
                                   1, one, p.q_width, p.workspace, &flops);
            assert_memory_equal(one, z + r * p.q_width, p.q_width * sizeof *one);
            /* the same key and value written where the clean ones were */
            iol_keys_transpose(&p.heads, 1, row, 2 * p.kv_width, last, p.kt, p.length);
            memcpy(p.v + last * p.kv_width, row + p.kv_width, p.kv_width * sizeof *row);
            const struct iol_keys own = keys_of(&p, p.length);
            memcpy(one, q + r * p.q_width, p.q_width * sizeof *one);
            iol_attention_causal(&ops, &p.heads, &none, &own, last, 1, one, p.q_width, p.workspace,
                                 &flops);
            assert_memory_equal(one, z + r * p.q_width, p.q_width * sizeof *one);
        }
        iol_free(far);
        iol_free(one);
        iol_free(z);
        iol_free(kv);
        iol_free(q);
        problem_close(&p);
    }
}

/* Rows that see shared keys first and their own after them give the bits of the undivided form. */
static void test_shared_prefix(void **state)
{
    (void)state;
    struct iolk_ops ops;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        struct problem p;
        problem_open(&shapes[c], &p);
        float *z = iol_alloc(p.length * p.q_width, sizeof *z),
              *cut = iol_alloc(p.length * p.q_width, sizeof *cut);
        causal(&ops, &p, 0, p.length, z);
        for (size_t before = 1; before < p.length; before += 1 + before / 3) {
            const size_t rows = p.length - before;
            float *kt = iol_alloc(p.kv_width * rows, sizeof *kt);
            iol_keys_transpose(&p.heads, rows, p.k + before * p.kv_width, p.kv_width, 0, kt, rows);
            const struct iol_keys shared = keys_of(&p, before);
            const struct iol_keys own = {.kt = kt,
                                         .ld_kt = rows,
                                         .v = p.v + before * p.kv_width,
                                         .ld_v = p.kv_width,
                                         .count = rows};
            uint64_t flops = 0;
            memcpy(cut, p.q + before * p.q_width, rows * p.q_width * sizeof *cut);
            iol_attention_causal(&ops, &p.heads, &shared, &own, 0, rows, cut, p.q_width,
                                 p.workspace, &flops);
            assert_memory_equal(cut, z + before * p.q_width, rows * p.q_width * sizeof *cut);
            iol_free(kt);
        }
        iol_free(cut);
        iol_free(z);
        problem_close(&p);
    }
}

/* Log-sum-exp, sums, spread, KL, arg-max, margin and top against plain double code, over chunk
 * borders; same bits on every ISA. */
static void test_vocabulary(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 15, 1023, 1024, 1025, 2049, 5000};
    const uint32_t available = iolk_isa_detect();
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        const size_t n = sizes[c];
        uint64_t seed = n;
        float *a = random_floats(n, &seed), *b = random_floats(n, &seed);
        double max = -(double)INFINITY, sum = 0, total = 0, total_b = 0, kl = 0, square = 0;
        size_t argmax = 0;
        for (size_t i = 0; i < n; i++) {
            a[i] *= 9;
            b[i] = a[i] + 0.01f * b[i];
            argmax = (double)a[i] > max ? i : argmax;
            max = fmax(max, (double)a[i]);
            sum += (double)a[i];
        }
        for (size_t i = 0; i < n; i++) {
            total += exp((double)a[i] - max);
            total_b += exp((double)b[i] - max);
            square += ((double)a[i] - sum / (double)n) * ((double)a[i] - sum / (double)n);
        }
        double lse = max + log(total), lse_b = max + log(total_b);
        for (size_t i = 0; i < n; i++) {
            double d = ((double)a[i] - lse) - ((double)b[i] - lse_b);
            kl += exp((double)a[i] - lse) * (expm1(-d) + d);
        }
        struct iol_logit_stats first = {0};
        double first_kl = 0;
        for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
            struct iolk_ops ops;
            struct iol_logit_stats s, t;
            if (!(available >> isa & 1U)) {
                continue;
            }
            iolk_ops_fill((1U << isa) | 1U, &ops);
            iol_logits_reduce(&ops, n, a, &s);
            iol_logits_reduce(&ops, n, b, &t);
            double measured = iol_logits_kl(&ops, n, a, s.lse, b, t.lse);
            if (isa == 0) {
                first = s;
                first_kl = measured;
                assert_true(fabs(s.lse - lse) < 1e-5 && fabs(s.sum - sum) < 1e-9 * (double)n);
                assert_true(fabs(measured - kl) < 1e-6 * (kl + 1e-9) + 1e-13);
                assert_true(fabs(iol_logits_spread(&ops, n, a, s.sum) - sqrt(square / (double)n)) <
                            1e-9);
            }
            assert_int_equal(s.argmax, argmax);
            assert_memory_equal(&s.lse, &first.lse, sizeof s.lse);
            assert_memory_equal(&s.sum, &first.sum, sizeof s.sum);
            assert_memory_equal(&measured, &first_kl, sizeof measured);
        }
        size_t top[10], count = n < 10 ? n : 10;
        float values[10];
        iol_logits_top(n, a, count, top, values);
        assert_true(memcmp(&values[0], &a[top[0]], sizeof values[0]) == 0);
        assert_int_equal(top[0], argmax);
        for (size_t i = 1; i < count; i++) {
            assert_true(a[top[i]] < a[top[i - 1]] ||
                        (a[top[i]] <= a[top[i - 1]] && top[i] > top[i - 1]));
        }
        float second = iol_logits_max_but(n, a, argmax);
        assert_true(n == 1 ? isinf(second)
                           : second <= a[argmax] &&
                                 (count < 2 || (second >= a[top[1]] && second <= a[top[1]])));
        iol_free(a);
        iol_free(b);
    }
}

/* Ties: the lowest index wins. */
static void test_ties(void **state)
{
    (void)state;
    struct iolk_ops ops;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    float x[3000] = {0};
    struct iol_logit_stats s;
    x[1500] = x[2900] = 2;
    iol_logits_reduce(&ops, 3000, x, &s);
    assert_int_equal(s.argmax, 1500);
    size_t top[3];
    float values[3];
    iol_logits_top(3000, x, 3, top, values);
    assert_int_equal(top[0], 1500);
    assert_int_equal(top[1], 2900);
    assert_int_equal(top[2], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causal),       cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_branches),     cmocka_unit_test(test_spans),
        cmocka_unit_test(test_passing_keys), cmocka_unit_test(test_shared_prefix),
        cmocka_unit_test(test_vocabulary),   cmocka_unit_test(test_ties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
