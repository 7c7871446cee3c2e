/* The plan against hand counts of well-known shapes, without weights; budgets, groups, waves,
 * spill. */
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

#include "iolaus/experiment.h"
#include "model/model.h"

enum { MOST_STEPS = 80, PROMPTS = 24 };

struct shaped {
    const char *name;
    size_t layers, d, heads, kv_heads, head_dim, ff, vocab;
    bool gated;
    size_t tokens;     /* of every prompt */
    double per_prompt; /* GFLOP of capture and waves, to two decimals */
};
static const struct shaped gpt2 = {"GPT-2 small", 12,    768,   12, 12,   64,
                                   3072,          50257, false, 20, 35.10};
static const struct shaped smollm2 = {"SmolLM2-135M", 30,    576,  9,  3,     64,
                                      1536,           49152, true, 12, 103.99};
static const struct shaped stories = {"stories15M", 6, 288, 6, 6, 48, 768, 32000, true, 20, 1.32};

static char folder[] = "/tmp/iol-plan-XXXXXX";
static char prompts_path[64];
static struct iol_ctx *ctx;
static struct iol_step steps[MOST_STEPS];
static struct iol_model model;

/* A model of sizes only: the plan reads no weight. */
static void shape_model(const struct shaped *s)
{
    const size_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    assert_true(2 * s->layers <= MOST_STEPS);
    memset(steps, 0, sizeof steps);
    model = (struct iol_model){.arch = {.layers = s->layers,
                                        .d_model = s->d,
                                        .heads = s->heads,
                                        .kv_heads = s->kv_heads,
                                        .head_dim = s->head_dim,
                                        .d_ff = s->ff,
                                        .vocab = s->vocab,
                                        .context = 64,
                                        .gated = s->gated},
                               .step_count = 2 * s->layers,
                               .steps = steps,
                               .unembed = {.n = s->vocab, .k = s->d}};
    for (size_t l = 0; l < s->layers; l++) {
        steps[2 * l] = (struct iol_step){.kind = IOL_STEP_ATTENTION,
                                         .layer = l,
                                         .q = {.n = q, .k = s->d},
                                         .kv = {.n = 2 * kv, .k = s->d},
                                         .o = {.n = s->d, .k = q}};
        steps[2 * l + 1] = (struct iol_step){.kind = IOL_STEP_MLP,
                                             .layer = l,
                                             .up = {.n = s->ff, .k = s->d},
                                             .down = {.n = s->d, .k = s->ff}};
        if (s->gated) {
            steps[2 * l + 1].gate = (struct iol_packed){.n = s->ff, .k = s->d};
        }
    }
    FILE *file = fopen(prompts_path, "w");
    assert_non_null(file);
    for (size_t p = 0; p < PROMPTS; p++) {
        fputs("{\"tokens\":[", file);
        for (size_t t = 0; t < s->tokens; t++) {
            fprintf(file, "%s%zu", t ? "," : "", p + t);
        }
        fputs("]}\n", file);
    }
    assert_int_equal(fclose(file), 0);
}

static struct iol_run_settings settings_of(void)
{
    struct iol_run_settings settings;
    iol_run_settings_default(&settings);
    settings.prompts = prompts_path;
    return settings;
}

static struct iol_plan_summary plan_of(const struct iol_run_settings *settings)
{
    struct iol_experiment *experiment;
    struct iol_plan_summary plan = {.struct_size = sizeof plan};
    if (iol_experiment_open(ctx, &model, folder, settings, &experiment) != IOL_OK ||
        iol_experiment_plan(experiment, &plan) != IOL_OK) {
        fail_msg("%s", iol_error());
    }
    iol_experiment_close(experiment);
    return plan;
}

/* --- the hand count, written out again from the definition: 2MNK over rows and outputs that some
 * result reads, attention products over allowed keys ------------------------------------------ */

