/* Whether the fast mode is to be had: kernels/fast/fast.h on this processor, and faster here. */
#ifndef IOL_ARITHMETIC_H
#define IOL_ARITHMETIC_H

#include "fast/fast.h"
#include "iolaus/status.h"

/* Rate of a fast product over the exact one, both on data in L1 in this thread: the median of turns
 * of some ten microseconds. Thread-safe. */
double iol_fast_rate(const struct iolk_ops *ops, const struct iolk_fast *fast);

/* Errors: IOL_E_CPU, by name: no kernels (fast NULL), or a `rate` below 1.1. */
IOL_NODISCARD enum iol_status iol_fast_judge(const struct iolk_fast *fast, double rate);

/* The kernels of an arithmetic, NULL for exact, and their rate. name: NULL or "exact"; "fast": the
 * first format of fast.def that is of use here; or a format by its name, "bf16". Of several rows of
 * a format it is the last that runs and is of use. mask: ISAs that may be used.
 * Errors: IOL_E_INVAL (unknown name); as iol_fast_judge. */
IOL_NODISCARD enum iol_status iol_arithmetic_choose(const char *name, const struct iolk_ops *ops,
                                                    uint32_t mask,
                                                    const struct iolk_fast **out_fast,
                                                    double *out_rate);

#endif
