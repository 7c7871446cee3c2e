/* Goals of attention: shares of the peak, over PyTorch, 2 threads over 1 (K3a - K3d). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "bench_attention.h"
#include "goals.h"
#include "peers/python_peer.h"

enum { MIN_ROUNDS = 9, MAX_CELLS = 1200 };
static const double batch_seconds = 2e-3, close_enough = 0.02;

enum measure { SHARE, OVER_TORCH, SPEED_UP, MEMORY, MEASURES };

struct attention_cell {
    struct attention_shape shape;
    size_t threads, rounds, lost;
    bool measured, disturbed;
    struct bench_interval of[MEASURES]; /* NaN: not measured here */
};

struct attention_goal {
    const char *id, *group;
    enum measure measure;
    bool branches;
    size_t threads, least_keys, most_keys, least_dim, most_dim, least_rows;
    double target;
};

enum { ANY = 1 << 20 };
static const struct attention_goal goals[] = {
    {"K3a", "over SDPA, T <= 128", OVER_TORCH, false, 1, 0, 128, 0, ANY, 0, 2.2},
    {"K3a", "over SDPA, T = 512", OVER_TORCH, false, 1, 512, 512, 0, ANY, 0, 2.0},
    {"K3a", "over SDPA, T >= 1024", OVER_TORCH, false, 1, 1024, ANY, 0, ANY, 0, 1.55},
    {"K3a", "over SDPA, T <= 128", OVER_TORCH, false, 2, 0, 128, 0, ANY, 0, 2.2},
    {"K3a", "over SDPA, T = 512", OVER_TORCH, false, 2, 512, 512, 0, ANY, 0, 2.0},
    {"K3a", "over SDPA, T >= 1024", OVER_TORCH, false, 2, 1024, ANY, 0, ANY, 0, 1.55},
    {"K3b", "causal, T >= 512, d >= 64, share of peak", SHARE, false, 1, 512, ANY, 64, ANY, 0, .72},
    {"K3b", "causal, T >= 512, d < 64, share of peak", SHARE, false, 1, 512, ANY, 0, 63, 0, 0.58},
    {"K3b", "causal, T = 128, d >= 64, share of peak", SHARE, false, 1, 128, 128, 64, ANY, 0, 0.55},
    {"K3c", "causal, T >= 128, over 1 thread", SPEED_UP, false, 2, 128, ANY, 0, ANY, 0, 1.85},
    {"K3d", "branches, B >= 64, T = 512, d >= 64, share of peak", SHARE, true, 1, 512, 512, 64, ANY,
     64, 0.72},
    {"K3d", "branches, B >= 64, T = 128, d >= 64, share of peak", SHARE, true, 1, 128, 128, 64, ANY,
     64, 0.60},
    {"K3d", "branches, over torch matmul + softmax", OVER_TORCH, true, 1, 0, ANY, 0, ANY, 0, 2.0},
};
enum { GOALS = sizeof goals / sizeof *goals };

/* --- one cell --- */

struct cell_run {
    struct attention_call call;
    struct bench_samples samples[MEASURES];
    size_t calls, torch, torch_calls; /* torch: its number, 0 not here */
};

static void add(struct attention_cell *cell, struct cell_run *run, enum measure measure,
                double value)
{
    bench_samples_add(&run->samples[measure], value);
    cell->of[measure] = bench_interval_of(&run->samples[measure]);
}

/* Of the shared keys and values: one branch reads them once, for one FMA each. */
static double key_bytes(const struct attention_call *call)
{
    return 2.0 * sizeof(float) * (double)call->heads.kv_heads * (double)call->heads.head_dim *
           (double)call->attention.shared->count;
}

/* Seconds of a call by so many threads, after those that are not timed. */
static double our_turn(struct cell_run *run, struct iol_team *team, size_t clock_threads)
{
    const double until = iol_seconds() + bench_warm_seconds;
    run->call.team = team;
    do {
        attention_run(&run->call);
    } while (iol_seconds() < until);
    const double begin = bench_clock(clock_threads);
    for (size_t i = 0; i < run->calls; i++) {
        attention_run(&run->call);
    }
    return (bench_clock(clock_threads) - begin) / (double)run->calls;
}

