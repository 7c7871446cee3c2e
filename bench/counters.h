/* The processor's event counters around timed calls, where the kernel gives them. */
#ifndef IOL_BENCH_COUNTERS_H
#define IOL_BENCH_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_COUNTERS = 3 };
/* "cycles", "instructions", "cache_misses" (of the last level). */
const char *bench_counter_name(size_t i);

/* Opens one hardware event of this process, threads started later included, for reading {value, ns
 * enabled, ns running}; -1 with errno. */
typedef int bench_event_open_fn(uint64_t config);

/* Open what there is; call it before the first thread is started. event_open NULL: the kernel's
 * (tests give their own). `text` (size bytes) gets why counters are missing, "" if none is. False:
 * none could be opened. Not thread-safe. */
bool bench_counters_open(bench_event_open_fn *event_open, char *text, size_t size);
void bench_counters_close(void);
bool bench_counter_there(size_t i);
/* Counts since the opening, scaled up where the kernel let events take turns. 0 where not there. */
void bench_counters_read(double out[BENCH_COUNTERS]);

#endif
