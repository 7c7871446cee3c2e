/* Goal K7: with a process that spins on one of the processors, a product, attention and the sweep
 * on two threads keep their part of what is left, and their bits.
 *
 * What is left is measured by loops of FMAs on two threads that share nothing: their rate beside
 * the neighbour over that without. A call that hands pieces to two threads and waits for both is
 * slower than that where it waits for a thread that the neighbour keeps from running. */
#define _GNU_SOURCE
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "driver/attention.h"
#include "goals.h"
#include "iolaus/experiment.h"
#include "pool.h"

enum { THREADS = 2, LEAST_ROUNDS = 9, PEER_ROUNDS = 3 };
static const double target = 0.8;
/* Time slices are up to tens of milliseconds. */
static const double quiet_seconds = 0.03, beside_seconds = 0.15;

/* --- the neighbour --- */

static pid_t neighbour;

static void kill_neighbour(void)
{
    if (neighbour > 0) {
        (void)kill(neighbour, SIGKILL);
        (void)waitpid(neighbour, NULL, 0);
        neighbour = 0;
    }
}

static void spin_on_last_processor(pid_t parent)
{
    cpu_set_t set, one;
    CPU_ZERO(&one);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        _exit(1);
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
        }
    }
    if (sched_setaffinity(0, sizeof one, &one) != 0) {
        _exit(1);
    }
    while (getppid() == parent) {
        for (volatile unsigned i = 0; i < 1000000; i++) {
        }
    }
    _exit(0);
}

static bool start_neighbour(void)
{
    static bool registered;
    const pid_t parent = getpid();
    if (!registered) {
        registered = atexit(kill_neighbour) == 0;
    }
    fflush(stdout);
    neighbour = fork();
    if (neighbour == 0) {
        spin_on_last_processor(parent);
    }
    return neighbour > 0 && kill(neighbour, SIGSTOP) == 0;
}

/* --- what is measured --- */

struct case_of_k7 {
    const char *group; /* of the goal line */
    char name[96];
    bench_call_fn *call;
    void *user;
    bool (*same)(
        void *user); /* whether the last call computed what one thread alone does; or NULL */
    size_t rounds;   /* at least */
};

struct outcome {
    struct bench_interval kept, left, ratio; /* rates beside the neighbour over those without */
    bool same;
    size_t rounds, lost; /* lost: before the neighbour came they shared a core */
};

/* Calls per second, for about so long. */
static double rate_of(const struct case_of_k7 *c, double seconds)
{
    size_t calls = 0;
    double begin, now;
    bench_settle();
    begin = now = iol_seconds();
    do {
        c->call(c->user);
        calls++;
        now = iol_seconds();
    } while (now - begin < seconds);
    return (double)calls / (now - begin);
}

static struct outcome measure(const struct case_of_k7 *c, double seconds)
{
    const enum iolk_isa isa = bench_machine()->isa;
    struct bench_samples kept = {0}, left = {0}, ratios = {0};
    struct outcome out = {.same = true};
    const double begin = iol_seconds();
    c->call(c->user);
    while (out.rounds < c->rounds || iol_seconds() - begin < seconds) {
        const bool there = bench_await_processors(THREADS);
        const double peak = bench_peak_sample(isa, THREADS, quiet_seconds),
                     rate = rate_of(c, quiet_seconds);
        if (there && out.lost < BENCH_MOST_LOST && !bench_has_processors(THREADS)) {
            out.lost++; /* without a neighbour they shared a core: what is left would be too much */
            continue;
        }
        (void)kill(neighbour, SIGCONT);
        const double peak_beside = bench_peak_sample(isa, THREADS, beside_seconds),
                     rate_beside = rate_of(c, beside_seconds);
        out.same = out.same && (!c->same || c->same(c->user));
        (void)kill(neighbour, SIGSTOP);
        bench_samples_add(&kept, rate_beside / rate);
        bench_samples_add(&left, peak_beside / peak);
        bench_samples_add(&ratios, rate_beside / rate / (peak_beside / peak));
        out.rounds++;
    }
    out.kept = bench_interval_of(&kept);
    out.left = bench_interval_of(&left);
    out.ratio = bench_interval_of(&ratios);
    bench_samples_free(&kept);
    bench_samples_free(&left);
    bench_samples_free(&ratios);
    return out;
}

