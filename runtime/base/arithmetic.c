#define _GNU_SOURCE
#include "base/arithmetic.h"

#include <stdlib.h>
#include <time.h>

#include "base/base.h"
#include "iolaus/context.h"

enum { PROBE_K = 96, PROBE_CALLS = 64, PROBE_ROUNDS = 15 };
static const double WORTH_IT = 1.1;

/* A tile and a panel: 18 KiB of f32, 9 KiB of pairs, inside every L1. */
struct probe {
    _Alignas(IOL_ALIGN) float a[IOLK_MR * PROBE_K], b[IOLK_NR * PROBE_K], c[IOLK_MR * IOLK_NR];
    _Alignas(IOL_ALIGN) uint32_t a_pairs[IOLK_MR * PROBE_K / 2], b_pairs[IOLK_NR * PROBE_K / 2];
};

static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double exact_turn(const struct iolk_ops *ops, struct probe *x)
{
    const double begin = thread_seconds();
    for (int i = 0; i < PROBE_CALLS; i++) {
        ops->gemm_f32(IOLK_MR, IOLK_NR, PROBE_K, x->a, PROBE_K, x->b, IOLK_NR, NULL, 0, x->c,
                      IOLK_NR, NULL);
    }
    return thread_seconds() - begin;
}

static double fast_turn(const struct iolk_fast *fast, struct probe *x)
{
    const double begin = thread_seconds();
    for (int i = 0; i < PROBE_CALLS; i++) {
        fast->gemm_bf16dot(IOLK_MR, IOLK_NR, PROBE_K / 2, x->a_pairs, PROBE_K / 2, x->b_pairs, NULL,
                           0, x->c, IOLK_NR, NULL);
    }
    return thread_seconds() - begin;
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double iol_fast_rate(const struct iolk_ops *ops, const struct iolk_fast *fast)
{
    struct probe x;
    double rates[PROBE_ROUNDS];
    for (size_t i = 0; i < IOLK_MR * PROBE_K; i++) {
        x.a[i] = 1.0f;
        x.a_pairs[i / 2] = 0x3f803f80; /* 1, 1 */
    }
    for (size_t i = 0; i < IOLK_NR * PROBE_K; i++) {
        x.b[i] = 1.0f;
        x.b_pairs[i / 2] = 0x3f803f80;
    }
    (void)exact_turn(ops, &x);
    (void)fast_turn(fast, &x);
    for (size_t i = 0; i < PROBE_ROUNDS; i++) {
        const double exact = exact_turn(ops, &x);
        rates[i] = exact / (fast_turn(fast, &x) + 1e-9);
    }
    qsort(rates, PROBE_ROUNDS, sizeof *rates, ascending);
    return rates[PROBE_ROUNDS / 2];
}

enum iol_status iol_fast_judge(const struct iolk_fast *fast, double rate)
{
    if (!fast) {
        const struct iolk_fast *built = iolk_fast_get(0);
        return built ? iol_fail(IOL_E_CPU,
                                "arithmetic: fast needs a processor with %s (and `isa` to allow "
                                "them), expected exact here",
                                built->needs)
                     : iol_fail(IOL_E_CPU, "arithmetic: fast is not built for this architecture, "
                                           "expected exact");
    }
    if (!(rate >= WORTH_IT)) {
        return iol_fail(IOL_E_CPU,
                        "arithmetic: fast (%s, %s) would be of no use: measured %.2f times the "
                        "rate of exact products here, expected at least %.1f",
                        fast->text, fast->isa, rate, WORTH_IT);
    }
    return IOL_OK;
}

bool iol_fast_get(size_t index, const char **out_name, const char **out_text,
                  const char **out_needs)
{
    const struct iolk_fast *fast = iolk_fast_get(index);
    *out_name = fast ? fast->isa : "?";
    *out_text = fast ? fast->text : "?";
    *out_needs = fast ? fast->needs : "?";
    return fast != NULL;
}
