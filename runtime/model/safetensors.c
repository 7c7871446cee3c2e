/* A safetensors file:
 *
 *   8 bytes: length of the header, little-endian | header: JSON | data: tensors without gaps
 *   header: {"name": {"dtype": "F32", "shape": [3, 4], "data_offsets": [begin, end]}, ...}
 *
 * Everything the header claims is checked against the file's size before a tensor is given out. */
#include "model/safetensors.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/config.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are read as little-endian");

enum {
    HEADER_LIMIT = 100000000, /* bytes; the format's own */
    INDEX_LIMIT = 100000000,
    NAME_LIMIT = 256
};

struct iol_tensor_file {
    char *path;
    struct iol_map map;
    json_t *header; /* owns the names */
};

/* --- dtypes --- */

typedef void widen_fn(size_t count, const unsigned char *data, float *out);

static void widen_f32(size_t count, const unsigned char *data, float *out)
{
    memcpy(out, data, count * sizeof *out);
}

static void widen_bf16(size_t count, const unsigned char *data, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)data[2 * i] << 16 | (uint32_t)data[2 * i + 1] << 24;
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* Integers only: denormals come out exact even where the caller's mode flushes them. */
static void widen_f16(size_t count, const unsigned char *data, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t half = (uint32_t)data[2 * i] | (uint32_t)data[2 * i + 1] << 8;
        uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
        uint32_t bits;
        if (exponent == 31) {
            bits = sign | 0x7F800000 | fraction << 13;
        } else if (exponent > 0) {
            bits = sign | (exponent + 112) << 23 | fraction << 13;
        } else if (fraction > 0) { /* fraction * 2^-24, its top bit becomes the hidden one */
            uint32_t shift = (uint32_t)__builtin_clz(fraction) - 21;
            bits = sign | (113 - shift) << 23 | (fraction << shift & 1023) << 13;
        } else {
            bits = sign;
        }
        memcpy(out + i, &bits, sizeof bits);
    }
}

struct iol_dtype {
    const char *name;
    size_t bits;
    widen_fn *widen; /* NULL: such a tensor may be there, but not as a weight */
};

static const struct iol_dtype dtypes[] = {
    {"F32", 32, widen_f32}, {"F16", 16, widen_f16}, {"BF16", 16, widen_bf16}, {"F64", 64, NULL},
    {"I64", 64, NULL},      {"U64", 64, NULL},      {"I32", 32, NULL},        {"U32", 32, NULL},
    {"I16", 16, NULL},      {"U16", 16, NULL},      {"I8", 8, NULL},          {"U8", 8, NULL},
    {"BOOL", 8, NULL},      {"C64", 64, NULL},      {"F8_E4M3", 8, NULL},     {"F8_E5M2", 8, NULL},
    {"F8_E8M0", 8, NULL},   {"F6_E2M3", 6, NULL},   {"F6_E3M2", 6, NULL},     {"F4", 4, NULL}};

const char *iol_dtype_name(const struct iol_dtype *dtype)
{
    return dtype->name;
}

size_t iol_dtype_bytes(const struct iol_dtype *dtype)
{
    return dtype->bits / 8;
}

void iol_dtype_widen(const struct iol_dtype *dtype, size_t count, const unsigned char *data,
                     float *out)
{
    assert(dtype->widen);
    dtype->widen(count, data, out);
}

/* --- text --- */

const char *iol_shape_text(size_t rank, const size_t *shape, char out[IOL_TENSOR_TEXT])
{
    size_t at = (size_t)snprintf(out, IOL_TENSOR_TEXT, "(");
    for (size_t i = 0; i < rank && at < IOL_TENSOR_TEXT - 24; i++) {
        at += (size_t)snprintf(out + at, IOL_TENSOR_TEXT - at, "%s%zu", i ? ", " : "", shape[i]);
    }
    snprintf(out + at, IOL_TENSOR_TEXT - at, ")");
    return out;
}

/* --- one header entry --------------------------------------------------------------------------
 */

static enum iol_status check_name(const char *path, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_LIMIT) {
        return iol_fail(IOL_E_FORMAT, "%s: a tensor's name has %zu bytes, expected 1..%d", path,
                        length, NAME_LIMIT);
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F) {
            return iol_fail(IOL_E_FORMAT,
                            "%s: byte %zu of the tensor name '%.*s...' is control character "
                            "0x%02x, expected a printable one",
                            path, i, (int)i, name, (unsigned)(unsigned char)name[i]);
        }
    }
    return IOL_OK;
}

