/* Llama: RMSNorm, rotary attention with grouped keys and values, SiLU-gated MLP. Names as
 * LlamaForCausalLM of transformers writes them. Touvron et al. 2023 (arXiv 2302.13971). */
#include <stdio.h>
#include <string.h>

#include "model/config.h"
#include "model/loader.h"
#include "model/model.h"

static enum iol_status parse_heads(const struct iol_json *config, struct iol_arch *arch)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_json_size_or(config, "num_key_value_heads", arch->heads, &arch->kv_heads));
    if (arch->heads % arch->kv_heads != 0) {
        status = iol_fail(IOL_E_FORMAT,
                          "%s: key 'num_key_value_heads' is %zu, expected a divisor of "
                          "num_attention_heads, which is %zu",
                          config->path, arch->kv_heads, arch->heads);
        goto out;
    }
    IOL_TRY(iol_json_size_or(config, "head_dim", 0, &arch->head_dim));
    if (arch->head_dim == 0) {
        if (arch->d_model % arch->heads != 0) {
            status = iol_fail(IOL_E_FORMAT,
                              "%s: key 'num_attention_heads' is %zu, expected a divisor of "
                              "hidden_size, which is %zu (or a head_dim)",
                              config->path, arch->heads, arch->d_model);
            goto out;
        }
        arch->head_dim = arch->d_model / arch->heads;
    }
    if (arch->head_dim % 2 != 0) {
        status = iol_fail(IOL_E_FORMAT,
                          "%s: key 'head_dim' is %zu, expected an even number for rotation",
                          config->path, arch->head_dim);
    }
out:
    return status;
}

static enum iol_status parse(const json_t *object, const char *path, struct iol_arch *out_arch)
{
    enum iol_status status = IOL_OK;
    const struct iol_json config = {.object = object, .path = path, .prefix = ""};
    struct iol_arch *arch = out_arch;
    const char *activation;
    *arch = (struct iol_arch){
        .norm = IOL_NORM_RMS, .activation = IOL_ACT_SILU, .gated = true, .scale_attn = true};
    IOL_TRY(iol_json_size(&config, "num_hidden_layers", &arch->layers));
    IOL_TRY(iol_json_size(&config, "hidden_size", &arch->d_model));
    IOL_TRY(iol_json_size(&config, "intermediate_size", &arch->d_ff));
    IOL_TRY(iol_json_size(&config, "num_attention_heads", &arch->heads));
    IOL_TRY(iol_json_size(&config, "vocab_size", &arch->vocab));
    IOL_TRY(iol_json_size(&config, "max_position_embeddings", &arch->context));
    IOL_TRY(parse_heads(&config, arch));
    IOL_TRY(iol_json_positive_or(&config, "rms_norm_eps", 1e-6, &arch->eps));
    IOL_TRY(iol_rope_parse(&config, arch->context, &arch->rope));
    IOL_TRY(iol_json_text_or(&config, "hidden_act", "silu", &activation));
    if (strcmp(activation, "silu") != 0) {
        status = iol_fail(IOL_E_UNSUPPORTED, "%s: key 'hidden_act' is \"%.64s\", expected \"silu\"",
                          path, activation);
        goto out;
    }
    IOL_TRY(iol_json_bool_or(&config, "attention_bias", false, &arch->qkv_bias));
    arch->o_bias = arch->qkv_bias;
    IOL_TRY(iol_json_bool_or(&config, "mlp_bias", false, &arch->mlp_bias));
    IOL_TRY(iol_json_bool_or(&config, "tie_word_embeddings", false, &arch->tied));
out:
    return status;
}

struct layer {
    const struct iol_tensor *attention_norm, *q, *k, *v, *o, *q_bias, *k_bias, *v_bias, *o_bias;
    const struct iol_tensor *mlp_norm, *gate, *up, *down, *gate_bias, *up_bias, *down_bias;
};

static enum iol_status find_layer(const struct iol_tensors *t, const struct iol_arch *arch,
                                  size_t layer, struct layer *out)
{
    enum iol_status status = IOL_OK;
    size_t d = arch->d_model, ff = arch->d_ff;
    size_t q = arch->heads * arch->head_dim, kv = arch->kv_heads * arch->head_dim;
    char at[64];
    snprintf(at, sizeof at, "model.layers.%zu.", layer);
    *out = (struct layer){0};
    IOL_TRY(iol_find_vector(t, at, "input_layernorm.weight", d, &out->attention_norm));
    IOL_TRY(iol_find_matrix(t, at, "self_attn.q_proj.weight", q, d, &out->q));
    IOL_TRY(iol_find_matrix(t, at, "self_attn.k_proj.weight", kv, d, &out->k));
    IOL_TRY(iol_find_matrix(t, at, "self_attn.v_proj.weight", kv, d, &out->v));
    IOL_TRY(iol_find_matrix(t, at, "self_attn.o_proj.weight", d, q, &out->o));
    if (arch->qkv_bias) {
        IOL_TRY(iol_find_vector(t, at, "self_attn.q_proj.bias", q, &out->q_bias));
        IOL_TRY(iol_find_vector(t, at, "self_attn.k_proj.bias", kv, &out->k_bias));
        IOL_TRY(iol_find_vector(t, at, "self_attn.v_proj.bias", kv, &out->v_bias));
        IOL_TRY(iol_find_vector(t, at, "self_attn.o_proj.bias", d, &out->o_bias));
    }
    IOL_TRY(iol_find_vector(t, at, "post_attention_layernorm.weight", d, &out->mlp_norm));
    IOL_TRY(iol_find_matrix(t, at, "mlp.gate_proj.weight", ff, d, &out->gate));
    IOL_TRY(iol_find_matrix(t, at, "mlp.up_proj.weight", ff, d, &out->up));
    IOL_TRY(iol_find_matrix(t, at, "mlp.down_proj.weight", d, ff, &out->down));
    if (arch->mlp_bias) {
        IOL_TRY(iol_find_vector(t, at, "mlp.gate_proj.bias", ff, &out->gate_bias));
        IOL_TRY(iol_find_vector(t, at, "mlp.up_proj.bias", ff, &out->up_bias));
        IOL_TRY(iol_find_vector(t, at, "mlp.down_proj.bias", d, &out->down_bias));
    }
out:
    return status;
}

