/* softmax: a first pass for the maximum of the scaled scores, a second for exp(s * scale - m) and
 * its L16 sum. Scaling twice is cheaper than storing the scaled row. The scores stay unnormalised:
 * the caller multiplies its output row by the reciprocal. NaN never enters the maximum, so that its
 * order stays without effect; the sum is NaN then. The second pass fetches the
 * next rows: the first pass over them would wait for memory. */
#include "../lanes_wide.h"

#ifdef IOLK_ONE_REGISTER
/* Four rows side by side, the same sixteen columns of each together: a row's maximum, exponentials,
 * sum and reciprocal are chains that wait for themselves, and those of the others fill the time
 * however short the rows are (attention +3 to +8 %). Two rows are too many for 16 registers. */
#define ROWS4(X) X(0, lo.lo) X(1, lo.hi) X(2, hi.lo) X(3, hi.hi)
/* Elements of row r from `at` on that a vector takes. */
#define COUNT(r) (n + (r)*step - at < IOLK_LANES ? n + (r)*step - at : (size_t)IOLK_LANES)

/* n: of the first row; each next one has `step` elements more. */
static inline void softmax_rows4(size_t n, size_t step, float scale, float *scores, size_t ld,
                                 float *out_rcp)
{
    const size_t full = n / IOLK_LANES * IOLK_LANES, longest = n + 3 * step;
    const f32x64 factor = f32x64_set1(scale);
    f32x64 top = f32x64_set1(-__builtin_inff()), sum = f32x64_set1(0.0f), x;
    for (size_t at = 0; at < full; at += IOLK_LANES) {
#define LOAD(r, part) x.part = f32x16_load(scores + (r)*ld + at);
        ROWS4(LOAD)
        top = f32x64_max(f32x64_mul(x, factor), top);
    }
    for (size_t at = full; at < longest; at += IOLK_LANES) {
#define TOP_SOME(r, part)                                                                          \
    if (at < n + (r)*step) {                                                                       \
        f32x16 last =                                                                              \
            f32x16_mul(f32x16_load_n(scores + (r)*ld + at, COUNT(r)), f32x16_set1(scale));         \
        top.part = f32x16_max(f32x16_keep(last, top.part, COUNT(r)), top.part);                    \
    }
        ROWS4(TOP_SOME)
    }
#define SPREAD_TOP(r, part) top.part = f32x16_set1(f32x16_top(top.part));
    ROWS4(SPREAD_TOP)
    for (size_t at = 0; at < full; at += IOLK_LANES) {
        ROWS4(LOAD)
        x = f32x64_exp_below(f32x64_sub(f32x64_mul(x, factor), top));
        sum = f32x64_add(sum, x);
#define STORE(r, part)                                                                             \
    f32x16_store(scores + (r)*ld + at, x.part);                                                    \
    __builtin_prefetch(scores + ((r) + 4) * ld + at);
        ROWS4(STORE)
    }
    for (size_t at = full; at < longest; at += IOLK_LANES) {
#define LOAD_SOME(r, part)                                                                         \
    x.part = at < n + (r)*step ? f32x16_load_n(scores + (r)*ld + at, COUNT(r)) : f32x16_set1(0.0f);
        ROWS4(LOAD_SOME)
        x = f32x64_exp_below(f32x64_sub(f32x64_mul(x, factor), top));
#define STORE_SOME(r, part)                                                                        \
    if (at < n + (r)*step) {                                                                       \
        sum.part = f32x16_keep(f32x16_add(sum.part, x.part), sum.part, COUNT(r));                  \
        f32x16_store_n(scores + (r)*ld + at, x.part, COUNT(r));                                    \
    }
        ROWS4(STORE_SOME)
    }
#define RECIPROCAL(r, part) out_rcp[r] = 1.0f / f32x16_sum(sum.part);
    ROWS4(RECIPROCAL)
}

#undef RECIPROCAL
#undef STORE_SOME
#undef LOAD_SOME
#undef STORE
#undef SPREAD_TOP
#undef TOP_SOME
#undef LOAD
#undef COUNT
#undef ROWS4
#endif

static inline float softmax_row(size_t n, float scale, float *scores, const float *next)
{
    const size_t rest = n % IOLK_LANES, full = n - rest;
    const f32x16 factor = f32x16_set1(scale);
    const f32x32 factors = f32x32_set1(scale);
    f32x32 tops = f32x32_set1(-__builtin_inff());
    size_t i = 0;
    for (; full - i >= IOLK_WIDE; i += IOLK_WIDE) {
        tops = f32x32_max(f32x32_mul(f32x32_load(scores + i), factors), tops);
    }
    f32x16 top = f32x16_max(tops.lo, tops.hi);
    if (i < full) {
        top = f32x16_max(f32x16_mul(f32x16_load(scores + i), factor), top);
    }
    if (rest) {
        f32x16 last = f32x16_mul(f32x16_load_n(scores + full, rest), factor);
        top = f32x16_max(f32x16_keep(last, top, rest), top);
    }
    const float largest = f32x16_top(top);
    const f32x16 m = f32x16_set1(largest);
    const f32x32 ms = f32x32_set1(largest);

    f32x16 sum = f32x16_set1(0.0f);
    for (i = 0; full - i >= IOLK_WIDE; i += IOLK_WIDE) {
        __builtin_prefetch(next + i);
        __builtin_prefetch(next + i + IOLK_LANES);
        f32x32 e = f32x32_exp_below(f32x32_sub(f32x32_mul(f32x32_load(scores + i), factors), ms));
        f32x32_store(scores + i, e);
        sum = f32x16_add(f32x16_add(sum, e.lo), e.hi);
    }
    if (i < full) {
        f32x16 e = f32x16_exp_below(f32x16_sub(f32x16_mul(f32x16_load(scores + i), factor), m));
        f32x16_store(scores + i, e);
        sum = f32x16_add(sum, e);
    }
    if (rest) {
        f32x16 last = f32x16_mul(f32x16_load_n(scores + full, rest), factor);
        f32x16 e = f32x16_exp_below(f32x16_sub(last, m));
        f32x16_store_n(scores + full, e, rest);
        sum = f32x16_keep(f32x16_add(sum, e), sum, rest);
    }
    return 1.0f / f32x16_sum(sum);
}

void IOLK_NAME(size_t m, size_t n, size_t step, float scale, float *restrict scores, size_t ld,
               float *restrict out_rcp)
{
    assert(n >= 1 && (m <= 1 || ld >= n + (m - 1) * step));
    size_t r = 0;
#ifdef IOLK_ONE_REGISTER
    for (; m - r >= 4; r += 4) {
        softmax_rows4(n + r * step, step, scale, scores + r * ld, ld, out_rcp + r);
    }
#endif
    for (; r < m; r++) {
        out_rcp[r] = softmax_row(n + r * step, scale, scores + r * ld, scores + (r + 1) * ld);
    }
}
