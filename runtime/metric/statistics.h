/* Statistics of SCHEMA section 5 in f64, in its order of operations. Undefined is NaN. */
#ifndef IOL_STATISTICS_H
#define IOL_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

#include "iolaus/status.h"

struct iol_regression {
    double slope, intercept, r2;
};

/* y on x over n points. Thread-safe. */
struct iol_regression iol_regress(size_t n, const double *x, const double *y);
double iol_pearson(size_t n, const double *x, const double *y);
/* Average ranks. Errors: IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_spearman(size_t n, const double *x, const double *y,
                                           double *out_rho);
/* q(f) of the values that are not NaN; sorts `values` in place (NaNs last). */
double iol_quantile(size_t n, double *values, double f);

struct iol_bootstrap {
    double slope_low, slope_high, r2_low, r2_high;
};
struct iol_permutation {
    double r2_mean, r2_q95, restoration_mean, restoration_q95;
};
enum { IOL_BOOTSTRAPS = 1000, IOL_PERMUTATIONS = 1000 };
/* Errors: IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_bootstrap_draw(size_t n, const double *de, const double *ce,
                                                 uint64_t seed, struct iol_bootstrap *out);
IOL_NODISCARD enum iol_status iol_permutation_draw(size_t n, const double *de, const double *ce,
                                                   uint64_t seed, struct iol_permutation *out);

/* Both for many rows of equal n, row r at de + r * n and ce + r * n: the draws are made once for
 * all of them. `threads` share the rows (0: one); the results do not depend on it.
 * Errors: IOL_E_NOMEM. Thread-safe. */
IOL_NODISCARD enum iol_status iol_bootstrap_rows(size_t rows, size_t n, const double *de,
                                                 const double *ce, uint64_t seed, size_t threads,
                                                 struct iol_bootstrap *out);
IOL_NODISCARD enum iol_status iol_permutation_rows(size_t rows, size_t n, const double *de,
                                                   const double *ce, uint64_t seed, size_t threads,
                                                   struct iol_permutation *out);

#endif
