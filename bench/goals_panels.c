/* K2: products over weights as published against the same product over f32 panels, by turns: at one
 * row the stream of weights is narrower, at many rows widening must cost nothing. Every result is
 * compared with the f32 product of the widened weights, bit for bit. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "driver/gemm_team.h"
#include "goals.h"
#include "pool.h"

enum { MIN_ROUNDS = 9, MAX_ROUNDS = 400, DTYPES = IOL_PANEL_DTYPE_COUNT - 1 };
static const double batch_seconds = 1.5e-3, close_enough = 0.02;

/* What a dtype has to reach at one row, and from 64 rows on. */
static const struct {
    enum iol_panel_dtype dtype;
    double target;
} kinds[DTYPES] = {{IOL_PANEL_BF16, 1.85}, {IOL_PANEL_F16, 1.85}, {IOL_PANEL_Q80, 3.2},
                   {IOL_PANEL_Q40, 4.5},   {IOL_PANEL_Q41, 4.5},  {IOL_PANEL_Q4K, 4.5}};
static const double wide_target = 0.95;
/* Of the weights a cycle that llvm-mca predicts for the loop of one row: enough where the ratio to
 * f32 would ask for more. */
static const double share_of_limit = 0.85;
static const struct {
    const char *dtype, *isa, *model;
    double weights;
} limits[] = {
#define LIMIT(dtype, isa, model, weights) {#dtype, #isa, model, weights},
#include "panel_limits.def"
#undef LIMIT
};

/* llvm-mca's name for this processor's core as it runs that ISA; NULL: it has none. */
static const char *core_model(enum iolk_isa isa)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    char vendor[13] = "";
    if (!__get_cpuid(0, &a, &b, &c, &d)) {
        return NULL;
    }
    memcpy(vendor, &b, 4);
    memcpy(vendor + 4, &d, 4);
    memcpy(vendor + 8, &c, 4);
    const bool avx512 = isa == IOLK_ISA_AVX512;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (!avx512 && isa != IOLK_ISA_AVX2)) {
        return NULL;
    }
    const unsigned family = (a >> 8 & 15) + (a >> 20 & 255);
    if (strcmp(vendor, "AuthenticAMD") == 0) {
        return family != 0x19 ? NULL : avx512 ? "znver4" : "znver3";
    }
    if (strcmp(vendor, "GenuineIntel") == 0) {
        a = __get_cpuid_count(7, 1, &a, &b, &c, &d) ? a : 0;
        const bool vnni = a >> 4 & 1, bf16 = a >> 5 & 1; /* of AVX, of AVX-512 */
        return avx512 ? (bf16 ? "sapphirerapids" : "skylake-avx512")
                      : (vnni ? "alderlake" : "haswell");
    }
#endif
    (void)isa;
    return NULL;
}

/* Weights a cycle; 0: not known. */
static double loop_limit(enum iol_panel_dtype dtype)
{
    const enum iolk_isa isa = bench_machine()->isa;
    const char *model = core_model(isa);
    for (size_t i = 0; model && i < sizeof limits / sizeof *limits; i++) {
        if (strcmp(limits[i].dtype, iol_panel_dtype_name(dtype)) == 0 &&
            strcmp(limits[i].isa, iolk_isa_name(isa)) == 0 && strcmp(limits[i].model, model) == 0) {
            return limits[i].weights;
        }
    }
    return 0;
}

/* One matrix in both forms, each copied until no cache holds the copies. */
struct forms {
    struct iol_packed b[2]; /* f32, as published */
    size_t floats[2];       /* of one copy */
    size_t copies[2], copy[2];
    float *memory[2], *a, *c[2];
    size_t m, threads;
};

struct cell {
    struct bench_interval ratio;
    double gigaweights; /* per second, as published */
    double loop;        /* gigaweights that the loop of one row may do, all threads; 0: not known */
    size_t rounds, lost; /* lost: its threads did not have their processors */
    double foreign;
};

