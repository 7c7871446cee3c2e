/* The engine against its plan: the kernels' counters equal the planned FLOPs for every choice of
 * reuse, all choices give the same bits, and the identities of the schema hold. */
#define _GNU_SOURCE
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sweep_fixture.h"

static const char *const sublayers[] = {"attn_out,mlp_out=zero,mean,resample:3"};
static const char *const heads[] = {"head.1.*=zero,mean,resample:2", "attn_out.0=resample:5"};
static const char *const everything[] = {"attn_out,mlp_out,head=zero,mean,resample:3"};

struct choice {
    const char *name;
    const char *const *does;
    size_t do_count;
    const char *metrics;
};
static const struct choice choices[] = {{"sublayers", sublayers, 1, "hydra"},
                                        {"sublayers, dist", sublayers, 1, "hydra,dist"},
                                        {"heads", heads, 2, "hydra"},
                                        {"heads, dist", heads, 2, "hydra,dist"},
                                        {"all sites, dist", everything, 1, "hydra,dist"}};
static const char *const reuses[] = {"all",         "none",           "depth",
                                     "position",    "donor",          "depth,position",
                                     "depth,donor", "position,donor", "depth,position,donor"};

static struct iol_run_settings settings_of(const struct choice *choice, const char *reuse)
{
    struct iol_run_settings settings;
    iol_run_settings_default(&settings);
    settings.does = choice->does;
    settings.do_count = choice->do_count;
    settings.metrics = choice->metrics;
    settings.reuse = reuse;
    return settings;
}

static void must_be_ok(enum iol_status status)
{
    if (status != IOL_OK) {
        fail_msg("%s: %s", iol_status_name(status), iol_error());
    }
}

/* Run, compare counters and plan, return the digest. */
static void run_and_compare(const char *folder, struct iol_run_settings *settings, size_t threads,
                            char out_hex[33])
{
    struct sweep s;
    struct iol_plan_summary plan = {.struct_size = sizeof plan};
    struct iol_bill_numbers bill = {.struct_size = sizeof bill};
    must_be_ok(sweep_open(folder, NULL, threads, settings, &s));
    must_be_ok(iol_experiment_plan(s.experiment, &plan));
    must_be_ok(sweep_run(&s));
    must_be_ok(iol_results_bill(s.results, &bill));
    if (bill.flops_capture != plan.flops_capture || bill.flops_waves != plan.flops_waves ||
        bill.flops_noise != plan.flops_noise || bill.flops_none != plan.flops_reuse_none) {
        fail_msg("reuse %s: capture %llu of %llu, waves %llu of %llu, noise %llu of %llu, none "
                 "%llu of %llu",
                 settings->reuse, (unsigned long long)bill.flops_capture,
                 (unsigned long long)plan.flops_capture, (unsigned long long)bill.flops_waves,
                 (unsigned long long)plan.flops_waves, (unsigned long long)bill.flops_noise,
                 (unsigned long long)plan.flops_noise, (unsigned long long)bill.flops_none,
                 (unsigned long long)plan.flops_reuse_none);
    }
    assert_int_equal(bill.interventions, plan.branches);
    if (strcmp(settings->reuse, "none") == 0) {
        assert_int_equal(plan.flops_capture + plan.flops_waves, plan.flops_reuse_none);
    }
    must_be_ok(iol_results_digest(s.results, out_hex));
    sweep_close(&s);
}

static void counters_equal_plan(const char *folder)
{
    for (size_t c = 0; c < sizeof choices / sizeof *choices; c++) {
        char first[33] = "", hex[33];
        for (size_t r = 0; r < sizeof reuses / sizeof *reuses; r++) {
            struct iol_run_settings settings = settings_of(&choices[c], reuses[r]);
            settings.group = r % 4; /* 0: from the budget */
            run_and_compare(folder, &settings, 1 + r % 3, r ? hex : first);
            if (r) {
                assert_string_equal(hex, first);
            }
        }
    }
}

static void test_counters_llama(void **state)
{
    (void)state;
    counters_equal_plan(sweep_llama("llama"));
}

static void test_counters_gpt2(void **state)
{
    (void)state;
    counters_equal_plan(sweep_gpt2("gpt2"));
}

