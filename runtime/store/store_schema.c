#include <string.h>

#include "base/base.h"
#include "iolaus/context.h"
#include "store/store_tables.h"

/* Columns of numbers have no declared type: SQLite's REAL affinity stores -0.0 as 0, a column
 * without one keeps every double as it is. NULL is NaN (undefined). Vectors are blobs,
 * little-endian f64 unless it says f32 or i32. */
/* clang-format off */
static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE sources( -- prompts of the file, before the filter\n"
    "  source INTEGER PRIMARY KEY, line INTEGER NOT NULL,\n"
    "  tokens BLOB NOT NULL, -- i32\n"
    "  answer INTEGER -- id that the target must be; NULL without filter\n);"
    "CREATE TABLE sites(site INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,\n"
    "  layer INTEGER NOT NULL, head INTEGER NOT NULL, sublayer INTEGER NOT NULL);"
    "CREATE TABLE pairs( -- (site, kind)\n"
    "  pair INTEGER PRIMARY KEY, site INTEGER NOT NULL REFERENCES sites, kind TEXT NOT NULL,\n"
    "  runs INTEGER NOT NULL, donors INTEGER NOT NULL);"
    "CREATE TABLE prompts( -- clean read-outs, after the filter\n"
    "  prompt INTEGER PRIMARY KEY, source INTEGER NOT NULL REFERENCES sources,\n"
    "  target INTEGER NOT NULL" IOL_CLEAN_COLUMNS ", unembed BLOB NOT NULL" IOL_CLEAN_DIST_COLUMNS
    ",\n"
    "  top_ids BLOB, -- i32\n"
    "  top_logits BLOB,\n"
    "  logits BLOB -- f32, first two prompts\n);"
    "CREATE TABLE clean( -- f32: y of all sublayers, z of all layers at the final position\n"
    "  prompt INTEGER PRIMARY KEY REFERENCES prompts, y BLOB NOT NULL, z BLOB);"
    "CREATE TABLE effects(prompt INTEGER NOT NULL REFERENCES prompts,\n"
    "  pair INTEGER NOT NULL REFERENCES pairs, position INTEGER NOT NULL"
    IOL_EFFECT_COLUMNS IOL_EFFECT_DIST_COLUMNS ",\n"
    "  argmax_changed INTEGER, response BLOB,\n"
    "  PRIMARY KEY(prompt, pair, position)) WITHOUT ROWID;"
    "CREATE TABLE runs( -- an effect is the mean of these\n"
    "  prompt INTEGER NOT NULL, pair INTEGER NOT NULL, position INTEGER NOT NULL,\n"
    "  run INTEGER NOT NULL, donor INTEGER" IOL_RUN_COLUMNS IOL_RUN_DIST_COLUMNS
    ", argmax_changed INTEGER,\n"
    "  PRIMARY KEY(prompt, pair, position, run)) WITHOUT ROWID;"
    "CREATE TABLE noise( -- largest deviation of the identity intervention\n"
    "  prompt INTEGER NOT NULL REFERENCES prompts, site INTEGER NOT NULL REFERENCES sites, floor,\n"
    "  PRIMARY KEY(prompt, site)) WITHOUT ROWID;"
    "CREATE TABLE layers( -- statistics of a pair over the prompts\n"
    "  pair INTEGER PRIMARY KEY REFERENCES pairs, n INTEGER NOT NULL" IOL_LAYER_COLUMNS
    ", response BLOB);"
    "CREATE TABLE cost(item TEXT PRIMARY KEY, flops INTEGER, bytes INTEGER, rows INTEGER,\n"
    "  seconds) WITHOUT ROWID;"
    "CREATE TABLE pair_cost( -- of all runs and prompts of the pair\n"
    "  pair INTEGER PRIMARY KEY REFERENCES pairs, flops INTEGER, bytes INTEGER, rows INTEGER,\n"
    "  seconds);"
    "CREATE TABLE totals(name TEXT PRIMARY KEY, value) WITHOUT ROWID;";
/* clang-format on */

static const char what[] = "create it";

static enum iol_status put_sources(const struct iol_store *store)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    const struct iol_experiment *experiment = store->experiment;
    IOL_TRY(
        iol_query_open(&store->database, what, "INSERT INTO sources VALUES(?, ?, ?, ?)", &query));
    for (size_t p = 0; p < experiment->prompt_count; p++) {
        const struct iol_prompt *prompt = &experiment->prompts[p];
        iol_query_bind_count(&query, p);
        iol_query_bind_count(&query, prompt->line);
        iol_query_bind_blob(&query, prompt->tokens, prompt->count * sizeof *prompt->tokens);
        if (experiment->filter_correct) {
            iol_query_bind_id(&query, prompt->answer_id);
        } else {
            iol_query_bind_null(&query);
        }
        IOL_TRY(iol_query_run(&query));
    }
out:
    iol_query_close(&query);
    return status;
}