static void call(struct forms *x, size_t form)
{
    struct iol_packed b = x->b[form];
    uint64_t flops = 0;
    b.panels = x->memory[form] + x->copy[form] * x->floats[form];
    x->copy[form] = (x->copy[form] + 1) % x->copies[form];
    if (x->threads == 1) {
        iol_gemm_block(&bench_machine()->ops, x->m, x->a, b.k, &b, NULL, x->c[form], b.n, &flops);
    } else {
        iol_gemm_team(bench_team(x->threads), &bench_machine()->ops, x->m, x->a, b.k, &b, NULL,
                      x->c[form], b.n, &flops);
    }
}

/* A row as published with scales near 1 / 64: f16 0x24.., bf16 0x3c... */
static void publish_row(enum iol_panel_dtype dtype, size_t bytes, unsigned char *row,
                        uint64_t *seed)
{
    static const size_t block[IOL_PANEL_DTYPE_COUNT] = {4, 2, 2, 34, 18, 20, 144};
    static const size_t constants[IOL_PANEL_DTYPE_COUNT] = {2, 1, 1, 1, 1, 2, 2};
    for (size_t i = 0; i < bytes; i++) {
        row[i] = (unsigned char)(iol_splitmix64(seed) >> 56);
    }
    for (size_t i = 0; i < bytes; i += block[dtype]) {
        for (size_t j = 0; j < constants[dtype]; j++) {
            unsigned char *high = row + i + 2 * j + 1;
            *high = (unsigned char)((*high & 0x83) | (dtype == IOL_PANEL_BF16 ? 0x3c : 0x24));
        }
    }
}

/* The first copy of both forms, then the others. */
static bool fill_forms(struct forms *x, enum iol_panel_dtype dtype, const struct gemm_shape *shape,
                       size_t mib)
{
    const size_t n = shape->n, k = shape->k, row_bytes = iol_panel_row_bytes(dtype, k);
    const size_t bytes[2] = {iol_panel_bytes(IOL_PANEL_F32, n, k), iol_panel_bytes(dtype, n, k)};
    unsigned char *row = malloc(row_bytes);
    uint64_t seed = dtype + n;
    if (!row) {
        return false;
    }
    for (size_t form = 0; form < 2; form++) {
        x->floats[form] = bytes[form] / sizeof(float);
        x->copies[form] = (mib << 20) / bytes[form] + 1;
        x->copy[form] = 0;
        x->b[form] = (struct iol_packed){.n = n, .k = k, .panels = x->memory[form]};
    }
    x->b[1].dtype = dtype;
    memset(x->memory[1], 0, bytes[1]);
    for (size_t j = 0; j < n; j++) {
        publish_row(dtype, row_bytes, row, &seed);
        iol_pack_rows_stored(row, row_bytes, j, 1, &x->b[1]);
    }
    free(row);
    for (size_t p = 0; p * IOLK_NR < n; p++) {
        iol_panel_widen(&bench_machine()->ops, &x->b[1], p, 0, k, x->memory[0] + p * IOLK_NR * k);
    }
    for (size_t form = 0; form < 2; form++) {
        for (size_t i = 1; i < x->copies[form]; i++) {
            memcpy(x->memory[form] + i * x->floats[form], x->memory[form], bytes[form]);
        }
    }
    return true;
}

static bool same_bits(struct forms *x)
{
    const size_t bytes = x->m * x->b[0].n * sizeof(float);
    memset(x->c[0], 0, bytes);
    memset(x->c[1], 1, bytes);
    call(x, 0);
    call(x, 1);
    return memcmp(x->c[0], x->c[1], bytes) == 0;
}

