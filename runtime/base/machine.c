#define _GNU_SOURCE
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/caches.h"
#include "base/context.h"

/* The value after "key : " in the first matching line of a small file of the kernel; false if there
 * is none. */
static bool kernel_line(const char *path, const char *key, char *out, size_t size)
{
    char *text = NULL;
    size_t length = 0;
    if (iol_file_read(path, 1 << 24, &text, &length) != IOL_OK) {
        return false;
    }
    const char *at = strstr(text, key), *colon = at ? strchr(at, ':') : NULL;
    if (colon) {
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(out, size, "%.*s", (int)strcspn(colon, "\n"), colon);
    }
    iol_free(text);
    return colon != NULL;
}

enum { PROBE_STEPS = 40000 }; /* 0.1 ms and more: a reading of the clock takes half a us */

/* Processor time of this thread: a neighbour that takes the core away does not lower the peak. */
static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* FLOP/s of this thread in the registry's FMA chains, for about `seconds`. */
static double probe_thread(const struct iol_ctx *ctx, double seconds)
{
    _Alignas(IOL_ALIGN) float chains[IOLK_FMA_CHAINS] = {0};
    double begin = thread_seconds(), now = begin;
    uint64_t flops = 0;
    do {
        ctx->ops.fma_f32(PROBE_STEPS, 1e-3F, 1e-3F, chains);
        flops += (uint64_t)2 * IOLK_FMA_CHAINS * PROBE_STEPS;
        now = thread_seconds();
    } while (now - begin < seconds);
    return (double)flops / (now - begin);
}

enum iol_status iol_machine_probe(const struct iol_ctx *ctx, double seconds,
                                  struct iol_machine *out_machine)
{
    if (out_machine->struct_size < sizeof *out_machine) {
        return iol_fail(IOL_E_INVAL, "iol_machine_probe: struct_size: found %zu, expected %zu",
                        out_machine->struct_size, sizeof *out_machine);
    }
    struct iol_machine m = {.struct_size = sizeof m};
    if (!kernel_line("/proc/cpuinfo", "model name", m.cpu, sizeof m.cpu)) {
        snprintf(m.cpu, sizeof m.cpu, "unknown");
    }
    cpu_set_t set;
    m.threads = sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
    m.l1_bytes = iol_cache_bytes("", 1);
    m.l2_bytes = iol_cache_bytes("", 2);
    m.l3_bytes = iol_cache_bytes("", 3);
    m.memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
    m.available_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
    char line[64];
    if (kernel_line("/proc/meminfo", "MemAvailable", line, sizeof line)) {
        m.available_bytes = strtoull(line, NULL, 10) * 1024;
    }
    if (seconds > 0) {
        double sum = 0;
#pragma omp parallel num_threads((int)ctx->threads) default(none) shared(ctx, seconds) reduction(+ : sum)
        sum += probe_thread(ctx, seconds);
        m.peak_flops = sum;
    }
    *out_machine = m;
    return IOL_OK;
}
