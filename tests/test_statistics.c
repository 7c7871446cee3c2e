/* Statistics against the numbers that the schema's reference prints: equal bits, since the order of
 * operations is fixed. */
#define _GNU_SOURCE
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
#include "metric/statistics.h"

static const double de[12] = {-1.169, -0.05,  -2.702, -1.749, -1.357, -0.748,
                              -1.404, -2.702, -0.403, -1.239, -0.311, -2.88};
static const double ce[12] = {0.91,  0.216, 1.803, 1.074, 1.004, 0.362,
                              0.902, 0.719, 0.329, 1.004, 0.109, 1.69};

/* Equal bits, any NaN for any NaN. */
static void assert_same(double found, double expected)
{
    if (isnan(expected) ? !isnan(found) : memcmp(&found, &expected, sizeof found) != 0) {
        fail_msg("found %.17g, expected %.17g", found, expected);
    }
}

static void regression_as_the_reference(void **state)
{
    (void)state;
    struct iol_regression fit = iol_regress(12, de, ce);
    assert_same(fit.slope, -0.4746459595336528);
    assert_same(fit.intercept, 0.18239728602954397);
    assert_same(fit.r2, 0.7199851154200363);
    assert_same(iol_pearson(12, de, ce), -0.8485193665556704);
}

static void regression_undefined(void **state)
{
    (void)state;
    const double flat[3] = {2, 2, 2}, steep[3] = {1, 2, 4};
    struct iol_regression fit = iol_regress(1, de, ce);
    assert_true(isnan(fit.slope) && isnan(fit.intercept) && isnan(fit.r2));
    fit = iol_regress(0, de, ce);
    assert_true(isnan(fit.slope) && isnan(fit.intercept) && isnan(fit.r2));
    fit = iol_regress(3, flat, steep); /* Sxx = 0 */
    assert_true(isnan(fit.slope) && isnan(fit.intercept) && isnan(fit.r2));
    fit = iol_regress(3, steep, flat); /* Syy = 0 */
    assert_same(fit.slope, 0);
    assert_same(fit.intercept, 2);
    assert_true(isnan(fit.r2));
    assert_true(isnan(iol_pearson(1, de, ce)));
    assert_true(isnan(iol_pearson(3, steep, flat)));
    assert_true(isnan(iol_pearson(3, flat, steep)));
}

static void spearman_with_ties(void **state)
{
    (void)state;
    double rho;
    const double same[4] = {5, 5, 5, 5};
    assert_int_equal(iol_spearman(12, de, ce, &rho), IOL_OK);
    assert_same(rho, -0.8140350877192982);
    assert_int_equal(iol_spearman(4, same, ce, &rho), IOL_OK);
    assert_true(isnan(rho));
    iol_alloc_fail_nth(2);
    assert_int_equal(iol_spearman(12, de, ce, &rho), IOL_E_NOMEM);
    iol_alloc_fail_nth(0);
}

static void quantiles(void **state)
{
    (void)state;
    const double nan = (double)NAN;
    double values[6] = {3, nan, 1, 2, nan, 7.5}, none[2] = {nan, nan}, one[1] = {4};
    assert_same(iol_quantile(6, values, 0), 1);
    assert_same(iol_quantile(6, values, 0.025), 1.075);
    assert_same(iol_quantile(6, values, 0.3), 1.9);
    assert_same(iol_quantile(6, values, 0.5), 2.5);
    assert_same(iol_quantile(6, values, 0.95), 6.824999999999998);
    assert_same(iol_quantile(6, values, 1), 7.5);
    assert_true(isnan(iol_quantile(2, none, 0.5)));
    assert_true(isnan(iol_quantile(0, none, 0.5)));
    assert_same(iol_quantile(1, one, 0.95), 4);
}

static void assert_bootstrap(size_t n, uint64_t seed, const double expected[4])
{
    struct iol_bootstrap found;
    assert_int_equal(iol_bootstrap_draw(n, de, ce, seed, &found), IOL_OK);
    assert_same(found.slope_low, expected[0]);
    assert_same(found.slope_high, expected[1]);
    assert_same(found.r2_low, expected[2]);
    assert_same(found.r2_high, expected[3]);
}

