/* How one case of Google Benchmark is timed, and the figures that stand beside its time. */
#include "base/base.h"
#include "base/energy.h"
#include "counters.h"
#include "measure.h"

size_t bench_batch_size(bench_call_fn *call, void *user, double seconds)
{
    for (size_t calls = 1;; calls *= 2) {
        double begin = bench_clock(1);
        for (size_t i = 0; i < calls; i++) {
            call(user);
        }
        double took = bench_clock(1) - begin;
        if (took >= seconds || calls > SIZE_MAX / 4) {
            return calls;
        }
        if (took < seconds / 16) {
            calls *= 8;
        }
    }
}

/* What is sampled beside the timed batches. */
struct around {
    const struct bench_work *work;
    enum bench_level level;
    double peak, stream, stream_time; /* latest samples; when the stream was taken */
    struct bench_samples peak_shares, roof_shares;
    double counts[BENCH_COUNTERS]; /* of the batches alone */
};

static void sample_stream(struct around *around)
{
    if (around->stream == 0 || iol_seconds() - around->stream_time > 0.01) {
        around->stream =
            bench_roof_sample(around->work->isa, around->level, around->work->threads, 5e-5);
        around->stream_time = iol_seconds();
    }
}

static void add_shares(struct around *around, double rate)
{
    const struct bench_work *work = around->work;
    const double after = bench_peak_sample(work->isa, work->threads, 5e-5),
                 peak = (around->peak + after) / 2;
    around->peak = after;
    sample_stream(around);
    if (peak > 0) {
        const double fed = work->flops / work->bytes * around->stream;
        bench_samples_add(&around->peak_shares, rate / peak);
        bench_samples_add(&around->roof_shares, rate / (fed < peak ? fed : peak));
    }
}

/* Joules of one call, from a stretch of calls that is long beside the counter's steps of 1 ms; 0
 * where the machine does not show them. */
static double energy_of(bench_call_fn *call, void *user)
{
    struct iol_energy energy;
    double joules = 0, begin = iol_seconds();
    size_t calls = 0;
    iol_energy_open("", NULL, &energy);
    while (energy.count && iol_seconds() - begin < 0.05) {
        call(user);
        calls++;
    }
    joules = calls ? iol_energy_take(&energy) / (double)calls : 0;
    iol_energy_close(&energy);
    return joules;
}

static void put_counters(struct bench_state *state, const struct around *around, double made,
                         double total, double joules)
{
    const struct bench_work *work = around->work;
    bench_counter(state, "GFLOP/s", work->flops * made / total / 1e9);
    bench_counter(state, "GB/s", work->bytes * made / total / 1e9);
    if (around->peak_shares.count) {
        bench_counter(state, "peak%", 100 * bench_interval_of(&around->peak_shares).median);
        bench_counter(state, "roof%", 100 * bench_interval_of(&around->roof_shares).median);
        bench_counter(state, "level", 1 + (double)around->level);
    }
    for (size_t i = 0; i < BENCH_COUNTERS; i++) {
        if (bench_counter_there(i)) {
            bench_counter(state, bench_counter_name(i), around->counts[i] / made);
        }
    }
    if (joules > 0) {
        bench_counter(state, "joules", joules);
    }
}

void bench_time(struct bench_state *state, bench_call_fn *call, void *user,
                const struct bench_work *work)
{
    /* Bytes moved are up to 3/2 of the bytes that lie there (y = x + y). Where they are not, a
     * level too fast makes the share too small. */
    bench_time_at(state, call, user, work, bench_level_of(work->bytes * 2 / 3));
}

void bench_time_at(struct bench_state *state, bench_call_fn *call, void *user,
                   const struct bench_work *work, enum bench_level level)
{
    const size_t calls = bench_batch_size(call, user, 2e-4);
    struct around around = {.work = work, .level = level};
    double total = 0, made = 0;
    around.peak = bench_peak_sample(work->isa, work->threads, 5e-5);
    sample_stream(&around);
    while (bench_keep_running(state, calls)) {
        double from[BENCH_COUNTERS], to[BENCH_COUNTERS];
        bench_counters_read(from);
        double begin = bench_clock(work->threads);
        for (size_t i = 0; i < calls; i++) {
            call(user);
        }
        double took = bench_clock(work->threads) - begin;
        bench_counters_read(to);
        bench_batch_took(state, took);
        for (size_t i = 0; i < BENCH_COUNTERS; i++) {
            around.counts[i] += to[i] - from[i];
        }
        total += took;
        made += (double)calls;
        add_shares(&around, work->flops * (double)calls / took);
    }
    put_counters(state, &around, made, total, energy_of(call, user));
    bench_samples_free(&around.peak_shares);
    bench_samples_free(&around.roof_shares);
}
