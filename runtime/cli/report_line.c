#include "report_line.h"

#include <stdlib.h>

int cli_fail(enum iol_status status)
{
    const char *sentence = iol_error();
    fprintf(stderr, "iolaus: %s\n", sentence[0] ? sentence : iol_status_text(status));
    return status == IOL_E_STOPPED ? EXIT_STOPPED : EXIT_FAILED;
}

enum iol_status cli_context_open(const struct cli_options *options, struct iol_ctx **out_ctx)
{
    struct iol_ctx_settings settings = options->ctx;
    const char *isa = getenv("IOL_ISA");
    if (!settings.isa && isa && isa[0]) {
        settings.isa = isa;
    }
    return iol_ctx_open(&settings, out_ctx);
}

struct cli_text cli_flops(double flops)
{
    static const char *const units[] = {"FLOP",  "kFLOP", "MFLOP", "GFLOP",
                                        "TFLOP", "PFLOP", "EFLOP"};
    struct cli_text out;
    size_t unit = 0;
    while (flops >= 999.995 && unit + 1 < sizeof units / sizeof units[0]) {
        flops /= 1000;
        unit++;
    }
    snprintf(out.text, sizeof out.text, "%.*f %s", unit ? 2 : 0, flops, units[unit]);
    return out;
}

struct cli_text cli_bytes(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    struct cli_text out;
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1023.995 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(out.text, sizeof out.text, "%.*f %s", unit ? 2 : 0, value, units[unit]);
    return out;
}

struct cli_text cli_seconds(double seconds)
{
    struct cli_text out;
    if (!(seconds < 1e9)) {
        snprintf(out.text, sizeof out.text, "unknown");
    } else if (seconds < 1) {
        snprintf(out.text, sizeof out.text, "%.0f ms", seconds * 1000);
    } else if (seconds < 100) {
        snprintf(out.text, sizeof out.text, "%.1f s", seconds);
    } else {
        unsigned long whole = (unsigned long)(seconds + 0.5);
        unsigned long hours = whole / 3600, minutes = whole / 60 % 60;
        if (hours > 0) {
            snprintf(out.text, sizeof out.text, "%lu:%02lu:%02lu h", hours, minutes, whole % 60);
        } else {
            snprintf(out.text, sizeof out.text, "%lu:%02lu min", minutes, whole % 60);
        }
    }
    return out;
}
