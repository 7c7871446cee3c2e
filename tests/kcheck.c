#define _GNU_SOURCE
#include "kcheck.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/base.h"

enum { MARGIN = 256 /* bytes of canary around an array */, DENSE = KC_CAPACITY / 4 };

static const uint32_t canary = 0x7ffabcde, unwritten = 0x7ff5a5a5; /* NaN as float and double */
static const char *const kind_names[KC_KINDS] = {"integer", "real", "wide", "tiny", "special"};
static const char *const place_names[KC_PLACES] = {"end", "start", "middle"};

/* --- tables out of the registry --- */

enum {
#define ISA(name, UPPER, folder, flags, needs) isa_of_##name = IOLK_ISA_##UPPER,
#include "isa.def"
#undef ISA
};

const struct kc_variant kc_rows[] = {
#define KERNEL(op, dtype, isa)                                                                     \
    {IOLK_OP_##op##_##dtype,                                                                       \
     (enum iolk_isa)isa_of_##isa,                                                                  \
     #op "_" #dtype "_" #isa,                                                                      \
     (kc_fn *)iolk_##op##_##dtype##_##isa,                                                         \
     NULL,                                                                                         \
     NULL},
#include "registry.def"
#undef KERNEL
};
const size_t kc_row_count = sizeof kc_rows / sizeof *kc_rows;

const struct kc_variant *kc_row(enum iolk_op op, enum iolk_isa isa)
{
    for (size_t i = 0; i < kc_row_count; i++) {
        if (kc_rows[i].op == op && kc_rows[i].isa == isa) {
            return &kc_rows[i];
        }
    }
    return NULL;
}

const struct kc_op *kc_op_of(enum iolk_op op)
{
    static const struct kc_op *const ops[IOLK_OP_COUNT] = {
#define O(op, dtype) &kc_##op##_##dtype,
        IOLK_OPS(O)
#undef O
    };
    return ops[op];
}

/* --- guarded memory --- */

static struct {
    unsigned char *mapping;
    size_t page, slot_bytes, bytes;
    size_t spare;                    /* bytes between an array at the end and the page after it */
    unsigned char *stage[KC_ARRAYS]; /* values before the call, laid out like the arrays */
    unsigned char *bits[2];          /* results, dense: of the scalar row, of the variant */
    double *out[KC_ARRAYS], *bound[KC_ARRAYS];
    /* The call under way, for a fault's message. */
    const char *name;
    const struct kc_case *now;
    enum kc_place place;
} mem;

static struct sigaction old_segv, old_bus;

static void describe(const char *name, const struct kc_case *c, enum kc_place place,
                     char text[KC_TEXT])
{
    char sizes[160] = "";
    for (size_t i = 0, used = 0; i < KC_SIZES && used < sizeof sizes; i++) {
        used += (size_t)snprintf(sizes + used, sizeof sizes - used, " %zu", c->size[i]);
    }
    enum iolk_op op = IOLK_OP_COUNT;
    for (size_t i = 0; i < kc_row_count; i++) {
        op = strcmp(kc_rows[i].name, name) == 0 ? kc_rows[i].op : op;
    }
    snprintf(text, KC_TEXT, "%s (%s =%s; %s values, arrays at the %s of their pages)", name,
             op < IOLK_OP_COUNT ? kc_op_of(op)->sizes : "sizes", sizes, kind_names[c->kind],
             place_names[place]);
}

/* The kernel has left its arrays: say where, then die of the same signal. */
#if defined(__x86_64__)
__attribute__((force_align_arg_pointer)) /* QEMU 7.2 enters it with any stack */
#endif
static void
on_fault(int number)
{
    char text[KC_TEXT] = "outside of any kernel";
    if (mem.now) {
        describe(mem.name, mem.now, mem.place, text);
    }
    fprintf(stderr, "kcheck: access outside the arrays: %s\n", text);
    signal(number, SIG_DFL);
    raise(number);
}

/* Until unwatch, faults are ours: CMocka takes them for every test. */
static void watch(void)
{
    struct sigaction action = {.sa_handler = on_fault};
    sigaction(SIGSEGV, &action, &old_segv);
    sigaction(SIGBUS, &action, &old_bus);
}

static void unwatch(void)
{
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
}

static unsigned char *slot_base(size_t slot)
{
    return mem.mapping + mem.page + slot * (mem.slot_bytes + mem.page);
}

/* QEMU 7.2 reads 16 bytes where a scalar FMA has an operand of 4, and 32 for any masked load: does
 * this machine? */
