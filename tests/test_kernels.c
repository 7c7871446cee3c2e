/* Every row of kernels/registry.def, and the checker itself against kernels broken on purpose.
 *   test_kernels [--quick]             tests; quick: few shapes, for emulators
 *   test_kernels --digest [--quick]    one hash of results per op, to compare machines
 * IOL_ISA narrows the ISAs to those named (and scalar), as for the program. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/context.h"
#include "kcheck.h"
#include "kcheck_broken.h"

static bool quick;
static uint32_t available; /* mask of ISAs */

static int is_named(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : at) {
        if (strncmp(at, name, length) == 0 && (at[length] == 0 || at[length] == ',')) {
            return 1;
        }
    }
    return 0;
}

/* --- the rows --- */

static void test_row(void **state)
{
    const struct kc_variant *row = *state;
    char text[KC_TEXT] = "";
    size_t calls = 0;
    if (!(available >> row->isa & 1U)) {
        print_message("%s: skipped, this run has no %s\n", row->name, iolk_isa_name(row->isa));
        skip();
    }
    if (!kc_check(row, kc_stride(row->op, quick), &calls, text)) {
        fail_msg("%s", text);
    }
    assert_true(calls > 20);
}

/* The checks of a table are worth nothing when the table is empty or lacks an op. */
static void test_scalar_row_of_every_op(void **state)
{
    (void)state;
    for (unsigned op = 0; op < IOLK_OP_COUNT; op++) {
        assert_non_null(kc_row((enum iolk_op)op, IOLK_ISA_SCALAR));
    }
    assert_true(kc_row_count >= IOLK_OP_COUNT);
    assert_true(available & 1U << IOLK_ISA_SCALAR);
}

/* Every mask gives each op its newest row, and says which. */
static void test_dispatch(void **state)
{
    (void)state;
    for (uint32_t mask = 0; mask < 1U << IOLK_ISA_COUNT; mask++) {
        struct iolk_ops ops;
        if (!(mask & 1U << IOLK_ISA_SCALAR)) {
            continue;
        }
        iolk_ops_fill(mask, &ops);
        for (unsigned op = 0; op < IOLK_OP_COUNT; op++) {
            const struct kc_variant *newest = NULL;
            for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
                const struct kc_variant *row = kc_row((enum iolk_op)op, (enum iolk_isa)isa);
                newest = mask >> isa & 1U && row ? row : newest;
            }
            assert_int_equal(ops.chosen[op], newest->isa);
            assert_string_not_equal(iolk_op_name((enum iolk_op)op), "?");
        }
#define O(op, dtype)                                                                               \
    assert_true((kc_fn *)ops.op##_##dtype ==                                                       \
                kc_row(IOLK_OP_##op##_##dtype, ops.chosen[IOLK_OP_##op##_##dtype])->fn);
        IOLK_OPS(O)
#undef O
    }
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        assert_string_not_equal(iolk_isa_name((enum iolk_isa)isa), "?");
        assert_string_not_equal(iolk_isa_needs((enum iolk_isa)isa), "?");
    }
    assert_string_equal(iolk_isa_name(IOLK_ISA_COUNT), "?");
    assert_string_equal(iolk_op_name(IOLK_OP_COUNT), "?");
}

/* --- the checker --- */

enum verdict { CAUGHT, FAULTED, MISSED, IDLE /* the sabotage had nothing to do */ };

/* Check a broken kernel in a child: a fault at a guard page may be how it is caught. */
static enum verdict judge(const struct kc_variant *broken, char text[KC_TEXT])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        size_t calls;
        setrlimit(RLIMIT_CORE, &none);
        dup2(ends[1], STDERR_FILENO);
        kcb_fired = 0;
        bool passed = kc_check(broken, 1, &calls, text);
        fprintf(stderr, "%s", passed ? "" : text);
        _exit(!passed ? CAUGHT : kcb_fired ? MISSED : IDLE);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got; used + 1 < KC_TEXT; used += (size_t)got) {
        got = read(ends[0], text + used, KC_TEXT - 1 - used);
        if (got <= 0) {
            break;
        }
    }
    text[used] = 0;
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status)) {
        return (enum verdict)WEXITSTATUS(status);
    }
    return FAULTED;
}

