/* exp of f32 lanes, once for every ISA: at most 1 ULP from e^x over all floats (docs/exp.md has the
 * table), and at most one rounding more where the result is denormal.
 *
 *   q = round(x * log2 e); s = x - q * ln 2, ln 2 in two parts, each step one FMA
 *   e^s = 1 + (s + s^2 * p(s)), p of degree 5, Horner; result = that, times 2^q, rounded once
 *
 * Method and coefficients are those of expf_u10 in SLEEF 3.5 (Naoki Shibata and contributors, Boost
 * Software License 1.0), so the bits are SLEEF's too, for all 2^32 arguments (test_exp compares
 * them). A call of SLEEF spills every vector register and saves none: in place it is 1.6-1.8 times
 * faster. x below -104 gives 0 and x above 100 infinity whatever the polynomial says, so clamping
 * there changes nothing; max(a, b) and min(a, b) give b where either is NaN, so NaN passes.
 *
 * IOLK_LANE(op): a lane operation of the vocabulary in scalar/lanes_scalar.h; IOLK_LANE_TYPE: its
 * type. */
#define C(value) IOLK_LANE(set1)(value)
/* x - q ln 2. */
static inline IOLK_LANE_TYPE IOLK_LANE(exp_reduced)(IOLK_LANE_TYPE x, IOLK_LANE_TYPE q)
{
    IOLK_LANE_TYPE s = IOLK_LANE(fma)(q, C(-0.693145751953125f), x);
    return IOLK_LANE(fma)(q, C(-1.428606765330187e-06f), s);
}

/* e^s, s between -ln 2 / 2 and ln 2 / 2. */
static inline IOLK_LANE_TYPE IOLK_LANE(exp_rest)(IOLK_LANE_TYPE s)
{
    IOLK_LANE_TYPE p = C(0.000198527617612853646f);
    p = IOLK_LANE(fma)(p, s, C(0.00139304355252534151f));
    p = IOLK_LANE(fma)(p, s, C(0.00833336077630519867f));
    p = IOLK_LANE(fma)(p, s, C(0.0416664853692054749f));
    p = IOLK_LANE(fma)(p, s, C(0.166666671633720398f));
    p = IOLK_LANE(fma)(p, s, C(0.5f));
    return IOLK_LANE(add)(C(1.0f), IOLK_LANE(fma)(IOLK_LANE(mul)(s, s), p, s));
}

static inline IOLK_LANE_TYPE IOLK_LANE(exp_power)(IOLK_LANE_TYPE x)
{
    return IOLK_LANE(round)(IOLK_LANE(mul)(x, C(1.44269504088896f)));
}

/* exp of x in -104..100. */
static inline IOLK_LANE_TYPE IOLK_LANE(exp_within)(IOLK_LANE_TYPE x)
{
    const IOLK_LANE_TYPE q = IOLK_LANE(exp_power)(x);
    return IOLK_LANE(ldexp)(IOLK_LANE(exp_rest)(IOLK_LANE(exp_reduced)(x, q)), q);
}

static inline IOLK_LANE_TYPE IOLK_LANE(exp_limited)(IOLK_LANE_TYPE x)
{
    return IOLK_LANE(min)(C(100.0f), IOLK_LANE(max)(C(-104.0f), x));
}

static inline IOLK_LANE_TYPE IOLK_LANE(exp)(IOLK_LANE_TYPE x)
{
    return IOLK_LANE(exp_within)(IOLK_LANE(exp_limited)(x));
}

#ifndef IOLK_ONE_LANE
/* exp of x <= 0, or NaN. */
static inline IOLK_LANE_TYPE IOLK_LANE(exp_below)(IOLK_LANE_TYPE x)
{
    x = IOLK_LANE(max)(C(-104.0f), x);
    const IOLK_LANE_TYPE q = IOLK_LANE(exp_power)(x);
    return IOLK_LANE(ldexp_below)(IOLK_LANE(exp_rest)(IOLK_LANE(exp_reduced)(x, q)), q);
}
#endif
#undef C
