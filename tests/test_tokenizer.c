/* Text to ids: small tokenizers written here, and files that are wrong. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "iolaus/tokenizer.h"

static char folder[] = "/tmp/iolaus-tokenizer-XXXXXX";

static void write_file(const char *name, const char *text, size_t length)
{
    char *path = iol_path_join(folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    iol_free(path);
}

static void remove_file(const char *name)
{
    char *path = iol_path_join(folder, name);
    unlink(path);
    iol_free(path);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    remove_file("tokenizer.json");
    remove_file("tokenizer_config.json");
    remove_file("config.json");
    return rmdir(folder);
}

/* A fresh folder with these files; NULL: not there. */
static enum iol_status open_files(const char *tokenizer, const char *tokenizer_config,
                                  const char *config, struct iol_tokenizer **out)
{
    const char *names[] = {"tokenizer.json", "tokenizer_config.json", "config.json"};
    const char *texts[] = {tokenizer, tokenizer_config, config};
    for (int i = 0; i < 3; i++) {
        remove_file(names[i]);
        if (texts[i]) {
            write_file(names[i], texts[i], strlen(texts[i]));
        }
    }
    return iol_tokenizer_open(folder, out);
}

/* Parts of a small byte-level tokenizer and a small SentencePiece one. Ids are counted from 0 in
 * each. */
#define BYTE_VOCAB                                                                                 \
    "\"h\":0,\"e\":1,\"l\":2,\"o\":3,\"\\u0120\":4,\"w\":5,\"r\":6,\"d\":7,\"1\":8,\"\\u00c3\":9," \
    "\"\\u00a9\":10,\"he\":11,\"ll\":12,\"hell\":13,\"hello\":14,\"\\u0120w\":15,\"\\u010a\":16"
#define BYTE_MERGES "[\"#version: 0.2\",\"h e\",\"l l\",\"he ll\",\"hell o\",\"\\u0120 w\"]"
#define BYTE_LEVEL                                                                                 \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define SP_VOCAB                                                                                   \
    "\"<unk>\":0,\"<s>\":1,\"<0xC3>\":2,\"<0xA9>\":3,\"\\u2581\":4,\"a\":5,\"b\":6,\"ab\":7,"      \
    "\"\\u2581ab\":8,\"c\":9"
#define SP_MERGES "[[\"a\",\"b\"],[\"\\u2581\",\"ab\"]]"
#define SP_NORMALIZER                                                                              \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},"      \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}]}"
#define TEMPLATE                                                                                   \
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":"  \
    "0}},"                                                                                         \
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"                                    \
    "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}}"
#define ADDED(id, content, single, left, right, normal)                                            \
    "{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":" #single ",\"lstrip\":" #left    \
    ",\"rstrip\":" #right ",\"normalized\":" #normal ",\"special\":true}"

#define BPE(options, vocab, merges)                                                                \
    "{\"type\":\"BPE\"," options "\"vocab\":{" vocab "},\"merges\":" merges "}"
#define BYTE_MODEL BPE("", BYTE_VOCAB, BYTE_MERGES)
#define SP_MODEL                                                                                   \
    BPE("\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,", SP_VOCAB, SP_MERGES)

#define TOKENIZER(added, normalizer, pre_tokenizer, post_processor, model)                         \
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[" added           \
    "],\"normalizer\":" normalizer ",\"pre_tokenizer\":" pre_tokenizer                             \
    ",\"post_processor\":" post_processor ",\"decoder\":null,\"model\":" model "}"

#define BYTE_TOKENIZER TOKENIZER("", "null", BYTE_LEVEL, BYTE_LEVEL, BYTE_MODEL)
#define SP_TOKENIZER                                                                               \
    TOKENIZER(ADDED(1, "<s>", false, false, false, false), SP_NORMALIZER, "null", TEMPLATE,        \
              SP_MODEL)

