/* K8: prefill of one prompt of 128 tokens through whole models, logits of its last position, f32,
 * beside PyTorch and llama.cpp, which live in the Python process. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "bench_prefill.h"
#include "goals.h"
#include "iolaus/status.h"
#include "peers/python_peer.h"
#include "pool.h"

enum { TOKENS = 128, MODELS = 3, ENGINES = 3, MIN_ROUNDS = 9, PATH_BYTES = 512 };
static const double target = 1.3, close_enough = 0.02, leaves_at = 1.3;

/* Who runs the prompt besides us, and how far its logits may be from ours, as a share of their
 * spread. llama.cpp is not f32-exact: its GELU reads a table of 16-bit numbers. */
static const struct engine {
    const char *name;
    double tolerance;
} engines[ENGINES] = {{"torch", 1e-3}, {"transformers", 1e-3}, {"llama.cpp", 1e-2}};

/* With random weights of a shape of make_shape.py, or (NULL) the folder of IOL_BENCH_MODEL. */
static const struct {
    const char *name, *shape;
    bool full_only;
} models[MODELS] = {{"gpt2-small", "gpt2-small", false},
                    {"stories15M", NULL, false},
                    {"llama-135m", "llama-135m", true}};

struct cell {
    const char *model;
    size_t threads;
    bool disturbed;
    struct bench_interval ratio; /* to the best of the engines */
    double share;                /* of the peak */
};

struct contender {
    size_t id;                    /* in the Python process; 0: not here, or left */
    struct bench_samples seconds; /* of one pass, per round */
};

struct run {
    const char *model;
    size_t threads;
    struct prefill *ours;
    struct contender contenders[ENGINES + 1]; /* the last is ours */
    struct bench_samples shares;              /* of the FMA peak of the moment */
    size_t rounds;
};

static char work[PATH_BYTES]; /* the folder of the model with random weights; "": none */

static void remove_work(void)
{
    static const char *const names[] = {"config.json", "model.safetensors"};
    char path[PATH_BYTES + 32];
    for (size_t i = 0; work[0] && i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", work, names[i]);
        (void)unlink(path);
    }
    if (work[0]) {
        (void)rmdir(work);
    }
    work[0] = '\0';
}

/* The folder of model `i`. NULL: why is in `text`. */
static const char *open_folder(size_t i, char text[PEER_TEXT])
{
    static bool registered;
    if (!models[i].shape) {
        const char *given = getenv("IOL_BENCH_MODEL");
        snprintf(text, PEER_TEXT, "IOL_BENCH_MODEL names no folder");
        return given && *given ? given : NULL;
    }
    if (!registered) {
        registered = true;
        (void)atexit(remove_work);
    }
    const char *given = getenv("TMPDIR"); /* else in memory, where that is a folder */
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(work, sizeof work, "%.400s/iolaus_bench.XXXXXX", given && *given ? given : place);
    if (!mkdtemp(work)) {
        snprintf(text, PEER_TEXT, "%.400s: no folder can be made", work);
        work[0] = '\0';
        return NULL;
    }
    return python_make_shape(models[i].shape, work, text) ? work : NULL;
}

/* The prompt of python_prefill.py. */
static void draw_tokens(int32_t tokens[TOKENS], size_t vocabulary)
{
    uint64_t state = 5;
    for (size_t i = 0; i < TOKENS; i++) {
        tokens[i] = (int32_t)iol_below(&state, vocabulary);
    }
}

/* Ours in `folder`. The number of tokens it may draw from is known only when it is open. */
static struct prefill *open_ours(const char *folder, size_t threads)
{
    int32_t tokens[TOKENS] = {0};
    struct prefill *out = NULL;
    enum iol_status status = prefill_open(folder, tokens, TOKENS, threads, &out);
    if (status == IOL_OK) {
        draw_tokens(tokens, prefill_vocabulary(out));
        prefill_close(out);
        status = prefill_open(folder, tokens, TOKENS, threads, &out);
    }
    if (status != IOL_OK) {
        fprintf(stderr, "iolaus_bench: %s\n", iol_error());
        return NULL;
    }
    prefill_run(out);
    return out;
}

