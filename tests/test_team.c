/* A team does every task once, gives the bits of one thread, and is not held up by anybody who does
 * not run. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "driver/gemm_team.h"
#include "driver/team.h"
#include "fpmode.h"

/* --- tasks --- */

enum { MOST_TASKS = 5000 };
struct counted {
    atomic_uint times[MOST_TASKS];
    atomic_size_t workers; /* bit of each that came */
    struct iol_team *team; /* to nest in, or NULL */
    size_t threads;
};

static void count_task(void *user, size_t task, size_t worker)
{
    struct counted *x = user;
    assert_true(worker < x->threads);
    atomic_fetch_add(&x->times[task], 1);
    atomic_fetch_or(&x->workers, (size_t)1 << worker);
}

static void every_task_once(void **state)
{
    (void)state;
    static struct counted x;
    for (size_t threads = 1; threads <= 8; threads++) {
        struct iol_team *team = iol_team_open(threads);
        assert_non_null(team);
        assert_int_equal(iol_team_threads(team), threads);
        for (size_t tasks = 0; tasks < MOST_TASKS; tasks = tasks * 5 / 3 + 1) {
            memset(&x, 0, sizeof x);
            x.threads = threads;
            iol_team_run(team, tasks, count_task, &x);
            for (size_t i = 0; i < MOST_TASKS; i++) {
                assert_int_equal(atomic_load(&x.times[i]), i < tasks);
            }
        }
        iol_team_close(team);
    }
}

static void without_a_team(void **state)
{
    (void)state;
    static struct counted x;
    memset(&x, 0, sizeof x);
    x.threads = 1;
    iol_team_run(NULL, 10, count_task, &x);
    assert_int_equal(atomic_load(&x.times[9]), 1);
    assert_int_equal(iol_team_threads(NULL), 1);
    iol_team_close(NULL);
    assert_null(iol_team_open(0));
    assert_null(iol_team_open(IOL_TEAM_MOST + 1));
}

struct sum {
    size_t per_task[64]; /* plain memory: what a task wrote is there when the call returns */
    size_t base;
};

static void add_task(void *user, size_t task, size_t worker)
{
    struct sum *x = user;
    (void)worker;
    x->per_task[task] += x->base + task;
}

/* Thousands of short jobs one after the other; some after the helpers have gone to sleep. */
static void rapid_jobs(void **state)
{
    (void)state;
    for (size_t threads = 2; threads <= 5; threads++) {
        struct iol_team *team = iol_team_open(threads);
        struct sum x = {{0}, 0};
        size_t wanted = 0;
        for (size_t i = 0; i < 4000; i++) {
            const size_t tasks = i % 64 + 1;
            x.base = i;
            iol_team_run(team, tasks, add_task, &x);
            wanted += tasks * i + tasks * (tasks - 1) / 2;
            if (i % 1000 == 999) {
                nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
            }
        }
        for (size_t i = 0; i < 64; i++) {
            wanted -= x.per_task[i];
        }
        assert_int_equal(wanted, 0);
        iol_team_close(team);
    }
}

static void open_and_close(void **state)
{
    (void)state;
    for (size_t i = 0; i < 200; i++) {
        struct iol_team *team = iol_team_open(1 + i % 6);
        struct sum x = {{0}, 1};
        if (i % 2) {
            iol_team_run(team, 3, add_task, &x);
            assert_int_equal(x.per_task[2], 3);
        }
        iol_team_close(team);
    }
}

static void nested_task(void *user, size_t task, size_t worker)
{
    struct counted *x = user;
    struct sum inner = {{0}, task};
    (void)worker;
    iol_team_run(x->team, 8, add_task, &inner); /* in this thread alone */
    assert_int_equal(inner.per_task[7], task + 7);
    atomic_fetch_add(&x->times[task], 1);
}

static void nested_jobs(void **state)
{
    (void)state;
    static struct counted x;
    memset(&x, 0, sizeof x);
    x.threads = 4;
    x.team = iol_team_open(4);
    for (size_t i = 0; i < 100; i++) {
        iol_team_run(x.team, 40, nested_task, &x);
    }
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(atomic_load(&x.times[i]), 100);
    }
    iol_team_close(x.team);
}

