/* Models: what is stored is what the opened model holds; config styles; identity by hash. */
#define _GNU_SOURCE
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/safetensors.h"
#include "model_writer.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const struct shape llama = {2, 10, 6, 2, 4, 19, 53, 32, false, false, false, "F32", ""};
static const struct shape gpt2 = {
    2, 12, 3, 3, 4, 21, 50, 9, true, true, true, "F32", "transformer."};

static struct writer writer;

/* Opens while the caller's mode is not the library's: the result must not depend on it. */
static struct iol_model *open_model(const char *folder)
{
    struct iol_model *model;
#if defined(__x86_64__)
    unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | 0xE040); /* FTZ, DAZ, towards zero */
#endif
    enum iol_status status = iol_model_open(NULL, folder, &model);
#if defined(__x86_64__)
    _mm_setcsr(saved);
#endif
    if (status != IOL_OK) {
        fail_msg("%s", iol_error());
    }
    return model;
}

static void refuse_model(const char *folder, enum iol_status expected, const char *part)
{
    struct iol_model *model;
    assert_int_equal(iol_model_open(NULL, folder, &model), expected);
    assert_null(model);
    if (!strstr(iol_error(), part)) {
        fail_msg("'%s' does not hold '%s'", iol_error(), part);
    }
}

static const float *stored(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const float *stored(const char *format, ...)
{
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const struct stored *t = writer_find(&writer, name);
    if (!t) {
        fail_msg("the test wrote no tensor '%s'", name);
    }
    return t ? t->values : NULL;
}

/* Rows row0 .. of the panels are the stored (rows, k) matrix, or its transpose's columns. */
static void check_rows(const struct iol_packed *packed, size_t row0, size_t rows,
                       const float *values, size_t row_step, size_t k_step)
{
    float *row = calloc(packed->k, sizeof *row);
    for (size_t r = 0; r < rows; r++) {
        iol_packed_row(packed, row0 + r, row);
        for (size_t k = 0; k < packed->k; k++) {
            assert_memory_equal(&row[k], &values[r * row_step + k * k_step], sizeof *row);
        }
    }
    free(row);
}

static void check_bias(const struct iol_packed *packed, size_t row0, size_t rows,
                       const float *values)
{
    assert_non_null(packed->bias);
    assert_memory_equal(packed->bias + row0, values, rows * sizeof *values);
}

static void check_embedding(const struct iol_model *model, const float *values)
{
    const size_t d = model->arch.d_model;
    float *row = calloc(d, sizeof *row);
    for (size_t t = 0; t < model->arch.vocab; t++) {
        iol_model_embed(model, t, row);
        assert_memory_equal(row, values + t * d, d * sizeof *row);
    }
    free(row);
}

static void check_unembedding(const struct iol_model *model, const float *values)
{
    const struct iol_arch *a = &model->arch;
    check_rows(&model->unembed, 0, a->vocab, values, a->d_model, 1);
    assert_null(model->unembed.bias);
    for (size_t j = 0; j < a->d_model; j++) {
        double sum = 0;
        for (size_t row = 0; row < a->vocab; row++) {
            sum += (double)values[row * a->d_model + j];
        }
        sum /= (double)a->vocab;
        assert_memory_equal(&model->w_mean[j], &sum, sizeof sum);
    }
}

static uint64_t total(bool bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < writer.count; i++) {
        sum += bytes ? writer.items[i].bytes : writer.items[i].elements;
    }
    return sum;
}

