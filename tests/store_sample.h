/* A made-up experiment with made-up results, without any model: what the store tests fill in. */
#ifndef IOL_STORE_SAMPLE_H
#define IOL_STORE_SAMPLE_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "intervene/experiment.h"
#include "store/store.h"

enum {
    SAMPLE_LAYERS = 2,
    SAMPLE_K = 2 * SAMPLE_LAYERS,
    SAMPLE_D = 4,
    SAMPLE_VOCAB = 11,
    SAMPLE_SOURCES = 9,
    SAMPLE_PROMPTS = 8, /* the filter drops source 3 */
    SAMPLE_SITES = 5,
    SAMPLE_PAIRS = 11,
    SAMPLE_RUNS = 5
};

struct sample {
    struct iol_model model;
    struct iol_experiment experiment;
    struct iol_do does[1];
    struct iol_site sites[SAMPLE_SITES];
    struct iol_kind_use kinds[3];
    struct iol_pair pairs[SAMPLE_PAIRS];
    struct iol_prompt prompts[SAMPLE_SOURCES];
    int32_t tokens[SAMPLE_SOURCES][6];
    char architecture[128], sites_text[32], kinds_text[32];
    /* results */
    double unembed[SAMPLE_PROMPTS][SAMPLE_K];
    float logits[SAMPLE_VOCAB];
    float y[SAMPLE_PROMPTS][SAMPLE_K * SAMPLE_D], z[SAMPLE_PROMPTS][SAMPLE_LAYERS * SAMPLE_D];
    struct iol_clean_row clean[SAMPLE_PROMPTS];
    struct iol_effect_row effects[SAMPLE_PROMPTS * SAMPLE_PAIRS]; /* by prompt, then pair */
    struct iol_run_row runs[SAMPLE_PROMPTS * SAMPLE_PAIRS][SAMPLE_RUNS];
    size_t donors[SAMPLE_PROMPTS][SAMPLE_RUNS];
    double response[SAMPLE_PROMPTS * SAMPLE_PAIRS][SAMPLE_K];
    struct iol_noise_row noise[SAMPLE_PROMPTS * SAMPLE_SITES];
    struct iol_bill bill;
    struct iol_cost pair_costs[SAMPLE_PAIRS];
};

static double sample_number(uint64_t *state)
{
    return (double)(iol_splitmix64(state) >> 11) / 9007199254740992.0 * 4 - 2;
}

static void sample_experiment(struct sample *s)
{
    struct iol_experiment *e = &s->experiment;
    static const char *const names[SAMPLE_SITES] = {"attn_out.0", "mlp_out.0", "head.1.0",
                                                    "attn_out.1", "mlp_out.1"};
    static const enum iol_site_type types[SAMPLE_SITES] = {
        IOL_SITE_ATTN_OUT, IOL_SITE_MLP_OUT, IOL_SITE_HEAD, IOL_SITE_ATTN_OUT, IOL_SITE_MLP_OUT};
    static const char *const kinds[3] = {"zero", "mean", "resample:5"};
    s->model.arch.layers = SAMPLE_LAYERS;
    s->model.arch.d_model = SAMPLE_D;
    s->model.arch.heads = 2;
    s->model.arch.head_dim = SAMPLE_D / 2;
    s->model.arch.vocab = SAMPLE_VOCAB;
    snprintf(s->architecture, sizeof s->architecture,
             "{\"layers\":2,\"d_model\":4,\"heads\":2,\"head_dim\":2,\"vocab\":11,\"eps\":1e-05,"
             "\"activation\":\"silu\",\"tied\":true}");
    s->model.info = (struct iol_model_info){.name = "a \"model\"",
                                            .family = "llama",
                                            .dtype = "F32",
                                            .layers = SAMPLE_LAYERS,
                                            .d_model = SAMPLE_D,
                                            .heads = 2,
                                            .vocab = SAMPLE_VOCAB,
                                            .weights_hash = "00112233445566778899aabbccddeeff",
                                            .architecture = s->architecture};
    strcpy(s->sites_text, "attn_out,mlp_out,head.1.0");
    strcpy(s->kinds_text, "zero,mean,resample:5");
    s->does[0] = (struct iol_do){s->sites_text, s->kinds_text};
    for (size_t i = 0; i < SAMPLE_SITES; i++) {
        s->sites[i] = (struct iol_site){.type = types[i], .layer = i >= 2};
        strcpy(s->sites[i].name, names[i]);
    }
    for (size_t k = 0; k < 3; k++) {
        s->kinds[k] = (struct iol_kind_use){.runs = k == 2 ? SAMPLE_RUNS : 1, .donors = k == 2};
        strcpy(s->kinds[k].name, kinds[k]);
    }
    size_t pair = 0;
    for (size_t i = 0; i < SAMPLE_SITES; i++) {
        for (size_t k = 0; k < 3; k++) {
            if (k != 1 || i == 2) { /* mean at the head only */
                s->pairs[pair++] = (struct iol_pair){i, k};
            }
        }
    }
    for (size_t p = 0; p < SAMPLE_SOURCES; p++) {
        for (size_t t = 0; t < 6; t++) {
            s->tokens[p][t] = (int32_t)((7 * p + 3 * t) % SAMPLE_VOCAB);
        }
        s->prompts[p] = (struct iol_prompt){
            .line = p, .tokens = s->tokens[p], .count = 3 + p % 4, .answer_id = (int64_t)p};
    }
    e->model = &s->model;
    e->does = s->does;
    e->do_count = 1;
    e->dist = true;
    e->filter_correct = true;
    e->reuse = IOL_REUSE_ALL;
    e->sites = s->sites;
    e->site_count = SAMPLE_SITES;
    e->kinds = s->kinds;
    e->kind_count = 3;
    e->pairs = s->pairs;
    e->pair_count = SAMPLE_PAIRS;
    e->max_runs = SAMPLE_RUNS;
    e->any_head = true;
    e->prompts = s->prompts;
    e->prompt_count = SAMPLE_SOURCES;
}

