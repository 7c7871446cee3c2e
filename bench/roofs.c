/* The machine's roofs from moment to moment: FMA rate (the registry's chains in registers, the
 * probe of iol_machine_probe), clock, bandwidth of every level of memory (no kernel of ours is
 * involved).
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "base/caches.h"
#include "measure.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* --- peak and bandwidth --- */

/* reading: bench_clock_cost, here and below. */
static double peak_thread(enum iolk_isa isa, size_t threads, double seconds, double reading)
{
    enum { STEPS = 16000 };
    struct iolk_ops ops;
    iolk_ops_fill(1U << isa | 1U << IOLK_ISA_SCALAR, &ops);
    _Alignas(64) float chains[IOLK_FMA_CHAINS] = {0};
    double begin = bench_clock(threads), now, read = 0;
    size_t flops = 0;
    do {
        ops.fma_f32(STEPS, 1e-3F, 1e-3F, chains);
        flops += (size_t)2 * IOLK_FMA_CHAINS * STEPS;
        now = bench_clock(threads);
        read += reading;
    } while (now - begin < seconds);
    return (double)flops / (now - begin - read);
}

double bench_peak_sample(enum iolk_isa isa, size_t threads, double seconds)
{
    const double reading = bench_clock_cost(threads);
    if (threads <= 1) {
        return peak_thread(isa, threads, seconds, reading);
    }
    double sum = 0;
#pragma omp parallel num_threads((int)threads) reduction(+ : sum)
    sum += peak_thread(isa, threads, seconds, reading);
    return sum;
}

void bench_ramp_up(enum iolk_isa isa, size_t threads)
{
    (void)bench_peak_sample(isa, threads, bench_warm_seconds);
}

bool bench_has_processors(size_t threads)
{
    const enum iolk_isa isa = bench_machine()->isa;
    if (threads <= 1) {
        return true;
    }
    const double one = bench_peak_sample(isa, 1, 3e-4);
    /* Longer than a host lets each begin on a core of its own (seen: 0.3 ms). */
    return bench_peak_sample(isa, threads, 3e-3) >= 0.9 * (double)threads * one;
}

bool bench_await_processors(size_t threads)
{
    static double patience = 60;
    const struct timespec pause = {.tv_nsec = 200000000};
    while (!bench_has_processors(threads) && !bench_has_processors(threads)) {
        if (patience <= 0) {
            return false;
        }
        const double begin = iol_seconds();
        nanosleep(&pause, NULL);
        patience -= iol_seconds() - begin;
    }
    return true;
}

/* --- clock --- */

double bench_clock_sample(double seconds)
{
    enum { TURNS = 4000, ADDS = 16 };
    double begin = bench_clock(1), now;
    size_t adds = 0;
    uint64_t sum = 0, one = 1;
    do {
        /* Registers on both sides: newer cores fold additions of constants away. */
#if defined(__x86_64__)
#define ADD "add %1, %0\n\t"
#define TURN                                                                                       \
    __asm__ volatile(ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD               \
                     : "+r"(sum)                                                                   \
                     : "r"(one)                                                                    \
                     : "cc")
#elif defined(__aarch64__)
#define ADD "add %0, %0, %1\n\t"
#define TURN                                                                                       \
    __asm__ volatile(ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD               \
                     : "+r"(sum)                                                                   \
                     : "r"(one))
#else
#define TURN return 0
#endif
        for (size_t i = 0; i < TURNS; i++) {
            TURN;
        }
        adds += (size_t)TURNS * ADDS;
        now = bench_clock(1);
    } while (now - begin < seconds);
    return (double)adds / (now - begin);
}

/* --- streams --- */

typedef void stream_fn(float *x, float *y, size_t n);

/* Four vectors a turn; n is a multiple of 64. KEEP makes the compiler do what is written. */
#define STREAM(isa, target, width, type, LOAD, STORE, ADD2, KEEP)                                  \
    target static void read_##isa(float *x, float *y, size_t n)                                    \
    {                                                                                              \
        (void)y;                                                                                   \
        for (size_t i = 0; i < n; i += (size_t)4 * (width)) {                                      \
            type a = LOAD(x + i), b = LOAD(x + i + (width)), c = LOAD(x + i + 2 * (width)),        \
                 d = LOAD(x + i + 3 * (width));                                                    \
            KEEP(a);                                                                               \
            KEEP(b);                                                                               \
            KEEP(c);                                                                               \
            KEEP(d);                                                                               \
        }                                                                                          \
    }                                                                                              \
    target static void update_##isa(float *x, float *y, size_t n)                                  \
    {                                                                                              \
        for (size_t i = 0; i < n; i += (size_t)4 * (width)) {                                      \
            type a = ADD2(LOAD(x + i), LOAD(y + i)),                                               \
                 b = ADD2(LOAD(x + i + (width)), LOAD(y + i + (width))),                           \
                 c = ADD2(LOAD(x + i + 2 * (width)), LOAD(y + i + 2 * (width))),                   \
                 d = ADD2(LOAD(x + i + 3 * (width)), LOAD(y + i + 3 * (width)));                   \
            KEEP(a);                                                                               \
            KEEP(b);                                                                               \
            KEEP(c);                                                                               \
            KEEP(d);                                                                               \
            STORE(y + i, a);                                                                       \
            STORE(y + i + (width), b);                                                             \
            STORE(y + i + 2 * (width), c);                                                         \
            STORE(y + i + 3 * (width), d);                                                         \
        }                                                                                          \
    }

