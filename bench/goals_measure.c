/* The GEMM cells: ours and the peers take turns, a peak sample between any two, until the interval
 * of the ratio to the best of them is narrow or the time of the cell is over. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "goals.h"
#include "pool.h"

enum { MIN_ROUNDS = 9, MAX_ROUNDS = 900 };
static const double batch_seconds = 1e-3, peak_seconds = 1e-4, close_enough = 0.02;

struct contender {
    const struct peer *peer; /* NULL: not here, or left the cell */
    void *prepared;
    size_t copy, calls;           /* next copy; calls per turn */
    struct bench_samples seconds; /* of one call, per round */
};

struct cell_run {
    struct contender contenders[PEER_COUNT];
    struct gemm_data data;
    struct bench_samples peaks, reads; /* per round */
};

static void calls(struct contender *c, struct cell_run *run, size_t m, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        c->peer->run(c->prepared, c->copy, m, run->data.a, run->data.c);
        c->copy = (c->copy + 1) % run->data.product.copies;
    }
}

/* Seconds of this many calls. */
static double turn(struct contender *c, struct cell_run *run, const struct gemm_cell *cell,
                   size_t count)
{
    c->peer->set_threads(cell->threads);
    if (c->peer->turn) {
        return c->peer->turn(c->prepared, count);
    }
    if (cell->threads > 1 && c == &run->contenders[PEER_iolaus]) {
        bench_settle(); /* the threads of the others are not ours */
    }
    /* Its weights back into the caches, its threads awake. */
    if (!cell->cold || cell->threads > 1) {
        const double until = cell->threads > 1 ? iol_seconds() + bench_warm_seconds : 0;
        do {
            calls(c, run, cell->m, 1);
        } while (iol_seconds() < until);
    }
    double begin = bench_clock(cell->threads);
    calls(c, run, cell->m, count);
    return bench_clock(cell->threads) - begin;
}

/* Prepare all for m rows, check what they compute, find the calls of a turn. False: someone
 * computes something else. */
static bool prepare_cell(const struct goal_options *options, struct cell_run *run,
                         const struct gemm_cell *cell, bool first)
{
    for (unsigned p = 0; p < PEER_COUNT; p++) {
        struct contender *c = &run->contenders[p];
        char text[PEER_TEXT];
        const char *reason;
        const bool elsewhere = peer_elsewhere((enum peer_id)p);
        c->seconds.count = 0;
        c->peer = NULL;
        if (elsewhere && !options->full && (cell->shape->k != 768 || cell->shape->n != 3072)) {
            continue; /* its own copies of the weights take time, too */
        }
        c->peer = peer_get((enum peer_id)p, &reason);
        if (!c->peer) {
            continue;
        }
        c->peer->set_threads(cell->threads);
        c->prepared = c->peer->prepare(&run->data.product, cell->m, c->prepared, text);
        if (!c->prepared) {
            fprintf(stderr, "%s: %s\n", c->peer->name, text);
            return false;
        }
        memset(run->data.c, 0, cell->m * cell->shape->n * sizeof(float));
        calls(c, run, cell->m, 1);
        if (!gemm_agrees(&run->data, cell->m, run->data.c, text)) {
            fprintf(stderr, "%s: k %zu, n %zu, m %zu: %s\n", c->peer->name, cell->shape->k,
                    cell->shape->n, cell->m, text);
            return false;
        }
        if (first && cell->cold && !elsewhere) { /* every copy once: pages, translations */
            calls(c, run, cell->m, run->data.product.copies);
        }
        double one = turn(c, run, cell, 1);
        c->calls = one > batch_seconds ? 1 : (size_t)ceil(batch_seconds / (one + 1e-9));
    }
    run->peaks.count = run->reads.count = 0;
    return true;
}

static struct bench_interval ratio_to(const struct cell_run *run, unsigned p)
{
    return bench_ratio_of(&run->contenders[PEER_iolaus].seconds, &run->contenders[p].seconds);
}

/* Fastest of the others so far. */
static unsigned best_peer(const struct cell_run *run)
{
    unsigned best = PEER_iolaus;
    double best_seconds = (double)INFINITY;
    for (unsigned p = 0; p < PEER_COUNT; p++) {
        const struct contender *c = &run->contenders[p];
        double seconds = bench_interval_of(&c->seconds).median;
        if (p != PEER_iolaus && c->peer && seconds < best_seconds) {
            best = p;
            best_seconds = seconds;
        }
    }
    return best;
}