/* Of one case, at least. */
static double seconds_of(const struct goal_options *options)
{
    return options->full ? 8 : 2.5;
}

static struct outcome run_case(const struct goal_options *options, const struct case_of_k7 *c,
                               double seconds)
{
    const struct outcome x = measure(c, seconds);
    printf("cell neighbour %s: keeps %.3f of its rate, %.3f is left, ratio %.3f [%.3f %.3f]; %zu "
           "rounds",
           c->name, x.kept.median, x.left.median, x.ratio.median, x.ratio.low, x.ratio.high,
           x.rounds);
    if (x.lost) {
        printf(", %zu without a processor per thread", x.lost);
    }
    printf("%s\n", x.same ? "" : "; OTHER BITS");
    fflush(stdout);
    goal_row(options, "case\tkept\tleft\tratio\tlow\thigh\trounds",
             "neighbour\t%s\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%zu", c->name, x.kept.median,
             x.left.median, x.ratio.median, x.ratio.low, x.ratio.high, x.rounds);
    return x;
}

/* --- verdict --- */

struct verdict {
    double worst;
    char name[96];
    size_t cells, missed;
    bool wrong;
};

static void judge(struct verdict *v, const struct case_of_k7 *c, const struct outcome *x)
{
    v->cells++;
    v->missed += x->ratio.high < target;
    v->wrong |= !x->same;
    if (x->ratio.median < v->worst) {
        v->worst = x->ratio.median;
        snprintf(v->name, sizeof v->name, "%s", c->name);
    }
}

static void report_verdict(const char *group, const struct verdict *v, struct goal_report *report)
{
    char reason[256];
    report->wrong |= v->wrong;
    snprintf(
        reason, sizeof reason,
        "t 2, %s beside a spinning process, share of what is left; %zu cells, %zu missed; worst "
        "%s%s",
        group, v->cells, v->missed, v->name, v->wrong ? "; other bits" : "");
    goal_line(report, "K7", v->worst, target, v->missed == 0 && !v->wrong, reason);
}

/* --- products --- */

struct gemm_user {
    const struct peer *peer;
    void *prepared;
    struct gemm_data data;
    size_t m;
    float *alone; /* what one thread computes */
};

static void call_gemm(void *user)
{
    struct gemm_user *x = user;
    x->peer->run(x->prepared, 0, x->m, x->data.a, x->data.c);
}

static bool same_gemm(void *user)
{
    const struct gemm_user *x = user;
    return memcmp(x->data.c, x->alone, x->m * x->data.product.n * sizeof(float)) == 0;
}

static void run_gemm(const struct goal_options *options, const struct gemm_shape *shape, size_t m,
                     enum peer_id id, struct verdict *verdict)
{
    char text[PEER_TEXT];
    const char *why;
    struct gemm_user x = {.peer = peer_get(id, &why), .m = m};
    const bool ours = id == PEER_iolaus;
    if (!x.peer) {
        return; /* named at the head of the run */
    }
    gemm_data_open(shape, false, m, &x.data);
    x.peer->set_threads(1);
    x.prepared = x.peer->prepare(&x.data.product, m, NULL, text);
    if (ours) {
        x.alone = bench_floats(m * shape->n);
        call_gemm(&x);
        memcpy(x.alone, x.data.c, m * shape->n * sizeof(float));
    }
    x.peer->set_threads(THREADS);
    x.prepared = x.prepared ? x.peer->prepare(&x.data.product, m, x.prepared, text) : NULL;
    struct case_of_k7 c = {.call = call_gemm,
                           .user = &x,
                           .same = ours ? same_gemm : NULL,
                           .rounds = ours ? LEAST_ROUNDS : PEER_ROUNDS};
    snprintf(c.name, sizeof c.name, "gemm %s k %zu n %zu m %zu", peer_name(id), shape->k, shape->n,
             m);
    if (x.prepared) {
        const struct outcome outcome = run_case(options, &c, ours ? seconds_of(options) : 0);
        if (ours) {
            judge(verdict, &c, &outcome);
        }
    } else {
        printf("skipped cell %s: %s\n", c.name, text);
    }
    x.peer->release(x.prepared);
    gemm_data_close(&x.data);
    free(x.alone);
}

