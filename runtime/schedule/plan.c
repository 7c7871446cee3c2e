#include "schedule/plan.h"

#include <string.h>

#include "schedule/capture.h"

/* --- exact cost ----------------------------------------------------------------------------------
 */

/* Costs by prompt length, so that a large sweep is added up, not walked again for every branch. */
struct length_table {
    size_t *index;           /* (max length + 1): row of a length, SIZE_MAX: absent */
    size_t rows, columns;    /* columns: (sublayer, is head) */
    struct iol_cost *branch; /* (rows, columns): without the donor's own walk */
    struct iol_cost *donor;  /* (rows, columns): the donor's walk; zero with donor reuse */
};

static size_t column_of(const struct iol_site *site)
{
    return 2 * iol_site_sublayer(site) + (site->type == IOL_SITE_HEAD);
}

static void table_row(const struct iol_experiment *e, unsigned reuse, size_t length,
                      struct iol_cost *branch, struct iol_cost *donor)
{
    for (size_t i = 0; i < e->site_count; i++) {
        const struct iol_site *site = &e->sites[i];
        size_t column = column_of(site);
        if (branch[column].bytes) {
            continue;
        }
        branch[column] = iol_cost_branch(e, reuse, length, site, 0);
        if (!(reuse & IOL_REUSE_DONOR)) {
            struct iol_stream_shape shape = {.length = length,
                                             .end = iol_site_sublayer(site) + 1,
                                             .until_z = site->type == IOL_SITE_HEAD};
            donor[column] = iol_cost_stream(e->model, &shape);
        }
    }
}

static void table_close(struct length_table *t)
{
    iol_free(t->index);
    iol_free(t->branch);
    iol_free(t->donor);
    *t = (struct length_table){0};
}

static enum iol_status table_open(const struct iol_experiment *e, unsigned reuse,
                                  const size_t *sources, size_t count, struct length_table *out)
{
    size_t longest = 0;
    for (size_t p = 0; p < count; p++) {
        size_t length = e->prompts[sources[p]].count;
        longest = length > longest ? length : longest;
    }
    struct length_table t = {.columns = 2 * e->model->step_count};
    t.index = iol_alloc(longest + 1, sizeof *t.index);
    if (t.index) {
        memset(t.index, 0xff, (longest + 1) * sizeof *t.index);
        for (size_t p = 0; p < count; p++) {
            size_t *row = &t.index[e->prompts[sources[p]].count];
            *row = *row == SIZE_MAX ? t.rows++ : *row;
        }
    }
    t.branch = iol_alloc(t.rows * t.columns, sizeof *t.branch);
    t.donor = iol_alloc(t.rows * t.columns, sizeof *t.donor);
    if (!t.index || !t.branch || !t.donor) {
        table_close(&t);
        return iol_fail(IOL_E_NOMEM, "out of memory: the plan");
    }
    for (size_t length = 0; length <= longest; length++) {
        if (t.index[length] != SIZE_MAX) {
            table_row(e, reuse, length, t.branch + t.index[length] * t.columns,
                      t.donor + t.index[length] * t.columns);
        }
    }
    *out = t;
    return IOL_OK;
}

enum iol_status iol_plan_branches(const struct iol_experiment *e, unsigned reuse,
                                  const size_t *sources, size_t count, struct iol_cost *out_pairs,
                                  struct iol_cost *out_sum)
{
    enum iol_status status = IOL_OK;
    struct length_table t = {0};
    size_t *donors = iol_alloc(e->max_runs, sizeof *donors);
    *out_sum = (struct iol_cost){0};
    if (!donors) {
        return iol_fail(IOL_E_NOMEM, "out of memory: donors");
    }
    IOL_TRY(table_open(e, reuse, sources, count, &t));
    for (size_t p = 0; p < count; p++) {
        size_t row = t.index[e->prompts[sources[p]].count];
        if (e->max_runs && e->max_runs < count) {
            iol_donors_draw(p, count, e->max_runs, e->seed, donors);
        }
        for (size_t i = 0; i < e->pair_count; i++) {
            const struct iol_kind_use *use = &e->kinds[e->pairs[i].kind];
            size_t column = column_of(&e->sites[e->pairs[i].site]);
            struct iol_cost cost = {0};
            iol_cost_add(&cost, t.branch[row * t.columns + column], use->runs);
            if (use->donors && !(reuse & IOL_REUSE_DONOR) && e->max_runs < count) {
                for (size_t r = 0; r < use->runs; r++) {
                    size_t donor_row = t.index[e->prompts[sources[donors[r]]].count];
                    iol_cost_add(&cost, t.donor[donor_row * t.columns + column], 1);
                }
            }
            iol_cost_add(out_sum, cost, 1);
            if (out_pairs) {
                iol_cost_add(&out_pairs[i], cost, 1);
            }
        }
    }
out:
    table_close(&t);
    iol_free(donors);
    return status;
}

