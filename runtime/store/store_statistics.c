/* layers[] from the stored effects.
 *
 * The effects lie by prompt, the statistics go by pair. One pass over the table fills the columns
 * of as many pairs as fit in COLUMN_BYTES; means and responses are summed along the way, in the
 * order of the prompts. */
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "store/store_tables.h"

static const char what[] = "compute the statistics";

enum { COLUMN_BYTES = 256 << 20 };

/* Columns of one pair: what a regression or a rank needs of every prompt. */
enum column { UNEMBED, ABLATE, TE, DE, CE, EVEN, ODD, COLUMNS };

struct pass {
    const struct iol_stored_pair *pairs; /* of this pass: (pairs) from `first` */
    size_t first, count, prompts;
    double *columns[COLUMNS];   /* (count, prompts) each */
    size_t *n;                  /* (count) effects seen */
    double *totals;             /* (count, IOL_MEAN_COUNT) */
    size_t *defined;            /* (count, IOL_MEAN_COUNT) */
    struct iol_layer_row *rows; /* (count); their responses are owned here */
    struct iol_bootstrap *bootstrap;
    struct iol_permutation *permutation;
};

static void close_pass(struct pass *pass)
{
    for (size_t c = 0; c < COLUMNS; c++) {
        iol_free(pass->columns[c]);
    }
    for (size_t i = 0; pass->rows && i < pass->count; i++) {
        iol_free(pass->rows[i].response);
    }
    iol_free(pass->n);
    iol_free(pass->totals);
    iol_free(pass->defined);
    iol_free(pass->rows);
    iol_free(pass->bootstrap);
    iol_free(pass->permutation);
}

static enum iol_status open_pass(struct pass *pass)
{
    bool complete = true;
    size_t cells = 0, sums = 0;
    complete =
        iol_mul(pass->count, pass->prompts, &cells) && iol_mul(pass->count, IOL_MEAN_COUNT, &sums);
    for (size_t c = 0; complete && c < COLUMNS; c++) {
        pass->columns[c] = iol_alloc(cells, sizeof(double));
        complete = pass->columns[c] != NULL;
    }
    if (complete) {
        pass->n = iol_alloc(pass->count, sizeof *pass->n);
        pass->totals = iol_alloc(sums, sizeof *pass->totals);
        pass->defined = iol_alloc(sums, sizeof *pass->defined);
        pass->rows = iol_alloc(pass->count, sizeof *pass->rows);
        pass->bootstrap = iol_alloc(pass->count, sizeof *pass->bootstrap);
        pass->permutation = iol_alloc(pass->count, sizeof *pass->permutation);
        complete = pass->n && pass->totals && pass->defined && pass->rows && pass->bootstrap &&
                   pass->permutation;
    }
    for (size_t i = 0; complete && i < pass->count; i++) {
        size_t length = pass->pairs[pass->first + i].response_count;
        pass->rows[i].response = iol_alloc(length, sizeof(double));
        complete = pass->rows[i].response != NULL;
    }
    return complete ? IOL_OK
                    : iol_fail(IOL_E_NOMEM, "out of memory: statistics of %zu rows of %zu prompts",
                               pass->count, pass->prompts);
}

/* Places of the columns of the SELECT below. */
enum {
    AT_PROMPT,
    AT_PAIR,
#define AT(name) AT_##name,
    IOL_EFFECT_REALS(AT) IOL_EFFECT_DIST_REALS(AT)
#undef AT
        AT_argmax_changed,
    AT_RESPONSE
};
static const char select_effects[] =
    "SELECT prompt, pair" IOL_EFFECT_COLUMNS IOL_EFFECT_DIST_COLUMNS
    ", argmax_changed, response FROM effects WHERE pair >= ? AND pair < ? "
    "ORDER BY prompt, pair, position";

