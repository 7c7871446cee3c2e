/* The table. One block per kind, one line per site:
 *
 *   site        dUnemb     TE     DE     CE   norm   rest.  [95 % int.]     r2
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "report/report.h"

enum { HEADS_SHOWN = 20 };

static bool beyond_null(const struct iol_layer_row *row)
{
    return row->restoration > 0 && row->restoration > row->null.restoration_q95;
}

static void put_line(const struct iol_results *results, size_t index, struct iol_sink *sink)
{
    const struct iol_layer_row *row = &results->layers[index];
    const double *mean = row->mean;
    iol_sink_format(sink, "%-11s", results->pairs[index].site);
    iol_report_number(sink, mean[IOL_MEAN_delta_unembed], 7);
    iol_report_number(sink, mean[IOL_MEAN_delta_ablate], 7);
    iol_report_number(sink, mean[IOL_MEAN_de], 7);
    iol_report_number(sink, mean[IOL_MEAN_ce_attn] + mean[IOL_MEAN_ce_mlp], 7);
    iol_report_number(sink, mean[IOL_MEAN_norm_term], 7);
    iol_report_number(sink, row->restoration, 8);
    iol_sink_text(sink, " [");
    iol_report_number(sink, -row->bootstrap.slope_high, 6);
    iol_sink_text(sink, ",");
    iol_report_number(sink, -row->bootstrap.slope_low, 6);
    iol_sink_text(sink, "]");
    iol_report_number(sink, row->ce_on_de.r2, 6);
    iol_sink_text(sink, beyond_null(row) ? " *\n" : "\n");
}

struct ranked_head {
    double size;
    size_t index;
};

/* Largest first; NaN last; then by index. */
static int compare_heads(const void *a, const void *b)
{
    const struct ranked_head *x = a, *y = b;
    double p = isnan(x->size) ? -1 : x->size, q = isnan(y->size) ? -1 : y->size;
    if (p != q) {
        return p > q ? -1 : 1;
    }
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Of the heads of one kind, which are printed; *out_hidden counts the others. */
static void choose_heads(const struct iol_results *results, const char *kind,
                         struct ranked_head *scratch, bool *shown, size_t *out_hidden)
{
    size_t heads = 0;
    for (size_t i = 0; i < results->layer_count; i++) {
        if (strcmp(results->pairs[i].kind, kind) == 0 &&
            strcmp(results->pairs[i].type, "head") == 0) {
            scratch[heads++] =
                (struct ranked_head){fabs(results->layers[i].mean[IOL_MEAN_delta_ablate]), i};
        }
    }
    qsort(scratch, heads, sizeof *scratch, compare_heads);
    *out_hidden = heads > HEADS_SHOWN ? heads - HEADS_SHOWN : 0;
    for (size_t h = 0; h < heads; h++) {
        shown[scratch[h].index] = h < HEADS_SHOWN;
    }
}

static void put_kind(const struct iol_results *results, size_t first, const bool *shown,
                     size_t hidden, struct iol_sink *sink)
{
    const struct iol_stored_pair *pair = &results->pairs[first];
    size_t rows = 0, beyond = 0;
    double ratio = 0, floor = 0;
    iol_sink_format(sink, "\n%s, %zu run%s of each of %zu prompts\n", pair->kind, pair->runs,
                    pair->runs == 1 ? "" : "s", results->layers[first].n);
    iol_sink_text(sink, "site        dUnemb     TE     DE     CE   norm   rest. "
                        "[ 95 % interval]    r2\n");
    for (size_t i = first; i < results->layer_count; i++) {
        if (strcmp(results->pairs[i].kind, pair->kind) != 0) {
            continue;
        }
        if (shown[i]) {
            put_line(results, i, sink);
        }
        rows++;
        beyond += beyond_null(&results->layers[i]);
        ratio += results->layers[i].mean[IOL_MEAN_sigma_ratio];
        floor = fmax(floor, results->layers[i].noise_floor);
    }
    if (hidden) {
        iol_sink_format(sink,
                        "%zu more heads not shown (the %d of largest mean |TE| are); all: "
                        "iolaus export\n",
                        hidden, (int)HEADS_SHOWN);
    }
    iol_sink_format(sink,
                    "restore beyond the null (*): %zu of %zu sites; mean sigma ratio %.4f\n"
                    "noise floor (largest): %.1e\n",
                    beyond, rows, ratio / (double)rows, floor);
}

static const char legend[] =
    "\nMeans over the prompts, in logits (centred over the vocabulary):\n"
    "  dUnemb  direct contribution of the site, clean run      (Delta_unembed)\n"
    "  TE      change of the final logit when it is ablated    (Delta_ablate)\n"
    "  DE, CE  its direct part, and what later sublayers add; norm: the final\n"
    "          norm's part. TE = DE + CE + norm\n"
    "  rest.   restoration = -slope of CE on DE over the prompts, with its 95 %\n"
    "          bootstrap interval and r2; *: above 95 % of permuted prompts\n";

/* What a fast run has to say before its numbers. */
static void put_arithmetic(const struct iol_results *results, struct iol_sink *sink)
{
    const char *name;
    double rms, max;
    int prompts, same;
    json_t *fast = results->arithmetic ? json_loads(results->arithmetic, 0, NULL) : NULL;
    if (fast && json_unpack(fast, "{s:s s:F s:F s:i s:i}", "name", &name, "error_rms", &rms,
                            "error_max", &max, "prompts", &prompts, "same_targets", &same) == 0) {
        iol_sink_format(sink,
                        "arithmetic: %s\n  logits differ from exact ones by %.1e (rms), %.1e (max) "
                        "spreads;\n  same arg-max in %d of %d prompts compared\n",
                        name, rms, max, same, prompts);
    }
    json_decref(fast);
}

enum iol_status iol_report_table(const struct iol_results *results, struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    bool *shown = iol_alloc(results->layer_count, sizeof *shown);
    bool *printed = iol_alloc(results->layer_count, sizeof *printed);
    struct ranked_head *scratch = iol_alloc(results->layer_count, sizeof *scratch);
    const char *model = "model";
    if (!shown || !printed || !scratch) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: the table");
        goto out;
    }
    json_t *name = json_object_get(json_object_get(results->spec, "model"), "name");
    model = json_string_value(name) ? json_string_value(name) : model;
    if (!results->finished) {
        iol_sink_format(sink, "%.40s: not finished: %zu of %zu prompts are stored\n", model,
                        results->done_count,
                        results->captured ? results->prompt_count : results->source_count);
        goto out;
    }
    iol_sink_format(sink, "%.40s: %zu prompts, %zu (site, kind) rows\n", model,
                    results->prompt_count, results->pair_count);
    put_arithmetic(results, sink);
    for (size_t i = 0; i < results->layer_count; i++) {
        shown[i] = true;
    }
    for (size_t i = 0; i < results->layer_count; i++) {
        size_t hidden = 0;
        if (printed[i]) {
            continue;
        }
        choose_heads(results, results->pairs[i].kind, scratch, shown, &hidden);
        put_kind(results, i, shown, hidden, sink);
        for (size_t j = i; j < results->layer_count; j++) {
            printed[j] = printed[j] || strcmp(results->pairs[j].kind, results->pairs[i].kind) == 0;
        }
    }
    iol_sink_text(sink, legend);
out:
    iol_free(scratch);
    iol_free(printed);
    iol_free(shown);
    return status;
}
