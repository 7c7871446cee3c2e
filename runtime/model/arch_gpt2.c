/* GPT-2: LayerNorm, learned positions, GELU MLP, weights of Conv1D stored as (inputs, outputs).
 * Names as GPT2LMHeadModel of transformers writes them, or GPT2Model's without "transformer.".
 * Radford et al. 2019. */
#include <stdio.h>
#include <string.h>

#include "model/config.h"
#include "model/loader.h"
#include "model/model.h"

static enum iol_status parse_activation(const struct iol_json *config,
                                        enum iol_activation *out_activation)
{
    const char *name;
    *out_activation = IOL_ACT_GELU_TANH;
    enum iol_status status = iol_json_text_or(config, "activation_function", "gelu_new", &name);
    if (status != IOL_OK || strcmp(name, "gelu_new") == 0 ||
        strcmp(name, "gelu_pytorch_tanh") == 0) {
        return status;
    }
    if (strcmp(name, "gelu") == 0) {
        *out_activation = IOL_ACT_GELU_ERF;
        return IOL_OK;
    }
    return iol_fail(IOL_E_UNSUPPORTED,
                    "%s: key 'activation_function' is \"%.64s\", expected \"gelu_new\", "
                    "\"gelu_pytorch_tanh\" or \"gelu\"",
                    config->path, name);
}

static enum iol_status parse(const json_t *object, const char *path, struct iol_arch *out_arch)
{
    enum iol_status status = IOL_OK;
    const struct iol_json config = {.object = object, .path = path, .prefix = ""};
    struct iol_arch *arch = out_arch;
    *arch = (struct iol_arch){
        .norm = IOL_NORM_LAYER, .qkv_bias = true, .o_bias = true, .mlp_bias = true};
    IOL_TRY(iol_json_size(&config, "n_layer", &arch->layers));
    IOL_TRY(iol_json_size(&config, "n_embd", &arch->d_model));
    IOL_TRY(iol_json_size(&config, "n_head", &arch->heads));
    IOL_TRY(iol_json_size(&config, "vocab_size", &arch->vocab));
    IOL_TRY(iol_json_size(&config, "n_positions", &arch->context));
    IOL_TRY(iol_json_size_or(&config, "n_inner", 4 * arch->d_model, &arch->d_ff));
    if (arch->d_model % arch->heads != 0) {
        status = iol_fail(IOL_E_FORMAT,
                          "%s: key 'n_head' is %zu, expected a divisor of n_embd, which is %zu",
                          path, arch->heads, arch->d_model);
        goto out;
    }
    arch->kv_heads = arch->heads;
    arch->head_dim = arch->d_model / arch->heads;
    IOL_TRY(iol_json_positive_or(&config, "layer_norm_epsilon", 1e-5, &arch->eps));
    IOL_TRY(parse_activation(&config, &arch->activation));
    IOL_TRY(iol_json_bool_or(&config, "scale_attn_weights", true, &arch->scale_attn));
    IOL_TRY(iol_json_bool_or(&config, "scale_attn_by_inverse_layer_idx", false,
                             &arch->scale_attn_by_layer));
    IOL_TRY(iol_json_bool_or(&config, "tie_word_embeddings", true, &arch->tied));
    IOL_TRY(iol_json_refuse(&config, "add_cross_attention", "cross-attention"));
    IOL_TRY(iol_json_refuse(&config, "pruned_heads", "a model with heads cut out"));
out:
    return status;
}

struct layer {
    const struct iol_tensor *norm_1, *norm_1_bias, *qkv, *qkv_bias, *o, *o_bias;
    const struct iol_tensor *norm_2, *norm_2_bias, *up, *up_bias, *down, *down_bias;
};

static enum iol_status find_layer(const struct iol_tensors *t, const struct iol_arch *arch,
                                  const char *prefix, size_t layer, struct layer *out)
{
    enum iol_status status = IOL_OK;
    size_t d = arch->d_model, ff = arch->d_ff;
    char at[64];
    snprintf(at, sizeof at, "%sh.%zu.", prefix, layer);
    *out = (struct layer){0};
    IOL_TRY(iol_find_vector(t, at, "ln_1.weight", d, &out->norm_1));
    IOL_TRY(iol_find_vector(t, at, "ln_1.bias", d, &out->norm_1_bias));
    IOL_TRY(iol_find_matrix(t, at, "attn.c_attn.weight", d, 3 * d, &out->qkv));
    IOL_TRY(iol_find_vector(t, at, "attn.c_attn.bias", 3 * d, &out->qkv_bias));
    IOL_TRY(iol_find_matrix(t, at, "attn.c_proj.weight", d, d, &out->o));
    IOL_TRY(iol_find_vector(t, at, "attn.c_proj.bias", d, &out->o_bias));
    IOL_TRY(iol_find_vector(t, at, "ln_2.weight", d, &out->norm_2));
    IOL_TRY(iol_find_vector(t, at, "ln_2.bias", d, &out->norm_2_bias));
    IOL_TRY(iol_find_matrix(t, at, "mlp.c_fc.weight", d, ff, &out->up));
    IOL_TRY(iol_find_vector(t, at, "mlp.c_fc.bias", ff, &out->up_bias));
    IOL_TRY(iol_find_matrix(t, at, "mlp.c_proj.weight", ff, d, &out->down));
    IOL_TRY(iol_find_vector(t, at, "mlp.c_proj.bias", d, &out->down_bias));
out:
    return status;
}