static void test_sabotage_is_caught(void **state)
{
    (void)state;
    char text[KC_TEXT];
    size_t caught = 0, faulted = 0, idle = 0, missed = 0;
    for (size_t s = 0; s < kcb_sabotage_count; s++) {
        const struct kcb_sabotage *sabotage = &kcb_sabotages[s];
        size_t here = 0;
        /* Where the emulator itself reads too far, reads cannot be judged. */
        bool blind = sabotage->must_fault && !kc_faults_at_end();
        for (unsigned op = 0; op < IOLK_OP_COUNT; op++) {
            struct kc_variant broken = *kc_row((enum iolk_op)op, IOLK_ISA_SCALAR);
            broken.before = sabotage->before;
            broken.after = sabotage->after;
            enum verdict verdict = judge(&broken, text);
            caught += verdict == CAUGHT;
            faulted += verdict == FAULTED;
            idle += verdict == IDLE;
            here += verdict == CAUGHT || verdict == FAULTED;
            bool excused = blind || verdict == IDLE ||
                           (verdict == MISSED && sabotage->spares &&
                            is_named(sabotage->spares, iolk_op_name(broken.op)));
            if (verdict == MISSED && !excused) {
                print_error("missed: %s that %s\n", broken.name, sabotage->what);
                missed++;
            }
            if (sabotage->must_fault && !blind && verdict != FAULTED && verdict != IDLE) {
                print_error("no fault: %s that %s: %s\n", broken.name, sabotage->what, text);
                missed++;
            }
        }
        assert_true(here > 0 || blind);
    }
    print_message("sabotage: %zu caught by comparison, %zu by a guard page, %zu had no object\n",
                  caught, faulted, idle);
    assert_int_equal(missed, 0);
}

static void test_broken_kernels_are_caught(void **state)
{
    (void)state;
    char text[KC_TEXT];
    size_t missed = 0;
    for (size_t i = 0; i < kcb_broken_count; i++) {
        enum verdict verdict = judge(&kcb_broken[i], text);
        if (verdict != CAUGHT && verdict != FAULTED) {
            print_error("missed: %s\n", kcb_broken[i].name);
            missed++;
        }
    }
    print_message("broken kernels: %zu caught\n", kcb_broken_count - missed);
    assert_int_equal(missed, 0);
}

/* --- floating-point mode --- */

enum { ROWS = 8, COLUMNS = 48, DEPTH = 64, THREADS = 2 };

struct product {
    float a[ROWS * DEPTH], b[DEPTH * COLUMNS], c[THREADS][ROWS * COLUMNS];
};

/* The product by every thread of a region, each in the contract's mode or in its own. */
static void multiply(const struct kc_variant *row, struct product *x, bool enter)
{
    iolk_gemm_f32_fn *gemm = (iolk_gemm_f32_fn *)row->fn;
#pragma omp parallel for num_threads(THREADS) schedule(static, 1)
    for (int t = 0; t < THREADS; t++) {
        struct iol_fpmode mode = {0};
        if (enter) {
            mode = iol_fpmode_enter();
        }
        gemm(ROWS, COLUMNS, DEPTH, x->a, DEPTH, x->b, COLUMNS, NULL, 0, x->c[t], COLUMNS, NULL);
        if (enter) {
            iol_fpmode_leave(mode);
        }
    }
}

/* A caller, and threads born from it, flush denormals; the contract's mode does not, and leaving it
 * gives the caller's mode back. */
static void test_caller_flushes_denormals(void **state)
{
    (void)state;
    static struct product x;
    static float want[ROWS * COLUMNS];
    kc_fill(&(struct kc_array){1, ROWS * DEPTH, ROWS * DEPTH, 4, KC_IN}, x.a, KC_TINY, true, 1);
    kc_fill(&(struct kc_array){1, DEPTH * COLUMNS, DEPTH * COLUMNS, 4, KC_IN}, x.b, KC_REAL, false,
            2);
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        const struct kc_variant *row = kc_row(IOLK_OP_gemm_f32, (enum iolk_isa)isa);
        if (!(available >> isa & 1U) || !row) {
            continue;
        }
        multiply(row, &x, false);
        memcpy(want, x.c[0], sizeof want);
        bool flushes = kcb_flush_denormals();
        multiply(row, &x, false);
        bool differs = memcmp(want, x.c[0], sizeof want) != 0;
        multiply(row, &x, true);
        bool still = kcb_flushes_denormals();
        kcb_keep_denormals();
        if (!flushes) {
            print_message("skipped: this architecture has no flush mode\n");
            skip();
        }
        assert_true(differs); /* or the test below could not fail */
        assert_true(still);
        for (size_t t = 0; t < THREADS; t++) {
            assert_memory_equal(x.c[t], want, sizeof want);
        }
    }
}

/* --------------------------------------------------------------------------------------------- */

