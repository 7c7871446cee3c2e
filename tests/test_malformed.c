/* Malformed models: each gives the right status and one sentence that names the file, the place and
 * what was expected; nothing leaks (the sanitizer build) and nothing absurd is allocated. The
 * corpus is made here. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "iolaus/model.h"
#include "model_writer.h"

/* The first tensor of the file is model.norm.weight at [0, 32], the second the embedding at
 * [32, 448]. */
static const struct shape llama = {2, 8, 2, 1, 4, 5, 13, 16, false, false, false, "F32", ""};
static const struct shape gpt2 = {2, 8, 2, 2, 4, 5, 13, 16, true, true, true, "F32", ""};

static struct writer writer;
static char header[WRITER_TEXT], patched[WRITER_TEXT];

static void refuse(const char *folder, const char *label, enum iol_status status, const char *file,
                   const char *place, const char *expected)
{
    struct iol_model *model = (struct iol_model *)&writer;
    enum iol_status found = iol_model_open(NULL, folder, &model);
    const char *text = iol_error();
    if (found != status || model) {
        fail_msg("%s: %s (%s), not %s", label, iol_status_name(found), text,
                 iol_status_name(status));
    }
    if (!strstr(text, file) || !strstr(text, place) || !strstr(text, expected) ||
        strchr(text, '\n') || strlen(text) > 900) {
        fail_msg("%s: '%s' does not name '%s', '%s' and '%s' in one line", label, text, file, place,
                 expected);
    }
}

/* The corpus starts from a model that opens. */
static const char *good_folder(const char *name)
{
    const char *folder = writer_folder(name);
    writer_clear(&writer);
    writer_llama(&writer, &llama);
    writer_single(&writer, folder);
    write_llama_config(folder, &llama, "");
    struct iol_model *model;
    assert_int_equal(iol_model_open(NULL, folder, &model), IOL_OK);
    iol_model_close(model);
    return folder;
}

