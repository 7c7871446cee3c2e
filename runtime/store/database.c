#define _GNU_SOURCE
#include "store/database.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

/* Blobs hold numbers as they lie in memory; the file is little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "results files are little-endian");

enum { BUSY_MILLISECONDS = 10000 };

/* --- failures --- */

static enum iol_status fail_code(const struct iol_database *database, const char *what, int code,
                                 const char *message)
{
    const char *name = database->name;
    switch (code & 0xFF) {
    case SQLITE_NOMEM:
        return iol_fail(IOL_E_NOMEM, "%s: cannot %s: %s", name, what, message);
    case SQLITE_NOTADB:
        return iol_fail(IOL_E_FORMAT, "%s: not a results file: %s, expected a SQLite database",
                        name, message);
    case SQLITE_CORRUPT:
        return iol_fail(IOL_E_FORMAT, "%s: the file is damaged: cannot %s: %s", name, what,
                        message);
    case SQLITE_FULL:
        return iol_fail(IOL_E_IO,
                        "%s: cannot %s: %s; what was stored before is kept: free some space and "
                        "run again",
                        name, what, message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return iol_fail(IOL_E_IO, "%s: cannot %s: another process is writing to it (%s)", name,
                        what, message);
    case SQLITE_CONSTRAINT:
        return iol_fail(IOL_E_IO,
                        "%s: cannot %s: it is stored already (%s): another process is running the "
                        "same experiment",
                        name, what, message);
    case SQLITE_CANTOPEN: {
        int reason = database->handle ? sqlite3_system_errno(database->handle) : 0;
        return reason ? iol_fail(IOL_E_IO, "%s: cannot %s: %s (%s)", name, what, message,
                                 strerror(reason))
                      : iol_fail(IOL_E_IO, "%s: cannot %s: %s", name, what, message);
    }
    default:
        return iol_fail(IOL_E_IO, "%s: cannot %s: %s", name, what, message);
    }
}

enum iol_status iol_database_fail(const struct iol_database *database, const char *what)
{
    return fail_code(database, what, sqlite3_extended_errcode(database->handle),
                     sqlite3_errmsg(database->handle));
}

/* --- opening --- */

static enum iol_status read_number(const struct iol_database *database, const char *sql,
                                   int64_t *out_value)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    bool row = false;
    *out_value = 0;
    IOL_TRY(iol_query_open(database, "open it", sql, &query));
    IOL_TRY(iol_query_step(&query, &row));
    *out_value = row ? iol_query_id(&query, 0) : 0;
out:
    iol_query_close(&query);
    return status;
}

/* What the opened file is, by its application id, schema version and table count. */
static enum iol_status look(const struct iol_database *database, enum iol_database_state *out_state)
{
    enum iol_status status = IOL_OK;
    int64_t id, version, tables;
    *out_state = IOL_DATABASE_EMPTY;
    IOL_TRY(read_number(database, "SELECT count(*) FROM sqlite_master", &tables));
    IOL_TRY(read_number(database, "PRAGMA application_id", &id));
    IOL_TRY(read_number(database, "PRAGMA user_version", &version));
    if (tables == 0 && id == 0 && version == 0) {
        goto out;
    }
    if (id != IOL_DATABASE_ID) {
        status = iol_fail(IOL_E_FORMAT,
                          "%s: not a results file: a SQLite database of another program "
                          "(application id %lld, expected %d)",
                          database->name, (long long)id, (int)IOL_DATABASE_ID);
        goto out;
    }
    if (version != IOL_DATABASE_SCHEMA) {
        status = iol_fail(IOL_E_FORMAT,
                          "%s: written by another version of iolaus: found schema version %lld, "
                          "expected %d",
                          database->name, (long long)version, (int)IOL_DATABASE_SCHEMA);
        goto out;
    }
    *out_state = IOL_DATABASE_RESULTS;
out:
    return status;
}

/* `file` is a URI if the flags say so. */
static enum iol_status open_handle(struct iol_database *database, const char *file, int flags)
{
    int code = sqlite3_open_v2(file, &database->handle, flags | SQLITE_OPEN_EXRESCODE, NULL);
    if (code != SQLITE_OK) {
        const char *message =
            database->handle ? sqlite3_errmsg(database->handle) : sqlite3_errstr(code);
        return fail_code(database, "open it", code, message);
    }
    sqlite3_busy_timeout(database->handle, BUSY_MILLISECONDS);
    return IOL_OK;
}

