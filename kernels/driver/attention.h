/* Softmax attention of query rows against stored keys and values, exactly: no online rescaling,
 * masked keys skipped.
 *
 * Keys are kept transposed by whoever writes them, so that scores are a GEMM over the head's
 * elements and the products with the values a GEMM over keys: K^T of one head (head_dim, keys)
 * ld_kt      V (keys, kv_heads * head_dim) row-major, all heads side by side */
#ifndef IOL_ATTENTION_H
#define IOL_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "ops.h"

/* A run of consecutive key positions. */
struct iol_keys {
    const float *kt; /* (kv_heads, head_dim, ld_kt): K transposed, head by head */
    size_t ld_kt;
    const float *v; /* (count, ld_v) */
    size_t ld_v;
    size_t count;
};

struct iol_heads {
    size_t heads, kv_heads, head_dim;
    float scale;
};

/* Floats of workspace for rows that see at most `keys` keys. */
size_t iol_attention_workspace(size_t keys);

/* Causal: `rows` query rows of one stream, row r at position shared.count + first + r. It sees all
 * shared keys, then the own keys 0 .. first + r; own.count >= first + rows. q (rows, heads *
 * head_dim) ld_q, replaced by the attention output z. Adds its FLOPs (allowed keys only) to *flops.
 */
void iol_attention_causal(const struct iolk_ops *ops, const struct iol_heads *heads,
                          const struct iol_keys *shared, const struct iol_keys *own, size_t first,
                          size_t rows, float *q, size_t ld_q, float *workspace, uint64_t *flops);

/* Branches: `rows` query rows at one position, each with its own key and value there, against the
 * same shared keys before it. q as above; k, v (rows, kv_heads * head_dim) ld_kv: own key and value
 * of each row */
void iol_attention_branches(const struct iolk_ops *ops, const struct iol_heads *heads,
                            const struct iol_keys *shared, const float *k, const float *v,
                            size_t ld_kv, size_t rows, float *q, size_t ld_q, float *workspace,
                            uint64_t *flops);

/* Write the K part of a row (kv_heads * head_dim) as column `position` of K^T. */
void iol_keys_transpose(const struct iol_heads *heads, const float *k, size_t position, float *kt,
                        size_t ld_kt);

#endif
