/* What steps and streams cost. The plan and the ledger call these same functions; the kernels' own
 * counters must agree with them. */
#ifndef IOL_COST_H
#define IOL_COST_H

#include "model/model.h"
#include "store/results.h"

/* A stream: positions first .. length-1 of one prompt (or branch) walking the layer steps start ..
 * end-1. */
struct iol_stream_shape {
    size_t length, first;
    size_t start, end;
    bool until_z; /* ends inside the attention step end-1, before its output projection (a donor of
                     a head) */
};

/* The last attention step that the stream walks; from there on only its final row is computed,
 * because nothing reads the others. SIZE_MAX: none. */
size_t iol_stream_last_attention(const struct iol_model *model,
                                 const struct iol_stream_shape *shape);

/* FLOPs (2MNK of weight products, attention products over allowed keys), row-steps and activation
 * bytes of one stream. */
struct iol_cost iol_cost_stream(const struct iol_model *model,
                                const struct iol_stream_shape *shape);
/* One row's output projection of step `step` (a head edit computes the whole row again). */
struct iol_cost iol_cost_projection(const struct iol_model *model, size_t step);
/* A head's contribution, z times its slice of the output projection. */
struct iol_cost iol_cost_contribution(const struct iol_model *model);
/* One row of logits. */
struct iol_cost iol_cost_unembed(const struct iol_model *model);
/* Bytes of the packed weights of step `step`; of the unembedding. */
uint64_t iol_cost_step_weights(const struct iol_model *model, size_t step);
uint64_t iol_cost_unembed_weights(const struct iol_model *model);

static inline void iol_cost_add(struct iol_cost *sum, struct iol_cost part, uint64_t times)
{
    sum->flops += part.flops * times;
    sum->bytes += part.bytes * times;
    sum->rows += part.rows * times;
    sum->seconds += part.seconds * (double)times;
}

/* One branch: prompt of `length` tokens, edit at `site`, under `reuse` (IOL_REUSE_* bits).
 * `donor_length`: tokens of the donor's prompt, 0 for kinds without donors. Read-out included. */
struct iol_cost iol_cost_branch(const struct iol_experiment *experiment, unsigned reuse,
                                size_t length, const struct iol_site *site, size_t donor_length);
/* One clean prompt: walk, one vocabulary row, contributions of the experiment's heads. */
struct iol_cost iol_cost_clean(const struct iol_experiment *experiment, size_t length);

#endif