static enum iol_status parse_dtype(const json_t *entry, struct iol_tensor *tensor)
{
    const json_t *value = json_object_get(entry, "dtype");
    const char *name = json_string_value(value);
    for (size_t i = 0; name && i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            tensor->dtype = &dtypes[i];
            return IOL_OK;
        }
    }
    char found[96];
    return iol_fail(IOL_E_FORMAT, "%s: tensor '%s': dtype is %s, expected F32, F16 or BF16",
                    tensor->path, tensor->name, iol_json_describe(value, found));
}

static enum iol_status parse_shape(const json_t *entry, struct iol_tensor *tensor)
{
    const json_t *value = json_object_get(entry, "shape");
    char found[96];
    if (!json_is_array(value) || json_array_size(value) > IOL_TENSOR_RANK) {
        return iol_fail(
            IOL_E_FORMAT, "%s: tensor '%s': shape is %s, expected an array of at most %d sizes",
            tensor->path, tensor->name, iol_json_describe(value, found), IOL_TENSOR_RANK);
    }
    tensor->rank = json_array_size(value);
    tensor->elements = 1;
    for (size_t i = 0; i < tensor->rank; i++) {
        const json_t *size = json_array_get(value, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0) {
            return iol_fail(IOL_E_FORMAT,
                            "%s: tensor '%s': shape[%zu] is %s, expected a whole number >= 0",
                            tensor->path, tensor->name, i, iol_json_describe(size, found));
        }
        tensor->shape[i] = (size_t)json_integer_value(size);
        if (!iol_mul(tensor->elements, tensor->shape[i], &tensor->elements)) {
            return iol_fail(IOL_E_FORMAT,
                            "%s: tensor '%s': shape[%zu] is %zu, which overflows the number of "
                            "elements, expected at most the file's",
                            tensor->path, tensor->name, i, tensor->shape[i]);
        }
    }
    return IOL_OK;
}

static enum iol_status parse_offsets(const json_t *entry, const unsigned char *data,
                                     size_t data_bytes, struct iol_tensor *tensor)
{
    const json_t *value = json_object_get(entry, "data_offsets");
    char text[IOL_TENSOR_TEXT];
    size_t offsets[2];
    if (!json_is_array(value) || json_array_size(value) != 2) {
        return iol_fail(IOL_E_FORMAT, "%s: tensor '%s': data_offsets is %s, expected [begin, end]",
                        tensor->path, tensor->name, iol_json_describe(value, text));
    }
    for (size_t i = 0; i < 2; i++) {
        const json_t *offset = json_array_get(value, i);
        json_int_t number = json_integer_value(offset);
        size_t least = i ? offsets[0] : 0;
        if (!json_is_integer(offset) || number < 0 || (size_t)number < least ||
            (size_t)number > data_bytes) {
            return iol_fail(IOL_E_FORMAT,
                            "%s: tensor '%s': data_offsets[%zu] is %s, expected %zu..%zu (the "
                            "data of this file has %zu bytes)",
                            tensor->path, tensor->name, i, iol_json_describe(offset, text), least,
                            data_bytes, data_bytes);
        }
        offsets[i] = (size_t)number;
    }
    tensor->data = data + offsets[0];
    tensor->bytes = offsets[1] - offsets[0];
    size_t bits;
    if (!iol_mul(tensor->elements, tensor->dtype->bits, &bits) || bits % 8 != 0 ||
        bits / 8 != tensor->bytes) {
        return iol_fail(IOL_E_FORMAT,
                        "%s: tensor '%s': data_offsets hold %zu bytes, expected as many as %s of "
                        "shape %s has",
                        tensor->path, tensor->name, tensor->bytes, tensor->dtype->name,
                        iol_shape_text(tensor->rank, tensor->shape, text));
    }
    return IOL_OK;
}

static enum iol_status parse_entry(const json_t *entry, const unsigned char *data,
                                   size_t data_bytes, struct iol_tensor *tensor)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(check_name(tensor->path, tensor->name));
    if (!json_is_object(entry)) {
        char found[96];
        status = iol_fail(IOL_E_FORMAT,
                          "%s: tensor '%s' is %s, expected an object with dtype, shape and "
                          "data_offsets",
                          tensor->path, tensor->name, iol_json_describe(entry, found));
        goto out;
    }
    IOL_TRY(parse_dtype(entry, tensor));
    IOL_TRY(parse_shape(entry, tensor));
    IOL_TRY(parse_offsets(entry, data, data_bytes, tensor));
