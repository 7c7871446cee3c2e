/* Verdicts on the GEMM cells: the floor (K0) and the goals K1a to K1g. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "goals.h"

/* What a goal looks at in a cell: the interval that has to reach the target; NaN: nothing. */
typedef struct bench_interval value_fn(const struct gemm_cells *all, const struct gemm_cell *cell);
typedef bool group_fn(const struct gemm_cell *cell);

static const struct bench_interval nothing = {(double)NAN, (double)NAN, (double)NAN};

static struct bench_interval to_onednn(const struct gemm_cells *all, const struct gemm_cell *cell)
{
    (void)all;
    return cell->ratio[PEER_onednn];
}

static struct bench_interval to_best(const struct gemm_cells *all, const struct gemm_cell *cell)
{
    (void)all;
    return cell->best == PEER_iolaus ? nothing : cell->ratio[cell->best];
}

static struct bench_interval of_peak(const struct gemm_cells *all, const struct gemm_cell *cell)
{
    (void)all;
    return cell->peak;
}

static struct bench_interval of_roof(const struct gemm_cells *all, const struct gemm_cell *cell)
{
    (void)all;
    return cell->roof;
}

/* Share of the peak at 2 threads over that at 1: the machine's own scaling is in both. */
static struct bench_interval scaling(const struct gemm_cells *all, const struct gemm_cell *cell)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct gemm_cell *one = &all->cells[i];
        if (one->measured && one->threads == 1 && one->m == cell->m && one->cold == cell->cold &&
            one->shape == cell->shape) {
            return (struct bench_interval){cell->peak.low / one->peak.high,
                                           cell->peak.median / one->peak.median,
                                           cell->peak.high / one->peak.low};
        }
    }
    return nothing;
}

/* --- groups of cells */

static bool any_m64(const struct gemm_cell *c)
{
    return c->m >= 64;
}
static bool cold_m128(const struct gemm_cell *c)
{
    return c->cold && c->m <= 128;
}
static bool cold_m512(const struct gemm_cell *c)
{
    return c->cold && c->m == 512;
}
static bool cold_small(const struct gemm_cell *c)
{
    return c->cold && c->m >= 4 && c->m <= 32;
}
static bool cold_large(const struct gemm_cell *c)
{
    return c->cold && c->m >= 64;
}
static bool hot(const struct gemm_cell *c)
{
    return !c->cold;
}
static bool hot_m128(const struct gemm_cell *c)
{
    return !c->cold && c->m >= 128;
}
static bool cold_ends(const struct gemm_cell *c)
{
    return c->cold && (c->m <= 4 || c->m >= 128);
}
static bool cold_between(const struct gemm_cell *c)
{
    return c->cold && c->m > 4 && c->m < 128;
}
static bool odd_n(const struct gemm_cell *c)
{
    return c->shape->n % 2 == 1;
}
static bool two_threads(const struct gemm_cell *c)
{
    return c->threads == 2 && c->m >= 64;
}

/* One goal on one group of cells. mean: the geometric mean has to reach the target, not each. */
struct gemm_goal {
    const char *id, *group;
    value_fn *value;
    group_fn *in_group;
    double target;
    bool mean;
};

static const struct gemm_goal goals[] = {
    {"K0", "M >= 64 against oneDNN", to_onednn, any_m64, 0.9, false},
    {"K1a", "cold M <= 128 against the best", to_best, cold_m128, 1.0, false},
    {"K1a", "cold M = 512 against the best", to_best, cold_m512, 0.97, false},
    {"K1b", "cold 4 <= M <= 32, geometric mean", to_best, cold_small, 1.2, true},
    {"K1b", "cold M >= 64, geometric mean", to_best, cold_large, 1.06, true},
    {"K1c", "hot against the best", to_best, hot, 0.97, false},
    {"K1c", "hot, geometric mean", to_best, hot, 1.05, true},
    {"K1d", "hot M >= 128, share of peak", of_peak, hot_m128, 0.93, false},
    {"K1e", "cold M <= 4 or >= 128, share of roof", of_roof, cold_ends, 0.90, false},
    {"K1e", "cold 4 < M < 128, share of roof", of_roof, cold_between, 0.82, false},
    {"K1f", "odd N against the best", to_best, odd_n, 0.97, false},
    {"K1g", "2 threads over 1, share of peak", scaling, two_threads, 0.98, false},
};
enum { GOALS = sizeof goals / sizeof *goals };

