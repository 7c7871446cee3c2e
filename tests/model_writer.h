/* Small random models, written by the tests themselves as Hugging Face folders. Needs no library
 * code, so that it can judge it. Folders live below one temporary folder per program. */
#ifndef IOL_TESTS_MODEL_WRITER_H
#define IOL_TESTS_MODEL_WRITER_H

#include <ftw.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITER_TENSORS = 96, WRITER_TEXT = 32768 };

struct stored {
    char name[96];
    const char *dtype;
    size_t rank, shape[2], elements, bytes;
    unsigned char *data;
    float *values; /* what the stored numbers mean */
};

struct writer {
    struct stored items[WRITER_TENSORS];
    size_t count;
    uint64_t state; /* of the random numbers */
};

static char writer_root[256];

static inline void must(bool fine, const char *what)
{
    if (!fine) {
        perror(what);
        abort();
    }
}

static inline const char *writer_root_open(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(writer_root, sizeof writer_root, "%s/iolaus-test-XXXXXX", base ? base : "/tmp");
    must(mkdtemp(writer_root) != NULL, "mkdtemp");
    return writer_root;
}

static inline int writer_remove_one(const char *path, const struct stat *info, int kind,
                                    struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void writer_root_close(void)
{
    nftw(writer_root, writer_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ROOT/NAME, created; one of a few static buffers. */
static inline const char *writer_folder(const char *name)
{
    static char paths[8][512];
    static size_t next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", writer_root, name);
    mkdir(path, 0700);
    return path;
}

static inline void write_file(const char *folder, const char *name, const void *data, size_t bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    must(f != NULL, path);
    must(fwrite(data, 1, bytes, f) == bytes, path);
    must(fclose(f) == 0, path);
}

static inline void write_text(const char *folder, const char *name, const char *text)
{
    write_file(folder, name, text, strlen(text));
}

static inline uint64_t writer_random(struct writer *w)
{
    uint64_t z = (w->state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* The number that a bit pattern of a binary format stands for; finite patterns only. */
static inline double pattern_value(uint64_t bits, int exponent_bits, int fraction_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1;
    uint64_t fraction = bits & ((UINT64_C(1) << fraction_bits) - 1);
    int exponent = (int)(bits >> fraction_bits & ((UINT64_C(1) << exponent_bits) - 1));
    bool negative = bits >> (exponent_bits + fraction_bits) & 1;
    double size = exponent ? ldexp((double)fraction + ldexp(1, fraction_bits),
                                   exponent - bias - fraction_bits)
                           : ldexp((double)fraction, 1 - bias - fraction_bits);
    return negative ? -size : size;
}

static inline void writer_set(struct stored *t, size_t i, uint64_t bits)
{
    size_t size = t->bytes / t->elements;
    for (size_t b = 0; b < size; b++) {
        t->data[i * size + b] = (unsigned char)(bits >> (8 * b));
    }
    double value = strcmp(t->dtype, "F32") == 0   ? pattern_value(bits, 8, 23)
                   : strcmp(t->dtype, "F16") == 0 ? pattern_value(bits, 5, 10)
                                                  : pattern_value(bits, 8, 7);
    t->values[i] = (float)value;
}

/* A tensor of random numbers below 2 in magnitude; denormals and zeros among them. columns 0: a
 * vector of `rows`. */
static inline struct stored *writer_add(struct writer *w, const char *dtype, size_t rows,
                                        size_t columns, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static inline struct stored *writer_add(struct writer *w, const char *dtype, size_t rows,
                                        size_t columns, const char *format, ...)
{
    must(w->count < WRITER_TENSORS, "too many tensors");
    struct stored *t = &w->items[w->count++];
    va_list args;
    va_start(args, format);
    vsnprintf(t->name, sizeof t->name, format, args);
    va_end(args);
    t->dtype = dtype;
    t->rank = columns ? 2 : 1;
    t->shape[0] = rows;
    t->shape[1] = columns;
    t->elements = rows * (columns ? columns : 1);
    t->bytes = t->elements * (strcmp(dtype, "F32") == 0 ? 4 : 2);
    t->data = calloc(t->bytes + 1, 1);
    t->values = calloc(t->elements + 1, sizeof *t->values);
    must(t->data && t->values, "calloc");
    for (size_t i = 0; i < t->elements; i++) {
        uint64_t bits = writer_random(w), exponent = writer_random(w) % 16;
        if (strcmp(dtype, "F32") == 0) {
            bits = (bits & 0x807FFFFF) | (exponent == 0 ? 0 : exponent + 112) << 23;
        } else if (strcmp(dtype, "F16") == 0) {
            bits = (bits & 0x83FF) | exponent << 10;
        } else {
            bits = (bits & 0x807F) | (exponent == 0 ? 0 : exponent + 112) << 7;
        }
        writer_set(t, i, bits);
    }
    return t;
}

static inline struct stored *writer_find(struct writer *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++) {
        if (strcmp(w->items[i].name, name) == 0) {
            return &w->items[i];
        }
    }
    return NULL;
}

/* Keep the first `count` tensors. */
static inline void writer_cut(struct writer *w, size_t count)
{
    for (size_t i = count; i < w->count; i++) {
        free(w->items[i].data);
        free(w->items[i].values);
    }
    w->count = count;
}

static inline void writer_clear(struct writer *w)
{
    writer_cut(w, 0);
    memset(w, 0, sizeof *w);
}

/* The header of items first .. end, as JSON text. */
static inline void writer_header(const struct writer *w, size_t first, size_t end, char *out)
{
    size_t at = (size_t)sprintf(out, "{\"__metadata__\":{\"format\":\"pt\"}"), offset = 0;
    for (size_t i = first; i < end; i++) {
        const struct stored *t = &w->items[i];
        must(at < WRITER_TEXT - 400, "header too long");
        at += (size_t)sprintf(out + at, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu", t->name,
                              t->dtype, t->shape[0]);
        if (t->rank == 2) {
            at += (size_t)sprintf(out + at, ",%zu", t->shape[1]);
        }
        at += (size_t)sprintf(out + at, "],\"data_offsets\":[%zu,%zu]}", offset, offset + t->bytes);
        offset += t->bytes;
    }
    sprintf(out + at, "}");
}

/* One safetensors file with this header text and the bytes of items first .. end. */
static inline void writer_file(const struct writer *w, const char *folder, const char *name,
                               const char *header, size_t first, size_t end)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    must(f != NULL, path);
    uint64_t length = strlen(header);
    must(fwrite(&length, 8, 1, f) == 1 && fwrite(header, 1, length, f) == length, path);
    for (size_t i = first; i < end; i++) {
        must(fwrite(w->items[i].data, 1, w->items[i].bytes, f) == w->items[i].bytes, path);
    }
    must(fclose(f) == 0, path);
}

static inline void writer_single(const struct writer *w, const char *folder)
{
    static char header[WRITER_TEXT];
    writer_header(w, 0, w->count, header);
    writer_file(w, folder, "model.safetensors", header, 0, w->count);
}

static inline void writer_sharded(const struct writer *w, const char *folder, size_t shards)
{
    static char header[WRITER_TEXT], index[WRITER_TEXT];
    size_t at = (size_t)sprintf(index, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    for (size_t s = 0; s < shards; s++) {
        char name[64];
        size_t first = w->count * s / shards, end = w->count * (s + 1) / shards;
        sprintf(name, "model-%05zu-of-%05zu.safetensors", s + 1, shards);
        writer_header(w, first, end, header);
        writer_file(w, folder, name, header, first, end);
        for (size_t i = first; i < end; i++) {
            at += (size_t)sprintf(index + at, "%s\"%s\":\"%s\"", i ? "," : "", w->items[i].name,
                                  name);
        }
    }
    sprintf(index + at, "}}");
    write_text(folder, "model.safetensors.index.json", index);
}

/* --- the two families --- */

struct shape {
    size_t layers, d, heads, kv_heads, head_dim, ff, vocab, context;
    bool attention_bias, mlp_bias, tied;
    const char *dtype, *prefix; /* prefix: GPT-2's */
};

static inline void writer_llama(struct writer *w, const struct shape *s)
{
    size_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    const char *t = s->dtype;
    writer_add(w, t, s->d, 0, "model.norm.weight"); /* first: its offsets are easy to name */
    writer_add(w, t, s->vocab, s->d, "model.embed_tokens.weight");
    for (size_t l = 0; l < s->layers; l++) {
        const struct {
            const char *name;
            size_t rows, columns;
            bool bias;
        } matrices[] = {{"self_attn.q_proj", q, s->d, s->attention_bias},
                        {"self_attn.k_proj", kv, s->d, s->attention_bias},
                        {"self_attn.v_proj", kv, s->d, s->attention_bias},
                        {"self_attn.o_proj", s->d, q, s->attention_bias},
                        {"mlp.gate_proj", s->ff, s->d, s->mlp_bias},
                        {"mlp.up_proj", s->ff, s->d, s->mlp_bias},
                        {"mlp.down_proj", s->d, s->ff, s->mlp_bias}};
        writer_add(w, t, s->d, 0, "model.layers.%zu.input_layernorm.weight", l);
        writer_add(w, t, s->d, 0, "model.layers.%zu.post_attention_layernorm.weight", l);
        for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
            writer_add(w, t, matrices[i].rows, matrices[i].columns, "model.layers.%zu.%s.weight", l,
                       matrices[i].name);
            if (matrices[i].bias) {
                writer_add(w, t, matrices[i].rows, 0, "model.layers.%zu.%s.bias", l,
                           matrices[i].name);
            }
        }
    }
    if (!s->tied) {
        writer_add(w, t, s->vocab, s->d, "lm_head.weight");
    }
}

/* `more`: further keys, each with a leading comma. */
static inline void write_llama_config(const char *folder, const struct shape *s, const char *more)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"model_type\":\"llama\",\"num_hidden_layers\":%zu,\"hidden_size\":%zu,"
             "\"num_attention_heads\":%zu,\"num_key_value_heads\":%zu,\"head_dim\":%zu,"
             "\"intermediate_size\":%zu,\"vocab_size\":%zu,\"max_position_embeddings\":%zu,"
             "\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-05,\"attention_bias\":%s,"
             "\"mlp_bias\":%s,\"tie_word_embeddings\":%s,\"torch_dtype\":\"float32\"%s}",
             s->layers, s->d, s->heads, s->kv_heads, s->head_dim, s->ff, s->vocab, s->context,
             s->attention_bias ? "true" : "false", s->mlp_bias ? "true" : "false",
             s->tied ? "true" : "false", more);
    write_text(folder, "config.json", text);
}

static inline void writer_gpt2(struct writer *w, const struct shape *s)
{
    const char *t = s->dtype, *p = s->prefix;
    writer_add(w, t, s->vocab, s->d, "%swte.weight", p);
    writer_add(w, t, s->context, s->d, "%swpe.weight", p);
    for (size_t l = 0; l < s->layers; l++) {
        const struct {
            const char *name;
            size_t inputs, outputs;
        } matrices[] = {{"attn.c_attn", s->d, 3 * s->d},
                        {"attn.c_proj", s->d, s->d},
                        {"mlp.c_fc", s->d, s->ff},
                        {"mlp.c_proj", s->ff, s->d}};
        writer_add(w, t, s->d, 0, "%sh.%zu.ln_1.weight", p, l);
        writer_add(w, t, s->d, 0, "%sh.%zu.ln_1.bias", p, l);
        writer_add(w, t, s->d, 0, "%sh.%zu.ln_2.weight", p, l);
        writer_add(w, t, s->d, 0, "%sh.%zu.ln_2.bias", p, l);
        for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
            writer_add(w, t, matrices[i].inputs, matrices[i].outputs, "%sh.%zu.%s.weight", p, l,
                       matrices[i].name);
            writer_add(w, t, matrices[i].outputs, 0, "%sh.%zu.%s.bias", p, l, matrices[i].name);
        }
    }
    writer_add(w, t, s->d, 0, "%sln_f.weight", p);
    writer_add(w, t, s->d, 0, "%sln_f.bias", p);
    if (!s->tied) {
        writer_add(w, t, s->vocab, s->d, "lm_head.weight");
    }
}

static inline void write_gpt2_config(const char *folder, const struct shape *s, const char *more)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"model_type\":\"gpt2\",\"n_layer\":%zu,\"n_embd\":%zu,\"n_head\":%zu,"
             "\"n_inner\":%zu,\"vocab_size\":%zu,\"n_positions\":%zu,\"n_ctx\":%zu,"
             "\"layer_norm_epsilon\":1e-05%s%s}",
             s->layers, s->d, s->heads, s->ff, s->vocab, s->context, s->context,
             s->tied ? "" : ",\"tie_word_embeddings\":false", more);
    write_text(folder, "config.json", text);
}

#endif
