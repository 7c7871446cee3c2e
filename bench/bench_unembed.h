/* What the unembedding cases and goals share. */
#ifndef IOL_BENCH_UNEMBED_H
#define IOL_BENCH_UNEMBED_H

#include <stddef.h>
#include <stdint.h>

#include "driver/unembed.h"
#include "measure.h"

struct unembed_call {
    size_t rows;
    struct iol_packed packed;
    float *x, *logits;
    uint64_t flops;
    struct iol_logit_stats stats; /* of the last row */
};
void unembed_open(size_t k, size_t n, size_t rows, struct unembed_call *out);
void unembed_close(struct unembed_call *call);
/* Logits, their maximum, log-sum-exp and sum of every row; user: struct unembed_call. */
void unembed_run(void *user);
/* The product alone. */
void unembed_product(void *user);

#endif
