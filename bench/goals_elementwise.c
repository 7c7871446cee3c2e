/* K4: elementwise kernels and reductions against what bounds them.
 *
 * The limit of a cell is the slower of two, measured in turns with the kernel:
 *   bandwidth  the kernel's own passes over its arrays, row by row, with loads and stores only
 *   function   SLEEF's exp or erf, one per element, over 12 KiB of the same values
 * Beyond the caches a turn takes one window of the rows and the next turn the next, so that kernel
 * and limit alternate within a millisecond: the bandwidth of a shared machine changes from one to
 * the next. A norm needs two or three passes over a row (the mean before the squares, those before
 * the result), so does softmax: beyond L1 the later ones come from L1. The share is limit over
 * kernel: above 1 where the kernel's inlined exp is faster than a call of SLEEF's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "goals.h"
#include "streams.h"

/* Arrays of an op. The first three are matrices, the others one row that all rows share. */
enum array { X, C, Y, GAIN, BIAS, NONE, ARRAYS = NONE };
enum function { FN_NONE, FN_EXP, FN_ERF };
enum { PASSES = 3, HEAD = 64, SLEEF_FLOATS = 3072, GROUP_TEXT = 48 };

struct pass {
    size_t reads;
    enum array read[STREAM_READS], write;
};

struct set {
    size_t m, n;       /* rows of one call */
    size_t windows;    /* of m rows each, one behind the other in every matrix */
    size_t window;     /* that p points into */
    size_t step[GAIN]; /* elements from a window of a matrix to the next */
    float *p[ARRAYS];
    const struct iolk_ops *ops;
    const struct bench_streams *streams;
    const struct element_op *op;
};

struct element_op {
    const char *group, *name;
    enum function function;
    size_t matrices; /* of X, C, Y in use */
    struct pass pass[PASSES];
    bench_call_fn *call, *apart; /* apart: the same by the ops that it is fused from, or NULL */
};

/* --- the ops --- */

static void softmax(void *user)
{
    const struct set *s = user;
    float rcp[IOLK_MR];
    for (size_t r = 0; r < s->m; r += 4) { /* m is a multiple of 4 */
        s->ops->softmax_f32(4, s->n, 0, 0.125F, s->p[X] + r * s->n, s->n, rcp);
    }
}

static void rmsnorm(void *user)
{
    const struct set *s = user;
    s->ops->rmsnorm_f32(s->m, s->n, s->p[X], s->n, s->p[GAIN], 1e-5F, s->p[Y], s->n);
}

static void layernorm(void *user)
{
    const struct set *s = user;
    s->ops->layernorm_f32(s->m, s->n, s->p[X], s->n, s->p[GAIN], s->p[BIAS], 1e-5F, s->p[Y], s->n);
}

static void add_rmsnorm(void *user)
{
    const struct set *s = user;
    s->ops->add_rmsnorm_f32(s->m, s->n, s->p[X], s->n, s->p[C], s->n, s->p[GAIN], 1e-5F, s->p[Y],
                            s->n);
}

static void add_layernorm(void *user)
{
    const struct set *s = user;
    s->ops->add_layernorm_f32(s->m, s->n, s->p[X], s->n, s->p[C], s->n, s->p[GAIN], s->p[BIAS],
                              1e-5F, s->p[Y], s->n);
}

static void add_then_rmsnorm(void *user)
{
    const struct set *s = user;
    s->ops->add_f32(s->m * s->n, s->p[X], s->p[C], s->p[X]);
    rmsnorm(user);
}

static void add_then_layernorm(void *user)
{
    const struct set *s = user;
    s->ops->add_f32(s->m * s->n, s->p[X], s->p[C], s->p[X]);
    layernorm(user);
}

static void silu_mul(void *user)
{
    const struct set *s = user;
    s->ops->silu_mul_f32(s->m * s->n, s->p[X], s->p[C], s->p[Y]);
}

static void gelu_tanh(void *user)
{
    const struct set *s = user;
    s->ops->gelu_tanh_f32(s->m * s->n, s->p[X], s->p[Y]);
}

static void gelu_erf(void *user)
{
    const struct set *s = user;
    s->ops->gelu_erf_f32(s->m * s->n, s->p[X], s->p[Y]);
}

static void bias_gelu_tanh(void *user)
{
    const struct set *s = user;
    s->ops->bias_gelu_tanh_f32(s->m, s->n, s->p[X], s->n, s->p[BIAS], s->p[Y], s->n);
}

