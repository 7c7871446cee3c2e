/* The text forms of results, by name. */
#include "report/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "store/export.h"

/* --- numbers --- */

void iol_report_number(struct iol_sink *sink, double value, int width)
{
    char text[352];
    if (fabs(value) < 0.0005) {
        value = 0; /* no "-0.000" */
    }
    if (!isfinite(value)) {
        iol_sink_format(sink, "%*s", width, "-");
        return;
    }
    for (int decimals = 3; decimals >= 0; decimals--) {
        int length = snprintf(text, sizeof text, "%.*f", decimals, value);
        if (length < width) { /* one blank before it */
            break;
        }
    }
    if (strlen(text) >= (size_t)width) {
        snprintf(text, sizeof text, "%.0e", value);
    }
    iol_sink_format(sink, "%*s", width, text);
}

void iol_report_quantity(struct iol_sink *sink, double value, int width)
{
    static const char units[] = " kMGTPE";
    size_t unit = 0;
    while (value >= 999.5 && unit + 2 < sizeof units) {
        value /= 1000;
        unit++;
    }
    int decimals = value == 0 || unit == 0 ? 0 : value < 9.995 ? 3 : value < 99.95 ? 2 : 1;
    iol_sink_format(sink, "%*.*f %c", width - 2, decimals, value, units[unit]);
}

/* --- dispatch --- */

static enum iol_status write_format(struct iol_results *results, const char *format,
                                    struct iol_sink *sink)
{
    enum iol_status status = IOL_OK;
    struct iol_number_scope scope = {0};
    const struct iol_database *database = &results->database;
    IOL_TRY(iol_number_scope_enter(&scope));
    IOL_TRY(iol_database_run(database, "read it", "BEGIN"));
    if (strcmp(format, "json") == 0) {
        IOL_TRY(iol_export_json(results, sink));
    } else if (strcmp(format, "csv") == 0) {
        IOL_TRY(iol_export_csv(results, sink));
    } else if (strcmp(format, "table") == 0) {
        IOL_TRY(iol_report_table(results, sink));
    } else {
        iol_report_bill(results, sink);
    }
    IOL_TRY(sink->status);
out:
    iol_database_rollback(database);
    iol_number_scope_leave(&scope);
    return status;
}

static bool known(const char *format, const char *const *names)
{
    while (*names && strcmp(format, *names) != 0) {
        names++;
    }
    return *names != NULL;
}

enum iol_status iol_results_export(struct iol_results *results, const char *format,
                                   const char *path)
{
    static const char *const names[] = {"json", "csv", NULL};
    struct iol_sink sink;
    if (!known(format, names)) {
        return iol_fail(IOL_E_INVAL, "format: found '%s', expected json or csv", format);
    }
    enum iol_status status = iol_sink_open_file(path, &sink);
    if (status != IOL_OK) {
        return status;
    }
    status = write_format(results, format, &sink);
    if (status != IOL_OK) {
        iol_sink_close(&sink);
        return status;
    }
    return iol_sink_finish_file(&sink);
}

enum iol_status iol_results_text(struct iol_results *results, const char *format, char **out_text)
{
    static const char *const names[] = {"json", "csv", "table", "bill", NULL};
    struct iol_sink sink;
    *out_text = NULL;
    if (!known(format, names)) {
        return iol_fail(IOL_E_INVAL, "format: found '%s', expected json, csv, table or bill",
                        format);
    }
    iol_sink_open_text(&sink);
    enum iol_status status = write_format(results, format, &sink);
    if (status != IOL_OK) {
        iol_sink_close(&sink);
        return status;
    }
    return iol_sink_finish_text(&sink, out_text);
}

void iol_text_free(char *text)
{
    iol_free(text);
}
