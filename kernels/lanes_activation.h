/* Activations of sixteen and of thirty-two lanes: shared by the plain and the fused ops, so that
 * their bits cannot differ. */
#ifndef IOLK_LANES_ACTIVATION_H
#define IOLK_LANES_ACTIVATION_H

#include "lanes_wide.h"

/* v: the type and the prefix of its operations.
 *
 * gelu_tanh: the tanh approximation of GELU (Hendrycks and Gimpel, 2016) as x * sigmoid(2 u), u its
 * argument of tanh: exp is four times cheaper than tanh. p = fma(0.044715, x * x, 1);
 * y = x / (1 + exp((x * p) * -1.5957691216)); the last constant is -2 sqrt(2 / pi). Beyond 10.3 the
 * exponent is beyond 94.3 either way: exp is infinity or nothing beside 1, so that limiting x in it
 * changes nothing and spares the limits of exp.
 * gelu_erf: h = x / 2; y = fma(h, erf(x / sqrt(2)), h).
 * silu_mul: gate / (1 + exp(-gate)), rounded, times up. */
#define ACTIVATIONS(v)                                                                             \
    static inline v v##_gelu_exponent(v x)                                                         \
    {                                                                                              \
        const v t = v##_limit(x, v##_set1(10.3f));                                                 \
        v p = v##_fma(v##_set1(0.044715f), v##_mul(t, t), v##_set1(1.0f));                         \
        return v##_mul(v##_mul(t, p), v##_set1(-1.5957691216f));                                   \
    }                                                                                              \
    static inline v v##_gelu_tanh(v x)                                                             \
    {                                                                                              \
        return v##_div(x, v##_add(v##_set1(1.0f), v##_exp_within(v##_gelu_exponent(x))));          \
    }                                                                                              \
    static inline v v##_gelu_erf(v x)                                                              \
    {                                                                                              \
        v h = v##_mul(v##_set1(0.5f), x);                                                          \
        return v##_fma(h, v##_erf(v##_mul(x, v##_set1(0.70710678f))), h);                          \
    }                                                                                              \
    static inline v v##_silu_mul(v gate, v up)                                                     \
    {                                                                                              \
        v silu = v##_div(gate, v##_add(v##_set1(1.0f), v##_exp(v##_neg(gate))));                   \
        return v##_mul(silu, up);                                                                  \
    }

ACTIVATIONS(f32x16)
ACTIVATIONS(f32x32)
#ifdef IOLK_ONE_REGISTER
ACTIVATIONS(f32x64)

/* Sixty-four quotients x / below that are still to be divided, multiplied by `times` if that is not
 * NULL, and stored at y. A division holds its port for six cycles and its result for seventeen:
 * four at the end of a chain leave the ports idle. Here each waits for the next exp and goes
 * between two of its steps. */
struct quotients {
    f32x64 x, below;
    const float *times;
    float *y;
};

static inline __attribute__((always_inline)) void divide(f32x16 x, f32x16 below, const float *times,
                                                         float *y)
{
    const f32x16 z = f32x16_div_here(x, below);
    f32x16_store(y, times ? f32x16_mul(z, f32x16_load(times)) : z);
}

/* x / (1 + e^w), w in -104..100; `before`, unless it is NULL, is finished on the way. */
static inline __attribute__((always_inline)) struct quotients
quotients_of(f32x64 x, f32x64 w, const float *times, float *y, const struct quotients *before)
{
    const float *factor = before ? before->times : NULL, *next = factor ? factor + IOLK_WIDE : NULL;
    if (before) {
        divide(before->x.lo.lo, before->below.lo.lo, factor, before->y);
    }
    const f32x64 q = f32x64_exp_power(w);
    if (before) {
        divide(before->x.lo.hi, before->below.lo.hi, factor ? factor + IOLK_LANES : NULL,
               before->y + IOLK_LANES);
    }
    const f32x64 s = f32x64_exp_reduced(w, q);
    if (before) {
        divide(before->x.hi.lo, before->below.hi.lo, next, before->y + IOLK_WIDE);
    }
    const f32x64 e = f32x64_exp_rest(s);
    if (before) {
        divide(before->x.hi.hi, before->below.hi.hi, next ? next + IOLK_LANES : NULL,
               before->y + IOLK_WIDE + IOLK_LANES);
    }
    return (struct quotients){x, f32x64_add(f32x64_set1(1.0f), f32x64_ldexp(e, q)), times, y};
}

static inline __attribute__((always_inline)) void finish(const struct quotients *last)
{
    f32x64 z = f32x64_div(last->x, last->below);
    f32x64_store(last->y, last->times ? f32x64_mul(z, f32x64_load(last->times)) : z);
}
#endif

#undef ACTIVATIONS

#endif
