/* Experiments: which interventions on which prompts of which model; their plan; their run. */
#ifndef IOLAUS_EXPERIMENT_H
#define IOLAUS_EXPERIMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iolaus/model.h"
#include "iolaus/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- what to do --------------------------------------------------------------------------------
 */

/* Zeroed fields and NULLs mean the default of iol_run_settings_default. Strings are copied by
 * iol_experiment_open. */
struct iol_run_settings {
    size_t struct_size;
    const char *prompts; /* JSONL file: objects with `prompt` (text) or `tokens` (ids). Required. */
    size_t limit;        /* first N lines; 0: all */
    const char *const
        *does; /* "SITES=KINDS" clauses; count 0: "attn_out,mlp_out=zero,resample:15" */
    size_t do_count;
    const char *metrics;   /* "hydra" (default) or "hydra,dist" */
    const char *positions; /* "final" */
    const char *filter;    /* "none" (default) or "correct" */
    const char *bos;       /* "auto" (default), "yes", "no" */
    uint64_t seed;         /* < 2^63 */
    const char *reuse;     /* "all" (default), "none", or a list of depth, position, donor */
    uint64_t memory_bytes; /* capture in memory + rows + workspaces; 0: half of what is available */
    size_t group;          /* prompts per phase A group and per wave; 0: from the budget */
    const char *spill_folder; /* NULL: beside `out` (or the temporary folder) */
    const char *out;          /* SQLite file; NULL: results are kept in memory only */
    bool measure_none; /* also run the sweep with reuse none and put its seconds in the bill */
};

IOL_API void iol_run_settings_default(struct iol_run_settings *out_settings);

struct iol_experiment;

/* Parse and check everything, read and tokenise the prompts. Nothing is computed yet. The model and
 * ctx must outlive it. Errors: IOL_E_IO, IOL_E_FORMAT (prompts: file, line, found, expected),
 * IOL_E_INVAL (a setting: name, found, expected), IOL_E_UNSUPPORTED (what is named in the design
 * but not built, by name), IOL_E_LIMIT (prompt longer than the context; resample:R with R > prompts
 * - 1), IOL_E_NOMEM. *out_experiment is NULL then. Thread-safe. */
IOL_API IOL_NODISCARD enum iol_status iol_experiment_open(const struct iol_ctx *ctx,
                                                          const struct iol_model *model,
                                                          const char *model_folder,
                                                          const struct iol_run_settings *settings,
                                                          struct iol_experiment **out_experiment);
IOL_API void iol_experiment_close(struct iol_experiment *experiment); /* NULL-safe */

/* --- what it will cost ---------------------------------------------------------------------------
 */

struct iol_plan_summary {
    size_t struct_size;
    size_t prompts, sites, pairs; /* pairs: (site, kind) */
    uint64_t branches,
        noise_branches; /* runs of one prompt under one intervention with one donor */
    size_t waves, wave_prompts, groups;
    uint64_t flops_capture, flops_waves, flops_noise; /* unique FLOPs: exact */
    uint64_t rows_capture, rows_waves;
    uint64_t bytes_capture, bytes_waves;
    uint64_t flops_reuse_none; /* the same sweep without any reuse: exact */
    uint64_t flops_without[3]; /* without one axis: depth, position, donor */
    uint64_t peak_memory_bytes, capture_bytes, spill_bytes, model_bytes;
    double predicted_seconds; /* from a short probe of this machine */
};

/* Exact cost before any work: a function of model shape, prompts, settings and budget.
 * Errors: IOL_E_LIMIT (the budget is too small: found, needed), IOL_E_NOMEM. Thread-safe. */
IOL_API IOL_NODISCARD enum iol_status iol_experiment_plan(const struct iol_experiment *experiment,
                                                          struct iol_plan_summary *out_summary);

/* --- doing it --- */

struct iol_progress {
    const char *phase;  /* "capture", "waves", "statistics" */
    size_t done, total; /* prompts */
    size_t resumed;     /* prompts whose effects were already stored */
    double seconds;     /* since the start of the phase */
    double flops_done, flops_total;
};
/* Called from the running thread between groups and waves. Return false to stop cleanly: what is
 * done is stored. */
