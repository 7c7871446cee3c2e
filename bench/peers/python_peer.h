/* Peers that live in Python (PyTorch's SDPA, matmul + softmax, F.linear; whole models): one process
 * for all of them, started by the first call, which takes turns with this one over a socket. Its
 * program is python_peers.py beside this file, whose head lists the kinds, their parameters and the
 * seeds of the inputs, which both sides make by themselves.
 *
 *     const char *why;
 *     char text[PEER_TEXT];
 *     if (!python_here(&why)) -> skipped by name, because of why
 *     size_t id = python_open(text, threads, "sdpa t=%zu d=%zu heads=12 kv=4", t, d);
 *     if (!id) -> failed, because of text; else text says what runs
 *     python_check(id, ours, t * 12 * d, &difference, &spread, text);   -> the same computation?
 *     every round: seconds = python_turn(id, calls) / calls;
 *     python_close(id);
 *
 * While it is not its turn, the process sleeps. With several threads a turn begins when our own
 * threads have stopped spinning and is over when those of the process have. If the process dies or
 * answers nonsense, the program ends with a sentence. Not thread-safe. */
#ifndef IOL_BENCH_PYTHON_PEER_H
#define IOL_BENCH_PYTHON_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include "peers/peer.h"

/* Whether IOL_PYTHON (default python3) has torch and numpy. True: *out_text says versions and
 * settings; false: why not. The first call starts the process (about two seconds) and prints that.
 */
bool python_here(const char **out_text);

/* Open one computation that runs on `threads` threads (at most those of bench_machine): `format`
 * gives KIND NAME=VALUE ... . Returns its number; 0: text says what failed. */
size_t python_open(char text[PEER_TEXT], size_t threads, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What one call computes: `count` floats. False: it gives another number of floats, or fails; text
 * says what. */
bool python_output(size_t id, float *out, size_t count, char text[PEER_TEXT]);
/* Compare its output with ours, `count` floats: the largest absolute difference, and the standard
 * deviation of its output. False: as python_output. */
bool python_check(size_t id, const float *ours, size_t count, double *out_difference,
                  double *out_spread, char text[PEER_TEXT]);
/* Seconds that `calls` calls take, after one that is not timed (where a call takes
 * over 20 ms, at once): processor time of the thread if it
 * runs on one thread, wall clock if on more, as bench_clock. */
double python_turn(size_t id, size_t calls);
/* Free what it holds. 0 is ignored. */
void python_close(size_t id);

/* Write a model with random weights into `folder`, which is made: config.json and
 * model.safetensors; shapes: make_shape.py. False: text says what failed. */
bool python_make_shape(const char *shape, const char *folder, char text[PEER_TEXT]);

/* Processor seconds that the process has used; 0 before it is started. */
double python_seconds(void);

#endif
