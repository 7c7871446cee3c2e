/* Phase B: the branches of a wave of prompts. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metric/metric_dist.h"
#include "schedule/run.h"

enum { NO_PAIR = -1 }; /* a noise-floor branch */

/* One branch beside its stream. */
struct branch {
    size_t slot; /* prompt's number in the wave */
    size_t site;
    int pair;
    size_t run;   /* number of the run in its pair */
    size_t donor; /* source index of the donor, SIZE_MAX: none */
    double cost;  /* FLOPs, for dividing seconds */
    struct iol_reading reading;
};

struct wave {
    struct iol_run *run;
    const size_t *prompts; /* p of the filtered set */
    size_t count;
    struct branch *branches; /* in the order of streams */
    struct iol_stream *streams;
    size_t stream_count;
    struct iol_block *blocks;
    size_t block_count;
    double *dots;
    float *x, *values; /* values: recomputed donors, (streams, d_model), or NULL */
    size_t *order;     /* (slots, branches of a prompt): stream of the prompt's i-th branch */
    size_t per_prompt; /* branches of a prompt of the wave, noise included (space for) */
    size_t *donors;    /* (slots, max_runs): p indices */
};

/* --- building --- */

static size_t source_of(const struct wave *v, size_t slot)
{
    return v->run->sources[v->prompts[slot]];
}

static const float *value_of(const struct wave *v, const struct branch *b)
{
    const struct iol_run *run = v->run;
    const struct iol_experiment *e = run->experiment;
    const struct iol_site *site = &e->sites[b->site];
    if (b->pair == NO_PAIR) {
        return iol_run_value(run, site, source_of(v, b->slot));
    }
    switch (e->kinds[e->pairs[b->pair].kind].kind->source) {
    case IOL_VALUE_ZERO:
        return run->zeros;
    case IOL_VALUE_MEAN:
        return run->means + b->site * e->model->arch.d_model;
    case IOL_VALUE_DONOR:
        return iol_run_value(run, site, b->donor);
    }
    return NULL;
}

static void branch_stream(const struct wave *v, struct branch *b, struct iol_stream *out)
{
    const struct iol_run *run = v->run;
    const struct iol_experiment *e = run->experiment;
    const struct iol_site *site = &e->sites[b->site];
    const size_t source = source_of(v, b->slot), step = iol_site_sublayer(site);
    const struct iol_prompt *prompt = &e->prompts[source];
    const struct iol_record *r = &run->capture.records[source];
    const float *record = run->capture.at[source];
    *out = (struct iol_stream){
        .tokens = prompt->tokens,
        .shape = {.length = prompt->count,
                  .first = run->reuse & IOL_REUSE_POSITION ? prompt->count - 1 : 0,
                  .start = run->reuse & IOL_REUSE_DEPTH ? step + 1 : 0,
                  .end = e->model->step_count},
        .clean_kv = run->reuse & IOL_REUSE_POSITION ? record : NULL,
        .kv_floats = r->kv_floats,
        .kv_length = prompt->count,
        .fork_resid = record + r->resid_at,
        .fork_resid_rows = r->logits_at > r->rows_at ? record + r->rows_at : NULL,
        .fork_z = iol_capture_z(&run->capture, source),
        .edit_step = step,
        .edit_head = site->type == IOL_SITE_HEAD ? (int)site->head : IOL_WHOLE,
        .edit_value = value_of(v, b),
        .reader = run->clean[source].reader,
    };
    size_t donor = b->donor == SIZE_MAX ? 0 : e->prompts[b->donor].count;
    b->cost = (double)iol_cost_branch(e, run->reuse, prompt->count, site, donor).flops;
}

/* All branches of one slot at the sites of sublayer `step`, in the order of the schema; returns how
 * many. */
static size_t slot_branches(struct wave *v, size_t slot, size_t first_pair, size_t end_pair,
                            struct branch *out)
{
    const struct iol_run *run = v->run;
    const struct iol_experiment *e = run->experiment;
    size_t n = 0;
    for (size_t i = first_pair; i < end_pair; i++) {
        const struct iol_kind_use *use = &e->kinds[e->pairs[i].kind];
        for (size_t r = 0; r < use->runs; r++) {
            size_t donor = use->donors ? run->sources[v->donors[slot * e->max_runs + r]] : SIZE_MAX;
            out[n++] = (struct branch){
                .slot = slot, .site = e->pairs[i].site, .pair = (int)i, .run = r, .donor = donor};
        }
        bool last_of_site = i + 1 == e->pair_count || e->pairs[i + 1].site != e->pairs[i].site;
        if (last_of_site && v->prompts[slot] < IOL_NOISE_PROMPTS) {
            out[n++] = (struct branch){
                .slot = slot, .site = e->pairs[i].site, .pair = NO_PAIR, .donor = SIZE_MAX};
        }
    }
    return n;
}

