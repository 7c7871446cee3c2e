/* The plan: how a sweep is cut into groups and waves, and its exact cost before any work. */
#ifndef IOL_PLAN_H
#define IOL_PLAN_H

#include "schedule/walk.h"

enum { IOL_NOISE_PROMPTS = 16 }; /* the identity intervention runs on the first so many prompts */

struct iol_plan {
    struct iol_geometry geometry;
    size_t group, wave;   /* prompts of a phase A group, of a phase B wave */
    size_t baseline_wave; /* prompts of a wave when the baseline without reuse is measured */
    bool spill;
    size_t window_floats; /* of the spill window; 0: everything in memory */
    size_t logit_rows;    /* rows of logits in a worker's workspace */
    uint64_t memory_bytes, peak_bytes, capture_bytes;
};

/* Fit groups and waves into the memory budget. Errors: IOL_E_LIMIT (found, needed). */
IOL_NODISCARD enum iol_status iol_plan_make(const struct iol_experiment *experiment,
                                            struct iol_plan *out_plan);

/* What the branches of prompts sources[0 .. count) cost under `reuse`: sums over runs and prompts.
 * out_pairs (pair_count) or NULL; the donors are those of a set of `count` prompts. Errors:
 * IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_plan_branches(const struct iol_experiment *experiment,
                                                unsigned reuse, const size_t *sources, size_t count,
                                                struct iol_cost *out_pairs,
                                                struct iol_cost *out_sum);
/* The noise-floor branches of the same prompts under `reuse`. */
struct iol_cost iol_plan_noise(const struct iol_experiment *experiment, unsigned reuse,
                               const size_t *sources, size_t count);
/* Phase A of the same prompts, weights of `groups` groups included in the bytes; contributions of
 * means included. */
struct iol_cost iol_plan_capture(const struct iol_experiment *experiment, const size_t *sources,
                                 size_t count, size_t groups);
/* Bytes of weights that one wave reads under `reuse`. */
uint64_t iol_plan_wave_weights(const struct iol_experiment *experiment, unsigned reuse);

#endif
