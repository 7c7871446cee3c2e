/* What the unembedding cases and goals share. */
#ifndef IOL_BENCH_UNEMBED_H
#define IOL_BENCH_UNEMBED_H

#include <stddef.h>
#include <stdint.h>

#include "driver/unembed.h"
#include "measure.h"

enum { UNEMBED_TOP = 64, UNEMBED_CHOSEN = 4 };

/* One matrix and the rows that are unembedded with it; three ways to do so. */
struct unembed_call {
    size_t rows;
    struct iol_packed packed;
    float *x, *logits, *workspace; /* logits (rows, n): of the ways that store them */
    struct unembed_kept {
        size_t chosen[UNEMBED_CHOSEN], top[UNEMBED_TOP];
        float chosen_logits[UNEMBED_CHOSEN], top_logits[UNEMBED_TOP];
    } * kept;
    struct iol_unembed_row *row;
    uint64_t flops;
};
/* Buffers for `rows` rows; fewer may be set in out->rows later. */
void unembed_open(size_t k, size_t n, size_t rows, struct unembed_call *out);
void unembed_close(struct unembed_call *call);
/* Fused: maximum, log-sum-exp, sum, chosen logits and top 64 of every row. user: struct
 * unembed_call, as of those below. */
void unembed_fused(void *user);
/* The same by stored logits. */
void unembed_stored(void *user);
/* The product alone. */
void unembed_product(void *user);

#endif
