/* Opening a model: config.json to an architecture record, tensors to panels, and what identifies
 * the result (weights hash, canonical record). */
#define _GNU_SOURCE
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/context.h"
#include "model/config.h"
#include "model/loader.h"
#include "model/rounded.h"
#include "model/safetensors.h"

enum { CONFIG_LIMIT = 1 << 24 /* bytes */ };

static const struct iol_family *const families[] = {
#define FAMILY(name) &iol_family_##name,
#include "arch.def"
#undef FAMILY
};
enum { FAMILY_COUNT = sizeof families / sizeof *families };

size_t iol_family_count(void)
{
    return FAMILY_COUNT;
}

const char *iol_family_name(size_t index)
{
    return index < FAMILY_COUNT ? families[index]->name : NULL;
}

/* --- config.json --- */

static enum iol_status find_family(const struct iol_json *config,
                                   const struct iol_family **out_family)
{
    const json_t *value = iol_json_get(config, "model_type");
    const char *name = json_string_value(value);
    char found[96], known[256] = "";
    for (size_t i = 0, at = 0; i < FAMILY_COUNT && at < sizeof known; i++) {
        if (name && strcmp(name, families[i]->name) == 0) {
            *out_family = families[i];
            return IOL_OK;
        }
        at += (size_t)snprintf(known + at, sizeof known - at, "%s\"%s\"", i ? ", " : "",
                               families[i]->name);
    }
    return iol_fail(name ? IOL_E_UNSUPPORTED : IOL_E_FORMAT,
                    "%s: key 'model_type' is %s, expected one of %s", config->path,
                    iol_json_describe(value, found), known);
}

/* What no family here computes, and what must at least be of the right type. */
static enum iol_status check_common(const struct iol_json *config)
{
    enum iol_status status = IOL_OK;
    const char *dtype;
    IOL_TRY(iol_json_refuse(config, "quantization_config", "a quantised model"));
    IOL_TRY(iol_json_refuse(config, "final_logit_softcapping", "a cap on the logits"));
    IOL_TRY(iol_json_refuse(config, "attn_logit_softcapping", "a cap on attention scores"));
    /* Weights are widened from the dtype they are stored in; these keys are only checked. */
    IOL_TRY(iol_json_text_or(config, "torch_dtype", "", &dtype));
    IOL_TRY(iol_json_text_or(config, "dtype", "", &dtype));
out:
    return status;
}

static enum iol_status open_config(const char *folder, struct iol_arch *out_arch,
                                   const struct iol_family **out_family)
{
    enum iol_status status = IOL_OK;
    json_t *object = NULL;
    char *path = iol_path_join(folder, "config.json");
    if (!path) {
        status = iol_fail(IOL_E_NOMEM, "%s: out of memory for a path", folder);
        goto out;
    }
    IOL_TRY(iol_json_read(path, CONFIG_LIMIT, "config", &object));
    const struct iol_json config = {.object = object, .path = path, .prefix = ""};
    IOL_TRY(find_family(&config, out_family));
    IOL_TRY(check_common(&config));
    IOL_TRY((*out_family)->parse(object, path, out_arch));
out:
    json_decref(object);
    iol_free(path);
    return status;
}

/* --- the architecture record -------------------------------------------------------------------
 */

/* %.17g with a point whatever the locale. */
static const char *number_text(double value, char out[40])
{
    char raw[40];
    size_t n = 0;
    bool pointed = false;
    snprintf(raw, sizeof raw, "%.17g", value);
    for (const char *c = raw; *c; c++) {
        if (strchr("0123456789+-e", *c)) {
            out[n++] = *c;
        } else if (!pointed) {
            out[n++] = '.';
            pointed = true;
        }
    }
    out[n] = '\0';
    return out;
}

static const char *bool_text(bool value)
{
    return value ? "true" : "false";
}

