/* erf of f32 and exp and expm1 of f64 (lanes_erf.h, lanes_exp64.h): one lane against SLEEF, erf
 * against the mathematics library too, and gelu_erf_f32 against its formula on every ISA of the
 * machine.
 *   test_erf             every 1009th float and those around every border, two million doubles
 *   test_erf all         all 2^32 floats (minutes), 400 million doubles
 * An ULP is the distance of the floats around erf(x), 2^-149 where it is denormal. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "all_floats.h"
#include "scalar/lanes_scalar.h"

extern float Sleef_erff1_u10purecfma(float);
extern double Sleef_expd1_u10purecfma(double);
extern double Sleef_expm1d1_u10purecfma(double);

/* Most ULP so far from 2^-100 on, and below, where the low halves of pairs are denormal or lost. */
static struct {
    double error;
    float at;
} worst[2];
static const double most[2] = {1.0, 1.1};

static double double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The same bits, or both NaN. */
static bool same(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static void fault(const char *what, double x, double got, double want)
{
    if (faults++ < 20) {
        printf("wrong: %s of %a is %a, not %a\n", what, x, got, want);
    }
}

/* ULP between erf(x) and y. */
static double error_of(float x, float y)
{
    const double want = erf((double)x);
    int exponent;
    (void)frexp(want, &exponent); /* want in [2^(e-1), 2^e) */
    return fabs((double)y - want) / ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

static void check(size_t n, const float *x)
{
    static float want[BLOCK], got[BLOCK];
    for (size_t i = 0; i < n; i++) {
        const float y = f32_erf(x[i]), sleef = Sleef_erff1_u10purecfma(x[i]), h = 0.5f * x[i];
        if (!same((double)y, (double)sleef)) {
            fault("erf, SLEEF", (double)x[i], (double)y, (double)sleef);
        }
        const double error = isnan(x[i]) ? 0.0 : error_of(x[i], y);
        const bool tiny = fabsf(x[i]) < 0x1p-100f;
        if (!(error <= most[tiny])) {
            fault("erf, too many ULP", (double)x[i], (double)y, erf((double)x[i]));
        }
        if (error > worst[tiny].error) {
            worst[tiny].error = error;
            worst[tiny].at = x[i];
        }
        want[i] = fmaf(h, Sleef_erff1_u10purecfma(x[i] * 0.70710678f), h);
    }
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        if (!(mask >> isa & 1U)) {
            continue;
        }
        isas[isa].gelu_erf_f32(n, x, got);
        for (size_t i = 0; i < n; i++) {
            if (!same((double)got[i], (double)want[i])) {
                fault(iolk_isa_name((enum iolk_isa)isa), (double)x[i], (double)got[i],
                      (double)want[i]);
            }
        }
    }
}

static void check_borders(void)
{
    const uint32_t around = 3000;
    const float borders[] = {0.0f,       0x1p-126f,  1.1f,      2.4f,    4.0f,
                             1.5556349f, 3.3941126f, 5.656854f, INFINITY};
    for (size_t i = 0; i < sizeof borders / sizeof *borders; i++) {
        for (uint64_t sign = 0; sign <= 0x80000000U; sign += 0x80000000U) {
            const uint64_t bits = sign | bits_of(borders[i]);
            check_range(check, borders[i] > 0.0f ? bits - around : bits, bits + around, 1);
        }
    }
}

/* xorshift64 (Marsaglia 2003). */
static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static void check_doubles(double x)
{
    const double e = f64_exp(x), sleef_e = Sleef_expd1_u10purecfma(x);
    if (!same(e, sleef_e) && !(x > 709.78271 && x < 709.78272)) {
        fault("exp, SLEEF", x, e, sleef_e);
    }
    const double less = f64_expm1(x), sleef_less = Sleef_expm1d1_u10purecfma(x);
    if (!same(less, sleef_less) && x != 0.0) {
        fault("expm1, SLEEF", x, less, sleef_less);
    }
}

static void check_exp64(size_t count)
{
    const double borders[] = {0.0,       -0.0,      1.0,     -36.7368,         709.7827,
                              -708.3964, -745.1332, -1000.0, (double)INFINITY, 0.3465,
                              1e-308,    -37.0,     1e300,   -1e300,           (double)NAN};
    for (size_t i = 0; i < sizeof borders / sizeof *borders; i++) {
        double up = borders[i], down = borders[i];
        for (int step = 0; step < 1000; step++) {
            check_doubles(up);
            check_doubles(down);
            up = nextafter(up, (double)INFINITY);
            down = nextafter(down, (double)-INFINITY);
        }
    }
    uint64_t state = 88172645463325252U;
    for (size_t i = 0; i < count / 2; i++) {
        const uint64_t bits = next(&state);
        check_doubles(double_of(bits));                           /* any exponent */
        check_doubles(((double)bits * 0x1p-63 - 1.0) * 760.0);    /* -760..760 */
        check_doubles(-36.7368 + (double)(bits >> 40) * 0x1p-38); /* the border of expm1 */
    }
}

int main(int argc, char **argv)
{
    const bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    const unsigned count = open_isas("test_erf", "gelu_erf_f32", IOLK_OP_gelu_erf_f32);
    if (!count) {
        return 1;
    }
    if (all) {
        check_range(check, 0, (uint64_t)1 << 32, 1);
    } else {
        check_borders();
        check_range(check, 0, (uint64_t)1 << 32, 1009);
    }
    check_exp64(all ? 400000000 : 2000000);
    printf("erf: at most %.4f ULP from 2^-100 on (at %a), %.4f below (at %a)\n", worst[0].error,
           (double)worst[0].at, worst[1].error, (double)worst[1].at);
    return close_isas(count);
}
