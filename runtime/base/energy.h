/* Energy of the processor packages, where the machine shows it (RAPL). */
#ifndef IOL_ENERGY_H
#define IOL_ENERGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IOL_ENERGY_ZONES = 16 };

struct iol_energy {
    size_t count; /* packages; 0: this machine shows nothing */
    struct {
        int fd;
        bool event;          /* of perf_event, else a file of powercap */
        double joules_each;  /* of one unit of the counter */
        uint64_t last, wrap; /* last reading; the counter returns to 0 there (0: never) */
    } zones[IOL_ENERGY_ZONES];
};

/* Opens the counter `config` of the device `type` on one processor for reading 64-bit values; -1.
 */
typedef int iol_event_open_fn(uint32_t type, uint64_t config, int processor);

/* Look for counters: /sys/class/powercap, else the perf_event device "power", below `root` ("" for
 * this machine; tests give a folder and an `event_open` of their own, NULL: the kernel's). Finding
 * nothing is no error: count is 0. */
void iol_energy_open(const char *root, iol_event_open_fn *event_open, struct iol_energy *out);
void iol_energy_close(struct iol_energy *energy); /* safe on a zeroed one */
/* Joules of all packages since the last call or the opening, whoever used them. Counters wrap after
 * minutes at full load: call it more often. Not thread-safe. */
double iol_energy_take(struct iol_energy *energy);

#endif