static void check_info(const struct iol_model *model, const struct shape *s, const char *family)
{
    const struct iol_model_info *info = iol_model_get_info(model);
    assert_string_equal(info->family, family);
    assert_string_equal(info->dtype, s->dtype);
    assert_int_equal(info->layers, s->layers);
    assert_int_equal(info->d_model, s->d);
    assert_int_equal(info->heads, s->heads);
    assert_int_equal(info->kv_heads, s->kv_heads);
    assert_int_equal(info->head_dim, s->head_dim);
    assert_int_equal(info->d_ff, s->ff);
    assert_int_equal(info->vocab, s->vocab);
    assert_int_equal(info->context, s->context);
    assert_int_equal(info->tied, s->tied);
    assert_int_equal(info->parameters, total(false));
    assert_int_equal(info->file_bytes, total(true));
    /* Matrices stay in the dtype of the file. */
    const bool narrow = strcmp(info->dtype, "F16") == 0 || strcmp(info->dtype, "BF16") == 0;
    assert_true(info->packed_bytes >= (narrow ? 2 : 4) * info->parameters);
    assert_int_equal(model->unembed.dtype, strcmp(info->dtype, "F16") == 0    ? IOL_PANEL_F16
                                           : strcmp(info->dtype, "BF16") == 0 ? IOL_PANEL_BF16
                                                                              : IOL_PANEL_F32);
    assert_int_equal(model->steps[0].q.dtype, model->unembed.dtype);
    assert_int_equal(model->steps[1].down.dtype, model->unembed.dtype);
    assert_int_equal(info->steps, 2 * s->layers);
    assert_int_equal(strlen(info->weights_hash), 32);
    /* steps + embeddings + final norm (+ unembedding) are all parameters */
    uint64_t sum = s->vocab * s->d * (s->tied ? 1 : 2) + s->d;
    sum += model->position_embedding ? s->context * s->d + s->d : 0;
    for (size_t i = 0; i < info->steps; i++) {
        struct iol_step_info step;
        iol_model_get_step(model, i, &step);
        assert_string_equal(step.kind, i % 2 ? "mlp" : "attention");
        assert_int_equal(step.layer, i / 2);
        sum += step.parameters;
    }
    assert_int_equal(sum, info->parameters);
}

static void check_llama(const struct iol_model *model, const struct shape *s)
{
    size_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    check_info(model, s, "llama");
    for (size_t l = 0; l < s->layers; l++) {
        const struct iol_step *a = &model->steps[2 * l], *m = a + 1;
        char at[48], of[64];
        snprintf(at, sizeof at, "model.layers.%zu", l);
        snprintf(of, sizeof of, "%s.self_attn", at);
        assert_int_equal(a->kind, IOL_STEP_ATTENTION);
        assert_int_equal(m->kind, IOL_STEP_MLP);
        assert_memory_equal(a->norm.gain, stored("%s.input_layernorm.weight", at), s->d * 4);
        assert_memory_equal(m->norm.gain, stored("%s.post_attention_layernorm.weight", at),
                            s->d * 4);
        assert_null(a->norm.bias);
        assert_true(a->norm.kind == IOL_NORM_RMS && a->norm.eps == 1e-5f);
        assert_true(a->scale == (float)(1 / sqrt((double)s->head_dim)));
        assert_int_equal(a->q.n, q);
        assert_int_equal(a->kv.n, 2 * kv);
        check_rows(&a->q, 0, q, stored("%s.q_proj.weight", of), s->d, 1);
        check_rows(&a->kv, 0, kv, stored("%s.k_proj.weight", of), s->d, 1);
        check_rows(&a->kv, kv, kv, stored("%s.v_proj.weight", of), s->d, 1);
        check_rows(&a->o, 0, s->d, stored("%s.o_proj.weight", of), q, 1);
        check_rows(&m->gate, 0, s->ff, stored("%s.mlp.gate_proj.weight", at), s->d, 1);
        check_rows(&m->up, 0, s->ff, stored("%s.mlp.up_proj.weight", at), s->d, 1);
        check_rows(&m->down, 0, s->d, stored("%s.mlp.down_proj.weight", at), s->ff, 1);
        if (s->attention_bias) {
            check_bias(&a->q, 0, q, stored("%s.q_proj.bias", of));
            check_bias(&a->kv, 0, kv, stored("%s.k_proj.bias", of));
            check_bias(&a->kv, kv, kv, stored("%s.v_proj.bias", of));
            check_bias(&a->o, 0, s->d, stored("%s.o_proj.bias", of));
        } else {
            assert_true(!a->q.bias && !a->kv.bias && !a->o.bias);
        }
        if (s->mlp_bias) {
            check_bias(&m->gate, 0, s->ff, stored("%s.mlp.gate_proj.bias", at));
            check_bias(&m->up, 0, s->ff, stored("%s.mlp.up_proj.bias", at));
            check_bias(&m->down, 0, s->d, stored("%s.mlp.down_proj.bias", at));
        } else {
            assert_true(!m->gate.bias && !m->up.bias && !m->down.bias);
        }
    }
    const float *embedding = stored("model.embed_tokens.weight");
    check_embedding(model, embedding);
    assert_null(model->position_embedding);
    assert_memory_equal(model->final_norm.gain, stored("model.norm.weight"), s->d * 4);
    check_unembedding(model, s->tied ? embedding : stored("lm_head.weight"));
}

