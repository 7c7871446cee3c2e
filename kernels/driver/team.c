#define _GNU_SOURCE
#include "driver/team.h"

#include <assert.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fpmode.h"

enum { LINE = 64 };

/* The gate: who may touch the job. Helpers come in while it is open; the caller closes it and waits
 * until the last of them is out. A wrap of the number is harmless: an open gate is always that of
 * the job that is there. */
enum { INSIDE = 0x7ff, OPEN = 0x800, JOB = 0x1000, QUIT = -1 };
/* Who sleeps on the gate's futex. */
enum { HELPERS = 1, CALLER = 2 };
enum { ANY = -1 };
/* Whether a helper has given the caller its processor: a word that holds the number of the job,
 * too, so that who is late for one cannot touch the next. OVER: the caller is done, and nobody may
 * any more. */
enum { NOT_LENT, LENDING, LENT, OVER, STATES };

/* How long to spin before sleeping, nanoseconds. Where somebody else wants the core, a spinning
 * helper only loses its claim on it. */
enum { SPIN_QUIET = 100000, SPIN_CROWDED = 5000, DESCHEDULED = 300000, CROWDED_WAITS = 64 };
/* How often the caller looks whether those it waits for run: spinning, asleep. */
enum { LOOK_SPINNING = 20000, LOOK_ASLEEP = 200000 };

struct share {
    _Alignas(LINE) atomic_size_t next;
    size_t end;
};

struct helper {
    _Alignas(LINE) struct iol_team *team;
    size_t worker;
    pthread_t thread;
    pid_t tid;           /* 0 until it runs */
    clockid_t clock;     /* of its processor time */
    atomic_bool inside;  /* a job */
    atomic_int avoid;    /* processor that it will not wake up on; ANY while it is awake */
    atomic_uint crowded; /* waits for which somebody else is assumed on its processor */
    int64_t used;        /* its processor time when the caller looked last; -1: has not looked */
    bool lent;           /* the caller's processor, in this job */
};

struct iol_team {
    _Alignas(LINE) atomic_uint gate;
    _Alignas(LINE) atomic_uint sleepers; /* helpers asleep, or about to be */
    atomic_uint caller_sleeps;
    atomic_bool quit;
    /* Helpers that are done watch the caller from outside. Its line: it writes it for every job. */
    _Alignas(LINE) atomic_int caller_cpu; /* where the last job was published */
    atomic_uint caller_lent;              /* job * STATES + NOT_LENT, ... */
    _Atomic(clockid_t) caller_clock;      /* of its processor time */
    pid_t caller;                         /* while LENDING */
    cpu_set_t caller_mask;                /* its processors before; from LENDING to OVER */
    /* The job: written while the gate is closed and nobody is inside. */
    _Alignas(LINE) iol_team_task_fn *run;
    void *user;
    size_t threads;
    cpu_set_t allowed; /* processors of the thread that opened the team */
    bool crowded;      /* more workers than these */
    pid_t pid;         /* that has the helpers: not a forked child */
    struct share *shares;
    struct helper *helpers; /* threads - 1 */
};

/* Which team's task this thread is in, and as whom. */
static _Thread_local const struct iol_team *inside_team;
static _Thread_local size_t inside_worker;
static _Thread_local pid_t own_tid; /* 0: not asked for yet */

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t = {0};
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* until: of CLOCK_MONOTONIC; NULL: without end. */
static void gate_sleep(struct iol_team *team, unsigned seen, unsigned who,
                       const struct timespec *until)
{
    syscall(SYS_futex, &team->gate, FUTEX_WAIT_BITSET_PRIVATE, seen, until, NULL, who);
}

static void gate_wake(struct iol_team *team, unsigned who)
{
    syscall(SYS_futex, &team->gate, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, who);
}

typedef bool gate_test_fn(struct iol_team *team, unsigned gate, unsigned seen);

/* Spin until the gate passes the test, or for `limit` nanoseconds. *out_gap, where it is not NULL:
 * the longest time that this thread did not run meanwhile. */
static bool gate_spin(struct iol_team *team, gate_test_fn *test, unsigned seen, int64_t limit,
                      int64_t *out_gap)
{
    const int64_t begin = clock_ns(CLOCK_MONOTONIC);
    for (int64_t last = begin, gap = 0;;) {
        for (unsigned i = 0; i < 32; i++) {
            if (test(team, atomic_load_explicit(&team->gate, memory_order_acquire), seen)) {
                return true;
            }
            relax();
        }
        const int64_t now = clock_ns(CLOCK_MONOTONIC);
        gap = now - last > gap ? now - last : gap;
        if (out_gap) {
            *out_gap = gap;
        }
        if (now - begin > limit) {
            return false;
        }
        last = now;
    }
}

/* --- tasks --- */