/* Open everybody and compare their logits with ours. False: someone computes something else. */
static bool open_contenders(struct run *run, const char *folder)
{
    char text[PEER_TEXT];
    for (size_t e = 0; e < ENGINES; e++) {
        struct contender *c = &run->contenders[e];
        double difference, spread;
        c->id = python_open(text, run->threads, "prefill engine=%s t=%d path=%s", engines[e].name,
                            (int)TOKENS, folder);
        if (!c->id) {
            printf("skipped peer %s in %s: %s\n", engines[e].name, run->model, text);
            continue;
        }
        printf("peer %s in %s, %zu threads: %s", engines[e].name, run->model, run->threads, text);
        if (!python_check(c->id, prefill_logits(run->ours), prefill_vocabulary(run->ours),
                          &difference, &spread, text)) {
            printf("\n%s: %s\n", engines[e].name, text);
            return false;
        }
        printf("; its logits differ by %.1e of their spread\n", difference / spread);
        fflush(stdout);
        if (!(difference <= engines[e].tolerance * spread)) {
            printf("error: %s computes something else than we do\n", engines[e].name);
            return false;
        }
    }
    return true;
}

static double our_turn(struct run *run)
{
    const enum iolk_isa isa = bench_machine()->isa;
    bench_ramp_up(isa, run->threads);
    double before = bench_peak_sample(isa, run->threads, 1e-3);
    if (run->threads > 1) {
        bench_settle();
    }
    double begin = bench_clock(run->threads);
    prefill_run(run->ours);
    double took = bench_clock(run->threads) - begin;
    double peak = (before + bench_peak_sample(isa, run->threads, 1e-3)) / 2;
    bench_samples_add(&run->shares, prefill_flops(run->ours) / took / peak);
    return took;
}

static struct bench_interval ratio_to(const struct run *run, size_t e)
{
    return bench_ratio_of(&run->contenders[ENGINES].seconds, &run->contenders[e].seconds);
}

/* The fastest engine so far; ENGINES: none is here. */
static size_t best_engine(const struct run *run)
{
    size_t best = ENGINES;
    double seconds = (double)INFINITY;
    for (size_t e = 0; e < ENGINES; e++) {
        const struct contender *c = &run->contenders[e];
        double median = bench_interval_of(&c->seconds).median;
        if (c->id && median < seconds) {
            best = e;
            seconds = median;
        }
    }
    return best;
}

/* Turns until the interval of the ratio to the best is narrow, or `seconds` are over. */
static void take_turns(struct run *run, double seconds)
{
    const double begin = iol_seconds();
    for (;; run->rounds++) {
        const size_t best = best_engine(run), round = run->rounds;
        if (round == 3) { /* who is far behind leaves */
            double limit = leaves_at * bench_interval_of(&run->contenders[best].seconds).median;
            for (size_t e = 0; e < ENGINES; e++) {
                struct contender *c = &run->contenders[e];
                if (c->id && bench_interval_of(&c->seconds).median > limit) {
                    python_close(c->id);
                    c->id = 0;
                }
            }
        }
        if (round >= MIN_ROUNDS) {
            struct bench_interval r = ratio_to(run, best);
            if ((r.high < r.median * (1 + close_enough) && r.low > r.median * (1 - close_enough)) ||
                iol_seconds() - begin > seconds) {
                return;
            }
        }
        for (size_t i = 0; i <= ENGINES; i++) {
            struct contender *c = &run->contenders[(i + round) % (ENGINES + 1)];
            if (c == &run->contenders[ENGINES]) {
                bench_samples_add(&c->seconds, our_turn(run));
            } else if (c->id) {
                bench_samples_add(&c->seconds, python_turn(c->id, 1));
            }
        }
    }
}

static void print_cell(const struct run *run, const struct cell *cell, size_t best)
{
    const double ours = bench_interval_of(&run->contenders[ENGINES].seconds).median;
    printf("cell prefill %s %d tokens t %zu: %.0f tokens/s, %.1f%% of peak; best %s %.0f, ratio "
           "%.3f [%.3f %.3f]",
           run->model, (int)TOKENS, run->threads, TOKENS / ours,
           100 * bench_interval_of(&run->shares).median, engines[best].name,
           TOKENS / bench_interval_of(&run->contenders[best].seconds).median, cell->ratio.median,
           cell->ratio.low, cell->ratio.high);
    for (size_t e = 0; e < ENGINES; e++) {
        if (e != best && run->contenders[e].seconds.count) {
            printf(", %s %.2f", engines[e].name, ratio_to(run, e).median);
        }
    }
    printf("; %zu rounds%s\n", run->rounds,
           cell->disturbed ? ", disturbed by other processes" : "");
    fflush(stdout);
}

/* False: someone computes something else, or we cannot. `cell->model` stays NULL where there is
 * nobody to compare with. */
