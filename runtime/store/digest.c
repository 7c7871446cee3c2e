/* The digest: XXH3, 128 bits, over the experiment and its result values.
 *
 * The bytes are a sequence of tables. A table is its name, then its rows in primary-key order, then
 * their number; a row is a mark and its values; a value is its type and its bits (text and blobs
 * after their length). So no two different contents have the same bytes. Order of insertion, model
 * name, times, machine and the bill are not among them. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/base.h"
#include "store/sink.h"
#include "store/store_tables.h"

static const char what[] = "compute the digest";

struct hasher {
    XXH3_state_t *state;
    unsigned char held[4096]; /* small pieces go to the state together */
    size_t used;
};

static void flush_held(struct hasher *hasher)
{
    XXH3_128bits_update(hasher->state, hasher->held, hasher->used);
    hasher->used = 0;
}

static void add_bytes(struct hasher *hasher, const void *data, size_t count)
{
    if (count > sizeof hasher->held - hasher->used) {
        flush_held(hasher);
    }
    if (count > sizeof hasher->held) {
        XXH3_128bits_update(hasher->state, data, count);
    } else if (count) {
        memcpy(hasher->held + hasher->used, data, count);
        hasher->used += count;
    }
}

/* One type byte and eight little-endian bytes: a number, or the length of what follows. */
static void add_word(struct hasher *hasher, char type, uint64_t word)
{
    unsigned char bytes[9] = {(unsigned char)type};
    for (size_t i = 0; i < 8; i++) {
        bytes[1 + i] = (unsigned char)(word >> 8 * i);
    }
    add_bytes(hasher, bytes, sizeof bytes);
}

static void add_piece(struct hasher *hasher, char type, const void *data, size_t count)
{
    add_word(hasher, type, count);
    add_bytes(hasher, data, count);
}

static void add_column(struct hasher *hasher, sqlite3_stmt *statement, int column)
{
    double real;
    uint64_t word;
    const void *data;
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        add_word(hasher, 'i', (uint64_t)sqlite3_column_int64(statement, column));
        break;
    case SQLITE_FLOAT:
        real = sqlite3_column_double(statement, column);
        memcpy(&word, &real, sizeof word);
        add_word(hasher, 'f', word);
        break;
    case SQLITE_TEXT:
        data = sqlite3_column_text(statement, column);
        add_piece(hasher, 't', data, (size_t)sqlite3_column_bytes(statement, column));
        break;
    case SQLITE_BLOB:
        data = sqlite3_column_blob(statement, column);
        add_piece(hasher, 'b', data, (size_t)sqlite3_column_bytes(statement, column));
        break;
    default:
        add_word(hasher, 'n', 0);
        break;
    }
}

static enum iol_status add_table(struct hasher *hasher, const struct iol_database *database,
                                 const char *name, const char *sql)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    uint64_t rows = 0;
    add_piece(hasher, 'T', name, strlen(name));
    IOL_TRY(iol_query_open(database, what, sql, &query));
    const int columns = sqlite3_column_count(query.statement);
    for (;; rows++) {
        bool row;
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        add_word(hasher, 'R', (uint64_t)columns);
        for (int c = 0; c < columns; c++) {
            add_column(hasher, query.statement, c);
        }
    }
    add_word(hasher, 'E', rows);
out:
    iol_query_close(&query);
    return status;
}

/* Sites, kinds, pairs, seed, metrics, bos, filter, positions, weights, architecture and numerics
 * are the identity rows of meta. */
static const struct {
    const char *name, *sql;
} tables[] = {
    {"identity", "SELECT key, value FROM meta WHERE key GLOB 'identity.*' ORDER BY key"},
    {"sources", "SELECT source, line, tokens, answer FROM sources ORDER BY source"},
    {"prompts", "SELECT prompt, source, target" IOL_CLEAN_COLUMNS ", unembed" IOL_CLEAN_DIST_COLUMNS
                ", top_ids, top_logits, logits FROM prompts ORDER BY prompt"},
    {"runs", "SELECT prompt, pair, position, run, donor" IOL_RUN_COLUMNS IOL_RUN_DIST_COLUMNS
             ", argmax_changed FROM runs ORDER BY prompt, pair, position, run"},
    {"effects", "SELECT prompt, pair, position" IOL_EFFECT_COLUMNS IOL_EFFECT_DIST_COLUMNS
                ", argmax_changed, response FROM effects ORDER BY prompt, pair, position"},
    {"noise", "SELECT prompt, site, floor FROM noise ORDER BY prompt, site"},
    {"layers", "SELECT pair, n" IOL_LAYER_COLUMNS ", response FROM layers ORDER BY pair"},
};

enum iol_status iol_results_digest(struct iol_results *results, char out_hex[33])
{
    enum iol_status status = IOL_OK;
    struct hasher *hasher = NULL;
    const struct iol_database *database = &results->database;
    XXH128_canonical_t canonical;
    out_hex[0] = '\0';
    if (results->digested) {
        memcpy(out_hex, results->digest, sizeof results->digest);
        goto out;
    }
    if (!results->finished) {
        status = iol_fail(IOL_E_INVAL, "%s: the run is not finished: %zu of %zu prompts",
                          database->name, results->done_count,
                          results->captured ? results->prompt_count : results->source_count);
        goto out;
    }
    hasher = iol_alloc(1, sizeof *hasher);
    if (hasher) {
        hasher->state = XXH3_createState();
    }
    if (!hasher || !hasher->state || XXH3_128bits_reset(hasher->state) != XXH_OK) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", database->name);
        goto out;
    }
    IOL_TRY(iol_database_run(database, what, "SAVEPOINT digest"));
    add_piece(hasher, 'D', "iolaus-1", 8);
    for (size_t i = 0; i < sizeof tables / sizeof *tables && status == IOL_OK; i++) {
        status = add_table(hasher, database, tables[i].name, tables[i].sql);
    }
    sqlite3_exec(database->handle, "RELEASE digest", NULL, NULL, NULL);
    if (status != IOL_OK) {
        goto out;
    }
    flush_held(hasher);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hasher->state));
    for (size_t i = 0; i < sizeof canonical.digest; i++) {
        snprintf(results->digest + 2 * i, 3, "%02x", (unsigned)canonical.digest[i]);
    }
    results->digested = true;
    memcpy(out_hex, results->digest, sizeof results->digest);
out:
    if (hasher) {
        XXH3_freeState(hasher->state);
    }
    iol_free(hasher);
    return status;
}
