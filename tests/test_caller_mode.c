/* A caller whose own floating-point mode flushes denormals or rounds upwards gets the same bits,
 * and its mode back. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sweep_fixture.h"

#if defined(__x86_64__)
#include <immintrin.h>
/* FTZ and DAZ; the same and rounding upwards */
static const unsigned long modes[] = {0x1f80 | 0x8040, 0x1f80 | 0x8040 | 0x4000};
static unsigned long mode_get(void)
{
    return _mm_getcsr() & ~0x3fU; /* without the exception flags */
}
static void mode_set(unsigned long mode)
{
    _mm_setcsr((unsigned)mode);
}
#elif defined(__aarch64__)
/* FZ; the same and rounding towards plus infinity */
static const unsigned long modes[] = {1UL << 24, 1UL << 24 | 1UL << 22};
static unsigned long mode_get(void)
{
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void mode_set(unsigned long mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
}
#else
static const unsigned long modes[] = {0};
static unsigned long mode_get(void)
{
    return 0;
}
static void mode_set(unsigned long mode)
{
    (void)mode;
}
#endif

static const char *const does[] = {"attn_out,mlp_out,head.0.*=zero,mean,resample:3"};

static void sweep_digest(const char *folder, const char *isa, size_t threads, char out_hex[33])
{
    struct sweep s;
    struct iol_run_settings settings;
    iol_run_settings_default(&settings);
    settings.does = does;
    settings.do_count = 1;
    settings.metrics = "hydra,dist";
    enum iol_status status = sweep_open(folder, isa, threads, &settings, &s);
    if (status == IOL_OK) {
        status = sweep_run(&s);
    }
    if (status == IOL_OK) {
        status = iol_results_digest(s.results, out_hex);
    }
    if (status != IOL_OK) {
        fail_msg("%s", iol_error());
    }
    sweep_close(&s);
}

static void same_in_every_mode(const char *folder)
{
    char want[33], hex[33];
    const unsigned long mine = mode_get();
    sweep_digest(folder, NULL, 2, want);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        for (size_t isa = 0; isa < iol_isa_count(); isa++) {
            if (!iol_isa_available(isa)) {
                continue;
            }
            for (size_t threads = 1; threads <= 2; threads++) {
                mode_set(modes[i]);
                sweep_digest(folder, iol_isa_name(isa), threads, hex);
                unsigned long after = mode_get();
                mode_set(mine);
                assert_int_equal(after, modes[i]);
                assert_string_equal(hex, want);
            }
        }
    }
}

static void test_llama(void **state)
{
    (void)state;
    same_in_every_mode(sweep_llama("llama"));
}

static void test_gpt2(void **state)
{
    (void)state;
    same_in_every_mode(sweep_gpt2("gpt2"));
}

static int set_up(void **state)
{
    (void)state;
    writer_root_open();
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_llama), cmocka_unit_test(test_gpt2)};
    return cmocka_run_group_tests_name("caller mode", tests, set_up, tear_down);
}
