/* What is inside a results file: columns, rows, and the two handles on it.
 *
 * A column below is a member of the row struct of the same name; CREATE, INSERT and SELECT are made
 * from these lists, in this order, and the digest walks the columns in this order. */
#ifndef IOL_STORE_TABLES_H
#define IOL_STORE_TABLES_H

#include <jansson.h>

#include "metric/statistics.h"
#include "store/database.h"
#include "store/results.h"
#include "store/store.h"

#define IOL_CLEAN_REALS(X)      X(logit) X(spread) X(sigma) X(embed) X(bias)
#define IOL_CLEAN_DIST_REALS(X) X(logp) X(margin) X(logit_mean)

#define IOL_EFFECT_REALS(X)                                                                        \
    X(delta_unembed)                                                                               \
    X(delta_ablate)                                                                                \
    X(te_clean)                                                                                    \
    X(de)                                                                                          \
    X(ce_attn)                                                                                     \
    X(ce_mlp) X(norm_term) X(sigma_ratio) X(norm_ratio) X(de_even) X(ce_odd)
#define IOL_EFFECT_DIST_REALS(X) X(kl) X(logp) X(margin) X(margin_closest)

#define IOL_RUN_REALS(X)      X(te) X(te_clean) X(de) X(ce_attn) X(ce_mlp) X(sigma_ratio) X(norm_ratio)
#define IOL_RUN_DIST_REALS(X) X(kl) X(logp) X(margin)

/* `mean` of a row of layers[], in the order of the schema. */
#define IOL_MEANS(X)                                                                               \
    X(delta_unembed)                                                                               \
    X(delta_ablate)                                                                                \
    X(te_clean)                                                                                    \
    X(de) X(ce_attn) X(ce_mlp) X(norm_term) X(sigma_ratio) X(norm_ratio)
#define IOL_DIST_MEANS(X) X(kl) X(logp) X(margin) X(argmax_changed)

enum iol_mean {
#define IOL_MEAN_ENUM(name) IOL_MEAN_##name,
    IOL_MEANS(IOL_MEAN_ENUM) IOL_DIST_MEANS(IOL_MEAN_ENUM)
#undef IOL_MEAN_ENUM
        IOL_MEAN_COUNT
};

/* X(column, member of struct iol_layer_row) */
#define IOL_LAYER_REALS(X)                                                                         \
    X(ce_on_de_slope, ce_on_de.slope)                                                              \
    X(ce_on_de_intercept, ce_on_de.intercept)                                                      \
    X(ce_on_de_r2, ce_on_de.r2)                                                                    \
    X(te_on_de_slope, te_on_de.slope)                                                              \
    X(te_on_de_intercept, te_on_de.intercept)                                                      \
    X(te_on_de_r2, te_on_de.r2)                                                                    \
    X(restoration, restoration)                                                                    \
    X(pearson, pearson)                                                                            \
    X(spearman, spearman)                                                                          \
    X(share, share)                                                                                \
    X(disjoint_slope, disjoint.slope)                                                              \
    X(disjoint_intercept, disjoint.intercept)                                                      \
    X(disjoint_r2, disjoint.r2)                                                                    \
    X(bootstrap_slope_low, bootstrap.slope_low)                                                    \
    X(bootstrap_slope_high, bootstrap.slope_high)                                                  \
    X(bootstrap_r2_low, bootstrap.r2_low)                                                          \
    X(bootstrap_r2_high, bootstrap.r2_high)                                                        \
    X(null_r2_mean, null.r2_mean)                                                                  \
    X(null_r2_q95, null.r2_q95)                                                                    \
    X(null_restoration_mean, null.restoration_mean)                                                \
    X(null_restoration_q95, null.restoration_q95)                                                  \
    X(mean_delta_unembed, mean[IOL_MEAN_delta_unembed])                                            \
    X(mean_delta_ablate, mean[IOL_MEAN_delta_ablate])                                              \
    X(mean_te_clean, mean[IOL_MEAN_te_clean])                                                      \
    X(mean_de, mean[IOL_MEAN_de])                                                                  \
    X(mean_ce_attn, mean[IOL_MEAN_ce_attn])                                                        \
    X(mean_ce_mlp, mean[IOL_MEAN_ce_mlp])                                                          \
    X(mean_norm_term, mean[IOL_MEAN_norm_term])                                                    \
    X(mean_sigma_ratio, mean[IOL_MEAN_sigma_ratio])                                                \
    X(mean_norm_ratio, mean[IOL_MEAN_norm_ratio])                                                  \
    X(mean_kl, mean[IOL_MEAN_kl])                                                                  \
    X(mean_logp, mean[IOL_MEAN_logp])                                                              \
    X(mean_margin, mean[IOL_MEAN_margin])                                                          \
    X(mean_argmax_changed, mean[IOL_MEAN_argmax_changed])                                          \
    X(noise_floor, noise_floor)