/* out = text with the first `from` replaced by `to`. */
static void replace(const char *text, const char *from, const char *to, char *out)
{
    const char *at = strstr(text, from);
    must(at != NULL, from);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static int clear(void **state)
{
    (void)state;
    writer_clear(&writer);
    return 0;
}

/* --- the header of model.safetensors -----------------------------------------------------------
 */

#define NORM  "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,32]}"
#define EMBED "\"model.embed_tokens.weight\":{\"dtype\":\"F32\",\"shape\":[13,8],"
#define NAMED "tensor 'model.norm.weight'"

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *label, *from, *to, *place, *expected;
    } cases[] = {
        {"not JSON", NORM, "oops", "line 1, column ", "expected valid JSON"},
        {"not UTF-8", "pt", "\xC3\x28", "line 1, column ", "expected valid JSON"},
        {"cut JSON", "}}", "}", "line 1, column ", "expected valid JSON"},
        {"newline in the JSON", NORM, "\"a\nb\":1", "line 1", "expected valid JSON"},
        {"an array", "{\"__metadata__\"", "[{\"__metadata__\"", "line 1, column ",
         "expected valid JSON"},
        {"twice the same key", NORM, NORM "," NORM, "duplicate object key", "expected valid JSON"},
        {"entry is a number", NORM, "\"model.norm.weight\":7", NAMED " is 7", "expected an object"},
        {"no dtype", "\"dtype\":\"F32\",\"shape\":[8]", "\"shape\":[8]", NAMED ": dtype is missing",
         "expected F32, F16 or BF16"},
        {"dtype unknown", "F32\",\"shape\":[8]", "Q4_K\",\"shape\":[8]",
         NAMED ": dtype is the string \"Q4_K\"", "expected F32, F16 or BF16"},
        {"dtype not text", "\"F32\",\"shape\":[8]", "32,\"shape\":[8]", NAMED ": dtype is 32",
         "expected F32, F16 or BF16"},
        {"dtype of another width", "F32\",\"shape\":[8]", "F16\",\"shape\":[8]",
         NAMED ": data_offsets hold 32 bytes", "expected as many as F16 of shape (8) has"},
        {"dtype not a weight's", "F32\",\"shape\":[8]", "I32\",\"shape\":[8]",
         NAMED " has dtype I32", "expected F32, F16 or BF16"},
        {"no shape", "\"shape\":[8],", "", NAMED ": shape is missing", "expected an array"},
        {"shape not an array", "\"shape\":[8]", "\"shape\":8", NAMED ": shape is 8",
         "expected an array"},
        {"negative size", "\"shape\":[8]", "\"shape\":[-8]", NAMED ": shape[0] is -8",
         "expected a whole number >= 0"},
        {"size not whole", "\"shape\":[8]", "\"shape\":[8.0]", NAMED ": shape[0] is 8",
         "expected a whole number >= 0"},
        {"rank too high", "\"shape\":[8]", "\"shape\":[8,1,1,1,1,1,1,1,1]",
         NAMED ": shape is an array of 9", "expected an array of at most 8"},
        {"shape overflows", "\"shape\":[8]", "\"shape\":[4294967296,4294967296,4294967296]",
         NAMED ": shape[1] is 4294967296", "overflows"},
        {"bytes overflow", "\"shape\":[8]", "\"shape\":[4611686018427387912]",
         NAMED ": data_offsets hold 32 bytes", "expected as many as"},
        {"number beyond 64 bits", "\"shape\":[8]", "\"shape\":[99999999999999999999]", "line 1",
         "expected valid JSON"},
        {"shape too small", "\"shape\":[8]", "\"shape\":[7]", NAMED ": data_offsets hold 32 bytes",
         "expected as many as F32 of shape (7) has"},
        {"zero size", "\"shape\":[8]", "\"shape\":[0]", NAMED ": data_offsets hold 32 bytes",
         "expected as many as F32 of shape (0) has"},
        {"shape of another rank", "\"shape\":[8]", "\"shape\":[2,4]", NAMED " has shape (2, 4)",
         "expected (8)"},
        {"shape turned", "\"shape\":[13,8]", "\"shape\":[8,13]",
         "tensor 'model.embed_tokens.weight' has shape (8, 13)", "expected (13, 8)"},
        {"no offsets", ",\"data_offsets\":[0,32]", "", NAMED ": data_offsets is missing",
         "expected [begin, end]"},
        {"three offsets", "[0,32]", "[0,32,64]", NAMED ": data_offsets is an array of 3",
         "expected [begin, end]"},
        {"offsets not numbers", "[0,32]", "[0,\"32\"]",
         NAMED ": data_offsets[1] is the string \"32\"", "expected 0.."},
        {"negative offset", "[0,32]", "[-32,0]", NAMED ": data_offsets[0] is -32", "expected 0.."},
        {"offsets turned", "[0,32]", "[32,0]", NAMED ": data_offsets[1] is 0", "expected 32.."},
        {"beyond the file", "[0,32]", "[0,999999999]", NAMED ": data_offsets[1] is 999999999",
         "expected 0.."},
        {"overlap", "[32,448]", "[16,432]",
         "tensor 'model.embed_tokens.weight' begins at byte 16 of the data and overlaps "
         "tensor 'model.norm.weight'",
         "expected 32"},
        {"gap", NORM ",", "", "tensor 'model.embed_tokens.weight' begins at byte 32 of the data",
         "expected 0"},
        {"empty name", NORM, "\"\":{}", "a tensor's name has 0 bytes", "expected 1..256"},
        {"control character in a name", "model.norm.weight", "model\\nnorm",
         "byte 5 of the tensor name 'model...' is control character 0x0a", "expected a printable"},
        {"NUL in a name", "model.norm.weight", "model\\u0000norm", "line 1", "expected valid JSON"},
        {"renamed", "model.norm.weight", "model.norm.w", "tensor 'model.norm.weight' is missing",
         "expected one of shape (8)"},
        {"no unembedding", "lm_head.weight", "lm_head.w", "tensor 'lm_head.weight' is missing",
         "expected one of shape (13, 8)"},
    };
    const char *folder = good_folder("header");
    writer_header(&writer, 0, writer.count, header);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        replace(header, cases[i].from, cases[i].to, patched);
        writer_file(&writer, folder, "model.safetensors", patched, 0, writer.count);
        refuse(folder, cases[i].label, IOL_E_FORMAT, "/model.safetensors: ", cases[i].place,
               cases[i].expected);
    }
    /* nesting beyond the parser's limit, and a name as long as a page */
    memset(patched, '[', sizeof patched - 1);
    patched[sizeof patched - 1] = '\0';
    writer_file(&writer, folder, "model.safetensors", patched, 0, writer.count);
    refuse(folder, "nesting", IOL_E_FORMAT, "/model.safetensors: ", "line 1", "expected valid");
    memset(patched, 'n', 5000);
    memcpy(patched, "{\"", 2);
    strcpy(patched + 5000, "\":{}}");
    writer_file(&writer, folder, "model.safetensors", patched, 0, 0);
    refuse(folder, "long name", IOL_E_FORMAT, "/model.safetensors: ", "name has 4998 bytes",
           "expected 1..256");
    writer_file(&writer, folder, "model.safetensors", "[1]", 0, 0);
    refuse(folder, "array", IOL_E_FORMAT, "/model.safetensors: ", "the header is an array of 1",
           "expected a JSON object");
    writer_file(&writer, folder, "model.safetensors", "{}", 0, 0);
    refuse(folder, "no tensors", IOL_E_FORMAT,
           "/model.safetensors: ", "tensor 'model.embed_tokens.weight' is missing",
           "expected one of shape (13, 8)");
}