static void forked_child(void **state)
{
    (void)state;
    static struct counted x;
    struct iol_team *team = iol_team_open(3);
    memset(&x, 0, sizeof x);
    x.threads = 3;
    iol_team_run(team, 50, count_task, &x);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        memset(&x, 0, sizeof x);
        x.threads = 1; /* helpers stayed behind */
        iol_team_run(team, 50, count_task, &x);
        bool once = true;
        for (size_t i = 0; i < 50; i++) {
            once = once && atomic_load(&x.times[i]) == 1;
        }
        iol_team_close(team);
        _exit(once ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    iol_team_run(team, 50, count_task, &x);
    iol_team_close(team);
}

/* --- who else wants the processors --- */

/* A process that spins on the last processor that this one may use, until it is killed. */
static pid_t open_neighbour(void)
{
    cpu_set_t set, one;
    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
        }
    }
    const pid_t parent = getpid(), child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)sched_setaffinity(0, sizeof one, &one);
        for (volatile size_t i = 0; getppid() == parent; i++) {
        }
        _exit(0);
    }
    return child;
}

static void close_neighbour(pid_t child)
{
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

struct dozing {
    long nanoseconds;
    atomic_size_t done;
};

/* The caller's tasks do not run for a while: a helper that is done lends it its processor. */
static void doze_task(void *user, size_t task, size_t worker)
{
    struct dozing *x = user;
    (void)task;
    if (worker == 0) {
        nanosleep(&(struct timespec){.tv_nsec = x->nanoseconds}, NULL);
    }
    atomic_fetch_add(&x->done, 1);
}

/* The caller ends long before, just while, and long after somebody lends; where it may run is as it
 * was, whatever came of it, and the next jobs are whole. */
static void processors_given_back(void **state)
{
    (void)state;
    cpu_set_t before, after;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    for (size_t threads = 2; threads <= 4; threads++) {
        struct iol_team *team = iol_team_open(threads);
        for (size_t i = 0; i < 300; i++) {
            struct dozing x = {.nanoseconds = (long)(i % 100) * 1500};
            iol_team_run(team, threads, doze_task, &x);
            assert_int_equal(atomic_load(&x.done), threads);
            assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
            assert_true(CPU_EQUAL(&before, &after));
            struct sum sum = {{0}, i};
            iol_team_run(team, 9, add_task, &sum);
            assert_int_equal(sum.per_task[8], i + 8);
        }
        iol_team_close(team);
    }
}

/* --- floating-point mode --- */

static void mode_task(void *user, size_t task, size_t worker)
{
    volatile float smallest = 1e-45F, half = 0.5F, two = 2.0F;
    (void)task, (void)worker;
    /* 2 * (2^-149) is 2^-148; with denormals flushed it is 0. */
    if (smallest * two * half != smallest) {
        atomic_store((atomic_bool *)user, true);
    }
}

static void modes(void **state)
{
    (void)state;
    struct iol_team *team = iol_team_open(3);
    atomic_bool flushed = false;
    const struct iol_fpmode mode = iol_fpmode_enter();
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(0x9fc0); /* the caller flushes denormals */
#endif
    for (size_t i = 0; i < 100; i++) {
        iol_team_run(team, 30, mode_task, &flushed);
    }
#if defined(__x86_64__)
    assert_int_equal(__builtin_ia32_stmxcsr() & 0x8040, 0x8040); /* and still does */
#endif
    iol_fpmode_leave(mode);
    assert_false(atomic_load(&flushed));
    iol_team_close(team);
}

/* --- products --- */

static float *random_floats(size_t count, uint64_t seed)
{
    float *values = iol_alloc(count, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)((double)(iol_splitmix64(&seed) >> 40) / 8388608.0 - 1.0);
    }
    return values;
}

struct product {
    size_t m, n, k;
    struct iol_gemm_part part;
    enum iol_panel_dtype dtype; /* f32 or Q4_0 */
};

/* Rows of Q4_0 blocks, scales near 1 / 64. */
static void pack_q40(struct iol_packed *packed)
{
    const size_t bytes = iol_panel_row_bytes(IOL_PANEL_Q40, packed->k), block = 18;
    unsigned char *row = iol_alloc(bytes, 1);
    uint64_t seed = 5;
    assert_non_null(row);
    for (size_t j = 0; j < packed->n; j++) {
        for (size_t i = 0; i < bytes; i++) {
            row[i] = i % block == 1 ? 0x24 : (unsigned char)(iol_splitmix64(&seed) >> 56);
        }
        iol_pack_rows_stored(row, bytes, j, 1, packed);
    }
    iol_free(row);
}

/* The product by one thread and by a team, both over the same old C: every byte of C, the columns
 * beyond included. */
