#define _GNU_SOURCE
#include "base/caches.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

enum { INDEXES = 8 };

/* The first word of <root>/sys/devices/system/cpu/cpu<cpu>/cache/index<i>/<name>; false: no such.
 */
static bool cache_word(const char *root, int cpu, int index, const char *name, char out[32])
{
    char path[512];
    FILE *f = NULL;
    int length = snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/cache/index%d/%s",
                          root, cpu, index, name);
    if (length > 0 && (size_t)length < sizeof path) {
        f = fopen(path, "r");
    }
    if (!f) {
        return false;
    }
    bool found = fscanf(f, "%31s", out) == 1;
    (void)fclose(f);
    return found;
}

static int first_processor(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (unsigned i = 0; i < CPU_SETSIZE; i++) {
            if (CPU_ISSET(i, &set)) {
                return (int)i;
            }
        }
    }
    return 0;
}

size_t iol_cache_bytes(const char *root, int level)
{
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE,
                                _SC_LEVEL3_CACHE_SIZE};
    const int cpu = first_processor();
    char word[32];
    for (int i = 0; i < INDEXES; i++) {
        if (!cache_word(root, cpu, i, "level", word) || atoi(word) != level ||
            !cache_word(root, cpu, i, "type", word) || strcmp(word, "Instruction") == 0 ||
            !cache_word(root, cpu, i, "size", word)) {
            continue;
        }
        char *unit = NULL;
        size_t bytes = strtoull(word, &unit, 10);
        return *unit == 'K' ? bytes << 10 : *unit == 'M' ? bytes << 20 : bytes;
    }
    /* No such files (an emulator, an old kernel): the C library's figure. */
    long bytes = *root || level < 1 || level > 3 ? 0 : sysconf(names[level - 1]);
    return bytes > 0 ? (size_t)bytes : 0;
}

void iol_ops_fit_caches(struct iolk_ops *ops)
{
    const size_t l1 = iol_cache_bytes("", 1), l2 = iol_cache_bytes("", 2);
    ops->l1_bytes = l1 >= 16 * 1024 ? l1 : (size_t)32 * 1024;
    ops->l2_bytes = l2 >= 256 * 1024 ? l2 : (size_t)512 * 1024;
}
