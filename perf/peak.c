/* perf/peak: what this machine can do, as one JSON object on standard output.
 *
 * FMA peak of every ISA by iol_machine_probe, and the bandwidth of the axpy kernel (two loads and a
 * store an element) on working sets that fit L1, L2, L3 and none of them, for 1 thread and for all.
 * Medians over rounds that take turns. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/context.h"

enum { ROUNDS = 9, LEVELS = 4 };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

/* Bytes per second of `threads` threads, each running axpy over its own two arrays of `floats`
 * elements. */
static double bandwidth(const struct iol_ctx *ctx, size_t threads, float *memory, size_t floats,
                        double seconds)
{
    double sum = 0;
#pragma omp parallel num_threads((int)threads) default(none) shared(ctx, memory, floats, seconds) reduction(+ : sum)
    {
        float *x = memory + (size_t)omp_get_thread_num() * 2 * floats, *y = x + floats;
        memset(x, 0, 2 * floats * sizeof *x);
        size_t passes = 0;
        double begin = iol_seconds(), now = begin;
        do {
            for (size_t i = 0; i < floats; i += 4096) {
                ctx->ops.axpy_f32(floats - i < 4096 ? floats - i : 4096, 0.5f, x + i, y + i);
            }
            passes++;
            now = iol_seconds();
        } while (now - begin < seconds);
        sum += (double)passes * (double)floats * 3 * sizeof(float) / (now - begin);
    }
    return sum;
}

static enum iol_status print_peaks(size_t all)
{
    printf("  \"fma_gflops\": {");
    for (size_t i = 0, printed = 0; i < iol_isa_count(); i++) {
        if (!iol_isa_available(i)) {
            continue;
        }
        printf("%s\"%s\": {", printed++ ? ", " : "", iol_isa_name(i));
        for (size_t t = 0; t < 2 && (t == 0 || all > 1); t++) {
            struct iol_ctx_settings settings;
            struct iol_ctx *ctx = NULL;
            iol_ctx_settings_default(&settings);
            settings.isa = iol_isa_name(i);
            settings.threads = t ? all : 1;
            enum iol_status status = iol_ctx_open(&settings, &ctx);
            double values[ROUNDS];
            for (size_t r = 0; status == IOL_OK && r < ROUNDS; r++) {
                struct iol_machine m = {.struct_size = sizeof m};
                status = iol_machine_probe(ctx, 0.03, &m);
                values[r] = m.peak_flops;
            }
            iol_ctx_close(ctx);
            if (status != IOL_OK) {
                return status;
            }
            printf("%s\"%zu\": %.1f", t ? ", " : "", settings.threads, median(values) / 1e9);
        }
        printf("}");
    }
    printf("},\n");
    return IOL_OK;
}

int main(int argc, char **argv)
{
    struct iol_ctx *ctx = NULL;
    struct iol_machine m = {.struct_size = sizeof m};
    float *memory = NULL;
    if (argc > 1) {
        printf("usage: %s    (prints JSON: FMA peak per ISA, bandwidth per cache level, by thread "
               "count)\n",
               argv[0]);
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    enum iol_status status = iol_ctx_open(NULL, &ctx);
    IOL_TRY(status);
    IOL_TRY(iol_machine_probe(ctx, 0, &m));
    const size_t all = iol_ctx_threads(ctx), l1 = m.l1_bytes ? m.l1_bytes : 32768,
                 l2 = m.l2_bytes ? m.l2_bytes : 1 << 20;
    const size_t l3 = m.l3_bytes > 4 * l2 ? m.l3_bytes : 4 * l2, dram = (size_t)512 << 20;
    const struct {
        const char *name;
        size_t bytes; /* of both arrays of a thread */
    } levels[LEVELS] = {{"l1", l1 / 2},
                        {"l2", l2 / 2},
                        {"l3", l3 / 2 / all < 2 * l2 ? 2 * l2 : l3 / 2 / all},
                        {"dram", dram}};
    memory = iol_alloc(all, dram);
    if (!memory) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %zu MiB", all * dram >> 20);
        goto out;
    }
    printf(
        "{\n  \"cpu\": \"%s\",\n  \"isa\": \"%s\",\n  \"compiler\": \"%s\",\n  \"threads\": %zu,\n",
        m.cpu, iol_ctx_isa(ctx), __VERSION__, all);
    printf("  \"l1_bytes\": %zu, \"l2_bytes\": %zu, \"l3_bytes\": %zu,\n", m.l1_bytes, m.l2_bytes,
           m.l3_bytes);
    IOL_TRY(print_peaks(all));
    printf("  \"axpy_gbytes\": {");
    for (size_t level = 0; level < LEVELS; level++) {
        printf("%s\"%s\": {", level ? ", " : "", levels[level].name);
        for (size_t t = 0; t < 2 && (t == 0 || all > 1); t++) {
            double values[ROUNDS];
            for (size_t r = 0; r < ROUNDS; r++) {
                values[r] = bandwidth(ctx, t ? all : 1, memory,
                                      levels[level].bytes / 2 / sizeof(float), 0.02);
            }
            printf("%s\"%zu\": %.1f", t ? ", " : "", t ? all : (size_t)1, median(values) / 1e9);
        }
        printf("}");
    }
    printf("}\n}\n");
out:
    if (status != IOL_OK) {
        fprintf(stderr, "iolaus_peak: %s\n", iol_error());
    }
    iol_free(memory);
    iol_ctx_close(ctx);
    return status == IOL_OK ? 0 : 1;
}