static enum iol_status build_streams(struct wave *v)
{
    const struct iol_run *run = v->run;
    const struct iol_experiment *e = run->experiment;
    for (size_t i = 0; i < e->pair_count; i++) {
        v->per_prompt += e->kinds[e->pairs[i].kind].runs;
    }
    v->per_prompt += e->site_count;
    size_t most = v->count * v->per_prompt, steps = e->model->step_count;
    v->branches = iol_alloc(most, sizeof *v->branches);
    v->streams = iol_alloc(most, sizeof *v->streams);
    v->blocks = iol_alloc(most, sizeof *v->blocks);
    v->dots = iol_alloc(most * steps, sizeof *v->dots);
    v->donors = iol_alloc(v->count * e->max_runs, sizeof *v->donors);
    v->order = iol_alloc(most, sizeof *v->order);
    size_t *filled = iol_alloc(v->count, sizeof *filled);
    if (!v->branches || !v->streams || !v->blocks || !v->dots || !v->donors || !v->order ||
        !filled) {
        iol_free(filled);
        return iol_fail(IOL_E_NOMEM, "out of memory: %zu branches", most);
    }
    for (size_t slot = 0; slot < v->count && e->max_runs; slot++) {
        iol_donors_draw(v->prompts[slot], run->count, e->max_runs, e->seed,
                        v->donors + slot * e->max_runs);
    }
    /* Branches that fork at the same step lie together; within a step those of a prompt do, so that
     * they share its keys. */
    for (size_t first = 0, end; first < e->pair_count; first = end) {
        size_t step = iol_site_sublayer(&e->sites[e->pairs[first].site]);
        for (end = first;
             end < e->pair_count && iol_site_sublayer(&e->sites[e->pairs[end].site]) == step;) {
            end++;
        }
        for (size_t slot = 0; slot < v->count; slot++) {
            size_t n = slot_branches(v, slot, first, end, v->branches + v->stream_count);
            for (size_t i = 0; i < n; i++, v->stream_count++) {
                branch_stream(v, &v->branches[v->stream_count], &v->streams[v->stream_count]);
                v->streams[v->stream_count].out_dots = v->dots + v->stream_count * steps;
                v->order[slot * v->per_prompt + filled[slot]++] = v->stream_count;
            }
        }
    }
    iol_free(filled);
    return IOL_OK;
}

/* Cut the streams into blocks of nearly equal height that start at the same step. */
static enum iol_status build_blocks(struct wave *v)
{
    const struct iol_run *run = v->run;
    const struct iol_geometry *g = &run->plan.geometry;
    const struct iol_model *m = run->experiment->model;
    size_t total = 0;
    for (size_t i = 0; i < v->stream_count;) {
        size_t end = i, rows = 0;
        while (end < v->stream_count && v->streams[end].shape.start == v->streams[i].shape.start) {
            rows += iol_stream_rows(&v->streams[end++]);
        }
        size_t pieces = (rows + g->block_rows - 1) / g->block_rows,
               target = (rows + pieces - 1) / pieces;
        for (size_t first = i; first < end;) {
            size_t n = 0, block_rows = 0;
            while (first + n < end &&
                   (n == 0 || block_rows + iol_stream_rows(&v->streams[first + n]) <= target)) {
                block_rows += iol_stream_rows(&v->streams[first + n++]);
            }
            iol_block_init(m, &v->blocks[v->block_count], &v->streams[first], n);
            total += v->blocks[v->block_count++].rows;
            first += n;
        }
        i = end;
    }
    v->x = iol_alloc(total * g->d, sizeof *v->x);
    v->values =
        run->reuse & IOL_REUSE_DONOR ? NULL : iol_alloc(v->stream_count * g->d, sizeof *v->values);
    if (!v->x || (!(run->reuse & IOL_REUSE_DONOR) && !v->values)) {
        return iol_fail(IOL_E_NOMEM, "out of memory: %zu rows of a wave", total);
    }
    size_t at = 0;
    for (size_t b = 0; b < v->block_count; b++) {
        v->blocks[b].x = v->x + at * g->d;
        at += v->blocks[b].rows;
    }
    return IOL_OK;
}

