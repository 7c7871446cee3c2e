/* K5: the fused unembedding over the plain GEMM. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "bench_unembed.h"
#include "goals.h"

static const double target = 0.90, close_enough = 0.02;
enum { MIN_ROUNDS = 9, MAX_ROUNDS = 400 };

/* Everything that both ways keep, as bits. */
static bool same_results(struct unembed_call *call)
{
    const struct unembed_kept *kept = call->kept;
    struct unembed_kept *stored = malloc(call->rows * sizeof *stored);
    struct iol_logit_stats *stats = malloc(call->rows * sizeof *stats);
    bool same = stored && stats;
    if (same) {
        unembed_stored(call);
        memcpy(stored, kept, call->rows * sizeof *stored);
        for (size_t r = 0; r < call->rows; r++) {
            stats[r] = call->row[r].stats;
        }
        memset(call->logits, 0, call->rows * call->packed.n * sizeof *call->logits);
        unembed_fused(call);
        same = memcmp(stored, kept, call->rows * sizeof *stored) == 0;
        for (size_t r = 0; same && r < call->rows; r++) {
            same = memcmp(&stats[r], &call->row[r].stats, sizeof stats[r]) == 0;
        }
    }
    free(stored);
    free(stats);
    return same;
}

/* Rate over that of the product, by turns. */
static struct bench_interval measure(struct unembed_call *call, double seconds)
{
    struct bench_samples ratios = {0};
    struct bench_interval x = {0};
    const size_t batch = bench_batch_size(unembed_product, call, 2e-3);
    const double start = iol_seconds();
    while (ratios.count < MAX_ROUNDS &&
           (ratios.count < MIN_ROUNDS || iol_seconds() - start < seconds)) {
        double took[2];
        for (size_t i = 0; i < 2; i++) {
            const size_t way = (i + ratios.count) % 2;
            const double begin = bench_clock(1);
            for (size_t j = 0; j < batch; j++) {
                (way ? unembed_fused : unembed_product)(call);
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

void goal_unembed(const struct goal_options *options, struct goal_report *report)
{
    static const size_t shapes[][2] = {{768, 50257}, {768, 128256}, {640, 262144}};
    static const size_t rows[] = {1, 8, 64};
    struct bench_interval worst = {2, 2, 2};
    size_t worst_n = 0, worst_m = 0, missed = 0;
    if (!goal_wanted(options, "K5")) {
        return;
    }
    for (size_t i = 0; i < 9; i++) {
        const size_t k = shapes[i / 3][0], n = shapes[i / 3][1], m = rows[i % 3];
        static struct unembed_call call;
        if (i % 3 == 0) {
            unembed_open(k, n, rows[2], &call);
        }
        call.rows = m;
        if (m == 8 && !same_results(&call)) {
            printf("K5 k %zu n %zu m %zu: fused and stored logits differ\n", k, n, m);
            report->wrong = true;
        }
        struct bench_interval x = measure(&call, options->cell_seconds / 3);
        printf("K5 k %zu n %zu m %zu: %.3f [%.3f %.3f] of the product's rate\n", k, n, m, x.median,
               x.low, x.high);
        goal_row(options, "k\tn\tm\tratio\tlow\thigh", "unembed\t%zu\t%zu\t%zu\t%.4f\t%.4f\t%.4f",
                 k, n, m, x.median, x.low, x.high);
        missed += x.high < target;
        if (x.median < worst.median) {
            worst = x;
            worst_n = n;
            worst_m = m;
        }
        if (i % 3 == 2) {
            unembed_close(&call);
        }
    }
    char reason[256];
    snprintf(
        reason, sizeof reason,
        "t 1, rate over that of the plain GEMM; arg-max, log-sum-exp, sum, %d chosen, top %d; 9 "
        "cells, %zu missed; worst n %zu m %zu: %.3f [%.3f %.3f]",
        (int)UNEMBED_CHOSEN, (int)UNEMBED_TOP, missed, worst_n, worst_m, worst.median, worst.low,
        worst.high);
    goal_line(report, "K5", worst.median, target, missed == 0, reason);
}
