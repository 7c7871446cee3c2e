#include "metric/metric_dist.h"

static double margin_of(size_t vocab, const float *logits, size_t target)
{
    return vocab > 1 ? (double)logits[target] - (double)iol_logits_max_but(vocab, logits, target)
                     : 0;
}

void iol_dist_clean(size_t vocab, const float *logits, const struct iol_logit_stats *stats,
                    struct iol_clean *clean)
{
    size_t top[10];
    float top_logits[10];
    clean->lse = stats->lse;
    clean->logp = (double)logits[clean->target] - stats->lse;
    clean->margin = margin_of(vocab, logits, (size_t)clean->target);
    clean->logit_mean = stats->sum / (double)vocab;
    clean->top_count = vocab < 10 ? vocab : 10;
    iol_logits_top(vocab, logits, clean->top_count, top, top_logits);
    for (size_t i = 0; i < clean->top_count; i++) {
        clean->top_ids[i] = (int32_t)top[i];
        clean->top_logits[i] = (double)top_logits[i];
    }
}

void iol_dist_run(const struct iolk_ops *ops, size_t vocab, const struct iol_clean *clean,
                  const float *clean_logits, const float *logits, struct iol_reading *reading)
{
    const size_t target = (size_t)clean->target;
    struct iol_logit_stats stats;
    iol_logits_reduce(ops, vocab, logits, &stats);
    reading->logp = (double)logits[target] - stats.lse;
    reading->margin = margin_of(vocab, logits, target);
    reading->argmax_changed = stats.argmax != target;
    reading->kl = iol_logits_kl(ops, vocab, clean_logits, clean->lse, logits, stats.lse);
}
