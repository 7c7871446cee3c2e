/* Regressions, ranks, quantiles, bootstrap and permutation null.
 *
 * A sweep has hundreds of rows of equal n, and every row draws the same resamples. So a block of
 * resamples is drawn once and applied to all rows, four resamples to a vector: each lane is one
 * resample whose sums run in the order of the schema, so neither the lanes nor the threads (which
 * share rows) touch the order of any sum. */
#include "metric/statistics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/context.h"
#include "driver/team.h"

static double finite_or_nan(double v)
{
    return isfinite(v) ? v : (double)NAN;
}

/* --- one regression --- */

struct sums {
    double mx, my, sxx, sxy, syy; /* means relative to the first point */
};

static struct sums sums_of(size_t n, const double *x, const double *y)
{
    struct sums s = {0};
    for (size_t i = 0; i < n; i++) {
        s.mx += x[i] - x[0];
        s.my += y[i] - y[0];
    }
    s.mx /= (double)n;
    s.my /= (double)n;
    for (size_t i = 0; i < n; i++) {
        double dx = (x[i] - x[0]) - s.mx;
        double dy = (y[i] - y[0]) - s.my;
        s.sxx += dx * dx;
        s.sxy += dx * dy;
        s.syy += dy * dy;
    }
    return s;
}

/* slope and r2 from the three sums; NaN where undefined. */
static void fit(double sxx, double sxy, double syy, double *out_slope, double *out_r2)
{
    bool flat_x = sxx == 0, flat_y = syy == 0;
    *out_slope = flat_x ? (double)NAN : finite_or_nan(sxy / sxx);
    *out_r2 = flat_x || flat_y ? (double)NAN : finite_or_nan(sxy * sxy / (sxx * syy));
}

struct iol_regression iol_regress(size_t n, const double *x, const double *y)
{
    struct iol_regression out = {(double)NAN, (double)NAN, (double)NAN};
    if (n < 2) {
        return out;
    }
    struct sums s = sums_of(n, x, y);
    fit(s.sxx, s.sxy, s.syy, &out.slope, &out.r2);
    out.intercept = finite_or_nan((y[0] + s.my) - out.slope * (x[0] + s.mx));
    return out;
}

double iol_pearson(size_t n, const double *x, const double *y)
{
    if (n < 2) {
        return (double)NAN;
    }
    struct sums s = sums_of(n, x, y);
    if (s.sxx == 0 || s.syy == 0) {
        return (double)NAN;
    }
    return finite_or_nan(s.sxy / sqrt(s.sxx * s.syy));
}

/* --- ranks and quantiles --- */

struct ranked {
    double value;
    size_t index;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value) {
        return x->value < y->value ? -1 : 1;
    }
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Average ranks of x, from 1; `order` is scratch of n. */
static void ranks_of(size_t n, const double *x, struct ranked *order, double *out_ranks)
{
    for (size_t i = 0; i < n; i++) {
        order[i] = (struct ranked){x[i], i};
    }
    qsort(order, n, sizeof *order, compare_ranked);
    for (size_t i = 0, j; i < n; i = j + 1) {
        for (j = i; j + 1 < n && order[j + 1].value == order[i].value; j++) {
        }
        for (size_t k = i; k <= j; k++) {
            out_ranks[order[k].index] = (double)(i + j) / 2 + 1;
        }
    }
}

enum iol_status iol_spearman(size_t n, const double *x, const double *y, double *out_rho)
{
    enum iol_status status = IOL_OK;
    *out_rho = (double)NAN;
    struct ranked *order = iol_alloc(n, sizeof *order);
    double *rank_x = iol_alloc(n, sizeof *rank_x);
    double *rank_y = iol_alloc(n, sizeof *rank_y);
    if (!order || !rank_x || !rank_y) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: ranks of %zu prompts", n);
        goto out;
    }
    ranks_of(n, x, order, rank_x);
    ranks_of(n, y, order, rank_y);
    *out_rho = iol_pearson(n, rank_x, rank_y);
