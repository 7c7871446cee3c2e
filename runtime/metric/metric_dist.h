/* The metrics of the whole distribution over the vocabulary: log-probability, margin, arg-max, KL,
 * the ten largest logits. Natural logarithms; formulas in docs/metrics.md. */
#ifndef IOL_METRIC_DIST_H
#define IOL_METRIC_DIST_H

#include "driver/unembed.h"
#include "metric/metric_hydra.h"

/* The clean row of logits (vocab): lse, logp, margin, logit_mean and top of *clean, whose target is
 * set. */
void iol_dist_clean(size_t vocab, const float *logits, const struct iol_logit_stats *stats,
                    struct iol_clean *clean);
/* A run's logits beside the clean ones: logp, margin, argmax_changed and kl of *reading. */
void iol_dist_run(const struct iolk_ops *ops, size_t vocab, const struct iol_clean *clean,
                  const float *clean_logits, const float *logits, struct iol_reading *reading);

#endif