/* The ids of `text` are `expected`, written "1 2 3". */
static void assert_ids(const struct iol_tokenizer *tokenizer, const char *text, enum iol_bos bos,
                       const char *expected)
{
    int32_t *ids = NULL;
    size_t count = 0, used = 0;
    char found[512] = "";
    if (iol_tokenizer_encode(tokenizer, text, strlen(text), bos, &ids, &count) != IOL_OK) {
        fail_msg("'%s': %s", text, iol_error());
    }
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(found + used, sizeof found - used, i ? " %d" : "%d", ids[i]);
    }
    iol_ids_free(ids);
    if (strcmp(found, expected) != 0) {
        fail_msg("'%s' gave ids '%s', expected '%s'", text, found, expected);
    }
}

/* A tokenizer.json alone gives these ids with IOL_BOS_AUTO: pairs of text and ids up to NULL. */
static void assert_tokenizer(const char *json, const char *const *pairs)
{
    struct iol_tokenizer *tokenizer = NULL;
    if (open_files(json, NULL, NULL, &tokenizer) != IOL_OK) {
        fail_msg("%s", iol_error());
    }
    for (; *pairs; pairs += 2) {
        assert_ids(tokenizer, pairs[0], IOL_BOS_AUTO, pairs[1]);
    }
    iol_tokenizer_close(tokenizer);
}

static void test_byte_level(void **state)
{
    (void)state;
    struct iol_tokenizer *tokenizer = NULL;
    assert_int_equal(open_files(BYTE_TOKENIZER, NULL, NULL, &tokenizer), IOL_OK);
    assert_string_equal(iol_tokenizer_kind(tokenizer), "byte-level BPE");
    assert_int_equal(iol_tokenizer_size(tokenizer), 17);
    assert_int_equal(iol_tokenizer_bos(tokenizer), -1);
    assert_ids(tokenizer, "", IOL_BOS_AUTO, "");
    assert_ids(tokenizer, "hello world", IOL_BOS_AUTO, "14 15 3 6 2 7");
    assert_ids(tokenizer, "hell  hello", IOL_BOS_AUTO, "13 4 4 14"); /* \s+(?!\S), then " hello" */
    assert_ids(tokenizer, "\xC3\xA9", IOL_BOS_AUTO, "9 10");
    assert_ids(tokenizer,
               "\xE2\x82\xAC"
               "h",
               IOL_BOS_AUTO, "0"); /* unknown bytes fall out */
    assert_string_equal(iol_tokenizer_piece(tokenizer, 15), " w");
    assert_string_equal(iol_tokenizer_piece(tokenizer, 16), "\\n");
    assert_string_equal(iol_tokenizer_piece(tokenizer, 9), "\\xC3");
    assert_string_equal(iol_tokenizer_piece(tokenizer, 17), "");
    assert_string_equal(iol_tokenizer_piece(tokenizer, -1), "");
    int32_t *ids = NULL;
    size_t count = 0;
    assert_int_equal(iol_tokenizer_encode(tokenizer, "ab\xFF", 3, IOL_BOS_AUTO, &ids, &count),
                     IOL_E_FORMAT);
    assert_null(ids);
    assert_non_null(strstr(iol_error(), "byte 2"));
    assert_int_equal(iol_tokenizer_encode(tokenizer, "h", 1, IOL_BOS_YES, &ids, &count),
                     IOL_E_UNSUPPORTED);
    assert_int_equal(iol_tokenizer_encode(tokenizer, "h\0h", 3, IOL_BOS_AUTO, &ids, &count),
                     IOL_OK);
    assert_int_equal(count, 2);
    iol_ids_free(ids);
    iol_tokenizer_close(tokenizer);
    iol_tokenizer_close(NULL);
}