static bool measure(const struct goal_options *options, const char *model, const char *folder,
                    size_t threads, struct cell *cell)
{
    struct run run = {.model = model, .threads = threads, .ours = open_ours(folder, threads)};
    bool ok = run.ours && open_contenders(&run, folder);
    bool anybody = false;
    for (size_t e = 0; e < ENGINES; e++) {
        anybody |= run.contenders[e].id > 0;
    }
    if (ok && anybody) {
        const double begin = iol_seconds(), foreign = goal_foreign_seconds();
        take_turns(&run, options->full ? 2 * options->cell_seconds : options->cell_seconds);
        const double share = (goal_foreign_seconds() - foreign) / (iol_seconds() - begin);
        const size_t best = best_engine(&run);
        *cell = (struct cell){model, threads, threads > 1 && share > 0.1, ratio_to(&run, best),
                              bench_interval_of(&run.shares).median};
        print_cell(&run, cell, best);
        for (size_t e = 0; e < ENGINES; e++) {
            if (run.contenders[e].seconds.count) {
                const struct bench_interval ratio = ratio_to(&run, e);
                goal_row(options,
                         "model\tthreads\tpeer\ttokens_per_second\tpeak_share\tratio\tlow\thigh\t"
                         "rounds\tdisturbed",
                         "prefill\t%s\t%zu\t%s\t%.1f\t%.4f\t%.4f\t%.4f\t%.4f\t%zu\t%d", run.model,
                         run.threads, engines[e].name,
                         TOKENS / bench_interval_of(&run.contenders[ENGINES].seconds).median,
                         bench_interval_of(&run.shares).median, ratio.median, ratio.low, ratio.high,
                         run.rounds, cell->disturbed);
            }
        }
    }
    for (size_t e = 0; e <= ENGINES; e++) {
        python_close(run.contenders[e].id);
        bench_samples_free(&run.contenders[e].seconds);
    }
    bench_samples_free(&run.shares);
    prefill_close(run.ours);
    return ok;
}

static void judge(const struct cell *cells, size_t threads, const char *skipped,
                  struct goal_report *report)
{
    char reason[GOAL_TEXT], needs[80] = "";
    size_t count = 0, missed = 0, disturbed = 0;
    const struct cell *worst = NULL;
    for (size_t i = 0; i < (size_t)2 * MODELS; i++) {
        const struct cell *c = &cells[i];
        if (!c->model || c->threads != threads) {
            continue;
        }
        disturbed += c->disturbed;
        if (!c->disturbed) {
            count++;
            missed += c->ratio.high < target;
            worst = !worst || c->ratio.median < worst->ratio.median ? c : worst;
        }
    }
    if (!worst) {
        snprintf(reason, sizeof reason, "t %zu, whole-model prefill: %s%s", threads,
                 disturbed ? "other processes were busy in every cell" : "nothing was measured",
                 skipped);
        goal_skip(report, "K8", target, reason);
        return;
    }
    const double needed = goal_needs(worst->share, worst->ratio.median, target);
    if (missed && needed > goal_reach) {
        snprintf(needs, sizeof needs, " (would need %.2f of the peak)", needed);
    }
    snprintf(reason, sizeof reason,
             "t %zu, prefill of %d tokens over the best of PyTorch and llama.cpp; %zu models, %zu "
             "missed, %zu left out (disturbed); worst %s: %.3f [%.3f %.3f]%s%s",
             threads, (int)TOKENS, count, missed, disturbed, worst->model, worst->ratio.median,
             worst->ratio.low, worst->ratio.high, needs, skipped);
    goal_line(report, "K8", worst->ratio.median, target, missed == 0, reason);
}

void goal_prefill(const struct goal_options *options, struct goal_report *report)
{
    struct cell cells[2 * MODELS] = {{0}};
    char text[PEER_TEXT], skipped[GOAL_TEXT / 2] = "";
    const char *reason;
    size_t count = 0;
    if (!goal_wanted(options, "K8")) {
        return;
    }
    if (!python_here(&reason)) {
        goal_skip(report, "K8", target, reason);
        return;
    }
    for (size_t i = 0; i < MODELS && iol_seconds() < options->deadline; i++) {
        const bool left = models[i].full_only && !options->full;
        const char *folder = left ? NULL : open_folder(i, text);
        for (size_t t = 0; folder && t < options->thread_count_count; t++) {
            report->wrong |= !measure(options, models[i].name, folder, options->thread_counts[t],
                                      &cells[count++]);
        }
        if (!folder) {
            const size_t used = strlen(skipped);
            snprintf(skipped + used, sizeof skipped - used, "; skipped %s: %.120s", models[i].name,
                     left ? "--full only" : text);
        }
        remove_work();
    }
    for (size_t t = 0; t < options->thread_count_count; t++) {
        judge(cells, options->thread_counts[t], skipped, report);
    }
}
