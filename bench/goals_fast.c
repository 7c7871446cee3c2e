/* K6: products of the fast mode over exact ones, and how far apart their results are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "base/base.h"
#include "driver/gemm_fast.h"
#include "goals.h"
#include "iolaus/status.h"

static const double target = 1.0, close_enough = 0.02;
enum { MIN_ROUNDS = 9, MAX_ROUNDS = 400, MOST_ROWS = 512 };

/* Copies of one matrix, both as f32 panels and rounded, and rows to multiply. */
struct fast_call {
    struct iolk_ops exact, fast;
    struct iol_packed *copies;
    size_t count, at, m;
    float *a, *c;
    uint64_t flops;
};

static void open_call(const struct iolk_fast *fast, const struct gemm_shape *shape, bool cold,
                      struct fast_call *out)
{
    const size_t n = shape->n, k = shape->k;
    float *row = bench_floats(k);
    *out = (struct fast_call){.exact = bench_machine()->ops,
                              .fast = bench_machine()->ops,
                              .count = gemm_copies(shape, cold)};
    out->fast.fast = fast;
    out->copies = calloc(out->count, sizeof *out->copies);
    if (!out->copies) {
        fprintf(stderr, "iolaus_bench: out of memory\n");
        exit(2);
    }
    for (size_t i = 0; i < out->count; i++) {
        struct iol_packed *b = &out->copies[i];
        *b = (struct iol_packed){.n = n, .k = k};
        b->panels = bench_floats(iol_packed_floats(n, k));
        b->rounded = (uint32_t *)(void *)bench_floats(iol_rounded_words(fast, n, k));
        if (i == 0) {
            bench_fill(b->panels, iol_packed_floats(n, k), 1);
            iol_rounded_fill(fast, b, row, b->rounded);
        } else {
            memcpy(b->panels, out->copies->panels, iol_packed_floats(n, k) * sizeof(float));
            memcpy(b->rounded, out->copies->rounded,
                   iol_rounded_words(fast, n, k) * sizeof(uint32_t));
        }
    }
    out->a = bench_floats(MOST_ROWS * k);
    bench_fill(out->a, MOST_ROWS * k, 2);
    out->c = bench_floats(MOST_ROWS * n);
    free(row);
}

static void close_call(struct fast_call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        free(call->copies[i].panels);
        free(call->copies[i].rounded);
    }
    free(call->copies);
    free(call->a);
    free(call->c);
}

static void multiply(struct fast_call *call, const struct iolk_ops *ops)
{
    const struct iol_packed *b = &call->copies[call->at];
    call->at = (call->at + 1) % call->count;
    iol_gemm_block(ops, call->m, call->a, b->k, b, NULL, call->c, b->n, &call->flops);
}

static void run_exact(void *user)
{
    struct fast_call *call = user;
    multiply(call, &call->exact);
}

static void run_fast(void *user)
{
    struct fast_call *call = user;
    multiply(call, &call->fast);
}

/* The fast rate over the exact one, by turns. */
static struct bench_interval measure(struct fast_call *call, double seconds)
{
    struct bench_samples ratios = {0};
    struct bench_interval x = {0};
    const size_t batch = bench_batch_size(run_fast, call, 1e-3);
    const double start = iol_seconds();
    while (ratios.count < MAX_ROUNDS &&
           (ratios.count < MIN_ROUNDS || iol_seconds() - start < seconds)) {
        double took[2];
        for (size_t i = 0; i < 2; i++) {
            const size_t way = (i + ratios.count) % 2;
            bench_call_fn *run = way ? run_fast : run_exact;
            if (call->count == 1) {
                run(call); /* its weights back into the caches */
            }
            const double begin = bench_clock(1);
            for (size_t j = 0; j < batch; j++) {
                run(call);
            }
            took[way] = bench_clock(1) - begin;
        }
        bench_samples_add(&ratios, took[0] / took[1]);
        x = bench_interval_of(&ratios);
        if (ratios.count >= MIN_ROUNDS && x.high - x.low <= 2 * close_enough * x.median) {
            break;
        }
    }
    bench_samples_free(&ratios);
    return x;
}

