#ifndef IOL_BASE_CONTEXT_H
#define IOL_BASE_CONTEXT_H

#include "fpmode.h"
#include "iolaus/context.h"
#include "ops.h"

/* Threads of a context: what a team can have (driver/team.h). */
enum { IOL_MOST_THREADS = 1024 };

struct iol_ctx {
    size_t threads;
    uint32_t isa_mask;
    enum iolk_isa isa;   /* newest in the mask */
    struct iolk_ops ops; /* .fast: opted in */
    double fast_rate;    /* over exact products, measured; 0: exact */
    char arithmetic[64]; /* "exact", "fast (...)" */
};

#endif
