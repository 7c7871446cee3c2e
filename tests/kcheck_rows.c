/* Ops over rows of one width: norms, and ops fused from two. */
#include <math.h>

#include "kcheck.h"
#include "ref/ref.h"

/* Rows around the four that norms take at a time; widths around every vector width. */
static const size_t row_counts[] = {0, 1, 2, 3, 4, 5, 8, 9};
static const size_t widths[] = {1,  2,  3,  5,  7,  8,  11, 15, 16,  17,  20,  31,
                                32, 33, 47, 48, 49, 64, 79, 96, 128, 131, 509, 1031};
enum {
    ROW_COUNTS = sizeof row_counts / sizeof *row_counts,
    WIDTHS = sizeof widths / sizeof *widths,
    SUMS = KC_CAPACITY / sizeof(float)
};
static float sums[SUMS];

static struct kc_array matrix(const struct kc_case *c, size_t gap, enum kc_role role)
{
    return (struct kc_array){c->size[0], c->size[1], c->size[1] + gap, sizeof(float), role};
}

static struct kc_array vector_of(const struct kc_case *c)
{
    return (struct kc_array){1, c->size[1], c->size[1], sizeof(float), KC_IN};
}

static bool rows_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    if (index >= (size_t)ROW_COUNTS * WIDTHS) {
        return false;
    }
    *out = (struct kc_case){.kind = kind,
                            .size = {row_counts[index % ROW_COUNTS], widths[index / ROW_COUNTS]},
                            .scalar = {(double)(index % 2 ? 1e-5f : 1e-6f)}};
    return true;
}

/* --- norms: x, gain, bias, y --- */

static bool rmsnorm_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    if (!rows_shape(index, kind, out)) {
        return false;
    }
    out->array[0] = matrix(out, index % 3 * 5, KC_IN);
    out->array[1] = vector_of(out);
    out->array[2] = matrix(out, index % 2 * 3, KC_OUT);
    out->arrays = 3;
    return true;
}

static bool layernorm_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    if (!rmsnorm_shape(index, kind, out)) {
        return false;
    }
    out->array[3] = out->array[2];
    out->array[2] = vector_of(out);
    out->arrays = 4;
    return true;
}

static void rmsnorm_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_rmsnorm_f32_fn *)fn)(c->size[0], c->size[1], p[0], c->array[0].ld, p[1],
                                (float)c->scalar[0], p[2], c->array[2].ld);
}

static void rmsnorm_reference(const struct kc_case *c, void *const *p, double *const *out,
                              double *const *bound)
{
    iolk_rmsnorm_f32_ref(c->size[0], c->size[1], p[0], c->array[0].ld, p[1], (float)c->scalar[0],
                         out[2], bound[2]);
}

static void layernorm_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_layernorm_f32_fn *)fn)(c->size[0], c->size[1], p[0], c->array[0].ld, p[1], p[2],
                                  (float)c->scalar[0], p[3], c->array[3].ld);
}

static void layernorm_reference(const struct kc_case *c, void *const *p, double *const *out,
                                double *const *bound)
{
    iolk_layernorm_f32_ref(c->size[0], c->size[1], p[0], c->array[0].ld, p[1], p[2],
                           (float)c->scalar[0], out[3], bound[3]);
}

const struct kc_op kc_rmsnorm_f32 = {"m n", false,        rmsnorm_shape,
                                     NULL,  rmsnorm_call, rmsnorm_reference};
const struct kc_op kc_layernorm_f32 = {"m n", false,          layernorm_shape,
                                       NULL,  layernorm_call, layernorm_reference};

/* --- residual and norm: x, c, gain, bias, y --- */

static bool add_rmsnorm_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    if (!rows_shape(index, kind, out)) {
        return false;
    }
    out->array[0] = matrix(out, index % 3 * 5, KC_INOUT);
    out->array[1] = matrix(out, index % 5, KC_IN);
    out->array[2] = vector_of(out);
    out->array[3] = matrix(out, index % 2 * 3, KC_OUT);
    out->arrays = 4;
    return true;
}

static bool add_layernorm_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    if (!add_rmsnorm_shape(index, kind, out)) {
        return false;
    }
    out->array[4] = out->array[3];
    out->array[3] = vector_of(out);
    out->arrays = 5;
    return true;
}

static void add_rmsnorm_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_add_rmsnorm_f32_fn *)fn)(c->size[0], c->size[1], p[0], c->array[0].ld, p[1],
                                    c->array[1].ld, p[2], (float)c->scalar[0], p[3],
                                    c->array[3].ld);
}

static void add_rmsnorm_reference(const struct kc_case *c, void *const *p, double *const *out,
                                  double *const *bound)
{
    iolk_add_rmsnorm_f32_ref(c->size[0], c->size[1], p[0], c->array[0].ld, p[1], c->array[1].ld,
                             p[2], (float)c->scalar[0], sums, out[0], bound[0], out[3], bound[3]);
}

static void add_layernorm_call(kc_fn *fn, const struct kc_case *c, void *const *p)
{
    ((iolk_add_layernorm_f32_fn *)fn)(c->size[0], c->size[1], p[0], c->array[0].ld, p[1],
                                      c->array[1].ld, p[2], p[3], (float)c->scalar[0], p[4],
                                      c->array[4].ld);
}

static void add_layernorm_reference(const struct kc_case *c, void *const *p, double *const *out,
                                    double *const *bound)
{
    iolk_add_layernorm_f32_ref(c->size[0], c->size[1], p[0], c->array[0].ld, p[1], c->array[1].ld,
                               p[2], p[3], (float)c->scalar[0], sums, out[0], bound[0], out[4],
                               bound[4]);
}

const struct kc_op kc_add_rmsnorm_f32 = {
    "m n", false, add_rmsnorm_shape, NULL, add_rmsnorm_call, add_rmsnorm_reference};
const struct kc_op kc_add_layernorm_f32 = {
    "m n", false, add_layernorm_shape, NULL, add_layernorm_call, add_layernorm_reference};

/* --- bias and activation: x, bias, y; or x and y the same array, then bias --- */

static bool bias_shape(size_t index, enum kc_kind kind, struct kc_case *out)
{
    const size_t in_place = index % 2;
    if (!rows_shape(index / 2, kind, out)) {
        return false;
    }
    out->size[2] = in_place;
    out->array[0] = matrix(out, index % 3 * 5, in_place ? KC_INOUT : KC_IN);
    out->array[1] = vector_of(out);
    out->array[2] = matrix(out, index % 5, KC_OUT);
    out->arrays = in_place ? 2 : 3;
    return true;
}

#define BIASED(op)                                                                                 \
    static void op##_call(kc_fn *fn, const struct kc_case *c, void *const *p)                      \
    {                                                                                              \
        const size_t y = c->size[2] ? 0 : 2;                                                       \
        ((iolk_##op##_f32_fn *)fn)(c->size[0], c->size[1], p[0], c->array[0].ld, p[1], p[y],       \
                                   c->array[y].ld);                                                \
    }                                                                                              \
    static void op##_reference(const struct kc_case *c, void *const *p, double *const *out,        \
                               double *const *bound)                                               \
    {                                                                                              \
        const size_t y = c->size[2] ? 0 : 2;                                                       \
        iolk_##op##_f32_ref(c->size[0], c->size[1], p[0], c->array[0].ld, p[1], sums, out[y],      \
                            bound[y]);                                                             \
    }                                                                                              \
    const struct kc_op kc_##op##_f32 = {"m n in_place", false,     bias_shape,                     \
                                        NULL,           op##_call, op##_reference};

BIASED(bias_gelu_tanh)
BIASED(bias_gelu_erf)
