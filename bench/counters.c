#define _GNU_SOURCE
#include "counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    uint64_t config;
} events[BENCH_COUNTERS] = {{"cycles", PERF_COUNT_HW_CPU_CYCLES},
                            {"instructions", PERF_COUNT_HW_INSTRUCTIONS},
                            {"cache_misses", PERF_COUNT_HW_CACHE_MISSES}};
static int opened[BENCH_COUNTERS]; /* file descriptor + 1; 0: not there */

const char *bench_counter_name(size_t i)
{
    return events[i].name;
}

static int kernel_event_open(uint64_t config)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof attr,
                                   .config = config,
                                   .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED |
                                                  PERF_FORMAT_TOTAL_TIME_RUNNING,
                                   .inherit = 1,
                                   .exclude_kernel = 1,
                                   .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

bool bench_counters_open(bench_event_open_fn *event_open, char *text, size_t size)
{
    bool any = false;
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < BENCH_COUNTERS; i++) {
        int fd = (event_open ? event_open : kernel_event_open)(events[i].config);
        opened[i] = fd < 0 ? 0 : fd + 1;
        any |= fd >= 0;
        if (fd < 0 && used < size) {
            int length = snprintf(text + used, size - used, "%sno %s (perf_event_open: %s)",
                                  used ? ", " : "", events[i].name, strerror(errno));
            used += length > 0 ? (size_t)length : 0;
        }
    }
    return any;
}

void bench_counters_close(void)
{
    for (size_t i = 0; i < BENCH_COUNTERS; i++) {
        if (opened[i]) {
            (void)close(opened[i] - 1);
        }
        opened[i] = 0;
    }
}

bool bench_counter_there(size_t i)
{
    return opened[i] != 0;
}

void bench_counters_read(double out[BENCH_COUNTERS])
{
    for (size_t i = 0; i < BENCH_COUNTERS; i++) {
        uint64_t words[3] = {0}; /* value, ns enabled, ns running */
        out[i] = 0;
        if (opened[i] && read(opened[i] - 1, words, sizeof words) == sizeof words && words[2]) {
            out[i] = (double)words[0] * ((double)words[1] / (double)words[2]);
        }
    }
}
