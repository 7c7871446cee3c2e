/* The goals as a mode of the bench: measure, print the cells, then one line per goal and group. */
#include "goals.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "peers/python_peer.h"

bool goal_wanted(const struct goal_options *options, const char *id)
{
    if (!options->only) {
        return true;
    }
    for (const char *at = options->only; *at;
         at += strcspn(at, ",") + (at[strcspn(at, ",")] != 0)) {
        const size_t length = strcspn(at, ",");
        if (length > 0 && strncmp(at, id, length) == 0) {
            return true;
        }
    }
    return false;
}

static char *new_line(struct goal_report *report, double order)
{
    if (report->count == GOAL_LINES) {
        fprintf(stderr, "iolaus_bench: more than %d goal lines\n", (int)GOAL_LINES);
        exit(2);
    }
    report->lines[report->count].order = order;
    return report->lines[report->count++].text;
}

void goal_line(struct goal_report *report, const char *id, double measured, double target, bool met,
               const char *reason)
{
    report->missed += !met;
    snprintf(new_line(report, measured / target + (met ? 1e3 : 0)), GOAL_TEXT,
             "goal %s %.3f %.2f %s %s", id, measured, target, met ? "met" : "missed", reason);
}

void goal_skip(struct goal_report *report, const char *id, double target, const char *reason)
{
    snprintf(new_line(report, 1e6 + (double)report->count), GOAL_TEXT, "goal %s - %.2f skipped %s",
             id, target, reason);
}

static int by_order(const void *a, const void *b)
{
    const double *x = a, *y = b; /* the first member of a line */
    return (*x > *y) - (*x < *y);
}

void goal_row(const struct goal_options *options, const char *names, const char *format, ...)
{
    static const char *before = "";
    va_list arguments;
    if (!options->cells) {
        return;
    }
    if (strcmp(before, names) != 0) {
        fprintf(options->cells, "cell\t%s\n", names);
        before = names;
    }
    va_start(arguments, format);
    vfprintf(options->cells, format, arguments);
    va_end(arguments);
    fputc('\n', options->cells);
    fflush(options->cells);
}

double goal_foreign_seconds(void)
{
    return bench_foreign_seconds() - python_seconds();
}

static void print_setup(void)
{
    char text[PEER_TEXT];
    bench_machine_text(text, sizeof text);
    printf("machine %s\n", text);
    for (unsigned p = 0; p < PEER_COUNT; p++) {
        const char *reason;
        if (peer_elsewhere((enum peer_id)p)) {
            continue; /* says so itself when it is needed */
        }
        const struct peer *peer = peer_get((enum peer_id)p, &reason);
        printf("%s %s: %s\n", peer ? "peer" : "skipped peer", peer_name((enum peer_id)p), reason);
    }
    const char *names[] = {"IOL_ISA",        "OMP_NUM_THREADS",    "OMP_PROC_BIND",
                           "GOMP_SPINCOUNT", "IOL_BENCH_COLD_MIB", "IOL_BENCH_PAGES"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value) {
            printf("setting %s=%s\n", names[i], value);
        }
    }
    fflush(stdout);
}

static bool parse(int argc, char **argv, struct goal_options *options)
{
    const char *threads = "1,2", *cells_path = NULL;
    double limit = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--full") == 0) {
            options->full = true;
            continue;
        }
        if (!value) {
            return false;
        }
        if (strcmp(argv[i], "--only") == 0) {
            options->only = value;
        } else if (strcmp(argv[i], "--threads") == 0) {
            threads = value;
        } else if (strcmp(argv[i], "--cells") == 0) {
            cells_path = value;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            limit = strtod(value, NULL);
        } else {
            return false;
        }
        i++;
    }
    while (*threads && options->thread_count_count < 2) {
        char *end;
        size_t count = strtoul(threads, &end, 10);
        if (end == threads || count == 0) {
            return false;
        }
        if (count <= bench_machine()->threads) {
            options->thread_counts[options->thread_count_count++] = count;
        } else {
            printf("skipped %zu threads: this process may run on %zu\n", count,
                   bench_machine()->threads);
        }
        threads = *end == ',' ? end + 1 : end;
    }
    options->deadline = iol_seconds() + (limit > 0 ? limit : options->full ? 1e9 : 240);
    options->cell_seconds = options->full ? 6 : 1.2;
    if (cells_path && !(options->cells = fopen(cells_path, "w"))) {
        fprintf(stderr, "iolaus_bench: %s: cannot be written\n", cells_path);
        exit(2);
    }
    return true;
}

int bench_goals(int argc, char **argv)
{
    struct goal_options options = {0};
    static struct goal_report report;
    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "usage: iolaus_bench --goals [--full] [--only ID,..] [--threads 1,2] "
                        "[--seconds S] [--cells F.tsv]\n");
        return 2;
    }
    print_setup();
#define GOALS(name) goal_##name(&options, &report);
#include "goals.def"
#undef GOALS
    const bool torn = options.cells && ferror(options.cells);
    if ((options.cells && fclose(options.cells) != 0) || torn) {
        fprintf(stderr, "iolaus_bench: the file of --cells could not be written\n");
        report.wrong = true;
    }
    qsort(report.lines, report.count, sizeof *report.lines, by_order);
    for (size_t i = 0; i < report.count; i++) {
        puts(report.lines[i].text);
    }
    if (options.only && report.count == 0) {
        fprintf(stderr,
                "iolaus_bench: --only: found '%s', expected goals of bench/README.md, as K1a,K3 "
                "(a beginning names all goals that begin so)\n",
                options.only);
        return 2;
    }
    if (report.wrong) {
        printf("error: a result is not what it should be (see above)\n");
    }
    return report.missed || report.wrong;
}
