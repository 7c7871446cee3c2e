/* The Hydra metrics: clean read-outs, what a run changes, and averages over runs. Sources: McGrath
 * et al. 2023 (arXiv 2307.15771), sections 3 and 4; formulas in docs/metrics.md. */
#ifndef IOL_HYDRA_H
#define IOL_HYDRA_H

#include "store/results.h"

/* Clean read-outs of one prompt that its branches are compared with. u(x; s) = D16(x, reader) / s.
 */
struct iol_clean {
    int32_t target;
    double *reader; /* (d_model): gain * (w_target - w_mean), centred for LayerNorm */
    double *dots;   /* (steps): D16(y of the step at the final position, reader) */
    double dot_z, sigma;
    double logit, spread, embed, bias;
    /* dist */
    double lse, logp, margin, logit_mean;
    int32_t top_ids[10];
    double top_logits[10];
    size_t top_count;
};

/* What one run reads at its end. */
struct iol_reading {
    const double *dots; /* (steps): valid after the edited step */
    double dot_z, sigma;
    double kl, logp, margin; /* dist */
    int argmax_changed;
    double dot_value;  /* D16(replacing value, reader), through the head's projection for a head */
    double norm_value; /* L2 of the replacing contribution */
};

/* sigma of the final norm for a residual row: sqrt(mean square + eps), centred for LayerNorm, in
 * f64. */
double iol_sigma(const struct iolk_ops *ops, const struct iol_model *model, const float *x);
/* L2 norm of a row in f64. */
double iol_norm2(const struct iolk_ops *ops, size_t n, const float *x);
/* The reader of `target` and the bias part of its centred logit. row: workspace (d_model). */
void iol_reader_fill(const struct iolk_ops *ops, const struct iol_model *model, int32_t target,
                     float *row, double *out_reader, double *out_bias);
/* out (head_dim): element e = D16(row e of the head's slice of W_O, reader), so that u of a head's
 * contribution is a dot of its z. row: workspace (d_model). */
void iol_head_reader_fill(const struct iolk_ops *ops, const struct iol_step *step, size_t head,
                          size_t head_dim, const double *reader, float *row, double *out);

/* One run's numbers beside the clean ones. dot_site, norm_site: of the clean activation; step:
 * k(site). out_response (steps - step - 1). */
void iol_run_fill(const struct iol_clean *clean, const struct iol_reading *reading, size_t step,
                  size_t steps, double dot_site, double norm_site, struct iol_run_row *out_row,
                  double *out_response);
/* Averages over the runs in donor order. responses (runs, response_count). effect: runs, run_rows,
 * response (written) set. */
void iol_effect_fill(double delta_unembed, const double *responses, bool dist,
                     struct iol_effect_row *effect, double *out_response);
/* The largest deviation of an identity run. */
double iol_noise_fill(const struct iol_run_row *row, const double *response, size_t response_count);

#endif
