/* Two sets of threads live in the bench: OpenMP's, which the peers and the samples of the roofs
 * use, and our own team. While one works the other must sleep, or it takes the other's cores. */
#ifndef IOL_BENCH_POOL_H
#define IOL_BENCH_POOL_H

#include <stddef.h>

#include "driver/team.h"

/* Our team of so many threads: the same until another number is asked for. Ends the program when
 * there are no threads. */
struct iol_team *bench_team(size_t threads);
/* Sleep until no thread of this process spins after its last work any more; 50 ms at most. */
void bench_settle(void);

#endif
