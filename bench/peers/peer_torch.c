/* PyTorch's F.linear, in the Python process (python_peer.h): the weights as they are, packed inside
 * MKL by every call. It makes the data of gemm_data_open by itself, so that w and a are not read;
 * what a call costs in Python is part of its time. */
#include <stdio.h>
#include <stdlib.h>

#include "peers/peer.h"
#include "peers/python_peer.h"

struct prepared {
    size_t id, n, m, threads;
};

static size_t thread_count = 1;

static bool open_torch(char text[PEER_TEXT])
{
    const char *reason;
    bool here = python_here(&reason);
    snprintf(text, PEER_TEXT, "%s", reason);
    return here;
}

static void set_threads(size_t threads)
{
    thread_count = threads;
}

static void release(void *prepared)
{
    struct prepared *w = prepared;
    if (w) {
        python_close(w->id);
        free(w);
    }
}

static void *prepare(const struct peer_product *p, size_t m, void *old, char text[PEER_TEXT])
{
    struct prepared *w = old;
    if (w && w->m == m && w->threads == thread_count) {
        return w;
    }
    release(w);
    w = calloc(1, sizeof *w);
    if (!w) {
        snprintf(text, PEER_TEXT, "out of memory");
        return NULL;
    }
    *w = (struct prepared){0, p->n, m, thread_count};
    w->id = python_open(text, thread_count, "linear how=plain k=%zu n=%zu m=%zu copies=%zu", p->k,
                        p->n, m, p->copies);
    if (!w->id) {
        free(w);
        w = NULL;
    }
    return w;
}

static void run(void *prepared, size_t copy, size_t m, const float *a, float *c)
{
    (void)copy, (void)a;
    const struct prepared *w = prepared;
    char text[PEER_TEXT];
    if (!python_output(w->id, c, m * w->n, text)) {
        fprintf(stderr, "torch: %s\n", text);
    }
}

static double turn(void *prepared, size_t calls)
{
    const struct prepared *w = prepared;
    return python_turn(w->id, calls);
}

const struct peer peer_torch = {"torch", open_torch, set_threads, prepare, run, release, turn};