/* A task of the shares, this worker's own first; false: none is left. */
static bool take_task(struct iol_team *team, size_t *at, size_t worker, size_t *out_task)
{
    for (; *at < team->threads; ++*at) {
        struct share *share = &team->shares[(worker + *at) % team->threads];
        if (atomic_load_explicit(&share->next, memory_order_relaxed) < share->end) {
            *out_task = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed);
            if (*out_task < share->end) {
                return true;
            }
        }
    }
    return false;
}

static void work(struct iol_team *team, size_t worker)
{
    const struct iol_team *outer_team = inside_team;
    const size_t outer_worker = inside_worker;
    inside_team = team;
    inside_worker = worker;
    for (size_t at = 0, task; take_task(team, &at, worker, &task);) {
        team->run(team->user, task, worker);
    }
    inside_team = outer_team;
    inside_worker = outer_worker;
}

/* --- helpers --- */

/* A thread that is woken up may be put behind the one that woke it and stay there for milliseconds,
 * although another processor is idle (seen in virtual machines, whose halted processors do not look
 * idle). So a sleeping helper may not wake up on the caller's processor; once it runs, it is free
 * again. */
static void avoid_processor(struct helper *helper, pid_t tid, int cpu)
{
    cpu_set_t set = helper->team->allowed;
    CPU_CLR((size_t)cpu, &set);
    if (CPU_COUNT(&set) > 0 && sched_setaffinity(tid, sizeof set, &set) == 0) {
        atomic_store(&helper->avoid, cpu);
    }
}

static void avoid_none(struct helper *helper)
{
    if (atomic_exchange(&helper->avoid, ANY) != ANY) {
        (void)sched_setaffinity(0, sizeof helper->team->allowed, &helper->team->allowed);
    }
}

static void wake_helpers(struct iol_team *team, int cpu)
{
    if (team->pid != getpid()) {
        return; /* those of the parent */
    }
    for (size_t i = 0; !team->crowded && i + 1 < team->threads; i++) {
        const int avoid = atomic_load(&team->helpers[i].avoid);
        if (avoid != ANY && avoid != cpu) {
            avoid_processor(&team->helpers[i], team->helpers[i].tid, cpu);
        }
    }
    gate_wake(team, HELPERS);
}

static bool may_enter(struct iol_team *team, unsigned gate, unsigned seen)
{
    return ((gate & OPEN) && gate / JOB != seen) ||
           atomic_load_explicit(&team->quit, memory_order_relaxed);
}

/* Where somebody else wants the processor, only a short while. */
static bool helper_spin(struct helper *helper, unsigned seen)
{
    const unsigned crowded = atomic_load_explicit(&helper->crowded, memory_order_relaxed);
    int64_t gap = 0;
    const bool passed =
        gate_spin(helper->team, may_enter, seen,
                  helper->team->crowded || crowded ? SPIN_CROWDED : SPIN_QUIET, &gap);
    if (crowded || gap > DESCHEDULED) {
        atomic_store_explicit(&helper->crowded, gap > DESCHEDULED ? CROWDED_WAITS : crowded - 1,
                              memory_order_relaxed);
    }
    return passed;
}

/* Into the next job after number `seen`; its number, or QUIT. */
static unsigned enter(struct helper *helper, unsigned seen, bool spin)
{
    struct iol_team *team = helper->team;
    for (;;) {
        if (!spin || !helper_spin(helper, seen)) {
            if (!team->crowded) {
                avoid_processor(helper, 0, atomic_load(&team->caller_cpu));
            }
            atomic_fetch_add(&team->sleepers, 1);
            for (unsigned gate; gate = atomic_load(&team->gate), !may_enter(team, gate, seen);) {
                gate_sleep(team, gate, HELPERS, NULL);
            }
            atomic_fetch_sub(&team->sleepers, 1);
            avoid_none(helper);
        }
        if (atomic_load_explicit(&team->quit, memory_order_relaxed)) {
            return (unsigned)QUIT;
        }
        unsigned gate = atomic_load_explicit(&team->gate, memory_order_relaxed);
        while ((gate & OPEN) && gate / JOB != seen) {
            if (atomic_compare_exchange_weak_explicit(&team->gate, &gate, gate + 1,
                                                      memory_order_acquire, memory_order_relaxed)) {
                return gate / JOB;
            }
        }
    }
}

static bool job_closed(struct iol_team *team, unsigned gate, unsigned seen)
{
    (void)team;
    return !(gate & OPEN) || gate / JOB != seen;
}

/* This helper is out of tasks, and out of the job, and the caller still in a task. If the caller
 * does not run, it gets this processor until the end of the job. True: it has. */