/* SQL of these lists, to go between literals: ", logit, spread, ..." and ", ?, ?, ...". */
#define IOL_COLUMN(name)              ", " #name
#define IOL_PARAMETER(name)           ", ?"
#define IOL_LAYER_COLUMN(name, at)    ", " #name
#define IOL_LAYER_PARAMETER(name, at) ", ?"
#define IOL_CLEAN_COLUMNS             IOL_CLEAN_REALS(IOL_COLUMN)
#define IOL_CLEAN_PARAMETERS          IOL_CLEAN_REALS(IOL_PARAMETER)
#define IOL_CLEAN_DIST_COLUMNS        IOL_CLEAN_DIST_REALS(IOL_COLUMN)
#define IOL_CLEAN_DIST_PARAMETERS     IOL_CLEAN_DIST_REALS(IOL_PARAMETER)
#define IOL_EFFECT_COLUMNS            IOL_EFFECT_REALS(IOL_COLUMN)
#define IOL_EFFECT_PARAMETERS         IOL_EFFECT_REALS(IOL_PARAMETER)
#define IOL_EFFECT_DIST_COLUMNS       IOL_EFFECT_DIST_REALS(IOL_COLUMN)
#define IOL_EFFECT_DIST_PARAMETERS    IOL_EFFECT_DIST_REALS(IOL_PARAMETER)
#define IOL_RUN_COLUMNS               IOL_RUN_REALS(IOL_COLUMN)
#define IOL_RUN_PARAMETERS            IOL_RUN_REALS(IOL_PARAMETER)
#define IOL_RUN_DIST_COLUMNS          IOL_RUN_DIST_REALS(IOL_COLUMN)
#define IOL_RUN_DIST_PARAMETERS       IOL_RUN_DIST_REALS(IOL_PARAMETER)
#define IOL_LAYER_COLUMNS             IOL_LAYER_REALS(IOL_LAYER_COLUMN)
#define IOL_LAYER_PARAMETERS          IOL_LAYER_REALS(IOL_LAYER_PARAMETER)

/* One row of layers[] (class "final"). */
struct iol_layer_row {
    size_t n;
    struct iol_regression ce_on_de, te_on_de, disjoint;
    double restoration, pearson, spearman, share;
    struct iol_bootstrap bootstrap;
    struct iol_permutation null;
    double mean[IOL_MEAN_COUNT];
    double noise_floor;
    double *response; /* (response_count of the pair) */
};

/* A (site, kind) as stored. */
struct iol_stored_pair {
    char site[32], kind[32], type[16];
    size_t site_index, layer, head, sublayer;
    size_t runs;
    bool donors;
    size_t response_count; /* sublayers - 1 - sublayer */
};

struct iol_store {
    struct iol_database database;
    const struct iol_experiment *experiment;
    size_t sublayers, d_model, z_width; /* K; elements of one y; heads * head_dim */
};

struct iol_results {
    struct iol_database database;
    json_t *spec;     /* object of section 2 without n_prompts */
    char *machine;    /* JSON object as text, or NULL */
    char *arithmetic; /* of a fast run, as machine; NULL: exact */
    size_t sublayers, vocab;
    bool dist;
    bool captured; /* phase A is stored; then prompt_count is the filtered number */
    bool finished;
    size_t source_count, prompt_count, done_count;
    struct iol_stored_pair *pairs;
    size_t pair_count;
    struct iol_layer_row *layers; /* (layer_count): all pairs when finished, else none */
    size_t layer_count;
    struct iol_bill bill;
    bool digested;
    char digest[33];
};

/* --- store_schema.c --- */
/* Make the tables and the rows that never change; one transaction. */
IOL_NODISCARD enum iol_status iol_store_create(struct iol_store *store);

/* --- store_identity.c --- */
/* Store what the experiment is (inside a transaction), or compare it with what is stored:
 * IOL_E_MISMATCH by name. */
IOL_NODISCARD enum iol_status iol_identity_put(struct iol_store *store);
IOL_NODISCARD enum iol_status iol_identity_check(struct iol_store *store);

/* --- store_meta.c --- */
IOL_NODISCARD enum iol_status iol_meta_put(const struct iol_database *database, const char *key,
                                           const char *text);
/* *out_text owned by the caller; NULL if there is no such key. */
IOL_NODISCARD enum iol_status iol_meta_get(const struct iol_database *database, const char *key,
                                           char **out_text);
/* A decimal number; *out_there false if there is no such key. */
IOL_NODISCARD enum iol_status iol_meta_get_count(const struct iol_database *database,
                                                 const char *key, bool *out_there,
                                                 size_t *out_value);

/* --- store_bill.c --- */
/* Inside a transaction. */
IOL_NODISCARD enum iol_status iol_bill_put(const struct iol_database *database, size_t pair_count,
                                           const struct iol_bill *bill);
IOL_NODISCARD enum iol_status iol_bill_get(const struct iol_database *database, size_t pair_count,
                                           struct iol_bill *bill);
/* FLOPs of capture, waves and noise over what the peak allows in their seconds; 0 if unknown. */
double iol_bill_share(const struct iol_bill *bill);

/* --- store_statistics.c --- */
/* All rows of layers[] from the stored effects, written to the table (inside a transaction). */
IOL_NODISCARD enum iol_status iol_layers_compute(const struct iol_database *database,
                                                 const struct iol_stored_pair *pairs,
                                                 size_t pair_count, size_t prompt_count,
                                                 uint64_t seed, size_t threads);

/* --- results.c --- */
IOL_NODISCARD enum iol_status iol_pairs_get(const struct iol_database *database, size_t sublayers,
                                            struct iol_stored_pair **out_pairs, size_t *out_count);
/* How many prompts have all their effects; done[p] too if not NULL (prompt_count). */
IOL_NODISCARD enum iol_status iol_done_get(const struct iol_database *database, size_t pair_count,
                                           size_t prompt_count, bool *done, size_t *out_count);

#endif
