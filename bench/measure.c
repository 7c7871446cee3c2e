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

double bench_foreign_seconds(void)
{
    unsigned long long user = 0, nice = 0, kernel = 0;
    struct timespec own = {0};
    FILE *f = fopen("/proc/stat", "r");
    if (!f) {
        return 0;
    }
    int found = fscanf(f, "cpu %llu %llu %llu", &user, &nice, &kernel);
    (void)fclose(f);
    if (found != 3 || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) != 0) {
        return 0;
    }
    return (double)(user + nice + kernel) / (double)sysconf(_SC_CLK_TCK) -
           ((double)own.tv_sec + 1e-9 * (double)own.tv_nsec);
}

/* --- peak and bandwidth --- */

/* `turns` times 12 independent FMAs on registers. Sums stay finite and normal. */
#if defined(__x86_64__)
#define FMA_LOOP(suffix, reg)                                                                      \
    __asm__ volatile("vbroadcastss %1, %%" reg "13\n\t"                                            \
                     "vbroadcastss %2, %%" reg "14\n\t"                                            \
                     "1:\n\t" FMA(suffix, reg, 0) FMA(suffix, reg, 1) FMA(suffix, reg, 2)          \
                         FMA(suffix, reg, 3) FMA(suffix, reg, 4) FMA(suffix, reg, 5)               \
                             FMA(suffix, reg, 6) FMA(suffix, reg, 7) FMA(suffix, reg, 8)           \
                                 FMA(suffix, reg, 9) FMA(suffix, reg, 10)                          \
                                     FMA(suffix, reg, 11) "dec %0\n\t"                             \
                                                          "jnz 1b\n\t"                             \
                                                          "vzeroupper"                             \
                     : "+r"(turns)                                                                 \
                     : "m"(fma_a), "m"(fma_b)                                                      \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",       \
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14")
#define FMA(suffix, reg, i) "vfmadd231" suffix " %%" reg "13, %%" reg "14, %%" reg #i "\n\t"

static const float fma_a = 1.2345e-3F, fma_b = 0.76543F;

/* FLOPs of one turn. */
static size_t fma_turns(enum iolk_isa isa, size_t turns)
{
    __asm__ volatile("vzeroall"
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    if (isa == IOLK_ISA_AVX512) {
        FMA_LOOP("ps", "zmm");
        return (size_t)12 * 32;
    }
    if (isa == IOLK_ISA_AVX2) {
        FMA_LOOP("ps", "ymm");
        return (size_t)12 * 16;
    }
    FMA_LOOP("ss", "xmm");
    return (size_t)12 * 2;
}
#elif defined(__aarch64__)
static size_t fma_turns(enum iolk_isa isa, size_t turns)
{
    if (isa != IOLK_ISA_NEON) {
        return 0;
    }
#define FMA(i) "fmla v" #i ".4s, v24.4s, v25.4s\n\t"
    __asm__ volatile("movi v24.4s, #1\n\tscvtf v24.4s, v24.4s, #8\n\tmov v25.16b, v24.16b\n\t"
                     "1:\n\t" FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9)
                         FMA(10) FMA(11) FMA(12) FMA(13) FMA(14) FMA(15) "subs %0, %0, #1\n\t"
                                                                         "b.ne 1b"
                     : "+r"(turns)
                     :
                     : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",
                       "v11", "v12", "v13", "v14", "v15", "v24", "v25");
    return (size_t)16 * 8;
}
#else
static size_t fma_turns(enum iolk_isa isa, size_t turns)
{
    (void)isa, (void)turns;
    return 0;
}
#endif

static double peak_thread(enum iolk_isa isa, size_t threads, double seconds)
{
    enum { TURNS = 16000 }; /* so that reading the clock does not count */
    double begin = bench_clock(threads), now;
    size_t flops = 0, turn = 0;
    do {
        turn = fma_turns(isa, TURNS);
        flops += TURNS * turn;
        now = bench_clock(threads);
    } while (turn && now - begin < seconds);
    return (double)flops / (now - begin);
}

