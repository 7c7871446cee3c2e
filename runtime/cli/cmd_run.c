#include "commands.h"
#include "progress.h"
#include "report_line.h"

static void print_count(const char *name, uint64_t value, const char *more)
{
    printf("  %-24s %20llu%s%s\n", name, (unsigned long long)value, more[0] ? "  " : "", more);
}

static void print_flops(const char *name, uint64_t flops)
{
    print_count(name, flops, cli_flops((double)flops).text);
}

/* FLOPs of the same sweep with less reuse, as a multiple of `all`. */
static void print_factor(const char *name, uint64_t flops, double all)
{
    char more[64];
    snprintf(more, sizeof more, "%s (x %.2f)", cli_flops((double)flops).text,
             all > 0 ? (double)flops / all : 0);
    print_count(name, flops, more);
}

static void print_plan(const struct iol_plan_summary *plan)
{
    char more[64];
    uint64_t sweep = plan->flops_capture + plan->flops_waves;
    printf("Plan (exact, except the predicted time; prompts before --filter)\n");
    print_count("prompts", plan->prompts, "");
    print_count("sites", plan->sites, "");
    print_count("(site, kind) pairs", plan->pairs, "");
    print_count("branches", plan->branches, "prompts x interventions x runs");
    print_count("noise-floor branches", plan->noise_branches, "");
    snprintf(more, sizeof more, "of up to %zu prompts", plan->wave_prompts);
    print_count("waves", plan->waves, more);
    print_count("capture groups", plan->groups, "");
    print_count("rows, capture", plan->rows_capture, "");
    print_count("rows, waves", plan->rows_waves, "");
    print_flops("FLOPs, capture", plan->flops_capture);
    print_flops("FLOPs, waves", plan->flops_waves);
    print_flops("FLOPs, noise floor", plan->flops_noise);
    snprintf(more, sizeof more, "%s per prompt",
             cli_flops((double)sweep / (plan->prompts ? (double)plan->prompts : 1)).text);
    print_count("FLOPs, sweep", sweep, more);
    for (size_t i = 0; i < 3; i++) {
        const char *axis, *text;
        char name[40];
        if (iol_reuse_axis_get(i, &axis, &text)) {
            snprintf(name, sizeof name, "without %s reuse", axis);
            print_factor(name, plan->flops_without[i], (double)sweep);
        }
    }
    print_factor("without any reuse", plan->flops_reuse_none, (double)sweep);
    print_count("bytes, capture", plan->bytes_capture, cli_bytes(plan->bytes_capture).text);
    print_count("bytes, waves", plan->bytes_waves, cli_bytes(plan->bytes_waves).text);
    print_count("peak memory", plan->peak_memory_bytes, cli_bytes(plan->peak_memory_bytes).text);
    print_count("  of it capture", plan->capture_bytes, cli_bytes(plan->capture_bytes).text);
    print_count("weights, apart", plan->model_bytes, cli_bytes(plan->model_bytes).text);
    print_count("spill", plan->spill_bytes, cli_bytes(plan->spill_bytes).text);
    printf("  %-24s %20s\n", "predicted time", cli_seconds(plan->predicted_seconds).text);
}

static enum iol_status print_text(struct iol_results *results, const char *format)
{
    char *text = NULL;
    enum iol_status status = iol_results_text(results, format, &text);
    if (status == IOL_OK) {
        fputs(text, stdout);
    }
    iol_text_free(text);
    return status;
}

static enum iol_status print_results(struct iol_results *results, const char *out)
{
    char hex[33];
    enum iol_status status = print_text(results, "table");
    if (status == IOL_OK) {
        putchar('\n');
        status = print_text(results, "bill");
    }
    if (status == IOL_OK) {
        status = iol_results_digest(results, hex);
    }
    if (status == IOL_OK) {
        printf("\ndigest %s\n", hex);
        if (out) {
            printf("results %s\n", out);
        }
    }
    return status;
}

static enum iol_status run(struct iol_experiment *experiment, const struct cli_options *options)
{
    struct cli_progress progress;
    struct iol_results *results = NULL;
    cli_progress_open(&progress, options->quiet);
    enum iol_status status = iol_experiment_run(experiment, cli_progress_step, &progress, &results);
    cli_progress_close(&progress);
    if (status == IOL_OK) {
        status = print_results(results, options->run.out);
    }
    iol_results_close(results);
    return status;
}

static enum iol_status plan(const struct iol_experiment *experiment)
{
    struct iol_plan_summary summary = {.struct_size = sizeof summary};
    enum iol_status status = iol_experiment_plan(experiment, &summary);
    if (status == IOL_OK) {
        print_plan(&summary);
    }
    return status;
}

int cmd_run(const struct cli_options *options)
{
    struct iol_ctx *ctx = NULL;
    struct iol_model *model = NULL;
    struct iol_experiment *experiment = NULL;
    if (!options->model || !options->run.prompts) {
        fprintf(stderr, "iolaus: 'iolaus run' needs %s\n",
                options->model ? "--prompts FILE" : "--model MODEL");
        return EXIT_USAGE;
    }
    enum iol_status status = cli_context_open(options, &ctx);
    if (status == IOL_OK) {
        status = iol_model_open(ctx, options->model, &model);
    }
    if (status == IOL_OK) {
        status = iol_experiment_open(ctx, model, options->model, &options->run, &experiment);
    }
    if (status == IOL_OK) {
        status = options->plan ? plan(experiment) : run(experiment, options);
    }
    int exit_status = status == IOL_OK ? EXIT_OK : cli_fail(status);
    if (status == IOL_E_STOPPED && options->run.out) {
        fprintf(stderr, "iolaus: run the same command again to resume %s\n", options->run.out);
    } else if (status == IOL_E_STOPPED) {
        fprintf(stderr, "iolaus: nothing was kept, there is no --out\n");
    }
    iol_experiment_close(experiment);
    iol_model_close(model);
    iol_ctx_close(ctx);
    return exit_status;
}