static void bootstrap_as_the_reference(void **state)
{
    (void)state;
    const double nan = (double)NAN;
    assert_bootstrap(
        12, 0,
        (double[]){-0.6903876722276, -0.22019875158792307, 0.28942215594745246, 0.977174040308122});
    assert_bootstrap(12, 12345,
                     (double[]){-0.6794701924991059, -0.2323361794867492, 0.3125714971027602,
                                0.9757078653833721});
    assert_bootstrap(3, 0,
                     (double[]){-0.6201966041108132, -0.5825179386823222, 0.9996896945403448,
                                1.0000000000000004});
    assert_bootstrap(2, 0, (double[]){-0.6201966041108132, -0.6201966041108132, 1, 1});
    assert_bootstrap(1, 0, (double[]){nan, nan, nan, nan});
    assert_bootstrap(0, 0, (double[]){nan, nan, nan, nan});
}

static void assert_permutation(size_t n, uint64_t seed, const double expected[4])
{
    struct iol_permutation found;
    assert_int_equal(iol_permutation_draw(n, de, ce, seed, &found), IOL_OK);
    assert_same(found.r2_mean, expected[0]);
    assert_same(found.r2_q95, expected[1]);
    assert_same(found.restoration_mean, expected[2]);
    assert_same(found.restoration_q95, expected[3]);
}

static void permutation_as_the_reference(void **state)
{
    (void)state;
    const double nan = (double)NAN;
    assert_permutation(12, 0,
                       (double[]){0.08581049785103002, 0.30046168618669705, -0.037228173909909505,
                                  0.23913486805196427});
    assert_permutation(12, 12345,
                       (double[]){0.08216009716871994, 0.29879734096131444, -0.03843217840572783,
                                  0.21563491517585456});
    assert_permutation(3, 0,
                       (double[]){0.2505212269866643, 0.26540824676455943, -0.2989525651896516,
                                  -0.289617722174551});
    assert_permutation(2, 0, (double[]){1, 1, -0.6201966041107996, -0.6201966041108132});
    assert_permutation(1, 0, (double[]){nan, nan, nan, nan});
}

static void flat_rows_are_undefined(void **state)
{
    (void)state;
    const double flat[4] = {1, 1, 1, 1};
    struct iol_bootstrap boot;
    struct iol_permutation null;
    assert_int_equal(iol_bootstrap_draw(4, flat, ce, 0, &boot), IOL_OK);
    assert_true(isnan(boot.slope_low) && isnan(boot.slope_high) && isnan(boot.r2_low));
    assert_int_equal(iol_permutation_draw(4, de, flat, 0, &null), IOL_OK);
    assert_true(isnan(null.r2_mean) && isnan(null.r2_q95));
    assert_same(null.restoration_mean, 0); /* of restorations -0, summed from 0 */
}

/* Uniform in [0, 1), as the script below draws it. */
static double uniform(uint64_t *state)
{
    return (double)(iol_splitmix64(state) >> 11) / 9007199254740992.0;
}

enum { ROWS = 7, POINTS = 53 };

