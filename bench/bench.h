/* The C side of Google Benchmark: cases are C functions; bench_main.cc is the only C++ file.
 *
 * A case measures its own time: it asks for a batch of calls, makes them, and says how many seconds
 * they took. Peak samples between batches are thus never part of a time. (The idea of such a shim
 * is IREE's, runtime/src/iree/testing/benchmark.h.) */
#ifndef IOL_BENCH_H
#define IOL_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_state; /* of one running case; belongs to Google Benchmark */

typedef void bench_fn(struct bench_state *state, const void *user);

/* A case named `name` (copied) that calls run(state, user); `user` must live until the end. */
void bench_register(const char *name, bench_fn *run, const void *user);

/* Whether `calls` more calls are wanted; the time of the batch before was given by
 * bench_batch_took. */
bool bench_keep_running(struct bench_state *state, size_t calls);
void bench_batch_took(struct bench_state *state, double seconds);

/* A figure beside the time, in the console and in JSON. */
void bench_counter(struct bench_state *state, const char *name, double value);
void bench_label(struct bench_state *state, const char *text);
/* This case cannot run here; it is listed with the reason. Return after it. */
void bench_skip(struct bench_state *state, const char *reason);

/* The C side's part: register every case; and the goals, a mode of their own (0: all met). */
void bench_register_all(void);
int bench_goals(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
