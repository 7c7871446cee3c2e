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

/* Sixteen of them, number `part`, if there are any. */
static inline __attribute__((always_inline)) void divide(const struct quotients *q,
                                                         const size_t part)
{
    if (q) {
        const f32x32 x = part < 2 ? q->x.lo : q->x.hi, below = part < 2 ? q->below.lo : q->below.hi;
        const f32x16 z = f32x16_div_here(part % 2 ? x.hi : x.lo, part % 2 ? below.hi : below.lo);
        const size_t at = part * IOLK_LANES;
        f32x16_store(q->y + at, q->times ? f32x16_mul(z, f32x16_load(q->times + at)) : z);
    }
}

/* x / (1 + e^w), w in -104..100; `before`, unless it is NULL, is finished on the way. */
static inline __attribute__((always_inline)) struct quotients
quotients_of(f32x64 x, f32x64 w, const float *times, float *y, const struct quotients *before)
{
    divide(before, 0);
    const f32x64 q = f32x64_exp_power(w);
    divide(before, 1);
    const f32x64 s = f32x64_exp_reduced(w, q);
    divide(before, 2);
    const f32x64 e = f32x64_exp_rest(s);
    divide(before, 3);
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