static void check_gpt2(const struct iol_model *model, const struct shape *s)
{
    size_t d = s->d;
    check_info(model, s, "gpt2");
    for (size_t l = 0; l < s->layers; l++) {
        const struct iol_step *a = &model->steps[2 * l], *m = a + 1;
        char at[64];
        snprintf(at, sizeof at, "%sh.%zu", s->prefix, l);
        assert_memory_equal(a->norm.gain, stored("%s.ln_1.weight", at), d * 4);
        assert_memory_equal(a->norm.bias, stored("%s.ln_1.bias", at), d * 4);
        assert_memory_equal(m->norm.gain, stored("%s.ln_2.weight", at), d * 4);
        assert_memory_equal(m->norm.bias, stored("%s.ln_2.bias", at), d * 4);
        const float *qkv = stored("%s.attn.c_attn.weight", at);
        check_rows(&a->q, 0, d, qkv, 1, 3 * d);
        check_rows(&a->kv, 0, 2 * d, qkv + d, 1, 3 * d);
        check_rows(&a->o, 0, d, stored("%s.attn.c_proj.weight", at), 1, d);
        check_rows(&m->up, 0, s->ff, stored("%s.mlp.c_fc.weight", at), 1, s->ff);
        check_rows(&m->down, 0, d, stored("%s.mlp.c_proj.weight", at), 1, d);
        check_bias(&a->q, 0, d, stored("%s.attn.c_attn.bias", at));
        check_bias(&a->kv, 0, 2 * d, stored("%s.attn.c_attn.bias", at) + d);
        check_bias(&a->o, 0, d, stored("%s.attn.c_proj.bias", at));
        check_bias(&m->up, 0, s->ff, stored("%s.mlp.c_fc.bias", at));
        check_bias(&m->down, 0, d, stored("%s.mlp.c_proj.bias", at));
        assert_null(m->gate.panels);
    }
    const float *embedding = stored("%swte.weight", s->prefix);
    check_embedding(model, embedding);
    assert_memory_equal(model->position_embedding, stored("%swpe.weight", s->prefix),
                        s->context * d * 4);
    assert_memory_equal(model->final_norm.gain, stored("%sln_f.weight", s->prefix), d * 4);
    assert_memory_equal(model->final_norm.bias, stored("%sln_f.bias", s->prefix), d * 4);
    check_unembedding(model, s->tied ? embedding : stored("lm_head.weight"));
}

static int clear(void **state)
{
    (void)state;
    writer_clear(&writer);
    return 0;
}

static void test_llama_values(void **state)
{
    (void)state;
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    for (size_t i = 0; i < 12; i++) {
        struct shape s = llama;
        s.dtype = dtypes[i % 3];
        s.tied = i % 2;
        s.attention_bias = i / 3 % 2;
        s.mlp_bias = i / 6 % 2;
        s.d = i == 11 ? 400 : s.d; /* more than one band and k block */
        s.vocab = i == 11 ? 1000 : s.vocab;
        const char *folder = writer_folder("llama");
        writer_llama(&writer, &s);
        writer_single(&writer, folder);
        write_llama_config(folder, &s, "");
        struct iol_model *model = open_model(folder);
        assert_string_equal(iol_model_get_info(model)->name, "llama");
        check_llama(model, &s);
        iol_model_close(model);
        writer_clear(&writer);
    }
}

static void test_gpt2_values(void **state)
{
    (void)state;
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    for (size_t i = 0; i < 6; i++) {
        struct shape s = gpt2;
        s.dtype = dtypes[i % 3];
        s.tied = i % 2;
        s.prefix = i / 3 ? "" : "transformer.";
        s.ff = i == 5 ? 6000 : s.ff; /* more than one band of columns */
        s.d = i == 5 ? 60 : s.d;
        s.head_dim = s.d / s.heads;
        const char *folder = writer_folder("gpt2");
        writer_gpt2(&writer, &s);
        writer_single(&writer, folder);
        write_gpt2_config(folder, &s, "");
        struct iol_model *model = open_model(folder);
        check_gpt2(model, &s);
        iol_model_close(model);
        writer_clear(&writer);
    }
}