static void bias_gelu_erf(void *user)
{
    const struct set *s = user;
    s->ops->bias_gelu_erf_f32(s->m, s->n, s->p[X], s->n, s->p[BIAS], s->p[Y], s->n);
}

static void add_bias(const struct set *s)
{
    for (size_t r = 0; r < s->m; r++) {
        s->ops->add_f32(s->n, s->p[X] + r * s->n, s->p[BIAS], s->p[Y] + r * s->n);
    }
}

static void bias_then_gelu_tanh(void *user)
{
    const struct set *s = user;
    add_bias(s);
    s->ops->gelu_tanh_f32(s->m * s->n, s->p[Y], s->p[Y]);
}

static void bias_then_gelu_erf(void *user)
{
    const struct set *s = user;
    add_bias(s);
    s->ops->gelu_erf_f32(s->m * s->n, s->p[Y], s->p[Y]);
}

/* A row is a position: its heads, with the cosines in GAIN and the sines in BIAS (of one position,
 * as branches have). */
static void rope(void *user)
{
    const struct set *s = user;
    s->ops->rope_f32(s->m, s->n / HEAD, HEAD / 2, s->p[X], s->n, s->p[GAIN], s->p[BIAS], 0);
}

static const struct element_op ops[] = {
    {"softmax", "softmax", FN_EXP, 1, {{1, {X}, NONE}, {1, {X}, X}}, softmax, NULL},
    {"norms", "rmsnorm", FN_NONE, 2, {{1, {X}, NONE}, {2, {X, GAIN}, Y}}, rmsnorm, NULL},
    {"norms",
     "layernorm",
     FN_NONE,
     2,
     {{1, {X}, NONE}, {1, {X}, NONE}, {3, {X, GAIN, BIAS}, Y}},
     layernorm,
     NULL},
    {"SiLU", "silu_mul", FN_EXP, 3, {{2, {X, C}, Y}}, silu_mul, NULL},
    {"GELU", "gelu_tanh", FN_EXP, 2, {{1, {X}, Y}}, gelu_tanh, NULL},
    {"GELU", "gelu_erf", FN_ERF, 2, {{1, {X}, Y}}, gelu_erf, NULL},
    {"RoPE", "rope", FN_NONE, 1, {{1, {X}, X}}, rope, NULL},
    {"bias and activation",
     "bias_gelu_tanh",
     FN_EXP,
     2,
     {{2, {X, BIAS}, Y}},
     bias_gelu_tanh,
     bias_then_gelu_tanh},
    {"bias and activation",
     "bias_gelu_erf",
     FN_ERF,
     2,
     {{2, {X, BIAS}, Y}},
     bias_gelu_erf,
     bias_then_gelu_erf},
    {"residual and norm",
     "add_rmsnorm",
     FN_NONE,
     3,
     {{2, {X, C}, X}, {2, {X, GAIN}, Y}},
     add_rmsnorm,
     add_then_rmsnorm},
    {"residual and norm",
     "add_layernorm",
     FN_NONE,
     3,
     {{2, {X, C}, X}, {1, {X}, NONE}, {3, {X, GAIN, BIAS}, Y}},
     add_layernorm,
     add_then_layernorm},
};
enum { OPS = sizeof ops / sizeof *ops };

/* --- limits --- */

static void passes(void *user)
{
    const struct set *s = user;
    for (size_t r = 0; r < s->m; r++) {
        for (size_t i = 0; i < PASSES && s->op->pass[i].reads; i++) {
            const struct pass *pass = &s->op->pass[i];
            const float *read[STREAM_READS] = {NULL};
            for (size_t j = 0; j < pass->reads; j++) {
                read[j] = s->p[pass->read[j]] + (pass->read[j] < GAIN ? r * s->n : 0);
            }
            s->streams->sweep(s->n, pass->reads, read,
                              pass->write == NONE ? NULL : s->p[pass->write] + r * s->n);
        }
    }
}

static float *sleef_data; /* x, then y */

static void sleef_exp(void *user)
{
    const struct set *s = user;
    s->streams->exp(SLEEF_FLOATS, sleef_data, sleef_data + SLEEF_FLOATS);
}

static void sleef_erf(void *user)
{
    const struct set *s = user;
    s->streams->erf(SLEEF_FLOATS, sleef_data, sleef_data + SLEEF_FLOATS);
}

/* --- cells --- */