/* Attention of layer l for `rows` rows that all sublayers read, or only the last one is. */
static uint64_t attention(const struct shaped *s, uint64_t kv_rows, uint64_t rows, uint64_t keys)
{
    uint64_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim, d = s->d;
    return 2 * d * 2 * kv * kv_rows + 2 * d * q * rows + 2 * q * d * rows + 4 * q * keys;
}

static uint64_t mlp(const struct shaped *s, uint64_t rows)
{
    return (s->gated ? 6U : 4U) * (uint64_t)s->d * s->ff * rows;
}

/* All T rows through sublayers 0 .. end-1; after the last attention only the final row is read. */
static uint64_t walk(const struct shaped *s, size_t end)
{
    uint64_t sum = 0, t = s->tokens;
    size_t last = (end - 1) / 2 * 2; /* the last attention sublayer before end */
    for (size_t k = 0; k < end; k++) {
        bool narrow = k >= last;
        sum += k % 2 == 0 ? attention(s, t, narrow ? 1 : t, narrow ? t : t * (t + 1) / 2)
                          : mlp(s, narrow ? 1 : t);
    }
    return sum;
}

static uint64_t capture(const struct shaped *s)
{
    return walk(s, 2 * s->layers) + 2 * (uint64_t)s->vocab * s->d;
}

/* One row through the sublayers after k. */
static uint64_t branch(const struct shaped *s, size_t k)
{
    uint64_t sum = 0;
    for (size_t j = k + 1; j < 2 * s->layers; j++) {
        sum += j % 2 == 0 ? attention(s, 1, 1, s->tokens) : mlp(s, 1);
    }
    return sum;
}

static void hand_count(const struct shaped *s)
{
    shape_model(s);
    struct iol_run_settings settings = settings_of(); /* attn_out,mlp_out=zero,resample:15 */
    struct iol_plan_summary plan = plan_of(&settings);
    uint64_t waves = 0, none = capture(s);
    for (size_t k = 0; k < 2 * s->layers; k++) {
        waves += 16 * branch(s, k);
        none += 16 * walk(s, 2 * s->layers) + 15 * walk(s, k + 1);
    }
    assert_int_equal(plan.prompts, PROMPTS);
    assert_int_equal(plan.sites, 2 * s->layers);
    assert_int_equal(plan.branches, PROMPTS * 2 * s->layers * 16);
    assert_int_equal(plan.noise_branches, 16 * 2 * s->layers);
    assert_int_equal(plan.flops_capture, PROMPTS * capture(s));
    assert_int_equal(plan.flops_waves, PROMPTS * waves);
    assert_int_equal(plan.flops_noise, waves);
    assert_int_equal(plan.flops_reuse_none, PROMPTS * none);
    char found[32], expected[32];
    snprintf(found, sizeof found, "%.2f",
             (double)(plan.flops_capture + plan.flops_waves) / PROMPTS * 1e-9);
    snprintf(expected, sizeof expected, "%.2f", s->per_prompt);
    assert_string_equal(found, expected);
    assert_true(plan.flops_without[0] > plan.flops_capture + plan.flops_waves);
    assert_true(plan.flops_without[1] > plan.flops_capture + plan.flops_waves);
    assert_true(plan.flops_without[2] > plan.flops_capture + plan.flops_waves);
}

static void test_gpt2_small(void **state)
{
    (void)state;
    hand_count(&gpt2);
}

static void test_smollm2(void **state)
{
    (void)state;
    hand_count(&smollm2);
}

static void test_stories15m(void **state)
{
    (void)state;
    hand_count(&stories);
}

/* Another vocabulary row per branch with dist, nothing else. */
static void test_dist(void **state)
{
    (void)state;
    shape_model(&stories);
    struct iol_run_settings settings = settings_of();
    struct iol_plan_summary hydra = plan_of(&settings);
    settings.metrics = "hydra,dist";
    struct iol_plan_summary dist = plan_of(&settings);
    uint64_t row = 2 * (uint64_t)stories.vocab * stories.d;
    assert_int_equal(dist.flops_waves, hydra.flops_waves + hydra.branches * row);
    assert_int_equal(dist.flops_noise, hydra.flops_noise + hydra.noise_branches * row);
    assert_int_equal(dist.flops_capture, hydra.flops_capture);
}