/* The hash of the model in `folder`. */
static const char *hash_of(const char *folder, char out[33])
{
    struct iol_model *model = open_model(folder);
    memcpy(out, iol_model_get_info(model)->weights_hash, 33);
    iol_model_close(model);
    return out;
}

static void test_identity(void **state)
{
    (void)state;
    char first[33], other[33];
    const char *single = writer_folder("single"), *sharded = writer_folder("sharded");
    writer_llama(&writer, &llama);
    writer_single(&writer, single);
    writer_sharded(&writer, sharded, 3);
    write_llama_config(single, &llama, "");
    write_llama_config(sharded, &llama, "");
    struct iol_model *model = open_model(sharded);
    check_llama(model, &llama);
    iol_model_close(model);
    assert_string_equal(hash_of(single, first), hash_of(sharded, other));

    /* every tensor counts, down to its lowest bit */
    for (size_t i = 0; i < writer.count; i++) {
        struct stored *t = &writer.items[i];
        const size_t places[] = {0, t->bytes - 4, t->bytes - 1}; /* lowest bits, a sign */
        for (size_t k = 0; k < 3; k++) {
            unsigned char bit = k < 2 ? 1 : 128;
            t->data[places[k]] ^= bit;
            writer_single(&writer, single);
            assert_string_not_equal(hash_of(single, other), first);
            t->data[places[k]] ^= bit;
        }
    }
    /* the order in the file does not */
    struct stored swapped = writer.items[0];
    writer.items[0] = writer.items[writer.count - 1];
    writer.items[writer.count - 1] = swapped;
    writer_single(&writer, single);
    assert_string_equal(hash_of(single, other), first);
    writer_clear(&writer);

    /* GPT-2 with and without the prefix */
    struct shape s = gpt2;
    s.tied = false;
    const char *folder = writer_folder("prefix");
    writer_gpt2(&writer, &s);
    writer_single(&writer, folder);
    write_gpt2_config(folder, &s, "");
    hash_of(folder, first);
    for (size_t i = 0; i < writer.count; i++) {
        char *name = writer.items[i].name;
        if (strncmp(name, "transformer.", 12) == 0) {
            memmove(name, name + 12, strlen(name + 12) + 1);
        }
    }
    writer_single(&writer, folder);
    assert_string_equal(hash_of(folder, other), first);
}

static void test_extra_tensors(void **state)
{
    (void)state;
    char first[33], other[33];
    struct shape s = llama;
    s.tied = true;
    const char *folder = writer_folder("extra");
    writer_llama(&writer, &s);
    writer_single(&writer, folder);
    write_llama_config(folder, &s, "");
    hash_of(folder, first);
    size_t plain = writer.count;
    /* a repeated unembedding and rotary frequencies change nothing */
    writer_add(&writer, "F32", s.vocab, s.d, "lm_head.weight");
    writer_add(&writer, "F32", 2, 0, "model.layers.0.self_attn.rotary_emb.inv_freq");
    writer_single(&writer, folder);
    assert_string_equal(hash_of(folder, other), first);
    /* untied, it is the unembedding */
    s.tied = false;
    write_llama_config(folder, &s, "");
    assert_string_not_equal(hash_of(folder, other), first);
    s.tied = true;
    write_llama_config(folder, &s, "");
    /* what would be dropped silently is refused */
    static const char *const refused[] = {
        "model.layers.1.self_attn.q_proj.bias", "model.layers.0.mlp.up_proj.bias",
        "model.layers.2.input_layernorm.weight", "model.layers.0.self_attn.q_norm.weight"};
    for (size_t i = 0; i < 4; i++) {
        writer_cut(&writer, plain);
        writer_add(&writer, "F32", 8, 0, "%s", refused[i]);
        writer_single(&writer, folder);
        refuse_model(folder, IOL_E_FORMAT, refused[i]);
    }
    writer_clear(&writer);

    folder = writer_folder("masks");
    writer_gpt2(&writer, &gpt2);
    writer_single(&writer, folder);
    write_gpt2_config(folder, &gpt2, "");
    hash_of(folder, first);
    plain = writer.count;
    writer_add(&writer, "F16", 9, 9, "transformer.h.0.attn.bias");
    writer_add(&writer, "F32", 1, 0, "transformer.h.1.attn.masked_bias");
    writer_add(&writer, "F32", gpt2.vocab, gpt2.d, "lm_head.weight");
    writer_single(&writer, folder);
    assert_string_equal(hash_of(folder, other), first);
    writer_cut(&writer, plain);
    writer_add(&writer, "F32", 9, 0, "transformer.h.0.crossattention.c_attn.weight");
    writer_single(&writer, folder);
    refuse_model(folder, IOL_E_FORMAT, "transformer.h.0.crossattention.c_attn.weight");
}

