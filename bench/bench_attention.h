/* What the attention cases and goals share. */
#ifndef IOL_BENCH_ATTENTION_H
#define IOL_BENCH_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "driver/attention.h"
#include "measure.h"

enum { ATTENTION_HEADS = 12 };

struct attention_shape {
    size_t keys, head_dim;
    size_t branches; /* rows at one position; 0: causal prefill of `keys` rows */
};

struct attention_call {
    struct attention_shape shape;
    struct iol_heads heads;
    struct iol_keys keys;
    size_t rows;
    float *q, *q_clean; /* (rows, heads * head_dim) */
    float *kt, *v, *own, *workspace;
    uint64_t flops; /* counted by the driver in the last call */
};
void attention_open(const struct attention_shape *shape, struct attention_call *out);
void attention_close(struct attention_call *call);
/* One call of the driver; user: struct attention_call. */
void attention_run(void *user);
/* 4 H d per allowed (row, key). */
double attention_flops(const struct attention_shape *shape);

#endif