static bool watch_caller(struct iol_team *team, unsigned job)
{
    int64_t used = -1;
    for (int64_t spun = 0; spun < SPIN_QUIET && !team->crowded; spun += LOOK_SPINNING) {
        if (gate_spin(team, job_closed, job, LOOK_SPINNING, NULL)) {
            return false;
        }
        const int64_t now =
            clock_ns(atomic_load_explicit(&team->caller_clock, memory_order_relaxed));
        if (now != used) {
            used = now;
            continue;
        }
        unsigned expected = job * STATES + NOT_LENT;
        if (!atomic_compare_exchange_strong(&team->caller_lent, &expected,
                                            job * STATES + LENDING)) {
            return false; /* another helper does, or the job is over */
        }
        const int cpu = sched_getcpu();
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        const bool lent =
            sched_getaffinity(team->caller, sizeof team->caller_mask, &team->caller_mask) == 0 &&
            sched_setaffinity(team->caller, sizeof set, &set) == 0;
        if (lent) {
            atomic_store(&team->caller_cpu, cpu);
        }
        atomic_store(&team->caller_lent, job * STATES + (lent ? LENT : NOT_LENT));
        return lent;
    }
    return false;
}

static void *helper_main(void *argument)
{
    struct helper *helper = argument;
    struct iol_team *team = helper->team;
    (void)iol_fpmode_enter();
    helper->tid = gettid();
    bool lent = false;
    for (unsigned job = 0; (job = enter(helper, job, !lent)) != (unsigned)QUIT;) {
        atomic_store_explicit(&helper->inside, true, memory_order_release);
        work(team, helper->worker);
        atomic_store_explicit(&helper->inside, false, memory_order_release);
        const unsigned before = atomic_fetch_sub(&team->gate, 1);
        if ((before & INSIDE) == 1 && atomic_load(&team->caller_sleeps)) {
            gate_wake(team, CALLER);
        }
        lent = watch_caller(team, job);
    }
    return NULL;
}

/* --- open, close --- */

static void *lines(size_t count, size_t size)
{
    void *p = aligned_alloc(LINE, count * size);
    return p ? memset(p, 0, count * size) : NULL;
}

/* Signals of the process are the caller's business: helpers start with all of them blocked. */
static bool start(struct helper *helper)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = pthread_create(&helper->thread, NULL, helper_main, helper) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

struct iol_team *iol_team_open(size_t threads)
{
    if (threads == 0 || threads > IOL_TEAM_MOST) {
        return NULL;
    }
    struct iol_team *team = lines(1, sizeof *team);
    if (!team) {
        return NULL;
    }
    team->pid = getpid();
    own_tid = gettid(); /* anew: in a forked child it is another */
    team->crowded = sched_getaffinity(0, sizeof team->allowed, &team->allowed) != 0 ||
                    threads > (size_t)CPU_COUNT(&team->allowed);
    team->shares = lines(threads, sizeof *team->shares);
    team->helpers = lines(threads, sizeof *team->helpers);
    if (!team->shares || !team->helpers) {
        iol_team_close(team);
        return NULL;
    }
    team->threads = 1;
    while (team->threads < threads) {
        struct helper *helper = &team->helpers[team->threads - 1];
        *helper = (struct helper){.team = team, .worker = team->threads, .avoid = ANY, .used = -1};
        if (!start(helper)) {
            iol_team_close(team);
            return NULL;
        }
        team->threads++;
        if (pthread_getcpuclockid(helper->thread, &helper->clock) != 0) {
            iol_team_close(team);
            return NULL;
        }
    }
    return team;
}

void iol_team_close(struct iol_team *team)
{
    if (!team) {
        return;
    }
    if (team->pid == getpid()) {
        atomic_store(&team->quit, true);
        atomic_fetch_add(&team->gate, JOB); /* so that nobody falls asleep on the old value */
        gate_wake(team, HELPERS);
        for (size_t i = 0; i + 1 < team->threads; i++) {
            pthread_join(team->helpers[i].thread, NULL);
        }
    }
    free(team->helpers);
    free(team->shares);
    free(team);
}

size_t iol_team_threads(const struct iol_team *team)
{
    return team ? team->threads : 1;
}

/* --- the caller --- */

static bool all_out(struct iol_team *team, unsigned gate, unsigned seen)
{
    (void)team, (void)seen;
    return (gate & INSIDE) == 0;
}

/* A helper inside a task that has not run since the caller looked last gets the caller's processor:
 * whoever wants its own keeps that for milliseconds, and the rest of a task takes microseconds. */
static bool lend_processor(struct iol_team *team, int cpu)
{
    bool any = false;
    for (size_t i = 0; i + 1 < team->threads; i++) {
        struct helper *helper = &team->helpers[i];
        if (helper->lent || !atomic_load_explicit(&helper->inside, memory_order_acquire)) {
            continue;
        }
        const int64_t used = clock_ns(helper->clock);
        if (used == helper->used) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET((size_t)cpu, &set);
            helper->lent = sched_setaffinity(helper->tid, sizeof set, &set) == 0;
            any |= helper->lent;
        }
        helper->used = used;
    }
    return any;
}