struct size {
    const char *name;
    size_t width, bytes; /* of a row in elements, of all arrays in all windows */
    size_t windows;      /* used in turns */
    size_t apart;        /* elements by which arrays lie further from each other in each window */
};

struct cell {
    struct bench_interval share;
    double ours, bandwidth, function, apart; /* ns per element, medians */
};

/* The lengths of one turn, in calls, and the time of one call per element in ns. */
struct timed {
    bench_call_fn *call;
    size_t calls;
    double elements;
    struct bench_samples ns;
};

static void timed_open(struct timed *t, bench_call_fn *call, struct set *s, double elements,
                       double seconds)
{
    *t = (struct timed){.call = call, .elements = elements};
    /* a second call on a window would find it in the caches */
    t->calls = !call || (s->windows > 1 && elements > SLEEF_FLOATS)
                   ? 1
                   : bench_batch_size(call, s, seconds);
}

static void next_window(struct set *s)
{
    const size_t before = s->window;
    s->window = (s->window + 1) % s->windows;
    for (size_t i = 0; i < GAIN; i++) {
        s->p[i] = s->p[i] - before * s->step[i] + s->window * s->step[i];
    }
}

static double timed_turn(struct timed *t, struct set *s)
{
    if (!t->call) {
        return 0;
    }
    next_window(s);
    double begin = bench_clock(1);
    for (size_t i = 0; i < t->calls; i++) {
        t->call(s);
    }
    double ns = 1e9 * (bench_clock(1) - begin) / ((double)t->calls * t->elements);
    bench_samples_add(&t->ns, ns);
    return ns;
}

static double timed_close(struct timed *t)
{
    double median = t->call ? bench_interval_of(&t->ns).median : 0;
    bench_samples_free(&t->ns);
    return median;
}

static struct cell measure(struct set *s, double seconds)
{
    const enum function function = s->op->function;
    const double elements = (double)(s->m * s->n), turn = 2e-4;
    struct timed ours, bandwidth, sleef, apart;
    struct bench_samples shares = {0};
    timed_open(&ours, s->op->call, s, elements, turn);
    timed_open(&bandwidth, passes, s, elements, turn);
    timed_open(&sleef,
               function == FN_EXP   ? sleef_exp
               : function == FN_ERF ? sleef_erf
                                    : NULL,
               s, SLEEF_FLOATS, turn);
    timed_open(&apart, s->op->apart, s, elements, turn);
    const double start = iol_seconds();
    struct bench_interval x = {0};
    for (size_t round = 0;
         round < 9 || (iol_seconds() - start < seconds && x.high - x.low > 0.02 * x.median);
         round++) {
        double limit = fmax(timed_turn(&bandwidth, s), timed_turn(&sleef, s));
        bench_samples_add(&shares, limit / timed_turn(&ours, s));
        timed_turn(&apart, s);
        x = bench_interval_of(&shares);
    }
    bench_samples_free(&shares);
    return (struct cell){x, timed_close(&ours), timed_close(&bandwidth), timed_close(&sleef),
                         timed_close(&apart)};
}

/* Rows of `size`, a multiple of four, in `pool`. */
static struct set place(const struct element_op *op, const struct size *size, float *pool)
{
    const size_t floats = size->bytes / sizeof(float);
    const size_t n = op->matrices > 1 ? size->width : 768;
    struct set s = {.n = n,
                    .ops = &bench_machine()->ops,
                    .streams = bench_streams_of(bench_machine()->isa),
                    .op = op};
    s.windows = size->windows;
    s.m = (floats / s.windows - 2 * n) / (op->matrices * n) / 4 * 4;
    s.p[GAIN] = pool;
    s.p[BIAS] = pool + n;
    /* X, Y, C in this order: an op of two matrices has X and Y */
    s.p[X] = pool + 2 * n;
    for (size_t i = 0; i < GAIN; i++) {
        s.step[i] = s.m * n + size->apart * i;
    }
    s.p[Y] = s.p[X] + (op->matrices > 1 ? s.windows * s.step[X] : 0);
    s.p[C] = s.p[Y] + (op->matrices > 2 ? s.windows * s.step[Y] : 0);
    const float *end = s.p[C] + s.windows * s.step[C];
    for (size_t i = 0; i < n; i++) { /* rotations, gains, biases */
        s.p[GAIN][i] = cosf((float)i);
        s.p[BIAS][i] = sinf((float)i);
    }
    for (float *p = s.p[X]; p < end; p++) {
        *p = sleef_data[(size_t)(p - s.p[X]) % SLEEF_FLOATS];
    }
    return s;
}