out:
    return status;
}

/* --- one file ----------------------------------------------------------------------------------
 */

static int by_data(const void *left, const void *right)
{
    const struct iol_tensor *a = left, *b = right;
    if (a->data != b->data) {
        return a->data < b->data ? -1 : 1;
    }
    return a->bytes != b->bytes ? (a->bytes < b->bytes ? -1 : 1) : strcmp(a->name, b->name);
}

/* The tensors of one file must follow each other without overlap or gap, from the first byte of
 * the data to the last. Sorts them by place. */
static enum iol_status check_places(struct iol_tensor *items, size_t count, const char *path,
                                    const unsigned char *data, size_t data_bytes)
{
    if (count > 0) {
        qsort(items, count, sizeof *items, by_data);
    }
    size_t end = 0;
    for (size_t i = 0; i < count; i++) {
        size_t begin = (size_t)(items[i].data - data);
        if (begin < end) {
            return iol_fail(IOL_E_FORMAT,
                            "%s: tensor '%s' begins at byte %zu of the data and overlaps tensor "
                            "'%s', expected %zu, where that one ends",
                            path, items[i].name, begin, items[i - 1].name, end);
        }
        if (begin > end) {
            return iol_fail(IOL_E_FORMAT,
                            "%s: tensor '%s' begins at byte %zu of the data, expected %zu (no "
                            "gaps)",
                            path, items[i].name, begin, end);
        }
        end = begin + items[i].bytes;
    }
    if (end != data_bytes) {
        return iol_fail(IOL_E_FORMAT,
                        "%s: the data has %zu bytes, expected %zu, where the last tensor ends",
                        path, data_bytes, end);
    }
    return IOL_OK;
}

/* The header's length, checked against the file and the format's limit. */
static enum iol_status read_header_length(const struct iol_tensor_file *file, size_t *out_length)
{
    const struct iol_map *map = &file->map;
    uint64_t length;
    if (map->size < sizeof length) {
        return iol_fail(IOL_E_FORMAT,
                        "%s: the file has %zu bytes, expected at least 8 for the header's length",
                        file->path, map->size);
    }
    memcpy(&length, map->data, sizeof length);
    size_t most = map->size - sizeof length;
    most = most < HEADER_LIMIT ? most : HEADER_LIMIT;
    if (length < 2 || length > most) {
        return iol_fail(IOL_E_FORMAT,
                        "%s: the header's length is %llu bytes, expected 2..%zu (the file has %zu "
                        "bytes)",
                        file->path, (unsigned long long)length, most, map->size);
    }
    *out_length = (size_t)length;
    return IOL_OK;
}

/* Map a file and append its tensors. Takes ownership of `path`. */
static enum iol_status open_file(struct iol_tensors *tensors, char *path)
{
    enum iol_status status = iol_grow(&tensors->files, &tensors->file_capacity,
                                      tensors->file_count + 1, sizeof *tensors->files);
    if (status != IOL_OK) {
        iol_free(path);
        return status;
    }
    struct iol_tensor_file *file = &tensors->files[tensors->file_count++];
    *file = (struct iol_tensor_file){.path = path};
    size_t header_bytes = 0, first = tensors->count;
    IOL_TRY(iol_map_open(path, &file->map));
    IOL_TRY(read_header_length(file, &header_bytes));
    const char *text = (const char *)file->map.data + 8;
    IOL_TRY(iol_json_parse(text, header_bytes, path, "header", &file->header));
    const unsigned char *data = file->map.data + 8 + header_bytes;
    size_t data_bytes = file->map.size - 8 - header_bytes;
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) {
            continue;
        }
        IOL_TRY(iol_grow(&tensors->items, &tensors->capacity, tensors->count + 1,
                         sizeof *tensors->items));
        struct iol_tensor *tensor = &tensors->items[tensors->count];
        *tensor = (struct iol_tensor){.name = name, .path = path};
        IOL_TRY(parse_entry(entry, data, data_bytes, tensor));
        tensors->count++;
    }
    status = check_places(tensors->items + first, tensors->count - first, path, data, data_bytes);
