/* perf/peak: what this machine can do, as one JSON object on standard output.
 *
 * FMA peak of every ISA, by the registry's chains in registers, as iol_machine_probe runs them;
 * bandwidth of L1, L2, L3 and DRAM with the newest ISA: reading, and y = x + y (two loads and a
 * store); for every thread count from 1 to all, or 1, 2, 4, ... and all where there are more than
 * 8. The clock by a chain of additions. Medians over rounds in which everything takes turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/context.h"
#include "measure.h"

enum { ROUNDS = 9, COUNTS = 16, CELLS = 1024 };

/* One figure: how to sample it, and its samples. */
struct cell {
    const char *group, *name, *mix; /* "fma_gflops", "avx2"; "bandwidth_gbytes", "L1", "read" */
    size_t threads;
    enum iolk_isa isa;
    enum bench_level level;
    struct bench_samples samples;
};

static struct cell cells[CELLS];
static size_t cell_count;

static struct cell *add_cell(const char *group, const char *name, const char *mix, size_t threads)
{
    if (cell_count == CELLS) {
        fprintf(stderr, "iolaus_peak: more than %d figures\n", (int)CELLS);
        exit(1);
    }
    cells[cell_count] = (struct cell){.group = group, .name = name, .mix = mix, .threads = threads};
    return &cells[cell_count++];
}

static size_t thread_counts(size_t all, size_t out[COUNTS])
{
    size_t count = 0;
    for (size_t t = 1; t < all && count<COUNTS - 1; t += all> 8 ? t : 1) {
        out[count++] = t;
    }
    out[count++] = all;
    return count;
}

static void add_cells(void)
{
    static const char *const mixes[BENCH_MIXES] = {"read", "update"};
    const struct bench_machine *m = bench_machine();
    size_t counts[COUNTS], count = thread_counts(m->threads, counts);
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        for (size_t t = 0; m->mask >> isa & 1U && t < count; t++) {
            add_cell("fma_gflops", iolk_isa_name((enum iolk_isa)isa), NULL, counts[t])->isa =
                (enum iolk_isa)isa;
        }
    }
    for (unsigned i = 0; i < (unsigned)BENCH_LEVELS * BENCH_MIXES * count; i++) {
        const unsigned mix = i / (unsigned)count % BENCH_MIXES;
        const enum bench_level level = (enum bench_level)(i / (unsigned)count / BENCH_MIXES);
        struct cell *cell = add_cell("bandwidth_gbytes", bench_level_name(level), mixes[mix],
                                     counts[i % (unsigned)count]);
        cell->level = level;
        cell->isa = m->isa;
    }
    add_cell("clock_ghz", NULL, NULL, 1);
}

static void sample(struct cell *cell)
{
    double value = 0;
    if (cell->mix) {
        value = bench_stream_sample(cell->isa, cell->level,
                                    strcmp(cell->mix, "read") == 0 ? BENCH_READ : BENCH_UPDATE,
                                    cell->threads, 0.005);
    } else if (cell->name) {
        value = bench_peak_sample(cell->isa, cell->threads, 0.01);
    } else {
        value = bench_clock_sample(0.005);
    }
    bench_samples_add(&cell->samples, value / 1e9);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* {"GROUP": {"NAME": {"MIX": {"THREADS": median}}}}, each level where the cell has one. */
static void print_cells(void)
{
    for (size_t i = 0; i < cell_count; i++) {
        const struct cell *cell = &cells[i], *before = i ? cell - 1 : NULL;
        const bool group = !before || !same(before->group, cell->group),
                   name = group || !same(before->name, cell->name),
                   mix = name || !same(before->mix, cell->mix);
        if (before) {
            printf("%s%s%s", mix ? "}" : "", before->mix && name ? "}" : "",
                   group && before->name ? "}" : "");
        }
        if (group) {
            printf("%s\n  \"%s\": {", before ? "," : "", cell->group);
        }
        if (cell->name && name) {
            printf("%s\"%s\": {", group ? "" : ", ", cell->name);
        }
        if (cell->mix && mix) {
            printf("%s\"%s\": {", name ? "" : ", ", cell->mix);
        }
        printf("%s\"%zu\": %.4g", mix ? "" : ", ", cell->threads,
               bench_interval_of(&cell->samples).median);
    }
    printf("}\n}\n");
}

static int usage(const char *program, int status)
{
    fprintf(status ? stderr : stdout,
            "usage: %s [--rounds N]\n"
            "Prints JSON: FMA peak per ISA, bandwidth of L1, L2, L3 and DRAM per thread\n"
            "count, clock. Medians of N rounds (%d), about 1 s each on 2 processors.\n"
            "IOL_ISA narrows the instruction sets, taskset the processors.\n",
            program, (int)ROUNDS);
    return status;
}

int main(int argc, char **argv)
{
    size_t rounds = ROUNDS;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        return usage(argv[0], 0);
    }
    if (argc == 3 && strcmp(argv[1], "--rounds") == 0) {
        rounds = strtoul(argv[2], NULL, 10);
    }
    if ((argc != 1 && argc != 3) || rounds == 0) {
        return usage(argv[0], 2);
    }
    const struct bench_machine *machine = bench_machine();
    struct iol_machine m = {.struct_size = sizeof m};
    if (iol_machine_probe(NULL, 0, &m) != IOL_OK) {
        fprintf(stderr, "iolaus_peak: %s\n", iol_error());
        return 1;
    }
    add_cells();
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < cell_count; i++) {
            sample(&cells[i]);
        }
    }
    printf("{\n  \"cpu\": \"%s\",\n  \"isa\": \"%s\",\n  \"compiler\": \"%s\",\n", m.cpu,
           iolk_isa_name(machine->isa), __VERSION__);
    printf("  \"threads\": %zu,\n  \"rounds\": %zu,\n", machine->threads, rounds);
    printf("  \"l1_bytes\": %zu,\n  \"l2_bytes\": %zu,\n  \"l3_bytes\": %zu,", m.l1_bytes,
           m.l2_bytes, m.l3_bytes);
    print_cells();
    for (size_t i = 0; i < cell_count; i++) {
        bench_samples_free(&cells[i].samples);
    }
    return 0;
}
