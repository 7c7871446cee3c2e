/* Measuring: the machine's peak and bandwidth from moment to moment, samples, intervals. */
#ifndef IOL_BENCH_MEASURE_H
#define IOL_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench.h"
#include "ops.h"

/* What runs here: the ISAs of this processor, narrowed by the environment's IOL_ISA. */
struct bench_machine {
    uint32_t mask;
    enum iolk_isa isa; /* newest in the mask */
    struct iolk_ops ops;
    size_t threads; /* that this process may run on */
};
/* Read once. Ends the program with a sentence if IOL_ISA names what is not there. */
const struct bench_machine *bench_machine(void);

/* Seconds for differences. One thread: processor time of the calling thread, so that a foreign
 * process that takes the core for a while is not counted; more: the wall clock. */
double bench_clock(size_t threads);
/* Seconds that one reading of it takes (processor time: a system call). A span of n readings after
 * the first lasts that much longer, n times, than what was timed. */
double bench_clock_cost(size_t threads);
/* So long, and at least one call, does everybody run untimed before a turn on several threads (of
 * attention and in the Python process on one, too): threads that slept are awake, their share of
 * the data is in their own caches, and the clock has risen (bench_ramp_up). */
static const double bench_warm_seconds = 1e-3;

/* Processor seconds that other processes have used, or the host of a virtual machine has taken
 * away, since the machine started; 0 where /proc/stat is not there. */
double bench_foreign_seconds(void);

/* f32 FMA rate of `threads` threads now, FLOP/s: the registry's chains in registers (fma_f32, which
 * iol_machine_probe runs) for about `seconds`. */
double bench_peak_sample(enum iolk_isa isa, size_t threads, double seconds);

/* FMAs on `threads` threads for bench_warm_seconds, before a turn: the clock of a core that begins
 * with wide vectors rises step by step (Intel Xeon model 207: 2.5 to 3.0 GHz in 1.5 ms), and a
 * sample of the peak on the way up would be too low for the turn that follows it. */
void bench_ramp_up(enum iolk_isa isa, size_t threads);
/* Whether each of `threads` threads has a processor now, or nine tenths of one: by their FMA rate
 * over that of one thread. A host may put the processors of a virtual machine on one core, and no
 * clock in it shows that. True for one thread. */
bool bench_has_processors(size_t threads);
/* Rounds without them that a cell may lose. */
enum { BENCH_MOST_LOST = 27 };
/* bench_has_processors; waits for it, a minute at most in a whole run. */
bool bench_await_processors(size_t threads);
/* Read bandwidth from DRAM of `threads` threads now, bytes/s: a window of a buffer larger than any
 * cache. 0: no memory. */
double bench_read_sample(size_t threads);
/* Additions per second of a chain in which each waits for the one before: the clock in Hz, where
 * an addition takes one cycle. 0 where this architecture has no such loop. */
double bench_clock_sample(double seconds);

enum bench_level { BENCH_L1, BENCH_L2, BENCH_L3, BENCH_DRAM, BENCH_LEVELS };
const char *bench_level_name(enum bench_level level);
/* Bytes that a cache holds; SIZE_MAX for DRAM. */
size_t bench_level_bytes(enum bench_level level);
/* The first level that holds so many bytes. */
enum bench_level bench_level_of(double bytes);

/* Read: two arrays as one; update: y = x + y, two loads and a store. */
enum bench_mix { BENCH_READ, BENCH_UPDATE, BENCH_MIXES };
/* Bytes/s that `threads` threads move now with the ISA's full vectors, each in arrays of its own
 * that lie in `level`, for about `seconds` (DRAM: one pass over 8 MiB). */
double bench_stream_sample(enum iolk_isa isa, enum bench_level level, enum bench_mix mix,
                           size_t threads, double seconds);
/* The faster of both mixes, the better of two tries: the roof of the level. */
double bench_roof_sample(enum iolk_isa isa, enum bench_level level, size_t threads, double seconds);

/* A growing list of figures. Zeroed is empty. */
struct bench_samples {
    double *values;
    size_t count, capacity;
};
void bench_samples_add(struct bench_samples *samples, double value);
void bench_samples_free(struct bench_samples *samples);

/* The median and its 95 % interval by order statistics (no assumption about the distribution); with
 * fewer than 6 samples the interval is their range. NaN if there are none. */
struct bench_interval {
    double low, median, high;
};
struct bench_interval bench_interval_of(const struct bench_samples *samples);
/* That of theirs over ours, pair by pair in the order of the turns: how many times faster ours is.
 */
struct bench_interval bench_ratio_of(const struct bench_samples *ours,
                                     const struct bench_samples *theirs);

/* `floats` floats aligned to 64 bytes, pages touched; ends the program when there is no memory.
 * Freed by free. */
float *bench_floats(size_t floats);
/* Uniform in -1..1 with 24 bits, from `seed`. */
void bench_fill(float *values, size_t count, uint64_t seed);

typedef void bench_call_fn(void *user);
struct bench_work {
    double flops, bytes; /* of one call */
    size_t threads;      /* of the peak that the rate is a share of */
    enum iolk_isa isa;
};
/* Calls per batch so that a batch takes at least `seconds`. */
size_t bench_batch_size(bench_call_fn *call, void *user, double seconds);
/* Time call(user) in batches of at least 0.2 ms, samples of the roofs beside them. Counters:
 * GFLOP/s, GB/s; peak%, roof% (of the lower of peak and bandwidth of the level; medians over
 * batches); level (1 to 4: L1 to DRAM, the first that holds the bytes of a call); per call and
 * where the machine has them: cycles, instructions, cache_misses, joules. */
void bench_time(struct bench_state *state, bench_call_fn *call, void *user,
                const struct bench_work *work);
/* The same for data that come from a known level, as cold weights from DRAM. */
void bench_time_at(struct bench_state *state, bench_call_fn *call, void *user,
                   const struct bench_work *work, enum bench_level level);

/* Whole text formatted into the caller's buffer: what is printed and stored about the machine. */
void bench_machine_text(char *text, size_t size);

#endif