/* --- the bytes around it -------------------------------------------------------------------------
 */

static void test_files(void **state)
{
    (void)state;
    const char *folder = good_folder("file");
    static const char file[] = "/model.safetensors: ";
    unsigned char bytes[64] = {0};
    write_file(folder, "model.safetensors", bytes, 0);
    refuse(folder, "empty", IOL_E_FORMAT, file, "the file is empty", "");
    write_file(folder, "model.safetensors", bytes, 7);
    refuse(folder, "7 bytes", IOL_E_FORMAT, file, "has 7 bytes", "expected at least 8");
    write_file(folder, "model.safetensors", bytes, 64);
    refuse(folder, "no header", IOL_E_FORMAT, file, "length is 0 bytes", "expected 2..56");
    bytes[0] = 57;
    write_file(folder, "model.safetensors", bytes, 64);
    refuse(folder, "header cut", IOL_E_FORMAT, file, "length is 57 bytes", "expected 2..56");
    memset(bytes, 0xFF, 8);
    write_file(folder, "model.safetensors", bytes, 64);
    refuse(folder, "length", IOL_E_FORMAT, file, "length is 18446744073709551615 bytes", "2..56");

    /* a sparse file, larger than the largest header, all of it said to be header */
    char path[1024];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    uint64_t huge = 200000000;
    write_file(folder, "model.safetensors", &huge, 8);
    must(truncate(path, 300000000) == 0, path);
    refuse(folder, "huge", IOL_E_FORMAT, file, "length is 200000000 bytes",
           "expected 2..100000000");

    /* data cut at its end, and with a byte too many */
    writer_single(&writer, folder);
    struct stat info;
    must(stat(path, &info) == 0, path);
    must(truncate(path, info.st_size - 1) == 0, path);
    refuse(folder, "cut", IOL_E_FORMAT, file, "tensor 'lm_head.weight': data_offsets[1] is",
           "expected");
    must(truncate(path, info.st_size + 1) == 0, path);
    refuse(folder, "long", IOL_E_FORMAT, file, "the data has", "where the last tensor ends");
    /* cut anywhere: an error, never a crash */
    for (off_t size = info.st_size - 1; size >= 0; size -= 1 + size / 64) {
        must(truncate(path, size) == 0, path);
        refuse(folder, "cut", IOL_E_FORMAT, file, "", "");
    }
    must(remove(path) == 0, path);
    refuse(folder, "none", IOL_E_IO, file, "no such file", "expected one of them");
    must(mkdir(path, 0700) == 0, path);
    refuse(folder, "folder", IOL_E_IO, file, "not a regular file", "");
    must(rmdir(path) == 0, path);
    refuse("/nonexistent/model", "no folder", IOL_E_IO,
           "/nonexistent/model/config.json: ", "cannot open", "");
}