static enum iol_status add_effect(struct pass *pass, const struct iol_query *query)
{
    enum iol_status status = IOL_OK;
    const size_t i = (size_t)iol_query_count(query, AT_PAIR) - pass->first;
    const struct iol_stored_pair *pair = &pass->pairs[pass->first + i];
    const void *response;
    if (pass->n[i] >= pass->prompts) {
        status = iol_fail(IOL_E_FORMAT, "cannot %s: %s %s has more effects than prompts", what,
                          pair->site, pair->kind);
        goto out;
    }
    const size_t at = i * pass->prompts + pass->n[i]++;
    pass->columns[UNEMBED][at] = iol_query_real(query, AT_delta_unembed);
    pass->columns[ABLATE][at] = -iol_query_real(query, AT_delta_ablate);
    pass->columns[TE][at] = iol_query_real(query, AT_te_clean);
    pass->columns[DE][at] = iol_query_real(query, AT_de);
    pass->columns[CE][at] = iol_query_real(query, AT_ce_attn) + iol_query_real(query, AT_ce_mlp);
    pass->columns[EVEN][at] = iol_query_real(query, AT_de_even);
    pass->columns[ODD][at] = iol_query_real(query, AT_ce_odd);
    double values[IOL_MEAN_COUNT];
#define VALUE(name) values[IOL_MEAN_##name] = iol_query_real(query, AT_##name);
    IOL_MEANS(VALUE)
    IOL_DIST_MEANS(VALUE)
#undef VALUE
    values[IOL_MEAN_argmax_changed] /= (double)pair->runs;
    for (size_t m = 0; m < IOL_MEAN_COUNT; m++) {
        if (!isnan(values[m])) {
            pass->totals[i * IOL_MEAN_COUNT + m] += values[m];
            pass->defined[i * IOL_MEAN_COUNT + m]++;
        }
    }
    IOL_TRY(iol_query_blob(query, AT_RESPONSE, pair->response_count, sizeof(double), &response));
    for (size_t k = 0; k < pair->response_count; k++) {
        double v;
        memcpy(&v, (const char *)response + k * sizeof v, sizeof v);
        pass->rows[i].response[k] += v;
    }
out:
    return status;
}

static enum iol_status read_effects(const struct iol_database *database, struct pass *pass)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    bool row = false;
    IOL_TRY(iol_query_open(database, what, select_effects, &query));
    iol_query_bind_count(&query, pass->first);
    iol_query_bind_count(&query, pass->first + pass->count);
    for (;;) {
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        IOL_TRY(add_effect(pass, &query));
    }
out:
    iol_query_close(&query);
    return status;
}

/* The largest noise of each site goes to the rows of its pairs. */
static enum iol_status read_noise(const struct iol_database *database, struct pass *pass)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    bool row = false;
    for (size_t i = 0; i < pass->count; i++) {
        pass->rows[i].noise_floor = (double)NAN;
    }
    IOL_TRY(
        iol_query_open(database, what, "SELECT site, max(floor) FROM noise GROUP BY site", &query));
    for (;;) {
        IOL_TRY(iol_query_step(&query, &row));
        if (!row) {
            break;
        }
        for (size_t i = 0; i < pass->count; i++) {
            if (pass->pairs[pass->first + i].site_index == iol_query_count(&query, 0)) {
                pass->rows[i].noise_floor = iol_query_real(&query, 1);
            }
        }
    }
out:
    iol_query_close(&query);
    return status;
}

