/* perf/scaling: products, attention and a sweep on 1 to N cores, against what the cores' own FMA
 * rate does: a table, and JSON with --json FILE.
 *
 * Thread counts take turns, FMA samples stand between the turns. Speed-up is over one thread of the
 * same round; efficiency is the speed-up over that of the FMA peak: what is lost to the work and
 * not to the machine (clocks, neighbours). Medians over rounds. */
#define _GNU_SOURCE
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "driver/attention.h"
#include "driver/gemm_team.h"
#include "iolaus/experiment.h"
#include "measure.h"
#include "placement.h"

enum { COUNTS = 16, CASES = 3, HEADS = 12, HEAD_DIM = 64, KEYS = 512, M = 128, N = 3072, K = 768 };
static const double turn_seconds = 0.02;

static struct placement placement;
static size_t counts[COUNTS], count_count;
static struct iol_team *teams[COUNTS];

static float *clear_floats(size_t count, uint64_t seed)
{
    float *p = bench_floats(count);
    bench_fill(p, count, seed);
    return p;
}

static void must(enum iol_status status)
{
    if (status != IOL_OK) {
        fprintf(stderr, "iolaus_scaling: %s\n", iol_error());
        exit(1);
    }
}

/* --- what is run; each returns FLOP/s of one turn on counts[t] threads --- */

static double gemm_turn(size_t t)
{
    static struct iol_packed b = {.n = N, .k = K};
    static float *a, *c;
    if (!a) {
        float *w = clear_floats((size_t)N * K, 1);
        a = clear_floats((size_t)M * K, 2);
        c = bench_floats((size_t)M * N);
        b.panels = bench_floats(iol_packed_floats(N, K));
        iol_pack_rows_f32(w, K, 0, N, &b);
        free(w);
    }
    uint64_t flops = 0;
    double begin = iol_seconds(), now;
    do {
        iol_gemm_team(teams[t], &bench_machine()->ops, M, a, K, &b, NULL, c, N, &flops);
        now = iol_seconds();
    } while (now - begin < turn_seconds);
    return (double)flops / (now - begin);
}

struct prompt {
    struct iol_attention call;
    float *workspaces[PLACES]; /* one a worker */
};

static void attend(void *user, size_t task, size_t worker)
{
    const struct prompt *p = user;
    iol_attention_task(&p->call, task, p->workspaces[worker]);
}

static double attention_turn(size_t t)
{
    static struct prompt p;
    static const struct iol_heads heads = {
        .heads = HEADS, .kv_heads = HEADS, .head_dim = HEAD_DIM, .scale = 0.125F};
    static const struct iol_keys none;
    static struct iol_keys own = {.ld_kt = KEYS, .ld_v = (size_t)HEADS * HEAD_DIM, .count = KEYS};
    const size_t width = (size_t)HEADS * HEAD_DIM, floats = width * KEYS;
    if (!p.call.ops) {
        own.kt = clear_floats(floats, 4);
        own.v = clear_floats(floats, 5);
        p.call = (struct iol_attention){.ops = &bench_machine()->ops,
                                        .heads = &heads,
                                        .shared = &none,
                                        .own = &own,
                                        .rows = KEYS,
                                        .q = clear_floats(floats, 3),
                                        .ld_q = width,
                                        .z = bench_floats(floats),
                                        .ld_z = width};
        for (size_t i = 0; i < counts[count_count - 1]; i++) {
            p.workspaces[i] = bench_floats(iol_attention_workspace(KEYS));
        }
    }
    uint64_t flops = 0;
    double begin = iol_seconds(), now;
    do {
        iol_team_run(teams[t], iol_attention_tasks(&p.call), attend, &p);
        flops += iol_attention_flops(&p.call);
        now = iol_seconds();
    } while (now - begin < turn_seconds);
    return (double)flops / (now - begin);
}

/* The carried model, or --model: zero and resample at every sublayer. */
static const char *model_folder;
static size_t prompt_limit = 48;