static enum iol_status put_sites(const struct iol_store *store)
{
    static const char *const types[] = {
#define SITE(name, UPPER, text) #name,
#include "intervene/sites.def"
#undef SITE
    };
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    const struct iol_experiment *experiment = store->experiment;
    IOL_TRY(iol_query_open(&store->database, what, "INSERT INTO sites VALUES(?, ?, ?, ?, ?, ?)",
                           &query));
    for (size_t s = 0; s < experiment->site_count; s++) {
        const struct iol_site *site = &experiment->sites[s];
        iol_query_bind_count(&query, s);
        iol_query_bind_text(&query, site->name);
        iol_query_bind_text(&query, types[site->type]);
        iol_query_bind_count(&query, site->layer);
        iol_query_bind_count(&query, site->head);
        iol_query_bind_count(&query, iol_site_sublayer(site));
        IOL_TRY(iol_query_run(&query));
    }
out:
    iol_query_close(&query);
    return status;
}

static enum iol_status put_pairs(const struct iol_store *store)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    const struct iol_experiment *experiment = store->experiment;
    IOL_TRY(
        iol_query_open(&store->database, what, "INSERT INTO pairs VALUES(?, ?, ?, ?, ?)", &query));
    for (size_t i = 0; i < experiment->pair_count; i++) {
        const struct iol_kind_use *kind = &experiment->kinds[experiment->pairs[i].kind];
        iol_query_bind_count(&query, i);
        iol_query_bind_count(&query, experiment->pairs[i].site);
        iol_query_bind_text(&query, kind->name);
        iol_query_bind_count(&query, kind->runs);
        iol_query_bind_id(&query, kind->donors);
        IOL_TRY(iol_query_run(&query));
    }
out:
    iol_query_close(&query);
    return status;
}

enum iol_status iol_store_create(struct iol_store *store)
{
    enum iol_status status = IOL_OK;
    char *pragmas = iol_format("PRAGMA application_id = %d; PRAGMA user_version = %d",
                               (int)IOL_DATABASE_ID, (int)IOL_DATABASE_SCHEMA);
    if (!pragmas) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", store->database.name);
        goto out;
    }
    IOL_TRY(iol_database_begin(&store->database, what));
    IOL_TRY(iol_database_run(&store->database, what, schema));
    IOL_TRY(iol_identity_put(store));
    IOL_TRY(iol_meta_put(&store->database, "iolaus", iol_version()));
    IOL_TRY(iol_meta_put(&store->database, "sqlite", sqlite3_libversion()));
    IOL_TRY(put_sources(store));
    IOL_TRY(put_sites(store));
    IOL_TRY(put_pairs(store));
    IOL_TRY(iol_database_run(&store->database, what, pragmas));
    IOL_TRY(iol_database_commit(&store->database, what));
out:
    iol_database_rollback(&store->database);
    iol_free(pragmas);
    return status;
}