out:
    iol_free(rank_y);
    iol_free(rank_x);
    iol_free(order);
    return status;
}

/* Ascending; -0.0 before 0.0, so that equal sets give equal arrays. */
static int compare_doubles(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x != y) {
        return x < y ? -1 : 1;
    }
    return (signbit(y) != 0) - (signbit(x) != 0);
}

/* Move the NaNs to the end and sort the rest; returns how many are no NaN. */
static size_t sort_defined(size_t n, double *values)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(values[i])) {
            double v = values[i];
            values[i] = values[m];
            values[m++] = v;
        }
    }
    qsort(values, m, sizeof *values, compare_doubles);
    return m;
}

static double quantile_sorted(size_t m, const double *v, double f)
{
    if (m == 0) {
        return (double)NAN;
    }
    double h = (double)(m - 1) * f;
    size_t j = (size_t)h;
    return j + 1 >= m ? v[j] : v[j] + (h - (double)j) * (v[j + 1] - v[j]);
}

double iol_quantile(size_t n, double *values, double f)
{
    size_t m = sort_defined(n, values);
    return quantile_sorted(m, values, f);
}

static double mean_defined(size_t n, const double *values)
{
    double total = 0;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(values[i])) {
            total += values[i];
            m++;
        }
    }
    return m ? total / (double)m : (double)NAN;
}

/* --- many draws --- */

/* draws of one vector, of one block, in all */
enum { LANES = 4, BLOCK = 200, DRAWS = IOL_BOOTSTRAPS };
_Static_assert((int)DRAWS == (int)IOL_PERMUTATIONS, "one loop serves both");
_Static_assert(BLOCK % LANES == 0 && DRAWS % BLOCK == 0, "blocks hold whole vectors");

typedef double f64x4 __attribute__((vector_size(LANES * sizeof(double))));

#define GATHER(v, j) ((f64x4){(v)[(j)[0]], (v)[(j)[1]], (v)[(j)[2]], (v)[(j)[3]]})

/* Four bootstrap fits: point i of lane l is index[i * LANES + l] of both x and y. */
static void fit_resamples(size_t n, const double *x, const double *y, const uint32_t *index,
                          double *out_slope, double *out_r2)
{
    f64x4 x0 = GATHER(x, index), y0 = GATHER(y, index);
    f64x4 mx = {0}, my = {0}, sxx = {0}, sxy = {0}, syy = {0};
    for (size_t i = 0; i < n; i++) {
        mx += GATHER(x, index + i * LANES) - x0;
        my += GATHER(y, index + i * LANES) - y0;
    }
    mx /= (double)n;
    my /= (double)n;
    for (size_t i = 0; i < n; i++) {
        f64x4 dx = (GATHER(x, index + i * LANES) - x0) - mx;
        f64x4 dy = (GATHER(y, index + i * LANES) - y0) - my;
        sxx += dx * dx;
        sxy += dx * dy;
        syy += dy * dy;
    }
    for (size_t l = 0; l < LANES; l++) {
        fit(sxx[l], sxy[l], syy[l], &out_slope[l], &out_r2[l]);
    }
}

/* Four permuted fits: x stays (its centred values dx and their square sum are the same in all), y
 * is permuted. */
static void fit_permutations(size_t n, const double *dx, double sxx, const double *y,
                             const uint32_t *index, double *out_slope, double *out_r2)
{
    f64x4 y0 = GATHER(y, index);
    f64x4 my = {0}, sxy = {0}, syy = {0};
    for (size_t i = 0; i < n; i++) {
        my += GATHER(y, index + i * LANES) - y0;
    }
    my /= (double)n;
    for (size_t i = 0; i < n; i++) {
        f64x4 dy = (GATHER(y, index + i * LANES) - y0) - my;
        sxy += dx[i] * dy;
        syy += dy * dy;
    }
    for (size_t l = 0; l < LANES; l++) {
        fit(sxx, sxy[l], syy[l], &out_slope[l], &out_r2[l]);
    }
}

