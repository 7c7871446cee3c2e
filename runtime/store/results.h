/* What a run produces, as rows: between schedule and metric on one side and the store on the other.
 */
#ifndef IOL_RESULTS_H
#define IOL_RESULTS_H

#include "intervene/experiment.h"

/* Clean read-outs of one prompt (after the filter). Field names are the schema's. */
struct iol_clean_row {
    size_t prompt; /* index in the filtered set */
    size_t source; /* index in experiment->prompts */
    int32_t target;
    double logit, spread, sigma, embed, bias;
    const double *unembed; /* (K) */
    /* dist */
    double logp, margin, logit_mean;
    int32_t top_ids[10];
    double top_logits[10];
    size_t top_count;    /* 10, or the vocabulary if smaller; 0 without dist */
    const float *logits; /* (vocab) for prompts 0 and 1 with dist, else NULL */
    /* What donors and means need: y of every sublayer at the final position (K, d_model), and z of
     * every layer there (layers, heads * head_dim) if the experiment has head sites, else NULL. */
    const float *y, *z;
};

/* One run of an effect. Dist fields are 0 without dist. */
struct iol_run_row {
    double te, te_clean, de, ce_attn, ce_mlp, sigma_ratio;
    double norm_ratio; /* NaN: undefined */
    double kl, logp, margin;
    int argmax_changed;
};

/* One (prompt, site, position, kind), averaged over its runs in donor order. NaN: undefined (null).
 */
struct iol_effect_row {
    size_t prompt, pair, position;
    const size_t *donors; /* (runs), or NULL for kinds without donors */
    size_t runs;
    const struct iol_run_row *run_rows; /* (runs) */
    double delta_unembed, delta_ablate, te_clean, de, ce_attn, ce_mlp, norm_term, sigma_ratio,
        norm_ratio;
    double de_even, ce_odd;
    double kl, logp, margin, margin_closest; /* dist */
    size_t argmax_changed;                   /* dist: a number of runs */
    const double *response;                  /* (response_count): k(site)+1 .. K-1 */
    size_t response_count;
};

/* Largest deviation of the identity intervention at one site for one prompt. */
struct iol_noise_row {
    size_t prompt, site;
    double floor;
};

struct iol_cost {
    uint64_t flops, bytes, rows;
    double seconds;
};

/* The bill. The seconds of a step are divided over its branches by their FLOPs. */
struct iol_bill {
    struct iol_cost capture, waves, noise, spill,
        store;              /* phases A, B (without noise); the rest apart */
    struct iol_cost *pairs; /* (pair_count): of all runs and prompts of the pair */
    struct iol_cost none; /* the same sweep without any reuse: exact flops, bytes, rows; seconds if
                             measured, else 0 */
    struct iol_cost without[3]; /* without one axis: depth, position, donor; seconds 0 */
    double peak_flops;          /* FMA peak sampled in this run (median of samples), FLOP/s */
    double wall_seconds;        /* of all runs of this experiment so far */
    /* Energy of the processor packages, whoever used them, over so much of wall_seconds as a
     * machine showed it; 0 and 0 where none did. */
    double joules, joules_seconds;
    uint64_t spill_bytes, peak_memory_bytes, model_bytes;
    size_t waves_done, threads;
};

/* How far the logits of fast arithmetic are from exact ones, in spreads of the exact logits: clean
 * runs of the first prompts, computed both ways. */
struct iol_fast_error {
    size_t prompts, same_targets; /* compared; whose arg-max is the same */
    double rms, max;
};

#endif
