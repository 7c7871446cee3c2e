/* What the attention cases and goals share. */
#ifndef IOL_BENCH_ATTENTION_H
#define IOL_BENCH_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "driver/attention.h"
#include "driver/team.h"
#include "measure.h"

struct attention_shape {
    size_t keys, head_dim;
    size_t branches; /* rows at one position; 0: causal prefill of `keys` rows */
    size_t group;    /* heads per head of keys: 1, 3, 4 or 8 */
};
/* 12, and 16 where 12 is no multiple of the group. */
size_t attention_heads(const struct attention_shape *shape);

/* The inputs are those of peers/python_peers.py (kinds sdpa and branches). */
struct attention_call {
    struct attention_shape shape;
    struct iol_heads heads;
    struct iol_keys keys, none;
    struct iol_attention attention;
    struct iol_team *team; /* NULL: this thread alone */
    float *q, *z;          /* (rows, heads * head_dim) */
    float *kt, *v, *own;   /* own: key, then value of every branch */
    float *workspace;      /* of each thread, workspace_floats apart */
    size_t workspace_floats;
};
/* threads: the most that attention_run will be asked for. */
void attention_open(const struct attention_shape *shape, size_t threads,
                    struct attention_call *out);
void attention_close(struct attention_call *call);
/* One call of the driver; user: struct attention_call. */
void attention_run(void *user);
/* 4 H d per allowed (row, key). */
double attention_flops(const struct attention_shape *shape);

#endif