/* --- non-finite weights --- */

static void test_non_finite(void **state)
{
    (void)state;
    static const struct {
        const char *dtype;
        uint64_t bits;
        const char *word;
    } kinds[] = {{"F32", 0x7FC00000, "NaN"}, {"F32", 0xFF800000, "infinite"},
                 {"F16", 0x7E00, "NaN"},     {"F16", 0x7C00, "infinite"},
                 {"BF16", 0xFFC0, "NaN"},    {"BF16", 0x7F80, "infinite"}};
    const char *folder = writer_folder("nan");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct shape s = llama;
        s.dtype = kinds[i].dtype;
        writer_clear(&writer);
        writer_llama(&writer, &s);
        write_llama_config(folder, &s, "");
        for (size_t t = 0; t < writer.count; t++) { /* in every tensor, at some element */
            struct stored *tensor = &writer.items[t];
            size_t element = (t * 7 + i) % tensor->elements;
            unsigned char saved[4];
            size_t size = tensor->bytes / tensor->elements;
            memcpy(saved, tensor->data + element * size, size);
            for (size_t b = 0; b < size; b++) {
                tensor->data[element * size + b] = (unsigned char)(kinds[i].bits >> (8 * b));
            }
            char place[256];
            int n = snprintf(place, sizeof place, "tensor '%s' is %s at index (", tensor->name,
                             kinds[i].word);
            if (tensor->rank == 2) {
                snprintf(place + n, sizeof place - (size_t)n, "%zu, %zu)",
                         element / tensor->shape[1], element % tensor->shape[1]);
            } else {
                snprintf(place + n, sizeof place - (size_t)n, "%zu)", element);
            }
            writer_single(&writer, folder);
            refuse(folder, tensor->name, IOL_E_FORMAT, "/model.safetensors: ", place,
                   "expected finite weights");
            memcpy(tensor->data + element * size, saved, size);
        }
    }
    writer_clear(&writer);
    writer_gpt2(&writer, &gpt2);
    write_gpt2_config(folder, &gpt2, "");
    struct stored *tensor = writer_find(&writer, "h.1.attn.c_attn.weight");
    must(tensor != NULL, "no such tensor");
    uint32_t nan_bits = 0x7FC00001;
    memcpy(tensor->data + 4 * (3 * 24 + 17), &nan_bits, 4);
    writer_single(&writer, folder);
    refuse(folder, "gpt2", IOL_E_FORMAT,
           "/model.safetensors: ", "tensor 'h.1.attn.c_attn.weight' is NaN at index (3, 17)",
           "expected finite weights");
}

/* --- shards --- */