/* --- running --- */

/* Without donor reuse: recompute the donors of streams[first .. first + n) (one site) by their own
 * clean walks. */
static void nested_walk(struct iol_worker *w, struct wave *v, struct iol_block *block, size_t first,
                        size_t n)
{
    struct iol_run *run = v->run;
    const struct iol_experiment *e = run->experiment;
    const struct iol_arch *a = &e->model->arch;
    struct iol_nest *nest = &run->nests[w - run->workers];
    const size_t steps = e->model->step_count, z_floats = a->layers * a->heads * a->head_dim;
    const struct iol_stream *edited = &block->streams[first];
    const bool head = edited->edit_head != IOL_WHOLE;
    struct iol_stream streams[IOL_NESTED_DONORS];
    for (size_t i = 0; i < n; i++) {
        size_t donor = v->branches[edited + i - v->streams].donor;
        streams[i] = (struct iol_stream){
            .tokens = e->prompts[donor].tokens,
            .shape = {.length = e->prompts[donor].count,
                      .end = edited->edit_step + 1,
                      .until_z = head},
            .edit_step = SIZE_MAX,
            .edit_head = IOL_WHOLE,
            .out_y = nest->y + i * steps * a->d_model,
            .out_z = head ? nest->z + i * z_floats : NULL,
        };
    }
    struct iol_block inner;
    iol_block_init(e->model, &inner, streams, n);
    inner.x = nest->x;
    iol_block_fork(w, &inner);
    for (size_t s = 0; s < inner.end; s++) {
        iol_block_step(w, &inner, s);
    }
    block->flops += inner.flops;
    for (size_t i = 0; i < n; i++) {
        struct iol_stream *s = &block->streams[first + i];
        const struct iol_step *step = &e->model->steps[s->edit_step];
        float *value = v->values + (size_t)(s - v->streams) * a->d_model;
        if (head) {
            memcpy(value,
                   streams[i].out_z + (step->layer * a->heads + (size_t)s->edit_head) * a->head_dim,
                   a->head_dim * sizeof(float));
        } else {
            memcpy(value, streams[i].out_y + s->edit_step * a->d_model, a->d_model * sizeof(float));
        }
        s->edit_value = value;
    }
}

static void recompute_donors(struct iol_worker *w, struct iol_block *block, void *user)
{
    struct wave *v = user;
    const struct iol_experiment *e = v->run->experiment;
    if (!v->values) {
        return;
    }
    for (size_t i = 0; i < block->count;) {
        const struct branch *b = &v->branches[&block->streams[i] - v->streams];
        size_t n = 0, rows = 0;
        while (i + n < block->count && n < IOL_NESTED_DONORS && b[n].donor != SIZE_MAX &&
               block->streams[i + n].edit_step == block->streams[i].edit_step &&
               (block->streams[i + n].edit_head == IOL_WHOLE) ==
                   (block->streams[i].edit_head == IOL_WHOLE) &&
               (n == 0 || rows + e->prompts[b[n].donor].count <= v->run->plan.geometry.max_rows)) {
            rows += e->prompts[b[n++].donor].count;
        }
        if (n) {
            nested_walk(w, v, block, i, n);
        }
        i += n ? n : 1;
    }
}

