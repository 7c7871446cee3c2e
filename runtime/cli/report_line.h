/* What several commands print: failures, numbers with units. */
#ifndef IOL_CLI_REPORT_LINE_H
#define IOL_CLI_REPORT_LINE_H

#include "options.h"

/* "iolaus: SENTENCE" on standard error; the exit status that belongs to `status`. */
int cli_fail(enum iol_status status);
/* Context of --threads and --isa (without --isa: IOL_ISA of the environment). */
IOL_NODISCARD enum iol_status cli_context_open(const struct cli_options *options,
                                               struct iol_ctx **out_ctx);

struct cli_text {
    char text[32];
};
struct cli_text cli_flops(double flops);     /* "35.10 GFLOP" */
struct cli_text cli_bytes(uint64_t bytes);   /* "1.25 GiB" */
struct cli_text cli_seconds(double seconds); /* "850 ms", "12.3 s", "4:05", "1:02:03" */

#endif
