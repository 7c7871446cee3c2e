/* Model weights as stored: model.safetensors, or its shards, mapped and checked as a whole before
 * anything is read. Format: https://huggingface.co/docs/safetensors */
#ifndef IOL_SAFETENSORS_H
#define IOL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

enum { IOL_TENSOR_RANK = 8, IOL_TENSOR_TEXT = 192 };

struct iol_dtype; /* a row of the format's dtypes */

struct iol_tensor {
    const char *name;
    const char *path; /* of its file */
    const struct iol_dtype *dtype;
    size_t rank, shape[IOL_TENSOR_RANK];
    size_t elements;           /* product of the shape */
    const unsigned char *data; /* in the mapped file; any alignment; little-endian, row-major */
    size_t bytes;
    bool used; /* iol_tensors_require gave it out */
};

struct iol_tensors {
    char *path;               /* model.safetensors or model.safetensors.index.json; owned */
    struct iol_tensor *items; /* names ascending (bytewise), no two the same */
    size_t count, capacity;
    struct iol_tensor_file *files;
    size_t file_count, file_capacity;
};

/* Map and check FOLDER/model.safetensors, else every shard of
 * FOLDER/model.safetensors.index.json. Names in the result live until close. Errors: IOL_E_IO,
 * IOL_E_FORMAT (file, tensor, found, expected), IOL_E_NOMEM; *out_tensors can be closed then. */
IOL_NODISCARD enum iol_status iol_tensors_open(const char *folder, struct iol_tensors *out_tensors);
void iol_tensors_close(struct iol_tensors *tensors); /* NULL-safe, safe on a zeroed struct */

/* NULL if there is none. */
struct iol_tensor *iol_tensors_find(const struct iol_tensors *tensors, const char *name);

/* The tensor, which must be there with this shape in F32, F16 or BF16, and is marked used. Errors:
 * IOL_E_FORMAT. */
IOL_NODISCARD enum iol_status iol_tensors_require(const struct iol_tensors *tensors,
                                                  const char *name, size_t rank,
                                                  const size_t *shape,
                                                  const struct iol_tensor **out_tensor);

/* Elements first .. first + count, widened exactly to f32. IOL_E_FORMAT with the index at the first
 * NaN or infinity. Any floating-point mode gives the same bits. Thread-safe. */
IOL_NODISCARD enum iol_status iol_tensor_widen(const struct iol_tensor *tensor, size_t first,
                                               size_t count, float *out);

/* "F32". Static storage. */
const char *iol_dtype_name(const struct iol_dtype *dtype);
/* Bytes of an element of F32, F16 or BF16; and `count` stored ones widened exactly to f32. */
size_t iol_dtype_bytes(const struct iol_dtype *dtype);
void iol_dtype_widen(const struct iol_dtype *dtype, size_t count, const unsigned char *data,
                     float *out);
/* "(3, 4)" into out; returns out. */
const char *iol_shape_text(size_t rank, const size_t *shape, char out[IOL_TENSOR_TEXT]);

#endif