static void test_sentencepiece(void **state)
{
    (void)state;
    struct iol_tokenizer *tokenizer = NULL;
    assert_int_equal(open_files(SP_TOKENIZER, NULL, NULL, &tokenizer), IOL_OK);
    assert_string_equal(iol_tokenizer_kind(tokenizer), "SentencePiece BPE");
    assert_ids(tokenizer, "", IOL_BOS_AUTO, "1");
    assert_ids(tokenizer, "ab abc", IOL_BOS_AUTO, "1 8 8 9");
    assert_ids(tokenizer, "\xC3\xA9", IOL_BOS_AUTO, "1 4 2 3"); /* bytes */
    assert_ids(tokenizer, "zzab", IOL_BOS_AUTO, "1 4 0 7");     /* unknowns become one */
    assert_ids(tokenizer,
               "z\xC3\xA9"
               "c",
               IOL_BOS_AUTO, "1 4 2 3 0 9"); /* bytes overtake it */
    assert_ids(tokenizer, "ab<s>ab", IOL_BOS_AUTO, "1 8 1 8");
    assert_string_equal(iol_tokenizer_piece(tokenizer, 8), " ab");
    iol_tokenizer_close(tokenizer);
}

static void test_unknown_tokens(void **state)
{
    (void)state;
    static const char *const fused[] = {"zzab", "0 7", "\xC3\xA9", "0", NULL};
    static const char *const apart[] = {"zzab", "0 0 7", NULL};
    static const char *const whole[] = {"\xE2\x96\x81"
                                        "ab",
                                        "8", "abab", "7 7", NULL};
    assert_tokenizer(
        TOKENIZER("", "null", "null", "null",
                  BPE("\"unk_token\":\"<unk>\",\"fuse_unk\":true,", SP_VOCAB, SP_MERGES)),
        fused);
    assert_tokenizer(
        TOKENIZER("", "null", "null", "null", BPE("\"unk_token\":\"<unk>\",", SP_VOCAB, SP_MERGES)),
        apart);
    assert_tokenizer(TOKENIZER("", "null", "null", "null",
                               BPE("\"ignore_merges\":true,", SP_VOCAB, "[[\"a\",\"b\"]]")),
                     whole);
    struct iol_tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    size_t count = 0;
    assert_int_equal(open_files(TOKENIZER("", "null", "null", "null",
                                          BPE("\"unk_token\":\"?\",", SP_VOCAB, SP_MERGES)),
                                NULL, NULL, &tokenizer),
                     IOL_OK);
    assert_int_equal(iol_tokenizer_encode(tokenizer, "z", 1, IOL_BOS_AUTO, &ids, &count),
                     IOL_E_FORMAT);
    assert_non_null(strstr(iol_error(), "unk_token"));
    iol_tokenizer_close(tokenizer);
}

static void test_affixes(void **state)
{
    (void)state;
    static const char *const pairs[] = {"ab", "3", "a", "2", "aab", "0 3", NULL};
    assert_tokenizer("{\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0,\"b</w>\":1,"
                     "\"a</w>\":2,\"ab</w>\":3},\"merges\":[\"a b</w>\"]}}",
                     pairs);
    static const char *const continued[] = {"ab", "2", "ba", "", NULL};
    assert_tokenizer("{\"model\":{\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0,"
                     "\"##b\":1,\"ab\":2},\"merges\":[[\"a\",\"##b\"]]}}",
                     continued);
}