static void check_product(struct iol_team *team, const struct iolk_ops *ops,
                          const struct product *p, bool bias)
{
    const size_t ld_a = p->k + 3, ld_c = p->n + 5, floats = p->m * ld_c;
    float *b_rows = random_floats(p->n * p->k, 1), *a = random_floats(p->m * ld_a, 2),
          *offsets = random_floats(p->n, 3), *one = random_floats(floats, 4),
          *many = random_floats(floats, 4),
          *panels = iol_alloc(iol_packed_floats(p->n, p->k), sizeof *panels);
    assert_non_null(panels);
    struct iol_packed packed = {
        .n = p->n, .k = p->k, .panels = panels, .bias = bias ? offsets : NULL, .dtype = p->dtype};
    if (p->dtype == IOL_PANEL_F32) {
        iol_pack_rows_f32(b_rows, p->k, 0, p->n, &packed);
    } else {
        pack_q40(&packed);
    }
    uint64_t flops_one = 0, flops_many = 0;
    iol_gemm_block(ops, p->m, a, ld_a, &packed, &p->part, one, ld_c, &flops_one);
    iol_gemm_team(team, ops, p->m, a, ld_a, &packed, &p->part, many, ld_c, &flops_many);
    if (memcmp(one, many, floats * sizeof *one) != 0) {
        fail_msg("%zu threads: other bits at m %zu n %zu k %zu", iol_team_threads(team), p->m, p->n,
                 p->k);
    }
    assert_int_equal(flops_one, flops_many);
    iol_free(panels);
    iol_free(many);
    iol_free(one);
    iol_free(offsets);
    iol_free(a);
    iol_free(b_rows);
}

static const struct product products[] = {
    {1, 1, 1, {0}, IOL_PANEL_F32},
    {1, 768, 300, {0}, IOL_PANEL_F32},
    {3, 47, 64, {0}, IOL_PANEL_F32},
    {8, 48, 2000, {0}, IOL_PANEL_F32},
    {16, 1000, 288, {0}, IOL_PANEL_F32},
    {64, 768, 288, {0}, IOL_PANEL_F32},
    {65, 97, 1600, {0}, IOL_PANEL_F32},
    {130, 49, 333, {0}, IOL_PANEL_F32},
    {600, 200, 500, {0}, IOL_PANEL_F32},
    {20, 500, 900, {.k_begin = 100, .k_end = 900, .accumulate = 1}, IOL_PANEL_F32},
    {40, 500, 300, {.panel_begin = 2, .panel_end = 9, .no_bias = 1}, IOL_PANEL_F32},
    {40, 500, 300, {.panel_begin = 3, .panel_end = 3}, IOL_PANEL_F32},
    /* a single row, panels in pairs: odd numbers of them, a narrow last one, parts */
    {1, 48, 64, {0}, IOL_PANEL_Q40},
    {1, 49, 64, {0}, IOL_PANEL_Q40},
    {1, 144, 64, {0}, IOL_PANEL_Q40},
    {1, 3001, 768, {0}, IOL_PANEL_Q40},
    {1, 1000, 96, {.panel_begin = 1, .panel_end = 16}, IOL_PANEL_Q40},
    {1, 700, 96, {.k_begin = 40, .k_end = 90, .accumulate = 1, .panel_begin = 2}, IOL_PANEL_Q40},
    {5, 700, 96, {0}, IOL_PANEL_Q40},
};
enum { PRODUCTS = sizeof products / sizeof *products };

static void check_products(struct iol_team *team)
{
    struct iolk_ops ops;
    iolk_ops_fill(iolk_isa_detect(), &ops);
    for (size_t i = 0; i < PRODUCTS; i++) {
        check_product(team, &ops, &products[i], false);
        check_product(team, &ops, &products[i], true);
    }
    const struct product nothing = {0, 10, 10, {0}, IOL_PANEL_F32};
    check_product(team, &ops, &nothing, false);
}

static void same_bits(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 8; threads++) {
        struct iol_team *team = iol_team_open(threads);
        check_products(team);
        iol_team_close(team);
    }
    check_products(NULL);
}

static void same_bits_beside_a_neighbour(void **state)
{
    (void)state;
    const pid_t neighbour = open_neighbour();
    cpu_set_t before, after; /* a call may move this thread, and has to put it back */
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    for (size_t threads = 2; threads <= 4; threads++) {
        struct iol_team *team = iol_team_open(threads);
        for (size_t i = 0; i < 5; i++) {
            check_products(team);
            assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
            assert_true(CPU_EQUAL(&before, &after));
        }
        iol_team_close(team);
    }
    close_neighbour(neighbour);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_once),
        cmocka_unit_test(without_a_team),
        cmocka_unit_test(rapid_jobs),
        cmocka_unit_test(open_and_close),
        cmocka_unit_test(nested_jobs),
        cmocka_unit_test(forked_child),
        cmocka_unit_test(processors_given_back),
        cmocka_unit_test(modes),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(same_bits_beside_a_neighbour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
