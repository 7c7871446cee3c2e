/* Goals: ratios to the peers and shares of the peak, each with its interval and a verdict. */
#ifndef IOL_BENCH_GOALS_H
#define IOL_BENCH_GOALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "bench_gemm.h"
#include "measure.h"

struct goal_options {
    bool full;
    const char *only; /* IDs, comma-separated; NULL: all */
    size_t thread_counts[2], thread_count_count;
    double deadline; /* iol_seconds() after which no new cell starts */
    double cell_seconds;
    FILE *cells; /* where every cell goes as tab-separated values; NULL: nowhere */
};

/* A line of `cells`: what `format` makes of the rest, under these column names (tab-separated),
 * which are written where they differ from those of the line before. */
__attribute__((format(printf, 3, 4))) void goal_row(const struct goal_options *options,
                                                    const char *names, const char *format, ...);

/* One measured GEMM cell. */
struct gemm_cell {
    const struct gemm_shape *shape;
    size_t m, threads;
    bool cold, measured;
    double gflops;                           /* ours, median */
    struct bench_interval peak;              /* ours over the FMA peak of the moment */
    struct bench_interval roof;              /* ours over min(peak, bandwidth), cold only */
    struct bench_interval ratio[PEER_COUNT]; /* ours over each peer; NaN where it is not here */
    double rate[PEER_COUNT];                 /* GFLOP/s, median */
    enum peer_id best;                       /* of the others; PEER_iolaus: none is here */
    size_t rounds, lost;                     /* lost: measured again, threads shared a core */
    double foreign;                          /* processors that other processes used meanwhile */
    bool disturbed; /* several threads, and foreign is over a tenth or too few rounds are left: says
                       nothing */
};

struct gemm_cells {
    struct gemm_cell *cells;
    size_t count, measured;
    bool wrong; /* a peer, or we, computed something else */
};
/* Measure all cells that the options ask for, printing each. Freed by free(out->cells). */
void goal_gemm_measure(const struct goal_options *options, struct gemm_cells *out);

/* Verdicts. A cell that ends below the target is a miss. */
enum { GOAL_LINES = 96, GOAL_TEXT = 640 };
struct goal_report {
    size_t missed, count;
    bool wrong; /* something computed what it should not, or a file could not be written */
    struct {
        double order; /* printed ascending: missed, met, skipped; farthest below its target first */
        char text[GOAL_TEXT];
    } lines[GOAL_LINES];
};
bool goal_wanted(const struct goal_options *options, const char *id);
/* `goal ID measured TARGET met|missed|skipped REASON`, kept for the end of the run. */
void goal_line(struct goal_report *report, const char *id, double measured, double target, bool met,
               const char *reason);
void goal_skip(struct goal_report *report, const char *id, double target, const char *reason);

/* What a cell at this share of the peak and this ratio would need of the peak for the target. Above
 * goal_reach nobody's kernels get there: such cells are missed all the same, and counted. */
static inline double goal_needs(double share, double ratio, double target)
{
    return share * target / ratio;
}
static const double goal_reach = 0.95;

/* bench_foreign_seconds; those of the Python peers are ours. */
double goal_foreign_seconds(void);

#define GOALS(name)                                                                                \
    void goal_##name(const struct goal_options *options, struct goal_report *report);
#include "goals.def"
#undef GOALS

#endif
