/* K5: the unembedding with its reductions over the plain GEMM. */
#include <stdio.h>

#include "bench_unembed.h"
#include "goals.h"

void goal_unembed(const struct goal_options *options, struct goal_report *report)
{
    static const double target = 0.90;
    struct unembed_call call;
    struct bench_samples ratios = {0};
    if (!goal_wanted(options, "K5")) {
        return;
    }
    unembed_open(768, 50257, 8, &call);
    unembed_run(&call);
    for (size_t round = 0; round < (options->full ? 60 : 15); round++) {
        double begin = bench_clock(1);
        unembed_product(&call);
        double product = bench_clock(1) - begin;
        begin = bench_clock(1);
        unembed_run(&call);
        bench_samples_add(&ratios, product / (bench_clock(1) - begin));
    }
    unembed_close(&call);
    struct bench_interval x = bench_interval_of(&ratios);
    bench_samples_free(&ratios);
    char reason[256];
    snprintf(reason, sizeof reason,
             "t 1, rate over that of the plain GEMM, k 768 n 50257 m 8 [%.3f %.3f]; argmax, "
             "log-sum-exp and sum, no top-k",
             x.low, x.high);
    goal_line(report, "K5", x.median, target, x.high >= target, reason);
}