static void all_gemm(const struct goal_options *options, struct goal_report *report)
{
    static const struct {
        struct gemm_shape shape;
        size_t m;
        bool peers, full;
    } cells[] = {{{768, 768}, 16, false, false},
                 {{768, 768}, 64, true, false},
                 {{768, 3072}, 128, false, false},
                 {{288, 768}, 64, false, true},
                 {{768, 3072}, 512, true, true}};
    struct verdict verdict = {.worst = (double)INFINITY};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        if (cells[i].full && !options->full) {
            continue;
        }
        for (unsigned p = 0; p < (cells[i].peers ? (unsigned)PEER_COUNT : 1); p++) {
            if (!peer_elsewhere((enum peer_id)p)) {
                run_gemm(options, &cells[i].shape, cells[i].m, (enum peer_id)p, &verdict);
            }
        }
    }
    report_verdict("GEMM", &verdict, report);
}

/* --- attention --- */

enum { HEADS = 12, HEAD_DIM = 64, WIDTH = HEADS * HEAD_DIM };
struct attention_user {
    struct iol_heads heads;
    struct iol_keys none, own;
    struct iol_attention call;
    float *kt, *v, *q, *z, *alone, *workspace;
    size_t workspace_floats; /* of one worker */
};

static void attention_task(void *user, size_t task, size_t worker)
{
    struct attention_user *x = user;
    iol_attention_task(&x->call, task, x->workspace + worker * x->workspace_floats);
}

static void call_attention(void *user)
{
    struct attention_user *x = user;
    iol_team_run(bench_team(THREADS), iol_attention_tasks(&x->call), attention_task, x);
}

static bool same_attention(void *user)
{
    const struct attention_user *x = user;
    return memcmp(x->z, x->alone, x->call.rows * WIDTH * sizeof(float)) == 0;
}

static void run_attention(const struct goal_options *options, size_t t, struct verdict *verdict)
{
    struct attention_user x = {
        .heads = {HEADS, HEADS, HEAD_DIM, 0.125F},
        .kt = bench_floats(WIDTH * t),
        .v = bench_floats(t * WIDTH),
        .q = bench_floats(t * WIDTH),
        .z = bench_floats(t * WIDTH),
        .alone = bench_floats(t * WIDTH),
        .workspace_floats = (iol_attention_workspace(t) + 15) / 16 * 16,
    };
    x.workspace = bench_floats(THREADS * x.workspace_floats);
    bench_fill(x.kt, WIDTH * t, 1);
    bench_fill(x.v, t * WIDTH, 2);
    bench_fill(x.q, t * WIDTH, 3);
    x.own = (struct iol_keys){.kt = x.kt, .ld_kt = t, .v = x.v, .ld_v = WIDTH, .count = t};
    x.call = (struct iol_attention){.ops = &bench_machine()->ops,
                                    .heads = &x.heads,
                                    .shared = &x.none,
                                    .own = &x.own,
                                    .rows = t,
                                    .q = x.q,
                                    .ld_q = WIDTH,
                                    .z = x.alone,
                                    .ld_z = WIDTH};
    iol_team_run(NULL, iol_attention_tasks(&x.call), attention_task, &x);
    x.call.z = x.z;
    struct case_of_k7 c = {
        .call = call_attention, .user = &x, .same = same_attention, .rounds = LEAST_ROUNDS};
    snprintf(c.name, sizeof c.name, "attention causal t %zu d %d", t, (int)HEAD_DIM);
    const struct outcome outcome = run_case(options, &c, seconds_of(options));
    judge(verdict, &c, &outcome);
    free(x.workspace);
    free(x.alone);
    free(x.z);
    free(x.q);
    free(x.v);
    free(x.kt);
}

