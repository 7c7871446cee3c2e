#include "schedule/cost.h"

size_t iol_stream_last_attention(const struct iol_model *model,
                                 const struct iol_stream_shape *shape)
{
    for (size_t step = shape->end; step > shape->start; step--) {
        if (model->steps[step - 1].kind == IOL_STEP_ATTENTION) {
            return step - 1;
        }
    }
    return SIZE_MAX;
}

static uint64_t product(size_t m, const struct iol_packed *w)
{
    return w->panels || w->n ? 2 * (uint64_t)m * w->n * w->k : 0;
}

struct iol_cost iol_cost_projection(const struct iol_model *model, size_t step)
{
    const struct iol_packed *o = &model->steps[step].o;
    return (struct iol_cost){
        .flops = product(1, o), .bytes = sizeof(float) * (o->k + 3 * o->n), .rows = 1};
}

struct iol_cost iol_cost_contribution(const struct iol_model *model)
{
    const struct iol_arch *a = &model->arch;
    return (struct iol_cost){.flops = 2 * (uint64_t)a->head_dim * a->d_model,
                             .bytes = sizeof(float) * (a->head_dim + a->d_model)};
}

struct iol_cost iol_cost_unembed(const struct iol_model *model)
{
    const struct iol_arch *a = &model->arch;
    return (struct iol_cost){.flops = 2 * (uint64_t)a->vocab * a->d_model,
                             .bytes = sizeof(float) * (2 * a->d_model + a->vocab)};
}

static struct iol_cost attention_cost(const struct iol_model *model, const struct iol_step *step,
                                      const struct iol_stream_shape *shape, bool narrow,
                                      bool project)
{
    const struct iol_arch *a = &model->arch;
    const uint64_t rows = shape->length - shape->first, out = narrow ? 1 : rows;
    const uint64_t q = a->heads * a->head_dim, kv = 2 * a->kv_heads * a->head_dim, d = a->d_model;
    /* allowed keys, summed over the query rows at positions t: t + 1 */
    const uint64_t keys =
        narrow ? shape->length : rows * (shape->first + 1) + rows * (rows - 1) / 2;
    struct iol_cost cost = {.rows = rows};
    cost.flops = product(rows, &step->kv) + product(out, &step->q) + 4 * q * keys +
                 (project ? product(out, &step->o) : 0);
    /* x and its norm, q, k, v, z and y written and read once, the keys and values read */
    cost.bytes = sizeof(float) *
                 (rows * (2 * d + 2 * kv) + out * (4 * q + (project ? 4 * d : 0)) + kv * keys);
    return cost;
}

static struct iol_cost mlp_cost(const struct iol_model *model, const struct iol_step *step,
                                const struct iol_stream_shape *shape, bool narrow)
{
    const struct iol_arch *a = &model->arch;
    const uint64_t rows = narrow ? 1 : shape->length - shape->first;
    struct iol_cost cost = {.rows = rows};
    cost.flops = product(rows, &step->up) + product(rows, &step->down) +
                 (a->gated ? product(rows, &step->gate) : 0);
    cost.bytes = sizeof(float) * rows * (6 * a->d_model + (a->gated ? 4 : 2) * a->d_ff);
    return cost;
}

struct iol_cost iol_cost_stream(const struct iol_model *model, const struct iol_stream_shape *shape)
{
    struct iol_cost sum = {0};
    size_t last = iol_stream_last_attention(model, shape);
    for (size_t s = shape->start; s < shape->end; s++) {
        const struct iol_step *step = &model->steps[s];
        bool narrow = last == SIZE_MAX || s >= last;
        bool project = !(shape->until_z && s + 1 == shape->end);
        iol_cost_add(&sum,
                     step->kind == IOL_STEP_ATTENTION
                         ? attention_cost(model, step, shape, narrow, project)
                         : mlp_cost(model, step, shape, narrow),
                     1);
    }
    return sum;
}

uint64_t iol_cost_step_weights(const struct iol_model *model, size_t step)
{
    const struct iol_step *s = &model->steps[step];
    const struct iol_packed *parts[] = {&s->q, &s->kv, &s->o, &s->gate, &s->up, &s->down};
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        bytes += parts[i]->panels ? iol_panel_bytes(parts[i]->dtype, parts[i]->n, parts[i]->k) : 0;
    }
    return bytes;
}

uint64_t iol_cost_unembed_weights(const struct iol_model *model)
{
    return iol_panel_bytes(model->unembed.dtype, model->unembed.n, model->unembed.k);
}

struct iol_cost iol_cost_branch(const struct iol_experiment *experiment, unsigned reuse,
                                size_t length, const struct iol_site *site, size_t donor_length)
{
    const struct iol_model *model = experiment->model;
    const size_t k = iol_site_sublayer(site);
    const bool head = site->type == IOL_SITE_HEAD;
    struct iol_stream_shape shape = {.length = length,
                                     .first = reuse & IOL_REUSE_POSITION ? length - 1 : 0,
                                     .start = reuse & IOL_REUSE_DEPTH ? k + 1 : 0,
                                     .end = model->step_count};
    struct iol_cost cost = iol_cost_stream(model, &shape);
    if (head && (reuse & IOL_REUSE_DEPTH)) {
        iol_cost_add(&cost, iol_cost_projection(model, k), 1);
    }
    if (donor_length && !(reuse & IOL_REUSE_DONOR)) {
        struct iol_stream_shape donor = {.length = donor_length, .end = k + 1, .until_z = head};
        iol_cost_add(&cost, iol_cost_stream(model, &donor), 1);
    }
    if (experiment->dist) {
        iol_cost_add(&cost, iol_cost_unembed(model), 1);
    }
    return cost;
}

struct iol_cost iol_cost_clean(const struct iol_experiment *experiment, size_t length)
{
    const struct iol_model *model = experiment->model;
    struct iol_stream_shape shape = {.length = length, .end = model->step_count};
    struct iol_cost cost = iol_cost_stream(model, &shape);
    iol_cost_add(&cost, iol_cost_unembed(model), 1);
    for (size_t i = 0; i < experiment->site_count; i++) {
        if (experiment->sites[i].type == IOL_SITE_HEAD) {
            iol_cost_add(&cost, iol_cost_contribution(model), 1);
        }
    }
    return cost;
}
