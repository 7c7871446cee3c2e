#include "model/loader.h"

#include <stdio.h>
#include <string.h>

/* Floats of the bounded temporary through which weights are widened. */
enum { BAND_FLOATS = 1 << 18 };

/* Pieces of this many bytes share blocks, so that the matrices of a small model lie in large pages
 * too; smaller ones and larger ones have their own. */
enum { LEAST_SHARED = 64 << 10, MOST_SHARED = 2 * IOL_LARGE_PAGE, LARGEST_BLOCK = 16 << 20 };

/* A zeroed block on the model's list. */
static enum iol_status own_block(struct iol_model *model, size_t count, size_t size,
                                 void **out_block)
{
    enum iol_status status = IOL_OK;
    *out_block = NULL;
    IOL_TRY(iol_grow(&model->blocks, &model->block_capacity, model->block_count + 1,
                     sizeof *model->blocks));
    *out_block = iol_alloc(count, size);
    if (!*out_block) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %zu elements of %zu bytes of model '%s'",
                          count, size, model->info.name ? model->info.name : "");
        goto out;
    }
    model->blocks[model->block_count++] = *out_block;
out:
    return status;
}

/* A piece of a shared block; blocks grow with the model. */
static enum iol_status shared_piece(struct iol_model *model, size_t bytes, void **out_piece)
{
    enum iol_status status = IOL_OK;
    const size_t rounded = (bytes + IOL_ALIGN - 1) / IOL_ALIGN * IOL_ALIGN;
    if (rounded > model->room_bytes) {
        void *block;
        size_t wanted = model->info.packed_bytes;
        wanted = wanted < rounded ? rounded : wanted > LARGEST_BLOCK ? LARGEST_BLOCK : wanted;
        IOL_TRY(own_block(model, wanted, 1, &block));
        model->room = block;
        model->room_bytes = wanted;
    }
    *out_piece = model->room;
    model->room += rounded;
    model->room_bytes -= rounded;
out:
    return status;
}

enum iol_status iol_model_block(struct iol_model *model, size_t count, size_t size,
                                void *out_pointer)
{
    enum iol_status status = IOL_OK;
    void **out = out_pointer;
    size_t bytes;
    *out = NULL;
    if (iol_mul(count, size, &bytes) && bytes >= LEAST_SHARED && bytes < MOST_SHARED) {
        IOL_TRY(shared_piece(model, bytes, out));
    } else {
        IOL_TRY(own_block(model, count, size, out));
    }
    model->info.packed_bytes += count * size;
out:
    return status;
}

/* --- finding --- */

static enum iol_status find(const struct iol_tensors *tensors, const char *prefix, const char *name,
                            size_t rank, const size_t *shape, const struct iol_tensor **out_tensor)
{
    char full[IOL_TENSOR_NAME];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return iol_tensors_require(tensors, full, rank, shape, out_tensor);
}

enum iol_status iol_find_vector(const struct iol_tensors *tensors, const char *prefix,
                                const char *name, size_t size, const struct iol_tensor **out_tensor)
{
    return find(tensors, prefix, name, 1, &size, out_tensor);
}

enum iol_status iol_find_matrix(const struct iol_tensors *tensors, const char *prefix,
                                const char *name, size_t rows, size_t columns,
                                const struct iol_tensor **out_tensor)
{
    const size_t shape[2] = {rows, columns};
    return find(tensors, prefix, name, 2, shape, out_tensor);
}

enum iol_status iol_find_rest(const struct iol_tensors *tensors, bool (*harmless)(const char *name),
                              const char *family, const char *config)
{
    for (size_t i = 0; i < tensors->count; i++) {
        const struct iol_tensor *tensor = &tensors->items[i];
        if (!tensor->used && !harmless(tensor->name)) {
            return iol_fail(IOL_E_FORMAT,
                            "%s: tensor '%s' would be left out by a %s model with %s in "
                            "config.json, expected no such tensor",
                            tensor->path, tensor->name, family, config);
        }
    }
    return IOL_OK;
}

/* --- loading ------------------------------------------------------------------------------------
 */

enum iol_status iol_load_floats(struct iol_model *model, const struct iol_tensor *tensor,
                                float **out)
{
    enum iol_status status = iol_model_block(model, tensor->elements, sizeof **out, out);
    return status == IOL_OK ? iol_tensor_widen(tensor, 0, tensor->elements, *out) : status;
}

enum iol_status iol_load_norm(struct iol_model *model, const struct iol_tensor *gain,
                              const struct iol_tensor *bias, struct iol_norm *out)
{
    enum iol_status status = IOL_OK;
    float *values;
    *out = (struct iol_norm){.kind = model->arch.norm, .eps = (float)model->arch.eps};
    IOL_TRY(iol_load_floats(model, gain, &values));
    out->gain = values;
    if (bias) {
        IOL_TRY(iol_load_floats(model, bias, &values));
        out->bias = values;
    } else if (out->kind == IOL_NORM_LAYER) {
        IOL_TRY(iol_model_block(model, gain->elements, sizeof *values, &values));
        out->bias = values;
    }
out:
    return status;
}

enum iol_status iol_load_embedding(struct iol_model *model, const struct iol_tensor *tensor)
{
    enum iol_status status = IOL_OK;
    const size_t width = model->arch.d_model, rows = tensor->elements / width;
    float *row = NULL;
    model->embedding_dtype = tensor->dtype;
    IOL_TRY(iol_model_block(model, tensor->bytes, 1, &model->token_embedding));
    row = iol_alloc(width, sizeof *row);
    if (!row) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: a row of %zu floats", width);
        goto out;
    }
    for (size_t r = 0; r < rows; r++) { /* only to see that all are finite */
        IOL_TRY(iol_tensor_widen(tensor, r * width, width, row));
    }
    memcpy(model->token_embedding, tensor->data, tensor->bytes);