static double sweep_turn(size_t t)
{
    struct iol_ctx_settings settings;
    struct iol_run_settings run;
    struct iol_ctx *ctx = NULL;
    struct iol_model *model = NULL;
    struct iol_experiment *experiment = NULL;
    struct iol_results *results = NULL;
    struct iol_bill_numbers bill = {.struct_size = sizeof bill};
    char *prompts = iol_path_join(model_folder, "prompts.jsonl");
    iol_ctx_settings_default(&settings);
    settings.threads = counts[t];
    settings.isa = getenv("IOL_ISA");
    iol_run_settings_default(&run);
    run.prompts = prompts;
    run.limit = prompt_limit;
    must(iol_ctx_open(&settings, &ctx));
    must(iol_model_open(ctx, model_folder, &model));
    must(iol_experiment_open(ctx, model, model_folder, &run, &experiment));
    must(iol_experiment_run(experiment, NULL, NULL, &results));
    must(iol_results_bill(results, &bill));
    iol_results_close(results);
    iol_experiment_close(experiment);
    iol_model_close(model);
    iol_ctx_close(ctx);
    iol_free(prompts);
    return (double)(bill.flops_capture + bill.flops_waves) /
           (bill.seconds_capture + bill.seconds_waves);
}

static const struct {
    const char *name;
    double (*turn)(size_t t);
} cases[CASES] = {{"gemm k 768 n 3072 m 128", gemm_turn},
                  {"attention 12 x 64, T 512", attention_turn},
                  {"sweep of the model", sweep_turn}};

/* --- rounds --- */

struct cell {
    struct bench_samples rates, speedups, peak_speedups, efficiencies, shares;
};
static struct cell cells[CASES][COUNTS];

struct peak_sample {
    double rates[PLACES];
};

static void sample_peak(void *user, size_t task, size_t worker)
{
    struct peak_sample *sample = user;
    (void)worker;
    sample->rates[task] = bench_peak_sample(bench_machine()->isa, 1, 2e-3);
}

/* On the team and not on OpenMP's threads: those would spin on into the turn that follows. */
static double peak(size_t t)
{
    static struct peak_sample sample;
    double sum = 0;
    iol_team_run(teams[t], counts[t], sample_peak, &sample);
    for (size_t i = 0; i < counts[t]; i++) {
        sum += sample.rates[i];
    }
    return sum;
}

static void run_round(size_t round)
{
    for (size_t c = 0; c < CASES; c++) {
        double rates[COUNTS], peaks[COUNTS];
        for (size_t i = 0; i < count_count; i++) {
            const size_t t = (i + round) % count_count; /* the order rotates */
            placement_bind(&placement, 0, counts[t]);
            const double before = peak(t);
            rates[t] = cases[c].turn(t);
            peaks[t] = (before + peak(t)) / 2;
        }
        for (size_t t = 0; round > 0 && t < count_count; t++) { /* the first warms up */
            struct cell *cell = &cells[c][t];
            bench_samples_add(&cell->rates, rates[t]);
            bench_samples_add(&cell->speedups, rates[t] / rates[0]);
            bench_samples_add(&cell->peak_speedups, peaks[t] / peaks[0]);
            bench_samples_add(&cell->efficiencies, rates[t] / rates[0] / (peaks[t] / peaks[0]));
            bench_samples_add(&cell->shares, rates[t] / peaks[t]);
        }
    }
}

static double middle(const struct bench_samples *samples)
{
    return bench_interval_of(samples).median;
}

static void print_table(void)
{
    printf("%-26s %7s %9s %8s %8s %11s %7s\n", "", "threads", "GFLOP/s", "speed-up", "of FMA",
           "efficiency", "peak %");
    for (size_t c = 0; c < CASES; c++) {
        for (size_t t = 0; t < count_count; t++) {
            const struct cell *cell = &cells[c][t];
            printf("%-26s %7zu %9.1f %8.2f %8.2f %11.3f %7.1f\n", t ? "" : cases[c].name, counts[t],
                   middle(&cell->rates) / 1e9, middle(&cell->speedups),
                   middle(&cell->peak_speedups), middle(&cell->efficiencies),
                   100 * middle(&cell->shares));
        }
    }
}