typedef bool iol_progress_fn(const struct iol_progress *progress, void *user);

/* Run (or resume) the experiment and store everything in settings->out.
 * Errors: IOL_E_STOPPED (progress said so; run again to resume), IOL_E_MISMATCH (out holds another
 * experiment: what differs), IOL_E_IO, IOL_E_NOMEM, IOL_E_LIMIT. Not thread-safe: one run per
 * experiment at a time. */
struct iol_results;
IOL_API IOL_NODISCARD enum iol_status iol_experiment_run(struct iol_experiment *experiment,
                                                         iol_progress_fn *progress, void *user,
                                                         struct iol_results **out_results);

/* --- reading it --- */

/* Open a finished or unfinished results file, read-only. Errors: IOL_E_IO, IOL_E_FORMAT (not a
 * results file). */
IOL_API IOL_NODISCARD enum iol_status iol_results_open(const char *path,
                                                       struct iol_results **out_results);
IOL_API void iol_results_close(struct iol_results *results); /* NULL-safe */

/* The 128-bit digest of experiment and results: 32 hexadecimal digits and a NUL.
 * Errors: IOL_E_INVAL (the run is not finished: n of m prompts). */
IOL_API IOL_NODISCARD enum iol_status iol_results_digest(struct iol_results *results,
                                                         char out_hex[33]);

/* "json" (schema iolaus-1) or "csv" (one row per effect). path NULL: standard output is the
 * caller's business: use iol_results_text instead. Written to a temporary name and renamed. Errors:
 * IOL_E_INVAL, IOL_E_IO. */
IOL_API IOL_NODISCARD enum iol_status iol_results_export(struct iol_results *results,
                                                         const char *format, const char *path);

/* "json", "csv", "table" (the per-layer table, at most 80 columns) or "bill" (the cost) as
 * text owned by the caller (iol_text_free). */
IOL_API IOL_NODISCARD enum iol_status iol_results_text(struct iol_results *results,
                                                       const char *format, char **out_text);
IOL_API void iol_text_free(char *text);

/* Statistics of one row of layers[] for programs (the sweep bench): NaN where undefined. */
struct iol_layer_numbers {
    size_t struct_size;
    const char *site, *kind; /* owned by the results */
    size_t n;
    double slope, r2, restoration, restoration_low, restoration_high, null_q95;
    double delta_unembed, delta_ablate, te_clean, de, ce_attn, ce_mlp, norm_term; /* means */
    double flops, bytes, seconds; /* of one intervention (one prompt, one run), mean */
};
IOL_API size_t iol_results_layer_count(const struct iol_results *results);
IOL_API IOL_NODISCARD enum iol_status iol_results_layer(struct iol_results *results, size_t index,
                                                        struct iol_layer_numbers *out_numbers);

/* Totals of the bill for programs. */
struct iol_bill_numbers {
    size_t struct_size;
    uint64_t flops_capture, flops_waves, flops_noise, flops_none;
    uint64_t interventions; /* runs */
    double seconds_capture, seconds_waves, seconds_spill, seconds_store,
        seconds_none;              /* none: 0 if not measured */
    double peak_flops, peak_share; /* share of the peak over capture and waves */
    double joules; /* of the processor packages, whoever used them; 0 where not shown (RAPL) */
};
IOL_API IOL_NODISCARD enum iol_status iol_results_bill(struct iol_results *results,
                                                       struct iol_bill_numbers *out_bill);

/* --- lists for --help --- */

/* Site types, kinds, metrics, reuse axes: name and one line of text; false past the end. Static
 * storage. Thread-safe. */
IOL_API bool iol_site_type_get(size_t index, const char **out_name, const char **out_text);
IOL_API bool iol_kind_get(size_t index, const char **out_name, const char **out_text);
IOL_API bool iol_metric_get(size_t index, const char **out_name, const char **out_text);
IOL_API bool iol_reuse_axis_get(size_t index, const char **out_name, const char **out_text);

#ifdef __cplusplus
}
#endif
#endif
