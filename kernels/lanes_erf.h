/* erf of f32 lanes, once for every ISA: at most 1 ULP from erf(x) over all floats.
 *
 *   z = min(|x|, 4), beyond which erf is 1 in f32; three pieces: z < 1.1, < 2.4, up to 4
 *   P = c6 + z (c5 + z (c4 + ...)), the last two steps in pairs of floats (z^2 for z in the first)
 *   first piece: z * P(z^2); others: 1 - e^(z * P(z)), e^ of a pair as a pair
 *
 * Method and coefficients are those of erff_u10 in SLEEF 3.5 (Naoki Shibata and contributors, Boost
 * Software License 1.0), so the bits are SLEEF's too, for all 2^32 arguments (test_erf compares
 * them); it takes 40 operations less, as the larger of two summands is known (lanes_pair.h).
 *
 * IOLK_LANE(op): a lane operation of the vocabulary in scalar/lanes_scalar.h; IOLK_LANE_TYPE: its
 * type. */
#define C(value)           IOLK_LANE(set1)(value)
#define PICK(c0, c1, c2)   IOLK_LANE(pick)(piece, c0, c1, c2)
#define ROUNDED_OFF(value) ((float)((value) - (double)(float)(value)))
#define PICK_PAIR(c0, c1, c2)                                                                      \
    ((IOLK_LANE(pair)){PICK((float)(c0), (float)(c1), (float)(c2)),                                \
                       PICK(ROUNDED_OFF(c0), ROUNDED_OFF(c1), ROUNDED_OFF(c2))})

#include "lanes_pair.h"

/* e^d as a pair, -18 < d < 1. */
static inline IOLK_LANE(pair) IOLK_LANE(pair_exp)(IOLK_LANE(pair) d)
{
    const IOLK_LANE_TYPE q =
        IOLK_LANE(round)(IOLK_LANE(mul)(IOLK_LANE(add)(d.hi, d.lo), C(1.44269504088896f)));
    /* q ln 2 in two parts: the first is exact, and so is its difference from d (Sterbenz) */
    const IOLK_LANE_TYPE part = IOLK_LANE(mul)(q, C(-1.428606765330187e-06f)),
                         near = IOLK_LANE(fma)(q, C(-0.693145751953125f), d.hi),
                         hi = IOLK_LANE(add)(near, part);
    const IOLK_LANE(pair) s = {hi, IOLK_LANE(add)(IOLK_LANE(any_sum_rest)(near, part, hi), d.lo)};
    IOLK_LANE_TYPE p = C(0.1980960224e-3f);
    p = IOLK_LANE(fma)(p, s.hi, C(0.1394256484e-2f));
    p = IOLK_LANE(fma)(p, s.hi, C(0.8333456703e-2f));
    p = IOLK_LANE(fma)(p, s.hi, C(0.4166637361e-1f));
    IOLK_LANE(pair)
    t = IOLK_LANE(pair_plus)(C(0.166666659414234244790680580464f), IOLK_LANE(pair_by)(s, p));
    t = IOLK_LANE(pair_plus)(C(0.5f), IOLK_LANE(pair_mul)(s, t));
    t = IOLK_LANE(pair_add)(s, IOLK_LANE(pair_mul)(IOLK_LANE(pair_square)(s), t));
    t = IOLK_LANE(pair_plus)(C(1.0f), t);
    return (IOLK_LANE(pair)){IOLK_LANE(ldexp)(t.hi, q), IOLK_LANE(ldexp)(t.lo, q)};
}

static inline IOLK_LANE_TYPE IOLK_LANE(erf)(IOLK_LANE_TYPE x)
{
    const IOLK_LANE_TYPE z = IOLK_LANE(min)(C(4.0f), IOLK_LANE(abs)(x));
    const IOLK_LANE(piece) piece = IOLK_LANE(piece_of)(z, 1.1f, 2.4f);
    const IOLK_LANE_TYPE u = IOLK_LANE(first)(piece, IOLK_LANE(mul)(z, z), z);
    IOLK_LANE_TYPE p = PICK(0.7089292194e-4f, -0.1792667899e-4f, -0.9495757695e-5f);
    p = IOLK_LANE(fma)(p, u, PICK(-0.7768311189e-3f, 0.3937633010e-3f, 0.2481465926e-3f));
    p = IOLK_LANE(fma)(p, u, PICK(0.5159463733e-2f, -0.3949181177e-2f, -0.2918176819e-2f));
    p = IOLK_LANE(fma)(p, u, PICK(-0.2683781274e-1f, 0.2445474640e-1f, 0.2059706673e-1f));
    p = IOLK_LANE(fma)(p, u, PICK(0.1128318012f, -0.1070996150f, -0.9901899844e-1f));
    const IOLK_LANE_TYPE hi = IOLK_LANE(mul)(p, u);
    IOLK_LANE(pair) d = {hi, IOLK_LANE(fms)(p, u, hi)};
    d = IOLK_LANE(pair_add)(PICK_PAIR(-0.376125876000657465175213237214,
                                      -0.634588905908410389971210809210,
                                      -0.643598050547891613081201721633),
                            d); /* all below 0.25 in d */
    d = IOLK_LANE(pair_add_any)(IOLK_LANE(pair_by)(d, u),
                                PICK_PAIR(1.12837916021059138255978217023,
                                          -1.12879855826694507209862753992,
                                          -1.12461487742845562801052956293));
    d = IOLK_LANE(pair_by)(d, z);
    const IOLK_LANE(pair) e = IOLK_LANE(pair_exp)(d);
    const IOLK_LANE_TYPE one = C(1.0f), rest = IOLK_LANE(sub)(one, e.hi),
                         left =
                             IOLK_LANE(sub)(IOLK_LANE(sub)(IOLK_LANE(sub)(one, rest), e.hi), e.lo);
    return IOLK_LANE(signed_as)(
        IOLK_LANE(add)(IOLK_LANE(first)(piece, d.hi, rest), IOLK_LANE(first)(piece, d.lo, left)),
        x);
}
#undef PICK_PAIR
#undef ROUNDED_OFF
#undef PICK
#undef C