static void test_shards(void **state)
{
    (void)state;
    static const char file[] = "/model.safetensors.index.json: ",
                      name[] = "model.safetensors.index.json";
    const char *folder = writer_folder("shards");
    writer_llama(&writer, &llama);
    writer_sharded(&writer, folder, 2);
    write_llama_config(folder, &llama, "");
    static const struct {
        const char *label, *text, *place, *expected;
    } cases[] = {
        {"empty", "", "the file is empty", "expected a JSON object"},
        {"bad", "{\"weight_map\":", "line 1, column ", "expected valid JSON"},
        {"no map", "{\"metadata\":{}}", "key 'weight_map' is missing", "expected an object"},
        {"empty map", "{\"weight_map\":{}}", "key 'weight_map' is an object", "expected an object"},
        {"not text", "{\"weight_map\":{\"a\":1}}", "key 'weight_map.a' is 1",
         "expected the name of a file in the same folder"},
        {"up", "{\"weight_map\":{\"a\":\"../single/model.safetensors\"}}",
         "key 'weight_map.a' is the string \"../single/model.safetensors\"",
         "expected the name of a file in the same folder"},
        {"absolute", "{\"weight_map\":{\"a\":\"/etc/passwd\"}}",
         "key 'weight_map.a' is the string \"/etc/passwd\"", "expected the name of a file"},
        {"dots", "{\"weight_map\":{\"a\":\"..\"}}", "key 'weight_map.a'", "expected the name"},
        {"no name", "{\"weight_map\":{\"a\":\"\"}}", "key 'weight_map.a'", "expected the name"},
        {"not there",
         "{\"weight_map\":{\"nowhere\":\"model-00001-of-00002.safetensors\","
         "\"lm_head.weight\":\"model-00002-of-00002.safetensors\"}}",
         "tensor 'nowhere' is not in model-00001-of-00002.safetensors", "expected it there"},
        {"in the other",
         "{\"weight_map\":{\"model.norm.weight\":\"model-00002-of-00002.safetensors\","
         "\"lm_head.weight\":\"model-00001-of-00002.safetensors\"}}",
         "tensor 'model.norm.weight' is not in model-00002-of-00002.safetensors",
         "expected it there"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(folder, name, cases[i].text);
        refuse(folder, cases[i].label, IOL_E_FORMAT, file, cases[i].place, cases[i].expected);
    }
    write_text(folder, name,
               "{\"weight_map\":{\"model.norm.weight\":\"model-00001-of-00002.safetensors\"}}");
    refuse(folder, "unlisted", IOL_E_FORMAT,
           "/model-00001-of-00002.safetensors: ", "is in this shard but not in the weight_map",
           "expected it in both");
    write_text(folder, name, "{\"weight_map\":{\"model.norm.weight\":\"gone.safetensors\"}}");
    refuse(folder, "missing", IOL_E_IO, "/gone.safetensors: ", "cannot open", "");
    /* one tensor in two shards */
    writer_sharded(&writer, folder, 2);
    writer_header(&writer, 0, 1, header);
    writer_file(&writer, folder, "more.safetensors", header, 0, 1);
    write_text(folder, name,
               "{\"weight_map\":{\"model.norm.weight\":\"model-00001-of-00002.safetensors\","
               "\"a\":\"more.safetensors\"}}");
    refuse(folder, "twice", IOL_E_FORMAT,
           "/more.safetensors: ", "tensor 'model.norm.weight' is also in ", "expected it once");
}

/* --- config.json --- */

struct config_case {
    const char *from, *to; /* in the text of a good config.json */
    enum iol_status status;
    const char *place, *expected;
};

static void check_configs(const char *folder, const struct config_case *cases, size_t count)
{
    static char text[4096];
    char path[1024];
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *f = fopen(path, "rb");
    must(f != NULL, path);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    for (size_t i = 0; i < count; i++) {
        replace(text, cases[i].from, cases[i].to, patched);
        write_text(folder, "config.json", patched);
        refuse(folder, cases[i].to, cases[i].status, "/config.json: ", cases[i].place,
               cases[i].expected);
    }
}

#define ROPE(text) "\"rms_norm_eps\":1e-05,\"rope_scaling\":" text
#define EPS        "\"rms_norm_eps\":1e-05"

static void test_llama_configs(void **state)
{
    (void)state;
    static const char whole[] = "expected a whole number in 1..2147483647";
    const struct config_case cases[] = {
        {"{", "", IOL_E_FORMAT, "line 1, column ", "expected valid JSON"},
        {"{", "{\n\"a\":1,\"a\":2,", IOL_E_FORMAT, "line 2, column ", "duplicate object key"},
        {"\"model_type\":\"llama\",", "", IOL_E_FORMAT, "key 'model_type' is missing",
         "expected one of \"gpt2\", \"llama\""},
        {"\"llama\"", "\"mistral\"", IOL_E_UNSUPPORTED,
         "key 'model_type' is the string \"mistral\"", "expected one of \"gpt2\", \"llama\""},
        {"\"llama\"", "3", IOL_E_FORMAT, "key 'model_type' is 3", "expected one of"},
        {"\"hidden_size\":8,", "", IOL_E_FORMAT, "key 'hidden_size' is missing", whole},
        {"\"hidden_size\":8", "\"hidden_size\":null", IOL_E_FORMAT, "key 'hidden_size' is null",
         whole},
        {"\"hidden_size\":8", "\"hidden_size\":\"8\"", IOL_E_FORMAT,
         "key 'hidden_size' is the string \"8\"", whole},
        {"\"hidden_size\":8", "\"hidden_size\":8.5", IOL_E_FORMAT, "key 'hidden_size' is 8.5",
         whole},
        {"\"hidden_size\":8", "\"hidden_size\":0", IOL_E_FORMAT, "key 'hidden_size' is 0", whole},
        {"\"hidden_size\":8", "\"hidden_size\":-8", IOL_E_FORMAT, "key 'hidden_size' is -8", whole},
        {"\"hidden_size\":8", "\"hidden_size\":9000000000000", IOL_E_FORMAT,
         "key 'hidden_size' is 9000000000000", whole},
        {"\"num_hidden_layers\":2", "\"num_hidden_layers\":0", IOL_E_FORMAT,
         "key 'num_hidden_layers' is 0", whole},
        {"\"vocab_size\":13", "\"vocab_size\":[13]", IOL_E_FORMAT,
         "key 'vocab_size' is an array of 1", whole},
        {"\"num_key_value_heads\":1", "\"num_key_value_heads\":3", IOL_E_FORMAT,
         "key 'num_key_value_heads' is 3", "expected a divisor of num_attention_heads, which is 2"},
        {"\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":4",
         "\"num_attention_heads\":3", IOL_E_FORMAT, "key 'num_attention_heads' is 3",
         "expected a divisor of hidden_size, which is 8"},
        {"\"head_dim\":4", "\"head_dim\":3", IOL_E_FORMAT, "key 'head_dim' is 3",
         "expected an even number"},
        {EPS, "\"rms_norm_eps\":0", IOL_E_FORMAT, "key 'rms_norm_eps' is 0",
         "expected a number above 0"},
        {EPS, "\"rms_norm_eps\":\"1e-5\"", IOL_E_FORMAT,
         "key 'rms_norm_eps' is the string \"1e-5\"", "expected a number above 0"},
        {EPS, "\"rms_norm_eps\":1e999", IOL_E_FORMAT, "line 1", "expected valid JSON"},
        {"\"attention_bias\":false", "\"attention_bias\":0", IOL_E_FORMAT,
         "key 'attention_bias' is 0", "expected true or false"},
        {"\"float32\"", "32", IOL_E_FORMAT, "key 'torch_dtype' is 32", "expected a string"},
        {"\"silu\"", "\"gelu\"", IOL_E_UNSUPPORTED, "key 'hidden_act' is \"gelu\"",
         "expected \"silu\""},
        {EPS, EPS ",\"rope_theta\":0", IOL_E_FORMAT, "key 'rope_theta' is 0",
         "expected a number above 0"},
        {EPS, ROPE("7"), IOL_E_FORMAT, "key 'rope_scaling' is 7", "expected an object or null"},
        {EPS, ROPE("{\"type\":\"dynamic\",\"factor\":2}"), IOL_E_UNSUPPORTED,
         "key 'rope_scaling.type' is \"dynamic\"",
         "expected \"default\", \"linear\" or \"llama3\""},
        {EPS, ROPE("{\"rope_type\":\"yarn\",\"type\":\"linear\",\"factor\":2}"), IOL_E_UNSUPPORTED,
         "key 'rope_scaling.rope_type' is \"yarn\"",
         "expected \"default\", \"linear\" or \"llama3\""},
        {EPS, ROPE("{\"type\":\"linear\"}"), IOL_E_FORMAT, "key 'rope_scaling.factor' is missing",
         "expected a number above 0"},
        {EPS, EPS ",\"rope_parameters\":{\"rope_type\":\"llama3\",\"factor\":8}", IOL_E_FORMAT,
         "key 'rope_parameters.low_freq_factor' is missing", "expected a number above 0"},
        {EPS,
         ROPE("{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
              "\"high_freq_factor\":4}"),
         IOL_E_FORMAT, "key 'rope_scaling.high_freq_factor' is 4",
         "expected more than low_freq_factor, which is 4"},
        {EPS, EPS ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"}}",
         IOL_E_UNSUPPORTED, "key 'rope_parameters.full_attention' is an object",
         "expected one set for all layers"},
        {EPS, EPS ",\"rope_parameters\":{\"partial_rotary_factor\":0.25}", IOL_E_UNSUPPORTED,
         "key 'rope_parameters.partial_rotary_factor' is 0.25", "expected 1"},
        {EPS, EPS ",\"partial_rotary_factor\":0.5", IOL_E_UNSUPPORTED,
         "key 'partial_rotary_factor' is 0.5", "expected 1"},
        {EPS, EPS ",\"quantization_config\":{\"bits\":4}", IOL_E_UNSUPPORTED,
         "key 'quantization_config' is an object: a quantised model is not supported",
         "expected none"},
        {EPS, EPS ",\"final_logit_softcapping\":30.0", IOL_E_UNSUPPORTED,
         "key 'final_logit_softcapping' is 30", "expected none"},
    };
    check_configs(good_folder("llama-config"), cases, sizeof cases / sizeof *cases);
}

/* Sizes that no file backs: the answer comes from the tensors' shapes, before any allocation. */
static void test_absurd_sizes(void **state)
{
    (void)state;
    static const char file[] = "/model.safetensors: ";
    const char *folder = good_folder("absurd");
    struct shape s = llama;
    s.vocab = 2147483647;
    write_llama_config(folder, &s, "");
    refuse(folder, "vocab", IOL_E_FORMAT, file, "tensor 'model.embed_tokens.weight' has shape",
           "expected (2147483647, 8)");
    s = llama;
    s.layers = 2147483647;
    write_llama_config(folder, &s, "");
    refuse(folder, "layers", IOL_E_FORMAT, file,
           "tensor 'model.layers.2.input_layernorm.weight' is missing", "expected one of");
    s.layers = 1;
    write_llama_config(folder, &s, "");
    refuse(folder, "fewer layers", IOL_E_FORMAT, file, "tensor 'model.layers.1.",
           "expected no such tensor");
    s = llama;
    s.heads = 2147483646;
    s.head_dim = 2147483646;
    write_llama_config(folder, &s, "");
    refuse(folder, "heads", IOL_E_FORMAT, file,
           "tensor 'model.layers.0.self_attn.q_proj.weight' has shape (8, 8)",
           "expected (4611686009837453316, 8)");
    s = llama;
    s.ff = 2147483647;
    write_llama_config(folder, &s, "");
    refuse(folder, "ff", IOL_E_FORMAT, file,
           "tensor 'model.layers.0.mlp.gate_proj.weight' has shape (5, 8)",
           "expected (2147483647, 8)");
    s = llama;
    s.attention_bias = true;
    write_llama_config(folder, &s, "");
    refuse(folder, "bias", IOL_E_FORMAT, file,
           "tensor 'model.layers.0.self_attn.q_proj.bias' is missing", "expected one of shape (8)");
    s = llama;
    s.mlp_bias = true;
    write_llama_config(folder, &s, "");
    refuse(folder, "bias", IOL_E_FORMAT, file,
           "tensor 'model.layers.0.mlp.gate_proj.bias' is missing", "expected one of shape (5)");
}

static void test_gpt2_configs(void **state)
{
    (void)state;
    const char *folder = writer_folder("gpt2-config");
    writer_gpt2(&writer, &gpt2);
    writer_single(&writer, folder);
    write_gpt2_config(folder, &gpt2, "");
    const struct config_case cases[] = {
        {"\"n_embd\":8,", "", IOL_E_FORMAT, "key 'n_embd' is missing", "expected a whole number"},
        {"\"n_head\":2", "\"n_head\":3", IOL_E_FORMAT, "key 'n_head' is 3",
         "expected a divisor of n_embd, which is 8"},
        {"\"n_inner\":5", "\"n_inner\":0", IOL_E_FORMAT, "key 'n_inner' is 0",
         "expected a whole number"},
        {"\"n_layer\":2", "\"n_layer\":2,\"activation_function\":\"relu\"", IOL_E_UNSUPPORTED,
         "key 'activation_function' is \"relu\"", "expected \"gelu_new\""},
        {"\"n_layer\":2", "\"n_layer\":2,\"add_cross_attention\":true", IOL_E_UNSUPPORTED,
         "key 'add_cross_attention' is true: cross-attention is not supported", "expected none"},
        {"\"n_layer\":2", "\"n_layer\":2,\"pruned_heads\":{\"0\":[1]}", IOL_E_UNSUPPORTED,
         "key 'pruned_heads' is an object", "expected none"},
        {"\"n_layer\":2", "\"n_layer\":2,\"scale_attn_weights\":\"no\"", IOL_E_FORMAT,
         "key 'scale_attn_weights' is the string \"no\"", "expected true or false"},
    };
    check_configs(folder, cases, sizeof cases / sizeof *cases);
    struct shape s = gpt2;
    s.tied = false;
    write_gpt2_config(folder, &s, "");
    refuse(folder, "untied", IOL_E_FORMAT,
           "/model.safetensors: ", "tensor 'lm_head.weight' is missing",
           "expected one of shape (13, 8)");
    s = gpt2;
    s.context = 17;
    write_gpt2_config(folder, &s, "");
    refuse(folder, "context", IOL_E_FORMAT,
           "/model.safetensors: ", "tensor 'wpe.weight' has shape (16, 8)", "expected (17, 8)");
    write_text(folder, "config.json", "");
    refuse(folder, "empty", IOL_E_FORMAT, "/config.json: ", "the file is empty", "expected");
    write_text(folder, "config.json", "\"gpt2\"");
    refuse(folder, "a string", IOL_E_FORMAT, "/config.json: ", "the config is the string \"gpt2\"",
           "expected a JSON object");
    write_text(folder, "config.json", "{\"model_type\":\"gpt2\"} {}");
    refuse(folder, "two", IOL_E_FORMAT, "/config.json: ", "line 1", "expected valid JSON");
}

/* Any one byte of the header changed: refused, or a model; never a crash. */
static void test_flipped_bytes(void **state)
{
    (void)state;
    const char *folder = good_folder("flipped");
    writer_header(&writer, 0, writer.count, header);
    size_t length = strlen(header), opened = 0;
    for (size_t i = 0; i < 1500; i++) {
        memcpy(patched, header, length + 1);
        patched[writer_random(&writer) % length] = (char)(writer_random(&writer) % 255 + 1);
        writer_file(&writer, folder, "model.safetensors", patched, 0, writer.count);
        struct iol_model *model;
        enum iol_status status = iol_model_open(NULL, folder, &model);
        opened += status == IOL_OK;
        assert_true(status == IOL_OK || status == IOL_E_FORMAT);
        assert_true(status == IOL_OK || strstr(iol_error(), "/model.safetensors: "));
        iol_model_close(model);
    }
    assert_true(opened < 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_headers, clear),
        cmocka_unit_test_teardown(test_files, clear),
        cmocka_unit_test_teardown(test_non_finite, clear),
        cmocka_unit_test_teardown(test_shards, clear),
        cmocka_unit_test_teardown(test_llama_configs, clear),
        cmocka_unit_test_teardown(test_absurd_sizes, clear),
        cmocka_unit_test_teardown(test_gpt2_configs, clear),
        cmocka_unit_test_teardown(test_flipped_bytes, clear),
    };
    writer_root_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    writer_root_close();
    return failed;
}
