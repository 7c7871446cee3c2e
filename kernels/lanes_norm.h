/* Norms of several rows at a time, in the vocabulary of scalar/lanes_scalar.h.
 *
 * L16 of a row is one chain of additions per lane: 768 elements on AVX-512 are 48 steps of 4 cycles
 * in one register, four times what loading them costs. Rows do not depend on each other, so four
 * advance together, each in an accumulator of its own (4 zmm, 8 ymm or 16 q), and share the loads
 * of gain and bias. With `add` a row's x becomes x + c in the first pass.
 *
 *   pass 1  x (+ c, stored)  -> L16(x * x)    or L16(x)
 *   pass 2                                    L16(d * d), d = x - mean      (layernorm only)
 *   last    y from x, gain (and bias) */
#ifndef IOLK_LANES_NORM_H
#define IOLK_LANES_NORM_H

#include <stdbool.h>

struct norm_rows {
    size_t n, ld_x, ld_c, ld_y;
    const float *x, *c, *gain, *bias;
    float *sum, *y; /* sum: x once more, to be written, or NULL */
    float eps;
};

#define ROWS4(X) X(0) X(1) X(2) X(3)

static inline f32x16 norm_input(const bool add, const float *x, const float *c, float *sum)
{
    f32x16 v = f32x16_load(x);
    if (add) {
        v = f32x16_add(v, f32x16_load(c));
        f32x16_store(sum, v);
    }
    return v;
}

static inline f32x16 norm_input_n(const bool add, const float *x, const float *c, float *sum,
                                  size_t n)
{
    f32x16 v = f32x16_load_n(x, n);
    if (add) {
        v = f32x16_add(v, f32x16_load_n(c, n));
        f32x16_store_n(sum, v, n);
    }
    return v;
}

/* 1 / sqrt(mean + eps), both operations correctly rounded. */
static inline f32x16 norm_factor(f32x16 squares, const struct norm_rows *t)
{
    return f32x16_set1(1.0f / f32_sqrt(f32x16_sum(squares) / (float)t->n + t->eps));
}

/* In the order of memory: these rows of y during the first pass, the next ones of x (and
 * c) during the last. Eight streams of 3 KiB end before the processor's prefetcher has found them;
 * all three arrays during one pass would be more lines than can be on their way. at: a line of m
 * rows. Not a function: gcc 12 takes one that only prefetches for one without effect. */
#define FETCH_Y(at)                                                                                \
    if (far) {                                                                                     \
        __builtin_prefetch(t->y + (at), 1, 3);                                                     \
    }
#define FETCH_NEXT(at)                                                                             \
    if (far) {                                                                                     \
        __builtin_prefetch(t->x + m * t->ld_x + (at), 0, 3);                                       \
        if (add) {                                                                                 \
            __builtin_prefetch(t->c + m * t->ld_c + (at), 0, 3);                                   \
        }                                                                                          \
    }

/* m (1, 2 or 4), add and far are constants in every caller: what they exclude is not compiled. */
#define START(r)                                                                                   \
    const float *x##r = t->x + (r < m ? r : 0) * t->ld_x;                                          \
    const float *c##r = add ? t->c + (r < m ? r : 0) * t->ld_c : x##r;                             \
    float *y##r = t->y + (r < m ? r : 0) * t->ld_y;                                                \
    float *sum##r = add ? t->sum + (r < m ? r : 0) * t->ld_x : y##r;                               \
    f32x16 acc##r = f32x16_set1(0.0f);

