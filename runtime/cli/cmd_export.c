#include <string.h>

#include "commands.h"
#include "report_line.h"

int cmd_export(const struct cli_options *options)
{
    struct iol_results *results = NULL;
    char *text = NULL;
    if (strcmp(options->format, "json") != 0 && strcmp(options->format, "csv") != 0) {
        fprintf(stderr, "iolaus: --format: found '%s', expected json or csv\n", options->format);
        return EXIT_USAGE;
    }
    enum iol_status status = iol_results_open(options->arguments[0], &results);
    if (status != IOL_OK) {
        goto out;
    }
    if (options->output && strcmp(options->output, "-") != 0) {
        status = iol_results_export(results, options->format, options->output);
    } else {
        status = iol_results_text(results, options->format, &text);
        if (status == IOL_OK) {
            fputs(text, stdout);
        }
    }
out:
    iol_text_free(text);
    iol_results_close(results);
    return status == IOL_OK ? EXIT_OK : cli_fail(status);
}