static void rows_and_threads_change_nothing(void **state)
{
    (void)state;
    uint64_t seed = 3;
    double x[ROWS * POINTS], y[ROWS * POINTS];
    struct iol_bootstrap boot[2][ROWS], single_boot;
    struct iol_permutation null[2][ROWS], single_null;
    for (size_t i = 0; i < ROWS * POINTS; i++) {
        x[i] = uniform(&seed) - 0.5;
        y[i] = uniform(&seed) - 0.6 * x[i];
    }
    for (size_t t = 0; t < 2; t++) {
        assert_int_equal(iol_bootstrap_rows(ROWS, POINTS, x, y, 9, t ? 2 : 1, boot[t]), IOL_OK);
        assert_int_equal(iol_permutation_rows(ROWS, POINTS, x, y, 9, t ? 2 : 1, null[t]), IOL_OK);
    }
    assert_memory_equal(boot[0], boot[1], sizeof boot[0]);
    assert_memory_equal(null[0], null[1], sizeof null[0]);
    for (size_t r = 0; r < ROWS; r++) {
        const double *row_x = x + r * POINTS, *row_y = y + r * POINTS;
        assert_int_equal(iol_bootstrap_draw(POINTS, row_x, row_y, 9, &single_boot), IOL_OK);
        assert_int_equal(iol_permutation_draw(POINTS, row_x, row_y, 9, &single_null), IOL_OK);
        assert_memory_equal(&single_boot, &boot[0][r], sizeof single_boot);
        assert_memory_equal(&single_null, &null[0][r], sizeof single_null);
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    struct iol_bootstrap boot;
    struct iol_permutation null;
    for (long n = 1; n <= 5; n++) {
        iol_alloc_fail_nth(n);
        assert_int_equal(iol_bootstrap_draw(12, de, ce, 0, &boot), IOL_E_NOMEM);
        iol_alloc_fail_nth(n);
        assert_int_equal(iol_permutation_draw(12, de, ce, 0, &null), IOL_E_NOMEM);
    }
    iol_alloc_fail_nth(0);
}

/* The same data made there and here; every number printed by repr. */
static const char script[] =
    "import sys; sys.path.insert(0, sys.argv[1] + '/oracle'); import stats\n"
    "rng = stats.SplitMix64(77)\n"
    "u = lambda: (rng.next() >> 11) / 9007199254740992.0\n"
    "n = 101; x = []; y = []\n"
    "for i in range(n):\n"
    "    x.append(u() - 0.5); y.append(u() - 0.6 * x[-1])\n"
    "e = [dict(prompt=p, site='mlp_out.0', kind='zero', pos=3, de=x[p], te_clean=x[p] + y[p],\n"
    "  ce_attn=y[p], ce_mlp=0.0, delta_unembed=x[p], delta_ablate=-y[p], norm_term=0,\n"
    "  sigma_ratio=1, norm_ratio=0, de_even=None, ce_odd=None, response=[], donors=[])\n"
    "  for p in range(n)]\n"
    "r = stats.layer_row(e, 'final', 4711, False, 0.0)\n"
    "b, z = r['bootstrap'], r['null']\n"
    "for v in [*r['ce_on_de'].values(), r['pearson'], r['spearman'], *b['slope'], *b['r2'],\n"
    "  z['r2_mean'], z['r2_q95'], z['restoration_mean'], z['restoration_q95']]: print(repr(v))\n";

static void agrees_with_the_oracle(void **state)
{
    (void)state;
    const char *shared = getenv("IOL_SHARED");
    enum { N = 101, NUMBERS = 13 };
    double x[N], y[N], rho, expected[NUMBERS];
    uint64_t seed = 77;
    if (!shared) {
        print_message("skipped: IOL_SHARED is not set\n");
        skip();
    }
    for (size_t i = 0; i < N; i++) {
        x[i] = uniform(&seed) - 0.5;
        y[i] = uniform(&seed) - 0.6 * x[i];
    }
    char *command = iol_format("python3 -c \"%s\" '%s'", script, shared);
    assert_non_null(command);
    FILE *pipe = popen(command, "r");
    iol_free(command);
    assert_non_null(pipe);
    char line[64];
    for (size_t i = 0; i < NUMBERS; i++) {
        assert_non_null(fgets(line, sizeof line, pipe));
        expected[i] = strtod(line, NULL);
    }
    assert_int_equal(pclose(pipe), 0);
    struct iol_regression fit = iol_regress(N, x, y);
    struct iol_bootstrap boot;
    struct iol_permutation null;
    assert_int_equal(iol_spearman(N, x, y, &rho), IOL_OK);
    assert_int_equal(iol_bootstrap_draw(N, x, y, 4711, &boot), IOL_OK);
    assert_int_equal(iol_permutation_draw(N, x, y, 4711, &null), IOL_OK);
    const double found[NUMBERS] = {fit.slope,
                                   fit.intercept,
                                   fit.r2,
                                   iol_pearson(N, x, y),
                                   rho,
                                   boot.slope_low,
                                   boot.slope_high,
                                   boot.r2_low,
                                   boot.r2_high,
                                   null.r2_mean,
                                   null.r2_q95,
                                   null.restoration_mean,
                                   null.restoration_q95};
    for (size_t i = 0; i < NUMBERS; i++) {
        assert_same(found[i], expected[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regression_as_the_reference),
        cmocka_unit_test(regression_undefined),
        cmocka_unit_test(spearman_with_ties),
        cmocka_unit_test(quantiles),
        cmocka_unit_test(bootstrap_as_the_reference),
        cmocka_unit_test(permutation_as_the_reference),
        cmocka_unit_test(flat_rows_are_undefined),
        cmocka_unit_test(rows_and_threads_change_nothing),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(agrees_with_the_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