/* Who finished on the caller's processor goes elsewhere. */
static void take_processor_back(struct iol_team *team, int cpu)
{
    for (size_t i = 0; i + 1 < team->threads; i++) {
        struct helper *helper = &team->helpers[i];
        helper->used = -1;
        if (helper->lent) {
            helper->lent = false;
            atomic_store_explicit(&helper->crowded, CROWDED_WAITS, memory_order_relaxed);
            avoid_processor(helper, helper->tid, cpu);
        }
    }
}

static void sleep_until_all_out(struct iol_team *team, int cpu)
{
    atomic_store(&team->caller_sleeps, 1);
    for (unsigned gate; gate = atomic_load(&team->gate), !all_out(team, gate, 0);) {
        const int64_t end = clock_ns(CLOCK_MONOTONIC) + LOOK_ASLEEP;
        const struct timespec until = {.tv_sec = (time_t)(end / 1000000000),
                                       .tv_nsec = (long)(end % 1000000000)};
        gate_sleep(team, gate, CALLER, &until);
        (void)lend_processor(team, cpu);
    }
    atomic_store(&team->caller_sleeps, 0);
}

/* Nobody comes in any more; wait for those who are inside a task. */
static void close_gate(struct iol_team *team)
{
    const unsigned before =
        atomic_fetch_and_explicit(&team->gate, ~(unsigned)OPEN, memory_order_acq_rel);
    if ((before & INSIDE) == 0 || gate_spin(team, all_out, 0, LOOK_SPINNING, NULL)) {
        return;
    }
    const int cpu = sched_getcpu();
    int64_t spun = LOOK_SPINNING;
    while (spun < SPIN_QUIET && !lend_processor(team, cpu) &&
           !gate_spin(team, all_out, 0, LOOK_SPINNING, NULL)) {
        spun += LOOK_SPINNING;
    }
    sleep_until_all_out(team, cpu);
    take_processor_back(team, cpu);
}

/* From now on no helper lends; what one has lent is given back. */
static void end_lending(struct iol_team *team, unsigned job)
{
    unsigned state = job * STATES + NOT_LENT;
    while (!atomic_compare_exchange_weak(&team->caller_lent, &state, job * STATES + OVER)) {
        if (state == job * STATES + LENT) {
            (void)sched_setaffinity(0, sizeof team->caller_mask, &team->caller_mask);
        } else {
            relax();
            state = job * STATES + NOT_LENT; /* LENDING: some microseconds */
        }
    }
}

static void run_alone(size_t tasks, iol_team_task_fn *run, void *user, size_t worker)
{
    for (size_t i = 0; i < tasks; i++) {
        run(user, i, worker);
    }
}

void iol_team_run(struct iol_team *team, size_t tasks, iol_team_task_fn *run, void *user)
{
    if (team && inside_team == team) {
        run_alone(tasks, run, user, inside_worker);
        return;
    }
    const struct iol_fpmode mode = iol_fpmode_enter();
    if (!team || team->threads == 1 || tasks == 1) {
        run_alone(tasks, run, user, 0);
    } else if (tasks > 0) {
        team->run = run;
        team->user = user;
        for (size_t t = 0; t < team->threads; t++) {
            const size_t begin =
                tasks / team->threads * t + tasks % team->threads * t / team->threads;
            const size_t end =
                tasks / team->threads * (t + 1) + tasks % team->threads * (t + 1) / team->threads;
            atomic_store_explicit(&team->shares[t].next, begin, memory_order_relaxed);
            team->shares[t].end = end;
        }
        const unsigned gate = atomic_load_explicit(&team->gate, memory_order_relaxed);
        assert((gate & (OPEN | INSIDE)) == 0);
        own_tid = own_tid ? own_tid : gettid();
        team->caller = own_tid;
        clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
        (void)pthread_getcpuclockid(pthread_self(), &clock);
        atomic_store_explicit(&team->caller_clock, clock, memory_order_relaxed);
        const unsigned job = (gate + JOB) / JOB;
        atomic_store_explicit(&team->caller_lent, job * STATES + NOT_LENT, memory_order_release);
        const int cpu = sched_getcpu();
        atomic_store_explicit(&team->caller_cpu, cpu, memory_order_relaxed);
        atomic_store(&team->gate, (gate + JOB) | OPEN);
        if (atomic_load(&team->sleepers)) {
            wake_helpers(team, cpu);
        }
        work(team, 0);
        close_gate(team);
        end_lending(team, job);
    }
    iol_fpmode_leave(mode);
}
