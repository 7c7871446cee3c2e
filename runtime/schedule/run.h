/* The state of one run: phase A (capture), phase B (waves), the ledger. Internal to schedule/. */
#ifndef IOL_RUN_H
#define IOL_RUN_H

#include "base/energy.h"
#include "metric/metric_hydra.h"
#include "schedule/capture.h"
#include "schedule/plan.h"
#include "store/store.h"

enum { IOL_NESTED_DONORS = 8, IOL_PEAK_SAMPLES = 192 };

/* A worker's buffers for recomputing donors (reuse without `donor`). */
struct iol_nest {
    float *x;     /* (max_rows, d_model) */
    float *y, *z; /* (IOL_NESTED_DONORS, steps, d_model), (.., layers, q_width) */
};

struct iol_run {
    const struct iol_experiment *experiment;
    unsigned reuse; /* of this pass: the experiment's, or 0 when the baseline is measured */
    struct iol_plan plan;
    size_t threads;
    struct iol_team *team;      /* of these threads */
    struct iol_worker *workers; /* (threads) */
    struct iol_nest *nests;     /* (threads), used without donor reuse */
    float *cos, *sin;
    struct iol_capture capture;
    struct iol_clean *clean; /* (prompt_count), by source; reader NULL: not walked in this run */
    double *readers, *dots;  /* what clean[] points into */
    float *zeros;            /* (d_model) */
    float *means;            /* (site_count, d_model): by site, where a mean is used */
    double *mean_norms;      /* (site_count) */
    double *head_norms;      /* (prompt_count, layers * heads), by source */
    /* After the filter: prompt p of the set is sources[p] of the file. */
    size_t *sources, count;
    bool *done; /* (count): effects already stored */
    /* The ledger */
    struct iol_bill bill;
    double peaks[IOL_PEAK_SAMPLES];
    size_t peak_count;
    double peak_time;
    double wall_mark; /* up to which bill.wall_seconds and bill.joules count */
    struct iol_energy energy;
    iol_progress_fn *progress;
    void *user;
};

/* Walk the clean prompts sources[0 .. count) and fill clean[]. Sets *out_flops to what the kernels
 * counted. */
IOL_NODISCARD enum iol_status iol_run_capture(struct iol_run *run, const size_t *sources,
                                              size_t count, uint64_t *out_flops);
/* Means over run->sources and norms of head contributions; what phase B reads. Adds what the
 * kernels counted to *flops. */
IOL_NODISCARD enum iol_status iol_run_values(struct iol_run *run, uint64_t *flops);

/* The error of fast arithmetic on the first prompts; run->experiment->ctx is in fast mode. */
IOL_NODISCARD enum iol_status iol_run_fast_error(struct iol_run *run,
                                                 struct iol_fast_error *out_error);

/* The clean activation of prompt `source` at a site, final position: y of its sublayer, or the
 * head's slice of z. */
const float *iol_run_value(const struct iol_run *run, const struct iol_site *site, size_t source);

/* The branches of prompts p in wave[0 .. count) (indices into run->sources). With `store` the
 * effects go there; without it (baseline) they are compared with nothing and dropped. */
IOL_NODISCARD enum iol_status iol_run_wave(struct iol_run *run, const size_t *wave, size_t count,
                                           struct iol_store *store);

/* Bring bill.wall_seconds and bill.joules up to now. */
void iol_run_tick(struct iol_run *run);

/* Samples of the machine's FMA peak, at most every half second; the bill keeps their median. */
void iol_run_sample_peak(struct iol_run *run);
/* Tell the progress function; false: stop. */
bool iol_run_tell(struct iol_run *run, const char *phase, size_t done, size_t total, size_t resumed,
                  double seconds, double flops_done, double flops_total);

#endif
