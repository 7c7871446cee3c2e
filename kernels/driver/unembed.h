/* Unembedding and reductions over the vocabulary: chunks of 1,024 columns from 0, added ascending
 * (docs/numerics.md). Two ways with the same bits: logits stored as rows, then reduced; or fused, a
 * strip of columns at a time, with the logits never stored as a whole. */
#ifndef IOL_UNEMBED_H
#define IOL_UNEMBED_H

#include <stddef.h>
#include <stdint.h>

#include "driver/gemm.h"
#include "ops.h"

/* What a distribution over the vocabulary says. */
struct iol_logit_stats {
    size_t argmax; /* lowest index of the maximum */
    double lse;    /* log sum exp, natural */
    double sum;    /* of the logits */
};

/* logits (m, n) ld = x (m, k) * W^T, one FMA chain per output. Panels are split at multiples of 48
 * columns. Thread-safe. */
void iol_unembed_rows(const struct iolk_ops *ops, size_t m, const float *x, size_t ld_x,
                      const struct iol_packed *w, float *logits, size_t ld, uint64_t *flops);
/* What the fused way keeps of one row of logits. Arrays are the caller's. */
struct iol_unembed_row {
    size_t chosen_count; /* logits of these ids, in any order, into out_chosen */
    const size_t *chosen;
    float *out_chosen;
    size_t top_count; /* the largest, at most w->n: as iol_logits_top, with their logits */
    size_t *out_top;
    float *out_top_logits;
    struct iol_logit_stats stats; /* written */
};
/* Floats of the workspace of iol_unembed_reduce for m rows and n columns. */
size_t iol_unembed_workspace(size_t m, size_t n);
/* The same logits and the same bits as iol_unembed_rows, iol_logits_reduce and iol_logits_top, in
 * one pass over the weights: strips of 3,072 columns (64 panels, 3 chunks) of at most 64 rows live
 * in the workspace (iol_unembed_workspace floats), are reduced there and overwritten. Thread-safe.
 */
void iol_unembed_reduce(const struct iolk_ops *ops, size_t m, const float *x, size_t ld_x,
                        const struct iol_packed *w, struct iol_unembed_row *rows, float *workspace,
                        uint64_t *flops);
/* Maximum, log-sum-exp and sum of one row of n >= 1 logits. */
void iol_logits_reduce(const struct iolk_ops *ops, size_t n, const float *logits,
                       struct iol_logit_stats *out_stats);
/* Largest logit at an index other than `skip`; -INFINITY if n is 1. */
float iol_logits_max_but(size_t n, const float *logits, size_t skip);
/* Population standard deviation of the logits. */
double iol_logits_spread(const struct iolk_ops *ops, size_t n, const float *logits, double sum);
/* KL(p || q) of two rows of logits with their log-sum-exps. */
double iol_logits_kl(const struct iolk_ops *ops, size_t n, const float *p, double lse_p,
                     const float *q, double lse_q);
/* The `count` largest logits, descending, lower index first on ties: their indices and values. */
void iol_logits_top(size_t n, const float *logits, size_t count, size_t *out_index,
                    float *out_logits);

#endif
