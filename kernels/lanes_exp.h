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
 * IOLK_EXP(op): a lane operation of the vocabulary in scalar/lanes_scalar.h; IOLK_EXP_LANES: its
 * type. */
#define C(value) IOLK_EXP(set1)(value)
/* x - q ln 2. */
static inline IOLK_EXP_LANES IOLK_EXP(exp_reduced)(IOLK_EXP_LANES x, IOLK_EXP_LANES q)
{
    IOLK_EXP_LANES s = IOLK_EXP(fma)(q, C(-0.693145751953125f), x);
    return IOLK_EXP(fma)(q, C(-1.428606765330187e-06f), s);
}

/* e^s, s between -ln 2 / 2 and ln 2 / 2. */
static inline IOLK_EXP_LANES IOLK_EXP(exp_rest)(IOLK_EXP_LANES s)
{
    IOLK_EXP_LANES p = C(0.000198527617612853646f);
    p = IOLK_EXP(fma)(p, s, C(0.00139304355252534151f));
    p = IOLK_EXP(fma)(p, s, C(0.00833336077630519867f));
    p = IOLK_EXP(fma)(p, s, C(0.0416664853692054749f));
    p = IOLK_EXP(fma)(p, s, C(0.166666671633720398f));
    p = IOLK_EXP(fma)(p, s, C(0.5f));
    return IOLK_EXP(add)(C(1.0f), IOLK_EXP(fma)(IOLK_EXP(mul)(s, s), p, s));
}

static inline IOLK_EXP_LANES IOLK_EXP(exp_power)(IOLK_EXP_LANES x)
{
    return IOLK_EXP(round)(IOLK_EXP(mul)(x, C(1.44269504088896f)));
}

/* exp of x in -104..100. */
static inline IOLK_EXP_LANES IOLK_EXP(exp_within)(IOLK_EXP_LANES x)
{
    const IOLK_EXP_LANES q = IOLK_EXP(exp_power)(x);
    return IOLK_EXP(ldexp)(IOLK_EXP(exp_rest)(IOLK_EXP(exp_reduced)(x, q)), q);
}

static inline IOLK_EXP_LANES IOLK_EXP(exp_limited)(IOLK_EXP_LANES x)
{
    return IOLK_EXP(min)(C(100.0f), IOLK_EXP(max)(C(-104.0f), x));
}

static inline IOLK_EXP_LANES IOLK_EXP(exp)(IOLK_EXP_LANES x)
{
    return IOLK_EXP(exp_within)(IOLK_EXP(exp_limited)(x));
}

#ifndef IOLK_ONE_LANE
/* exp of x <= 0, or NaN. */
static inline IOLK_EXP_LANES IOLK_EXP(exp_below)(IOLK_EXP_LANES x)
{
    x = IOLK_EXP(max)(C(-104.0f), x);
    const IOLK_EXP_LANES q = IOLK_EXP(exp_power)(x);
    return IOLK_EXP(ldexp_below)(IOLK_EXP(exp_rest)(IOLK_EXP(exp_reduced)(x, q)), q);
}
#endif
#undef C
