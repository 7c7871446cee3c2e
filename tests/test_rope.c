/* Rotary tables: against double precision, in any floating-point mode of the caller. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/model.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static void check_rope(const struct iol_arch *arch, size_t positions)
{
    size_t half = arch->head_dim / 2, count = positions * half;
    float *c = calloc(count, 4), *s = calloc(count, 4), *c2 = calloc(count, 4),
          *s2 = calloc(count, 4);
    iol_rope_table(arch, positions, c, s);
    const struct iol_rope *r = &arch->rope;
    for (size_t i = 0; i < half; i++) {
        double f = 1 / pow(r->theta, 2.0 * (double)i / (double)arch->head_dim);
        if (r->kind == IOL_ROPE_LINEAR) {
            f /= r->factor;
        } else if (r->kind == IOL_ROPE_LLAMA3) {
            double turns = r->original_context * f / (2 * 3.14159265358979323846);
            double blend =
                (turns - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
            blend = fmin(1, fmax(0, blend));
            f = (1 - blend) * f / r->factor + blend * f;
        }
        for (size_t p = 0; p < positions; p++) {
            assert_true(fabs((double)c[p * half + i] - cos((double)p * f)) <= 6e-8);
            assert_true(fabs((double)s[p * half + i] - sin((double)p * f)) <= 6e-8);
        }
    }
#if defined(__x86_64__)
    unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | 0xE040); /* FTZ, DAZ, towards zero */
    iol_rope_table(arch, positions, c2, s2);
    bool kept = (_mm_getcsr() & 0xFFC0) == ((saved | 0xE040) & 0xFFC0);
    _mm_setcsr(saved);
    assert_true(kept);
    assert_memory_equal(c, c2, count * 4);
    assert_memory_equal(s, s2, count * 4);
#endif
    free(c);
    free(s);
    free(c2);
    free(s2);
}

static void test_rope(void **state)
{
    (void)state;
    struct iol_arch arch = {.head_dim = 64,
                            .rope = {.kind = IOL_ROPE_DEFAULT, .theta = 10000, .factor = 1}};
    check_rope(&arch, 600);
    arch.rope.kind = IOL_ROPE_LINEAR;
    arch.rope.factor = 4;
    check_rope(&arch, 300);
    arch.rope = (struct iol_rope){IOL_ROPE_LLAMA3, 500000, 32, 1, 4, 8192};
    check_rope(&arch, 300);
    arch.head_dim = 10;
    arch.rope = (struct iol_rope){IOL_ROPE_LLAMA3, 500, 4, 1, 4, 32};
    check_rope(&arch, 128);
    float untouched = 3;
    arch.rope.kind = IOL_ROPE_NONE;
    iol_rope_table(&arch, 1, &untouched, &untouched);
    assert_true(untouched == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rope)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