/* The draws of one block, lanes of a vector side by side: index[(v * n + i) * LANES + l]. */
static void draw_resamples(size_t n, uint64_t *state, uint32_t *index)
{
    for (size_t b = 0; b < BLOCK; b++) {
        uint32_t *lane = index + b / LANES * n * LANES + b % LANES;
        for (size_t i = 0; i < n; i++) {
            lane[i * LANES] = (uint32_t)iol_below(state, n);
        }
    }
}

static void draw_permutations(size_t n, uint64_t *state, uint32_t *index)
{
    for (size_t b = 0; b < BLOCK; b++) {
        uint32_t *lane = index + b / LANES * n * LANES + b % LANES;
        for (size_t i = 0; i < n; i++) {
            lane[i * LANES] = (uint32_t)i;
        }
        for (size_t i = n - 1; i > 0; i--) {
            size_t j = (size_t)iol_below(state, i);
            uint32_t held = lane[i * LANES];
            lane[i * LANES] = lane[j * LANES];
            lane[j * LANES] = held;
        }
    }
}

struct draws {
    bool permute;
    size_t rows, n, threads;
    const double *x, *y; /* (rows, n) */
    uint32_t *index;     /* (BLOCK / LANES, n, LANES) */
    double *centred;     /* permute: (rows, n) x less its mean */
    double *sxx;         /* permute: (rows) */
    double *slope, *r2;  /* (rows, DRAWS) */
};

static void close_draws(struct draws *draws)
{
    iol_free(draws->index);
    iol_free(draws->centred);
    iol_free(draws->sxx);
    iol_free(draws->slope);
    iol_free(draws->r2);
}

static enum iol_status open_draws(struct draws *draws)
{
    size_t block, values, fits;
    bool fits_size = iol_mul(draws->n, BLOCK, &block) &&
                     iol_mul(draws->rows, draws->permute ? draws->n : 0, &values) &&
                     iol_mul(draws->rows, DRAWS, &fits) && draws->n <= UINT32_MAX;
    if (fits_size) {
        draws->index = iol_alloc(block, sizeof *draws->index);
        draws->centred = iol_alloc(values, sizeof *draws->centred);
        draws->sxx = iol_alloc(draws->rows, sizeof *draws->sxx);
        draws->slope = iol_alloc(fits, sizeof *draws->slope);
        draws->r2 = iol_alloc(fits, sizeof *draws->r2);
    }
    if (!fits_size || !draws->index || !draws->centred || !draws->sxx || !draws->slope ||
        !draws->r2) {
        return iol_fail(IOL_E_NOMEM, "out of memory: resampling %zu rows of %zu prompts",
                        draws->rows, draws->n);
    }
    for (size_t r = 0; draws->permute && r < draws->rows; r++) {
        const double *x = draws->x + r * draws->n;
        double *centred = draws->centred + r * draws->n;
        struct sums s = sums_of(draws->n, x, x);
        draws->sxx[r] = s.sxx;
        for (size_t i = 0; i < draws->n; i++) {
            centred[i] = (x[i] - x[0]) - s.mx;
        }
    }
    return IOL_OK;
}

/* Apply one drawn block, `first` draws after the start, to row r. */
static void fit_block(const struct draws *draws, size_t r, size_t first)
{
    const size_t n = draws->n;
    for (size_t v = 0; v < BLOCK / LANES; v++) {
        const uint32_t *index = draws->index + v * n * LANES;
        double *slope = draws->slope + r * DRAWS + first + v * LANES;
        double *r2 = draws->r2 + r * DRAWS + first + v * LANES;
        if (draws->permute) {
            fit_permutations(n, draws->centred + r * n, draws->sxx[r], draws->y + r * n, index,
                             slope, r2);
        } else {
            fit_resamples(n, draws->x + r * n, draws->y + r * n, index, slope, r2);
        }
    }
}

struct drawn_block {
    const struct draws *draws;
    size_t first;
};

