/* Experiments as parsed: sites, kinds, pairs, donors, prompts, and what is refused and how. */
#define _GNU_SOURCE
#include "intervene/experiment.h"

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
#include "intervene/pattern.h"

/* No weights: parsing reads the architecture only. 3 layers of 4 heads of 5, d_model 24. */
static struct iol_model model = {.arch = {.layers = 3,
                                          .d_model = 24,
                                          .heads = 4,
                                          .kv_heads = 2,
                                          .head_dim = 5,
                                          .vocab = 12,
                                          .context = 6}};
static struct iol_ctx ctx; /* only its address is used */
static char folder[] = "/tmp/iol-experiment-XXXXXX";
static char prompts_path[64], tokenizer_path[64];

static void write_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void write_prompts(const char *text)
{
    write_file(prompts_path, text, strlen(text));
}

static struct iol_run_settings settings_of(void)
{
    struct iol_run_settings settings;
    iol_run_settings_default(&settings);
    settings.prompts = prompts_path;
    return settings;
}

static struct iol_experiment *open_settings(const struct iol_run_settings *settings)
{
    struct iol_experiment *experiment;
    if (iol_experiment_open(&ctx, &model, folder, settings, &experiment) != IOL_OK) {
        fail_msg("%s", iol_error());
    }
    return experiment;
}

static struct iol_experiment *open_does(size_t count, const char *const *does)
{
    struct iol_run_settings settings = settings_of();
    settings.does = does;
    settings.do_count = count;
    return open_settings(&settings);
}

/* Refused with `status`, and the sentence holds `part`. */
static void refuse(const struct iol_run_settings *settings, enum iol_status status,
                   const char *part)
{
    struct iol_experiment *experiment;
    enum iol_status found = iol_experiment_open(&ctx, &model, folder, settings, &experiment);
    assert_null(experiment);
    if (found != status || !strstr(iol_error(), part)) {
        fail_msg("found %s '%s', expected %s '%s'", iol_status_name(found), iol_error(),
                 iol_status_name(status), part);
    }
}

static void refuse_do(const char *text, enum iol_status status, const char *part)
{
    struct iol_run_settings settings = settings_of();
    settings.does = &text;
    settings.do_count = 1;
    refuse(&settings, status, part);
}

static void refuse_line(const char *line, enum iol_status status, const char *part)
{
    char text[512];
    struct iol_run_settings settings = settings_of();
    const char *does = "attn_out=zero";
    settings.does = &does;
    settings.do_count = 1;
    settings.filter = "correct";
    snprintf(text, sizeof text, "{\"tokens\":[1]}\n\n%s\n", line);
    write_prompts(text);
    refuse(&settings, status, part);
    assert_non_null(strstr(iol_error(), "prompts.jsonl:3: "));
}