out:
    return status;
}

/* --- the folder ---------------------------------------------------------------------------------
 */

static int by_name(const void *left, const void *right)
{
    const struct iol_tensor *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : strcmp(a->path, b->path);
}

static enum iol_status sort_names(struct iol_tensors *tensors)
{
    if (tensors->count > 0) {
        qsort(tensors->items, tensors->count, sizeof *tensors->items, by_name);
    }
    for (size_t i = 1; i < tensors->count; i++) {
        const struct iol_tensor *a = &tensors->items[i - 1], *b = &tensors->items[i];
        if (strcmp(a->name, b->name) == 0) {
            return iol_fail(IOL_E_FORMAT, "%s: tensor '%s' is also in %s, expected it once",
                            b->path, b->name, a->path);
        }
    }
    return IOL_OK;
}

static int text_order(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

/* A shard is a plain file name: nothing an index says may lead out of the folder. */
static enum iol_status check_shard_name(const char *index, const char *name, const json_t *value)
{
    const char *shard = json_string_value(value);
    char found[96];
    if (!shard || !*shard || strlen(shard) > NAME_LIMIT || strchr(shard, '/') ||
        strchr(shard, '\\') || strcmp(shard, ".") == 0 || strcmp(shard, "..") == 0) {
        return iol_fail(IOL_E_FORMAT,
                        "%s: key 'weight_map.%.*s' is %s, expected the name of a file in the same "
                        "folder",
                        index, NAME_LIMIT, name, iol_json_describe(value, found));
    }
    return IOL_OK;
}

/* Each tensor of the map lies in the shard the map says, and the shards hold no others. */
static enum iol_status check_map(const struct iol_tensors *tensors, const json_t *map)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        const struct iol_tensor *tensor = iol_tensors_find(tensors, name);
        const char *shard = json_string_value(value);
        const char *slash = tensor ? strrchr(tensor->path, '/') : NULL;
        if (!tensor || strcmp(slash ? slash + 1 : tensor->path, shard) != 0) {
            return iol_fail(IOL_E_FORMAT, "%s: tensor '%.*s' is not in %s, expected it there",
                            tensors->path, NAME_LIMIT, name, shard);
        }
    }
    for (size_t i = 0; i < tensors->count; i++) {
        if (!json_object_get(map, tensors->items[i].name)) {
            return iol_fail(IOL_E_FORMAT,
                            "%s: tensor '%s' is in this shard but not in the weight_map of %s, "
                            "expected it in both",
                            tensors->items[i].path, tensors->items[i].name, tensors->path);
        }
    }
    return IOL_OK;
}

static enum iol_status open_shards(struct iol_tensors *tensors, const char *folder)
{
    enum iol_status status = IOL_OK;
    json_t *index = NULL;
    const char **shards = NULL;
    IOL_TRY(iol_json_read(tensors->path, INDEX_LIMIT, "index", &index));
    const json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0) {
        char found[96];
        status = iol_fail(IOL_E_FORMAT,
                          "%s: key 'weight_map' is %s, expected an object with tensor names",
                          tensors->path, iol_json_describe(map, found));
        goto out;
    }
    size_t count = 0;
    shards = iol_alloc(json_object_size(map), sizeof *shards);
    if (!shards) {
        status = iol_fail(IOL_E_NOMEM, "%s: out of memory for the names of %zu tensors",
                          tensors->path, json_object_size(map));
        goto out;
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        IOL_TRY(check_shard_name(tensors->path, name, value));
        shards[count++] = json_string_value(value);
    }
    qsort(shards, count, sizeof *shards, text_order);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(shards[i], shards[i - 1]) == 0) {
            continue;
        }
        char *path = iol_path_join(folder, shards[i]);
        if (!path) {
            status = iol_fail(IOL_E_NOMEM, "%s: out of memory for a path", tensors->path);
            goto out;
        }
        IOL_TRY(open_file(tensors, path));
    }
    IOL_TRY(sort_names(tensors));
    IOL_TRY(check_map(tensors, map));
out:
    iol_free(shards);
    json_decref(index);
    return status;
}