static int print_digest(void)
{
    struct iolk_ops ops;
    iolk_ops_fill(available, &ops);
    for (unsigned op = 0; op < IOLK_OP_COUNT; op++) {
        const struct kc_variant *row = kc_row((enum iolk_op)op, ops.chosen[op]);
        printf("%s %016llx\n", iolk_op_name((enum iolk_op)op),
               (unsigned long long)kc_digest(row, kc_stride((enum iolk_op)op, quick)));
    }
    return fflush(stdout) ? 1 : 0;
}

/* 0: as asked; else the exit status. */
static int choose_isas(void)
{
    available = iolk_isa_detect();
    if (!(available & 1U << IOLK_ISA_SCALAR)) {
        fprintf(stderr, "test_kernels: this processor lacks %s\n", iolk_isa_needs(IOLK_ISA_SCALAR));
        return 1;
    }
    const char *list = getenv("IOL_ISA");
    if (!list || !*list || strcmp(list, "auto") == 0) {
        return 0;
    }
    uint32_t asked = 0;
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        asked |= is_named(list, iolk_isa_name((enum iolk_isa)isa)) ? 1U << isa : 0;
    }
    if (!asked || asked & ~available) {
        fprintf(stderr, "test_kernels: IOL_ISA: found '%s', this machine lacks that\n", list);
        return 1;
    }
    available = asked | 1U << IOLK_ISA_SCALAR;
    return 0;
}

/* sum = sum + x, y its norm, out the norm of y, and so on: all four norms, gain and bias `v`. */
static void chain_norms(const struct iolk_ops *ops, size_t rows, size_t n, const float *x,
                        const float *v, float *sum, float *y, float *out)
{
    ops->add_layernorm_f32(rows, n, sum, n, x, n, v, v, 1e-5F, y, n);
    ops->rmsnorm_f32(rows, n, y, n, v, 1e-5F, out, n);
    ops->add_rmsnorm_f32(rows, n, sum, n, out, n, v, 1e-6F, y, n);
    ops->layernorm_f32(rows, n, y, n, v, v, 1e-6F, out, n);
}

/* Norms of more rows than L1 holds are staggered: the bits of two rows at a time. */
static void test_staggered_norms(void **state)
{
    (void)state;
    enum { MOST_ROWS = 187, MOST = 1024, FLOATS = MOST_ROWS * MOST };
    static const size_t widths[] = {46, 48, 721, 1024};
    float *x = calloc((size_t)7 * FLOATS, sizeof(float)), *sum = x + FLOATS, *y = sum + FLOATS;
    float *out = y + FLOATS, *sum2 = out + FLOATS, *y2 = sum2 + FLOATS, *out2 = y2 + FLOATS;
    struct iolk_ops ops;
    assert_non_null(x);
    iolk_ops_fill(available, &ops);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const size_t n = widths[w], rows = MOST_ROWS - w;
        for (size_t i = 0; i < rows * n; i++) {
            x[i] = (float)(i * 40503 % 1009) / 100.0F - 5;
            sum[i] = sum2[i] = x[i] * 0.25F;
        }
        chain_norms(&ops, rows, n, x, x, sum, y, out);
        for (size_t r = 0; r < rows; r += 2) {
            const size_t two = rows - r < 2 ? 1 : 2, at = r * n;
            chain_norms(&ops, two, n, x + at, x, sum2 + at, y2 + at, out2 + at);
        }
        assert_memory_equal(sum, sum2, rows * n * sizeof(float));
        assert_memory_equal(y, y2, rows * n * sizeof(float));
        assert_memory_equal(out, out2, rows * n * sizeof(float));
    }
    free(x);
}

int main(int argc, char **argv)
{
    bool digest = false;
    for (int i = 1; i < argc; i++) {
        quick |= strcmp(argv[i], "--quick") == 0;
        digest |= strcmp(argv[i], "--digest") == 0;
    }
    int status = choose_isas();
    if (status) {
        return status;
    }
    if (!kc_open()) {
        fprintf(stderr, "test_kernels: no memory\n");
        return 1;
    }
    if (digest) {
        return print_digest();
    }
    static struct CMUnitTest tests[256];
    size_t count = 0;
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_scalar_row_of_every_op);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_dispatch);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_staggered_norms);
    for (size_t i = 0; i < kc_row_count && count < 250; i++) {
        union {
            const void *in;
            void *out;
        } row = {&kc_rows[i]};
        tests[count++] = (struct CMUnitTest){
            .name = kc_rows[i].name, .test_func = test_row, .initial_state = row.out};
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_caller_flushes_denormals);
    if (!quick) {
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_sabotage_is_caught);
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_broken_kernels_are_caught);
    }
    int failed = _cmocka_run_group_tests("kernels", tests, count, NULL, NULL);
    kc_close();
    return failed ? 1 : 0;
}