static enum iol_status fill_row(const struct pass *pass, size_t i)
{
    enum iol_status status = IOL_OK;
    struct iol_layer_row *row = &pass->rows[i];
    const size_t n = pass->n[i];
    const double *c[COLUMNS];
    for (size_t k = 0; k < COLUMNS; k++) {
        c[k] = pass->columns[k] + i * pass->prompts;
    }
    row->n = n;
    row->ce_on_de = iol_regress(n, c[DE], c[CE]);
    row->te_on_de = iol_regress(n, c[DE], c[TE]);
    row->restoration = -row->ce_on_de.slope;
    row->pearson = iol_pearson(n, c[UNEMBED], c[ABLATE]);
    IOL_TRY(iol_spearman(n, c[UNEMBED], c[ABLATE], &row->spearman));
    size_t above = 0;
    for (size_t p = 0; p < n; p++) {
        above += c[UNEMBED][p] > c[ABLATE][p];
    }
    row->share = n ? (double)above / (double)n : (double)NAN;
    row->disjoint = (struct iol_regression){(double)NAN, (double)NAN, (double)NAN};
    if (pass->pairs[pass->first + i].runs >= 2) {
        row->disjoint = iol_regress(n, c[EVEN], c[ODD]);
    }
    row->bootstrap = pass->bootstrap[i];
    row->null = pass->permutation[i];
    for (size_t m = 0; m < IOL_MEAN_COUNT; m++) {
        size_t defined = pass->defined[i * IOL_MEAN_COUNT + m];
        row->mean[m] =
            defined ? pass->totals[i * IOL_MEAN_COUNT + m] / (double)defined : (double)NAN;
    }
    for (size_t k = 0; k < pass->pairs[pass->first + i].response_count; k++) {
        row->response[k] /= (double)n;
    }
out:
    return status;
}

static enum iol_status put_rows(const struct iol_database *database, const struct pass *pass)
{
    enum iol_status status = IOL_OK;
    struct iol_query query = {0};
    IOL_TRY(iol_query_open(database, what,
                           "INSERT OR REPLACE INTO layers VALUES(?, ?" IOL_LAYER_PARAMETERS ", ?)",
                           &query));
    for (size_t i = 0; i < pass->count; i++) {
        const struct iol_layer_row *row = &pass->rows[i];
        iol_query_bind_count(&query, pass->first + i);
        iol_query_bind_count(&query, row->n);
#define BIND(column, member) iol_query_bind_real(&query, row->member);
        IOL_LAYER_REALS(BIND)
#undef BIND
        iol_query_bind_blob(&query, row->response,
                            pass->pairs[pass->first + i].response_count * sizeof(double));
        IOL_TRY(iol_query_run(&query));
    }
out:
    iol_query_close(&query);
    return status;
}

static enum iol_status run_pass(const struct iol_database *database, struct pass *pass,
                                uint64_t seed, size_t threads)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(open_pass(pass));
    IOL_TRY(read_effects(database, pass));
    IOL_TRY(read_noise(database, pass));
    for (size_t i = 0; i < pass->count; i++) {
        if (pass->n[i] != pass->prompts) {
            status =
                iol_fail(IOL_E_FORMAT, "%s: cannot %s: pair %zu: found %zu effects, expected %zu",
                         database->name, what, pass->first + i, pass->n[i], pass->prompts);
            goto out;
        }
    }
    IOL_TRY(iol_bootstrap_rows(pass->count, pass->prompts, pass->columns[DE], pass->columns[CE],
                               seed, threads, pass->bootstrap));
    IOL_TRY(iol_permutation_rows(pass->count, pass->prompts, pass->columns[DE], pass->columns[CE],
                                 seed, threads, pass->permutation));
    for (size_t i = 0; i < pass->count; i++) {
        IOL_TRY(fill_row(pass, i));
    }
    IOL_TRY(put_rows(database, pass));
out:
    close_pass(pass);
    return status;
}

enum iol_status iol_layers_compute(const struct iol_database *database,
                                   const struct iol_stored_pair *pairs, size_t pair_count,
                                   size_t prompt_count, uint64_t seed, size_t threads)
{
    enum iol_status status = IOL_OK;
    size_t pair_bytes = (prompt_count + 1) * COLUMNS * sizeof(double) + 32768; /* and its fits */
    size_t step = COLUMN_BYTES / pair_bytes ? COLUMN_BYTES / pair_bytes : 1;
    for (size_t first = 0; first < pair_count; first += step) {
        struct pass pass = {.pairs = pairs, .first = first, .prompts = prompt_count};
        pass.count = pair_count - first < step ? pair_count - first : step;
        IOL_TRY(run_pass(database, &pass, seed, threads));
    }
out:
    return status;
}