/* False: its threads did not have their processors; nothing is kept. */
static bool one_round(struct attention_cell *cell, struct cell_run *run, struct iol_team *team,
                      size_t round)
{
    const enum iolk_isa isa = bench_machine()->isa;
    const double flops = attention_flops(&cell->shape);
    double torch = 0, before, one, ours;
    if (run->torch && round % 2 == 0) {
        torch = python_turn(run->torch, run->torch_calls) / (double)run->torch_calls;
    }
    if (!bench_await_processors(cell->threads)) {
        return false;
    }
    bench_ramp_up(isa, 1);
    before = bench_peak_sample(isa, 1, 2e-4);
    one = ours = our_turn(run, NULL, cell->threads);
    if (cell->threads == 1) {
        add(cell, run, SHARE, flops / ours * 2 / (before + bench_peak_sample(isa, 1, 2e-4)));
        if (cell->shape.branches == 1) {
            const double bytes = key_bytes(&run->call);
            add(cell, run, MEMORY,
                bytes / ours /
                    bench_stream_sample(isa, bench_level_of(bytes), BENCH_READ, 1, 2e-4));
        }
    } else {
        ours = our_turn(run, team, cell->threads);
        if (!bench_has_processors(cell->threads)) {
            return false;
        }
        add(cell, run, SPEED_UP, one / ours);
    }
    if (run->torch && round % 2 == 1) {
        torch = python_turn(run->torch, run->torch_calls) / (double)run->torch_calls;
    }
    if (run->torch) {
        add(cell, run, OVER_TORCH, torch / ours);
    }
    return true;
}

static bool close_to_median(const struct bench_interval *x)
{
    return isnan(x->median) ||
           (x->high < x->median * (1 + close_enough) && x->low > x->median * (1 - close_enough));
}

/* False: it is there and computes something else, or fails. */
static bool open_torch(const struct attention_cell *cell, struct cell_run *run)
{
    const struct attention_shape *s = &cell->shape;
    const struct iol_heads *heads = &run->call.heads;
    const char *why;
    char text[PEER_TEXT];
    double difference, spread;
    if (!python_here(&why)) {
        return true;
    }
    if (s->branches) {
        run->torch =
            python_open(text, cell->threads, "branches b=%zu t=%zu d=%zu heads=%zu kv=%zu own=1",
                        s->branches, s->keys, s->head_dim, heads->heads, heads->kv_heads);
    } else {
        run->torch = python_open(text, cell->threads, "sdpa t=%zu d=%zu heads=%zu kv=%zu", s->keys,
                                 s->head_dim, heads->heads, heads->kv_heads);
    }
    attention_run(&run->call);
    if (!run->torch || !python_check(run->torch, run->call.z,
                                     run->call.attention.rows * heads->heads * s->head_dim,
                                     &difference, &spread, text)) {
        fprintf(stderr, "iolaus_bench: attention in torch: %s\n", text);
        return false;
    }
    if (!(difference < 1e-5)) {
        fprintf(stderr, "iolaus_bench: attention t %zu d %zu b %zu gqa %zu: torch differs by %g\n",
                s->keys, s->head_dim, s->branches, s->group, difference);
        return false;
    }
    const double once = python_turn(run->torch, 1);
    run->torch_calls = once > batch_seconds ? 1 : (size_t)ceil(batch_seconds / (once + 1e-9));
    return true;
}

static bool measure_cell(struct attention_cell *cell, struct iol_team *team, double seconds)
{
    struct cell_run run = {0};
    attention_open(&cell->shape, cell->threads, &run.call);
    const bool right = open_torch(cell, &run);
    const double begin = iol_seconds(), foreign = goal_foreign_seconds();
    run.calls = bench_batch_size(attention_run, &run.call, batch_seconds);
    while (right) {
        const bool narrow = close_to_median(&cell->of[SHARE]) &&
                            close_to_median(&cell->of[OVER_TORCH]) &&
                            close_to_median(&cell->of[SPEED_UP]);
        if ((cell->rounds >= MIN_ROUNDS && (narrow || iol_seconds() - begin > seconds)) ||
            cell->lost > BENCH_MOST_LOST) {
            break;
        }
        if (one_round(cell, &run, team, cell->rounds + cell->lost)) {
            cell->rounds++;
        } else {
            cell->lost++;
        }
    }
    cell->measured = right;
    cell->disturbed =
        cell->threads > 1 && (cell->rounds < MIN_ROUNDS ||
                              (goal_foreign_seconds() - foreign) > 0.1 * (iol_seconds() - begin));
    python_close(run.torch);
    for (size_t i = 0; i < MEASURES; i++) {
        bench_samples_free(&run.samples[i]);
    }
    attention_close(&run.call);
    return right;
}