double bench_peak_sample(enum iolk_isa isa, size_t threads, double seconds)
{
    if (threads <= 1) {
        return peak_thread(isa, threads, seconds);
    }
    double sum = 0;
#pragma omp parallel num_threads((int)threads) reduction(+ : sum)
    sum += peak_thread(isa, threads, seconds);
    return sum;
}

enum { READ_BYTES = 1 << 29, READ_WINDOW = 1 << 23 };

static double read_thread(const uint64_t *words, size_t count, size_t threads)
{
    double begin = bench_clock(threads);
    uint64_t x[8] = {0};
    for (size_t i = 0; i + 32 <= count; i += 32) {
        __builtin_prefetch(words + i + 256);
        for (size_t j = 0; j < 8; j++) {
            x[j] ^= words[i + j] ^ words[i + 8 + j] ^ words[i + 16 + j] ^ words[i + 24 + j];
        }
    }
    uint64_t all = x[0] ^ x[1] ^ x[2] ^ x[3] ^ x[4] ^ x[5] ^ x[6] ^ x[7];
    __asm__ volatile("" : : "r"(all));
    return (double)(count * sizeof *words) / (bench_clock(threads) - begin);
}

double bench_read_sample(size_t threads)
{
    static uint64_t *buffer;
    static size_t window;
    if (!buffer) {
        buffer = (void *)bench_floats(READ_BYTES / sizeof(float));
    }
    double sum = 0;
    size_t from = window;
    const uint64_t *words = buffer;
    window = (window + threads) % (READ_BYTES / READ_WINDOW);
#pragma omp parallel for num_threads((int)threads) schedule(static, 1) reduction(+ : sum)
    for (size_t i = 0; i < threads; i++) {
        size_t at = (from + i) % (READ_BYTES / READ_WINDOW);
        sum += read_thread(words + at * (READ_WINDOW / sizeof *words), READ_WINDOW / sizeof *words,
                           threads);
    }
    return sum;
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

/* --- data and loops --- */

float *bench_floats(size_t floats)
{
    const size_t huge = (size_t)2 << 20;
    const char *pages = getenv("IOL_BENCH_PAGES");
    size_t page = pages && strcmp(pages, "huge") == 0 && floats >= huge / 4 ? huge : 4096;
    size_t bytes = (floats * sizeof(float) + page) / page * page;
    float *p = aligned_alloc(page, bytes);
    if (!p) {
        die("out of memory");
    }
    if (page == huge) {
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

size_t bench_batch_size(bench_call_fn *call, void *user, double seconds)
{
    for (size_t calls = 1;; calls *= 2) {
        double begin = bench_clock(1);
        for (size_t i = 0; i < calls; i++) {
            call(user);
        }
        double took = bench_clock(1) - begin;
        if (took >= seconds || calls > SIZE_MAX / 4) {
            return calls;
        }
        if (took < seconds / 16) {
            calls *= 8;
        }
    }
}

void bench_time(struct bench_state *state, bench_call_fn *call, void *user,
                const struct bench_work *work)
{
    const double peak_seconds = 5e-5;
    size_t calls = bench_batch_size(call, user, 2e-4);
    struct bench_samples shares = {0};
    double total = 0, made = 0;
    double before = bench_peak_sample(work->isa, work->threads, peak_seconds);
    while (bench_keep_running(state, calls)) {
        double begin = bench_clock(work->threads);
        for (size_t i = 0; i < calls; i++) {
            call(user);
        }
        double took = bench_clock(work->threads) - begin;
        bench_batch_took(state, took);
        double after = bench_peak_sample(work->isa, work->threads, peak_seconds);
        if (before + after > 0) {
            bench_samples_add(&shares, work->flops * (double)calls / took / ((before + after) / 2));
        }
        before = after;
        total += took;
        made += (double)calls;
    }
    bench_counter(state, "GFLOP/s", work->flops * made / total / 1e9);
    bench_counter(state, "GB/s", work->bytes * made / total / 1e9);
    if (shares.count) {
        bench_counter(state, "peak%", 100 * bench_interval_of(&shares).median);
    }
    bench_samples_free(&shares);
}