struct iol_cost iol_plan_noise(const struct iol_experiment *e, unsigned reuse,
                               const size_t *sources, size_t count)
{
    struct iol_cost sum = {0};
    for (size_t p = 0; p < count && p < IOL_NOISE_PROMPTS; p++) {
        for (size_t i = 0; i < e->site_count; i++) {
            iol_cost_add(
                &sum, iol_cost_branch(e, reuse, e->prompts[sources[p]].count, &e->sites[i], 0), 1);
        }
    }
    return sum;
}

struct iol_cost iol_plan_capture(const struct iol_experiment *e, const size_t *sources,
                                 size_t count, size_t groups)
{
    struct iol_cost sum = {0};
    for (size_t p = 0; p < count; p++) {
        iol_cost_add(&sum, iol_cost_clean(e, e->prompts[sources ? sources[p] : p].count), 1);
    }
    for (size_t i = 0; i < e->pair_count; i++) { /* the norm of a head's mean contribution */
        if (e->kinds[e->pairs[i].kind].kind->source == IOL_VALUE_MEAN &&
            e->sites[e->pairs[i].site].type == IOL_SITE_HEAD) {
            iol_cost_add(&sum, iol_cost_contribution(e->model), 1);
        }
    }
    uint64_t weights = iol_cost_unembed_weights(e->model);
    for (size_t s = 0; s < e->model->step_count; s++) {
        weights += iol_cost_step_weights(e->model, s);
    }
    sum.bytes += weights * groups;
    return sum;
}

uint64_t iol_plan_wave_weights(const struct iol_experiment *e, unsigned reuse)
{
    size_t first = e->model->step_count;
    uint64_t weights = e->dist ? iol_cost_unembed_weights(e->model) : 0;
    for (size_t i = 0; i < e->pair_count; i++) {
        size_t start =
            reuse & IOL_REUSE_DEPTH ? iol_site_sublayer(&e->sites[e->pairs[i].site]) + 1 : 0;
        first = start < first ? start : first;
    }
    for (size_t s = first; s < e->model->step_count; s++) {
        weights += iol_cost_step_weights(e->model, s);
    }
    return weights;
}

/* --- memory --- */

struct sizes {
    uint64_t fixed;           /* independent of group and wave */
    uint64_t records;         /* all prompts' capture records */
    uint64_t record;          /* the largest one */
    uint64_t clean_prompt;    /* rows of one prompt in phase A */
    uint64_t wave_prompt;     /* rows, streams and values of one prompt in phase B */
    uint64_t baseline_prompt; /* the same without reuse, if that is measured too */
};

/* Rows, streams, read-outs and recomputed donors of one prompt's branches. */
static uint64_t wave_bytes(const struct iol_experiment *e, const struct iol_geometry *g,
                           unsigned reuse, uint64_t branches)
{
    uint64_t rows = reuse & IOL_REUSE_POSITION ? 1 : g->max_length;
    uint64_t values = reuse & IOL_REUSE_DONOR ? 0 : g->d * sizeof(float);
    return branches * (rows * g->d * sizeof(float) + e->model->step_count * sizeof(double) +
                       sizeof(struct iol_stream) + 256 + values);
}

