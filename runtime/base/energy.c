#define _GNU_SOURCE
#include "base/energy.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WORD = 128 };

/* A small file of sysfs, its line end cut off; false if it is not there. */
static bool read_word(const char *root, const char *name, char out[WORD])
{
    char path[512];
    FILE *f = NULL;
    int length = snprintf(path, sizeof path, "%s/sys/%s", root, name);
    if (length > 0 && (size_t)length < sizeof path) {
        f = fopen(path, "r");
    }
    bool found = f && fgets(out, WORD, f);
    if (f) {
        (void)fclose(f);
    }
    if (found) {
        out[strcspn(out, "\n")] = 0;
    }
    return found;
}

static bool read_zone(const struct iol_energy *energy, size_t i, uint64_t *out)
{
    char text[WORD] = {0};
    if (energy->zones[i].event) {
        return read(energy->zones[i].fd, out, sizeof *out) == sizeof *out;
    }
    ssize_t length = pread(energy->zones[i].fd, text, sizeof text - 1, 0);
    *out = strtoull(text, NULL, 10);
    return length > 0;
}

static void add_zone(struct iol_energy *energy, int fd, bool event, double joules_each,
                     uint64_t wrap)
{
    if (fd < 0) {
        return;
    }
    size_t i = energy->count;
    uint64_t now = 0;
    if (i < IOL_ENERGY_ZONES) {
        energy->zones[i].fd = fd;
        energy->zones[i].event = event;
        energy->zones[i].joules_each = joules_each;
        energy->zones[i].wrap = wrap;
        if (read_zone(energy, i, &now)) {
            energy->zones[i].last = now;
            energy->count++;
            return;
        }
    }
    (void)close(fd);
}

/* Packages only: "psys" and the zones inside a package would be counted twice. */
static void open_powercap(const char *root, struct iol_energy *energy)
{
    for (int i = 0; i < IOL_ENERGY_ZONES; i++) {
        char name[WORD], path[512], word[WORD];
        snprintf(name, sizeof name, "class/powercap/intel-rapl:%d/name", i);
        if (!read_word(root, name, word) || strncmp(word, "package", strlen("package")) != 0) {
            continue;
        }
        snprintf(name, sizeof name, "class/powercap/intel-rapl:%d/max_energy_range_uj", i);
        uint64_t wrap = read_word(root, name, word) ? strtoull(word, NULL, 10) + 1 : 0;
        int length =
            snprintf(path, sizeof path, "%s/sys/class/powercap/intel-rapl:%d/energy_uj", root, i);
        if (length > 0 && (size_t)length < sizeof path) {
            add_zone(energy, open(path, O_RDONLY | O_CLOEXEC), false, 1e-6, wrap);
        }
    }
}

static int kernel_event_open(uint32_t type, uint64_t config, int processor)
{
    struct perf_event_attr attr = {.type = type, .size = sizeof attr, .config = config};
    return (int)syscall(SYS_perf_event_open, &attr, -1, processor, -1, PERF_FLAG_FD_CLOEXEC);
}

/* One counter on one processor of each package, as the device's cpumask lists them ("0,32"). */
static void open_events(const char *root, iol_event_open_fn *event_open, struct iol_energy *energy)
{
    char type[WORD], event[WORD], scale[WORD], mask[WORD], *at = mask;
    if (!read_word(root, "bus/event_source/devices/power/type", type) ||
        !read_word(root, "bus/event_source/devices/power/events/energy-pkg", event) ||
        !read_word(root, "bus/event_source/devices/power/events/energy-pkg.scale", scale) ||
        !read_word(root, "bus/event_source/devices/power/cpumask", mask) ||
        strncmp(event, "event=", strlen("event=")) != 0) {
        return;
    }
    while (*at >= '0' && *at <= '9') {
        int fd = event_open((uint32_t)strtoul(type, NULL, 10),
                            strtoull(event + strlen("event="), NULL, 0), (int)strtol(at, &at, 10));
        add_zone(energy, fd, true, strtod(scale, NULL), 0);
        at += *at == ',';
    }
}

void iol_energy_open(const char *root, iol_event_open_fn *event_open, struct iol_energy *out)
{
    *out = (struct iol_energy){0};
    open_powercap(root, out);
    if (out->count == 0) {
        open_events(root, event_open ? event_open : kernel_event_open, out);
    }
}

void iol_energy_close(struct iol_energy *energy)
{
    for (size_t i = 0; i < energy->count; i++) {
        (void)close(energy->zones[i].fd);
    }
    energy->count = 0;
}

double iol_energy_take(struct iol_energy *energy)
{
    double joules = 0;
    for (size_t i = 0; i < energy->count; i++) {
        uint64_t now = 0, last = energy->zones[i].last;
        if (!read_zone(energy, i, &now)) {
            continue;
        }
        uint64_t units = now >= last                    ? now - last
                         : energy->zones[i].wrap > last ? now + (energy->zones[i].wrap - last)
                                                        : 0;
        joules += (double)units * energy->zones[i].joules_each;
        energy->zones[i].last = now;
    }
    return joules;
}
