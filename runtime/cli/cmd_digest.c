#include "commands.h"
#include "report_line.h"

int cmd_digest(const struct cli_options *options)
{
    int exit_status = EXIT_OK;
    for (size_t i = 0; i < options->argument_count; i++) {
        struct iol_results *results = NULL;
        char hex[33];
        enum iol_status status = iol_results_open(options->arguments[i], &results);
        if (status == IOL_OK) {
            status = iol_results_digest(results, hex);
        }
        if (status == IOL_OK) {
            printf("%s  %s\n", hex, options->arguments[i]);
        } else {
            exit_status = cli_fail(status);
        }
        iol_results_close(results);
    }
    return exit_status;
}
