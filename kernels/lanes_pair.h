/* Numbers as pairs hi + lo of lanes, |lo| at most some ulp(hi) / 2: twice the digits (Dekker 1971;
 * Knuth, TAOCP 2, 4.2.2). A product leaves its rest by one FMA; a sum by two operations where the
 * larger summand is known, else by five, and where both may be used they give the same bits.
 *
 * IOLK_LANE(op): a lane operation of the vocabulary in scalar/lanes_scalar.h; IOLK_LANE_TYPE: its
 * type. */
typedef struct {
    IOLK_LANE_TYPE hi, lo;
} IOLK_LANE(pair);

/* x + y - s, of |x| >= |y| or x = 0. */
static inline IOLK_LANE_TYPE IOLK_LANE(sum_rest)(IOLK_LANE_TYPE x, IOLK_LANE_TYPE y,
                                                 IOLK_LANE_TYPE s)
{
    return IOLK_LANE(add)(IOLK_LANE(sub)(x, s), y);
}

/* x + y - s, of any two. */
static inline IOLK_LANE_TYPE IOLK_LANE(any_sum_rest)(IOLK_LANE_TYPE x, IOLK_LANE_TYPE y,
                                                     IOLK_LANE_TYPE s)
{
    const IOLK_LANE_TYPE v = IOLK_LANE(sub)(s, x);
    return IOLK_LANE(add)(IOLK_LANE(sub)(x, IOLK_LANE(sub)(s, v)), IOLK_LANE(sub)(y, v));
}

/* Pair times lanes, pair times pair, square of a pair. */
static inline IOLK_LANE(pair) IOLK_LANE(pair_by)(IOLK_LANE(pair) x, IOLK_LANE_TYPE y)
{
    const IOLK_LANE_TYPE s = IOLK_LANE(mul)(x.hi, y);
    return (IOLK_LANE(pair)){s, IOLK_LANE(fma)(x.lo, y, IOLK_LANE(fms)(x.hi, y, s))};
}

static inline IOLK_LANE(pair) IOLK_LANE(pair_mul)(IOLK_LANE(pair) x, IOLK_LANE(pair) y)
{
    const IOLK_LANE_TYPE s = IOLK_LANE(mul)(x.hi, y.hi),
                         rest = IOLK_LANE(fma)(x.lo, y.hi, IOLK_LANE(fms)(x.hi, y.hi, s));
    return (IOLK_LANE(pair)){s, IOLK_LANE(fma)(x.hi, y.lo, rest)};
}

static inline IOLK_LANE(pair) IOLK_LANE(pair_square)(IOLK_LANE(pair) x)
{
    const IOLK_LANE_TYPE s = IOLK_LANE(mul)(x.hi, x.hi);
    return (IOLK_LANE(pair)){
        s, IOLK_LANE(fma)(IOLK_LANE(add)(x.hi, x.hi), x.lo, IOLK_LANE(fms)(x.hi, x.hi, s))};
}

/* Sums of pairs, |x| >= |y|; of any two; of a number and a smaller pair. */
static inline IOLK_LANE(pair) IOLK_LANE(pair_add)(IOLK_LANE(pair) x, IOLK_LANE(pair) y)
{
    const IOLK_LANE_TYPE s = IOLK_LANE(add)(x.hi, y.hi);
    return (IOLK_LANE(pair)){
        s, IOLK_LANE(add)(IOLK_LANE(sum_rest)(x.hi, y.hi, s), IOLK_LANE(add)(x.lo, y.lo))};
}

static inline IOLK_LANE(pair) IOLK_LANE(pair_add_any)(IOLK_LANE(pair) x, IOLK_LANE(pair) y)
{
    const IOLK_LANE_TYPE s = IOLK_LANE(add)(x.hi, y.hi);
    return (IOLK_LANE(pair)){
        s, IOLK_LANE(add)(IOLK_LANE(any_sum_rest)(x.hi, y.hi, s), IOLK_LANE(add)(x.lo, y.lo))};
}

static inline IOLK_LANE(pair) IOLK_LANE(pair_plus)(IOLK_LANE_TYPE x, IOLK_LANE(pair) y)
{
    const IOLK_LANE_TYPE s = IOLK_LANE(add)(x, y.hi);
    return (IOLK_LANE(pair)){s, IOLK_LANE(add)(IOLK_LANE(sum_rest)(x, y.hi, s), y.lo)};
}