static bool reads_beyond_scalars(void)
{
#if defined(__x86_64__)
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        close(STDERR_FILENO);
        __asm__ volatile("vfmadd231ss %0, %%xmm0, %%xmm0"
                         :
                         : "m"(*(const float *)(slot_base(0) + mem.slot_bytes - sizeof(float)))
                         : "xmm0");
        _exit(0);
    }
    int status = 0;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
#else
    return false;
#endif
}

bool kc_faults_at_end(void)
{
    return mem.spare == 0;
}

bool kc_open(void)
{
    mem.page = (size_t)sysconf(_SC_PAGESIZE);
    mem.slot_bytes = (KC_CAPACITY + mem.page - 1) / mem.page * mem.page;
    mem.bytes = mem.page + KC_ARRAYS * (mem.slot_bytes + mem.page);
    void *p = mmap(NULL, mem.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return false;
    }
    mem.mapping = p;
    bool ok = true;
    for (size_t i = 0; i < KC_ARRAYS; i++) {
        ok &= mprotect(slot_base(i), mem.slot_bytes, PROT_READ | PROT_WRITE) == 0;
        mem.stage[i] = malloc(KC_CAPACITY);
        mem.out[i] = malloc(DENSE * sizeof(double));
        mem.bound[i] = malloc(DENSE * sizeof(double));
        ok &= mem.stage[i] && mem.out[i] && mem.bound[i];
    }
    for (size_t i = 0; i < 2; i++) {
        mem.bits[i] = malloc((size_t)KC_ARRAYS * KC_CAPACITY);
        ok &= mem.bits[i] != NULL;
    }
    if (ok && reads_beyond_scalars()) {
        mem.spare = 128;
        fprintf(stderr,
                "kcheck: this emulator reads whole vectors for parts of them; arrays end 128 "
                "bytes before the forbidden page\n");
    }
    return ok;
}

void kc_close(void)
{
    for (size_t i = 0; i < KC_ARRAYS; i++) {
        free(mem.stage[i]);
        free(mem.out[i]);
        free(mem.bound[i]);
    }
    free(mem.bits[0]);
    free(mem.bits[1]);
    munmap(mem.mapping, mem.bytes);
}

const void *kc_forbidden(void)
{
    return mem.mapping;
}

/* Bytes from the first to the last element. */
static size_t span(const struct kc_array *a)
{
    return a->rows && a->columns ? ((a->rows - 1) * a->ld + a->columns) * a->size : 0;
}

static void paint(unsigned char *from, const unsigned char *to)
{
    for (; from < to; from += sizeof canary) {
        memcpy(from, &canary, sizeof canary);
    }
}

static bool painted(const unsigned char *from, const unsigned char *to)
{
    uint32_t word, wrong = 0;
    for (; from < to; from += sizeof word) {
        memcpy(&word, from, sizeof word);
        wrong |= word ^ canary;
    }
    return wrong == 0;
}

/* The canaries before and after an array of `bytes` at p: as far as the mapping goes. */
static unsigned char *margin_begin(size_t slot, unsigned char *p)
{
    return p - slot_base(slot) > MARGIN ? p - MARGIN : slot_base(slot);
}

static unsigned char *margin_end(size_t slot, unsigned char *p, size_t bytes)
{
    unsigned char *limit = slot_base(slot) + mem.slot_bytes;
    return limit - (p + bytes) > MARGIN ? p + bytes + MARGIN : limit;
}

void *kc_place(size_t slot, const struct kc_array *a, enum kc_place place)
{
    size_t bytes = span(a);
    unsigned char *p = slot_base(slot);
    if (place == KC_END) {
        p += mem.slot_bytes - mem.spare - bytes;
    } else if (place == KC_MIDDLE) {
        p += 1024 + (1 + 2 * slot) * a->size;
    }
    paint(margin_begin(slot, p), margin_end(slot, p, bytes));
    return p;
}

bool kc_intact(size_t slot, const struct kc_array *a, const void *at)
{
    unsigned char *p = slot_base(slot) + ((const unsigned char *)at - slot_base(slot));
    size_t bytes = span(a);
    if (!painted(margin_begin(slot, p), p) || !painted(p + bytes, margin_end(slot, p, bytes))) {
        return false;
    }
    for (size_t r = 0; bytes && a->ld > a->columns && r + 1 < a->rows; r++) {
        if (!painted(p + (r * a->ld + a->columns) * a->size, p + (r + 1) * a->ld * a->size)) {
            return false;
        }
    }
    return true;
}

/* --- values --- */

