/* What the GEMM cases and the GEMM goals share: shapes, data, the check of results. */
#ifndef IOL_BENCH_GEMM_H
#define IOL_BENCH_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "peers/peer.h"

enum { GEMM_SHAPES = 8, GEMM_ROWS = 9 };
struct gemm_shape {
    size_t k, n;
};
extern const struct gemm_shape gemm_shapes[GEMM_SHAPES];
extern const size_t gemm_rows[GEMM_ROWS];

/* Copies of the weights: 1 hot; cold so many that all are over 512 MiB (IOL_BENCH_COLD_MIB). */
size_t gemm_copies(const struct gemm_shape *shape, bool cold);

struct gemm_data {
    struct peer_product product;
    float *w, *a, *c; /* (n, k), (most_rows, k), (most_rows, n), owned */
};
void gemm_data_open(const struct gemm_shape *shape, bool cold, size_t most_rows,
                    struct gemm_data *out);
void gemm_data_close(struct gemm_data *data);

/* Whether C (m, n) is A * B^T at 64 places, against sums in f64. False: text says where. */
bool gemm_agrees(const struct gemm_data *data, size_t m, const float *c, char text[PEER_TEXT]);

#endif