#if defined(__x86_64__)
#define KEEP_X(v) __asm__ volatile("" : "+x"(v))
#define KEEP_V(v) __asm__ volatile("" : "+v"(v))
STREAM(avx512, __attribute__((target("avx512f"))), 16, __m512, _mm512_loadu_ps, _mm512_storeu_ps,
       _mm512_add_ps, KEEP_V)
STREAM(avx2, __attribute__((target("avx2"))), 8, __m256, _mm256_loadu_ps, _mm256_storeu_ps,
       _mm256_add_ps, KEEP_X)
#elif defined(__aarch64__)
#define KEEP_X(v) __asm__ volatile("" : "+w"(v))
STREAM(neon, , 4, float32x4_t, vld1q_f32, vst1q_f32, vaddq_f32, KEEP_X)
#else
#define KEEP_X(v) __asm__ volatile("" : "+m"(v))
#endif
#define LOAD_ONE(p)     (*(p))
#define STORE_ONE(p, v) (*(p) = (v))
#define ADD_ONE(a, b)   ((a) + (b))
STREAM(scalar, , 1, float, LOAD_ONE, STORE_ONE, ADD_ONE, KEEP_X)

static stream_fn *const streams[IOLK_ISA_COUNT][BENCH_MIXES] = {
#define ISA(name, UPPER, folder, flags, needs)                                                     \
    [IOLK_ISA_##UPPER] = {[BENCH_READ] = read_##name, [BENCH_UPDATE] = update_##name},
#include "isa.def"
#undef ISA
};

/* Of DRAM: a buffer larger than any cache, and the piece of one sample. */
enum { READ_BYTES = 1 << 29, READ_WINDOW = 1 << 23 };

/* Bytes of both arrays of a thread: well inside the level, and well outside the one below. */
static size_t level_window(enum bench_level level, size_t threads)
{
    const size_t l1 = bench_level_bytes(BENCH_L1), l2 = bench_level_bytes(BENCH_L2),
                 l3 = bench_level_bytes(BENCH_L3);
    size_t bytes = l1 / 2;
    if (level == BENCH_L2) {
        bytes = l2 / 4;
    } else if (level == BENCH_L3) {
        bytes = l3 / 2 / threads;
        bytes = bytes > 8 * l2 ? 8 * l2 : bytes < 2 * l2 ? 2 * l2 : bytes;
    } else if (level == BENCH_DRAM) {
        bytes = READ_WINDOW;
    }
    return bytes & ~(size_t)1023;
}

/* Reads both arrays as one: from end to end, or as eight streams, from each 512 bytes in turn. */
static void read_streams(stream_fn *run, float *x, size_t floats, bool eight)
{
    enum { EIGHT = 8, PIECE = 128 };
    const size_t each = floats / EIGHT;
    if (!eight) {
        run(x, NULL, floats);
        return;
    }
    for (size_t at = 0; at < each; at += PIECE) {
        for (size_t i = 0; i < EIGHT; i++) {
            run(x + i * each + at, NULL, PIECE);
        }
    }
}

/* Bytes a second out of `bytes` of DRAM. */
static double read_rate(enum iolk_isa isa, float *x, size_t bytes, bool eight, size_t threads)
{
    const double reading = bench_clock_cost(threads), begin = bench_clock(threads);
    read_streams(streams[isa][BENCH_READ], x, bytes / sizeof(float), eight);
    return (double)bytes / (bench_clock(threads) - begin - reading);
}

/* Which way memory answers faster, by turns over the windows that are due; asked once. */
static bool eight_are_faster(enum iolk_isa isa, float *buffer, size_t *window)
{
    enum { ROUNDS = 11, WINDOWS = READ_BYTES / READ_WINDOW };
    static int known = -1;
    if (known < 0) {
        size_t faster = 0;
        for (size_t i = 0; i < ROUNDS; i++) {
            double rate[2];
            for (size_t eight = 0; eight < 2; eight++) {
                float *x = buffer + *window * (READ_WINDOW / sizeof(float));
                rate[eight] = read_rate(isa, x, READ_WINDOW, eight, 1);
                *window = (*window + 1) % WINDOWS;
            }
            faster += rate[1] > rate[0];
        }
        known = faster > ROUNDS / 2;
    }
    return known;
}

static double stream_thread(stream_fn *run, float *x, size_t floats, bool warm, size_t threads,
                            double seconds, double reading)
{
    /* Reading the clock takes as long as a pass over L1. */
    const size_t at_once = warm && floats < 1 << 18 ? (1 << 18) / floats : 1;
    size_t passes = 0;
    float *y = x + floats;
    for (int i = 0; warm && i < 2; i++) {
        run(x, y, floats);
    }
    double begin = bench_clock(threads), now, read = 0;
    do {
        for (size_t i = 0; i < at_once; i++) {
            run(x, y, floats);
        }
        passes += at_once;
        now = bench_clock(threads);
        read += reading;
    } while (warm && now - begin < seconds);
    return (double)passes * (double)floats / (now - begin - read);
}

double bench_stream_sample(enum iolk_isa isa, enum bench_level level, enum bench_mix mix,
                           size_t threads, double seconds)
{
    static float *buffer;
    static size_t window, held;
    const size_t bytes = level_window(level, threads), floats = bytes / 2 / sizeof(float);
    /* Out of DRAM: the next window each time, so that none is still in a cache. */
    const size_t wanted = level == BENCH_DRAM ? READ_BYTES : threads * bytes;
    stream_fn *run = streams[isa][mix];
    const double reading = bench_clock_cost(threads);
    double sum = 0;
    if (held < wanted) {
        free(buffer);
        buffer = bench_floats(wanted / sizeof(float));
        held = wanted;
    }
    float *from = buffer;
    const bool reads_dram = level == BENCH_DRAM && mix == BENCH_READ,
               eight = reads_dram && eight_are_faster(isa, buffer, &window);
    const size_t first = level == BENCH_DRAM ? window : 0, windows = wanted / bytes;
    if (level == BENCH_DRAM) {
        window = (first + threads) % windows;
    }
    if (reads_dram) {
#pragma omp parallel for num_threads((int)threads) schedule(static, 1) reduction(+ : sum)
        for (size_t i = 0; i < threads; i++) {
            sum += read_rate(isa, from + (first + i) % windows * (bytes / sizeof(float)), bytes,
                             eight, threads);
        }
        return sum;
    }
#pragma omp parallel for num_threads((int)threads) schedule(static, 1) reduction(+ : sum)
    for (size_t i = 0; i < threads; i++) {
        /* Reading takes both arrays as one. */
        sum += stream_thread(run, from + (first + i) % windows * (bytes / sizeof(float)),
                             mix == BENCH_READ ? 2 * floats : floats, level != BENCH_DRAM, threads,
                             seconds, reading);
    }
    return sum * (mix == BENCH_READ ? 1 : 3) * sizeof(float);
}

double bench_read_sample(size_t threads)
{
    return bench_stream_sample(bench_machine()->isa, BENCH_DRAM, BENCH_READ, threads, 0);
}

double bench_roof_sample(enum iolk_isa isa, enum bench_level level, size_t threads, double seconds)
{
    double best = 0;
    for (int i = 0; i < 2 * BENCH_MIXES; i++) {
        double now =
            bench_stream_sample(isa, level, (enum bench_mix)(i % BENCH_MIXES), threads, seconds);
        best = now > best ? now : best;
    }
    return best;
}

/* --- levels --- */

size_t bench_level_bytes(enum bench_level level)
{
    static size_t bytes[BENCH_DRAM];
    static const size_t otherwise[BENCH_DRAM] = {32 << 10, 1 << 20, 32 << 20};
    if (level >= BENCH_DRAM) {
        return SIZE_MAX;
    }
    if (!bytes[level]) {
        bytes[level] = iol_cache_bytes("", (int)level + 1);
        bytes[level] = bytes[level] ? bytes[level] : otherwise[level];
    }
    return bytes[level];
}

const char *bench_level_name(enum bench_level level)
{
    static const char *const names[BENCH_LEVELS] = {"L1", "L2", "L3", "DRAM"};
    return names[level];
}

enum bench_level bench_level_of(double bytes)
{
    enum bench_level level = BENCH_L1;
    while (level < BENCH_DRAM && bytes > (double)bench_level_bytes(level)) {
        level = (enum bench_level)(level + 1);
    }
    return level;
}