static struct cell measure(struct forms *x, double limit)
{
    struct cell cell = {.foreign = bench_foreign_seconds()};
    struct bench_samples ratios = {0};
    const double start = iol_seconds(), weights = (double)x->b[0].n * (double)x->b[0].k;
    size_t calls[2];
    double total = 0, made = 0;
    for (size_t form = 0; form < 2; form++) {
        call(x, form);
        const double begin = bench_clock(x->threads);
        call(x, form);
        calls[form] = (size_t)(batch_seconds / (bench_clock(x->threads) - begin + 1e-9)) + 1;
    }
    while (ratios.count < MAX_ROUNDS &&
           (ratios.count < MIN_ROUNDS || iol_seconds() - start < limit)) {
        double took[2];
        const bool there = bench_await_processors(x->threads);
        if (x->threads > 1) {
            bench_settle();
        }
        for (size_t i = 0; i < 2; i++) {
            const size_t form = (i + ratios.count) % 2;
            const double begin = bench_clock(x->threads);
            for (size_t j = 0; j < calls[form]; j++) {
                call(x, form);
            }
            took[form] = (bench_clock(x->threads) - begin) / (double)calls[form];
        }
        if (!there || !bench_has_processors(x->threads)) {
            if (++cell.lost > BENCH_MOST_LOST) {
                break;
            }
            continue;
        }
        total += took[1];
        made++;
        bench_samples_add(&ratios, took[0] / took[1]);
        cell.ratio = bench_interval_of(&ratios);
        if (ratios.count >= MIN_ROUNDS &&
            cell.ratio.high - cell.ratio.low <= 2 * close_enough * cell.ratio.median) {
            break;
        }
    }
    cell.rounds = ratios.count;
    cell.gigaweights = weights * made / total / 1e9;
    if (x->m == 1) {
        cell.loop = loop_limit(x->b[1].dtype) * bench_clock_sample(2e-3) * (double)x->threads / 1e9;
    }
    cell.foreign = (bench_foreign_seconds() - cell.foreign) / (iol_seconds() - start);
    bench_samples_free(&ratios);
    return cell;
}

/* Of the cells of one dtype, number of threads and side (one row, many rows). */
struct worst {
    size_t cells, missed, by_loop, disturbed, m, k, n;
    struct bench_interval ratio;
    double share; /* of the loop's limit, the least of the cells held to that */
};

static void take(struct worst *w, const struct forms *x, const struct cell *cell, double target)
{
    if (x->threads > 1 && (cell->foreign > 0.1 || cell->rounds < MIN_ROUNDS)) {
        w->disturbed++;
        return;
    }
    const double f32 = cell->gigaweights / cell->ratio.median,
                 high = cell->ratio.high / cell->ratio.median;
    const bool by_loop = cell->loop > 0 && share_of_limit * cell->loop < target * f32;
    if (by_loop) { /* its rate as far above the median as the ratio's interval goes */
        const double share = cell->gigaweights / cell->loop;
        w->share = !w->by_loop || share < w->share ? share : w->share;
        w->by_loop++;
        w->missed += share * high < share_of_limit;
    } else {
        w->missed += cell->ratio.high < target;
    }
    if (!w->cells++ || cell->ratio.median < w->ratio.median) {
        w->ratio = cell->ratio;
        w->m = x->m;
        w->k = x->b[0].k;
        w->n = x->b[0].n;
    }
}

static void judge(struct goal_report *report, size_t kind, size_t threads, const struct worst *w,
                  bool many)
{
    char reason[512];
    const char *name = iol_panel_dtype_name(kinds[kind].dtype);
    const double target = many ? wide_target : kinds[kind].target;
    if (!w->cells) {
        snprintf(reason, sizeof reason, "t %zu, %s, %s: %s", threads, name,
                 many ? "M >= 64" : "M = 1",
                 w->disturbed ? "other processes were busy in every cell"
                              : "no cell of this group in this run");
        goal_skip(report, "K2", target, reason);
        return;
    }
    char loop[160] = "";
    if (w->by_loop) {
        snprintf(loop, sizeof loop,
                 "; %zu cells held to %.2f of the loop's limit (llvm-mca, %s: %.2f weights a "
                 "cycle), worst %.3f",
                 w->by_loop, share_of_limit, core_model(bench_machine()->isa),
                 loop_limit(kinds[kind].dtype), w->share);
    }
    snprintf(reason, sizeof reason,
             "t %zu, %s cold, %s against f32 panels, same bits; %zu cells, %zu missed, %zu left "
             "out (disturbed); worst k %zu n %zu m %zu: %.3f [%.3f %.3f]%s",
             threads, name, many ? "M >= 64" : "M = 1", w->cells, w->missed, w->disturbed, w->k,
             w->n, w->m, w->ratio.median, w->ratio.low, w->ratio.high, loop);
    goal_line(report, "K2", w->ratio.median, target, w->missed == 0, reason);
}

static const size_t rows[] = {1, 64, 128, 512};
enum { ROWS = sizeof rows / sizeof *rows };