/* "file:<path with ?, # and % escaped>?immutable=1" */
static char *immutable_uri(const char *path)
{
    size_t length = strlen(path), used = 5;
    char *uri = length < SIZE_MAX / 4 ? iol_alloc(3 * length + 32, 1) : NULL;
    if (!uri) {
        return NULL;
    }
    memcpy(uri, "file:", used);
    for (size_t i = 0; i < length; i++) {
        static const char digits[] = "0123456789ABCDEF";
        unsigned char c = (unsigned char)path[i];
        if (c == '?' || c == '#' || c == '%') {
            uri[used++] = '%';
            uri[used++] = digits[c >> 4];
            uri[used++] = digits[c & 15];
        } else {
            uri[used++] = path[i];
        }
    }
    memcpy(uri + used, "?immutable=1", sizeof "?immutable=1");
    return uri;
}

/* A WAL database in a folder that cannot be written cannot make its shared-memory file. Without a
 * log beside it nothing can be pending, and it can be read as it lies. */
static enum iol_status reopen_immutable(struct iol_database *database, const char *path,
                                        enum iol_database_state *out_state)
{
    enum iol_status status = IOL_OK;
    char *uri = immutable_uri(path);
    if (!uri) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", path);
        goto out;
    }
    sqlite3_close(database->handle);
    database->handle = NULL;
    IOL_TRY(open_handle(database, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI));
    IOL_TRY(look(database, out_state));
out:
    iol_free(uri);
    return status;
}

/* SQLite falls back to reading; what stands in the way is said better by the system. */
static enum iol_status check_writable(const char *path)
{
    if (iol_file_exists(path)) {
        return access(path, W_OK) == 0
                   ? IOL_OK
                   : iol_fail(IOL_E_IO, "%s: cannot write to it: %s", path, strerror(errno));
    }
    const char *slash = strrchr(path, '/');
    char *folder = slash ? iol_strndup(path, (size_t)(slash - path) + 1) : iol_strdup(".");
    if (!folder) {
        return iol_fail(IOL_E_NOMEM, "out of memory: %s", path);
    }
    bool writable = access(folder, W_OK | X_OK) == 0;
    int reason = errno;
    iol_free(folder);
    return writable ? IOL_OK
                    : iol_fail(IOL_E_IO, "%s: cannot create it: %s", path, strerror(reason));
}

enum iol_status iol_database_open(const char *path, bool writable, struct iol_database *out,
                                  enum iol_database_state *out_state)
{
    enum iol_status status = IOL_OK;
    char *log = NULL, *file = NULL;
    *out = (struct iol_database){0};
    *out_state = IOL_DATABASE_EMPTY;
    out->name = iol_strdup(path ? path : "results in memory");
    log = iol_format("%s-wal", path ? path : "");
    /* neither a URI nor a name of SQLite's own, whatever it begins with */
    file = path ? iol_format("%s%s", path[0] == '/' ? "" : "./", path) : iol_strdup(":memory:");
    if (!out->name || !log || !file) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", path ? path : "results in memory");
        goto out;
    }
    if (writable && path) {
        IOL_TRY(check_writable(path));
    }
    IOL_TRY(open_handle(
        out, file, writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY));
    status = look(out, out_state);
    if (status == IOL_E_IO && !writable && path && !iol_file_exists(log)) {
        status = reopen_immutable(out, file, out_state);
    }
out:
    iol_free(file);
    iol_free(log);
    if (status != IOL_OK) {
        iol_database_close(out);
    }
    return status;
}

void iol_database_close(struct iol_database *database)
{
    sqlite3_close(database->handle);
    iol_free(database->name);
    *database = (struct iol_database){0};
}

/* --- statements --- */

