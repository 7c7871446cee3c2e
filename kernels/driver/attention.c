#include "driver/attention.h"

#include <assert.h>
#include <string.h>

/* Rows of a tile share one pass over the keys; their score rows lie ld apart. */
static size_t score_stride(size_t keys)
{
    return (keys + IOLK_LANES - 1) / IOLK_LANES * IOLK_LANES;
}

size_t iol_attention_workspace(size_t keys)
{
    return IOLK_MR * (score_stride(keys) + 1);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* scores[r][at .. at + keys) of `m` rows: chains over the head's elements. */
static void score_keys(const struct iolk_ops *ops, size_t m, size_t head_dim, const float *q,
                       size_t ld_q, const float *kt, size_t ld_kt, size_t keys, float *scores,
                       size_t ld_s)
{
    for (size_t j = 0; j < keys; j += IOLK_NR) {
        ops->gemm_f32(m, smaller(keys - j, IOLK_NR), head_dim, q, ld_q, kt + j, ld_kt, NULL, 0,
                      scores + j, ld_s, NULL, 0);
    }
}

/* out[r][0 .. head_dim) = or continues: chains over `keys` keys ascending. */
static void mix_values(const struct iolk_ops *ops, size_t m, size_t head_dim, const float *scores,
                       size_t ld_s, const float *v, size_t ld_v, size_t keys, int accumulate,
                       float *out, size_t ld_out)
{
    for (size_t c = 0; c < head_dim; c += IOLK_NR) {
        float *tile = out + c;
        ops->gemm_f32(m, smaller(head_dim - c, IOLK_NR), keys, scores, ld_s, v + c, ld_v,
                      accumulate ? tile : NULL, ld_out, tile, ld_out, NULL, 0);
    }
}

void iol_attention_causal(const struct iolk_ops *ops, const struct iol_heads *heads,
                          const struct iol_keys *shared, const struct iol_keys *own, size_t first,
                          size_t rows, float *q, size_t ld_q, float *workspace, uint64_t *flops)
{
    const size_t d = heads->head_dim, before = shared->count,
                 group = heads->heads / heads->kv_heads;
    const size_t ld_s = score_stride(before + first + rows);
    float *scores = workspace, *rcp = workspace + IOLK_MR * ld_s;
    assert(own->count >= first + rows);
    for (size_t h = 0; h < heads->heads; h++) {
        const size_t g = h / group;
        const float *v_own = own->v + g * d, *v_shared = before ? shared->v + g * d : NULL;
        for (size_t r = 0; r < rows; r += IOLK_MR) {
            const size_t m = smaller(rows - r, IOLK_MR);
            const size_t common = first + r + 1; /* own keys that every row of the tile sees */
            float *z = q + r * ld_q + h * d;
            if (before) {
                score_keys(ops, m, d, z, ld_q, shared->kt + g * d * shared->ld_kt, shared->ld_kt,
                           before, scores, ld_s);
            }
            score_keys(ops, m, d, z, ld_q, own->kt + g * d * own->ld_kt, own->ld_kt, common + m - 1,
                       scores + before, ld_s);
            for (size_t i = 0; i < m; i++) {
                ops->softmax_f32(before + common + i, heads->scale, scores + i * ld_s, rcp + i);
            }
            if (before) {
                mix_values(ops, m, d, scores, ld_s, v_shared, shared->ld_v, before, 0, z, ld_q);
            }
            mix_values(ops, m, d, scores + before, ld_s, v_own, own->ld_v, common, before > 0, z,
                       ld_q);
            for (size_t i = 0; i < m;
                 i++) { /* the triangle: keys that only the later rows of the tile see */
                for (size_t j = common; j < common + i; j++) {
                    ops->axpy_f32(d, scores[i * ld_s + before + j], v_own + j * own->ld_v,
                                  z + i * ld_q);
                }
                ops->scale_f32(d, rcp[i], z + i * ld_q, z + i * ld_q);
                *flops += 4 * d * (before + common + i);
            }
        }
    }
}

void iol_attention_branches(const struct iolk_ops *ops, const struct iol_heads *heads,
                            const struct iol_keys *shared, const float *k, const float *v,
                            size_t ld_kv, size_t rows, float *q, size_t ld_q, float *workspace,
                            uint64_t *flops)
{
    const size_t d = heads->head_dim, before = shared->count,
                 group = heads->heads / heads->kv_heads;
    const size_t ld_s = score_stride(before + 1);
    float *scores = workspace, *rcp = workspace + IOLK_MR * ld_s;
    for (size_t h = 0; h < heads->heads; h++) {
        const size_t g = h / group;
        for (size_t r = 0; r < rows; r += IOLK_MR) {
            const size_t m = smaller(rows - r, IOLK_MR);
            float *z = q + r * ld_q + h * d, own[IOLK_MR];
            ops->chains_f32(m, d, z, ld_q, k + r * ld_kv + g * d, ld_kv, own);
            if (before) {
                score_keys(ops, m, d, z, ld_q, shared->kt + g * d * shared->ld_kt, shared->ld_kt,
                           before, scores, ld_s);
            }
            for (size_t i = 0; i < m; i++) {
                scores[i * ld_s + before] = own[i];
                ops->softmax_f32(before + 1, heads->scale, scores + i * ld_s, rcp + i);
            }
            mix_values(ops, m, d, scores, ld_s, before ? shared->v + g * d : v,
                       before ? shared->ld_v : ld_kv, before, 0, z, ld_q);
            for (size_t i = 0; i < m; i++) {
                ops->axpy_f32(d, scores[i * ld_s + before], v + (r + i) * ld_kv + g * d,
                              z + i * ld_q);
                ops->scale_f32(d, rcp[i], z + i * ld_q, z + i * ld_q);
            }
            *flops += 4 * d * m * (before + 1);
        }
    }
}

void iol_keys_transpose(const struct iol_heads *heads, const float *k, size_t position, float *kt,
                        size_t ld_kt)
{
    for (size_t i = 0; i < heads->kv_heads * heads->head_dim; i++) {
        kt[i * ld_kt + position] = k[i];
    }
}
