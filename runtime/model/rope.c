/* Rotary position embeddings: their parameters in config.json and the table of cos and sin.
 *
 *   f_i = theta^(-2 i / head_dim), i < head_dim / 2     angle = position * f_i
 *   linear: f_i / factor
 *   llama3: long waves (2 pi / f_i > original / low) are divided by factor, short ones (< original
 * / high) are kept, between them the two are blended linearly in original / wave
 *
 * Su et al. 2021 (arXiv 2104.09864); llama3: the Llama 3.1 model code. */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "model/model.h"

/* By their per-ISA names: sleef.h declares them only under -mavx2 on x86, and the runtime is
 * compiled for the baseline. They need FMA at run time, which opening a context checks. */
double Sleef_powd1_u10purecfma(double x, double y);
double Sleef_sind1_u10purecfma(double x);
double Sleef_cosd1_u10purecfma(double x);

static const struct {
    const char *name;
    enum iol_rope_kind kind;
} kinds[] = {
    {"default", IOL_ROPE_DEFAULT}, {"linear", IOL_ROPE_LINEAR}, {"llama3", IOL_ROPE_LLAMA3}};

/* The object that holds the parameters: rope_scaling (old) wins over rope_parameters, as in
 * transformers; without either, the root holds rope_theta alone. */
static enum iol_status find_parameters(const struct iol_json *config, struct iol_json *out_rope)
{
    static const char *const names[] = {"rope_scaling", "rope_parameters"};
    static const char *const prefixes[] = {"rope_scaling.", "rope_parameters."};
    *out_rope = (struct iol_json){.path = config->path, .prefix = ""};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = iol_json_get(config, names[i]);
        if (!value || (json_is_object(value) && json_object_size(value) == 0)) {
            continue;
        }
        if (!json_is_object(value)) {
            char found[96];
            return iol_fail(IOL_E_FORMAT, "%s: key '%s' is %s, expected an object or null",
                            config->path, names[i], iol_json_describe(value, found));
        }
        out_rope->object = value;
        out_rope->prefix = prefixes[i];
        break;
    }
    for (void *it = json_object_iter((json_t *)(uintptr_t)out_rope->object); it;
         it = json_object_iter_next((json_t *)(uintptr_t)out_rope->object, it)) {
        if (json_is_object(json_object_iter_value(it))) {
            return iol_fail(IOL_E_UNSUPPORTED,
                            "%s: key '%s%.64s' is an object: rotary parameters per layer type are "
                            "not supported, expected one set for all layers",
                            out_rope->path, out_rope->prefix, json_object_iter_key(it));
        }
    }
    return IOL_OK;
}

static enum iol_status parse_kind(const struct iol_json *rope, enum iol_rope_kind *out_kind)
{
    enum iol_status status = IOL_OK;
    const char *key = iol_json_get(rope, "rope_type") ? "rope_type" : "type", *name;
    *out_kind = IOL_ROPE_DEFAULT;
    IOL_TRY(iol_json_text_or(rope, key, "default", &name));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            *out_kind = kinds[i].kind;
            goto out;
        }
    }
    status = iol_fail(IOL_E_UNSUPPORTED,
                      "%s: key '%s%s' is \"%.64s\", expected \"default\", \"linear\" or \"llama3\"",
                      rope->path, rope->prefix, key, name);
out:
    return status;
}

static enum iol_status refuse_partial(const struct iol_json *json)
{
    double part;
    enum iol_status status = iol_json_positive_or(json, "partial_rotary_factor", 1, &part);
    if (status == IOL_OK && (part < 1 || part > 1)) {
        status = iol_fail(IOL_E_UNSUPPORTED,
                          "%s: key '%spartial_rotary_factor' is %g, expected 1: rotating a part of "
                          "a head is not supported",
                          json->path, json->prefix, part);
    }
    return status;
}

enum iol_status iol_rope_parse(const struct iol_json *config, size_t context,
                               struct iol_rope *out_rope)
{
    enum iol_status status = IOL_OK;
    struct iol_json rope;
    *out_rope = (struct iol_rope){.kind = IOL_ROPE_DEFAULT, .factor = 1};
    IOL_TRY(find_parameters(config, &rope));
    IOL_TRY(iol_json_positive_or(config, "rope_theta", 10000, &out_rope->theta));
    IOL_TRY(refuse_partial(config));
    if (!rope.object) {
        goto out;
    }
    IOL_TRY(iol_json_positive_or(&rope, "rope_theta", out_rope->theta, &out_rope->theta));
    IOL_TRY(refuse_partial(&rope));
    IOL_TRY(parse_kind(&rope, &out_rope->kind));
    if (out_rope->kind != IOL_ROPE_DEFAULT) {
        IOL_TRY(iol_json_positive(&rope, "factor", &out_rope->factor));
    }
    if (out_rope->kind == IOL_ROPE_LLAMA3) {
        static const char original[] = "original_max_position_embeddings";
        IOL_TRY(iol_json_positive(&rope, "low_freq_factor", &out_rope->low_freq_factor));
        IOL_TRY(iol_json_positive(&rope, "high_freq_factor", &out_rope->high_freq_factor));
        const struct iol_json *place = iol_json_get(config, original) ? config : &rope;
        IOL_TRY(
            iol_json_positive_or(place, original, (double)context, &out_rope->original_context));
        if (!(out_rope->low_freq_factor < out_rope->high_freq_factor)) {
            status = iol_fail(IOL_E_FORMAT,
                              "%s: key '%shigh_freq_factor' is %g, expected more than "
                              "low_freq_factor, which is %g",
                              rope.path, rope.prefix, out_rope->high_freq_factor,
                              out_rope->low_freq_factor);
        }
    }
out:
    return status;
}

/* Frequency of pair i, scaled. */
static double frequency(const struct iol_arch *arch, size_t i)
{
    const struct iol_rope *rope = &arch->rope;
    double f = 1 / Sleef_powd1_u10purecfma(rope->theta, (double)(2 * i) / (double)arch->head_dim);
    if (rope->kind == IOL_ROPE_LINEAR) {
        return f / rope->factor;
    }
    if (rope->kind == IOL_ROPE_LLAMA3) {
        const double two_pi = 6.283185307179586;
        double wave = two_pi / f, low = rope->low_freq_factor, high = rope->high_freq_factor;
        if (wave < rope->original_context / high) {
            return f;
        }
        if (wave > rope->original_context / low) {
            return f / rope->factor;
        }
        double smooth = (rope->original_context / wave - low) / (high - low);
        return (1 - smooth) * f / rope->factor + smooth * f;
    }
    return f;
}

void iol_rope_table(const struct iol_arch *arch, size_t positions, float *out_cos, float *out_sin)
{
    if (arch->rope.kind == IOL_ROPE_NONE) {
        return;
    }
    struct iol_fpmode mode = iol_fpmode_enter();
    size_t half = arch->head_dim / 2;
    for (size_t i = 0; i < half; i++) {
        double f = frequency(arch, i);
        for (size_t p = 0; p < positions; p++) {
            double angle = (double)p * f;
            out_cos[p * half + i] = (float)Sleef_cosd1_u10purecfma(angle);
            out_sin[p * half + i] = (float)Sleef_sind1_u10purecfma(angle);
        }
    }
    iol_fpmode_leave(mode);
}