static void finish_branches(struct iol_worker *w, struct iol_block *block, void *user)
{
    struct wave *v = user;
    const struct iol_model *m = w->model;
    const struct iolk_ops *ops = &w->ctx->ops;
    const size_t d = m->arch.d_model, vocab = m->arch.vocab;
    for (size_t i = 0; i < block->count; i++) {
        const struct iol_stream *s = &block->streams[i];
        struct iol_reading *reading = &v->branches[s - v->streams].reading;
        const float *x = block->x + s->row * d;
        assert(block->narrow);
        reading->dots = s->out_dots;
        reading->dot_z = ops->dot_f64(d, x, s->reader);
        reading->sigma = iol_sigma(ops, m, x);
    }
    for (size_t first = 0; v->run->experiment->dist && first < block->count;
         first += w->logit_rows) {
        size_t rows = block->count - first < w->logit_rows ? block->count - first : w->logit_rows;
        for (size_t r = 0; r < rows; r++) {
            iol_norm_row(ops, &m->final_norm, d, block->x + (first + r) * d, w->y + r * d);
        }
        iol_unembed_rows(ops, rows, w->y, d, &m->unembed, w->logits, vocab, &block->flops);
        for (size_t r = 0; r < rows; r++) {
            struct branch *b = &v->branches[&block->streams[first + r] - v->streams];
            const size_t source = source_of(v, b->slot);
            const float *clean_logits =
                v->run->capture.at[source] + v->run->capture.records[source].logits_at;
            iol_dist_run(ops, vocab, &v->run->clean[source], clean_logits, w->logits + r * vocab,
                         &b->reading);
        }
    }
}

/* --- effects --- */

struct effects {
    struct iol_effect_row *rows; /* (slots, pairs) */
    struct iol_run_row *runs;    /* (slots, runs of a prompt) */
    double *responses;           /* (slots, pairs, steps) */
    struct iol_noise_row *noise; /* (noise_count) */
    size_t noise_count;
    size_t runs_per_prompt;
};

/* D16 of a site's value with the prompt's reader: through the output projection for a head. */
static double value_dot(const struct iol_run *run, const struct iol_site *site,
                        const double *reader, const double *head_reader, const float *value)
{
    const struct iolk_ops *ops = &run->experiment->ctx->ops;
    const struct iol_arch *a = &run->experiment->model->arch;
    return site->type == IOL_SITE_HEAD ? ops->dot_f64(a->head_dim, value, head_reader)
                                       : ops->dot_f64(a->d_model, value, reader);
}

static double value_norm(const struct wave *v, const struct branch *b, size_t source)
{
    const struct iol_run *run = v->run;
    const struct iol_experiment *e = run->experiment;
    const struct iol_arch *a = &e->model->arch;
    const struct iol_site *site = &e->sites[b->site];
    if (b->pair != NO_PAIR && source == SIZE_MAX) {
        return e->kinds[e->pairs[b->pair].kind].kind->source == IOL_VALUE_MEAN
                   ? run->mean_norms[b->site]
                   : 0;
    }
    if (site->type == IOL_SITE_HEAD) {
        return run->head_norms[(source * a->layers + site->layer) * a->heads + site->head];
    }
    return iol_norm2(&e->ctx->ops, a->d_model, iol_run_value(run, site, source));
}

struct scratch {
    double *head_reader, *responses; /* (head_dim), (most runs of a pair, steps) */
    float *row;                      /* (d_model) */
    struct iol_run_row noise;
};