static double value(enum kc_kind kind, bool first, uint64_t z)
{
    static const double special[8] = {(double)NAN, HUGE_VAL, -HUGE_VAL,       -0.0,
                                      0x1p-149,    0x1p-126, 0x1.fffffep+127, 0.0};
    double mantissa = (double)(z >> 40) * 0x1p-23 - 1.0; /* 24 bits in -1..1 */
    uint64_t low = z & 0xffff;
    switch (kind) {
    case KC_INTEGER:
        return trunc((double)(z >> 32 & 0xff) * (9.0 / 256.0) - 4.5);
    case KC_WIDE:
        return ldexp(mantissa, (int)(low % 33) - 24);
    case KC_TINY:
        return first || low % 2 ? ldexp(mantissa, -118 - (int)(low / 2 % 32)) : 4.0 * mantissa;
    case KC_SPECIAL:
        return low % 6 == 0 ? special[low / 6 % 8] : 4.0 * mantissa;
    case KC_REAL:
    case KC_KINDS:
    default:
        return 4.0 * mantissa;
    }
}

void kc_fill(const struct kc_array *a, void *p, enum kc_kind kind, bool first, uint64_t seed)
{
    for (size_t r = 0; r < a->rows; r++) {
        for (size_t c = 0; c < a->columns; c++) {
            double v = value(kind, first, iol_splitmix64(&seed));
            if (a->size == sizeof(float)) {
                ((float *)p)[r * a->ld + c] = (float)v;
            } else {
                /* all 53 bits of a double */
                ((double *)p)[r * a->ld + c] = kind == KC_INTEGER ? v : v * (1.0 + 0x1p-30 / 3.0);
            }
        }
    }
}

/* --- one call --- */

/* Call v with the staged values in fresh arrays at `place`. Results go to `bits`, dense, all NaN
 * equal; *out_bytes of them. NULL, or what the call did that it must not. */
static const char *run(const struct kc_variant *v, const struct kc_case *c, enum kc_place place,
                       unsigned char *bits, size_t *out_bytes)
{
    void *p[KC_ARRAYS] = {NULL};
    for (size_t i = 0; i < c->arrays; i++) {
        const struct kc_array *a = &c->array[i];
        unsigned char *at = kc_place(i, a, place);
        p[i] = at;
        for (size_t r = 0; a->columns && r < a->rows; r++) {
            unsigned char *row = at + r * a->ld * a->size;
            memcpy(row, mem.stage[i] + r * a->ld * a->size, a->columns * a->size);
            for (size_t w = 0; a->role == KC_OUT && w < a->columns * a->size; w += 4) {
                memcpy(row + w, &unwritten, sizeof unwritten);
            }
            if (r + 1 < a->rows) {
                paint(row + a->columns * a->size, row + a->ld * a->size);
            }
        }
    }
    mem.name = v->name;
    mem.now = c;
    mem.place = place;
    if (v->before) {
        v->before();
    }
    kc_op_of(v->op)->call(v->fn, c, p);
    if (v->after) {
        v->after(c, p);
    }
    mem.now = NULL;

    size_t bytes = 0;
    for (size_t i = 0; i < c->arrays; i++) {
        const struct kc_array *a = &c->array[i];
        if (!kc_intact(i, a, p[i])) {
            return a->role == KC_IN ? "wrote around an input" : "wrote around an output";
        }
        for (size_t r = 0; a->columns && r < a->rows; r++) {
            const unsigned char *row = (unsigned char *)p[i] + r * a->ld * a->size;
            if (a->role == KC_IN) {
                if (memcmp(row, mem.stage[i] + r * a->ld * a->size, a->columns * a->size) != 0) {
                    return "changed an input";
                }
                continue;
            }
            for (size_t e = 0; e < a->columns; e++, bytes += a->size) {
                memcpy(bits + bytes, row + e * a->size, a->size);
                float f = NAN;
                double d = (double)f;
                if (a->size == sizeof f ? isnan(((const float *)(const void *)row)[e])
                                        : isnan(((const double *)(const void *)row)[e])) {
                    memcpy(bits + bytes, a->size == sizeof f ? (void *)&f : (void *)&d, a->size);
                }
            }
        }
    }
    *out_bytes = bytes;
    return NULL;
}

static double element(const unsigned char *bits, size_t size)
{
    float f;
    double d;
    if (size == sizeof f) {
        memcpy(&f, bits, sizeof f);
        return (double)f;
    }
    memcpy(&d, bits, sizeof d);
    return d;
}

/* The first result outside the reference's bound, in words; false: there is none. */
static bool off_reference(const struct kc_op *op, const struct kc_case *c,
                          const unsigned char *bits, char *text, size_t length)
{
    for (size_t i = 0; i < c->arrays; i++) {
        const struct kc_array *a = &c->array[i];
        for (size_t e = 0; a->role != KC_IN && e < a->rows * a->columns; e++, bits += a->size) {
            double got = element(bits, a->size), want = mem.out[i][e], bound = mem.bound[i][e];
            if (op->exact && c->kind == KC_INTEGER) {
                bound = 0.0;
            }
            bool good = isnan(want) ? isnan(got) || bound > 0.0
                                    : bound > 1e308 || got == want || fabs(got - want) <= bound;
            if (!good) {
                snprintf(text, length,
                         "array %zu element %zu is %.9g (%a), reference %.9g, bound %.3g", i, e,
                         got, got, want, bound);
                return true;
            }
        }
    }
    return false;
}