static void fit_row(void *user, size_t r, size_t worker)
{
    const struct drawn_block *block = user;
    (void)worker;
    fit_block(block->draws, r, block->first);
}

/* All draws on all rows: slope and r2, NaN where undefined. n >= 2. */
static void run_draws(struct draws *draws, uint64_t state)
{
    /* No team (one thread, or none to be had): the rows run here, to the same bits. */
    struct iol_team *team =
        draws->threads > 1 && draws->rows > 1 ? iol_team_open(draws->threads) : NULL;
    for (size_t first = 0; first < DRAWS; first += BLOCK) {
        if (draws->permute) {
            draw_permutations(draws->n, &state, draws->index);
        } else {
            draw_resamples(draws->n, &state, draws->index);
        }
        struct drawn_block block = {draws, first};
        iol_team_run(team, draws->rows, fit_row, &block);
    }
    iol_team_close(team);
}

enum iol_status iol_bootstrap_rows(size_t rows, size_t n, const double *de, const double *ce,
                                   uint64_t seed, size_t threads, struct iol_bootstrap *out)
{
    enum iol_status status = IOL_OK;
    struct draws draws = {.rows = rows, .n = n, .threads = threads, .x = de, .y = ce};
    const double none = (double)NAN;
    for (size_t r = 0; r < rows; r++) {
        out[r] = (struct iol_bootstrap){none, none, none, none};
    }
    if (n < 2) {
        return IOL_OK;
    }
    IOL_TRY(open_draws(&draws));
    run_draws(&draws, seed ^ UINT64_C(0x626F6F7473747261));
    for (size_t r = 0; r < rows; r++) {
        double *slope = draws.slope + r * DRAWS, *r2 = draws.r2 + r * DRAWS;
        size_t m = sort_defined(DRAWS, slope);
        out[r].slope_low = quantile_sorted(m, slope, 0.025);
        out[r].slope_high = quantile_sorted(m, slope, 0.975);
        m = sort_defined(DRAWS, r2);
        out[r].r2_low = quantile_sorted(m, r2, 0.025);
        out[r].r2_high = quantile_sorted(m, r2, 0.975);
    }
out:
    close_draws(&draws);
    return status;
}

enum iol_status iol_permutation_rows(size_t rows, size_t n, const double *de, const double *ce,
                                     uint64_t seed, size_t threads, struct iol_permutation *out)
{
    enum iol_status status = IOL_OK;
    struct draws draws = {
        .permute = true, .rows = rows, .n = n, .threads = threads, .x = de, .y = ce};
    const double none = (double)NAN;
    for (size_t r = 0; r < rows; r++) {
        out[r] = (struct iol_permutation){none, none, none, none};
    }
    if (n < 2) {
        return IOL_OK;
    }
    IOL_TRY(open_draws(&draws));
    run_draws(&draws, seed ^ UINT64_C(0x7065726D75746174));
    for (size_t r = 0; r < rows; r++) {
        double *restoration = draws.slope + r * DRAWS, *r2 = draws.r2 + r * DRAWS;
        for (size_t b = 0; b < DRAWS; b++) {
            restoration[b] = -restoration[b];
        }
        out[r].r2_mean = mean_defined(DRAWS, r2);
        out[r].r2_q95 = iol_quantile(DRAWS, r2, 0.95);
        out[r].restoration_mean = mean_defined(DRAWS, restoration);
        out[r].restoration_q95 = iol_quantile(DRAWS, restoration, 0.95);
    }
out:
    close_draws(&draws);
    return status;
}

enum iol_status iol_bootstrap_draw(size_t n, const double *de, const double *ce, uint64_t seed,
                                   struct iol_bootstrap *out)
{
    return iol_bootstrap_rows(1, n, de, ce, seed, 1, out);
}

enum iol_status iol_permutation_draw(size_t n, const double *de, const double *ce, uint64_t seed,
                                     struct iol_permutation *out)
{
    return iol_permutation_rows(1, n, de, ce, seed, 1, out);
}
