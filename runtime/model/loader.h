/* From stored tensors to an iol_model: what every family's load() is made of. All memory taken here
 * belongs to the model. Errors: IOL_E_FORMAT (file, tensor, found, expected), IOL_E_NOMEM. */
#ifndef IOL_LOADER_H
#define IOL_LOADER_H

#include "model/model.h"
#include "model/safetensors.h"

/* The two bits of a name: "model.layers.3." and "self_attn.q_proj.weight". */
enum { IOL_TENSOR_NAME = 256 };

/* A zeroed block of count * size bytes on the model's list; *out_pointer (any pointer type). */
IOL_NODISCARD enum iol_status iol_model_block(struct iol_model *model, size_t count, size_t size,
                                              void *out_pointer);

/* Tensor PREFIX NAME of shape (size), or (rows, columns). Marks it used. */
IOL_NODISCARD enum iol_status iol_find_vector(const struct iol_tensors *tensors, const char *prefix,
                                              const char *name, size_t size,
                                              const struct iol_tensor **out_tensor);
IOL_NODISCARD enum iol_status iol_find_matrix(const struct iol_tensors *tensors, const char *prefix,
                                              const char *name, size_t rows, size_t columns,
                                              const struct iol_tensor **out_tensor);

/* IOL_E_FORMAT at the first tensor that was not found by the calls above and that `harmless` does
 * not know: leaving it out could change results. `config` says what the config asks for ("4 layers,
 * attention_bias false"). */
IOL_NODISCARD enum iol_status iol_find_rest(const struct iol_tensors *tensors,
                                            bool (*harmless)(const char *name), const char *family,
                                            const char *config);

/* The whole tensor as f32. */
IOL_NODISCARD enum iol_status iol_load_floats(struct iol_model *model,
                                              const struct iol_tensor *tensor, float **out);

/* Norm with gain and (NULL: none) bias; kind and eps from model->arch. */
IOL_NODISCARD enum iol_status iol_load_norm(struct iol_model *model, const struct iol_tensor *gain,
                                            const struct iol_tensor *bias, struct iol_norm *out);

/* The token embedding, in its dtype. */
IOL_NODISCARD enum iol_status iol_load_embedding(struct iol_model *model,
                                                 const struct iol_tensor *tensor);

/* What the panels of these tensors hold (b: NULL, or another of the same matrix): bf16 and f16 as
 * stored, f32 where they differ. */
enum iol_panel_dtype iol_panels_of(const struct iol_tensor *a, const struct iol_tensor *b);

/* Panels for an (n, k) matrix, still zero, with a zero bias (n) if `bias`. */
IOL_NODISCARD enum iol_status iol_load_panels(struct iol_model *model, enum iol_panel_dtype dtype,
                                              size_t n, size_t k, bool bias,
                                              struct iol_packed *out);
/* A (rows, k) tensor into rows row0 .. row0 + rows; its bias (rows), or NULL. */
IOL_NODISCARD enum iol_status iol_load_rows(const struct iol_tensor *weight,
                                            const struct iol_tensor *bias, size_t row0,
                                            struct iol_packed *out);
/* Columns column0 .. column0 + out->n of a (k, any) tensor (GPT-2's Conv1D), and the same elements
 * of its bias, into all rows of `out`. */
IOL_NODISCARD enum iol_status iol_load_columns(const struct iol_tensor *weight,
                                               const struct iol_tensor *bias, size_t column0,
                                               struct iol_packed *out);

/* Unembedding and w_mean from a (vocab, d_model) tensor: the embedding's where they are tied. */
IOL_NODISCARD enum iol_status iol_load_unembed(struct iol_model *model,
                                               const struct iol_tensor *from);

#endif