static void measure_dtype(const struct goal_options *options, struct goal_report *report,
                          struct forms *x, size_t kind, struct worst worst[2][2])
{
    for (size_t r = 0; r < (options->full ? ROWS : 2); r++) {
        for (size_t t = 0; t < options->thread_count_count; t++) {
            x->m = rows[r];
            x->threads = options->thread_counts[t];
            if (!same_bits(x)) {
                printf("%s: k %zu n %zu m %zu: other bits than over f32 panels\n",
                       iol_panel_dtype_name(kinds[kind].dtype), x->b[0].k, x->b[0].n, x->m);
                report->wrong = true;
                continue;
            }
            struct cell cell = measure(x, options->full ? 2 : 0.25);
            take(&worst[t][x->m > 1], x, &cell, x->m > 1 ? wide_target : kinds[kind].target);
            printf("cell panels %-4s k %4zu n %4zu m %3zu t %zu cold %6.2f Gweights/s, ratio to "
                   "f32 %.3f [%.3f %.3f]; %zu rounds",
                   iol_panel_dtype_name(kinds[kind].dtype), x->b[0].k, x->b[0].n, x->m, x->threads,
                   cell.gigaweights, cell.ratio.median, cell.ratio.low, cell.ratio.high,
                   cell.rounds);
            if (cell.lost) {
                printf(", %zu without a processor per thread", cell.lost);
            }
            if (cell.loop > 0) {
                printf("; %.1f%% of the loop's limit", 100 * cell.gigaweights / cell.loop);
            }
            printf("\n");
            fflush(stdout);
            goal_row(options,
                     "dtype\tk\tn\tm\tthreads\tgigaweights\tloop_share\tratio\tlow\thigh\trounds",
                     "panels\t%s\t%zu\t%zu\t%zu\t%zu\t%.2f\t%.4f\t%.4f\t%.4f\t%.4f\t%zu",
                     iol_panel_dtype_name(kinds[kind].dtype), x->b[0].k, x->b[0].n, x->m,
                     x->threads, cell.gigaweights,
                     cell.loop > 0 ? cell.gigaweights / cell.loop : (double)NAN, cell.ratio.median,
                     cell.ratio.low, cell.ratio.high, cell.rounds);
        }
    }
}

void goal_panels(const struct goal_options *options, struct goal_report *report)
{
    static const struct gemm_shape shapes[] = {
        {768, 3072}, {3072, 768}, {2048, 8192}, {4096, 4096}, {576, 1536}};
    const size_t shape_count = options->full ? sizeof shapes / sizeof *shapes : 2;
    const size_t largest = (size_t)4096 * 4096, most_n = 8192, most_k = 4096;
    const char *text = getenv("IOL_BENCH_COLD_MIB");
    const size_t mib = text && strtoul(text, NULL, 10) ? strtoul(text, NULL, 10) : 513;
    struct forms x = {0};
    if (!goal_wanted(options, "K2")) {
        return;
    }
    for (size_t form = 0; form < 2; form++) { /* whole copies: at most one more than mib */
        x.memory[form] = bench_floats((mib << 18) + largest);
        x.c[form] = bench_floats(rows[ROWS - 1] * most_n);
    }
    x.a = bench_floats(rows[ROWS - 1] * most_k);
    bench_fill(x.a, rows[ROWS - 1] * most_k, 2);
    for (size_t kind = 0; kind < DTYPES; kind++) {
        struct worst worst[2][2] = {0};
        const enum iol_panel_dtype dtype = kinds[kind].dtype;
        for (size_t s = 0; s < shape_count; s++) {
            if (iol_panel_bytes(dtype, shapes[s].n, shapes[s].k) == 0) {
                printf("skipped panels %s k %zu n %zu: k is no multiple of its blocks\n",
                       iol_panel_dtype_name(dtype), shapes[s].k, shapes[s].n);
            } else if (fill_forms(&x, dtype, &shapes[s], mib)) {
                measure_dtype(options, report, &x, kind, worst);
            }
        }
        for (size_t t = 0; t < options->thread_count_count; t++) {
            judge(report, kind, options->thread_counts[t], &worst[t][0], false);
            judge(report, kind, options->thread_counts[t], &worst[t][1], true);
        }
    }
    for (size_t form = 0; form < 2; form++) {
        free(x.memory[form]);
        free(x.c[form]);
    }
    free(x.a);
}