static void test_bos(void **state)
{
    (void)state;
    static const struct {
        const char *tokenizer, *tokenizer_config, *config;
        const char *automatic, *yes, *no; /* ids of "ab" */
        int32_t bos;
    } cases[] = {
        {SP_TOKENIZER, NULL, "{\"bos_token_id\":1}", "1 8", "1 8", "8", 1},
        {SP_TOKENIZER, "{\"add_bos_token\":true}", "{\"bos_token_id\":[1,2]}", "1 8", "1 8", "8",
         1},
        {SP_TOKENIZER, "{\"add_bos_token\":true}", "{\"bos_token_id\":5}", "5 1 8", "5 1 8", "8",
         5},
        {SP_TOKENIZER, "{\"bos_token\":{\"content\":\"<s>\"}}", "{\"bos_token_id\":null}", "1 8",
         "1 8", "8", 1},
        {TOKENIZER("", SP_NORMALIZER, "null", "null", SP_MODEL),
         "{\"add_bos_token\":true,\"bos_token\":\"<s>\"}", NULL, "1 8", "1 8", "8", 1},
        {TOKENIZER("", SP_NORMALIZER, "null", "null", SP_MODEL),
         "{\"add_bos_token\":false,\"bos_token\":\"<s>\"}", "{}", "8", "1 8", "8", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct iol_tokenizer *tokenizer = NULL;
        if (open_files(cases[i].tokenizer, cases[i].tokenizer_config, cases[i].config,
                       &tokenizer) != IOL_OK) {
            fail_msg("case %zu: %s", i, iol_error());
        }
        assert_int_equal(iol_tokenizer_bos(tokenizer), cases[i].bos);
        assert_ids(tokenizer, "ab", IOL_BOS_AUTO, cases[i].automatic);
        assert_ids(tokenizer, "ab", IOL_BOS_YES, cases[i].yes);
        assert_ids(tokenizer, "ab", IOL_BOS_NO, cases[i].no);
        iol_tokenizer_close(tokenizer);
    }
}

/* Expected ids from the Hugging Face package tokenizers 0.23. */
static void test_added_tokens(void **state)
{
    (void)state;
    static const char *const raw[] = {"<x>a <x>  a", "10 5 11 5", "<x><x>y", "10 12",
                                      "<xa",         "5",         NULL};
    assert_tokenizer(TOKENIZER(ADDED(10, "<x>", false, false, false, false) "," ADDED(
                                   11, " <x>  ", false, false, false,
                                   false) "," ADDED(12, "<x>y", false, false, false, false),
                               "null", "null", "null", BPE("", SP_VOCAB, SP_MERGES)),
                     raw);
    static const char *const stripped[] = {"a <x> a", "5 10 5", "a<x><x> ", "5 10 10", NULL};
    assert_tokenizer(TOKENIZER(ADDED(10, "<x>", false, true, true, false), "null", "null", "null",
                               BPE("", SP_VOCAB, SP_MERGES)),
                     stripped);
    static const char *const single[] = {"ca c,c", "9 5 9 10 9", "c_c", "9 9", NULL};
    assert_tokenizer(TOKENIZER(ADDED(10, ",", false, false, false, false) "," ADDED(
                                   11, "q", false, false, false,
                                   false) "," ADDED(9, "c", true, false, false, false),
                               "null", "null", "null", BPE("", SP_VOCAB, SP_MERGES)),
                     single);
    static const char *const normal[] = {"C A<X>", "9 10 11", NULL};
    assert_tokenizer(TOKENIZER(ADDED(10, " A", false, false, false,
                                     true) "," ADDED(11, "<X>", false, false, false, false),
                               "{\"type\":\"Lowercase\"}", "null", "null",
                               BPE("", SP_VOCAB, SP_MERGES)),
                     normal);
}

#define SPLIT(pattern, behavior, invert)                                                           \
    "{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":\"" behavior "\",\"invert\":" invert \
    "}"
#define WORDS(pre_tokenizer)                                                                       \
    TOKENIZER("", "null", pre_tokenizer, "null",                                                   \
              "{\"ignore_merges\":true,\"vocab\":{\"a\":0,\"-\":1,\"a-\":2,\"-a\":3,\"--\":4,"     \
              "\"a-a\":5,\"1\":6,\"11\":7,\"\\u2581a\":8,\"\\u2581\":9,\"aa\":10,\"A\":11},"       \
              "\"merges\":[]}")

static void test_pre_tokenizers(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text, *ids;
    } cases[] = {
        {WORDS("null"), "a-a", "5"},
        {WORDS(SPLIT("{\"String\":\"-\"}", "Isolated", "false")), "a-a", "0 1 0"},
        {WORDS(SPLIT("{\"String\":\"-\"}", "Removed", "false")), "a-a", "0 0"},
        {WORDS(SPLIT("{\"String\":\"-\"}", "Removed", "true")), "a-a", "1"},
        {WORDS(SPLIT("{\"String\":\"-\"}", "MergedWithPrevious", "false")), "a-a", "2 0"},
        {WORDS(SPLIT("{\"String\":\"-\"}", "MergedWithNext", "false")), "a-a", "0 3"},
        {WORDS(SPLIT("{\"String\":\"-\"}", "Contiguous", "false")), "a--a", "0 4 0"},
        {WORDS(SPLIT("{\"Regex\":\"\\\\p{N}{1,2}+|(?i:A)\"}", "Isolated", "false")), "aA111",
         "0 11 6 6 6"},
        {WORDS(SPLIT("{\"Regex\":\"a[-[a]]\"}", "Isolated", "false")), "a-aa", "2 10"},
        {WORDS("{\"type\":\"Digits\",\"individual_digits\":true}"), "a11", "0 6 6"},
        {WORDS("{\"type\":\"Digits\",\"individual_digits\":false}"), "a11", "0 7"},
        {WORDS("{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\"}"), "a a", "8 8"},
        {WORDS("{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"never\"}"),
         "a a", "0 8"},
        {WORDS("{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT(
             "{\"String\":\"-\"}", "Removed",
             "false") ",{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":"
                      "\"first\"}]}"),
         "a-a", "8 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const pairs[] = {cases[i].text, cases[i].ids, NULL};
        assert_tokenizer(cases[i].json, pairs);
    }
}