/* One turn of everybody, in an order that rotates with the round. */
static void one_round(struct cell_run *run, const struct gemm_cell *cell, size_t round)
{
    double peak = 0, turns = 0;
    for (unsigned i = 0; i < PEER_COUNT; i++) {
        struct contender *c = &run->contenders[(i + round) % PEER_COUNT];
        if (!c->peer) {
            continue;
        }
        bench_ramp_up(bench_machine()->isa, cell->threads);
        double before = bench_peak_sample(bench_machine()->isa, cell->threads, peak_seconds);
        bench_samples_add(&c->seconds, turn(c, run, cell, c->calls) / (double)c->calls);
        if (c == &run->contenders[PEER_iolaus]) {
            peak += bench_peak_sample(bench_machine()->isa, cell->threads, peak_seconds) + before;
            turns += 2;
        }
    }
    bench_samples_add(&run->peaks, peak / turns);
    if (cell->cold) {
        bench_samples_add(&run->reads, bench_read_sample(cell->threads));
    }
}

/* Somebody's threads shared a core in it. */
static void forget_round(struct cell_run *run, const struct gemm_cell *cell)
{
    for (unsigned p = 0; p < PEER_COUNT; p++) {
        run->contenders[p].seconds.count -= run->contenders[p].peer != NULL;
    }
    run->peaks.count--;
    run->reads.count -= cell->cold;
}

static void measure_cell(const struct goal_options *options, struct cell_run *run,
                         struct gemm_cell *cell)
{
    const double begin = iol_seconds(), foreign = goal_foreign_seconds();
    const double flops = 2 * (double)cell->m * (double)cell->shape->k * (double)cell->shape->n;
    const double bytes = 4 * (double)cell->shape->k * (double)cell->shape->n;
    for (size_t round = 0; round < MAX_ROUNDS && cell->lost < BENCH_MOST_LOST;) {
        const bool there = bench_await_processors(cell->threads);
        one_round(run, cell, round + cell->lost);
        /* Where they never have one each, everybody suffers alike, and all is kept. */
        if (there && !bench_has_processors(cell->threads)) {
            forget_round(run, cell);
            cell->lost++;
            continue;
        }
        round++;
        unsigned best = best_peer(run);
        if (round == 3) { /* who is far behind leaves; the floor is against oneDNN, which stays */
            double limit = 1.5 * bench_interval_of(&run->contenders[best].seconds).median;
            for (unsigned p = 1; p < PEER_COUNT; p++) {
                struct contender *c = &run->contenders[p];
                if (p != PEER_onednn && bench_interval_of(&c->seconds).median > limit) {
                    c->peer = NULL;
                }
            }
        }
        if (round < MIN_ROUNDS) {
            continue;
        }
        struct bench_interval ratio = ratio_to(run, best);
        if (best == PEER_iolaus ||
            (ratio.high < ratio.median * (1 + close_enough) &&
             ratio.low > ratio.median * (1 - close_enough)) ||
            iol_seconds() - begin > options->cell_seconds) {
            break;
        }
    }
    const struct bench_samples *ours = &run->contenders[PEER_iolaus].seconds;
    struct bench_samples peaks = {0}, roofs = {0};
    for (size_t i = 0; i < ours->count; i++) {
        double rate = flops / ours->values[i], peak = run->peaks.values[i];
        bench_samples_add(&peaks, rate / peak);
        if (cell->cold) {
            double memory = flops / bytes * run->reads.values[i];
            bench_samples_add(&roofs, rate / (memory < peak ? memory : peak));
        }
    }
    cell->measured = true;
    cell->foreign = (goal_foreign_seconds() - foreign) / (iol_seconds() - begin);
    cell->disturbed = cell->threads > 1 && (cell->foreign > 0.1 || ours->count < MIN_ROUNDS);
    cell->rounds = ours->count;
    cell->gflops = flops / bench_interval_of(ours).median / 1e9;
    cell->peak = bench_interval_of(&peaks);
    cell->roof = bench_interval_of(&roofs);
    cell->best = (enum peer_id)best_peer(run);
    for (unsigned p = 0; p < PEER_COUNT; p++) {
        cell->ratio[p] = ratio_to(run, p);
        cell->rate[p] = flops / bench_interval_of(&run->contenders[p].seconds).median / 1e9;
    }
    bench_samples_free(&peaks);
    bench_samples_free(&roofs);
}