static void all_attention(const struct goal_options *options, struct goal_report *report)
{
    struct verdict verdict = {.worst = (double)INFINITY};
    run_attention(options, 128, &verdict);
    if (options->full) {
        run_attention(options, 512, &verdict);
    }
    report_verdict("attention", &verdict, report);
}

/* --- the sweep --- */

struct sweep_user {
    struct iol_ctx *ctx;
    struct iol_model *model;
    struct iol_experiment *experiment;
    enum iol_status status;
    bool started;
    char first[33], last[33]; /* digests */
};

static void call_sweep(void *user)
{
    struct sweep_user *x = user;
    struct iol_results *results = NULL;
    enum iol_status status = iol_experiment_run(x->experiment, NULL, NULL, &results);
    if (status == IOL_OK) {
        status = iol_results_digest(results, x->last);
    }
    if (!x->started) {
        memcpy(x->first, x->last, sizeof x->first);
        x->started = true;
    }
    iol_results_close(results);
    x->status = status != IOL_OK ? status : x->status;
}

static bool same_sweep(void *user)
{
    const struct sweep_user *x = user;
    return x->status == IOL_OK && strcmp(x->first, x->last) == 0;
}

static enum iol_status open_sweep(struct sweep_user *x)
{
    static const char folder[] = IOL_SOURCE_DIR "/bench/zoo/recall-6l",
                      prompts[] = IOL_SOURCE_DIR "/bench/zoo/recall-6l/prompts.jsonl";
    static const char *const does[] = {"attn_out,mlp_out=zero,resample:3"};
    enum iol_status status = IOL_OK;
    struct iol_ctx_settings settings;
    struct iol_run_settings run;
    iol_ctx_settings_default(&settings);
    settings.threads = THREADS;
    settings.isa = getenv("IOL_ISA");
    iol_run_settings_default(&run);
    run.prompts = prompts;
    run.limit = 16;
    run.does = does;
    run.do_count = 1;
    IOL_TRY(iol_ctx_open(&settings, &x->ctx));
    IOL_TRY(iol_model_open(x->ctx, folder, &x->model));
    IOL_TRY(iol_experiment_open(x->ctx, x->model, folder, &run, &x->experiment));
    call_sweep(x);
    status = x->status;
out:
    return status;
}

static void all_sweeps(const struct goal_options *options, struct goal_report *report)
{
    struct sweep_user x = {0};
    struct verdict verdict = {.worst = (double)INFINITY};
    if (open_sweep(&x) == IOL_OK) {
        const struct case_of_k7 c = {.name = "sweep recall-6l, 16 prompts",
                                     .call = call_sweep,
                                     .user = &x,
                                     .same = same_sweep,
                                     .rounds = LEAST_ROUNDS};
        const struct outcome outcome = run_case(options, &c, seconds_of(options));
        judge(&verdict, &c, &outcome);
        report_verdict("sweep", &verdict, report);
    } else {
        char reason[256];
        snprintf(reason, sizeof reason, "sweep: %s", iol_error());
        goal_skip(report, "K7", target, reason);
    }
    iol_experiment_close(x.experiment);
    iol_model_close(x.model);
    iol_ctx_close(x.ctx);
}

void goal_neighbours(const struct goal_options *options, struct goal_report *report)
{
    bool two = false;
    for (size_t i = 0; i < options->thread_count_count; i++) {
        two = two || options->thread_counts[i] == THREADS;
    }
    if (!goal_wanted(options, "K7")) {
        return;
    }
    if (!two) {
        goal_skip(report, "K7", target, "busy neighbours: needs 2 threads");
        return;
    }
    if (!start_neighbour()) {
        kill_neighbour();
        goal_skip(report, "K7", target, "busy neighbours: no second process could be started");
        return;
    }
    all_gemm(options, report);
    all_attention(options, report);
    all_sweeps(options, report);
    kill_neighbour();
}