static inline __attribute__((always_inline)) void
rmsnorm_rows(const size_t m, const bool add, const bool far, const struct norm_rows *t)
{
    const size_t rest = t->n % IOLK_LANES, full = t->n - rest;
    ROWS4(START)
#define SQUARE(r)                                                                                  \
    if (r < m) {                                                                                   \
        FETCH_Y(m *i + r * IOLK_LANES)                                                             \
        f32x16 v = norm_input(add, x##r + i, c##r + i, sum##r + i);                                \
        acc##r = f32x16_fma(v, v, acc##r);                                                         \
    }
#define SQUARE_REST(r)                                                                             \
    if (r < m) {                                                                                   \
        f32x16 v = norm_input_n(add, x##r + full, c##r + full, sum##r + full, rest);               \
        acc##r = f32x16_keep(f32x16_fma(v, v, acc##r), acc##r, rest);                              \
    }
#define FACTOR(r) const f32x16 factor##r = r < m ? norm_factor(acc##r, t) : acc##r;
#define WRITE(r)                                                                                   \
    if (r < m) {                                                                                   \
        FETCH_NEXT(m *i + r * IOLK_LANES)                                                          \
        f32x16_store(y##r + i, f32x16_mul(f32x16_mul(f32x16_load(x##r + i), factor##r), gain));    \
    }
#define WRITE_REST(r)                                                                              \
    if (r < m) {                                                                                   \
        f32x16 v = f32x16_mul(f32x16_load_n(x##r + full, rest), factor##r);                        \
        f32x16_store_n(y##r + full, f32x16_mul(v, gain), rest);                                    \
    }
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        ROWS4(SQUARE)
    }
    if (rest) {
        ROWS4(SQUARE_REST)
    }
    ROWS4(FACTOR)
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        const f32x16 gain = f32x16_load(t->gain + i);
        ROWS4(WRITE)
    }
    if (rest) {
        const f32x16 gain = f32x16_load_n(t->gain + full, rest);
        ROWS4(WRITE_REST)
    }
#undef SQUARE
#undef SQUARE_REST
#undef FACTOR
#undef WRITE
#undef WRITE_REST
}

/* The difference from the mean is formed twice instead of stored. */
static inline __attribute__((always_inline)) void
layernorm_rows(const size_t m, const bool add, const bool far, const struct norm_rows *t)
{
    const size_t rest = t->n % IOLK_LANES, full = t->n - rest;
    ROWS4(START)
#define SUM(r)                                                                                     \
    if (r < m) {                                                                                   \
        FETCH_Y(m *i + r * IOLK_LANES)                                                             \
        acc##r = f32x16_add(acc##r, norm_input(add, x##r + i, c##r + i, sum##r + i));              \
    }
#define SUM_REST(r)                                                                                \
    if (r < m) {                                                                                   \
        f32x16 v = norm_input_n(add, x##r + full, c##r + full, sum##r + full, rest);               \
        acc##r = f32x16_keep(f32x16_add(acc##r, v), acc##r, rest);                                 \
    }
#define MEAN(r)                                                                                    \
    const f32x16 mean##r = r < m ? f32x16_set1(f32x16_sum(acc##r) / (float)t->n) : acc##r;         \
    acc##r = f32x16_set1(0.0f);
#define SQUARE(r)                                                                                  \
    if (r < m) {                                                                                   \
        f32x16 d = f32x16_sub(f32x16_load(x##r + i), mean##r);                                     \
        acc##r = f32x16_fma(d, d, acc##r);                                                         \
    }
#define SQUARE_REST(r)                                                                             \
    if (r < m) {                                                                                   \
        f32x16 d = f32x16_sub(f32x16_load_n(x##r + full, rest), mean##r);                          \
        acc##r = f32x16_keep(f32x16_fma(d, d, acc##r), acc##r, rest);                              \
    }
#define FACTOR(r) const f32x16 factor##r = r < m ? norm_factor(acc##r, t) : acc##r;
#define WRITE(r)                                                                                   \
    if (r < m) {                                                                                   \
        FETCH_NEXT(m *i + r * IOLK_LANES)                                                          \
        f32x16 d = f32x16_mul(f32x16_sub(f32x16_load(x##r + i), mean##r), factor##r);              \
        f32x16_store(y##r + i, f32x16_fma(d, gain, bias));                                         \
    }
#define WRITE_REST(r)                                                                              \
    if (r < m) {                                                                                   \
        f32x16 d = f32x16_sub(f32x16_load_n(x##r + full, rest), mean##r);                          \
        f32x16_store_n(y##r + full, f32x16_fma(f32x16_mul(d, factor##r), gain, bias), rest);       \
    }
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        ROWS4(SUM)
    }
    if (rest) {
        ROWS4(SUM_REST)
    }
    ROWS4(MEAN)
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        ROWS4(SQUARE)
    }
    if (rest) {
        ROWS4(SQUARE_REST)
    }
    ROWS4(FACTOR)
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        const f32x16 gain = f32x16_load(t->gain + i), bias = f32x16_load(t->bias + i);
        ROWS4(WRITE)
    }
    if (rest) {
        const f32x16 gain = f32x16_load_n(t->gain + full, rest);
        const f32x16 bias = f32x16_load_n(t->bias + full, rest);
        ROWS4(WRITE_REST)
    }
#undef SUM
#undef SUM_REST
#undef MEAN
#undef SQUARE
#undef SQUARE_REST
#undef FACTOR
#undef WRITE
#undef WRITE_REST
}

#undef START
#undef FETCH_NEXT
#undef FETCH_Y
#undef ROWS4

/* Whether four rows of x and four of y would share the few ways of one set of L1, which addresses
 * 4 KiB apart do: then two at a time (d = 1024, in L1: half the time). */
static inline bool norm_strides_collide(const struct norm_rows *t)
{
    return t->ld_x % 1024 == 0 || t->ld_y % 1024 == 0;
}

/* Whether x and y of a call are larger than a usual L2, so that rows come from beyond it. In L2
 * fetching would cost 3 to 15 %. */
static inline bool norm_is_far(size_t m, size_t n)
{
    return m * n > (size_t)1 << 17;
}

/* Move on by `rows` rows. */
static inline void norm_advance(struct norm_rows *t, size_t rows)
{
    t->x += rows * t->ld_x;
    t->c = t->c ? t->c + rows * t->ld_c : NULL;
    t->sum = t->sum ? t->sum + rows * t->ld_x : NULL;
    t->y += rows * t->ld_y;
}

#endif
