/* The bill: phases, interventions, and the same sweep with less reuse. */
#include <string.h>

#include "base/base.h"
#include "report/report.h"

static void add_cost(struct iol_cost *sum, const struct iol_cost *cost)
{
    sum->flops += cost->flops;
    sum->bytes += cost->bytes;
    sum->rows += cost->rows;
    sum->seconds += cost->seconds;
}

static void put_phase(struct iol_sink *sink, const char *name, const struct iol_cost *cost)
{
    iol_sink_format(sink, "%-32s", name);
    iol_report_quantity(sink, (double)cost->flops, 11);
    iol_report_quantity(sink, (double)cost->bytes, 11);
    iol_report_quantity(sink, (double)cost->rows, 11);
    iol_sink_format(sink, "%12.3f\n", cost->seconds);
}

static void put_phases(const struct iol_bill *bill, struct iol_sink *sink)
{
    struct iol_cost total = {0};
    iol_sink_text(sink, "The bill                             FLOPs      bytes       rows"
                        "     seconds\n");
    put_phase(sink, "phase A: capture", &bill->capture);
    put_phase(sink, "phase B: waves", &bill->waves);
    put_phase(sink, "noise floor", &bill->noise);
    put_phase(sink, "spill", &bill->spill);
    put_phase(sink, "store", &bill->store);
    add_cost(&total, &bill->capture);
    add_cost(&total, &bill->waves);
    add_cost(&total, &bill->noise);
    add_cost(&total, &bill->spill);
    add_cost(&total, &bill->store);
    put_phase(sink, "total", &total);
    iol_sink_format(sink, "%-32s%45.3f\n", "wall clock of all runs", bill->wall_seconds);
}

/* Mean cost of one intervention (one prompt, one run) of each (site type, kind). */
static void put_interventions(const struct iol_results *results, struct iol_sink *sink)
{
    iol_sink_text(sink, "\nOne intervention (one prompt, one run), mean; per site: iolaus export\n"
                        "site      kind              number      FLOPs      bytes       rows"
                        "          us\n");
    for (size_t i = 0; i < results->pair_count; i++) {
        const struct iol_stored_pair *pair = &results->pairs[i];
        struct iol_cost sum = {0};
        bool seen = false;
        double number = 0;
        for (size_t j = 0; j < results->pair_count; j++) {
            const struct iol_stored_pair *other = &results->pairs[j];
            if (strcmp(pair->type, other->type) == 0 && strcmp(pair->kind, other->kind) == 0) {
                seen = seen || j < i;
                number += (double)results->done_count * (double)other->runs;
                add_cost(&sum, &results->bill.pairs[j]);
            }
        }
        if (seen || number == 0) {
            continue;
        }
        iol_sink_format(sink, "%-9s %-14s %9.0f", pair->type, pair->kind, number);
        iol_report_quantity(sink, (double)sum.flops / number, 11);
        iol_report_quantity(sink, (double)sum.bytes / number, 11);
        iol_report_quantity(sink, (double)sum.rows / number, 11);
        iol_sink_format(sink, "%12.2f\n", 1e6 * sum.seconds / number);
    }
}

static void put_alternative(struct iol_sink *sink, const char *name, const struct iol_cost *cost,
                            double base)
{
    if (cost->flops == 0) {
        return; /* not known yet */
    }
    iol_sink_format(sink, "%-32s", name);
    iol_report_quantity(sink, (double)cost->flops, 11);
    iol_report_quantity(sink, (double)cost->bytes, 11);
    iol_report_quantity(sink, (double)cost->rows, 11);
    if (base > 0) {
        iol_sink_format(sink, "%11.2fx\n", (double)cost->flops / base);
    } else {
        iol_sink_format(sink, "%12s\n", "-");
    }
}

static void put_alternatives(const struct iol_bill *bill, struct iol_sink *sink)
{
    static const char *const names[3] = {"without depth reuse", "without position reuse",
                                         "without donor reuse"};
    struct iol_cost run = {0};
    add_cost(&run, &bill->capture);
    add_cost(&run, &bill->waves);
    const double base = (double)run.flops, seconds = bill->capture.seconds + bill->waves.seconds;
    iol_sink_text(sink, "\nThe same sweep, noise floor apart    FLOPs      bytes       rows"
                        "       FLOPs\n");
    put_alternative(sink, "as it was run", &run, base);
    for (size_t a = 0; a < 3; a++) {
        put_alternative(sink, names[a], &bill->without[a], base);
    }
    put_alternative(sink, "without any reuse", &bill->none, base);
    if (bill->none.seconds > 0 && seconds > 0) {
        iol_sink_format(sink,
                        "measured without any reuse: %.3f s, %.2f times the %.3f s of this run\n",
                        bill->none.seconds, bill->none.seconds / seconds, seconds);
    }
}

static double interventions(const struct iol_results *results)
{
    double sum = 0;
    for (size_t i = 0; i < results->pair_count; i++) {
        sum += (double)results->done_count * (double)results->pairs[i].runs;
    }
    return sum;
}

static void put_energy(const struct iol_bill *bill, double number, struct iol_sink *sink)
{
    if (bill->joules > 0 && number > 0) {
        iol_sink_format(
            sink, "energy: %.4g J of all processor packages in %.1f s, %.3g mJ an intervention\n",
            bill->joules, bill->joules_seconds, 1e3 * bill->joules / number);
    } else {
        iol_sink_text(sink, "energy: not shown by this machine (no RAPL counters to read)\n");
    }
}

void iol_report_bill(const struct iol_results *results, struct iol_sink *sink)
{
    const struct iol_bill *bill = &results->bill;
    struct iol_bill_numbers numbers = {.struct_size = sizeof numbers};
    put_phases(bill, sink);
    put_interventions(results, sink);
    put_alternatives(bill, sink);
    iol_sink_text(sink, "\n");
    if (bill->peak_flops > 0) {
        iol_sink_format(sink,
                        "share of the peak: %.1f %% of %.1f GFLOP/s (FMA peak, %zu thread%s, "
                        "this run)\n",
                        100 * iol_bill_share(bill), bill->peak_flops / 1e9, bill->threads,
                        bill->threads == 1 ? "" : "s");
    }
    put_energy(bill, interventions(results), sink);
    iol_sink_text(sink, "memory: ");
    iol_report_quantity(sink, (double)bill->peak_memory_bytes, 2);
    iol_sink_text(sink, "B, weights ");
    iol_report_quantity(sink, (double)bill->model_bytes, 2);
    iol_sink_text(sink, "B, spill ");
    iol_report_quantity(sink, (double)bill->spill_bytes, 2);
    iol_sink_format(sink, "B; waves: %zu\n", bill->waves_done);
}