/* "site:kind site:kind ..." */
static void expect_pairs(struct iol_experiment *experiment, const char *expected)
{
    char text[2048] = "";
    for (size_t i = 0; i < experiment->pair_count; i++) {
        const struct iol_pair *pair = &experiment->pairs[i];
        strcat(text, i ? " " : "");
        strcat(text, experiment->sites[pair->site].name);
        strcat(text, "=");
        strcat(text, experiment->kinds[pair->kind].name);
    }
    assert_string_equal(text, expected);
    iol_experiment_close(experiment);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(prompts_path, sizeof prompts_path, "%s/prompts.jsonl", folder);
    snprintf(tokenizer_path, sizeof tokenizer_path, "%s/tokenizer.json", folder);
    static const char tokenizer[] =
        "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[],"
        "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
        "\"trim_offsets\":true,\"use_regex\":true},\"post_processor\":null,\"decoder\":{\"type\":"
        "\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},"
        "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
        "\"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"\",\"fuse_unk\":false,"
        "\"byte_fallback\":false,\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"\\u0120\":3,\"ab\":4,"
        "\"\\u0120a\":5,\"z\":40},\"merges\":[\"a b\",\"\\u0120 a\"]}}";
    write_file(tokenizer_path, tokenizer, sizeof tokenizer - 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(prompts_path);
    unlink(tokenizer_path);
    return rmdir(folder);
}

/* Expectations from Python's fnmatch.fnmatchcase. */
static void test_globs(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *name;
        bool expected;
    } cases[] = {
        {"head.*.*", "head.1.2", true},
        {"head.1?.*", "head.1.2", false},
        {"head.[12].0", "head.2.0", true},
        {"head.[!12].0", "head.2.0", false},
        {"head.[!12].0", "head.0.0", true},
        {"head.[0-2].3", "head.1.3", true},
        {"head.[2-0].3", "head.1.3", false},
        {"*", "mlp_out.0", true},
        {"*out*", "mlp_out.0", true},
        {"a*b*c", "aXbYbZc", true},
        {"a*b*c", "aXbYbZ", false},
        {"[]a]", "]", true},
        {"[]a]", "a", true},
        {"[a", "[a", true},
        {"[^a]", "b", false},
        {"[^a]", "^", true},
        {"", "", true},
        {"", "a", false},
        {"**", "", true},
        {"?", "", false},
        {"a\\*", "a\\b", true},
        {"[!]", "[!]", true},
        {"[a-]", "-", true},
        {"[-a]", "-", true},
        {"Head.*", "head.1", false},
        {"attn_out.", "attn_out.0", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (iol_glob_match(iol_span_of(cases[i].glob), cases[i].name) != cases[i].expected) {
            fail_msg("'%s' against '%s': expected %d", cases[i].glob, cases[i].name,
                     cases[i].expected);
        }
    }
}

static void test_pairs_follow_the_schema(void **state)
{
    (void)state;
    write_prompts("{\"tokens\":[1]}\n{\"tokens\":[2]}\n{\"tokens\":[3]}\n{\"tokens\":[4]}\n");
    static const char *const mixed[] = {"mlp_out.2,head.1.[13]=resample:3,zero", "attn_out.1=mean",
                                        "*.1=zero,zero", "head.1.3=resample:1"};
    expect_pairs(
        open_does(4, mixed),
        "head.0.1=zero head.1.1=zero head.1.1=resample:3 head.1.3=zero head.1.3=resample:1 "
        "head.1.3=resample:3 attn_out.1=zero attn_out.1=mean mlp_out.1=zero "
        "head.2.1=zero mlp_out.2=zero mlp_out.2=resample:3");
}

static void test_site_order_and_widths(void **state)
{
    (void)state;
    static const char *const all[] = {"mlp_out,attn_out,head=zero"};
    struct iol_experiment *experiment = open_does(1, all);
    assert_int_equal(experiment->site_count, 3 * (4 + 2));
    assert_string_equal(experiment->sites[0].name, "head.0.0");
    assert_string_equal(experiment->sites[4].name, "attn_out.0");
    assert_string_equal(experiment->sites[5].name, "mlp_out.0");
    assert_string_equal(experiment->sites[17].name, "mlp_out.2");
    assert_int_equal(iol_site_sublayer(&experiment->sites[9]), 2);
    assert_int_equal(iol_site_sublayer(&experiment->sites[10]), 2);
    assert_int_equal(iol_site_sublayer(&experiment->sites[17]), 5);
    assert_int_equal(iol_site_width(&model.arch, &experiment->sites[9]), 5);
    assert_int_equal(iol_site_width(&model.arch, &experiment->sites[10]), 24);
    assert_true(experiment->any_head);
    assert_int_equal(experiment->max_runs, 0);
    iol_experiment_close(experiment);
}

static void test_hook_names(void **state)
{
    (void)state;
    static const char *const hooks[] = {"blocks.1.hook_attn_out,blocks.*.hook_mlp_out=zero",
                                        "blocks.2.attn.hook_z=mean"};
    expect_pairs(open_does(2, hooks),
                 "mlp_out.0=zero attn_out.1=zero mlp_out.1=zero head.2.0=mean head.2.1=mean "
                 "head.2.2=mean head.2.3=mean mlp_out.2=zero");
    refuse_do("blocks.7.hook_attn_out=zero", IOL_E_INVAL, "no site matches");
    refuse_do("blocks.0.hook_resid_pre=zero", IOL_E_UNSUPPORTED, "(resid_pre) is not built yet");
    refuse_do("blocks.0.attn.hook_pattern=zero", IOL_E_UNSUPPORTED, "(pattern)");
    refuse_do("hook_embed=zero", IOL_E_UNSUPPORTED, "(embed)");
}

static void test_defaults(void **state)
{
    (void)state;
    char text[16 * 16] = "";
    for (int i = 0; i < 16; i++) {
        strcat(text, "{\"tokens\":[1]}\n");
    }
    write_prompts(text);
    struct iol_run_settings settings = {.struct_size = sizeof settings, .prompts = prompts_path};
    struct iol_experiment *experiment = open_settings(&settings);
    assert_int_equal(experiment->site_count, 6);
    assert_int_equal(experiment->pair_count, 12);
    assert_int_equal(experiment->max_runs, 15);
    assert_int_equal(experiment->reuse, IOL_REUSE_ALL);
    assert_int_equal(experiment->bos, IOL_BOS_AUTO);
    assert_false(experiment->dist || experiment->filter_correct || experiment->any_head);
    assert_int_equal(experiment->seed, 0);
    assert_int_equal(experiment->memory_bytes, 0);
    assert_int_equal(experiment->do_count, 1);
    assert_string_equal(experiment->does[0].sites, "attn_out,mlp_out");
    assert_string_equal(experiment->does[0].kinds, "zero,resample:15");
    iol_experiment_close(experiment);
    settings.limit = 15;
    refuse(&settings, IOL_E_LIMIT, "resample:15 needs at least 16 prompts");
}

static void test_do_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const sites[] = {"embed",      "pos_embed", "resid_pre", "resid_mid.1",
                                        "neuron.0.1", "q.0.1",     "pattern",   "ln1.0",
                                        "ln_final",   "resid*"};
    static const char *const kinds[] = {"patch",     "noise:0.1", "scale:2", "add:f",
                                        "project:f", "sae:f",     "freeze",  "path"};
    write_prompts("{\"tokens\":[1]}\n{\"tokens\":[2]}\n");
    for (size_t i = 0; i < sizeof sites / sizeof sites[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s=zero", sites[i]);
        refuse_do(text, IOL_E_UNSUPPORTED, "is not built yet; built: head, attn_out, mlp_out");
        assert_non_null(strstr(iol_error(), sites[i]));
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "attn_out=%s", kinds[i]);
        refuse_do(text, IOL_E_UNSUPPORTED, "is not built yet; built: zero, mean, resample:R");
    }
    refuse_do("attn_out=noise:1", IOL_E_UNSUPPORTED, "kind 'noise' is not built yet");
    refuse_do("head.9.*=zero", IOL_E_INVAL,
              "no site matches 'head.9.*'; this model has head.0.0 to head.2.3, attn_out.0 to "
              "attn_out.2 and mlp_out.0 to mlp_out.2");
    refuse_do("attn=zero", IOL_E_INVAL, "no site matches 'attn'");
    refuse_do("attn_out,=zero", IOL_E_INVAL, "no site matches ''");
    refuse_do("attn_out", IOL_E_INVAL, "expected SITES=KINDS");
    refuse_do("=zero", IOL_E_INVAL, "expected SITES=KINDS");
    refuse_do("attn_out=", IOL_E_INVAL, "expected SITES=KINDS");
    refuse_do("attn_out=one", IOL_E_INVAL, "unknown kind 'one'; expected one of zero, mean, ");
    refuse_do("attn_out=zero,", IOL_E_INVAL, "unknown kind ''");
    refuse_do("attn_out=zero:1", IOL_E_INVAL, "it takes no number");
    refuse_do("attn_out=resample", IOL_E_INVAL, "expected resample:R");
    refuse_do("attn_out=resample:", IOL_E_INVAL, "expected resample:R");
    refuse_do("attn_out=resample:0", IOL_E_INVAL, "expected resample:R");
    refuse_do("attn_out=resample:-1", IOL_E_INVAL, "expected resample:R");
    refuse_do("attn_out=resample:1.5", IOL_E_INVAL, "expected resample:R");
    refuse_do("attn_out=resample:99999999999999999999", IOL_E_INVAL, "expected resample:R");
    refuse_do("attn_out=resample:2", IOL_E_LIMIT, "needs at least 3 prompts");
}