static void print_cell(const struct attention_cell *cell)
{
    static const char *const texts[] = {"of peak", "over torch", "over 1 thread",
                                        "of reading K and V"};
    const struct attention_shape *s = &cell->shape;
    printf("cell attention %s t %4zu d %3zu gqa %zu b %4zu threads %zu:",
           s->branches ? "branches" : "causal", s->keys, s->head_dim, s->group, s->branches,
           cell->threads);
    for (size_t i = 0; i < MEASURES; i++) {
        const struct bench_interval *x = &cell->of[i];
        if (!isnan(x->median)) {
            printf(" %.3f %s [%.3f %.3f]", x->median, texts[i], x->low, x->high);
        }
    }
    printf("; %zu rounds", cell->rounds);
    if (cell->lost) {
        printf(", %zu without a processor per thread", cell->lost);
    }
    printf("%s\n", cell->disturbed ? ", disturbed by others" : "");
    fflush(stdout);
}

static void write_cell(const struct goal_options *options, const struct attention_cell *cell)
{
    const struct attention_shape *s = &cell->shape;
    const struct bench_interval *peak = &cell->of[SHARE], *torch = &cell->of[OVER_TORCH],
                                *one = &cell->of[SPEED_UP];
    goal_row(options,
             "form\tt\td\tgqa\tb\tthreads\tpeak_share\tpeak_low\tpeak_high\tover_torch\ttorch_low\t"
             "torch_high\tspeed_up\tspeed_up_low\tspeed_up_high\tmemory_share\trounds\tdisturbed",
             "attention\t%s\t%zu\t%zu\t%zu\t%zu\t%zu\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t"
             "%.4f\t%.4f\t%.4f\t%zu\t%d",
             s->branches ? "branches" : "causal", s->keys, s->head_dim, s->group, s->branches,
             cell->threads, peak->median, peak->low, peak->high, torch->median, torch->low,
             torch->high, one->median, one->low, one->high, cell->of[MEMORY].median, cell->rounds,
             cell->disturbed);
}

/* --- which cells --- */

struct cell_list {
    struct attention_cell cells[MAX_CELLS];
    size_t count;
};

static void list_cell(struct cell_list *list, size_t keys, size_t head_dim, size_t group,
                      size_t branches, size_t threads)
{
    const struct bench_interval none = {(double)NAN, (double)NAN, (double)NAN};
    if (list->count < MAX_CELLS) {
        list->cells[list->count++] =
            (struct attention_cell){.shape = {keys, head_dim, branches, group},
                                    .threads = threads,
                                    .of = {none, none, none, none}};
    }
}

static void list_short(struct cell_list *list, size_t threads)
{
    static const size_t one[][4] = {
        {16, 64, 1, 0},    {32, 128, 1, 0},   {64, 64, 1, 0},    {128, 64, 1, 0},
        {128, 32, 1, 0},   {128, 80, 8, 0},   {512, 64, 1, 0},   {512, 48, 1, 0},
        {512, 96, 3, 0},   {512, 128, 4, 0},  {1024, 64, 1, 0},  {1024, 32, 1, 0},
        {512, 64, 1, 384}, {512, 64, 1, 16},  {512, 64, 1, 1},   {128, 64, 1, 384},
        {128, 96, 4, 384}, {16, 64, 1, 4096}, {512, 128, 1, 384}};
    static const size_t two[][4] = {
        {64, 64, 1, 0}, {128, 64, 1, 0}, {128, 32, 8, 0}, {512, 64, 1, 0}, {1024, 64, 1, 0}};
    const size_t count = threads == 1 ? sizeof one / sizeof *one : sizeof two / sizeof *two;
    for (size_t i = 0; i < count; i++) {
        const size_t *s = threads == 1 ? one[i] : two[i];
        list_cell(list, s[0], s[1], s[2], s[3], threads);
    }
}

/* All of the causal form; of the branches GQA with heads of 64 only, and no 4096 keys. */
static void list_full(struct cell_list *list, size_t threads)
{
    static const size_t keys[] = {16, 32, 64, 128, 512, 1024, 4096},
                        dims[] = {32, 48, 64, 80, 96, 128}, groups[] = {1, 3, 4, 8},
                        rows[] = {0, 1, 16, 384, 4096};
    enum { T = 7, D = 6, G = 4, B = 5 };
    for (size_t i = 0; i < (size_t)B * G * D * T; i++) {
        const size_t t = keys[i % T], d = dims[i / T % D], g = groups[i / T / D % G];
        const size_t b = rows[i / T / D / G];
        if (b && (threads > 1 || t == 4096 || (g > 1 && d != 64))) {
            continue;
        }
        list_cell(list, t, d, g, b, threads);
    }
}

