/* The opened model: an architecture record and a list of layer steps. Walk, plan, cost and inspect
 * read the same list. */
#ifndef IOL_MODEL_H
#define IOL_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "base/context.h"
#include "driver/gemm.h"
#include "iolaus/model.h"

enum iol_norm_kind { IOL_NORM_RMS, IOL_NORM_LAYER };

struct iol_norm {
    enum iol_norm_kind kind;
    float eps;
    const float *gain; /* (d_model) */
    const float *bias; /* (d_model), zeros where the file has none; NULL for RMS */
};

enum iol_activation { IOL_ACT_SILU, IOL_ACT_GELU_TANH, IOL_ACT_GELU_ERF };

enum iol_rope_kind { IOL_ROPE_NONE, IOL_ROPE_DEFAULT, IOL_ROPE_LINEAR, IOL_ROPE_LLAMA3 };

struct iol_rope {
    enum iol_rope_kind kind;
    double theta, factor, low_freq_factor, high_freq_factor, original_context;
};

/* What config.json says, after each family's defaults. */
struct iol_arch {
    size_t layers, d_model, heads, kv_heads, head_dim, d_ff, vocab, context;
    enum iol_norm_kind norm;
    double eps;
    enum iol_activation activation;
    bool gated; /* SiLU(gate) * up */
    struct iol_rope rope;
    bool tied, qkv_bias, o_bias, mlp_bias;
    bool scale_attn;          /* scores times 1 / sqrt(head_dim) */
    bool scale_attn_by_layer; /* scores also times 1 / (layer + 1) */
};

enum iol_step_kind { IOL_STEP_ATTENTION, IOL_STEP_MLP };

/* One sublayer: x += f(norm(x)). Step 2 l is layer l's attention, 2 l + 1 its MLP. */
struct iol_step {
    enum iol_step_kind kind;
    size_t layer;
    struct iol_norm norm;
    /* attention */
    struct iol_packed q;  /* (heads * head_dim, d_model) */
    struct iol_packed kv; /* (2 * kv_heads * head_dim, d_model): all K rows, then all V rows */
    struct iol_packed o;  /* (d_model, heads * head_dim) */
    float scale;          /* of the scores */
    /* MLP */
    struct iol_packed gate; /* (d_ff, d_model); panels NULL where the family has no gate */
    struct iol_packed up;   /* (d_ff, d_model) */
    struct iol_packed down; /* (d_model, d_ff) */
    char *detail;           /* for inspect */
};

struct iol_dtype; /* of a stored tensor: safetensors.h */
struct iol_model {
    struct iol_model_info info;
    struct iol_arch arch;
    size_t step_count;
    struct iol_step *steps;
    unsigned char *token_embedding; /* (vocab, d_model) row-major, as stored: iol_model_embed */
    const struct iol_dtype *embedding_dtype;
    float *position_embedding; /* (context, d_model) row-major, or NULL */
    struct iol_norm final_norm;
    struct iol_packed unembed; /* (vocab, d_model); no bias in these families */
    double *w_mean; /* (d_model): f64 sums over the rows of the unembedding ascending, divided by
                       vocab */
    /* What close frees: every block that the fields above point into. */
    void **blocks;
    size_t block_count, block_capacity;
    unsigned char *room; /* the rest of the last block of small pieces */
    size_t room_bytes;
};

/* A family: how to read its config.json and where its tensors are. One row of arch.def and one file
 * arch_<name>.c each. */
struct iol_tensors; /* the opened safetensors files: safetensors.h */
struct iol_family {
    const char *name; /* model_type */
    /* config (the whole parsed config.json) to *out_arch; `path` for error sentences. */
    enum iol_status (*parse)(const json_t *config, const char *path, struct iol_arch *out_arch);
    /* Fill steps, embeddings, final norm and unembedding of `model` (arch set) from the tensors. */
    enum iol_status (*load)(struct iol_model *model, struct iol_tensors *tensors);
};
#define FAMILY(name) extern const struct iol_family iol_family_##name;
#include "arch.def"
#undef FAMILY

/* Row `token` of the token embedding, widened: d_model floats. Thread-safe. */
void iol_model_embed(const struct iol_model *model, size_t token, float *out_row);

/* cos and sin of every position: (positions, head_dim / 2) each. Frequencies, scaling and angles in
 * f64, rounded to f32 once. The same bits on every ISA (SLEEF purecfma). IOL_ROPE_NONE: nothing is
 * written. */
void iol_rope_table(const struct iol_arch *arch, size_t positions, float *out_cos, float *out_sin);

#endif