static void test_normalizers(void **state)
{
    (void)state;
#define NORMAL(normalizer)                                                                         \
    TOKENIZER("", normalizer, "null", "null",                                                      \
              "{\"vocab\":{\"a\":0,\"e\":1,\"\\u0301\":2,\"\\u00e9\":3,\"f\":4,\"i\":5,"           \
              "\"\\ufb01\":6,\"\\u0307\":7},\"merges\":[]}")
    static const struct {
        const char *json, *text, *ids;
    } cases[] = {
        {NORMAL("{\"type\":\"NFC\"}"), "e\xCC\x81\xEF\xAC\x81", "3 6"},
        {NORMAL("{\"type\":\"NFD\"}"), "\xC3\xA9\xEF\xAC\x81", "1 2 6"},
        {NORMAL("{\"type\":\"NFKC\"}"), "e\xCC\x81\xEF\xAC\x81", "3 4 5"},
        {NORMAL("{\"type\":\"NFKD\"}"), "\xC3\xA9\xEF\xAC\x81", "1 2 4 5"},
        {NORMAL("{\"type\":\"Lowercase\"}"), "A\xC3\x89\xC4\xB0", "0 3 5 7"},
        {NORMAL("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[fi]+\"},\"content\":\"a\"}"),
         "efife", "1 0 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const pairs[] = {cases[i].text, cases[i].ids, NULL};
        assert_tokenizer(cases[i].json, pairs);
    }
}

/* Every wrong file is refused with the place and what is wrong there. */
static void test_wrong_files(void **state)
{
    (void)state;
#define MODEL(model)                 TOKENIZER("", "null", "null", "null", model)
#define PARTS(normalizer, pre, post) TOKENIZER("", normalizer, pre, post, SP_MODEL)
    static const struct {
        const char *json;
        enum iol_status status;
        const char *says;
    } cases[] = {
        {"", IOL_E_FORMAT, "line 1"},
        {"[]", IOL_E_FORMAT, "expected an object"},
        {"{\"model\":", IOL_E_FORMAT, "line 1, column"},
        {"{}", IOL_E_FORMAT, "model: missing"},
        {"{\"a\":1,\"a\":2}", IOL_E_FORMAT, "duplicate"},
        {"{\"version\":\"2.0\"}", IOL_E_FORMAT, "version: found the string \"2.0\""},
        {"{\"truncation\":{}}", IOL_E_UNSUPPORTED, "truncation"},
        {"{\"padding\":{\"strategy\":{\"Fixed\":3}}}", IOL_E_UNSUPPORTED, "padding"},
        {MODEL("7"), IOL_E_FORMAT, "model: found 7"},
        {MODEL("{\"type\":\"Unigram\"}"), IOL_E_UNSUPPORTED, "'Unigram'"},
        {MODEL("{\"vocab\":{}}"), IOL_E_FORMAT, "model.merges: missing"},
        {MODEL("{\"vocab\":[],\"merges\":[]}"), IOL_E_FORMAT, "model.vocab: found an array"},
        {MODEL(BPE("", "\"a\":-1", "[]")), IOL_E_FORMAT, "model.vocab.a: found -1"},
        {MODEL(BPE("", "\"a\":4294967296", "[]")), IOL_E_FORMAT, "found 4294967296"},
        {MODEL(BPE("", "\"a\":\"b\"", "[]")), IOL_E_FORMAT, "found the string \"b\""},
        {MODEL(BPE("", "\"a\":1.5", "[]")), IOL_E_FORMAT, "found 1.5"},
        {MODEL(BPE("", "\"a\":1,\"b\":1", "[]")), IOL_E_FORMAT, "expected different ids"},
        {MODEL(BPE("", "\"a\":1", "[\"a b\"]")), IOL_E_FORMAT, "model.merges[0]: found \"a b\""},
        {MODEL(BPE("", "\"a\":1", "[\"a a\"]")), IOL_E_FORMAT, "the joined \"aa\""},
        {MODEL(BPE("", "\"a\":1,\"aa\":2", "[\"a a\",\"aa\"]")), IOL_E_FORMAT, "model.merges[1]"},
        {MODEL(BPE("", "\"a\":1", "[\"a a a\"]")), IOL_E_FORMAT, "merges[0]"},
        {MODEL(BPE("", "\"a\":1", "[[\"a\"]]")), IOL_E_FORMAT, "found an array of 1"},
        {MODEL(BPE("", "\"a\":1", "[null]")), IOL_E_FORMAT, "found null"},
        {MODEL(BPE("\"continuing_subword_prefix\":\"##\",", "\"a\":1", "[\"a a\"]")), IOL_E_FORMAT,
         "continuing_subword_prefix"},
        {MODEL(BPE("\"dropout\":0.1,", "", "[]")), IOL_E_UNSUPPORTED, "dropout"},
        {MODEL(BPE("\"fuse_unk\":1,", "", "[]")), IOL_E_FORMAT, "model.fuse_unk: found 1"},
        {MODEL(BPE("\"unk_token\":[],", "", "[]")), IOL_E_FORMAT, "model.unk_token"},
        {PARTS("{\"type\":\"StripAccents\"}", "null", "null"), IOL_E_UNSUPPORTED,
         "normalizer 'StripAccents'"},
        {PARTS("[]", "null", "null"), IOL_E_FORMAT, "normalizer: found an array"},
        {PARTS("{\"type\":\"Prepend\"}", "null", "null"), IOL_E_FORMAT,
         "normalizer.prepend: missing"},
        {PARTS("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"}]}", "null", "null"),
         IOL_E_UNSUPPORTED, "normalizer.normalizers[0]: the normalizer 'Nmt'"},
        {PARTS("null", "{\"type\":\"Whitespace\"}", "null"), IOL_E_UNSUPPORTED, "'Whitespace'"},
        {PARTS("null", "{\"type\":\"ByteLevel\"}", "null"), IOL_E_FORMAT,
         "add_prefix_space: missing"},
        {PARTS("null", SPLIT("{\"Glob\":\"a\"}", "Removed", "false"), "null"), IOL_E_FORMAT,
         "pre_tokenizer.pattern"},
        {PARTS("null", SPLIT("{\"Regex\":\"(\"}", "Removed", "false"), "null"), IOL_E_FORMAT,
         "does not compile"},
        {PARTS("null", SPLIT("{\"Regex\":\"[a\"}", "Removed", "false"), "null"), IOL_E_FORMAT,
         "not closed"},
        {PARTS("null", SPLIT("{\"Regex\":\"a\\\\b\"}", "Removed", "false"), "null"),
         IOL_E_UNSUPPORTED, "'\\b'"},
        {PARTS("null", SPLIT("{\"Regex\":\"\\\\\"}", "Removed", "false"), "null"),
         IOL_E_UNSUPPORTED, "escape"},
        {PARTS("null", SPLIT("{\"Regex\":\"[a&&b]\"}", "Removed", "false"), "null"),
         IOL_E_UNSUPPORTED, "intersection"},
        {PARTS("null", SPLIT("{\"Regex\":\"(?<n>a)\"}", "Removed", "false"), "null"),
         IOL_E_UNSUPPORTED, "group"},
        {PARTS("null", SPLIT("{\"Regex\":\"\\\\p{Zzzz}\"}", "Removed", "false"), "null"),
         IOL_E_UNSUPPORTED, "\\p{Zzzz}"},
        {PARTS("null", SPLIT("{\"String\":\"a\"}", "Merged", "false"), "null"), IOL_E_UNSUPPORTED,
         "'Merged'"},
        {PARTS("null", "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", "null"), IOL_E_FORMAT,
         "expected one character"},
        {PARTS("null", "null", "{\"type\":\"BertProcessing\"}"), IOL_E_UNSUPPORTED,
         "'BertProcessing'"},
        {PARTS("null", "null",
               "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}]}"),
         IOL_E_FORMAT, "post_processor.single[0].SpecialToken.id: found the string \"x\""},
        {PARTS("null", "null",
               "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}"),
         IOL_E_FORMAT, "expected \"A\""},
        {PARTS("null", "null",
               "{\"type\":\"Sequence\",\"processors\":[" TEMPLATE "," TEMPLATE "]}"),
         IOL_E_UNSUPPORTED, "second TemplateProcessing"},
        {TOKENIZER("3", "null", "null", "null", SP_MODEL), IOL_E_FORMAT,
         "added_tokens[0]: found 3"},
        {TOKENIZER("{\"id\":10}", "null", "null", "null", SP_MODEL), IOL_E_FORMAT,
         "added_tokens[0].special: missing"},
        {TOKENIZER(ADDED(12, "q", false, false, false, false), "null", "null", "null", SP_MODEL),
         IOL_E_FORMAT, "added_tokens[0].id: found 12 for \"q\", expected 10"},
        {TOKENIZER(ADDED(10, "q", false, false, false, true) "," ADDED(11, "Q", false, false, false,
                                                                       true),
                   "{\"type\":\"Lowercase\"}", "null", "null", SP_MODEL),
         IOL_E_FORMAT, "the same text as added_tokens[0]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct iol_tokenizer *tokenizer = NULL;
        enum iol_status status = open_files(cases[i].json, NULL, NULL, &tokenizer);
        if (status != cases[i].status || tokenizer || !strstr(iol_error(), cases[i].says) ||
            !strstr(iol_error(), "tokenizer.json")) {
            fail_msg("case %zu: %s, '%s', expected %s and '%s'", i, iol_status_name(status),
                     iol_error(), iol_status_name(cases[i].status), cases[i].says);
        }
    }
    struct iol_tokenizer *tokenizer = NULL;
    assert_int_equal(open_files(NULL, NULL, NULL, &tokenizer), IOL_E_IO);
    assert_int_equal(open_files(SP_TOKENIZER, "{\"add_bos_token\":3}", NULL, &tokenizer),
                     IOL_E_FORMAT);
    assert_non_null(strstr(iol_error(), "tokenizer_config.json: add_bos_token: found 3"));
    assert_int_equal(open_files(SP_TOKENIZER, NULL, "{\"bos_token_id\":\"x\"}", &tokenizer),
                     IOL_E_FORMAT);
    assert_non_null(strstr(iol_error(), "config.json: bos_token_id"));
}

