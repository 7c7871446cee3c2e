/* Prefill: one prompt through a whole model, logits of its last position. What our engine does for
 * a prompt it captures, without read-outs. */
#ifndef IOL_BENCH_PREFILL_H
#define IOL_BENCH_PREFILL_H

#include <stddef.h>
#include <stdint.h>

#include "iolaus/status.h"

struct prefill;

/* Open the model in `folder` (Hugging Face files) for one prompt of `count` token ids (copied) on
 * `threads` threads. Errors as iol_model_open, and IOL_E_LIMIT, IOL_E_NOMEM. */
enum iol_status prefill_open(const char *folder, const int32_t *tokens, size_t count,
                             size_t threads, struct prefill **out);
void prefill_close(struct prefill *prefill); /* NULL-safe */

/* One pass (a bench_call_fn). Ends the program when memory runs out. */
void prefill_run(void *prefill);

size_t prefill_vocabulary(const struct prefill *prefill);
/* (vocabulary) logits that the last run left. */
const float *prefill_logits(const struct prefill *prefill);
/* FLOPs of one pass: what the plan counts for a clean prompt. */
double prefill_flops(const struct prefill *prefill);

#endif