static void count_sizes(const struct iol_experiment *e, const struct iol_plan *plan,
                        struct sizes *out)
{
    const struct iol_model *m = e->model;
    const struct iol_arch *a = &m->arch;
    const struct iol_geometry *g = &plan->geometry;
    struct sizes s = {0};
    uint64_t q = g->q_width, d = g->d, n = e->prompt_count, steps = m->step_count;
    s.fixed = n * (steps * d * sizeof(float) +
                   (e->any_head ? a->layers * (q + a->heads * 2) * sizeof(float) : 0) +
                   (d + steps) * sizeof(double) + 256) +
              e->ctx->threads *
                  (iol_worker_bytes(m, g, plan->logit_rows) +
                   ((e->reuse & IOL_REUSE_DONOR) && !e->measure_none
                        ? 0
                        : (g->max_rows * d + 8 * (steps * d + a->layers * q)) * sizeof(float)));
    for (size_t p = 0; p < e->prompt_count; p++) {
        uint64_t record = iol_capture_floats(e, &p, 1) * sizeof(float);
        s.records += record;
        s.record = record > s.record ? record : s.record;
    }
    uint64_t branches = e->site_count; /* the noise floor's */
    for (size_t i = 0; i < e->pair_count; i++) {
        branches += e->kinds[e->pairs[i].kind].runs;
    }
    s.clean_prompt = g->max_length * d * sizeof(float) + sizeof(struct iol_stream);
    s.wave_prompt = wave_bytes(e, g, e->reuse, branches);
    s.baseline_prompt = e->measure_none ? wave_bytes(e, g, 0, branches) : 0;
    *out = s;
}

static uint64_t peak_of(const struct sizes *s, size_t group, size_t wave, bool spill)
{
    uint64_t clean = group * s->clean_prompt, branches = wave * s->wave_prompt;
    uint64_t rows = clean > branches ? clean : branches;
    rows = s->baseline_prompt > rows ? s->baseline_prompt : rows;
    uint64_t window = (group > wave ? group : wave) * s->record;
    return s->fixed + rows + (spill ? window : s->records);
}

/* Prompts that fill the machine: enough rows per step for full tiles on every thread, short enough
 * for a useful progress line. */
static void natural_sizes(const struct iol_experiment *e, const struct iol_plan *plan,
                          size_t *out_group, size_t *out_wave)
{
    const struct iol_geometry *g = &plan->geometry;
    size_t tokens = 0, n = e->prompt_count;
    for (size_t p = 0; p < n; p++) {
        tokens += e->prompts[p].count;
    }
    size_t mean = tokens / n ? tokens / n : 1, full = 2 * e->ctx->threads * g->block_rows;
    size_t runs = 0, steps = 1;
    for (size_t i = 0; i < e->pair_count; i++) {
        runs += e->kinds[e->pairs[i].kind].runs;
        steps += i > 0 && iol_site_sublayer(&e->sites[e->pairs[i].site]) !=
                              iol_site_sublayer(&e->sites[e->pairs[i - 1].site]);
    }
    size_t per_step = runs / steps ? runs / steps : 1;
    size_t group = (4 * full + mean - 1) / mean, wave = (full + per_step - 1) / per_step;
    group = group < 4 * e->ctx->threads ? 4 * e->ctx->threads : group;
    *out_group = group < n ? group : n;
    *out_wave = wave < n ? wave : n;
}

enum iol_status iol_plan_make(const struct iol_experiment *e, struct iol_plan *out_plan)
{
    struct iol_plan plan = {0};
    size_t longest = 1;
    for (size_t p = 0; p < e->prompt_count; p++) {
        longest = e->prompts[p].count > longest ? e->prompts[p].count : longest;
    }
    iol_geometry_fill(e->ctx, e->model, longest, &plan.geometry);
    plan.logit_rows = 16;
    plan.memory_bytes = e->memory_bytes;
    if (plan.memory_bytes == 0) {
        struct iol_machine machine = {.struct_size = sizeof machine};
        enum iol_status status = iol_machine_probe(e->ctx, 0, &machine);
        if (status != IOL_OK) {
            return status;
        }
        plan.memory_bytes = machine.available_bytes / 2;
    }
    struct sizes s;
    count_sizes(e, &plan, &s);
    size_t group, wave;
    natural_sizes(e, &plan, &group, &wave);
    if (e->group) {
        group = wave = e->group < e->prompt_count ? e->group : e->prompt_count;
    }
    bool fits = peak_of(&s, group, wave, false) <= plan.memory_bytes;
    plan.spill = !fits;
    while (!fits) {
        fits = peak_of(&s, group, wave, true) <= plan.memory_bytes;
        if (fits || e->group || (group == 1 && wave == 1)) {
            break;
        }
        group = group > 1 ? (group + 1) / 2 : 1;
        wave = wave > 1 ? (wave + 1) / 2 : 1;
    }
    if (!fits) {
        return iol_fail(
            IOL_E_LIMIT,
            "memory: found a budget of %llu KiB, this experiment needs at least %llu KiB%s",
            (unsigned long long)(plan.memory_bytes >> 10),
            (unsigned long long)((peak_of(&s, group, wave, true) + 1023) >> 10),
            e->group ? " with this --group" : " (raise --memory or use fewer prompts)");
    }
    plan.group = group;
    plan.wave = wave;
    uint64_t baseline = s.baseline_prompt ? wave * s.wave_prompt / s.baseline_prompt : 0;
    plan.baseline_wave = baseline > 1 ? (size_t)baseline : 1;
    plan.peak_bytes = peak_of(&s, group, wave, plan.spill);
    plan.capture_bytes = s.records;
    plan.window_floats = plan.spill ? (group > wave ? group : wave) * s.record / sizeof(float) : 0;
    *out_plan = plan;
    return IOL_OK;
}

