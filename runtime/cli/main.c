/* The iolaus program. Exit status: 0 success, 1 failure, 2 wrong command line, 130 stopped. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "commands.h"

const struct cli_command cli_commands[] = {
    {"run", "", CLI_RUN, 0, 0,
     "Run (or resume) a sweep of interventions; print the table and the bill.", cmd_run},
    {"export", "F.db", CLI_EXPORT, 1, 1, "Write results as JSON or CSV.", cmd_export},
    {"digest", "F.db", CLI_DIGEST, 1, SIZE_MAX,
     "Print the 128-bit hash of experiment and results, then the file's name; takes several files.",
     cmd_digest},
    {"inspect", "MODEL", CLI_INSPECT, 1, 1, "Check a model folder; print its sizes and its steps.",
     cmd_inspect},
    {"tokenize", "MODEL [TEXT]", CLI_TOKENIZE, 1, 2,
     "Print token ids, one line per text; without TEXT and --jsonl each line of standard input is "
     "a "
     "text.",
     cmd_tokenize},
    {"info", "", CLI_INFO, 0, 0, "Print processor, instruction sets, kernels, threads and peak.",
     cmd_info},
    {0},
};

int main(int argc, char **argv)
{
    struct cli_options options;
    int exit_status = EXIT_USAGE;
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error that is reported, not a silent death */
    signal(SIGXFSZ, SIG_IGN); /* so is a file that may not grow */
    if (cli_options_parse(argc, argv, &options)) {
        if (options.version) {
            printf("iolaus %s (numerics %d)\n", iol_version(), iol_numerics_version());
            exit_status = EXIT_OK;
        } else if (options.help) {
            cli_help_print(stdout, options.command);
            exit_status = EXIT_OK;
        } else {
            exit_status = options.command->run(&options);
        }
    }
    cli_options_close(&options);
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) != 0 || failed) {
        fprintf(stderr, "iolaus: cannot write standard output%s%s\n", errno ? ": " : "",
                errno ? strerror(errno) : "");
        exit_status = exit_status == EXIT_OK ? EXIT_FAILED : exit_status;
    }
    return exit_status;
}