out:
    iol_free(row);
    return status;
}

enum iol_panel_dtype iol_panels_of(const struct iol_tensor *a, const struct iol_tensor *b)
{
    const char *name = iol_dtype_name(a->dtype);
    return b && b->dtype != a->dtype   ? IOL_PANEL_F32
           : strcmp(name, "BF16") == 0 ? IOL_PANEL_BF16
           : strcmp(name, "F16") == 0  ? IOL_PANEL_F16
                                       : IOL_PANEL_F32;
}

enum iol_status iol_load_panels(struct iol_model *model, enum iol_panel_dtype dtype, size_t n,
                                size_t k, bool bias, struct iol_packed *out)
{
    enum iol_status status = IOL_OK;
    const size_t bytes = iol_panel_bytes(dtype, n, k);
    *out = (struct iol_packed){.n = n, .k = k, .dtype = dtype};
    if (bytes == 0) {
        status = iol_fail(IOL_E_LIMIT, "a matrix of (%zu, %zu) is too large", n, k);
        goto out;
    }
    IOL_TRY(iol_model_block(model, bytes, 1, &out->panels));
    if (bias) {
        IOL_TRY(iol_model_block(model, n, sizeof *out->bias, &out->bias));
    }
out:
    return status;
}

/* The temporary: room for at least one row of `width` floats, and how many rows fit, at most
 * `rows`. */
static enum iol_status open_band(size_t width, size_t rows, float **out_band, size_t *out_rows)
{
    size_t fit = BAND_FLOATS / width;
    *out_rows = fit < 1 ? 1 : fit < rows ? fit : rows;
    *out_band = iol_alloc(*out_rows * width, sizeof **out_band);
    return *out_band ? IOL_OK
                     : iol_fail(IOL_E_NOMEM, "out of memory: %zu floats to load weights through",
                                *out_rows * width);
}

/* Rows into panels: as stored, or widened. */
static void pack_rows(const unsigned char *stored, const float *widened, size_t row0, size_t rows,
                      struct iol_packed *out)
{
    if (out->dtype == IOL_PANEL_F32) {
        iol_pack_rows_f32(widened, out->k, row0, rows, out);
    } else {
        iol_pack_rows_stored(stored, iol_panel_row_bytes(out->dtype, out->k), row0, rows, out);
    }
}

enum iol_status iol_load_rows(const struct iol_tensor *weight, const struct iol_tensor *bias,
                              size_t row0, struct iol_packed *out)
{
    enum iol_status status = IOL_OK;
    float *band = NULL;
    size_t rows = weight->shape[0], k = out->k, step;
    IOL_TRY(open_band(k, rows, &band, &step));
    for (size_t row = 0; row < rows; row += step) {
        size_t count = rows - row < step ? rows - row : step;
        IOL_TRY(iol_tensor_widen(weight, row * k, count * k, band));
        pack_rows(weight->data + row * k * iol_dtype_bytes(weight->dtype), band, row0 + row, count,
                  out);
    }
    if (bias) {
        IOL_TRY(iol_tensor_widen(bias, 0, rows, out->bias + row0));
    }
out:
    iol_free(band);
    return status;
}

enum iol_status iol_load_columns(const struct iol_tensor *weight, const struct iol_tensor *bias,
                                 size_t column0, struct iol_packed *out)
{
    enum iol_status status = IOL_OK;
    float *band = NULL;
    size_t width = weight->shape[1], k = out->k, step;
    IOL_TRY(open_band(k, out->n, &band, &step));
    step = step > IOLK_NR ? step - step % IOLK_NR : step; /* whole panels */
    for (size_t column = 0; column < out->n; column += step) {
        size_t count = out->n - column < step ? out->n - column : step;
        for (size_t row = 0; row < k; row++) {
            IOL_TRY(iol_tensor_widen(weight, row * width + column0 + column, count,
                                     band + row * count));
        }
        if (out->dtype == IOL_PANEL_F32) {
            iol_pack_columns_f32(band, count, column, count, out);
        } else {
            const size_t bytes = iol_dtype_bytes(weight->dtype);
            iol_pack_columns_stored(weight->data + (column0 + column) * bytes, width * bytes,
                                    column, count, out);
        }
    }
    if (bias) {
        IOL_TRY(iol_tensor_widen(bias, column0, out->n, out->bias));
    }
out:
    iol_free(band);
    return status;
}

enum iol_status iol_load_unembed(struct iol_model *model, const struct iol_tensor *from)
{
    enum iol_status status = IOL_OK;
    float *band = NULL;
    size_t vocab = model->arch.vocab, d = model->arch.d_model, step;
    IOL_TRY(iol_load_panels(model, iol_panels_of(from, NULL), vocab, d, false, &model->unembed));
    IOL_TRY(iol_model_block(model, d, sizeof *model->w_mean, &model->w_mean));
    IOL_TRY(open_band(d, vocab, &band, &step));
    for (size_t row = 0; row < vocab; row += step) {
        size_t count = vocab - row < step ? vocab - row : step;
        IOL_TRY(iol_tensor_widen(from, row * d, count * d, band));
        pack_rows(from->data + row * d * iol_dtype_bytes(from->dtype), band, row, count,
                  &model->unembed);
        for (size_t r = 0; r < count; r++) {
            for (size_t j = 0; j < d; j++) {
                model->w_mean[j] += (double)band[r * d + j];
            }
        }
    }
    for (size_t j = 0; j < d; j++) {
        model->w_mean[j] /= (double)vocab;
    }
out:
    iol_free(band);
    return status;
}