/* Every finite f16 and bf16 pattern, also where the caller flushes denormals. */
static void test_widen_exactly(void **state)
{
    (void)state;
    const char *folder = writer_folder("widen");
    struct stored *half = writer_add(&writer, "F16", 31, 2048, "half");
    struct stored *brain = writer_add(&writer, "BF16", 255, 256, "brain");
    for (size_t i = 0; i < 31 * 2048; i++) {
        writer_set(half, i, (i & 1023) | (i >> 10 & 1) << 15 | (i >> 11) << 10);
    }
    for (size_t i = 0; i < 255 * 256; i++) {
        writer_set(brain, i, (i & 127) | (i >> 7 & 1) << 15 | (i >> 8) << 7);
    }
    writer_single(&writer, folder);
    struct iol_tensors tensors;
    assert_int_equal(iol_tensors_open(folder, &tensors), IOL_OK);
#if defined(__x86_64__)
    unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | 0x8040); /* FTZ, DAZ */
#endif
    const struct stored *all[] = {half, brain};
    bool same = true;
    for (size_t i = 0; i < 2; i++) {
        const struct iol_tensor *tensor;
        float *out = malloc(all[i]->elements * sizeof *out);
        same = same &&
               iol_tensors_require(&tensors, all[i]->name, 2, all[i]->shape, &tensor) == IOL_OK &&
               iol_tensor_widen(tensor, 0, tensor->elements, out) == IOL_OK &&
               memcmp(out, all[i]->values, all[i]->elements * sizeof *out) == 0;
        free(out);
    }
#if defined(__x86_64__)
    _mm_setcsr(saved);
#endif
    iol_tensors_close(&tensors);
    assert_true(same);
}

/* --- config.json --- */

static void test_config_styles(void **state)
{
    (void)state;
    const char *folder = writer_folder("styles");
    writer_llama(&writer, &llama);
    writer_single(&writer, folder);
    static const struct {
        const char *keys, *rope;
    } cases[] = {
        {"", "\"kind\":\"default\",\"theta\":10000,\"factor\":1,"},
        {",\"rope_theta\":500", "\"kind\":\"default\",\"theta\":500,\"factor\":1,"},
        {",\"rope_theta\":500.0,\"rope_scaling\":null",
         "\"kind\":\"default\",\"theta\":500,\"factor\":1,"},
        {",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":500.0}",
         "\"kind\":\"default\",\"theta\":500,\"factor\":1,"},
        {",\"rope_theta\":77,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0}",
         "\"kind\":\"linear\",\"theta\":77,\"factor\":4,"},
        {",\"rope_parameters\":{\"rope_type\":\"linear\",\"rope_theta\":77,\"factor\":4}",
         "\"kind\":\"linear\",\"theta\":77,\"factor\":4,"},
        {",\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":32.0,"
         "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
         "\"original_max_position_embeddings\":8192}",
         "\"kind\":\"llama3\",\"theta\":500000,\"factor\":32,\"low_freq_factor\":1,"
         "\"high_freq_factor\":4,\"original_context\":8192}"},
        {",\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":0.1,\"factor\":8,"
         "\"low_freq_factor\":1,\"high_freq_factor\":4},\"dtype\":\"bfloat16\"",
         "\"kind\":\"llama3\",\"theta\":0.10000000000000001,\"factor\":8,\"low_freq_factor\":1,"
         "\"high_freq_factor\":4,\"original_context\":32}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_llama_config(folder, &llama, cases[i].keys);
        struct iol_model *model = open_model(folder);
        const char *record = iol_model_get_info(model)->architecture;
        if (!strstr(record, cases[i].rope)) {
            fail_msg("case %zu: %s lacks %s", i, record, cases[i].rope);
        }
        iol_model_close(model);
    }
}

