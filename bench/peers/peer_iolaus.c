/* Ours: iol_gemm_block on packed weights, with several threads iol_gemm_team on a team of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/gemm_team.h"
#include "measure.h"
#include "peers/peer.h"
#include "pool.h"

struct prepared {
    size_t floats; /* of one copy */
    struct iol_packed packed;
    float *panels;
};

static size_t thread_count = 1;
static enum peer_split thread_split = PEER_SPLIT_PANELS;

static bool open_ours(char text[PEER_TEXT])
{
    snprintf(text, PEER_TEXT, "iol_gemm_block, %s, packed panels of %d columns",
             iolk_isa_name(bench_machine()->ops.chosen[IOLK_OP_gemm_f32]), (int)IOLK_NR);
    return true;
}

static void set_threads(size_t threads)
{
    thread_count = threads;
}

void peer_iolaus_split(enum peer_split split)
{
    thread_split = split;
}

static void *prepare(const struct peer_product *p, size_t m, void *old, char text[PEER_TEXT])
{
    (void)m, (void)text;
    if (old) {
        return old;
    }
    struct prepared *w = calloc(1, sizeof *w);
    if (!w) {
        return NULL;
    }
    /* Copies begin on their own cache lines. */
    w->floats = (iol_packed_floats(p->n, p->k) + 15) / 16 * 16;
    w->panels = bench_floats(w->floats * p->copies);
    w->packed = (struct iol_packed){.n = p->n, .k = p->k, .panels = w->panels};
    iol_pack_rows_f32(p->w, p->k, 0, p->n, &w->packed);
    for (size_t i = 1; i < p->copies; i++) {
        memcpy(w->panels + i * w->floats, w->panels, w->floats * sizeof(float));
    }
    return w;
}

static void release(void *prepared)
{
    struct prepared *w = prepared;
    if (w) {
        free(w->panels);
        free(w);
    }
}

/* A product whose rows the threads share: the walk's way. */
struct by_rows {
    struct iol_packed b;
    size_t m, threads;
    const float *a;
    float *c;
};

static void run_rows(void *user, size_t task, size_t worker)
{
    const struct by_rows *x = user;
    const size_t row = x->m * task / x->threads, end = x->m * (task + 1) / x->threads;
    uint64_t flops = 0;
    (void)worker;
    iol_gemm_block(&bench_machine()->ops, end - row, x->a + row * x->b.k, x->b.k, &x->b, NULL,
                   x->c + row * x->b.n, x->b.n, &flops);
}

static void run(void *prepared, size_t copy, size_t m, const float *a, float *c)
{
    const struct prepared *w = prepared;
    const struct iolk_ops *ops = &bench_machine()->ops;
    struct iol_packed b = w->packed;
    b.panels = w->panels + copy * w->floats;
    uint64_t flops = 0;
    if (thread_count == 1) {
        iol_gemm_block(ops, m, a, b.k, &b, NULL, c, b.n, &flops);
    } else if (thread_split == PEER_SPLIT_ROWS) {
        struct by_rows rows = {b, m, thread_count, a, c};
        iol_team_run(bench_team(thread_count), thread_count, run_rows, &rows);
    } else {
        iol_gemm_team(bench_team(thread_count), ops, m, a, b.k, &b, NULL, c, b.n, &flops);
    }
}

const struct peer peer_iolaus = {"iolaus", open_ours, set_threads, prepare, run, release, NULL};
