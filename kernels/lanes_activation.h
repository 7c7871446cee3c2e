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
    static inline v v##_gelu_tanh(v x)                                                             \
    {                                                                                              \
        const v one = v##_set1(1.0f), t = v##_limit(x, v##_set1(10.3f));                           \
        v p = v##_fma(v##_set1(0.044715f), v##_mul(t, t), one);                                    \
        v w = v##_mul(v##_mul(t, p), v##_set1(-1.5957691216f));                                    \
        return v##_div(x, v##_add(one, v##_exp_within(w)));                                        \
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
#endif

#undef ACTIVATIONS

#endif