static void sample_clean(struct sample *s, uint64_t *state)
{
    for (size_t j = 0; j < SAMPLE_VOCAB; j++) {
        s->logits[j] = (float)sample_number(state);
    }
    for (size_t p = 0; p < SAMPLE_PROMPTS; p++) {
        struct iol_clean_row *row = &s->clean[p];
        *row = (struct iol_clean_row){.prompt = p,
                                      .source = p + (p >= 3),
                                      .target = (int32_t)(p % SAMPLE_VOCAB),
                                      .spread = 1.5,
                                      .sigma = 0.1 + (double)p,
                                      .embed = sample_number(state),
                                      .bias = -0.0,
                                      .unembed = s->unembed[p],
                                      .logp = -0.25,
                                      .margin = sample_number(state),
                                      .logit_mean = 5e-324,
                                      .top_count = 10,
                                      .logits = p < 2 ? s->logits : NULL,
                                      .y = s->y[p],
                                      .z = s->z[p]};
        row->logit = row->embed + row->bias;
        for (size_t k = 0; k < SAMPLE_K; k++) {
            s->unembed[p][k] = sample_number(state);
            row->logit += s->unembed[p][k];
        }
        for (size_t i = 0; i < 10; i++) {
            row->top_ids[i] = (int32_t)((p + i) % SAMPLE_VOCAB);
            row->top_logits[i] = 3.0 - (double)i / 3;
        }
        for (size_t i = 0; i < SAMPLE_K * SAMPLE_D; i++) {
            s->y[p][i] = (float)sample_number(state);
        }
        for (size_t i = 0; i < SAMPLE_LAYERS * SAMPLE_D; i++) {
            s->z[p][i] = (float)sample_number(state);
        }
    }
}

/* Site number to its sublayer. */
static size_t sample_sublayer(const struct sample *s, size_t site)
{
    return 2 * s->sites[site].layer + (s->sites[site].type == IOL_SITE_MLP_OUT);
}