/* Sequences within Sequences without end. */
static void test_deep_sequences(void **state)
{
    (void)state;
    static const char open[] = "{\"type\":\"Sequence\",\"normalizers\":[";
    char *json = iol_alloc(65536, 1);
    strcpy(json, "{\"normalizer\":");
    for (int i = 0; i < 500; i++) {
        strcat(json, open);
    }
    for (int i = 0; i < 500; i++) {
        strcat(json, "]}");
    }
    strcat(json, "}");
    struct iol_tokenizer *tokenizer = NULL;
    assert_int_equal(open_files(json, NULL, NULL, &tokenizer), IOL_E_LIMIT);
    iol_free(json);
}

/* A file cut anywhere, or with any byte changed, gives an error or a tokenizer that still answers.
 */
static void test_damaged_files(void **state)
{
    (void)state;
    static const char good[] = SP_TOKENIZER;
    struct iol_tokenizer *tokenizer = NULL;
    remove_file("config.json");
    remove_file("tokenizer_config.json");
    for (size_t length = 1; length < sizeof good - 1; length += 3) {
        write_file("tokenizer.json", good, length);
        assert_int_equal(iol_tokenizer_open(folder, &tokenizer), IOL_E_FORMAT);
        assert_null(tokenizer);
    }
    uint64_t seed = 1;
    for (int round = 0; round < 1500; round++) {
        char bad[sizeof good];
        memcpy(bad, good, sizeof good);
        for (uint64_t k = iol_below(&seed, 3) + 1; k; k--) {
            static const char bytes[] = "0127\"{}[]:,a\\-\x80 nt";
            bad[iol_below(&seed, sizeof good - 1)] = bytes[iol_below(&seed, sizeof bytes - 1)];
        }
        write_file("tokenizer.json", bad, sizeof good - 1);
        if (iol_tokenizer_open(folder, &tokenizer) == IOL_OK) {
            int32_t *ids = NULL;
            size_t count = 0;
            enum iol_status status = iol_tokenizer_encode(tokenizer, "ab abz \xC3\xA9<s>c", 12,
                                                          IOL_BOS_AUTO, &ids, &count);
            assert_int_equal(status == IOL_OK, ids != NULL);
            iol_ids_free(ids);
        }
        iol_tokenizer_close(tokenizer);
    }
}

