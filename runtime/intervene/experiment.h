/* The expanded experiment: prompts, sites, kinds and pairs, checked and in the order of the schema.
 */
#ifndef IOL_EXPERIMENT_H
#define IOL_EXPERIMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iolaus/experiment.h"
#include "model/model.h"

/* Site types in the order of the schema within a layer. */
enum iol_site_type {
#define SITE(name, UPPER, text) IOL_SITE_##UPPER,
#include "sites.def"
#undef SITE
    IOL_SITE_TYPE_COUNT
};

struct iol_site {
    enum iol_site_type type;
    size_t layer, head; /* head 0 unless a head */
    char name[32];      /* "head.3.11" */
};

/* Sublayer number k(site): 2 layer for attention and its heads, 2 layer + 1 for the MLP. */
size_t iol_site_sublayer(const struct iol_site *site);
/* Elements of the activation that an intervention replaces: d_model, or head_dim for a head (its
 * slice of z). */
size_t iol_site_width(const struct iol_arch *arch, const struct iol_site *site);

/* A kind says where the replacing value comes from. One row of kinds.def and one file kind_<name>.c
 * each. */
enum iol_value_source { IOL_VALUE_ZERO, IOL_VALUE_MEAN, IOL_VALUE_DONOR };
struct iol_kind {
    const char *name, *text;
    size_t order;                 /* of the schema: zero, mean, resample */
    bool counted;                 /* takes ":R" */
    enum iol_value_source source; /* of the value of one run */
};
#define KIND(name) extern const struct iol_kind iol_kind_##name;
#include "kinds.def"
#undef KIND

struct iol_kind_use {
    const struct iol_kind *kind;
    size_t runs;   /* R of resample:R; 1 otherwise */
    bool donors;   /* each run has a donor prompt */
    char name[32]; /* "resample:15" */
};

/* One (site, kind): a column of the sweep. Indices into sites[] and kinds[]. */
struct iol_pair {
    size_t site, kind;
};

struct iol_prompt {
    size_t line;     /* number of the JSONL line, blank lines not counted, from 0 */
    int32_t *tokens; /* (count) */
    size_t count;
    bool by_tokens;    /* the line gave ids */
    int64_t answer_id; /* filter `correct`: the id that the target must be; -1: never right */
};

enum { IOL_REUSE_DEPTH = 1, IOL_REUSE_POSITION = 2, IOL_REUSE_DONOR = 4, IOL_REUSE_ALL = 7 };

struct iol_do {
    char *sites, *kinds; /* as given */
};

struct iol_experiment {
    const struct iol_ctx *ctx;
    const struct iol_model *model;
    /* resolved settings */
    struct iol_do *does;
    size_t do_count;
    bool dist; /* metrics dist */
    bool filter_correct;
    enum iol_bos bos;
    uint64_t seed;
    unsigned reuse; /* IOL_REUSE_* bits */
    uint64_t memory_bytes;
    size_t group;
    bool measure_none;
    char *out, *spill_folder, *prompts_path; /* out, spill_folder may be NULL */
    /* expanded, in the order of the schema */
    struct iol_site *sites;
    size_t site_count;
    struct iol_kind_use *kinds;
    size_t kind_count;
    struct iol_pair *pairs; /* by site, then kind */
    size_t pair_count;
    size_t max_runs; /* largest R among kinds with donors; 0: none */
    bool any_head;
    struct iol_prompt *prompts; /* before the filter */
    size_t prompt_count;
};

/* Draw the `runs` donors of prompt p of n as the schema says. */
void iol_donors_draw(size_t p, size_t n, size_t runs, uint64_t seed, size_t *out_donors);

#endif