/* --- the public summary --- */

/* Of the unique FLOPs' time at the FMA peak, what a sweep on warm caches reaches. */
static const double expected_share = 0.75;

enum iol_status iol_experiment_plan(const struct iol_experiment *e,
                                    struct iol_plan_summary *out_summary)
{
    enum iol_status status = IOL_OK;
    struct iol_plan plan;
    struct iol_cost sum;
    size_t n = e->prompt_count, *sources = iol_alloc(n, sizeof *sources);
    if (!sources) {
        return iol_fail(IOL_E_NOMEM, "out of memory: the plan");
    }
    for (size_t p = 0; p < n; p++) {
        sources[p] = p;
    }
    IOL_TRY(iol_plan_make(e, &plan));
    struct iol_plan_summary out = {
        .struct_size = sizeof out, .prompts = n, .sites = e->site_count, .pairs = e->pair_count};
    out.wave_prompts = plan.wave;
    out.waves = (n + plan.wave - 1) / plan.wave;
    out.groups = (n + plan.group - 1) / plan.group;
    for (size_t i = 0; i < e->pair_count; i++) {
        out.branches += n * e->kinds[e->pairs[i].kind].runs;
    }
    out.noise_branches = e->site_count * (n < IOL_NOISE_PROMPTS ? n : IOL_NOISE_PROMPTS);
    struct iol_cost clean = iol_plan_capture(e, sources, n, out.groups),
                    noise = iol_plan_noise(e, e->reuse, sources, n);
    IOL_TRY(iol_plan_branches(e, e->reuse, sources, n, NULL, &sum));
    out.flops_capture = clean.flops;
    out.rows_capture = clean.rows;
    out.bytes_capture = clean.bytes;
    out.flops_waves = sum.flops;
    out.rows_waves = sum.rows;
    out.bytes_waves = sum.bytes + out.waves * iol_plan_wave_weights(e, e->reuse);
    out.flops_noise = noise.flops;
    IOL_TRY(iol_plan_branches(e, 0, sources, n, NULL, &sum));
    out.flops_reuse_none = clean.flops + sum.flops;
    static const unsigned axes[3] = {IOL_REUSE_DEPTH, IOL_REUSE_POSITION, IOL_REUSE_DONOR};
    for (size_t i = 0; i < 3; i++) {
        IOL_TRY(iol_plan_branches(e, IOL_REUSE_ALL & ~axes[i], sources, n, NULL, &sum));
        out.flops_without[i] = clean.flops + sum.flops;
    }
    out.peak_memory_bytes = plan.peak_bytes;
    out.capture_bytes = plan.capture_bytes;
    out.spill_bytes = plan.spill ? plan.capture_bytes : 0;
    out.model_bytes = e->model->info.packed_bytes;
    struct iol_machine machine = {.struct_size = sizeof machine};
    IOL_TRY(iol_machine_probe(e->ctx, 0.1, &machine));
    out.predicted_seconds = (double)(out.flops_capture + out.flops_waves + out.flops_noise) /
                            (machine.peak_flops * expected_share);
    *out_summary = out;
out:
    iol_free(sources);
    return status;
}