static void test_settings_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t field; /* offset of a const char * in the settings */
        const char *value;
        enum iol_status status;
        const char *part;
    } cases[] = {
#define FIELD(name) offsetof(struct iol_run_settings, name)
        {FIELD(metrics), "dist", IOL_E_INVAL, "metrics: found 'dist', expected 'hydra'"},
        {FIELD(metrics), "hydra,kl", IOL_E_INVAL, "metrics: found 'kl'"},
        {FIELD(positions), "all", IOL_E_UNSUPPORTED, "positions: scope 'all' is not built yet"},
        {FIELD(positions), "3", IOL_E_UNSUPPORTED, "not built yet"},
        {FIELD(positions), "-1", IOL_E_UNSUPPORTED, "not built yet"},
        {FIELD(positions), "span", IOL_E_UNSUPPORTED, "not built yet"},
        {FIELD(positions), "last", IOL_E_INVAL, "positions: found 'last', expected 'final'"},
        {FIELD(filter), "right", IOL_E_INVAL, "filter: found 'right', expected 'none' or"},
        {FIELD(bos), "maybe", IOL_E_INVAL, "bos: found 'maybe', expected 'auto'"},
        {FIELD(reuse), "prefix", IOL_E_UNSUPPORTED, "reuse: axis 'prefix' is not built yet"},
        {FIELD(reuse), "depth,prefix", IOL_E_UNSUPPORTED, "'prefix'"},
        {FIELD(reuse), "depth,none", IOL_E_INVAL, "reuse: found 'none'"},
        {FIELD(reuse), "", IOL_E_INVAL, "reuse: found ''"},
        {FIELD(out), "", IOL_E_INVAL, "out: found an empty name"},
        {FIELD(prompts), "/nowhere/p.jsonl", IOL_E_IO, "/nowhere/p.jsonl: cannot open"},
        {FIELD(prompts), NULL, IOL_E_INVAL, "prompts: found nothing"},
#undef FIELD
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct iol_run_settings settings = settings_of();
        memcpy((char *)&settings + cases[i].field, &cases[i].value, sizeof cases[i].value);
        refuse(&settings, cases[i].status, cases[i].part);
    }
    struct iol_run_settings settings = settings_of();
    settings.seed = UINT64_C(1) << 63;
    refuse(&settings, IOL_E_INVAL, "seed: found 9223372036854775808, expected less than 2^63");
    settings.seed = 0;
    settings.struct_size = 8;
    refuse(&settings, IOL_E_INVAL, "struct_size 8");
    refuse(NULL, IOL_E_INVAL, "struct_size 0");
}