/* --- budgets --- */

static void refuse_budget(uint64_t bytes, size_t group)
{
    struct iol_experiment *experiment;
    struct iol_plan_summary plan = {.struct_size = sizeof plan};
    struct iol_run_settings settings = settings_of();
    settings.memory_bytes = bytes;
    settings.group = group;
    assert_int_equal(iol_experiment_open(ctx, &model, folder, &settings, &experiment), IOL_OK);
    assert_int_equal(iol_experiment_plan(experiment, &plan), IOL_E_LIMIT);
    assert_non_null(strstr(iol_error(), "memory: found a budget of"));
    assert_non_null(strstr(iol_error(), "needs at least"));
    iol_experiment_close(experiment);
}

static void test_budgets(void **state)
{
    (void)state;
    shape_model(&stories);
    struct iol_run_settings settings = settings_of();
    settings.memory_bytes = UINT64_C(1) << 40;
    struct iol_plan_summary wide = plan_of(&settings);
    assert_int_equal(wide.spill_bytes, 0);
    assert_true(wide.peak_memory_bytes > wide.capture_bytes);
    settings.memory_bytes = wide.peak_memory_bytes;
    struct iol_plan_summary just = plan_of(&settings);
    assert_int_equal(just.spill_bytes, 0);
    assert_int_equal(just.waves, wide.waves);
    settings.memory_bytes = wide.peak_memory_bytes - 1;
    struct iol_plan_summary less = plan_of(&settings);
    assert_int_equal(less.spill_bytes, less.capture_bytes);
    assert_true(less.peak_memory_bytes <= settings.memory_bytes);
    assert_int_equal(less.flops_waves, wide.flops_waves);
    assert_true(less.waves >= wide.waves);
    /* Down to what one prompt at a time needs, and no further. */
    settings.group = 1;
    settings.memory_bytes = wide.peak_memory_bytes;
    uint64_t low = 1, high = wide.peak_memory_bytes;
    while (high - low > 1) {
        struct iol_experiment *experiment;
        struct iol_plan_summary plan = {.struct_size = sizeof plan};
        settings.memory_bytes = low + (high - low) / 2;
        assert_int_equal(iol_experiment_open(ctx, &model, folder, &settings, &experiment), IOL_OK);
        if (iol_experiment_plan(experiment, &plan) == IOL_OK) {
            assert_true(plan.peak_memory_bytes <= settings.memory_bytes);
            high = settings.memory_bytes;
        } else {
            low = settings.memory_bytes;
        }
        iol_experiment_close(experiment);
    }
    settings.memory_bytes = high;
    struct iol_plan_summary least = plan_of(&settings);
    assert_int_equal(least.peak_memory_bytes, high);
    assert_true(least.spill_bytes > 0);
    refuse_budget(high - 1, 1);
    refuse_budget(high - 1, 0);
    refuse_budget(1024, 0);
}

static void test_groups(void **state)
{
    (void)state;
    shape_model(&stories);
    for (size_t group = 1; group <= PROMPTS + 3; group++) {
        struct iol_run_settings settings = settings_of();
        settings.group = group;
        struct iol_plan_summary plan = plan_of(&settings);
        size_t size = group < PROMPTS ? group : PROMPTS;
        assert_int_equal(plan.wave_prompts, size);
        assert_int_equal(plan.waves, (PROMPTS + size - 1) / size);
        assert_int_equal(plan.groups, (PROMPTS + size - 1) / size);
    }
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || iol_ctx_open(NULL, &ctx) != IOL_OK) {
        return -1;
    }
    snprintf(prompts_path, sizeof prompts_path, "%s/prompts.jsonl", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    iol_ctx_close(ctx);
    unlink(prompts_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_small), cmocka_unit_test(test_smollm2),
        cmocka_unit_test(test_stories15m), cmocka_unit_test(test_dist),
        cmocka_unit_test(test_budgets),    cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests_name("plan", tests, set_up, tear_down);
}
