#include "metric/metric_hydra.h"

#include <math.h>

double iol_sigma(const struct iolk_ops *ops, const struct iol_model *model, const float *x)
{
    size_t d = model->arch.d_model;
    double mean = model->final_norm.kind == IOL_NORM_LAYER ? ops->sum_f64(d, x) / (double)d : 0;
    return sqrt(ops->ssq_f64(d, x, mean) / (double)d + model->arch.eps);
}

double iol_norm2(const struct iolk_ops *ops, size_t n, const float *x)
{
    return sqrt(ops->ssq_f64(n, x, 0));
}

void iol_reader_fill(const struct iolk_ops *ops, const struct iol_model *model, int32_t target,
                     float *row, double *out_reader, double *out_bias)
{
    const struct iol_norm *norm = &model->final_norm;
    size_t d = model->arch.d_model;
    iol_packed_row(&model->unembed, (size_t)target, row);
    for (size_t i = 0; i < d; i++) {
        out_reader[i] = (double)row[i] - model->w_mean[i];
    }
    *out_bias = norm->bias ? ops->dot_f64(d, norm->bias, out_reader) : 0;
    for (size_t i = 0; i < d; i++) {
        out_reader[i] *= (double)norm->gain[i];
    }
    if (norm->kind ==
        IOL_NORM_LAYER) { /* the norm centres x; centring the reader instead is the same sum */
        double sum = 0;
        for (size_t i = 0; i < d; i++) {
            sum += out_reader[i];
        }
        for (size_t i = 0; i < d; i++) {
            out_reader[i] -= sum / (double)d;
        }
    }
}

void iol_head_reader_fill(const struct iolk_ops *ops, const struct iol_step *step, size_t head,
                          size_t head_dim, const double *reader, float *row, double *out)
{
    const struct iol_packed *o = &step->o;
    for (size_t e = 0; e < head_dim; e++) {
        size_t k = head * head_dim + e;
        iol_packed_column(o, k, row);
        out[e] = ops->dot_f64(o->n, row, reader);
    }
}

void iol_run_fill(const struct iol_clean *clean, const struct iol_reading *reading, size_t step,
                  size_t steps, double dot_site, double norm_site, struct iol_run_row *out_row,
                  double *out_response)
{
    const double sigma = clean->sigma;
    struct iol_run_row row = {
        .te = reading->dot_z / reading->sigma - clean->dot_z / sigma,
        .te_clean = reading->dot_z / sigma - clean->dot_z / sigma,
        .de = reading->dot_value / sigma - dot_site / sigma,
        .sigma_ratio = reading->sigma / sigma,
        .norm_ratio = norm_site > 0 ? reading->norm_value / norm_site : (double)NAN,
        .kl = reading->kl,
        .logp = reading->logp,
        .margin = reading->margin,
        .argmax_changed = reading->argmax_changed,
    };
    for (size_t k = step + 1; k < steps; k++) {
        double response = reading->dots[k] / sigma - clean->dots[k] / sigma;
        out_response[k - step - 1] = response;
        *(k % 2 ? &row.ce_mlp : &row.ce_attn) += response;
    }
    *out_row = row;
}

void iol_effect_fill(double delta_unembed, const double *responses, bool dist,
                     struct iol_effect_row *effect, double *out_response)
{
    const size_t runs = effect->runs, count = effect->response_count;
    const double n = (double)runs;
    double de_even = 0, ce_odd = 0, closest = (double)INFINITY;
    size_t evens = 0, odds = 0;
    effect->delta_unembed = delta_unembed;
    for (size_t j = 0; j < count; j++) {
        out_response[j] = 0;
    }
    for (size_t r = 0; r < runs; r++) {
        const struct iol_run_row *run = &effect->run_rows[r];
        effect->delta_ablate += run->te;
        effect->te_clean += run->te_clean;
        effect->de += run->de;
        effect->ce_attn += run->ce_attn;
        effect->ce_mlp += run->ce_mlp;
        effect->norm_term += run->te - run->te_clean;
        effect->sigma_ratio += run->sigma_ratio;
        effect->norm_ratio += run->norm_ratio;
        effect->kl += run->kl;
        effect->logp += run->logp;
        effect->margin += run->margin;
        effect->argmax_changed += run->argmax_changed != 0;
        if (fabs(run->margin) < fabs(closest)) {
            closest = run->margin;
        }
        *(r % 2 ? &ce_odd : &de_even) += r % 2 ? run->ce_attn + run->ce_mlp : run->de;
        *(r % 2 ? &odds : &evens) += 1;
        for (size_t j = 0; j < count; j++) {
            out_response[j] += responses[r * count + j];
        }
    }
    effect->delta_ablate /= n;
    effect->te_clean /= n;
    effect->de /= n;
    effect->ce_attn /= n;
    effect->ce_mlp /= n;
    effect->norm_term /= n;
    effect->sigma_ratio /= n;
    effect->norm_ratio /= n;
    effect->kl /= n;
    effect->logp /= n;
    effect->margin /= n;
    effect->margin_closest = dist ? closest : 0;
    effect->de_even = runs < 2 ? (double)NAN : de_even / (double)evens;
    effect->ce_odd = runs < 2 ? (double)NAN : ce_odd / (double)odds;
    for (size_t j = 0; j < count; j++) {
        out_response[j] /= n;
    }
    effect->response = out_response;
}

double iol_noise_fill(const struct iol_run_row *row, const double *response, size_t response_count)
{
    double floor = fmax(fabs(row->te), fmax(fabs(row->te_clean), fabs(row->de)));
    for (size_t j = 0; j < response_count; j++) {
        floor = fmax(floor, fabs(response[j]));
    }
    return floor;
}
