#define _GNU_SOURCE
#include "measure.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/caches.h"
#include "iolaus/context.h"

static void die(const char *what)
{
    fprintf(stderr, "iolaus_bench: %s\n", what);
    exit(2);
}

/* --- the machine --- */

/* The ISAs named in `list` ("scalar,avx2"); dies on a name that is not one of this machine's. */
static uint32_t named_isas(const char *list, uint32_t have)
{
    uint32_t mask = 0;
    while (*list) {
        size_t length = strcspn(list, ",");
        uint32_t bit = 0;
        for (unsigned i = 0; i < IOLK_ISA_COUNT; i++) {
            const char *name = iolk_isa_name((enum iolk_isa)i);
            if (strlen(name) == length && strncmp(name, list, length) == 0) {
                bit = 1U << i;
            }
        }
        if (!(bit & have)) {
            die("IOL_ISA names an instruction set that this machine does not have");
        }
        mask |= bit;
        list += length + (list[length] == ',');
    }
    return mask;
}

const struct bench_machine *bench_machine(void)
{
    static struct bench_machine machine;
    if (machine.mask) {
        return &machine;
    }
    uint32_t have = iolk_isa_detect();
    if (!have) {
        die("this processor lacks FMA");
    }
    const char *list = getenv("IOL_ISA");
    machine.mask = list && *list && strcmp(list, "auto") != 0 ? named_isas(list, have) : have;
    for (unsigned i = 0; i < IOLK_ISA_COUNT; i++) {
        machine.isa = machine.mask >> i & 1U ? (enum iolk_isa)i : machine.isa;
    }
    iolk_ops_fill(machine.mask | 1U << IOLK_ISA_SCALAR, &machine.ops);
    iol_ops_fit_caches(&machine.ops);
    cpu_set_t set;
    machine.threads = sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
    return &machine;
}

void bench_machine_text(char *text, size_t size)
{
    const struct bench_machine *m = bench_machine();
    struct iol_machine probe = {.struct_size = sizeof probe};
    struct iol_ctx *ctx = NULL;
    if (iol_ctx_open(NULL, &ctx) != IOL_OK || iol_machine_probe(ctx, 0, &probe) != IOL_OK) {
        snprintf(probe.cpu, sizeof probe.cpu, "unknown");
    }
    iol_ctx_close(ctx);
    snprintf(text, size, "%s; %s; %zu threads; L1 %zu KiB, L2 %zu KiB, L3 %zu KiB; iolaus %s",
             probe.cpu, iolk_isa_name(m->isa), m->threads, probe.l1_bytes >> 10,
             probe.l2_bytes >> 10, probe.l3_bytes >> 10, iol_version());
}

double bench_clock(size_t threads)
{
    struct timespec now;
    if (threads > 1 || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) {
        return iol_seconds();
    }
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double bench_clock_cost(size_t threads)
{
    enum { READINGS = 101 };
    static double costs[2]; /* of processor time, of the wall clock */
    double *cost = &costs[threads > 1];
    if (*cost == 0) {
        struct bench_samples spans = {0};
        for (size_t i = 0; i < READINGS; i++) {
            const double begin = bench_clock(threads);
            bench_samples_add(&spans, bench_clock(threads) - begin);
        }
        *cost = bench_interval_of(&spans).median;
        bench_samples_free(&spans);
    }
    return *cost;
}

double bench_foreign_seconds(void)
{
    unsigned long long user = 0, nice = 0, kernel = 0, stolen = 0;
    struct timespec own = {0};
    FILE *f = fopen("/proc/stat", "r");
    if (!f) {
        return 0;
    }
    int found =
        fscanf(f, "cpu %llu %llu %llu %*u %*u %*u %*u %llu", &user, &nice, &kernel, &stolen);
    (void)fclose(f);
    if (found < 3 || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) != 0) {
        return 0;
    }
    return (double)(user + nice + kernel + stolen) / (double)sysconf(_SC_CLK_TCK) -
           ((double)own.tv_sec + 1e-9 * (double)own.tv_nsec);
}

/* --- samples --- */

void bench_samples_add(struct bench_samples *samples, double value)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? 2 * samples->capacity : 64;
        double *more = realloc(samples->values, samples->capacity * sizeof *more);
        if (!more) {
            die("out of memory");
        }
        samples->values = more;
    }
    samples->values[samples->count++] = value;
}

void bench_samples_free(struct bench_samples *samples)
{
    free(samples->values);
    *samples = (struct bench_samples){0};
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Largest r such that P(Binomial(n, 1/2) < r) <= 0.025: the r-th smallest and r-th largest sample
 * enclose the median with at least 95 %. */
static size_t interval_rank(size_t n)
{
    double term = pow(0.5, (double)n), below = 0; /* n < 1000: no underflow */
    for (size_t r = 0; r <= n / 2; r++) {
        below += term;
        if (below > 0.025) {
            return r;
        }
        term *= (double)(n - r) / (double)(r + 1);
    }
    return n / 2;
}

struct bench_interval bench_interval_of(const struct bench_samples *samples)
{
    size_t n = samples->count;
    if (n == 0) {
        return (struct bench_interval){(double)NAN, (double)NAN, (double)NAN};
    }
    double *sorted = malloc(n * sizeof *sorted);
    if (!sorted) {
        die("out of memory");
    }
    memcpy(sorted, samples->values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending);
    size_t rank = interval_rank(n < 1000 ? n : 1000);
    rank = rank ? rank : 1;
    struct bench_interval out = {sorted[rank - 1], (sorted[(n - 1) / 2] + sorted[n / 2]) / 2,
                                 sorted[n - rank]};
    free(sorted);
    return out;
}

struct bench_interval bench_ratio_of(const struct bench_samples *ours,
                                     const struct bench_samples *theirs)
{
    struct bench_samples ratios = {0};
    for (size_t i = 0; i < theirs->count && i < ours->count; i++) {
        bench_samples_add(&ratios, theirs->values[i] / ours->values[i]);
    }
    struct bench_interval interval = bench_interval_of(&ratios);
    bench_samples_free(&ratios);
    return interval;
}

/* --- data and loops --- */

float *bench_floats(size_t floats)
{
    const size_t huge = (size_t)2 << 20;
    const char *pages = getenv("IOL_BENCH_PAGES");
    size_t page = !(pages && strcmp(pages, "small") == 0) && floats >= huge / 4 ? huge : 4096;
    size_t bytes = (floats * sizeof(float) + page) / page * page;
    float *p = aligned_alloc(page, bytes);
    if (!p) {
        die("out of memory");
    }
    if (page == huge) { /* what an earlier owner of the place left in small pages goes first */
        (void)madvise(p, bytes, MADV_DONTNEED);
        (void)madvise(p, bytes, MADV_HUGEPAGE);
    }
    memset(p, 0, bytes);
    return p;
}

void bench_fill(float *values, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)((double)(iol_splitmix64(&seed) >> 40) / 8388608.0 - 1.0);
    }
}