static enum iol_status load_layer(struct iol_model *model, const struct layer *from,
                                  struct iol_step *attention, struct iol_step *mlp)
{
    enum iol_status status = IOL_OK;
    size_t d = model->arch.d_model, ff = model->arch.d_ff;
    IOL_TRY(iol_load_norm(model, from->norm_1, from->norm_1_bias, &attention->norm));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->qkv, NULL), d, d, true, &attention->q));
    IOL_TRY(iol_load_columns(from->qkv, from->qkv_bias, 0, &attention->q));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->qkv, NULL), 2 * d, d, true, &attention->kv));
    IOL_TRY(iol_load_columns(from->qkv, from->qkv_bias, d, &attention->kv));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->o, NULL), d, d, true, &attention->o));
    IOL_TRY(iol_load_columns(from->o, from->o_bias, 0, &attention->o));
    IOL_TRY(iol_load_norm(model, from->norm_2, from->norm_2_bias, &mlp->norm));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->up, NULL), ff, d, true, &mlp->up));
    IOL_TRY(iol_load_columns(from->up, from->up_bias, 0, &mlp->up));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->down, NULL), d, ff, true, &mlp->down));
    IOL_TRY(iol_load_columns(from->down, from->down_bias, 0, &mlp->down));
out:
    return status;
}

/* Stored mask buffers: [transformer.]h.<layer>.attn.bias, .attn.masked_bias. */
static bool harmless_untied(const char *name)
{
    name += strncmp(name, "transformer.", 12) == 0 ? 12 : 0;
    if (strncmp(name, "h.", 2) != 0) {
        return false;
    }
    size_t digits = strspn(name + 2, "0123456789");
    const char *rest = name + 2 + digits;
    return digits > 0 &&
           (strcmp(rest, ".attn.bias") == 0 || strcmp(rest, ".attn.masked_bias") == 0);
}

/* A tied lm_head repeats the embedding. */
static bool harmless_tied(const char *name)
{
    return harmless_untied(name) || strcmp(name, "lm_head.weight") == 0;
}

static enum iol_status load(struct iol_model *model, struct iol_tensors *tensors)
{
    enum iol_status status = IOL_OK;
    const struct iol_arch *arch = &model->arch;
    const struct iol_tensor *tokens, *positions, *norm, *norm_bias, *unembedding = NULL;
    struct layer layer;
    char config[64];
    size_t d = arch->d_model;
    bool bare = iol_tensors_find(tensors, "wte.weight");
    const char *prefix = bare ? "" : "transformer.";
    /* Everything is found before anything is allocated: sizes then come from the files too. */
    IOL_TRY(iol_find_matrix(tensors, prefix, "wte.weight", arch->vocab, d, &tokens));
    IOL_TRY(iol_find_matrix(tensors, prefix, "wpe.weight", arch->context, d, &positions));
    for (size_t l = 0; l < arch->layers; l++) {
        IOL_TRY(find_layer(tensors, arch, prefix, l, &layer));
    }
    IOL_TRY(iol_find_vector(tensors, prefix, "ln_f.weight", d, &norm));
    IOL_TRY(iol_find_vector(tensors, prefix, "ln_f.bias", d, &norm_bias));
    if (!arch->tied) {
        IOL_TRY(iol_find_matrix(tensors, "", "lm_head.weight", arch->vocab, d, &unembedding));
    }
    snprintf(config, sizeof config, "%zu layers", arch->layers);
    IOL_TRY(iol_find_rest(tensors, arch->tied ? harmless_tied : harmless_untied, "gpt2", config));

    IOL_TRY(iol_model_block(model, 2 * arch->layers, sizeof *model->steps, &model->steps));
    model->step_count = 2 * arch->layers;
    for (size_t l = 0; l < arch->layers; l++) {
        IOL_TRY(find_layer(tensors, arch, prefix, l, &layer));
        IOL_TRY(load_layer(model, &layer, &model->steps[2 * l], &model->steps[2 * l + 1]));
    }
    IOL_TRY(iol_load_embedding(model, tokens));
    IOL_TRY(iol_load_floats(model, positions, &model->position_embedding));
    IOL_TRY(iol_load_norm(model, norm, norm_bias, &model->final_norm));
    IOL_TRY(iol_load_unembed(model, arch->tied ? tokens : unembedding));
out:
    return status;
}

const struct iol_family iol_family_gpt2 = {"gpt2", parse, load};
