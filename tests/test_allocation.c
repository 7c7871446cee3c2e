/* Every allocation of a whole sweep fails once: the failure is named, nothing leaks, and what was
 * stored before it is resumed to the same bits. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/base.h"
#include "sweep_fixture.h"

static const char *const does[] = {"attn_out.1,head.1.0=mean,resample:2"};
static char out_path[600];

static void remove_results(void)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char path[640];
        snprintf(path, sizeof path, "%s%s", out_path, endings[i]);
        unlink(path);
    }
}

static enum iol_status sweep_once(const char *folder, const char *reuse, char out_hex[33])
{
    struct sweep s;
    struct iol_run_settings settings;
    iol_run_settings_default(&settings);
    settings.does = does;
    settings.do_count = 1;
    settings.reuse = reuse;
    settings.metrics = "hydra,dist";
    settings.group = 3;
    settings.out = out_path;
    enum iol_status status = sweep_open(folder, NULL, 2, &settings, &s);
    if (status == IOL_OK) {
        status = sweep_run(&s);
    }
    if (status == IOL_OK) {
        status = iol_results_digest(s.results, out_hex);
    }
    sweep_close(&s);
    return status;
}

static void fail_each(const char *folder, const char *reuse)
{
    char want[33], hex[33];
    long failures = 0, calm = 0;
    remove_results();
    if (sweep_once(folder, reuse, want) != IOL_OK) {
        fail_msg("%s", iol_error());
    }
    /* Over when several in a row find nothing left to fail. */
    for (long n = 1; calm < 3; n++) {
        remove_results();
        iol_alloc_fail_nth(n);
        enum iol_status status = sweep_once(folder, reuse, hex);
        iol_alloc_fail_nth(0);
        if (status == IOL_OK) {
            calm++;
            assert_string_equal(hex, want);
            continue;
        }
        calm = 0;
        failures++;
        if (status != IOL_E_NOMEM || !strstr(iol_error(), "out of memory")) {
            fail_msg("allocation %ld: %s: %s", n, iol_status_name(status), iol_error());
        }
        if (n % 5 == 0) {
            if (sweep_once(folder, reuse, hex) != IOL_OK) {
                fail_msg("resumed after allocation %ld: %s", n, iol_error());
            }
            assert_string_equal(hex, want);
        }
    }
    print_message("%ld allocations failed\n", failures);
    assert_true(failures > 50);
}

static void test_llama(void **state)
{
    (void)state;
    fail_each(sweep_llama("llama"), "all");
}

static void test_gpt2_without_reuse(void **state)
{
    (void)state;
    fail_each(sweep_gpt2("gpt2"), "none");
}

static int set_up(void **state)
{
    (void)state;
    snprintf(out_path, sizeof out_path, "%s/out.db", writer_root_open());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    writer_root_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_llama),
                                       cmocka_unit_test(test_gpt2_without_reuse)};
    return cmocka_run_group_tests_name("allocation", tests, set_up, tear_down);
}