static bool write_json(const char *path)
{
    FILE *f = fopen(path, "w");
    char text[256];
    if (!f) {
        return false;
    }
    bench_machine_text(text, sizeof text);
    fprintf(f, "{\n  \"machine\": \"%s\",\n  \"placement\": \"%s\",\n  \"processors\": [", text,
            placement.source);
    for (size_t i = 0; i < placement.count; i++) {
        fprintf(f, "%s%d", i ? ", " : "", placement.processors[i]);
    }
    fprintf(f, "],\n  \"cells\": [");
    for (size_t i = 0; i < CASES * count_count; i++) {
        const struct cell *cell = &cells[i / count_count][i % count_count];
        const struct bench_interval efficiency = bench_interval_of(&cell->efficiencies);
        fprintf(f,
                "%s\n    {\"case\": \"%s\", \"threads\": %zu, \"gflops\": %.2f, \"speedup\": %.4f, "
                "\"peak_speedup\": %.4f, \"efficiency\": %.4f, \"efficiency_low\": %.4f, "
                "\"efficiency_high\": %.4f, \"peak_share\": %.4f}",
                i ? "," : "", cases[i / count_count].name, counts[i % count_count],
                middle(&cell->rates) / 1e9, middle(&cell->speedups), middle(&cell->peak_speedups),
                efficiency.median, efficiency.low, efficiency.high, middle(&cell->shares));
    }
    fprintf(f, "\n  ]\n}\n");
    return fclose(f) == 0;
}

static const char *zoo_model(void)
{
    glob_t found;
    const char *folder = NULL;
    if (glob(IOL_SOURCE_DIR "/bench/zoo/*/config.json", 0, NULL, &found) == 0) {
        folder = iol_strndup(found.gl_pathv[0], strlen(found.gl_pathv[0]) - strlen("/config.json"));
        globfree(&found);
    }
    return folder;
}

static int usage(int status)
{
    fprintf(status ? stderr : stdout,
            "usage: iolaus_scaling [--rounds N] [--threads MOST] [--model FOLDER] [--prompts N] "
            "[--json FILE]\n"
            "Speed-up and efficiency of products, attention and a sweep on 1 to MOST threads (all "
            "cores), beside\nthe scaling of the FMA peak. FOLDER: model with prompts.jsonl "
            "(bench/zoo). Medians of N rounds (9).\n");
    return status;
}

int main(int argc, char **argv)
{
    size_t rounds = 9, most = 0;
    const char *json = NULL;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        return usage(0);
    }
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        size_t number = strtoul(value, NULL, 10);
        if (strcmp(argv[i], "--json") == 0 && *value) {
            json = value;
        } else if (strcmp(argv[i], "--model") == 0 && *value) {
            model_folder = value;
        } else if (strcmp(argv[i], "--rounds") == 0 && number) {
            rounds = number;
        } else if (strcmp(argv[i], "--threads") == 0 && number) {
            most = number;
        } else if (strcmp(argv[i], "--prompts") == 0 && number) {
            prompt_limit = number;
        } else {
            return usage(2);
        }
    }
    placement_find(&placement);
    most = most && most < placement.count ? most : placement.count;
    for (size_t t = 1; t < most && count_count<COUNTS - 1; t += most> 8 ? t : 1) {
        counts[count_count++] = t;
    }
    counts[count_count++] = most;
    model_folder = model_folder ? model_folder : zoo_model();
    if (!model_folder) {
        fprintf(stderr, "iolaus_scaling: no model in bench/zoo: give one with --model\n");
        return 2;
    }
    printf("placement: %s:", placement.source);
    for (size_t i = 0; i < most; i++) {
        printf(" %d", placement.processors[i]);
    }
    printf("\n");
    for (size_t t = 0; t < count_count; t++) {
        placement_bind(&placement, 0, counts[t]);
        teams[t] = iol_team_open(counts[t]);
        if (!teams[t]) {
            fprintf(stderr, "iolaus_scaling: %zu threads could not be started\n", counts[t]);
            return 1;
        }
    }
    for (size_t round = 0; round <= rounds; round++) {
        run_round(round);
    }
    print_table();
    for (size_t t = 0; t < count_count; t++) {
        iol_team_close(teams[t]);
    }
    if (json && !write_json(json)) {
        fprintf(stderr, "iolaus_scaling: %s: cannot be written\n", json);
        return 1;
    }
    return 0;
}
