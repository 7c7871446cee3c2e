// The one C++ file: Google Benchmark behind bench.h.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>
#include <vector>

#include "bench.h"

static benchmark::State *host(bench_state *state)
{
    return reinterpret_cast<benchmark::State *>(state);
}

void bench_register(const char *name, bench_fn *run, const void *user)
{
    benchmark::RegisterBenchmark(name, [run, user](benchmark::State &state) {
        run(reinterpret_cast<bench_state *>(&state), user);
    })->UseManualTime();
}

bool bench_keep_running(bench_state *state, size_t calls)
{
    return host(state)->KeepRunningBatch(static_cast<benchmark::IterationCount>(calls));
}

void bench_batch_took(bench_state *state, double seconds)
{
    host(state)->SetIterationTime(seconds);
}

void bench_counter(bench_state *state, const char *name, double value)
{
    host(state)->counters[name] = value;
}

void bench_label(bench_state *state, const char *text)
{
    host(state)->SetLabel(text);
}

void bench_skip(bench_state *state, const char *reason)
{
    host(state)->SkipWithError(reason);
}

// OpenMP's threads spin for milliseconds after their last work, on the cores of whoever takes the
// next turn. The library reads its settings when it is loaded, so the program starts once more.
static void spin_less(char **argv)
{
    if (std::getenv("GOMP_SPINCOUNT") == nullptr && std::getenv("OMP_WAIT_POLICY") == nullptr) {
        setenv("GOMP_SPINCOUNT", "20000", 1);
        execv("/proc/self/exe", argv);
    }
}

int main(int argc, char **argv)
{
    spin_less(argv);
    if (argc > 1 && std::strcmp(argv[1], "--goals") == 0) {
        return bench_goals(argc - 1, argv + 1);
    }
    // Many cases: a short default; a later flag wins.
    char min_time[] = "--benchmark_min_time=0.05";
    std::vector<char *> args(argv, argv + argc);
    args.insert(args.begin() + 1, min_time);
    args.push_back(nullptr);
    int count = argc + 1;
    bench_register_all();
    benchmark::Initialize(&count, args.data());
    if (benchmark::ReportUnrecognizedArguments(count, args.data())) {
        std::fprintf(stderr,
                     "or: %s --goals [--full] [--only ID,..] [--threads 1,2] [--cells F.tsv]\n",
                     argv[0]);
        return 2;
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