static const char *const norm_names[] = {[IOL_NORM_RMS] = "rms", [IOL_NORM_LAYER] = "layer"};
static const char *const activation_names[] = {
    [IOL_ACT_SILU] = "silu", [IOL_ACT_GELU_TANH] = "gelu_tanh", [IOL_ACT_GELU_ERF] = "gelu_erf"};
static const char *const rope_names[] = {[IOL_ROPE_NONE] = "none",
                                         [IOL_ROPE_DEFAULT] = "default",
                                         [IOL_ROPE_LINEAR] = "linear",
                                         [IOL_ROPE_LLAMA3] = "llama3"};

/* A copy of a string made by iol_format, as a block of the model. */
static enum iol_status keep_text(struct iol_model *model, char *text, char **out_text)
{
    enum iol_status status = IOL_OK;
    *out_text = NULL;
    if (!text) {
        return iol_fail(IOL_E_NOMEM, "out of memory: a line about the model");
    }
    size_t bytes = strlen(text) + 1;
    IOL_TRY(iol_model_block(model, bytes, 1, out_text));
    memcpy(*out_text, text, bytes);
out:
    iol_free(text);
    return status;
}

static enum iol_status record_architecture(struct iol_model *model)
{
    const struct iol_arch *a = &model->arch;
    char eps[40], theta[40], factor[40], low[40], high[40], original[40];
    char *kept,
        *text = iol_format(
            "{\"family\":\"%s\",\"layers\":%zu,\"d_model\":%zu,\"heads\":%zu,\"kv_heads\":%zu,"
            "\"head_dim\":%zu,\"d_ff\":%zu,\"vocab\":%zu,\"context\":%zu,\"norm\":\"%s\",\"eps\":%"
            "s,"
            "\"activation\":\"%s\",\"gated\":%s,\"rope\":{\"kind\":\"%s\",\"theta\":%s,\"factor\":%"
            "s,"
            "\"low_freq_factor\":%s,\"high_freq_factor\":%s,\"original_context\":%s},\"tied\":%s,"
            "\"qkv_bias\":%s,\"o_bias\":%s,\"mlp_bias\":%s,\"scale_attn\":%s,"
            "\"scale_attn_by_layer\":%s}",
            model->info.family, a->layers, a->d_model, a->heads, a->kv_heads, a->head_dim, a->d_ff,
            a->vocab, a->context, norm_names[a->norm], number_text(a->eps, eps),
            activation_names[a->activation], bool_text(a->gated), rope_names[a->rope.kind],
            number_text(a->rope.theta, theta), number_text(a->rope.factor, factor),
            number_text(a->rope.low_freq_factor, low), number_text(a->rope.high_freq_factor, high),
            number_text(a->rope.original_context, original), bool_text(a->tied),
            bool_text(a->qkv_bias), bool_text(a->o_bias), bool_text(a->mlp_bias),
            bool_text(a->scale_attn), bool_text(a->scale_attn_by_layer));
    enum iol_status status = keep_text(model, text, &kept);
    model->info.architecture = kept;
    return status;
}

/* --- what the files held -----------------------------------------------------------------------
 */

/* Names of one model with and without GPT-2's optional prefix are the same. */
static const char *plain_name(const struct iol_tensor *tensor)
{
    static const char prefix[] = "transformer.";
    bool has = strncmp(tensor->name, prefix, sizeof prefix - 1) == 0;
    return tensor->name + (has ? sizeof prefix - 1 : 0);
}

static int by_plain_name(const void *left, const void *right)
{
    const struct iol_tensor *const *a = left, *const *b = right;
    return strcmp(plain_name(*a), plain_name(*b));
}

/* XXH3-128 over, for each tensor: name and dtype with their NULs, rank and sizes as 64-bit
 * little-endian integers, the stored bytes. */
