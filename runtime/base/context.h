#ifndef IOL_BASE_CONTEXT_H
#define IOL_BASE_CONTEXT_H

#include "iolaus/context.h"
#include "ops.h"

struct iol_ctx {
    size_t threads;
    uint32_t isa_mask;
    enum iolk_isa isa; /* newest in the mask */
    struct iolk_ops ops;
};

/* The floating-point mode of the numeric contract: round to nearest, denormals kept, exceptions
 * masked. Every worker enters it at the start of a parallel region and leaves it at the end. */
struct iol_fpmode {
    unsigned long saved;
};
struct iol_fpmode iol_fpmode_enter(void);
void iol_fpmode_leave(struct iol_fpmode mode);

#endif
