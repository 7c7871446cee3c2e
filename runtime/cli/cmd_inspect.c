#include "commands.h"
#include "report_line.h"

static void print_info(const struct iol_model_info *info)
{
    printf("%s: %s, %s weights\n", info->name, info->family, info->dtype);
    printf("  layers        %zu\n", info->layers);
    printf("  d_model       %zu\n", info->d_model);
    printf("  heads         %zu of %zu (%zu key/value heads)\n", info->heads, info->head_dim,
           info->kv_heads);
    printf("  d_ff          %zu\n", info->d_ff);
    printf("  vocabulary    %zu (%s unembedding)\n", info->vocab, info->tied ? "tied" : "own");
    printf("  context       %zu\n", info->context);
    printf("  parameters    %llu\n", (unsigned long long)info->parameters);
    printf("  in files      %s\n", cli_bytes(info->file_bytes).text);
    printf("  in memory     %s\n", cli_bytes(info->packed_bytes).text);
    printf("  weights hash  %s\n", info->weights_hash);
    printf("  architecture  %s\n", info->architecture);
}

int cmd_inspect(const struct cli_options *options)
{
    struct iol_ctx *ctx = NULL;
    struct iol_model *model = NULL;
    enum iol_status status = cli_context_open(options, &ctx);
    if (status == IOL_OK) {
        status = iol_model_open(ctx, options->arguments[0], &model);
    }
    if (status != IOL_OK) {
        goto out;
    }
    const struct iol_model_info *info = iol_model_get_info(model);
    print_info(info);
    printf("\n%5s  %5s  %-9s  %12s  %13s  %s\n", "step", "layer", "kind", "parameters",
           "FLOP per row", "what");
    for (size_t i = 0; i < info->steps; i++) {
        struct iol_step_info step;
        iol_model_get_step(model, i, &step);
        printf("%5zu  %5zu  %-9s  %12llu  %13s  %s\n", i, step.layer, step.kind,
               (unsigned long long)step.parameters, cli_flops(step.row_flops).text, step.detail);
    }
    printf("\nfamilies that this build reads:");
    for (size_t i = 0; i < iol_family_count(); i++) {
        printf(" %s", iol_family_name(i));
    }
    printf("\n");
out:
    iol_model_close(model);
    iol_ctx_close(ctx);
    return status == IOL_OK ? EXIT_OK : cli_fail(status);
}
