/* SQLite behind the habits of this code: one sentence per failure, doubles as they are. */
#ifndef IOL_DATABASE_H
#define IOL_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iolaus/status.h"

struct iol_database {
    sqlite3 *handle;
    char *name; /* for sentences: the path, or "results in memory" */
};

/* PRAGMA application_id and user_version of a results file. */
enum { IOL_DATABASE_ID = 0x494F4C31, IOL_DATABASE_SCHEMA = 1 };

enum iol_database_state { IOL_DATABASE_EMPTY, IOL_DATABASE_RESULTS };

/* Open `path` (NULL: in memory) and look at what it is, without writing to it. An empty or missing
 * file is IOL_DATABASE_EMPTY (a missing one is an error when `writable` is false).
 * Errors: IOL_E_IO; IOL_E_FORMAT (no database, damaged, another program's, another schema version);
 * IOL_E_NOMEM. *out is closed then. */
IOL_NODISCARD enum iol_status iol_database_open(const char *path, bool writable,
                                                struct iol_database *out,
                                                enum iol_database_state *out_state);
void iol_database_close(struct iol_database *database); /* safe on a zeroed one */

/* The sentence of the last SQLite error: "<name>: cannot <what>: <sqlite3_errmsg>". */
IOL_NODISCARD enum iol_status iol_database_fail(const struct iol_database *database,
                                                const char *what);

/* Run statements without results. `what` completes "cannot ...". */
IOL_NODISCARD enum iol_status iol_database_run(const struct iol_database *database,
                                               const char *what, const char *sql);

/* One transaction. Rolling back leaves the recorded sentence as it is. */
IOL_NODISCARD enum iol_status iol_database_begin(const struct iol_database *database,
                                                 const char *what);
IOL_NODISCARD enum iol_status iol_database_commit(const struct iol_database *database,
                                                  const char *what);
void iol_database_rollback(const struct iol_database *database); /* safe outside a transaction */

/* A prepared statement. Bind the parameters in order, then step or run. A failed bind is reported
 * by the next step or run. */
struct iol_query {
    const struct iol_database *database;
    sqlite3_stmt *statement;
    const char *what; /* not copied */
    int bound;
    int failed; /* SQLite code of a failed bind, or 0 */
};

IOL_NODISCARD enum iol_status iol_query_open(const struct iol_database *database, const char *what,
                                             const char *sql, struct iol_query *out);
void iol_query_close(struct iol_query *query); /* safe on a zeroed one */

void iol_query_bind_null(struct iol_query *query);
void iol_query_bind_real(struct iol_query *query, double value);    /* NaN: NULL */
void iol_query_bind_count(struct iol_query *query, uint64_t value); /* < 2^63 */
void iol_query_bind_id(struct iol_query *query, int64_t value);
/* Text and blob must stay until the statement ran. data NULL: NULL. */
void iol_query_bind_text(struct iol_query *query, const char *text);
void iol_query_bind_blob(struct iol_query *query, const void *data, size_t bytes);

/* The next row, or *out_row = false at the end (the query can be bound again then). */
IOL_NODISCARD enum iol_status iol_query_step(struct iol_query *query, bool *out_row);
/* Run a statement without rows to its end; it can be bound again then. */
IOL_NODISCARD enum iol_status iol_query_run(struct iol_query *query);
void iol_query_reset(struct iol_query *query); /* leave a result early and bind again */

/* Columns of the current row. */
bool iol_query_is_null(const struct iol_query *query, int column);
double iol_query_real(const struct iol_query *query, int column); /* NULL: NaN */
uint64_t iol_query_count(const struct iol_query *query, int column);
int64_t iol_query_id(const struct iol_query *query, int column);
const char *iol_query_text(const struct iol_query *query, int column); /* "" for NULL */
/* Exactly `count` elements of `size` bytes; IOL_E_FORMAT otherwise. *out_data is valid until the
 * next step; it may be unaligned; NULL for 0 elements. */
IOL_NODISCARD enum iol_status iol_query_blob(const struct iol_query *query, int column,
                                             size_t count, size_t size, const void **out_data);

#endif