/* The first result whose bits differ, in words. */
static void off_bits(const struct kc_case *c, const unsigned char *got, const unsigned char *want,
                     const char *what, char *text, size_t length)
{
    for (size_t i = 0; i < c->arrays; i++) {
        const struct kc_array *a = &c->array[i];
        for (size_t e = 0; a->role != KC_IN && e < a->rows * a->columns;
             e++, got += a->size, want += a->size) {
            if (memcmp(got, want, a->size) != 0) {
                snprintf(text, length, "array %zu element %zu is %a, %s gives %a", i, e,
                         element(got, a->size), what, element(want, a->size));
                return;
            }
        }
    }
}

/* Stage the values of one call. */
static void stage(const struct kc_op *op, struct kc_case *c, size_t index)
{
    void *p[KC_ARRAYS];
    for (size_t i = 0; i < c->arrays; i++) {
        uint64_t seed = (index * KC_KINDS + c->kind) * 4 + i;
        p[i] = mem.stage[i];
        if (c->array[i].role != KC_OUT) {
            kc_fill(&c->array[i], p[i], c->kind, i == 0, seed << 20);
        }
    }
    if (op->prepare) {
        op->prepare(c, p);
    }
}

size_t kc_stride(enum iolk_op op, bool quick)
{
    struct kc_case c;
    size_t count = 0;
    while (quick && kc_op_of(op)->shape(count, KC_REAL, &c)) {
        count++;
    }
    return count > 1000 ? 397 : count > 150 ? 41 : count > 80 ? 11 : count ? 3 : 1;
}

static bool check(const struct kc_variant *v, size_t stride, size_t *out_calls, char text[KC_TEXT])
{
    const struct kc_op *op = kc_op_of(v->op);
    const struct kc_variant *scalar = kc_row(v->op, IOLK_ISA_SCALAR);
    void *const *staged = (void *const *)mem.stage;
    *out_calls = 0;
    for (unsigned kind = 0; kind < KC_KINDS; kind++) {
        struct kc_case c = {.kind = (enum kc_kind)kind};
        for (size_t index = 0; op->shape(index, c.kind, &c); index += stride) {
            char found[KC_TEXT / 2] = "";
            size_t want_bytes = 0, got_bytes = 0;
            stage(op, &c, index);
            op->reference(&c, staged, mem.out, mem.bound);
            const char *fault = run(scalar, &c, KC_END, mem.bits[0], &want_bytes);
            for (unsigned place = 0; place < KC_PLACES; place++, ++*out_calls) {
                if (!fault) {
                    fault = run(v, &c, (enum kc_place)place, mem.bits[1], &got_bytes);
                }
                if (!fault && off_reference(op, &c, mem.bits[1], found, sizeof found)) {
                    fault = found;
                }
                if (!fault && memcmp(mem.bits[1], mem.bits[0], want_bytes) != 0) {
                    off_bits(&c, mem.bits[1], mem.bits[0], scalar->name, found, sizeof found);
                    fault = found;
                }
                if (fault) {
                    char where[KC_TEXT];
                    describe(v->name, &c, (enum kc_place)place, where);
                    snprintf(text, KC_TEXT, "%.240s: %.250s", where, fault);
                    return false;
                }
            }
            c = (struct kc_case){.kind = (enum kc_kind)kind};
        }
    }
    return true;
}

bool kc_check(const struct kc_variant *v, size_t stride, size_t *out_calls, char text[KC_TEXT])
{
    watch();
    bool passed = check(v, stride, out_calls, text);
    unwatch();
    return passed;
}

uint64_t kc_digest(const struct kc_variant *v, size_t stride)
{
    const struct kc_op *op = kc_op_of(v->op);
    uint64_t hash = 0;
    for (unsigned kind = 0; kind < KC_KINDS; kind++) {
        struct kc_case c = {.kind = (enum kc_kind)kind};
        for (size_t index = 0; op->shape(index, c.kind, &c); index += stride) {
            size_t bytes = 0;
            stage(op, &c, index);
            run(v, &c, KC_MIDDLE, mem.bits[1], &bytes);
            hash = XXH3_64bits_withSeed(mem.bits[1], bytes, hash);
            c = (struct kc_case){.kind = (enum kc_kind)kind};
        }
    }
    return hash;
}
