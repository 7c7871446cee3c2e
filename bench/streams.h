/* What an elementwise kernel cannot beat: loops that only load and store, and SLEEF's own functions
 * over an array, with the full vectors of each ISA. None of our kernels is involved. */
#ifndef IOL_BENCH_STREAMS_H
#define IOL_BENCH_STREAMS_H

#include "measure.h"

enum { STREAM_READS = 3 };

struct bench_streams {
    /* Load n elements of each of `reads` (1..3) arrays and store those of the first to `write`,
     * unless it is NULL. n: a multiple of 32. */
    void (*sweep)(size_t n, size_t reads, const float *const *read, float *write);
    /* y = SLEEF's expf_u10, erff_u10 of x, as its users call them. n: a multiple of 16. */
    void (*exp)(size_t n, const float *x, float *y);
    void (*erf)(size_t n, const float *x, float *y);
};
/* Of an ISA; of the newest below it that has such loops. Static storage. */
const struct bench_streams *bench_streams_of(enum iolk_isa isa);

#endif
