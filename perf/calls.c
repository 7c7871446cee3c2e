/* perf/calls: every kernel case of the bench, called once under callgrind with its instructions
 * counted. The bench's cases are registered here instead of in Google Benchmark, and bench_time
 * counts instead of timing. Run by perf/instructions; alone it only lists the cases. */
#include <stdio.h>
#include <stdlib.h>

/* The macros of client requests hold casts and shadowed names that our warnings do not allow. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <valgrind/callgrind.h>
#pragma GCC diagnostic pop

#include "bench_cases.h"
#include "measure.h"

static const char *case_name;

void bench_register(const char *name, bench_fn *run, const void *user)
{
    case_name = name;
    run(NULL, user);
}

void bench_time(struct bench_state *state, bench_call_fn *call, void *user,
                const struct bench_work *work)
{
    (void)state, (void)work;
    call(user);
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    call(user);
    CALLGRIND_DUMP_STATS_AT(case_name);
    CALLGRIND_STOP_INSTRUMENTATION;
    puts(case_name);
}

void bench_time_at(struct bench_state *state, bench_call_fn *call, void *user,
                   const struct bench_work *work, enum bench_level level)
{
    (void)level;
    bench_time(state, call, user, work);
}

void bench_skip(struct bench_state *state, const char *reason)
{
    (void)state;
    fprintf(stderr, "iolaus_calls: %s: %s\n", case_name, reason);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(stderr, "usage: %s    (run by perf/instructions)\n", argv[0]);
        return 2;
    }
    bench_register_kernels();
    return 0;
}
