/* Sizes of the data caches. */
#ifndef IOL_CACHES_H
#define IOL_CACHES_H

#include <stddef.h>

#include "ops.h"

/* Bytes of the data cache of `level` (1, 2, 3) that the first processor of this process sees, as
 * the kernel reports it below `root` ("" for this machine; tests give a folder); 0 where it says
 * nothing. An L3 is the piece that one core can fill: sysconf counts all pieces of an AMD package
 * together. Thread-safe. */
size_t iol_cache_bytes(const char *root, int level);
/* What the drivers' block sizes follow from, into the table: this machine's caches, or common sizes
 * where the kernel says nothing. */
void iol_ops_fit_caches(struct iolk_ops *ops);

#endif