static void hash_tensors(XXH3_state_t *state, const struct iol_tensor *const *used, size_t count,
                         char out_text[33])
{
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < count; i++) {
        const char *name = plain_name(used[i]), *dtype = iol_dtype_name(used[i]->dtype);
        XXH3_128bits_update(state, name, strlen(name) + 1);
        XXH3_128bits_update(state, dtype, strlen(dtype) + 1);
        uint64_t sizes[1 + IOL_TENSOR_RANK] = {used[i]->rank};
        for (size_t axis = 0; axis < used[i]->rank; axis++) {
            sizes[1 + axis] = used[i]->shape[axis];
        }
        XXH3_128bits_update(state, sizes, (1 + used[i]->rank) * sizeof *sizes);
        XXH3_128bits_update(state, used[i]->data, used[i]->bytes);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    snprintf(out_text, 33, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

static enum iol_status record_weights(struct iol_model *model, const struct iol_tensors *tensors)
{
    enum iol_status status = IOL_OK;
    struct iol_model_info *info = &model->info;
    const struct iol_tensor **used = iol_alloc(tensors->count, sizeof *used);
    XXH3_state_t *state = XXH3_createState();
    size_t count = 0;
    if (!used || !state) {
        status = iol_fail(IOL_E_NOMEM, "%s: out of memory for the hash of %zu tensors",
                          tensors->path, tensors->count);
        goto out;
    }
    for (size_t i = 0; i < tensors->count; i++) {
        const struct iol_tensor *tensor = &tensors->items[i];
        if (!tensor->used) {
            continue;
        }
        const char *dtype = iol_dtype_name(tensor->dtype);
        info->dtype = !info->dtype ? dtype : strcmp(info->dtype, dtype) == 0 ? dtype : "mixed";
        info->parameters += tensor->elements;
        info->file_bytes += tensor->bytes;
        used[count++] = tensor;
    }
    qsort(used, count, sizeof *used, by_plain_name);
    hash_tensors(state, used, count, info->weights_hash);
out:
    XXH3_freeState(state);
    iol_free(used);
    return status;
}

/* --- steps ---------------------------------------------------------------------------------------
 */

static const char *const step_names[] = {
    [IOL_STEP_ATTENTION] = "attention", [IOL_STEP_MLP] = "mlp"};

/* Kind, layer, scale and detail of every step: the same for all families. */
static enum iol_status describe_steps(struct iol_model *model)
{
    enum iol_status status = IOL_OK;
    const struct iol_arch *a = &model->arch;
    size_t kv = a->kv_heads * a->head_dim;
    for (size_t i = 0; i < model->step_count; i++) {
        struct iol_step *step = &model->steps[i];
        char *text;
        step->layer = i / 2;
        if (i % 2 == 0) {
            step->kind = IOL_STEP_ATTENTION;
            double scale = a->scale_attn ? 1 / sqrt((double)a->head_dim) : 1;
            step->scale = (float)(scale / (a->scale_attn_by_layer ? (double)step->layer + 1 : 1));
            text = iol_format("norm, q %zu, k %zu, v %zu, %zu heads of %zu, o %zu", step->q.n, kv,
                              kv, a->heads, a->head_dim, step->o.n);
        } else {
            step->kind = IOL_STEP_MLP;
            text = a->gated ? iol_format("norm, gate %zu, up %zu, %s, down %zu", step->gate.n,
                                         step->up.n, activation_names[a->activation], step->down.n)
                            : iol_format("norm, up %zu, %s, down %zu", step->up.n,
                                         activation_names[a->activation], step->down.n);
        }
        IOL_TRY(keep_text(model, text, &step->detail));
    }
out:
    return status;
}

void iol_model_get_step(const struct iol_model *model, size_t index, struct iol_step_info *out_step)
{
    *out_step = (struct iol_step_info){0};
    if (index >= model->step_count) {
        return;
    }
    const struct iol_step *step = &model->steps[index];
    const struct iol_packed *const products[] = {&step->q,    &step->kv, &step->o,
                                                 &step->gate, &step->up, &step->down};
    uint64_t weights = 0, others = model->arch.d_model * (step->norm.bias ? 2 : 1);
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        if (products[i]->panels) {
            weights += (uint64_t)products[i]->n * products[i]->k;
            others += products[i]->bias ? products[i]->n : 0;
        }
    }
    *out_step = (struct iol_step_info){.kind = step_names[step->kind],
                                       .detail = step->detail,
                                       .layer = step->layer,
                                       .parameters = weights + others,
                                       .row_flops = 2 * (double)weights};
}

void iol_model_embed(const struct iol_model *model, size_t token, float *out_row)
{
    const size_t d = model->arch.d_model;
    iol_dtype_widen(model->embedding_dtype, d,
                    model->token_embedding + token * d * iol_dtype_bytes(model->embedding_dtype),
                    out_row);
}

/* --- open, close -------------------------------------------------------------------------------
 */

/* Last component of the folder; of its real path where that says nothing ("", ".", ".."). */
static enum iol_status record_name(struct iol_model *model, const char *folder)
{
    size_t end = strlen(folder);
    while (end > 0 && folder[end - 1] == '/') {
        end--;
    }
    size_t begin = end;
    while (begin > 0 && folder[begin - 1] != '/') {
        begin--;
    }
    size_t length = end - begin;
    char *real = NULL, *kept = NULL;
    const char *name = folder + begin;
    bool dots = (length == 1 && name[0] == '.') || (length == 2 && memcmp(name, "..", 2) == 0);
    if (length == 0 || dots) {
        real = realpath(folder, NULL);
        const char *slash = real ? strrchr(real, '/') : NULL;
        name = slash ? slash + 1 : name;
        length = slash ? strlen(name) : length;
    }
    enum iol_status status = keep_text(model, iol_strndup(name, length), &kept);
    model->info.name = kept;
    free(real);
    return status;
}

static void record_sizes(struct iol_model *model)
{
    const struct iol_arch *a = &model->arch;
    struct iol_model_info *info = &model->info;
    info->layers = a->layers;
    info->d_model = a->d_model;
    info->heads = a->heads;
    info->kv_heads = a->kv_heads;
    info->head_dim = a->head_dim;
    info->d_ff = a->d_ff;
    info->vocab = a->vocab;
    info->context = a->context;
    info->tied = a->tied;
    info->steps = model->step_count;
}

enum iol_status iol_model_open(const struct iol_ctx *ctx, const char *folder,
                               struct iol_model **out_model)
{
    enum iol_status status = IOL_OK;
    struct iol_fpmode mode = iol_fpmode_enter();
    struct iol_tensors tensors = {0};
    const struct iol_family *family = NULL;
    *out_model = NULL;
    struct iol_model *model = iol_alloc(1, sizeof *model);
    if (!model) {
        status = iol_fail(IOL_E_NOMEM, "%s: out of memory for a model", folder);
        goto out;
    }
    IOL_TRY(record_name(model, folder));
    IOL_TRY(open_config(folder, &model->arch, &family));
    model->info.family = family->name;
    IOL_TRY(iol_tensors_open(folder, &tensors));
    IOL_TRY(family->load(model, &tensors)); /* bound by the disk; the panels suit every ISA */
    if (ctx && ctx->ops.fast) {
        IOL_TRY(iol_model_round(model, ctx->ops.fast, ctx->threads));
    }
    IOL_TRY(describe_steps(model));
    IOL_TRY(record_weights(model, &tensors));
    IOL_TRY(record_architecture(model));
    record_sizes(model);
    *out_model = model;
    model = NULL;
out:
    iol_tensors_close(&tensors);
    iol_model_close(model);
    iol_fpmode_leave(mode);
    return status;
}

void iol_model_close(struct iol_model *model)
{
    if (!model) {
        return;
    }
    for (size_t i = 0; i < model->block_count; i++) {
        iol_free(model->blocks[i]);
    }
    iol_free(model->blocks);
    iol_free(model);
}

const struct iol_model_info *iol_model_get_info(const struct iol_model *model)
{
    return &model->info;
}
