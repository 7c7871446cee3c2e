/* exp and expm1 of f64 lanes, once for every ISA: at most 1 ULP.
 *
 *   q = round(x * log2 e); s = x - q * ln 2, ln 2 in two parts; e^x = 2^q (1 + s + s^2 / 2 + ...)
 *   expm1: the same in pairs of f64, as nothing is left of 1 + tiny - 1; then - 1
 *
 * Methods and coefficients are those of exp_u10 and expm1_u10 in SLEEF 3.5 (Naoki Shibata and
 * contributors, Boost Software License 1.0), so the bits are SLEEF's too (test_erf compares
 * millions; exp between 709.78271 and 709.78272 apart, which is finite here, and the sign of
 * expm1(-0)). A call spills every vector register and saves none.
 *
 * IOLK_LANE(op): a lane operation of the vocabulary in scalar/lanes_scalar.h; IOLK_LANE_TYPE: its
 * type. */
#include "lanes_pair.h"

#define C(value)     IOLK_LANE(set1)(value)
#define FMA(a, b, c) IOLK_LANE(fma)(a, b, c)

/* c[0] x^9 + c[1] x^8 + ... + c[9] (Estrin's scheme), given x^2, x^4 and x^8. */
static inline IOLK_LANE_TYPE IOLK_LANE(poly10)(IOLK_LANE_TYPE x, IOLK_LANE_TYPE x2,
                                               IOLK_LANE_TYPE x4, IOLK_LANE_TYPE x8,
                                               const double c[10])
{
    const IOLK_LANE_TYPE low = FMA(x2, FMA(x, C(c[6]), C(c[7])), FMA(x, C(c[8]), C(c[9]))),
                         high = FMA(x2, FMA(x, C(c[2]), C(c[3])), FMA(x, C(c[4]), C(c[5])));
    return FMA(x8, FMA(x, C(c[0]), C(c[1])), FMA(x4, high, low));
}

static inline __attribute__((always_inline)) IOLK_LANE_TYPE IOLK_LANE(exp)(IOLK_LANE_TYPE x)
{
    static const double c[10] = {0.2081276378237164457e-8, 0.2511210703042288022e-7,
                                 0.2755762628169491192e-6, 0.2755723402025388239e-5,
                                 0.2480158687479686264e-4, 0.1984126989855865850e-3,
                                 0.1388888888914497797e-2, 0.8333333333314938210e-2,
                                 0.4166666666666602598e-1, 0.1666666666666669072};
    x = IOLK_LANE(min)(C(800.0), IOLK_LANE(max)(C(-1000.0), x));
    const IOLK_LANE_TYPE q = IOLK_LANE(round)(IOLK_LANE(mul)(x, C(1.4426950408889634)));
    IOLK_LANE_TYPE s = FMA(q, C(-.69314718055966295651160180568695068359375), x);
    s = FMA(q, C(-.28235290563031577122588448175013436025525412068e-12), s);
    const IOLK_LANE_TYPE s2 = IOLK_LANE(mul)(s, s), s4 = IOLK_LANE(mul)(s2, s2);
    IOLK_LANE_TYPE p = IOLK_LANE(poly10)(s, s2, s4, IOLK_LANE(mul)(s4, s4), c);
    p = FMA(p, s, C(0.5));
    p = FMA(p, s, C(1.0));
    p = FMA(p, s, C(1.0));
    return IOLK_LANE(ldexp)(p, q);
}

static inline __attribute__((always_inline)) IOLK_LANE_TYPE IOLK_LANE(expm1)(IOLK_LANE_TYPE x)
{
    static const double c[10] = {0.1602472219709932072e-9, 0.2092255183563157007e-8,
                                 0.2505230023782644465e-7, 0.2755724800902135303e-6,
                                 0.2755731892386044373e-5, 0.2480158735605815065e-4,
                                 0.1984126984148071858e-3, 0.1388888888886763255e-2,
                                 0.8333333333333347095e-2, 0.4166666666666669905e-1};
    const IOLK_LANE_TYPE q = IOLK_LANE(round)(IOLK_LANE(mul)(x, C(1.4426950408889634)));
    /* q ln 2 in two parts: the first is exact, and so is its difference from x (Sterbenz) */
    const IOLK_LANE_TYPE near = FMA(q, C(-.69314718055966295651160180568695068359375), x),
                         part = IOLK_LANE(mul)(
                             q, C(-.28235290563031577122588448175013436025525412068e-12)),
                         hi = IOLK_LANE(add)(near, part);
    const IOLK_LANE(pair) s = {hi, IOLK_LANE(any_sum_rest)(near, part, hi)},
                          s2 = IOLK_LANE(pair_square)(s), s4 = IOLK_LANE(pair_square)(s2);
    const IOLK_LANE_TYPE p = IOLK_LANE(poly10)(s.hi, s2.hi, s4.hi, IOLK_LANE(mul)(s4.hi, s4.hi), c);
    IOLK_LANE(pair)
    t = IOLK_LANE(pair_plus)(C(0.5), IOLK_LANE(pair_by)(s, C(0.1666666666666666574)));
    t = IOLK_LANE(pair_plus)(C(1.0), IOLK_LANE(pair_mul)(t, s));
    t = IOLK_LANE(pair_plus)(C(1.0), IOLK_LANE(pair_mul)(t, s));
    const IOLK_LANE(pair) rest = IOLK_LANE(pair_by)(s4, p);
    const IOLK_LANE_TYPE sum = IOLK_LANE(add)(t.hi, rest.hi),
                         left = IOLK_LANE(add)(IOLK_LANE(sum_rest)(t.hi, rest.hi, sum), t.lo),
                         e = IOLK_LANE(ldexp)(sum, q),
                         e_rest = IOLK_LANE(ldexp)(IOLK_LANE(add)(left, rest.lo), q);
    const IOLK_LANE_TYPE less = IOLK_LANE(add)(e, C(-1.0)),
                         less_rest = IOLK_LANE(any_sum_rest)(e, C(-1.0), less);
    IOLK_LANE_TYPE y = IOLK_LANE(add)(less, IOLK_LANE(add)(less_rest, e_rest));
    y = IOLK_LANE(where_less)(C(709.782712893383996732223), x, C(__builtin_inf()), y);
    return IOLK_LANE(where_less)(x, C(-36.736800569677101399113302437), C(-1.0), y);
}
#undef FMA
#undef C