/* --- verdicts --- */

static bool belongs(const struct attention_goal *goal, const struct attention_cell *cell)
{
    const struct attention_shape *s = &cell->shape;
    return goal->threads == cell->threads && goal->branches == (s->branches > 0) &&
           s->keys >= goal->least_keys && s->keys <= goal->most_keys &&
           s->head_dim >= goal->least_dim && s->head_dim <= goal->most_dim &&
           s->branches >= goal->least_rows;
}

/* Share of the peak, or of the bandwidth if that is known and nearer. */
static double nearest_roof(const struct attention_cell *cell)
{
    return fmax(cell->of[SHARE].median, cell->of[MEMORY].median); /* the other one if one is NaN */
}

static void judge(const struct attention_goal *goal, const struct cell_list *list,
                  struct goal_report *report)
{
    const struct attention_cell *worst = NULL;
    size_t count = 0, missed = 0, disturbed = 0, beyond = 0;
    const char *why = "not reached in the time of this run";
    char reason[400], needs[80] = "";
    for (size_t i = 0; i < list->count; i++) {
        const struct attention_cell *cell = &list->cells[i];
        if (!belongs(goal, cell) || !cell->measured || isnan(cell->of[goal->measure].median)) {
            continue;
        }
        if (cell->disturbed) {
            disturbed++;
            continue;
        }
        const struct bench_interval *x = &cell->of[goal->measure];
        const bool miss = x->high < goal->target;
        missed += miss;
        beyond += miss && goal->measure == OVER_TORCH &&
                  goal_needs(nearest_roof(cell), x->median, goal->target) > goal_reach;
        if (!count++ || x->median < worst->of[goal->measure].median) {
            worst = cell;
        }
    }
    if (!worst) {
        if (disturbed) {
            why = "every cell was disturbed by other processes";
        } else if (goal->measure == OVER_TORCH) {
            python_here(&why);
        } else if (goal->threads > bench_machine()->threads) {
            why = "this process may run on one processor only";
        }
        snprintf(reason, sizeof reason, "t %zu, %s: %s", goal->threads, goal->group, why);
        goal_skip(report, goal->id, goal->target, reason);
        return;
    }
    if (beyond) {
        snprintf(needs, sizeof needs, " (%zu would need over %.2f of the roof)", beyond,
                 goal_reach);
    }
    snprintf(reason, sizeof reason,
             "t %zu, %s; %zu cells, %zu missed%s, %zu disturbed; worst t %zu d %zu gqa %zu b %zu",
             goal->threads, goal->group, count, missed, needs, disturbed, worst->shape.keys,
             worst->shape.head_dim, worst->shape.group, worst->shape.branches);
    goal_line(report, goal->id, worst->of[goal->measure].median, goal->target, missed == 0, reason);
}

void goal_attention(const struct goal_options *options, struct goal_report *report)
{
    static struct cell_list list;
    bool wanted = false;
    for (size_t g = 0; g < GOALS; g++) {
        wanted |= goal_wanted(options, goals[g].id);
    }
    if (!wanted) {
        return;
    }
    list.count = 0;
    for (size_t i = 0; i < options->thread_count_count; i++) {
        (options->full ? list_full : list_short)(&list, options->thread_counts[i]);
    }
    struct iol_team *team = iol_team_open(bench_machine()->threads < 2 ? 1 : 2);
    if (!team) {
        fprintf(stderr, "iolaus_bench: no threads\n");
        exit(2);
    }
    for (size_t i = 0; i < list.count && iol_seconds() < options->deadline; i++) {
        bool needed = false;
        for (size_t g = 0; g < GOALS; g++) {
            needed |= goal_wanted(options, goals[g].id) && belongs(&goals[g], &list.cells[i]);
        }
        if (!needed) {
            continue;
        }
        report->wrong |= !measure_cell(&list.cells[i], team, options->full ? 1.0 : 0.4);
        print_cell(&list.cells[i]);
        write_cell(options, &list.cells[i]);
    }
    iol_team_close(team);
    for (size_t g = 0; g < GOALS; g++) {
        if (goal_wanted(options, goals[g].id)) {
            judge(&goals[g], &list, report);
        }
    }
}