static void test_reuse_lists(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned bits;
    } cases[] = {{"none", 0},
                 {"all", IOL_REUSE_ALL},
                 {"depth", IOL_REUSE_DEPTH},
                 {"donor,position", IOL_REUSE_DONOR | IOL_REUSE_POSITION},
                 {"depth,depth", IOL_REUSE_DEPTH}};
    const char *does = "attn_out=zero";
    write_prompts("{\"tokens\":[1]}\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct iol_run_settings settings = settings_of();
        settings.does = &does;
        settings.do_count = 1;
        settings.reuse = cases[i].text;
        struct iol_experiment *experiment = open_settings(&settings);
        assert_int_equal(experiment->reuse, cases[i].bits);
        iol_experiment_close(experiment);
    }
}

/* Drawn by an independent implementation of the schema in Python. */
static void test_donors(void **state)
{
    (void)state;
    static const struct {
        size_t p, n, runs;
        uint64_t seed;
        size_t expected[15];
    } cases[] = {
        {0, 16, 15, 0, {15, 12, 13, 5, 4, 1, 14, 9, 3, 8, 11, 10, 7, 6, 2}},
        {3, 10, 5, 0, {0, 5, 6, 1, 9}},
        {9, 10, 9, 2, {8, 6, 2, 7, 5, 0, 4, 1, 3}},
        {7, 1209, 6, UINT64_C(9007199254740993), {736, 485, 700, 613, 569, 761}},
        {1, 2, 1, 5, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t donors[15];
        iol_donors_draw(cases[i].p, cases[i].n, cases[i].runs, cases[i].seed, donors);
        assert_memory_equal(donors, cases[i].expected, cases[i].runs * sizeof donors[0]);
    }
}

static void test_prompts(void **state)
{
    (void)state;
    static const char *const zero[] = {"attn_out=zero"};
    write_prompts("\n{\"tokens\":[3, 11,0],\"answer_id\":7,\"more\":[1.5,null]}\n  \t\r\n"
                  "{\"prompt\":\"abc a\",\"answer\":\"ab\"}\r\n"
                  "{\"tokens\":[3]}\n"
                  "{\"prompt\":\"c\",\"answer\":\" b\"}\n"
                  "{\"prompt\":\"a\",\"answer\":\"b\"}");
    struct iol_run_settings settings = settings_of();
    settings.does = zero;
    settings.do_count = 1;
    settings.filter = "correct";
    struct iol_experiment *experiment = open_settings(&settings);
    assert_int_equal(experiment->prompt_count, 5);
    const struct iol_prompt *p = experiment->prompts;
    assert_int_equal(p[0].line, 0);
    assert_true(p[0].by_tokens);
    assert_memory_equal(p[0].tokens, ((int32_t[]){3, 11, 0}), 3 * sizeof(int32_t));
    assert_int_equal(p[0].answer_id, 7);
    /* "abc a" = ab c Ġa; with " ab" come ab c Ġa Ġa b */
    assert_int_equal(p[1].line, 1);
    assert_false(p[1].by_tokens);
    assert_int_equal(p[1].count, 3);
    assert_memory_equal(p[1].tokens, ((int32_t[]){4, 2, 5}), 3 * sizeof(int32_t));
    assert_int_equal(p[1].answer_id, 3);
    assert_int_equal(p[2].answer_id, -1);
    assert_int_equal(p[3].answer_id, 3); /* "c b": no second space */
    assert_int_equal(p[4].answer_id, 3); /* "a b" is not "ab" */
    iol_experiment_close(experiment);
    settings.limit = 2;
    experiment = open_settings(&settings);
    assert_int_equal(experiment->prompt_count, 2);
    iol_experiment_close(experiment);
}

static void test_prompts_are_refused(void **state)
{
    (void)state;
    refuse_line("{\"prompt\":", IOL_E_FORMAT, "column ");
    refuse_line("[1]", IOL_E_FORMAT, "found an array, expected an object");
    refuse_line("\"abc\"", IOL_E_FORMAT, "found a string, expected an object");
    refuse_line("{\"tokens\":[1]} x", IOL_E_FORMAT, "expected one JSON object");
    refuse_line("{\"prompt\":\"\xff\"}", IOL_E_FORMAT, "byte 11 of the line (0xff) is not UTF-8");
    refuse_line("{\"text\":\"a\"}", IOL_E_FORMAT, "found neither `prompt` nor `tokens`");
    refuse_line("{\"prompt\":\"a\",\"tokens\":[1]}", IOL_E_FORMAT, "found both");
    refuse_line("{\"prompt\":\"\"}", IOL_E_FORMAT, "`prompt` is empty");
    refuse_line("{\"prompt\":3}", IOL_E_FORMAT, "`prompt` is an integer, expected a string");
    refuse_line("{\"tokens\":[]}", IOL_E_FORMAT, "`tokens` is an empty array");
    refuse_line("{\"tokens\":7}", IOL_E_FORMAT, "`tokens` is an integer, expected an array");
    refuse_line("{\"tokens\":[1,\"2\"]}", IOL_E_FORMAT, "token 1 is a string, expected an integer");
    refuse_line("{\"tokens\":[1,2.0]}", IOL_E_FORMAT, "token 1 is a real number");
    refuse_line("{\"tokens\":[1,12]}", IOL_E_FORMAT, "token 1 is 12, expected an id from 0 to 11");
    refuse_line("{\"tokens\":[-1]}", IOL_E_FORMAT, "token 0 is -1");
    refuse_line("{\"tokens\":[4294967297]}", IOL_E_FORMAT, "token 0 is 4294967297");
    refuse_line("{\"tokens\":[1,1,1,1,1,1,1]}", IOL_E_LIMIT, "7 tokens, expected at most 6");
    refuse_line("{\"prompt\":\"z\"}", IOL_E_FORMAT, "token 0 is 40");
    refuse_line("{\"prompt\":\"q\"}", IOL_E_FORMAT, "0 tokens"); /* q is in no vocabulary */
    refuse_line("{\"tokens\":[1],\"answer_id\":\"x\"}", IOL_E_FORMAT, "`answer_id` is a string");
    refuse_line("{\"prompt\":\"a\",\"answer\":4}", IOL_E_FORMAT, "`answer` is an integer");
    struct iol_run_settings settings = settings_of();
    write_prompts(" \n\n");
    refuse(&settings, IOL_E_FORMAT, "prompts.jsonl: found no prompts");
}

static void test_tokenizer_is_opened_for_text_only(void **state)
{
    (void)state;
    static const char *const zero[] = {"attn_out=zero"};
    struct iol_run_settings settings = settings_of();
    struct iol_experiment *experiment;
    settings.does = zero;
    settings.do_count = 1;
    write_prompts("{\"tokens\":[1]}\n");
    assert_int_equal(iol_experiment_open(&ctx, &model, "/nowhere", &settings, &experiment), IOL_OK);
    iol_experiment_close(experiment);
    write_prompts("{\"prompt\":\"a\"}\n");
    assert_int_equal(iol_experiment_open(&ctx, &model, "/nowhere", &settings, &experiment),
                     IOL_E_IO);
    assert_null(experiment);
    settings.bos = "yes"; /* the tokenizer has none */
    refuse(&settings, IOL_E_UNSUPPORTED, "prompts.jsonl:1: ");
}

static void test_failing_allocations(void **state)
{
    (void)state;
    static const char *const does[] = {"head,mlp_out=zero,mean,resample:1"};
    struct iol_run_settings settings = settings_of();
    enum iol_status status = IOL_E_NOMEM;
    long n = 0;
    settings.does = does;
    settings.do_count = 1;
    settings.out = "x.db";
    settings.filter = "correct";
    write_prompts("{\"prompt\":\"ab\",\"answer\":\"c\"}\n{\"tokens\":[2]}\n");
    while (status != IOL_OK && n < 10000) {
        struct iol_experiment *experiment;
        iol_alloc_fail_nth(++n);
        status = iol_experiment_open(&ctx, &model, folder, &settings, &experiment);
        iol_alloc_fail_nth(0);
        assert_true(status == IOL_OK || status == IOL_E_NOMEM);
        assert_true((status == IOL_OK) == (experiment != NULL));
        iol_experiment_close(experiment);
    }
    assert_int_equal(status, IOL_OK);
    assert_true(n > 10);
}

static void test_lists(void **state)
{
    (void)state;
    const char *name, *text;
    assert_true(iol_site_type_get(0, &name, &text));
    assert_string_equal(name, "head");
    assert_false(iol_site_type_get(3, &name, &text));
    assert_true(iol_kind_get(2, &name, &text));
    assert_string_equal(name, "resample");
    assert_false(iol_kind_get(3, &name, &text));
    assert_true(iol_metric_get(1, &name, &text));
    assert_string_equal(name, "dist");
    assert_false(iol_metric_get(2, &name, &text));
    assert_true(iol_reuse_axis_get(1, &name, &text));
    assert_string_equal(name, "position");
    assert_false(iol_reuse_axis_get(3, &name, &text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_pairs_follow_the_schema),
        cmocka_unit_test(test_site_order_and_widths),
        cmocka_unit_test(test_hook_names),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_do_is_refused_by_name),
        cmocka_unit_test(test_settings_are_refused),
        cmocka_unit_test(test_reuse_lists),
        cmocka_unit_test(test_donors),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_prompts_are_refused),
        cmocka_unit_test(test_tokenizer_is_opened_for_text_only),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
