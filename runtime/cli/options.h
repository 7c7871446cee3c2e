/* The command line: one table of commands and one of options, from which parsing, --help and the
 * suggestions in error sentences come. */
#ifndef IOL_CLI_OPTIONS_H
#define IOL_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "iolaus/experiment.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_STOPPED = 130 };

/* Values of all options; strings belong to argv. */
struct cli_options {
    const struct cli_command *command;
    struct iol_run_settings run;
    struct iol_ctx_settings ctx;
    const char *model, *format, *output, *jsonl;
    bool plan, quiet, help, version;
    const char **does; /* (run.do_count), freed by cli_options_close */
    char **arguments;  /* what is no option; freed by cli_options_close */
    size_t argument_count;
};

struct cli_command {
    const char *name, *arguments; /* "MODEL [TEXT]" for the usage line */
    unsigned bit;                 /* CLI_... of the options it takes */
    size_t least, most;           /* how many arguments */
    const char *text;
    int (*run)(const struct cli_options *options); /* returns the exit status */
};

extern const struct cli_command cli_commands[]; /* main.c; ends with a NULL name */

enum {
    CLI_RUN = 1,
    CLI_EXPORT = 2,
    CLI_DIGEST = 4,
    CLI_INSPECT = 8,
    CLI_TOKENIZE = 16,
    CLI_INFO = 32,
    CLI_EVERY = 63
};

/* Parse argv. false: a sentence has been printed to standard error. Call cli_options_close in any
 * case. */
bool cli_options_parse(int argc, char **argv, struct cli_options *out_options);
void cli_options_close(struct cli_options *options);

/* Usage, options with their defaults; command NULL: all commands, lists and examples. */
void cli_help_print(FILE *file, const struct cli_command *command);

#endif
