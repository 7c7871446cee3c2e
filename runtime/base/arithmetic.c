#define _GNU_SOURCE
#include "base/arithmetic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "iolaus/context.h"

enum { PROBE_K = 96, PROBE_ROWS = 64 * IOLK_MR, PROBE_ROUNDS = 15 };
static const double WORTH_IT = 1.1;

/* Rows and a panel of ones; each turn multiplies PROBE_ROWS of them, some at a time. */
struct probe {
    _Alignas(IOL_ALIGN) float a[IOLK_FAST_ROWS * PROBE_K], b[IOLK_NR * PROBE_K],
        c[IOLK_FAST_ROWS * IOLK_NR];
    _Alignas(IOL_ALIGN) uint32_t rows[IOLK_FAST_ROWS * PROBE_K / 2], panel[IOLK_NR * PROBE_K / 2];
    size_t m, blocks, ld_rows;
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
    for (size_t i = 0; i < PROBE_ROWS / x->m; i++) {
        ops->gemm_f32(x->m, IOLK_NR, PROBE_K, x->a, PROBE_K, x->b, IOLK_NR, NULL, 0, x->c, IOLK_NR,
                      NULL);
    }
    return thread_seconds() - begin;
}

static double fast_turn(const struct iolk_fast *fast, struct probe *x)
{
    const double begin = thread_seconds();
    for (size_t i = 0; i < PROBE_ROWS / x->m; i++) {
        fast->gemm(x->m, IOLK_NR, x->blocks, x->rows, x->ld_rows, x->panel, NULL, 0, x->c, IOLK_NR,
                   NULL);
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
    x.m = fast->rows;
    x.blocks = PROBE_K / fast->k;
    x.ld_rows = x.blocks * fast->a_words;
    for (size_t i = 0; i < (size_t)IOLK_FAST_ROWS * PROBE_K; i++) {
        x.a[i] = 1.0f;
    }
    for (size_t i = 0; i < IOLK_NR * PROBE_K; i++) {
        x.b[i] = 1.0f;
    }
    /* Two bf16 of 1, or quarters of int8 with scales near 1: of no consequence for the rate. */
    for (size_t i = 0; i < sizeof x.rows / sizeof *x.rows; i++) {
        x.rows[i] = 0x3f803f80;
    }
    for (size_t i = 0; i < sizeof x.panel / sizeof *x.panel; i++) {
        x.panel[i] = 0x3f803f80;
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

static enum iol_status refuse_without_kernels(void)
{
    char needs[384] = "";
    const struct iolk_fast *built;
    for (size_t i = 0; (built = iolk_fast_get(i)); i++) {
        const size_t used = strlen(needs);
        snprintf(needs + used, sizeof needs - used, "%s%s (%s)", i ? " or " : "", built->needs,
                 built->text);
    }
    return *needs ? iol_fail(IOL_E_CPU,
                             "arithmetic: fast needs a processor with %s (and `isa` to allow "
                             "them), expected exact here",
                             needs)
                  : iol_fail(IOL_E_CPU, "arithmetic: fast is not built for this architecture, "
                                        "expected exact");
}

enum iol_status iol_fast_judge(const struct iolk_fast *fast, double rate)
{
    if (!fast) {
        return refuse_without_kernels();
    }
    if (!(rate >= WORTH_IT)) {
        return iol_fail(IOL_E_CPU,
                        "arithmetic: fast (%s, %s) would be of no use: measured %.2f times the "
                        "rate of exact products here, expected at least %.1f",
                        fast->text, fast->isa, rate, WORTH_IT);
    }
    return IOL_OK;
}

/* The last row of a format that runs here and is of use, else the fastest of them, if it is faster
 * than what is there already. */
static void choose_row(enum iolk_fast_format format, const struct iolk_ops *ops, uint32_t mask,
                       const struct iolk_fast **best, double *best_rate)
{
    size_t count = 0;
    while (iolk_fast_get(count)) {
        count++;
    }
    while (count-- > 0 && !(*best_rate >= WORTH_IT)) {
        const struct iolk_fast *fast = iolk_fast_get(count);
        if (fast->format == format && iolk_fast_runs(fast, mask)) {
            const double rate = iol_fast_rate(ops, fast);
            if (!*best || rate > *best_rate) {
                *best = fast;
                *best_rate = rate;
            }
        }
    }
}

enum iol_status iol_arithmetic_choose(const char *name, const struct iolk_ops *ops, uint32_t mask,
                                      const struct iolk_fast **out_fast, double *out_rate)
{
#define F(format, UPPER, k, b_rows, a_words, everywhere) #format,
    static const char *const names[] = {IOLK_FAST_FORMATS(F)};
#undef F
    enum { FORMATS = sizeof names / sizeof *names };
    const bool any = name && strcmp(name, "fast") == 0;
    bool known = any;
    *out_fast = NULL;
    *out_rate = 0;
    if (!name || strcmp(name, "exact") == 0) {
        return IOL_OK;
    }
    for (int i = 0; i < FORMATS; i++) {
        const bool named = strcmp(name, names[i]) == 0;
        known = known || named;
        if (any || named) {
            choose_row((enum iolk_fast_format)i, ops, mask, out_fast, out_rate);
        }
    }
    if (!known) {
        return iol_fail(IOL_E_INVAL,
                        "arithmetic: found '%s', expected exact, fast, bf16, bf16x32 or int8",
                        name);
    }
    const enum iol_status status = iol_fast_judge(*out_fast, *out_rate);
    if (status != IOL_OK) {
        *out_fast = NULL;
        *out_rate = 0;
    }
    return status;
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