/* All effects of one prompt of the wave. */
static void slot_effects(const struct wave *v, size_t slot, struct effects *out,
                         struct scratch *scratch)
{
    const struct iol_run *run = v->run;
    const struct iol_experiment *e = run->experiment;
    const struct iolk_ops *ops = &e->ctx->ops;
    const size_t source = source_of(v, slot), steps = e->model->step_count, p = v->prompts[slot];
    const struct iol_clean *clean = &run->clean[source];
    const size_t *order = v->order + slot * v->per_prompt;
    struct iol_run_row *runs = out->runs + slot * out->runs_per_prompt;
    size_t at = 0, last_site = SIZE_MAX;
    double dot_site = 0, norm_site = 0;
    for (size_t i = 0; i < e->pair_count; i++) {
        const struct iol_site *site = &e->sites[e->pairs[i].site];
        const struct iol_kind_use *use = &e->kinds[e->pairs[i].kind];
        const size_t step = iol_site_sublayer(site), count = steps - step - 1;
        if (e->pairs[i].site != last_site) {
            last_site = e->pairs[i].site;
            if (site->type == IOL_SITE_HEAD) {
                iol_head_reader_fill(ops, &e->model->steps[step], site->head,
                                     e->model->arch.head_dim, clean->reader, scratch->row,
                                     scratch->head_reader);
            }
            struct branch self = {.site = last_site, .pair = NO_PAIR, .slot = slot};
            dot_site = value_dot(run, site, clean->reader, scratch->head_reader,
                                 iol_run_value(run, site, source));
            norm_site = value_norm(v, &self, source);
        }
        for (size_t r = 0; r < use->runs; r++) {
            struct branch *b = &v->branches[order[at++]];
            assert(b->pair == (int)i && b->run == r);
            b->reading.dot_value = value_dot(run, site, clean->reader, scratch->head_reader,
                                             v->streams[order[at - 1]].edit_value);
            b->reading.norm_value = value_norm(v, b, b->donor);
            iol_run_fill(clean, &b->reading, step, steps, dot_site, norm_site, &runs[r],
                         scratch->responses + r * count);
        }
        struct iol_effect_row *row = &out->rows[slot * e->pair_count + i];
        *row =
            (struct iol_effect_row){.prompt = p,
                                    .pair = i,
                                    .position = e->prompts[source].count - 1,
                                    .runs = use->runs,
                                    .run_rows = runs,
                                    .response_count = count,
                                    .donors = use->donors ? v->donors + slot * e->max_runs : NULL};
        iol_effect_fill(dot_site / clean->sigma, scratch->responses, e->dist, row,
                        out->responses + (slot * e->pair_count + i) * steps);
        runs += use->runs;
        bool last_of_site = i + 1 == e->pair_count || e->pairs[i + 1].site != last_site;
        if (last_of_site && p < IOL_NOISE_PROMPTS) {
            struct branch *b = &v->branches[order[at++]];
            assert(b->pair == NO_PAIR && b->site == last_site);
            b->reading.dot_value = dot_site;
            b->reading.norm_value = norm_site;
            iol_run_fill(clean, &b->reading, step, steps, dot_site, norm_site, &scratch->noise,
                         scratch->responses);
            struct iol_noise_row *row_noise = &out->noise[slot * e->site_count + last_site];
            *row_noise = (struct iol_noise_row){
                .prompt = p,
                .site = last_site,
                .floor = iol_noise_fill(&scratch->noise, scratch->responses, count)};
        }
    }
}

static void effects_close(struct effects *x)
{
    iol_free(x->rows);
    iol_free(x->runs);
    iol_free(x->responses);
    iol_free(x->noise);
}

struct effects_job {
    const struct wave *wave;
    struct effects *effects;
    struct scratch *scratch; /* of each worker */
};

static void effects_of_slot(void *user, size_t slot, size_t worker)
{
    const struct effects_job *job = user;
    slot_effects(job->wave, slot, job->effects, &job->scratch[worker]);
}

static enum iol_status build_effects(const struct wave *v, struct effects *out)
{
    const struct iol_experiment *e = v->run->experiment;
    const size_t steps = e->model->step_count, threads = v->run->threads;
    struct effects x = {0};
    size_t most = 1;
    for (size_t i = 0; i < e->pair_count; i++) {
        size_t runs = e->kinds[e->pairs[i].kind].runs;
        x.runs_per_prompt += runs;
        most = runs > most ? runs : most;
    }
    x.rows = iol_alloc(v->count * e->pair_count, sizeof *x.rows);
    x.runs = iol_alloc(v->count * x.runs_per_prompt, sizeof *x.runs);
    x.responses = iol_alloc(v->count * e->pair_count * steps, sizeof *x.responses);
    x.noise = iol_alloc(v->count * e->site_count, sizeof *x.noise);
    size_t head_dim = e->model->arch.head_dim, d = e->model->arch.d_model;
    struct iol_arena arena = {0};
    size_t each = iol_arena_need(head_dim, sizeof(double)) +
                  iol_arena_need(most * steps, sizeof(double)) + iol_arena_need(d, sizeof(float));
    enum iol_status status = iol_arena_open(threads * each, &arena);
    struct scratch *scratch = iol_alloc(threads, sizeof *scratch);
    if (status != IOL_OK || !scratch || !x.rows || !x.runs || !x.responses || !x.noise) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: effects of %zu prompts", v->count);
        goto out;
    }
    for (size_t t = 0; t < threads; t++) {
        scratch[t].head_reader = iol_arena_take(&arena, head_dim, sizeof(double));
        scratch[t].responses = iol_arena_take(&arena, most * steps, sizeof(double));
        scratch[t].row = iol_arena_take(&arena, d, sizeof(float));
    }
    struct effects_job job = {.wave = v, .effects = &x, .scratch = scratch};
    iol_team_run(v->run->team, v->count, effects_of_slot, &job);
    for (size_t slot = 0; slot < v->count;
         slot++) { /* close the gaps of prompts without noise branches */
        if (v->prompts[slot] < IOL_NOISE_PROMPTS) {
            memmove(x.noise + x.noise_count, x.noise + slot * e->site_count,
                    e->site_count * sizeof *x.noise);
            x.noise_count += e->site_count;
        }
    }
    *out = x;
    x = (struct effects){0};