/* Root of the mean square of the difference over that of the exact results, 8 rows. */
static double error_of(struct fast_call *call)
{
    const size_t count = 8 * call->copies->n;
    double difference = 0, size = 0;
    float *exact = bench_floats(count);
    call->m = 8;
    run_exact(call);
    memcpy(exact, call->c, count * sizeof *exact);
    run_fast(call);
    for (size_t i = 0; i < count; i++) {
        const double d = (double)call->c[i] - (double)exact[i];
        difference += d * d;
        size += (double)exact[i] * (double)exact[i];
    }
    free(exact);
    return sqrt(difference / size);
}

/* Both operands rounded, by at most 2^-9 of themselves or a 254th of the largest of 32: far more is
 * no rounding. */
static double most_error(const struct iolk_fast *fast)
{
    return fast->format == IOLK_FAST_INT8 ? 1.0 / 50 : 1.0 / 128;
}

struct outcome {
    double logs, error;
    size_t cells, missed;
    struct bench_interval worst;
    char worst_cell[96];
};

static void measure_all(const struct goal_options *options, const struct iolk_fast *fast,
                        struct outcome *out)
{
    static const struct gemm_shape shapes[] = {{768, 3072}, {3072, 768}, {2048, 8192}};
    static const size_t rows[] = {1, 4, 16, 64, 512};
    *out = (struct outcome){.worst = {(double)INFINITY, (double)INFINITY, (double)INFINITY}};
    for (size_t i = 0; i < (options->full ? 6U : 4U); i++) {
        const bool cold = i % 2;
        const struct gemm_shape *shape = &shapes[i / 2];
        struct fast_call call;
        open_call(fast, shape, cold, &call);
        double here = error_of(&call);
        out->error = here > out->error ? here : out->error;
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            call.m = rows[r];
            struct bench_interval x = measure(&call, options->cell_seconds / 3);
            char cell[96];
            snprintf(cell, sizeof cell, "k %zu n %zu m %zu %s", shape->k, shape->n, call.m,
                     cold ? "cold" : "hot");
            printf("K6 %s %s: %.3f [%.3f %.3f] of the exact rate\n", fast->name, cell, x.median,
                   x.low, x.high);
            goal_row(options, "format\tk\tn\tm\tweights\tratio\tlow\thigh",
                     "fast\t%s\t%zu\t%zu\t%zu\t%s\t%.4f\t%.4f\t%.4f", fast->name, shape->k,
                     shape->n, call.m, cold ? "cold" : "hot", x.median, x.low, x.high);
            out->logs += log(x.median);
            out->cells++;
            out->missed += x.high < target;
            if (x.median < out->worst.median) {
                out->worst = x;
                memcpy(out->worst_cell, cell, sizeof cell);
            }
        }
        close_call(&call);
    }
}

void goal_fast(const struct goal_options *options, struct goal_report *report)
{
    if (!goal_wanted(options, "K6")) {
        return;
    }
    /* What the mode chooses here is held to the goal; --full shows the other formats, too. */
    const struct iolk_fast *chosen, *fast;
    double rate;
    if (iol_arithmetic_choose("fast", &bench_machine()->ops, bench_machine()->mask, &chosen,
                              &rate) != IOL_OK) {
        goal_skip(report, "K6", target, iol_error());
    }
    for (size_t i = 0; (fast = iolk_fast_get(i)); i++) {
        if (fast != chosen && !(options->full && iolk_fast_runs(fast, bench_machine()->mask))) {
            continue;
        }
        struct outcome x;
        char reason[400];
        measure_all(options, fast, &x);
        if (!(x.error < most_error(fast))) {
            printf("K6 results are %g away from exact ones\n", x.error);
            report->wrong = true;
        }
        snprintf(reason, sizeof reason,
                 "t 1, %s (%s), fast over exact products; %zu cells, %zu missed, geometric mean "
                 "%.2f; error (rms over rms) %.1e; worst %s: %.3f [%.3f %.3f]",
                 fast->isa, fast->text, x.cells, x.missed, exp(x.logs / (double)x.cells), x.error,
                 x.worst_cell, x.worst.median, x.worst.low, x.worst.high);
        if (fast == chosen) {
            goal_line(report, "K6", x.worst.median, target, x.missed == 0, reason);
        } else {
            printf("K6 not chosen here: %s\n", reason);
        }
    }
}
