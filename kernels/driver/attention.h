/* Softmax attention of query rows against stored keys and values, exactly: no online rescaling,
 * masked keys skipped.
 *
 * Keys are kept transposed by whoever writes them, so that scores are a GEMM over the head's
 * elements and the products with the values a GEMM over keys. */
#ifndef IOL_ATTENTION_H
#define IOL_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "ops.h"

/* A run of consecutive key positions. K of one head lies in panels of IOLK_NR keys, the last one as
 * narrow as the capacity leaves it; here capacity 112:
 *
 *   [ head_dim x 48 ][ head_dim x 48 ][ head_dim x 16 ]   panel p begins at 48 * p * head_dim */
struct iol_keys {
    const float *kt; /* (kv_heads, head_dim * ld_kt) */
    size_t ld_kt;    /* capacity in keys, at least count */
    const float *v;  /* (count, ld_v), row-major */
    size_t ld_v;
    size_t
        v_head; /* elements from the V of one head to the next; 0: head_dim, heads side by side */
    size_t count;
};

struct iol_heads {
    size_t heads, kv_heads, head_dim;
    float scale;
};

/* One call: all heads of `rows` query rows, of one stream (causal: `own` is set) or of many
 * branches at one position. Borrows everything. */
struct iol_attention {
    const struct iolk_ops *ops;
    const struct iol_heads *heads;
    const struct iol_keys *shared; /* every row sees all of them; count 0: none */
    /* Causal: row r is at position shared->count + first + r and sees the own keys 0 .. first + r;
     * own->count >= first + rows. NULL: branches. */
    const struct iol_keys *own;
    size_t first;
    /* Branches: each row has its own key and value after the shared ones.
     * k, v (rows, kv_heads * head_dim) ld_kv */
    const float *k, *v;
    size_t ld_kv;
    size_t rows;
    const float *q; /* (rows, heads * head_dim) ld_q */
    size_t ld_q;
    float *z; /* attention output, as q; may be q itself */
    size_t ld_z;
};

/* Floats of workspace of one thread for rows that see at most `keys` keys. */
size_t iol_attention_workspace(size_t keys);

/* A call is made of tasks, each a block of rows of one head, that may run at once in any order,
 * each thread with its own workspace; in ascending order they share caches best, and each fetches
 * what the next one reads first. The bits do not depend on who runs what. Thread-safe. */
size_t iol_attention_tasks(const struct iol_attention *call);
void iol_attention_task(const struct iol_attention *call, size_t task, float *workspace);
/* 4 head_dim per row, head and allowed key. */
uint64_t iol_attention_flops(const struct iol_attention *call);

/* Causal, whole, in this thread: z replaces q. Adds its FLOPs to *flops. */
void iol_attention_causal(const struct iolk_ops *ops, const struct iol_heads *heads,
                          const struct iol_keys *shared, const struct iol_keys *own, size_t first,
                          size_t rows, float *q, size_t ld_q, float *workspace, uint64_t *flops);

/* Branches, the same. */
void iol_attention_branches(const struct iolk_ops *ops, const struct iol_heads *heads,
                            const struct iol_keys *shared, const float *k, const float *v,
                            size_t ld_kv, size_t rows, float *q, size_t ld_q, float *workspace,
                            uint64_t *flops);

/* Write `rows` rows of K (rows, kv_heads * head_dim) ld_k as the keys from `position` on of kt. */
void iol_keys_transpose(const struct iol_heads *heads, size_t rows, const float *k, size_t ld_k,
                        size_t position, float *kt, size_t ld_kt);

#endif