enum iol_status iol_tensors_open(const char *folder, struct iol_tensors *out_tensors)
{
    enum iol_status status = IOL_OK;
    *out_tensors = (struct iol_tensors){0};
    char *single = iol_path_join(folder, "model.safetensors");
    out_tensors->path = iol_path_join(folder, "model.safetensors.index.json");
    if (!single || !out_tensors->path) {
        status = iol_fail(IOL_E_NOMEM, "%s: out of memory for a path", folder);
        goto out;
    }
    bool has_single = iol_file_exists(single);
    if (!has_single && !iol_file_exists(out_tensors->path)) {
        status = iol_fail(IOL_E_IO,
                          "%s: no such file, and no model.safetensors.index.json beside it; "
                          "expected one of them",
                          single);
        goto out;
    }
    if (!has_single) {
        IOL_TRY(open_shards(out_tensors, folder));
        goto out;
    }
    char *path = single;
    single = out_tensors->path; /* the index is not used: freed below */
    out_tensors->path = iol_strdup(path);
    if (!out_tensors->path) {
        iol_free(path);
        status = iol_fail(IOL_E_NOMEM, "%s: out of memory for a path", folder);
        goto out;
    }
    IOL_TRY(open_file(out_tensors, path));
    IOL_TRY(sort_names(out_tensors));
out:
    iol_free(single);
    return status;
}

void iol_tensors_close(struct iol_tensors *tensors)
{
    if (!tensors) {
        return;
    }
    for (size_t i = 0; i < tensors->file_count; i++) {
        json_decref(tensors->files[i].header);
        iol_map_close(&tensors->files[i].map);
        iol_free(tensors->files[i].path);
    }
    iol_free(tensors->files);
    iol_free(tensors->items);
    iol_free(tensors->path);
    *tensors = (struct iol_tensors){0};
}

/* --- reading ------------------------------------------------------------------------------------
 */

struct iol_tensor *iol_tensors_find(const struct iol_tensors *tensors, const char *name)
{
    size_t low = 0, high = tensors->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, tensors->items[middle].name);
        if (order == 0) {
            return &tensors->items[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

enum iol_status iol_tensors_require(const struct iol_tensors *tensors, const char *name,
                                    size_t rank, const size_t *shape,
                                    const struct iol_tensor **out_tensor)
{
    char found[IOL_TENSOR_TEXT], expected[IOL_TENSOR_TEXT];
    struct iol_tensor *tensor = iol_tensors_find(tensors, name);
    *out_tensor = NULL;
    iol_shape_text(rank, shape, expected);
    if (!tensor) {
        return iol_fail(IOL_E_FORMAT, "%s: tensor '%s' is missing, expected one of shape %s",
                        tensors->path, name, expected);
    }
    if (!tensor->dtype->widen) {
        return iol_fail(IOL_E_FORMAT, "%s: tensor '%s' has dtype %s, expected F32, F16 or BF16",
                        tensor->path, name, tensor->dtype->name);
    }
    if (tensor->rank != rank || memcmp(tensor->shape, shape, rank * sizeof *shape) != 0) {
        return iol_fail(
            IOL_E_FORMAT, "%s: tensor '%s' has shape %s, expected %s by the sizes in config.json",
            tensor->path, name, iol_shape_text(tensor->rank, tensor->shape, found), expected);
    }
    tensor->used = true;
    *out_tensor = tensor;
    return IOL_OK;
}

enum iol_status iol_tensor_widen(const struct iol_tensor *tensor, size_t first, size_t count,
                                 float *out)
{
    assert(first <= tensor->elements && count <= tensor->elements - first);
    tensor->dtype->widen(count, tensor->data + first * (tensor->dtype->bits / 8), out);
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, out + i, sizeof bits);
        bad |= (uint32_t)((bits & 0x7F800000) == 0x7F800000);
    }
    for (size_t i = 0; bad && i < count; i++) {
        if (isfinite(out[i])) {
            continue;
        }
        size_t index[IOL_TENSOR_RANK], rest = first + i;
        for (size_t axis = tensor->rank; axis-- > 0;) {
            index[axis] = rest % tensor->shape[axis];
            rest /= tensor->shape[axis];
        }
        char place[IOL_TENSOR_TEXT];
        return iol_fail(IOL_E_FORMAT, "%s: tensor '%s' is %s at index %s, expected finite weights",
                        tensor->path, tensor->name, isnan(out[i]) ? "NaN" : "infinite",
                        iol_shape_text(tensor->rank, index, place));
    }
    return IOL_OK;
}
