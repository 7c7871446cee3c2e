/* Models: Hugging Face folders, opened once, immutable, shared between threads. */
#ifndef IOLAUS_MODEL_H
#define IOLAUS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iolaus/context.h"

#ifdef __cplusplus
extern "C" {
#endif

struct iol_model;

struct iol_model_info {
    const char *name;   /* last component of the folder */
    const char *family; /* model_type: "llama", "gpt2" */
    const char *dtype;  /* of the stored weights: "F32", "F16", "BF16" or "mixed" */
    size_t layers, d_model, heads, kv_heads, head_dim, d_ff, vocab, context;
    bool tied;             /* the unembedding is the token embedding */
    uint64_t parameters;   /* distinct numbers read from the files */
    uint64_t file_bytes;   /* tensor bytes read */
    uint64_t packed_bytes; /* memory that the opened model holds */
    char weights_hash[33]; /* XXH3-128 over name, dtype, shape and bytes of every tensor used, names
                              ascending */
    const char *architecture; /* the parsed record as canonical one-line JSON: sizes, eps,
                                 activation, rope, scale, biases */
    size_t steps;             /* layer steps: 2 per layer */
};

/* Open FOLDER/config.json and FOLDER/model.safetensors (or model.safetensors.index.json and its
 * shards). Families: the rows of runtime/model/arch.def. Weights f32, f16 or bf16, widened exactly
 * into f32 panels; with a context in fast mode also rounded, half as much memory again at most.
 * Errors: IOL_E_IO, IOL_E_FORMAT (file, tensor or key, found, expected; non-finite
 * weights), IOL_E_UNSUPPORTED (family, rope type, activation by name), IOL_E_NOMEM. *out_model is
 * NULL then. Thread-safe. */
IOL_API IOL_NODISCARD enum iol_status iol_model_open(const struct iol_ctx *ctx, const char *folder,
                                                     struct iol_model **out_model);
IOL_API void iol_model_close(struct iol_model *model); /* NULL-safe */

/* Owned by the model. */
IOL_API const struct iol_model_info *iol_model_get_info(const struct iol_model *model);

/* One layer step as the walk executes it. */
struct iol_step_info {
    const char *kind;   /* "attention", "mlp" */
    const char *detail; /* "norm, q 768, k 768, v 768, 12 heads of 64, o 768" */
    size_t layer;
    uint64_t parameters;
    double row_flops; /* 2MNK of one row's weight products */
};
/* Step `index` < info->steps. Strings are owned by the model. */
IOL_API void iol_model_get_step(const struct iol_model *model, size_t index,
                                struct iol_step_info *out_step);

/* The families this build reads: rows of arch.def. */
IOL_API size_t iol_family_count(void);
IOL_API const char *iol_family_name(size_t index);

#ifdef __cplusplus
}
#endif
#endif