static void sample_effect(struct sample *s, size_t p, size_t pair, uint64_t *state)
{
    size_t at = p * SAMPLE_PAIRS + pair, sublayer = sample_sublayer(s, s->pairs[pair].site);
    struct iol_effect_row *row = &s->effects[at];
    size_t runs = s->kinds[s->pairs[pair].kind].runs;
    *row = (struct iol_effect_row){.prompt = p,
                                   .pair = pair,
                                   .position = s->prompts[p + (p >= 3)].count - 1,
                                   .donors = runs > 1 ? s->donors[p] : NULL,
                                   .runs = runs,
                                   .run_rows = s->runs[at],
                                   .delta_unembed = sample_number(state),
                                   .de = sample_number(state),
                                   .sigma_ratio = 1.01,
                                   .norm_ratio = p == 4 ? (double)NAN : 0.5,
                                   .de_even = (double)NAN,
                                   .ce_odd = (double)NAN,
                                   .kl = 0.01,
                                   .logp = -1.0 / 3,
                                   .margin = sample_number(state),
                                   .margin_closest = 1e-300,
                                   .argmax_changed = p % (runs + 1),
                                   .response = s->response[at],
                                   .response_count = SAMPLE_K - 1 - sublayer};
    if (runs > 1) {
        row->de_even = sample_number(state);
        row->ce_odd = -0.5 * row->de_even + 0.1 * sample_number(state);
    }
    for (size_t k = 0; k < row->response_count; k++) {
        double v = 0.05 * sample_number(state) - 0.2 * row->de;
        bool mlp = (sublayer + 1 + k) % 2 == 1;
        s->response[at][k] = v;
        row->ce_attn += mlp ? 0 : v;
        row->ce_mlp += mlp ? v : 0;
    }
    row->te_clean = row->de + row->ce_attn + row->ce_mlp;
    row->delta_ablate = row->te_clean * 0.99;
    row->norm_term = row->delta_ablate - row->te_clean;
    for (size_t r = 0; r < runs; r++) {
        s->runs[at][r] = (struct iol_run_row){.te = sample_number(state),
                                              .de = -0.0,
                                              .sigma_ratio = 1,
                                              .kl = 0.5,
                                              .norm_ratio = row->norm_ratio,
                                              .argmax_changed = r == 0};
    }
}

/* Everything, deterministic. */
static void sample_fill(struct sample *s)
{
    uint64_t state = 42;
    memset(s, 0, sizeof *s);
    sample_experiment(s);
    sample_clean(s, &state);
    for (size_t p = 0; p < SAMPLE_PROMPTS; p++) {
        for (size_t r = 0; r < SAMPLE_RUNS; r++) {
            s->donors[p][r] = (p + 1 + r) % SAMPLE_PROMPTS;
        }
        for (size_t pair = 0; pair < SAMPLE_PAIRS; pair++) {
            sample_effect(s, p, pair, &state);
        }
        for (size_t site = 0; site < SAMPLE_SITES; site++) {
            s->noise[p * SAMPLE_SITES + site] =
                (struct iol_noise_row){p, site, p == 5 ? 1e-7 * (double)site : 0};
        }
    }
    for (size_t i = 0; i < SAMPLE_PAIRS; i++) {
        s->pair_costs[i] = (struct iol_cost){1000000 * (i + 1), 2000 * (i + 1), 30 * (i + 1),
                                             0.001 * (double)(i + 1)};
    }
    s->bill = (struct iol_bill){
        .capture = {1200000000, 5000000, 90, 0.25},
        .waves = {66000000000, 132000000, 1980, 1.5},
        .noise = {3000000, 1000, 10, 0.01},
        .spill = {0, 4096, 0, 0.001},
        .store = {0, 65536, 0, 0.02},
        .pairs = s->pair_costs,
        .none = {900000000000, 1000000000, 50000, 20.5},
        .without = {{400000000000, 9, 9, 0}, {90000000000, 9, 9, 0}, {80000000000, 9, 9, 0}},
        .peak_flops = 1e11,
        .wall_seconds = 2.5,
        .joules = 41.5,
        .joules_seconds = 2.0,
        .spill_bytes = 4096,
        .peak_memory_bytes = 123456789,
        .model_bytes = 1048576,
        .waves_done = 4,
        .threads = 2};
}

/* Prompts first .. last - 1 as one wave. */
static enum iol_status sample_wave(struct sample *s, struct iol_store *store, size_t first,
                                   size_t last)
{
    return iol_store_put_wave(store, s->effects + first * SAMPLE_PAIRS,
                              (last - first) * SAMPLE_PAIRS, s->noise + first * SAMPLE_SITES,
                              (last - first) * SAMPLE_SITES, &s->bill);
}

#endif
