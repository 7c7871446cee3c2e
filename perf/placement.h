/* Where threads go: one processor of each core, near ones first. */
#ifndef IOL_PERF_PLACEMENT_H
#define IOL_PERF_PLACEMENT_H

#include <stddef.h>

enum { PLACES = 1024 };

struct placement {
    size_t count;           /* cores that this process may use */
    int processors[PLACES]; /* of each core its first, by the number of the system */
    char source[96];        /* how they were found */
};

/* By hwloc where the build has it: cores in the order of the machine's tree, siblings left out. */
void placement_find(struct placement *out);
/* The calling thread, and threads it starts from now on, run on places first .. first + count - 1.
 */
void placement_bind(const struct placement *placement, size_t first, size_t count);

#endif
