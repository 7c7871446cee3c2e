/* kcheck: every row of kernels/registry.def against its double-precision reference, bit for bit
 * against the scalar row, on all shapes, between guard pages.
 *
 * An op is one struct kc_op (kcheck_ops.c): which shapes, how to call, which reference. Everything
 * else follows from the registry. The idea of one checker for all kernels is dav1d's checkasm.
 *
 * A call sees each array alone in its own mapping, with a page that cannot be touched before and
 * after it. Placed at the end, the first byte beyond the array faults; placed at the start, the
 * first byte before it; in the middle it is aligned to its elements only. What lies around an array
 * and between its rows holds a canary that reads as NaN. */
#ifndef KCHECK_H
#define KCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops.h"

enum kc_kind {
    KC_INTEGER, /* -4..4: sums and products are exact */
    KC_REAL,    /* 24 random bits in -4..4 */
    KC_WIDE,    /* exponents -24..8 */
    KC_TINY,    /* the first array denormal or close to it, half of the others too */
    KC_SPECIAL, /* one in six NaN, an infinity, -0, the largest or the smallest number */
    KC_KINDS
};
enum kc_role { KC_IN, KC_OUT, KC_INOUT };
enum kc_place { KC_END, KC_START, KC_MIDDLE, KC_PLACES };
enum { KC_ARRAYS = 5, KC_SIZES = 5, KC_TEXT = 512, KC_CAPACITY = 1 << 17 /* bytes of an array */ };

struct kc_array {
    size_t rows, columns, ld; /* elements; ld >= columns */
    size_t size;              /* bytes of an element: 4 float, 8 double */
    enum kc_role role;
};

/* One call: sizes and scalars mean what the op says. */
struct kc_case {
    enum kc_kind kind;
    size_t size[KC_SIZES];
    double scalar[2];
    struct kc_array array[KC_ARRAYS];
    size_t arrays;
};

typedef void kc_fn(void); /* a kernel of any op */

struct kc_op {
    const char *sizes; /* names of the sizes, for messages: "m n k" */
    bool exact;        /* no error at all on KC_INTEGER */
    /* Call number `index` for this kind of values; false: there are no more. */
    bool (*shape)(size_t index, enum kc_kind kind, struct kc_case *out);
    /* Optional: scalars that depend on the values (p: arrays as placed). */
    void (*prepare)(struct kc_case *c, void *const *p);
    void (*call)(kc_fn *fn, const struct kc_case *c, void *const *p);
    /* p: the arrays before the call; out[i], bound[i]: dense results for each output array i. */
    void (*reference)(const struct kc_case *c, void *const *p, double *const *out,
                      double *const *bound);
};

/* kc_<op>_<dtype> for every op of the table; a new op without one does not link. */
#define O(op, dtype) extern const struct kc_op kc_##op##_##dtype;
IOLK_OPS(O)
#undef O
const struct kc_op *kc_op_of(enum iolk_op op);

/* A kernel to check: a row of the registry, or one that is broken on purpose. `before` and `after`
 * run around every call. */
struct kc_variant {
    enum iolk_op op;
    enum iolk_isa isa;
    const char *name;
    kc_fn *fn;
    void (*before)(void);
    void (*after)(const struct kc_case *c, void *const *p);
};
extern const struct kc_variant kc_rows[];
extern const size_t kc_row_count;
const struct kc_variant *kc_row(enum iolk_op op, enum iolk_isa isa); /* NULL: no such row */

/* Map the arrays. False: no memory. */
bool kc_open(void);
void kc_close(void);
/* Whether the first byte after an array at the end faults; false under an emulator that itself
 * reads too far, where a margin keeps it from faulting. */
bool kc_faults_at_end(void);

/* 1, or for a quick run (emulators) a prime that leaves a few shapes of every sort. */
size_t kc_stride(enum iolk_op op, bool quick);
/* Every `stride`-th shape with every kind of values in every place. False: text says which call and
 * what was found and expected. *out_calls counts. A fault says which call, and kills. */
bool kc_check(const struct kc_variant *v, size_t stride, size_t *out_calls, char text[KC_TEXT]);
/* XXH3 of all results of the same calls, NaN made equal. */
uint64_t kc_digest(const struct kc_variant *v, size_t stride);

/* Guarded memory for other tests: array `slot` at a place, surrounded by canaries; and whether the
 * canaries are whole. */
void *kc_place(size_t slot, const struct kc_array *a, enum kc_place place);
bool kc_intact(size_t slot, const struct kc_array *a, const void *p);
/* An address that faults when it is read. */
const void *kc_forbidden(void);
/* Values of a kind, row by row. */
void kc_fill(const struct kc_array *a, void *p, enum kc_kind kind, bool first, uint64_t seed);

#endif
