#include "commands.h"
#include "report_line.h"

static const double PROBE_SECONDS = 0.3;

static void print_cache(const char *name, size_t bytes)
{
    printf("  %-10s %s\n", name, bytes ? cli_bytes(bytes).text : "unknown");
}

/* The fast mode: a context says whether it is to be had here, and why not. */
static void print_fast(const struct cli_options *options)
{
    static const char *const modes[] = {"fast", "bf16", "bf16x32", "int8"};
    const char *name, *text, *needs;
    struct cli_options asked = *options;
    printf("\narithmetic\n  exact      the same bits everywhere\n");
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct iol_ctx *ctx = NULL;
        asked.ctx.arithmetic = modes[i];
        if (cli_context_open(&asked, &ctx) == IOL_OK) {
            printf("  %-10s %s: measured %.2f times the rate of exact products\n", modes[i],
                   iol_ctx_arithmetic(ctx), iol_ctx_fast_rate(ctx));
        } else {
            printf("  %-10s not here: %s\n", modes[i], iol_error());
        }
        iol_ctx_close(ctx);
    }
    for (size_t i = 0; iol_fast_get(i, &name, &text, &needs); i++) {
        printf("  %s by %s needs %s\n", text, name, needs);
    }
}

int cmd_info(const struct cli_options *options)
{
    struct iol_ctx *ctx = NULL;
    struct iol_machine machine = {.struct_size = sizeof machine};
    enum iol_status status = cli_context_open(options, &ctx);
    if (status == IOL_OK) {
        status = iol_machine_probe(ctx, PROBE_SECONDS, &machine);
    }
    if (status != IOL_OK) {
        goto out;
    }
    printf("iolaus %s (numerics %d)\n", iol_version(), iol_numerics_version());
    printf("  processor  %s\n", machine.cpu);
    printf("  threads    %zu of %zu\n", iol_ctx_threads(ctx), machine.threads);
    print_cache("L1 data", machine.l1_bytes);
    print_cache("L2", machine.l2_bytes);
    print_cache("L3", machine.l3_bytes);
    printf("  memory     %s", cli_bytes(machine.memory_bytes).text);
    printf(", %s available\n", cli_bytes(machine.available_bytes).text);
    printf("  peak       %s/s (f32 FMA, %s, measured for %.1f s)\n",
           cli_flops(machine.peak_flops).text, iol_ctx_isa(ctx), PROBE_SECONDS);
    printf("\ninstruction sets\n");
    for (size_t i = 0; i < iol_isa_count(); i++) {
        printf("  %-10s %-13s needs %s\n", iol_isa_name(i),
               iol_isa_available(i) ? "available" : "not available", iol_isa_needs(i));
    }
    print_fast(options);
    printf("\nkernels\n");
    for (size_t i = 0; i < iol_op_count(); i++) {
        printf("  %-18s %s\n", iol_op_name(i), iol_op_isa(ctx, i));
    }
out:
    iol_ctx_close(ctx);
    return status == IOL_OK ? EXIT_OK : cli_fail(status);
}