/* Long prompts are cut into parts when there are threads for them: no count and no bit changes. */
static void test_parts(void **state)
{
    (void)state;
    const char *folder = sweep_long("parts");
    for (size_t c = 0; c < 3; c += 2) {
        char first[33] = "", hex[33];
        for (size_t threads = 1; threads <= 4; threads += threads) {
            for (size_t group = 0; group < 2; group++) {
                struct iol_run_settings settings =
                    settings_of(&choices[c], group == 1 ? "depth,donor" : "all");
                settings.group = group;
                run_and_compare(folder, &settings, threads, hex);
                if (!*first) {
                    memcpy(first, hex, sizeof first);
                }
                assert_string_equal(hex, first);
            }
        }
    }
}

/* A spilled capture changes no count and no bit. */
static void test_spill(void **state)
{
    (void)state;
    const char *folder = sweep_llama("spill");
    char first[33], hex[33];
    struct sweep s;
    struct iol_plan_summary plan = {.struct_size = sizeof plan};
    struct iol_run_settings settings = settings_of(&choices[4], "all");
    settings.group = 1;
    settings.spill_folder = writer_root;
    run_and_compare(folder, &settings, 1, first);
    must_be_ok(sweep_open(folder, NULL, 1, &settings, &s));
    must_be_ok(iol_experiment_plan(s.experiment, &plan));
    sweep_close(&s);
    settings.memory_bytes = plan.peak_memory_bytes - 1;
    must_be_ok(sweep_open(folder, NULL, 1, &settings, &s));
    must_be_ok(iol_experiment_plan(s.experiment, &plan));
    assert_true(plan.spill_bytes > 0);
    sweep_close(&s);
    run_and_compare(folder, &settings, 1, hex);
    assert_string_equal(hex, first);
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void check_effect(const json_t *effect, const json_t *prompts)
{
    const json_t *prompt = json_array_get(prompts, (size_t)number(effect, "prompt"));
    const json_t *response = json_object_get(effect, "response"), *value;
    size_t k;
    double spread = number(prompt, "spread"), sum = 0, size = 0;
    json_array_foreach(response, k, value)
    {
        sum += json_number_value(value);
        size += fabs(json_number_value(value));
    }
    double ce = number(effect, "ce_attn") + number(effect, "ce_mlp");
    double te = number(effect, "te_clean"), de = number(effect, "de");
    double bound = 2e-5 * (spread + size + fabs(te) + fabs(de));
    assert_true(fabs(te - de - ce) <= bound);
    assert_true(fabs(sum - ce) <= 1e-9 * (1 + size));
    assert_true(fabs(number(effect, "delta_ablate") - te - number(effect, "norm_term")) <=
                1e-9 * (1 + fabs(te)));
}

/* te_clean - de = ce_attn + ce_mlp = sum(response); embed + sum(unembed) + bias = logit; putting
 * the clean activation back changes nothing at all. */
static void identities(const char *folder)
{
    struct sweep s;
    char *text = NULL;
    struct iol_run_settings settings = settings_of(&choices[4], "all");
    must_be_ok(sweep_open(folder, NULL, 2, &settings, &s));
    must_be_ok(sweep_run(&s));
    must_be_ok(iol_results_text(s.results, "json", &text));
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    assert_non_null(root);
    const json_t *prompts = json_object_get(root, "prompts"), *row;
    const json_t *effects = json_object_get(root, "effects"),
                 *layers = json_object_get(root, "layers");
    size_t i, k, rows = 0;
    json_array_foreach(effects, i, row)
    {
        check_effect(row, prompts);
    }
    assert_true(i > 100);
    json_array_foreach(prompts, i, row)
    {
        const json_t *value;
        double sum = number(row, "embed") + number(row, "bias"), size = 0;
        json_array_foreach(json_object_get(row, "unembed"), k, value)
        {
            sum += json_number_value(value);
            size += fabs(json_number_value(value));
        }
        assert_true(fabs(sum - number(row, "logit")) <= 2e-5 * (number(row, "spread") + size));
    }
    json_array_foreach(layers, i, row)
    {
        assert_true(number(row, "noise_floor") == 0);
        rows++;
    }
    assert_true(rows > 10);
    json_decref(root);
    iol_text_free(text);
    sweep_close(&s);
}

static void test_identities(void **state)
{
    (void)state;
    identities(sweep_llama("identities-llama"));
    identities(sweep_gpt2("identities-gpt2"));
}

static int set_up(void **state)
{
    (void)state;
    writer_root_open();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    writer_root_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counters_llama),
                                       cmocka_unit_test(test_counters_gpt2),
                                       cmocka_unit_test(test_parts), cmocka_unit_test(test_spill),
                                       cmocka_unit_test(test_identities)};
    return cmocka_run_group_tests_name("schedule", tests, set_up, tear_down);
}
