#define _GNU_SOURCE
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base.h"

struct iol_team *bench_team(size_t threads)
{
    static struct iol_team *team;
    if (iol_team_threads(team) != threads) {
        iol_team_close(team);
        team = iol_team_open(threads);
        if (!team) {
            fprintf(stderr, "iolaus_bench: no team of %zu threads\n", threads);
            exit(2);
        }
    }
    return team;
}

static double process_seconds(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void bench_settle(void)
{
    const struct timespec pause = {0, 200000};
    const double end = iol_seconds() + 0.05;
    double used = process_seconds(), before;
    do {
        before = used;
        (void)nanosleep(&pause, NULL);
        used = process_seconds();
    } while (used - before > 4e-5 && iol_seconds() < end);
}