static void test_config_defaults(void **state)
{
    (void)state;
    /* Llama: heads for kv heads, d / heads, untied, no biases, eps 1e-6 */
    struct shape s = {1, 8, 2, 2, 4, 5, 7, 16, false, false, false, "F32", ""};
    const char *folder = writer_folder("defaults");
    writer_llama(&writer, &s);
    writer_single(&writer, folder);
    write_text(folder, "config.json",
               "{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":8,"
               "\"num_attention_heads\":2,\"intermediate_size\":5,\"vocab_size\":7,"
               "\"max_position_embeddings\":16,\"head_dim\":null}");
    struct iol_model *model = open_model(folder);
    assert_string_equal(
        iol_model_get_info(model)->architecture,
        "{\"family\":\"llama\",\"layers\":1,\"d_model\":8,\"heads\":2,\"kv_heads\":2,"
        "\"head_dim\":4,\"d_ff\":5,\"vocab\":7,\"context\":16,\"norm\":\"rms\","
        "\"eps\":9.9999999999999995e-07,\"activation\":\"silu\",\"gated\":true,"
        "\"rope\":{\"kind\":\"default\",\"theta\":10000,\"factor\":1,\"low_freq_factor\":0,"
        "\"high_freq_factor\":0,\"original_context\":0},\"tied\":false,\"qkv_bias\":false,"
        "\"o_bias\":false,\"mlp_bias\":false,\"scale_attn\":true,\"scale_attn_by_layer\":false}");
    struct iol_step_info step;
    iol_model_get_step(model, 0, &step);
    assert_string_equal(step.detail, "norm, q 8, k 8, v 8, 2 heads of 4, o 8");
    assert_true(step.row_flops == 2 * 4 * 64);
    iol_model_get_step(model, 1, &step);
    assert_string_equal(step.detail, "norm, gate 5, up 5, silu, down 8");
    assert_true(step.row_flops == 2 * 3 * 40);
    iol_model_close(model);
    writer_clear(&writer);

    /* GPT-2: n_inner 4 d, tied, gelu_new, scaled */
    s = (struct shape){2, 8, 2, 2, 4, 32, 7, 16, true, true, true, "F32", ""};
    writer_gpt2(&writer, &s);
    writer_single(&writer, folder);
    static const char base[] =
        "{\"model_type\":\"gpt2\",\"n_layer\":2,\"n_embd\":8,\"n_head\":2,\"vocab_size\":7,"
        "\"n_positions\":16,\"n_inner\":null%s}";
    static const struct {
        const char *keys;
        enum iol_activation activation;
        double scale_0, scale_1;
    } cases[] = {
        {"", IOL_ACT_GELU_TANH, 0.5, 0.5},
        {",\"activation_function\":\"gelu_new\",\"reorder_and_upcast_attn\":true",
         IOL_ACT_GELU_TANH, 0.5, 0.5},
        {",\"activation_function\":\"gelu_pytorch_tanh\",\"scale_attn_weights\":false",
         IOL_ACT_GELU_TANH, 1, 1},
        {",\"activation_function\":\"gelu\",\"scale_attn_by_inverse_layer_idx\":true",
         IOL_ACT_GELU_ERF, 0.5, 0.25},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, base, cases[i].keys);
        write_text(folder, "config.json", text);
        model = open_model(folder);
        check_gpt2(model, &s);
        assert_int_equal(model->arch.activation, cases[i].activation);
        assert_true(model->steps[0].scale == (float)cases[i].scale_0);
        assert_true(model->steps[2].scale == (float)cases[i].scale_1);
        iol_model_close(model);
    }
}

