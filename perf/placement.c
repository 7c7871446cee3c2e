#define _GNU_SOURCE
#include "placement.h"

#include <sched.h>
#include <stdio.h>

static size_t allowed_processors(struct placement *out, const cpu_set_t *set)
{
    for (int i = 0; i < CPU_SETSIZE && out->count < PLACES; i++) {
        if (CPU_ISSET((size_t)i, set)) {
            out->processors[out->count++] = i;
        }
    }
    return out->count;
}

#ifdef IOL_HWLOC
#include <hwloc.h>

static void find_cores(struct placement *out, const cpu_set_t *set)
{
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0) {
        return;
    }
    if (hwloc_topology_load(topology) == 0) {
        for (hwloc_obj_t core = NULL;
             out->count < PLACES &&
             (core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core)) != NULL;) {
            for (int i = hwloc_bitmap_first(core->cpuset); i >= 0;
                 i = hwloc_bitmap_next(core->cpuset, i)) {
                if (i < CPU_SETSIZE && CPU_ISSET((size_t)i, set)) {
                    out->processors[out->count++] = i;
                    break;
                }
            }
        }
    }
    hwloc_topology_destroy(topology);
    const unsigned version = hwloc_get_api_version();
    snprintf(out->source, sizeof out->source, "one processor of each core, by hwloc (API %u.%u)",
             version >> 16, version >> 8 & 0xff);
}
#else
static void find_cores(struct placement *out, const cpu_set_t *set)
{
    (void)out, (void)set;
}
#endif

void placement_find(struct placement *out)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    (void)sched_getaffinity(0, sizeof set, &set);
    *out = (struct placement){.count = 0};
    find_cores(out, &set);
    if (out->count == 0) {
        snprintf(out->source, sizeof out->source,
                 "every processor (built without hwloc: siblings of one core count as cores)");
        (void)allowed_processors(out, &set);
    }
}

void placement_bind(const struct placement *placement, size_t first, size_t count)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = first; i < first + count && i < placement->count; i++) {
        CPU_SET((size_t)placement->processors[i], &set);
    }
    (void)sched_setaffinity(0, sizeof set, &set);
}