static size_t fitting(enum bench_level level, double share, size_t most)
{
    const size_t bytes = (size_t)(share * (double)bench_level_bytes(level));
    return bytes < most ? bytes : most;
}

struct group {
    const char *name;
    size_t cells, missed;
    double worst;
    char where[GROUP_TEXT];
};

static struct group *group_of(struct group *groups, const char *name)
{
    while (groups->name && groups->name != name) {
        groups++;
    }
    groups->name = name;
    return groups;
}

static void print_cell(const struct set *s, const struct size *size, const struct cell *x)
{
    const bool by_function = x->function > x->bandwidth;
    printf("cell %s %s m %zu n %zu: %5.1f%% of %s [%.1f %.1f], ns per element %.3f, bandwidth %.3f",
           s->op->name, size->name, s->m, s->n, 100 * x->share.median,
           !by_function                ? "bandwidth"
           : s->op->function == FN_EXP ? "exp"
                                       : "erf",
           100 * x->share.low, 100 * x->share.high, x->ours, x->bandwidth);
    if (x->function > 0) {
        printf(", SLEEF %.3f", x->function);
    }
    if (x->apart > 0) {
        printf(", not fused %.3f (%.2fx)", x->apart, x->apart / x->ours);
    }
    printf("\n");
}

void goal_elementwise(const struct goal_options *options, struct goal_report *report)
{
    static const double target = 0.85;
    /* Several places for what lies in L1: how fast it is may depend on where its pages are (Zen 4:
     * a load waits for a store at the same place of another page, by a few bits of their
     * addresses). */
    enum { PLACES = 7 };
    const size_t l1_bytes = fitting(BENCH_L1, 0.875, (size_t)28 << 10);
    const struct size sizes[] = {{"L1", 512, PLACES * l1_bytes, PLACES, 1024},
                                 {"L2", 768, fitting(BENCH_L2, 0.375, (size_t)384 << 10), 1, 0},
                                 {"DRAM", 768, (size_t)160 << 20, 53, 0}};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    struct group groups[OPS + 1] = {{0}};
    if (!goal_wanted(options, "K4")) {
        return;
    }
    float *pool = bench_floats(sizes[SIZES - 1].bytes / sizeof(float));
    sleef_data = bench_floats((size_t)2 * SLEEF_FLOATS);
    bench_fill(sleef_data, SLEEF_FLOATS, 4);
    for (size_t i = 0; i < SLEEF_FLOATS; i++) {
        sleef_data[i] *= 4; /* -4..4, as before an activation */
    }
    for (size_t i = 0; i < (size_t)OPS * SIZES && iol_seconds() < options->deadline; i++) {
        const struct size *size = &sizes[i / OPS];
        struct set s = place(&ops[i % OPS], size, pool);
        struct cell x = measure(&s, options->full ? 2.0 : 0.2);
        struct group *g = group_of(groups, s.op->group);
        print_cell(&s, size, &x);
        goal_row(options,
                 "op\tat\tm\tn\tshare\tlow\thigh\tns_per_element\tbandwidth_ns\tsleef_ns\tapart_ns",
                 "elementwise\t%s\t%s\t%zu\t%zu\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f",
                 s.op->name, size->name, s.m, s.n, x.share.median, x.share.low, x.share.high,
                 x.ours, x.bandwidth, x.function > 0 ? x.function : (double)NAN,
                 x.apart > 0 ? x.apart : (double)NAN);
        g->missed += x.share.high < target;
        if (!g->cells++ || x.share.median < g->worst) {
            g->worst = x.share.median;
            snprintf(g->where, sizeof g->where, "%s in %s [%.3f %.3f]", s.op->name, size->name,
                     x.share.low, x.share.high);
        }
    }
    free(sleef_data);
    free(pool);
    for (const struct group *g = groups; g->name; g++) {
        char reason[256];
        snprintf(reason, sizeof reason,
                 "t 1, %s, share of bandwidth or SLEEF's exp or erf; %zu cells, %zu missed; "
                 "worst %s",
                 g->name, g->cells, g->missed, g->where);
        goal_line(report, "K4", g->worst, target, g->missed == 0, reason);
    }
    if (!groups->name) {
        goal_skip(report, "K4", target, "not reached in the time of this run");
    }
}