static void test_names(void **state)
{
    (void)state;
    const char *folder = writer_folder("named");
    writer_llama(&writer, &llama);
    writer_single(&writer, folder);
    write_llama_config(folder, &llama, "");
    static const char *const ways[] = {"", "/", "//", "/.", "/../named", "/../named/."};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s%s", folder, ways[i]);
        struct iol_model *model = open_model(path);
        assert_string_equal(iol_model_get_info(model)->name, "named");
        iol_model_close(model);
    }
    assert_int_equal(iol_family_count(), 2);
    assert_string_equal(iol_family_name(0), "gpt2");
    assert_string_equal(iol_family_name(1), "llama");
    assert_null(iol_family_name(2));
}

static void test_out_of_memory(void **state)
{
    (void)state;
    const char *folder = writer_folder("memory");
    writer_llama(&writer, &llama);
    writer_sharded(&writer, folder, 2);
    write_llama_config(folder, &llama, "");
    for (long n = 1;; n++) {
        struct iol_model *model;
        iol_alloc_fail_nth(n);
        enum iol_status status = iol_model_open(NULL, folder, &model);
        iol_alloc_fail_nth(0);
        if (status == IOL_OK) {
            assert_true(n > 50);
            iol_model_close(model);
            break;
        }
        assert_int_equal(status, IOL_E_NOMEM);
        assert_null(model);
        assert_true(n < 1000);
    }
}

/* --- models from elsewhere -----------------------------------------------------------------------
 */

struct expected {
    const char *path, *family;
    size_t layers, d, heads, kv_heads, head_dim, vocab;
    uint64_t parameters;
    bool tied;
};

static void check_real(const char *root, const struct expected *e)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root, e->path);
    struct iol_model *model = open_model(path);
    const struct iol_model_info *info = iol_model_get_info(model);
    assert_string_equal(info->family, e->family);
    assert_int_equal(info->layers, e->layers);
    assert_int_equal(info->d_model, e->d);
    assert_int_equal(info->heads, e->heads);
    assert_int_equal(info->kv_heads, e->kv_heads);
    assert_int_equal(info->head_dim, e->head_dim);
    assert_int_equal(info->vocab, e->vocab);
    assert_int_equal(info->tied, e->tied);
    assert_int_equal(info->parameters, e->parameters);
    iol_model_close(model);
}

static void test_golden_models(void **state)
{
    (void)state;
    const char *root = getenv("IOL_SHARED");
    if (!root) {
        print_message("skipped: golden models (IOL_SHARED is not set)\n");
        skip();
    }
    check_real(root, &(struct expected){"oracle/goldens/gpt2/model", "gpt2", 3, 42, 3, 3, 14, 151,
                                        56037, true});
    check_real(root, &(struct expected){"oracle/goldens/llama-gqa/model", "llama", 4, 42, 6, 2, 10,
                                        211, 78750, false});
    char neox[1024];
    snprintf(neox, sizeof neox, "%s/oracle/goldens/neox/model", root);
    refuse_model(neox, IOL_E_UNSUPPORTED, "'model_type' is the string \"gpt_neox\"");
}

static void test_story_models(void **state)
{
    (void)state;
    const char *root = getenv("IOL_MODELS");
    if (!root) {
        print_message("skipped: stories models (IOL_MODELS is not set)\n");
        skip();
    }
    check_real(root,
               &(struct expected){"stories15M", "llama", 6, 288, 6, 6, 48, 32000, 15191712, true});
    check_real(root, &(struct expected){"stories260K", "llama", 5, 64, 8, 4, 8, 512, 260032, true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_llama_values, clear),
        cmocka_unit_test_teardown(test_gpt2_values, clear),
        cmocka_unit_test_teardown(test_identity, clear),
        cmocka_unit_test_teardown(test_extra_tensors, clear),
        cmocka_unit_test_teardown(test_widen_exactly, clear),
        cmocka_unit_test_teardown(test_config_styles, clear),
        cmocka_unit_test_teardown(test_config_defaults, clear),
        cmocka_unit_test_teardown(test_names, clear),
        cmocka_unit_test_teardown(test_out_of_memory, clear),
        cmocka_unit_test(test_golden_models),
        cmocka_unit_test(test_story_models),
    };
    writer_root_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    writer_root_close();
    return failed;
}