enum iol_status iol_database_run(const struct iol_database *database, const char *what,
                                 const char *sql)
{
    if (sqlite3_exec(database->handle, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return iol_database_fail(database, what);
    }
    return IOL_OK;
}

enum iol_status iol_database_begin(const struct iol_database *database, const char *what)
{
    return iol_database_run(database, what, "BEGIN IMMEDIATE");
}

enum iol_status iol_database_commit(const struct iol_database *database, const char *what)
{
    return iol_database_run(database, what, "COMMIT");
}

void iol_database_rollback(const struct iol_database *database)
{
    if (database->handle && !sqlite3_get_autocommit(database->handle)) {
        sqlite3_exec(database->handle, "ROLLBACK", NULL, NULL, NULL);
    }
}

enum iol_status iol_query_open(const struct iol_database *database, const char *what,
                               const char *sql, struct iol_query *out)
{
    *out = (struct iol_query){.database = database, .what = what};
    if (sqlite3_prepare_v2(database->handle, sql, -1, &out->statement, NULL) != SQLITE_OK) {
        return iol_database_fail(database, what);
    }
    return IOL_OK;
}

void iol_query_close(struct iol_query *query)
{
    sqlite3_finalize(query->statement);
    *query = (struct iol_query){0};
}

static void bound(struct iol_query *query, int code)
{
    if (code != SQLITE_OK && query->failed == 0) {
        query->failed = code;
    }
}

void iol_query_bind_null(struct iol_query *query)
{
    bound(query, sqlite3_bind_null(query->statement, ++query->bound));
}

void iol_query_bind_real(struct iol_query *query, double value)
{
    bound(query, isnan(value) ? sqlite3_bind_null(query->statement, ++query->bound)
                              : sqlite3_bind_double(query->statement, ++query->bound, value));
}

void iol_query_bind_count(struct iol_query *query, uint64_t value)
{
    iol_query_bind_id(query, value <= INT64_MAX ? (int64_t)value : INT64_MAX);
}

void iol_query_bind_id(struct iol_query *query, int64_t value)
{
    bound(query, sqlite3_bind_int64(query->statement, ++query->bound, value));
}

void iol_query_bind_text(struct iol_query *query, const char *text)
{
    bound(query, sqlite3_bind_text(query->statement, ++query->bound, text, -1, SQLITE_STATIC));
}

void iol_query_bind_blob(struct iol_query *query, const void *data, size_t bytes)
{
    bound(query, sqlite3_bind_blob64(query->statement, ++query->bound, data, bytes, SQLITE_STATIC));
}

enum iol_status iol_query_step(struct iol_query *query, bool *out_row)
{
    *out_row = false;
    int code = query->failed ? query->failed : sqlite3_step(query->statement);
    if (code == SQLITE_ROW) {
        *out_row = true;
        return IOL_OK;
    }
    enum iol_status status = IOL_OK;
    if (code != SQLITE_DONE) {
        status = fail_code(query->database, query->what, code,
                           query->failed ? sqlite3_errstr(code)
                                         : sqlite3_errmsg(query->database->handle));
    }
    iol_query_reset(query);
    return status;
}

enum iol_status iol_query_run(struct iol_query *query)
{
    bool row = true;
    enum iol_status status = IOL_OK;
    while (row && status == IOL_OK) {
        status = iol_query_step(query, &row);
    }
    return status;
}

void iol_query_reset(struct iol_query *query)
{
    sqlite3_reset(query->statement);
    query->bound = 0;
    query->failed = 0;
}

/* --- columns --- */

bool iol_query_is_null(const struct iol_query *query, int column)
{
    return sqlite3_column_type(query->statement, column) == SQLITE_NULL;
}

double iol_query_real(const struct iol_query *query, int column)
{
    return iol_query_is_null(query, column) ? (double)NAN
                                            : sqlite3_column_double(query->statement, column);
}

int64_t iol_query_id(const struct iol_query *query, int column)
{
    return sqlite3_column_int64(query->statement, column);
}

uint64_t iol_query_count(const struct iol_query *query, int column)
{
    int64_t value = iol_query_id(query, column);
    return value < 0 ? 0 : (uint64_t)value;
}

const char *iol_query_text(const struct iol_query *query, int column)
{
    const char *text = (const char *)sqlite3_column_text(query->statement, column);
    return text ? text : "";
}

enum iol_status iol_query_blob(const struct iol_query *query, int column, size_t count, size_t size,
                               const void **out_data)
{
    const void *data = sqlite3_column_blob(query->statement, column);
    size_t bytes = (size_t)sqlite3_column_bytes(query->statement, column);
    size_t wanted = 0;
    *out_data = NULL;
    if (!iol_mul(count, size, &wanted) || bytes != wanted) {
        return iol_fail(IOL_E_FORMAT, "%s: cannot %s: column %s holds %zu bytes, expected %zu",
                        query->database->name, query->what,
                        sqlite3_column_name(query->statement, column), bytes, wanted);
    }
    *out_data = bytes ? data : NULL;
    return IOL_OK;
}
