/* Results as text for other programs. Both stream row by row into the sink; the caller has entered
 * a number scope and one read transaction. Errors: IOL_E_IO, IOL_E_FORMAT, IOL_E_NOMEM. */
#ifndef IOL_EXPORT_H
#define IOL_EXPORT_H

#include "store/sink.h"
#include "store/store_tables.h"

IOL_NODISCARD enum iol_status iol_export_json(struct iol_results *results, struct iol_sink *sink);
IOL_NODISCARD enum iol_status iol_export_csv(struct iol_results *results, struct iol_sink *sink);

/* Donors of one effect in the order drawn: `query` was opened on this text. */
#define IOL_SELECT_DONORS                                                                          \
    "SELECT donor FROM runs WHERE prompt = ? AND pair = ? AND position = ? AND donor IS NOT NULL " \
    "ORDER BY run"

#endif