/* Each allocation in turn fails: an error, nothing lost, nothing touched twice. */
static void test_out_of_memory(void **state)
{
    (void)state;
    static const char json[] =
        TOKENIZER(ADDED(1, "<s>", false, true, true, false), SP_NORMALIZER,
                  "{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT(
                      "{\"Regex\":\"a|\\\\p{N}\"}", "Isolated", "false") "," BYTE_LEVEL "]}",
                  TEMPLATE, SP_MODEL);
    struct iol_tokenizer *tokenizer = NULL;
    assert_int_equal(open_files(json, NULL, "{\"bos_token_id\":1}", &tokenizer), IOL_OK);
    iol_tokenizer_close(tokenizer);
    long n = 1;
    for (bool done = false; !done; n++) {
        int32_t *ids = NULL;
        size_t count = 0;
        iol_alloc_fail_nth(n);
        enum iol_status status = iol_tokenizer_open(folder, &tokenizer);
        if (status == IOL_OK) {
            status = iol_tokenizer_encode(tokenizer, "ab <s> ab", 9, IOL_BOS_YES, &ids, &count);
        }
        iol_alloc_fail_nth(0);
        done = status == IOL_OK;
        assert_true(done || status == IOL_E_NOMEM);
        iol_ids_free(ids);
        iol_tokenizer_close(tokenizer);
    }
    assert_true(n > 50);
}

/* A word of a million characters is no slower per character than a short one, as far as a test can
 * wait for it. */
static void test_long_word(void **state)
{
    (void)state;
    struct iol_tokenizer *tokenizer = NULL;
    const size_t length = 1000000;
    char *text = iol_alloc(length, 1);
    int32_t *ids = NULL;
    size_t count = 0;
    assert_int_equal(open_files(SP_TOKENIZER, NULL, NULL, &tokenizer), IOL_OK);
    for (size_t i = 0; i < length; i++) {
        text[i] = "ab"[i % 2];
    }
    assert_int_equal(iol_tokenizer_encode(tokenizer, text, length, IOL_BOS_NO, &ids, &count),
                     IOL_OK);
    assert_int_equal(count, length / 2);
    iol_ids_free(ids);
    iol_free(text);
    iol_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_level),
        cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_unknown_tokens),
        cmocka_unit_test(test_affixes),
        cmocka_unit_test(test_bos),
        cmocka_unit_test(test_added_tokens),
        cmocka_unit_test(test_pre_tokenizers),
        cmocka_unit_test(test_normalizers),
        cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_deep_sequences),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_long_word),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, make_folder, remove_folder);
}
