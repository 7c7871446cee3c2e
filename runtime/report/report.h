/* Results as text for people: at most 80 columns, plain ASCII. The caller has entered a number
 * scope. */
#ifndef IOL_REPORT_H
#define IOL_REPORT_H

#include "store/sink.h"
#include "store/store_tables.h"

/* The per-layer table: what each sublayer does directly, what its ablation does in the end, and how
 * much the later ones restore. Errors: IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_report_table(const struct iol_results *results,
                                               struct iol_sink *sink);
/* What it cost, and what it would have cost. */
void iol_report_bill(const struct iol_results *results, struct iol_sink *sink);

/* A number in `width` columns with as many decimals (at most 3) as fit; "-" for NaN. */
void iol_report_number(struct iol_sink *sink, double value, int width);
/* "35.10 G": a quantity in powers of 1000, `width` columns. */
void iol_report_quantity(struct iol_sink *sink, double value, int width);

#endif
