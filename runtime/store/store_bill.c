#include <string.h>

#include "base/base.h"
#include "store/store_tables.h"

static const char *const item_names[] = {
    "capture",          "waves",        "noise", "spill", "store", "none", "without.depth",
    "without.position", "without.donor"};
enum { ITEMS = sizeof item_names / sizeof *item_names };

static struct iol_cost *item_of(struct iol_bill *bill, size_t i)
{
    struct iol_cost *items[ITEMS] = {&bill->capture,    &bill->waves,      &bill->noise,
                                     &bill->spill,      &bill->store,      &bill->none,
                                     &bill->without[0], &bill->without[1], &bill->without[2]};
    return items[i];
}

static void bind_cost(struct iol_query *query, const struct iol_cost *cost)
{
    iol_query_bind_count(query, cost->flops);
    iol_query_bind_count(query, cost->bytes);
    iol_query_bind_count(query, cost->rows);
    iol_query_bind_real(query, cost->seconds);
}

static struct iol_cost read_cost(const struct iol_query *query)
{
    return (struct iol_cost){.flops = iol_query_count(query, 1),
                             .bytes = iol_query_count(query, 2),
                             .rows = iol_query_count(query, 3),
                             .seconds = iol_query_real(query, 4)};
}

/* X(name) of whole numbers. */
#define WHOLE_TOTALS(X) X(spill_bytes) X(peak_memory_bytes) X(model_bytes) X(waves_done) X(threads)
#define REAL_TOTALS(X)  X(peak_flops) X(wall_seconds) X(joules) X(joules_seconds)

enum iol_status iol_bill_put(const struct iol_database *database, size_t pair_count,
                             const struct iol_bill *bill)
{
    static const char what[] = "store the bill";
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    struct iol_bill copy = *bill;
    IOL_TRY(iol_query_open(database, what, "INSERT OR REPLACE INTO cost VALUES(?, ?, ?, ?, ?)",
                           &query));
    for (size_t i = 0; i < ITEMS; i++) {
        iol_query_bind_text(&query, item_names[i]);
        bind_cost(&query, item_of(&copy, i));
        IOL_TRY(iol_query_run(&query));
    }
    iol_query_close(&query);
    IOL_TRY(iol_query_open(database, what, "INSERT OR REPLACE INTO pair_cost VALUES(?, ?, ?, ?, ?)",
                           &query));
    for (size_t i = 0; bill->pairs && i < pair_count; i++) {
        iol_query_bind_count(&query, i);
        bind_cost(&query, &bill->pairs[i]);
        IOL_TRY(iol_query_run(&query));
    }
    iol_query_close(&query);
    IOL_TRY(iol_query_open(database, what, "INSERT OR REPLACE INTO totals VALUES(?, ?)", &query));
#define PUT(name, bind)                                                                            \
    iol_query_bind_text(&query, #name);                                                            \
    bind(&query, bill->name);                                                                      \
    IOL_TRY(iol_query_run(&query));
#define PUT_WHOLE(name) PUT(name, iol_query_bind_count)
#define PUT_REAL(name)  PUT(name, iol_query_bind_real)
    WHOLE_TOTALS(PUT_WHOLE)
    REAL_TOTALS(PUT_REAL)
out:
    iol_query_close(&query);
    return status;
}

enum iol_status iol_bill_get(const struct iol_database *database, size_t pair_count,
                             struct iol_bill *bill)
{
    static const char what[] = "read the bill";
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    struct iol_cost *pairs = bill->pairs;
    bool row = false;
    *bill = (struct iol_bill){.pairs = pairs};
    for (size_t i = 0; pairs && i < pair_count; i++) {
        pairs[i] = (struct iol_cost){0};
    }
    IOL_TRY(iol_query_open(database, what, "SELECT item, flops, bytes, rows, seconds FROM cost",
                           &query));
    for (;;) {
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        for (size_t i = 0; i < ITEMS; i++) {
            if (strcmp(iol_query_text(&query, 0), item_names[i]) == 0) {
                *item_of(bill, i) = read_cost(&query);
            }
        }
    }
    iol_query_close(&query);
    IOL_TRY(iol_query_open(database, what,
                           "SELECT pair, flops, bytes, rows, seconds FROM pair_cost", &query));
    for (;;) {
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        if (pairs && iol_query_count(&query, 0) < pair_count) {
            pairs[iol_query_count(&query, 0)] = read_cost(&query);
        }
    }
    iol_query_close(&query);
    IOL_TRY(iol_query_open(database, what, "SELECT name, value FROM totals", &query));
    for (;;) {
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        const char *name = iol_query_text(&query, 0);
#define GET_WHOLE(member)                                                                          \
    if (strcmp(name, #member) == 0) {                                                              \
        bill->member = iol_query_count(&query, 1);                                                 \
    }
#define GET_REAL(member)                                                                           \
    if (strcmp(name, #member) == 0) {                                                              \
        bill->member = iol_query_real(&query, 1);                                                  \
    }
        WHOLE_TOTALS(GET_WHOLE)
        REAL_TOTALS(GET_REAL)
    }
out:
    iol_query_close(&query);
    return status;
}

double iol_bill_share(const struct iol_bill *bill)
{
    double seconds = bill->capture.seconds + bill->waves.seconds + bill->noise.seconds;
    double flops =
        (double)bill->capture.flops + (double)bill->waves.flops + (double)bill->noise.flops;
    double possible = seconds * bill->peak_flops;
    return possible > 0 ? flops / possible : 0;
}
