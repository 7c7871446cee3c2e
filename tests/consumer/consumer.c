/* Uses the installed library as anybody would: consumer MODEL PROMPTS prints the digest of a sweep.
 */
#include <iolaus/context.h>
#include <iolaus/experiment.h>
#include <iolaus/model.h>
#include <iolaus/tokenizer.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct iol_ctx *ctx = NULL;
    struct iol_model *model = NULL;
    struct iol_experiment *experiment = NULL;
    struct iol_results *results = NULL;
    char hex[33] = "";
    const char *does = "attn_out,mlp_out=zero,resample:3";
    if (argc != 3) {
        fprintf(stderr, "usage: consumer MODEL PROMPTS\n");
        return 2;
    }
    struct iol_run_settings settings;
    iol_run_settings_default(&settings);
    settings.prompts = argv[2];
    settings.does = &does;
    settings.do_count = 1;
    enum iol_status status = iol_ctx_open(NULL, &ctx);
    if (status == IOL_OK) {
        status = iol_model_open(ctx, argv[1], &model);
    }
    if (status == IOL_OK) {
        status = iol_experiment_open(ctx, model, argv[1], &settings, &experiment);
    }
    if (status == IOL_OK) {
        status = iol_experiment_run(experiment, NULL, NULL, &results);
    }
    if (status == IOL_OK) {
        status = iol_results_digest(results, hex);
    }
    if (status == IOL_OK) {
        printf("digest %s\n", hex);
    } else {
        fprintf(stderr, "consumer: %s: %s\n", iol_status_name(status), iol_error());
    }
    iol_results_close(results);
    iol_experiment_close(experiment);
    iol_model_close(model);
    iol_ctx_close(ctx);
    return status == IOL_OK ? 0 : 1;
}
