/* The commands, one file cmd_<name>.c each. They return the exit status of the program. */
#ifndef IOL_CLI_COMMANDS_H
#define IOL_CLI_COMMANDS_H

#include "options.h"

int cmd_run(const struct cli_options *options);
int cmd_export(const struct cli_options *options);
int cmd_digest(const struct cli_options *options);
int cmd_inspect(const struct cli_options *options);
int cmd_tokenize(const struct cli_options *options);
int cmd_info(const struct cli_options *options);

#endif
