#include <stdlib.h>

#include "base/base.h"
#include "store/store_tables.h"

enum iol_status iol_meta_put(const struct iol_database *database, const char *key, const char *text)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    IOL_TRY(iol_query_open(database, "store what the experiment is",
                           "INSERT OR REPLACE INTO meta VALUES(?, ?)", &query));
    iol_query_bind_text(&query, key);
    iol_query_bind_text(&query, text);
    IOL_TRY(iol_query_run(&query));
out:
    iol_query_close(&query);
    return status;
}

enum iol_status iol_meta_get(const struct iol_database *database, const char *key, char **out_text)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    bool row = false;
    *out_text = NULL;
    IOL_TRY(iol_query_open(database, "read what the experiment is",
                           "SELECT value FROM meta WHERE key = ?", &query));
    iol_query_bind_text(&query, key);
    IOL_TRY(iol_query_step(&query, &row));
    if (row) {
        *out_text = iol_strdup(iol_query_text(&query, 0));
        if (!*out_text) {
            status = iol_fail(IOL_E_NOMEM, "out of memory: %s", database->name);
        }
    }
out:
    iol_query_close(&query);
    return status;
}

enum iol_status iol_meta_get_count(const struct iol_database *database, const char *key,
                                   bool *out_there, size_t *out_value)
{
    enum iol_status status = IOL_OK;
    char *text = NULL, *end = NULL;
    *out_there = false;
    *out_value = 0;
    IOL_TRY(iol_meta_get(database, key, &text));
    if (text) {
        unsigned long long value = strtoull(text, &end, 10);
        if (end == text || *end || value > SIZE_MAX / 2) {
            status = iol_fail(IOL_E_FORMAT, "%s: meta '%s': found '%s', expected a number",
                              database->name, key, text);
            goto out;
        }
        *out_there = true;
        *out_value = (size_t)value;
    }
out:
    iol_free(text);
    return status;
}