static void print_cell(const struct gemm_cell *cell)
{
    printf("cell gemm k %4zu n %5zu m %3zu t %zu %-4s %6.1f GFLOP/s %5.1f%% of peak",
           cell->shape->k, cell->shape->n, cell->m, cell->threads, cell->cold ? "cold" : "hot",
           cell->gflops, 100 * cell->peak.median);
    if (cell->cold) {
        printf(" %5.1f%% of roof", 100 * cell->roof.median);
    }
    if (cell->best != PEER_iolaus) {
        const struct bench_interval *r = &cell->ratio[cell->best];
        printf("; best %s %.1f, ratio %.3f [%.3f %.3f]", peer_name(cell->best),
               cell->rate[cell->best], r->median, r->low, r->high);
    }
    for (unsigned p = 1; p < PEER_COUNT; p++) {
        if (p != (unsigned)cell->best && !isnan(cell->ratio[p].median)) {
            printf(", %s %.2f", peer_name((enum peer_id)p), cell->ratio[p].median);
        }
    }
    printf("; %zu rounds", cell->rounds);
    if (cell->lost) {
        printf(", %zu without a processor per thread", cell->lost);
    }
    printf("%s\n", cell->disturbed ? ", disturbed by other processes" : "");
    fflush(stdout);
}

/* The short list leaves out cells whose nine rounds take too long, and most of the small m. */
static bool in_list(const struct goal_options *options, const struct gemm_shape *shape, size_t m,
                    size_t threads)
{
    if (options->full) {
        return true;
    }
    double products = (double)m * (double)shape->k * (double)shape->n;
    bool square = shape->k == 4096;
    bool small = m < 64;
    return !square && products < 2.6e9 && m != 2 && m != 8 &&
           (!small || (shape->n == 3072 && threads == 1)) && (threads == 1 || m != 512);
}

/* One line for each peer. */
static void write_cell(const struct goal_options *options, const struct gemm_cell *c)
{
    for (unsigned p = 1; c->measured && p < PEER_COUNT; p++) {
        const struct bench_interval *x = &c->ratio[p];
        if (!isnan(x->median)) {
            goal_row(
                options,
                "k\tn\tm\tthreads\tweights\tpeer\tgflops\tpeer_gflops\tratio\tlow\thigh\t"
                "peak_share\troof_share\trounds",
                "gemm\t%zu\t%zu\t%zu\t%zu\t%s\t%s\t%.2f\t%.2f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%zu",
                c->shape->k, c->shape->n, c->m, c->threads, c->cold ? "cold" : "hot",
                peer_name((enum peer_id)p), c->gflops, c->rate[p], x->median, x->low, x->high,
                c->peak.median, c->cold ? c->roof.median : (double)NAN, c->rounds);
        }
    }
}

static bool measure_shape(const struct goal_options *options, struct gemm_cell *cells, size_t count)
{
    struct cell_run run = {0};
    bool first = true, agreed = true;
    size_t most = 0;
    for (size_t i = 0; i < count; i++) {
        most = cells[i].m > most ? cells[i].m : most;
    }
    for (size_t i = 0; i < count && agreed && iol_seconds() < options->deadline; i++) {
        if (first) {
            gemm_data_open(cells[i].shape, cells[i].cold, most, &run.data);
        }
        agreed = prepare_cell(options, &run, &cells[i], first);
        first = false;
        if (agreed) {
            measure_cell(options, &run, &cells[i]);
            print_cell(&cells[i]);
            write_cell(options, &cells[i]);
        }
    }
    for (unsigned p = 0; p < PEER_COUNT; p++) {
        struct contender *c = &run.contenders[p];
        const char *reason;
        if (c->prepared) { /* also of one that has left the last cell */
            peer_get((enum peer_id)p, &reason)->release(c->prepared);
        }
        bench_samples_free(&c->seconds);
    }
    bench_samples_free(&run.peaks);
    bench_samples_free(&run.reads);
    if (!first) {
        gemm_data_close(&run.data);
    }
    return agreed;
}

void goal_gemm_measure(const struct goal_options *options, struct gemm_cells *out)
{
    const size_t most = options->thread_count_count * 2 * GEMM_SHAPES * GEMM_ROWS;
    *out = (struct gemm_cells){.cells = calloc(most, sizeof *out->cells)};
    if (!out->cells) {
        fprintf(stderr, "iolaus_bench: out of memory\n");
        exit(2);
    }
    for (size_t t = 0; t < options->thread_count_count; t++) {
        for (size_t i = 0; i < (size_t)2 * GEMM_SHAPES; i++) {
            const struct gemm_shape *shape = &gemm_shapes[i % GEMM_SHAPES];
            size_t begin = out->count, threads = options->thread_counts[t];
            for (size_t r = 0; r < GEMM_ROWS; r++) {
                if (in_list(options, shape, gemm_rows[r], threads)) {
                    out->cells[out->count++] = (struct gemm_cell){.shape = shape,
                                                                  .m = gemm_rows[r],
                                                                  .threads = threads,
                                                                  .cold = i >= GEMM_SHAPES};
                }
            }
            if (!measure_shape(options, out->cells + begin, out->count - begin)) {
                out->wrong = true;
                return;
            }
        }
    }
    for (size_t i = 0; i < out->count; i++) {
        out->measured += out->cells[i].measured;
    }
}