out:
    effects_close(&x);
    iol_free(scratch);
    iol_arena_close(&arena);
    return status;
}

/* --- the ledger --- */

/* The wave's FLOPs as the kernels counted them; its seconds over the branches by their FLOPs. */
static void charge(struct wave *v, double seconds)
{
    struct iol_run *run = v->run;
    const struct iol_experiment *e = run->experiment;
    struct iol_bill *bill = &run->bill;
    double busy = 0;
    struct iol_cost all = {0}, noise = {0};
    for (size_t b = 0; b < v->block_count; b++) {
        all.flops += v->blocks[b].flops;
        busy += v->blocks[b].seconds;
    }
    for (size_t b = 0; b < v->block_count; b++) {
        const struct iol_block *block = &v->blocks[b];
        double flops = 0;
        for (size_t i = 0; i < block->count; i++) {
            flops += v->branches[&block->streams[i] - v->streams].cost;
        }
        for (size_t i = 0; i < block->count; i++) {
            const struct branch *branch = &v->branches[&block->streams[i] - v->streams];
            size_t donor = branch->donor == SIZE_MAX ? 0 : e->prompts[branch->donor].count;
            struct iol_cost cost =
                iol_cost_branch(e, run->reuse, e->prompts[source_of(v, branch->slot)].count,
                                &e->sites[branch->site], donor);
            double share = flops > 0 ? branch->cost / flops : 1 / (double)block->count;
            cost.seconds = busy > 0 ? block->seconds / busy * seconds * share : 0;
            iol_cost_add(branch->pair == NO_PAIR ? &noise : &bill->pairs[branch->pair], cost, 1);
            all.bytes += cost.bytes;
            all.rows += cost.rows;
        }
    }
    all.bytes += iol_plan_wave_weights(e, run->reuse);
    all.seconds = seconds;
    iol_cost_add(&bill->noise, noise, 1);
    bill->waves.flops += all.flops - noise.flops;
    bill->waves.bytes += all.bytes - noise.bytes;
    bill->waves.rows += all.rows - noise.rows;
    bill->waves.seconds += all.seconds - noise.seconds;
    bill->waves_done++;
}

static void wave_close(struct wave *v)
{
    iol_free(v->branches);
    iol_free(v->streams);
    iol_free(v->blocks);
    iol_free(v->dots);
    iol_free(v->x);
    iol_free(v->values);
    iol_free(v->order);
    iol_free(v->donors);
}

enum iol_status iol_run_wave(struct iol_run *run, const size_t *prompts, size_t count,
                             struct iol_store *store)
{
    enum iol_status status = IOL_OK;
    struct wave v = {.run = run, .prompts = prompts, .count = count};
    struct effects effects = {0};
    double begin = iol_seconds(), spilled = run->capture.spill_seconds;
    size_t *sources = iol_alloc(count, sizeof *sources);
    if (!sources) {
        return iol_fail(IOL_E_NOMEM, "out of memory: a wave");
    }
    for (size_t i = 0; i < count; i++) {
        sources[i] = run->sources[prompts[i]];
    }
    IOL_TRY(iol_capture_bring(&run->capture, sources, count, true));
    IOL_TRY(build_streams(&v));
    IOL_TRY(build_blocks(&v));
    IOL_TRY(iol_walk(run->team, run->workers, v.blocks, v.block_count, recompute_donors,
                     finish_branches, &v));
    IOL_TRY(build_effects(&v, &effects));
    charge(&v, iol_seconds() - begin - (run->capture.spill_seconds - spilled));
    if (store) {
        double stored = iol_seconds();
        iol_run_tick(run);
        IOL_TRY(iol_store_put_wave(store, effects.rows, count * run->experiment->pair_count,
                                   effects.noise, effects.noise_count, &run->bill));
        run->bill.store.seconds += iol_seconds() - stored;
    }
out:
    effects_close(&effects);
    wave_close(&v);
    iol_free(sources);
    return status;
}