struct verdict {
    const struct gemm_goal *goal;
    size_t threads, cells, missed, disturbed, wide; /* wide: interval beyond +-10 %: says little */
    double measured;                                /* the worst cell's, or the mean */
    const struct gemm_cell *worst;
    bool met;
};

static void judge(const struct gemm_cells *all, struct verdict *v)
{
    double logs = 0, worst = (double)INFINITY;
    for (size_t i = 0; i < all->count; i++) {
        const struct gemm_cell *cell = &all->cells[i];
        if (!cell->measured || cell->threads != v->threads || !v->goal->in_group(cell)) {
            continue;
        }
        struct bench_interval x = v->goal->value(all, cell);
        if (isnan(x.median)) {
            continue;
        }
        if (cell->disturbed) { /* both may hang at the same barrier: not a ratio of kernels */
            v->disturbed++;
            continue;
        }
        v->cells++;
        v->missed += !v->goal->mean && x.high < v->goal->target;
        v->wide += x.high > 1.1 * x.median || x.low < 0.9 * x.median;
        logs += log(x.median);
        if (x.median < worst) {
            worst = x.median;
            v->worst = cell;
        }
    }
    v->measured = v->goal->mean ? exp(logs / (double)v->cells) : worst;
    v->met = v->goal->mean ? v->measured >= v->goal->target : v->missed == 0;
}

static void print_verdict(const struct gemm_cells *all, const struct verdict *v,
                          struct goal_report *report)
{
    char reason[512];
    if (!v->cells) {
        const char *text = "no cell of this group in this run", *peer_text;
        if (v->goal->value == to_onednn && !peer_get(PEER_onednn, &peer_text)) {
            text = peer_text;
        }
        if (v->disturbed) {
            text = "other processes were busy in every cell: a quiet machine, or --threads 1";
        }
        snprintf(reason, sizeof reason, "t %zu, %s: %s", v->threads, v->goal->group, text);
        goal_skip(report, v->goal->id, v->goal->target, reason);
        return;
    }
    const struct gemm_cell *w = v->worst;
    struct bench_interval x = v->goal->value(all, w);
    snprintf(reason, sizeof reason,
             "t %zu, %s; %zu cells, %zu missed, %zu left out (disturbed), %zu wider than 10 %%; "
             "worst k %zu n %zu m %zu %s: "
             "%.3f [%.3f %.3f]",
             v->threads, v->goal->group, v->cells, v->missed, v->disturbed, v->wide, w->shape->k,
             w->shape->n, w->m, w->cold ? "cold" : "hot", x.median, x.low, x.high);
    goal_line(report, v->goal->id, v->measured, v->goal->target, v->met, reason);
}

static void report_cells(const struct goal_options *options, const struct gemm_cells *cells,
                         struct goal_report *report)
{
    for (size_t i = 0; i < GOALS; i++) {
        for (size_t t = 0; t < options->thread_count_count; t++) {
            size_t threads = options->thread_counts[t];
            if (!goal_wanted(options, goals[i].id) || (goals[i].value == scaling && threads != 2)) {
                continue;
            }
            struct verdict verdict = {.goal = &goals[i], .threads = threads};
            judge(cells, &verdict);
            print_verdict(cells, &verdict, report);
        }
    }
    if (cells->measured < cells->count) {
        printf("note %zu of %zu cells were not reached in the time of this run\n",
               cells->count - cells->measured, cells->count);
    }
}

static bool wants_gemm(const struct goal_options *options)
{
    static const char *const ids[] = {"K0", "K1a", "K1b", "K1c", "K1d", "K1e", "K1f", "K1g"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        if (goal_wanted(options, ids[i])) {
            return true;
        }
    }
    return false;
}

void goal_gemm(const struct goal_options *options, struct goal_report *report)
{
    struct gemm_cells cells = {0};
    if (!wants_gemm(options)) {
        return;
    }
    goal_gemm_measure(options, &cells);
    report_cells(options, &cells, report);
    report->wrong |= cells.wrong;
    free(cells.cells);
}
