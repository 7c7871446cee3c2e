/* Progress of a run on standard error, and stopping by Ctrl-C. */
#ifndef IOL_CLI_PROGRESS_H
#define IOL_CLI_PROGRESS_H

#include "options.h"

struct cli_progress {
    bool quiet, tty, resumed_said;
    const char *phase; /* of the numbers below; a copy of the library's pointer */
    size_t base_done;  /* at the first call of the phase */
    double base_flops, base_seconds;
    double printed_at; /* seconds of the phase */
};

/* From now on the first SIGINT or SIGTERM makes cli_progress_step return false; the second one ends
 * the process at once. A signal that the parent made ignored stays ignored. */
void cli_progress_open(struct cli_progress *progress, bool quiet);
/* An iol_progress_fn; user is a struct cli_progress. */
bool cli_progress_step(const struct iol_progress *now, void *user);
/* Remove the line on a terminal. */
void cli_progress_close(struct cli_progress *progress);

#endif
