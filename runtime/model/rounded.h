#ifndef IOL_ROUNDED_H
#define IOL_ROUNDED_H

#include "model/model.h"

/* For the fast mode: round every weight product of a loaded model, on `threads` threads, beside its
 * panels, which stay: exact products measure the error. Errors: IOL_E_NOMEM, IOL_E_LIMIT. */
IOL_NODISCARD enum iol_status iol_model_round(struct iol_model *model, const struct iolk_fast *fast,
                                              size_t threads);

#endif
