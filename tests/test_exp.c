/* exp_f32 against e^x, against SLEEF, and against itself on every ISA of the machine; and the exp
 * of nothing above zero that the softmax has in place (lanes_exp.h) against exp_f32.
 *   test_exp           every 1009th float and the floats around every border
 *   test_exp all         all 2^32 floats (minutes): the table of docs/exp.md on stdout
 * The reference is the exp of the mathematics library in f64, whose own error is below 2^-28 of an
 * ULP of f32. An ULP is the distance of the floats around e^x, 2^-149 where it is denormal. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "all_floats.h"

extern float Sleef_expf1_u10purecfma(float);

enum { RANGES = 8 };

static const struct {
    const char *name;
    float low, high; /* low <= x < high */
} ranges[RANGES] = {
    {"x < -104 (0)", -INFINITY, -104.0f},
    {"-104 to -87.3366 (denormal)", -104.0f, -87.33655f},
    {"-87.3366 to -1", -87.33655f, -1.0f},
    {"-1 to 0", -1.0f, 0.0f},
    {"0 to 1", 0.0f, 1.0f},
    {"1 to 88.7229", 1.0f, 88.72284f},
    {"88.7229 to infinity (infinity)", 88.72284f, INFINITY},
};

struct row {
    uint64_t count, inexact; /* not the float nearest to e^x */
    double worst;            /* ULP */
    float at;
};

static struct row rows[RANGES];
static uint64_t nans;

static void fault(const char *what, float x, float got, float want)
{
    if (faults++ < 20) {
        printf("wrong: %s: exp(%a) is %a, not %a\n", what, (double)x, (double)got, (double)want);
    }
}

static void judge(float x, float got)
{
    if (isnan(x)) {
        nans++;
        if (!isnan(got)) {
            fault("NaN", x, got, x);
        }
        return;
    }
    struct row *row = NULL;
    for (size_t i = 0; i < RANGES; i++) {
        if (ranges[i].name && x >= ranges[i].low && (x < ranges[i].high || x == INFINITY)) {
            row = &rows[i];
        }
    }
    if (!row) {
        fault("range", x, got, 0.0f);
        return;
    }
    const double want = exp((double)x);
    const float nearest = (float)want;
    int exponent;
    (void)frexp(want, &exponent); /* want in [2^(e-1), 2^e) */
    const double ulp = ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
    double error = bits_of(got) == bits_of(nearest) ? 0.0 : (double)INFINITY;
    if (isfinite(got) && isfinite(nearest)) {
        error = fabs((double)got - want) / ulp;
    } else if (isfinite(want) && !isfinite(got) && want > 0x1.fffffep127) {
        error = (0x1p128 - want) / ulp;
    }
    row->count++;
    row->inexact += bits_of(got) != bits_of(nearest);
    if (error > row->worst) {
        row->worst = error;
        row->at = x;
    }
    if (!(error <= 1.0)) {
        fault("over 1 ULP", x, got, nearest);
    }
}

/* The same bits, or both NaN. */
static bool same(float a, float b)
{
    return bits_of(a) == bits_of(b) || (isnan(a) && isnan(b));
}

/* The exponentials of -|x| that the softmax of 0 and those leaves. */
static void check_below(size_t n, const float *x)
{
    static float below[BLOCK + 1], want[BLOCK + 1], row[BLOCK + 1];
    below[0] = 0.0f;
    for (size_t i = 0; i < n; i++) {
        below[i + 1] = -fabsf(x[i]);
    }
    isas[IOLK_ISA_SCALAR].exp_f32(n + 1, below, want);
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        if (!(mask >> isa & 1U)) {
            continue;
        }
        float reciprocal;
        memcpy(row, below, sizeof row);
        isas[isa].softmax_f32(1, n + 1, 0, 1.0f, row, n + 1, &reciprocal);
        for (size_t i = 0; i <= n; i++) {
            if (!same(row[i], want[i])) {
                fault(iolk_isa_name((enum iolk_isa)isa), below[i], row[i], want[i]);
            }
        }
    }
}

static void check(size_t n, const float *x)
{
    static float want[BLOCK], got[BLOCK];
    isas[IOLK_ISA_SCALAR].exp_f32(n, x, want);
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        if (!(mask >> isa & 1U) || isa == IOLK_ISA_SCALAR) {
            continue;
        }
        isas[isa].exp_f32(n, x, got);
        for (size_t i = 0; i < n; i++) {
            if (!same(got[i], want[i])) {
                fault(iolk_isa_name((enum iolk_isa)isa), x[i], got[i], want[i]);
            }
        }
    }
    check_below(n, x);
    for (size_t i = 0; i < n; i++) {
        judge(x[i], want[i]);
        const float sleef = Sleef_expf1_u10purecfma(x[i]);
        if (!same(want[i], sleef)) {
            fault("SLEEF", x[i], want[i], sleef);
        }
    }
}

static void check_borders(void)
{
    const uint32_t around = 3000;
    const float borders[] = {0.0f,        -0.0f,    0x1p-126f, -0x1p-126f, 1.0f,
                             -1.0f,       -104.0f,  100.0f,    -87.33655f, 88.72284f,
                             -103.97208f, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof borders / sizeof *borders; i++) {
        uint64_t bits = bits_of(borders[i]);
        uint64_t end = bits + around < UINT32_MAX ? bits + around : UINT32_MAX;
        check_range(check, (bits & 0x7fffffff) < around ? bits : bits - around, end, 1);
    }
}

static void print_table(void)
{
    printf("| x | floats | not the nearest float | largest error, ULP | at |\n");
    printf("|---|---|---|---|---|\n");
    for (size_t i = 0; i < RANGES && ranges[i].name; i++) {
        const struct row *r = &rows[i];
        printf("| %s | %llu | %llu (%.3f %%) | %.4f | %a |\n", ranges[i].name,
               (unsigned long long)r->count, (unsigned long long)r->inexact,
               r->count ? 100.0 * (double)r->inexact / (double)r->count : 0.0, r->worst,
               (double)r->at);
    }
    printf("| NaN | %llu | | NaN | |\n", (unsigned long long)nans);
}

int main(int argc, char **argv)
{
    const bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    const unsigned count = open_isas("test_exp", "exp_f32", IOLK_OP_exp_f32);
    if (!count) {
        return 1;
    }
    if (all) {
        check_range(check, 0, (uint64_t)1 << 32, 1);
    } else {
        check_borders();
        check_range(check, 0, (uint64_t)1 << 32, 1009);
    }
    print_table();
    return close_isas(count);
}
