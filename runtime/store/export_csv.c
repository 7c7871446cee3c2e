/* One line per effect, RFC 4180 (lines end in CR LF); undefined numbers are empty. */
#include <string.h>

#include "base/base.h"
#include "store/export.h"

static const char what[] = "export it";

enum {
    AT_PROMPT,
    AT_LINE,
    AT_TARGET,
    AT_PAIR,
    AT_POSITION,
    AT_NUMBERS /* first of the real columns */
};

static void put_text(struct iol_sink *sink, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        iol_sink_text(sink, text);
        return;
    }
    iol_sink_bytes(sink, "\"", 1);
    for (const char *c = text; *c; c++) {
        iol_sink_bytes(sink, c, 1);
        iol_sink_bytes(sink, "\"", *c == '"');
    }
    iol_sink_bytes(sink, "\"", 1);
}

static enum iol_status put_donors(struct iol_query *donors, const struct iol_query *effect,
                                  struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    iol_query_bind_id(donors, iol_query_id(effect, AT_PROMPT));
    iol_query_bind_id(donors, iol_query_id(effect, AT_PAIR));
    iol_query_bind_id(donors, iol_query_id(effect, AT_POSITION));
    for (bool first = true;; first = false) {
        bool row;
        IOL_TRY(iol_query_step(donors, &row));
        if (!row) {
            break;
        }
        iol_sink_bytes(sink, " ", !first);
        iol_sink_count(sink, iol_query_count(donors, 0));
    }
out:
    return status;
}

static enum iol_status put_row(const struct iol_results *results, const struct iol_query *query,
                               struct iol_query *donors, int numbers, struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    const size_t index = (size_t)iol_query_count(query, AT_PAIR);
    if (index >= results->pair_count) {
        status = iol_fail(IOL_E_FORMAT, "%s: the file is damaged: an effect of pair %zu of %zu",
                          results->database.name, index, results->pair_count);
        goto out;
    }
    iol_sink_count(sink, iol_query_count(query, AT_PROMPT));
    iol_sink_bytes(sink, ",", 1);
    iol_sink_count(sink, iol_query_count(query, AT_LINE));
    iol_sink_bytes(sink, ",", 1);
    iol_sink_count(sink, iol_query_count(query, AT_TARGET));
    iol_sink_bytes(sink, ",", 1);
    put_text(sink, results->pairs[index].site);
    iol_sink_bytes(sink, ",", 1);
    iol_sink_count(sink, iol_query_count(query, AT_POSITION));
    iol_sink_bytes(sink, ",", 1);
    put_text(sink, results->pairs[index].kind);
    iol_sink_bytes(sink, ",", 1);
    IOL_TRY(put_donors(donors, query, sink));
    for (int c = 0; c < numbers; c++) {
        iol_sink_bytes(sink, ",", 1);
        iol_sink_real(sink, iol_query_real(query, AT_NUMBERS + c), "");
    }
    if (results->dist) {
        iol_sink_bytes(sink, ",", 1);
        iol_sink_count(sink, iol_query_count(query, AT_NUMBERS + numbers));
    }
    iol_sink_bytes(sink, "\r\n", 2);
    IOL_TRY(sink->status);
out:
    return status;
}

#define COUNT(name)  +1
#define HEADER(name) "," #name
#define COLUMN(name) ", effects." #name

enum iol_status iol_export_csv(struct iol_results *results, struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0}, donors = {0};
    const int plain = 0 IOL_EFFECT_REALS(COUNT);
    const int numbers = results->dist ? plain IOL_EFFECT_DIST_REALS(COUNT) : plain;
    IOL_TRY(iol_query_open(
        &results->database, what,
        results->dist
            ? "SELECT prompt, line, target, pair, position" IOL_EFFECT_REALS(COLUMN)
                  IOL_EFFECT_DIST_REALS(
                      COLUMN) ", effects.argmax_changed FROM effects JOIN prompts USING(prompt) "
                              "JOIN sources USING(source) ORDER BY prompt, pair, position"
            : "SELECT prompt, line, target, pair, position" IOL_EFFECT_REALS(
                  COLUMN) " FROM effects JOIN prompts USING(prompt) "
                          "JOIN sources USING(source) ORDER BY prompt, pair, position",
        &query));
    IOL_TRY(iol_query_open(&results->database, what, IOL_SELECT_DONORS, &donors));
    iol_sink_text(sink, "prompt,line,target,site,pos,kind,donors" IOL_EFFECT_REALS(HEADER));
    iol_sink_text(sink,
                  results->dist ? IOL_EFFECT_DIST_REALS(HEADER) ",argmax_changed\r\n" : "\r\n");
    for (;;) {
        bool row;
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        IOL_TRY(put_row(results, &query, &donors, numbers, sink));
    }
    IOL_TRY(sink->status);
out:
    iol_query_close(&donors);
    iol_query_close(&query);
    return status;
}
