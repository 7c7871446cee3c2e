/* Energy and event counters, on folders and pipes that stand for a machine that has them; and sizes
 * of caches. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/caches.h"
#include "base/energy.h"
#include "counters.h"

/* --- a root folder with files of sysfs --- */

static char root[64];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/iolaus-sysfs-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/sys/%s", root, name);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        (void)mkdir(path, 0700);
        *at = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void about(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * fabs(expected))) {
        fail_msg("found %.12g, expected %.12g", found, expected);
    }
}

/* --- energy --- */

static void powercap_is_summed_over_packages(void **state)
{
    (void)state;
    struct iol_energy energy;
    put("class/powercap/intel-rapl:0/name", "package-0\n");
    put("class/powercap/intel-rapl:0/energy_uj", "5000000\n");
    put("class/powercap/intel-rapl:0/max_energy_range_uj", "9999999\n");
    put("class/powercap/intel-rapl:0:0/name", "core\n"); /* inside the package */
    put("class/powercap/intel-rapl:0:0/energy_uj", "1\n");
    put("class/powercap/intel-rapl:1/name", "psys\n"); /* around the packages */
    put("class/powercap/intel-rapl:1/energy_uj", "1\n");
    put("class/powercap/intel-rapl:2/name", "package-1\n");
    put("class/powercap/intel-rapl:2/energy_uj", "100\n");
    put("class/powercap/intel-rapl:2/max_energy_range_uj", "9999999\n");
    iol_energy_open(root, NULL, &energy);
    assert_int_equal(energy.count, 2);
    about(iol_energy_take(&energy), 0);
    put("class/powercap/intel-rapl:0/energy_uj", "7500000\n");
    put("class/powercap/intel-rapl:2/energy_uj", "500100\n");
    about(iol_energy_take(&energy), 3.0);
    put("class/powercap/intel-rapl:0/energy_uj", "1000000\n"); /* over the end: 2.5 + 1 J */
    about(iol_energy_take(&energy), 3.5);
    about(iol_energy_take(&energy), 0);
    iol_energy_close(&energy);
    assert_int_equal(energy.count, 0);
}

static int pipes[4][2], pipe_count;

static int pipe_with(const void *bytes, size_t size)
{
    assert_true(pipe_count < 4 && pipe(pipes[pipe_count]) == 0);
    assert_int_equal(write(pipes[pipe_count][1], bytes, size), size);
    return pipes[pipe_count++][0];
}

static int power_event(uint32_t type, uint64_t config, int processor)
{
    assert_int_equal(type, 23);
    assert_int_equal(config, 2);
    const uint64_t first[] = {1000, 1000 + (UINT64_C(1) << 32)}, second[] = {7, 7};
    return processor == 0 ? pipe_with(first, sizeof first) : pipe_with(second, sizeof second);
}

static int no_event(uint32_t type, uint64_t config, int processor)
{
    (void)type, (void)config, (void)processor;
    return -1;
}

static void close_writers(void)
{
    for (int i = 0; i < pipe_count; i++) {
        assert_int_equal(close(pipes[i][1]), 0);
    }
    pipe_count = 0;
}

static void perf_device_is_read(void **state)
{
    (void)state;
    struct iol_energy energy;
    put("bus/event_source/devices/power/type", "23\n");
    put("bus/event_source/devices/power/events/energy-pkg", "event=0x02\n");
    put("bus/event_source/devices/power/events/energy-pkg.scale", "2.3283064365386962890625e-10\n");
    put("bus/event_source/devices/power/cpumask", "0,32\n");
    iol_energy_open(root, power_event, &energy);
    assert_int_equal(energy.count, 2);
    about(iol_energy_take(&energy), 1.0); /* 2^32 units of 2^-32 J */
    iol_energy_close(&energy);
    close_writers();
    iol_energy_open(root, no_event, &energy); /* not allowed */
    assert_int_equal(energy.count, 0);
    about(iol_energy_take(&energy), 0);
    iol_energy_close(&energy);
}

static void nothing_is_no_error(void **state)
{
    (void)state;
    struct iol_energy energy;
    iol_energy_open(root, power_event, &energy);
    assert_int_equal(energy.count, 0);
    about(iol_energy_take(&energy), 0);
    iol_energy_open("", NULL, &energy); /* this machine, whatever it has */
    for (int i = 0; i < 3; i++) {
        assert_true(iol_energy_take(&energy) >= 0);
    }
    iol_energy_close(&energy);
}

/* --- event counters --- */

static int two_of_three(uint64_t config)
{
    const uint64_t reads[2][3] = {{100 + config, 10, 10}, {400 + config, 40, 20}};
    if (config == 3) { /* PERF_COUNT_HW_CACHE_MISSES */
        errno = ENOENT;
        return -1;
    }
    return pipe_with(reads, sizeof reads);
}

static void counters_are_scaled(void **state)
{
    (void)state;
    char text[256];
    double counts[BENCH_COUNTERS];
    assert_true(bench_counters_open(two_of_three, text, sizeof text));
    assert_string_equal(text, "no cache_misses (perf_event_open: No such file or directory)");
    assert_true(bench_counter_there(0) && bench_counter_there(1) && !bench_counter_there(2));
    bench_counters_read(counts);
    about(counts[0], 100); /* cycles: config 0 */
    about(counts[1], 101);
    about(counts[2], 0);
    bench_counters_read(counts); /* ran half of the time */
    about(counts[0], 800);
    about(counts[1], 802);
    bench_counters_close();
    close_writers();
    assert_false(bench_counter_there(0));
}

static void counters_of_this_machine(void **state)
{
    (void)state;
    char text[256];
    double before[BENCH_COUNTERS], after[BENCH_COUNTERS];
    bool any = bench_counters_open(NULL, text, sizeof text);
    assert_true(any || *text);
    bench_counters_read(before);
    bench_counters_read(after);
    for (size_t i = 0; i < BENCH_COUNTERS; i++) {
        assert_true(bench_counter_there(i) || after[i] == 0);
        assert_true(after[i] >= 0);
    }
    bench_counters_close();
}

/* --- caches --- */

static void put_cache(int index, const char *level, const char *type, const char *size)
{
    /* Any processor: the first one that this process may run on is asked. */
    for (int cpu = 0; cpu < 64; cpu++) {
        const char *const names[] = {"level", "type", "size"}, *const texts[] = {level, type, size};
        for (size_t i = 0; i < 3; i++) {
            char name[128];
            snprintf(name, sizeof name, "devices/system/cpu/cpu%d/cache/index%d/%s", cpu, index,
                     names[i]);
            put(name, texts[i]);
        }
    }
}

static void caches_are_those_of_one_core(void **state)
{
    (void)state;
    put_cache(0, "1\n", "Instruction\n", "64K\n");
    put_cache(1, "1\n", "Data\n", "48K\n");
    put_cache(2, "2\n", "Unified\n", "1024K\n");
    put_cache(3, "3\n", "Unified\n", "32M\n");
    assert_int_equal(iol_cache_bytes(root, 1), 48 << 10);
    assert_int_equal(iol_cache_bytes(root, 2), 1 << 20);
    assert_int_equal(iol_cache_bytes(root, 3), 32 << 20);
    assert_int_equal(iol_cache_bytes(root, 4), 0);
    assert_int_equal(iol_cache_bytes("/nowhere", 3), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(powercap_is_summed_over_packages),
        TEST(perf_device_is_read),
        TEST(nothing_is_no_error),
        TEST(counters_are_scaled),
        TEST(counters_of_this_machine),
        TEST(caches_are_those_of_one_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
