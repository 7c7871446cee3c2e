/* Ours: iol_gemm_block on packed weights; threads take contiguous parts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/gemm.h"
#include "measure.h"
#include "peers/peer.h"

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
    w->packed = (struct iol_packed){p->n, p->k, w->panels, NULL};
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

static void run(void *prepared, size_t copy, size_t m, const float *a, float *c)
{
    const struct prepared *w = prepared;
    const struct iolk_ops *ops = &bench_machine()->ops;
    struct iol_packed b = w->packed;
    b.panels = w->panels + copy * w->floats;
    uint64_t flops = 0;
    if (thread_count == 1) {
        iol_gemm_block(ops, m, a, b.k, &b, NULL, c, b.n, &flops);
        return;
    }
    const size_t threads = thread_count;
    if (thread_split == PEER_SPLIT_ROWS) {
#pragma omp parallel for num_threads((int)threads) schedule(static, 1) reduction(+ : flops)
        for (size_t t = 0; t < threads; t++) {
            size_t row = m * t / threads, end = m * (t + 1) / threads;
            iol_gemm_block(ops, end - row, a + row * b.k, b.k, &b, NULL, c + row * b.n, b.n,
                           &flops);
        }
        return;
    }
    const size_t panels = (b.n + IOLK_NR - 1) / IOLK_NR;
#pragma omp parallel for num_threads((int)threads) schedule(static, 1) reduction(+ : flops)
    for (size_t t = 0; t < threads; t++) {
        struct iol_gemm_part part = {.panel_begin = panels * t / threads,
                                     .panel_end = panels * (t + 1) / threads};
        if (part.panel_end > part.panel_begin) {
            iol_gemm_block(ops, m, a, b.k, &b, &part, c + part.panel_begin * IOLK_NR, b.n, &flops);
        }
    }
}

const struct peer peer_iolaus = {"iolaus", open_ours, set_threads, prepare, run, release};