static enum iol_status load_attention(struct iol_model *model, const struct layer *from,
                                      struct iol_step *step)
{
    enum iol_status status = IOL_OK;
    const struct iol_arch *arch = &model->arch;
    size_t q = arch->heads * arch->head_dim, kv = arch->kv_heads * arch->head_dim;
    IOL_TRY(iol_load_norm(model, from->attention_norm, NULL, &step->norm));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->q, NULL), q, arch->d_model, arch->qkv_bias,
                            &step->q));
    IOL_TRY(iol_load_rows(from->q, from->q_bias, 0, &step->q));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->k, from->v), 2 * kv, arch->d_model,
                            arch->qkv_bias, &step->kv));
    IOL_TRY(iol_load_rows(from->k, from->k_bias, 0, &step->kv));
    IOL_TRY(iol_load_rows(from->v, from->v_bias, kv, &step->kv));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->o, NULL), arch->d_model, q, arch->o_bias,
                            &step->o));
    IOL_TRY(iol_load_rows(from->o, from->o_bias, 0, &step->o));
out:
    return status;
}

static enum iol_status load_mlp(struct iol_model *model, const struct layer *from,
                                struct iol_step *step)
{
    enum iol_status status = IOL_OK;
    const struct iol_arch *arch = &model->arch;
    size_t d = arch->d_model, ff = arch->d_ff;
    IOL_TRY(iol_load_norm(model, from->mlp_norm, NULL, &step->norm));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->gate, NULL), ff, d, arch->mlp_bias,
                            &step->gate));
    IOL_TRY(iol_load_rows(from->gate, from->gate_bias, 0, &step->gate));
    IOL_TRY(
        iol_load_panels(model, iol_panels_of(from->up, NULL), ff, d, arch->mlp_bias, &step->up));
    IOL_TRY(iol_load_rows(from->up, from->up_bias, 0, &step->up));
    IOL_TRY(iol_load_panels(model, iol_panels_of(from->down, NULL), d, ff, arch->mlp_bias,
                            &step->down));
    IOL_TRY(iol_load_rows(from->down, from->down_bias, 0, &step->down));
out:
    return status;
}

/* The stored rotary frequencies follow from config.json; a tied lm_head repeats the embedding. */
static bool harmless_untied(const char *name)
{
    static const char suffix[] = ".rotary_emb.inv_freq";
    size_t length = strlen(name);
    return length >= sizeof suffix && strcmp(name + length - (sizeof suffix - 1), suffix) == 0;
}

static bool harmless_tied(const char *name)
{
    return harmless_untied(name) || strcmp(name, "lm_head.weight") == 0;
}

static enum iol_status load(struct iol_model *model, struct iol_tensors *tensors)
{
    enum iol_status status = IOL_OK;
    const struct iol_arch *arch = &model->arch;
    const struct iol_tensor *embedding, *norm, *unembedding = NULL;
    struct layer layer;
    char config[128];
    /* Everything is found before anything is allocated: sizes then come from the files too. */
    IOL_TRY(iol_find_matrix(tensors, "", "model.embed_tokens.weight", arch->vocab, arch->d_model,
                            &embedding));
    for (size_t l = 0; l < arch->layers; l++) {
        IOL_TRY(find_layer(tensors, arch, l, &layer));
    }
    IOL_TRY(iol_find_vector(tensors, "", "model.norm.weight", arch->d_model, &norm));
    if (!arch->tied) {
        IOL_TRY(iol_find_matrix(tensors, "", "lm_head.weight", arch->vocab, arch->d_model,
                                &unembedding));
    }
    snprintf(config, sizeof config, "%zu layers, attention_bias %s, mlp_bias %s", arch->layers,
             arch->qkv_bias ? "true" : "false", arch->mlp_bias ? "true" : "false");
    IOL_TRY(iol_find_rest(tensors, arch->tied ? harmless_tied : harmless_untied, "llama", config));

    IOL_TRY(iol_model_block(model, 2 * arch->layers, sizeof *model->steps, &model->steps));
    model->step_count = 2 * arch->layers;
    for (size_t l = 0; l < arch->layers; l++) {
        IOL_TRY(find_layer(tensors, arch, l, &layer));
        IOL_TRY(load_attention(model, &layer, &model->steps[2 * l]));
        IOL_TRY(load_mlp(model, &layer, &model->steps[2 * l + 1]));
    }
    IOL_TRY(iol_load_embedding(model, embedding));
    IOL_TRY(iol_load_norm(model, norm, NULL, &model->final_norm));
    IOL_TRY(iol_load_unembed(model, arch->tied ? embedding : unembedding));
out:
    return status;
}

const struct iol_family iol_family_llama = {"llama", parse, load};
