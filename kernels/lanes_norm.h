/* Norms of several rows at a time, in the vocabulary of scalar/lanes_scalar.h.
 *
 * L16 of a row is one chain of additions per lane: 768 elements on AVX-512 are 48 steps of 4 cycles
 * in one register, four times what loading them costs. Rows do not depend on each other, so four
 * advance together, each in an accumulator of its own (4 zmm, 8 ymm or 16 q), and share the loads
 * of gain and bias. With `add` a row's x becomes x + c in the first pass.
 *
 *   pass 1  x (+ c, stored)  -> L16(x * x)    or L16(x)
 *   pass 2                                    L16(d * d), d = x - mean      (layernorm only)
 *   last    y from x, gain (and bias)
 *
 * Rows that come from beyond L1 are another matter: eight to twelve streams of a few KiB each are
 * more than its prefetcher follows. There the rows are staggered, each array one stream: while row
 * r is written, the squares of row r + 1 and the sum of row r + 2 are on their way. */
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
/* All rows are read before one is written: a load waits for a store before it at the same place of
 * another page, where the processor cannot tell the pages apart by the few bits it compares. */
#define WRITE(r)                                                                                   \
    if (r < m) {                                                                                   \
        f32x16_store(y##r + i, out##r);                                                            \
    }

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

/* m (1, 2 or 4) and add are constants in every caller: what they exclude is not compiled. */
#define START(r)                                                                                   \
    const float *x##r = t->x + (r < m ? r : 0) * t->ld_x;                                          \
    const float *c##r = add ? t->c + (r < m ? r : 0) * t->ld_c : x##r;                             \
    float *y##r = t->y + (r < m ? r : 0) * t->ld_y;                                                \
    float *sum##r = add ? t->sum + (r < m ? r : 0) * t->ld_x : y##r;                               \
    f32x16 acc##r = f32x16_set1(0.0f);

static inline __attribute__((always_inline)) void rmsnorm_rows(const size_t m, const bool add,
                                                               const struct norm_rows *t)
{
    const size_t rest = t->n % IOLK_LANES, full = t->n - rest;
    ROWS4(START)
#define SQUARE(r)                                                                                  \
    if (r < m) {                                                                                   \
        f32x16 v = norm_input(add, x##r + i, c##r + i, sum##r + i);                                \
        acc##r = f32x16_fma(v, v, acc##r);                                                         \
    }
#define SQUARE_REST(r)                                                                             \
    if (r < m) {                                                                                   \
        f32x16 v = norm_input_n(add, x##r + full, c##r + full, sum##r + full, rest);               \
        acc##r = f32x16_keep(f32x16_fma(v, v, acc##r), acc##r, rest);                              \
    }
#define FACTOR(r) const f32x16 factor##r = r < m ? norm_factor(acc##r, t) : acc##r;
#define SCALED(r)                                                                                  \
    const f32x16 out##r =                                                                          \
        r < m ? f32x16_mul(f32x16_mul(f32x16_load(x##r + i), factor##r), gain) : factor##r;
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
        ROWS4(SCALED)
        ROWS4(WRITE)
    }
    if (rest) {
        const f32x16 gain = f32x16_load_n(t->gain + full, rest);
        ROWS4(WRITE_REST)
    }
#undef SQUARE
#undef SQUARE_REST
#undef FACTOR
#undef SCALED
#undef WRITE_REST
}

/* The difference from the mean is formed twice instead of stored. */
static inline __attribute__((always_inline)) void layernorm_rows(const size_t m, const bool add,
                                                                 const struct norm_rows *t)
{
    const size_t rest = t->n % IOLK_LANES, full = t->n - rest;
    ROWS4(START)
#define SUM(r)                                                                                     \
    if (r < m) {                                                                                   \
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
#define SCALED(r)                                                                                  \
    f32x16 out##r = factor##r;                                                                     \
    if (r < m) {                                                                                   \
        out##r = f32x16_mul(f32x16_sub(f32x16_load(x##r + i), mean##r), factor##r);                \
        out##r = f32x16_fma(out##r, gain, bias);                                                   \
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
        ROWS4(SCALED)
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
#undef SCALED
#undef WRITE_REST
}

#undef START
#undef WRITE
#undef ROWS4

/* Whether four rows of x and four of y would share the few ways of one set of L1, which addresses
 * 4 KiB apart do: then two at a time (d = 1024, in L1: half the time). */
static inline bool norm_strides_collide(const struct norm_rows *t)
{
    return t->ld_x % 1024 == 0 || t->ld_y % 1024 == 0;
}

/* Whether x, y (and c) of a call are larger than a usual L1 of today. In one, four rows at a time
 * are up to 1.6 times as fast as staggered ones. */
static inline bool norm_is_beyond_l1(const bool add, size_t m, size_t n)
{
    return m > 2 && m * n * (add ? 3 : 2) > (48 << 10) / sizeof(float);
}

/* Move on by `rows` rows. */
static inline void norm_advance(struct norm_rows *t, size_t rows)
{
    t->x += rows * t->ld_x;
    t->c = t->c ? t->c + rows * t->ld_c : NULL;
    t->sum = t->sum ? t->sum + rows * t->ld_x : NULL;
    t->y += rows * t->ld_y;
}

/* --- staggered rows: sum, square and write, constants in every caller, name the stages that take
 * place, each on a row of its own --- */

/* Two streams of stores take turns at L1: y, which nobody has read, is asked for so many floats
 * before it is stored, or every line of it is waited for (Intel, model 207). */
enum { NORM_AHEAD = 128 };

/* What the stages hand on. */
struct norm_stages {
    f32x16 mean_square;        /* of the row that is squared next */
    f32x16 mean_write, factor; /* of the row that is written next */
};

/* The row of t is squared while the row before it is written. */
static inline __attribute__((always_inline)) void rmsnorm_stagger(const bool add, const bool square,
                                                                  const bool write,
                                                                  const struct norm_rows *t,
                                                                  struct norm_stages *s)
{
    const size_t rest = t->n % IOLK_LANES, full = t->n - rest;
    const float *x1 = t->x, *x0 = write ? x1 - t->ld_x : x1, *c1 = add ? t->c : x1;
    float *y0 = write ? t->y - t->ld_y : t->y, *sum1 = add ? t->sum : y0;
    f32x16 squares = f32x16_set1(0.0f);
    const f32x16 factor = s->factor;
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        if (square) {
            const f32x16 v = norm_input(add, x1 + i, c1 + i, sum1 + i);
            squares = f32x16_fma(v, v, squares);
        }
        if (write && add) {
            __builtin_prefetch(y0 + i + NORM_AHEAD, 1);
        }
        if (write) {
            const f32x16 v = f32x16_mul(f32x16_load(x0 + i), factor);
            f32x16_store(y0 + i, f32x16_mul(v, f32x16_load(t->gain + i)));
        }
    }
    if (rest && square) {
        const f32x16 v = norm_input_n(add, x1 + full, c1 + full, sum1 + full, rest);
        squares = f32x16_keep(f32x16_fma(v, v, squares), squares, rest);
    }
    if (rest && write) {
        const f32x16 v = f32x16_mul(f32x16_load_n(x0 + full, rest), factor);
        f32x16_store_n(y0 + full, f32x16_mul(v, f32x16_load_n(t->gain + full, rest)), rest);
    }
    if (square) {
        s->factor = norm_factor(squares, t);
    }
}

/* The row of t is summed while the row before it is squared and the one before that is written. */
static inline __attribute__((always_inline)) void
layernorm_stagger(const bool add, const bool sum, const bool square, const bool write,
                  const struct norm_rows *t, struct norm_stages *s)
{
    const size_t rest = t->n % IOLK_LANES, full = t->n - rest;
    const float *x2 = t->x, *x1 = square ? x2 - t->ld_x : x2, *x0 = write ? x2 - 2 * t->ld_x : x2,
                *c2 = add ? t->c : x2;
    float *y0 = write ? t->y - 2 * t->ld_y : t->y, *sum2 = add ? t->sum : y0;
    f32x16 sums = f32x16_set1(0.0f), squares = sums;
    const f32x16 mean0 = s->mean_write, mean1 = s->mean_square, factor = s->factor;
    for (size_t i = 0; i < full; i += IOLK_LANES) {
        if (sum) {
            sums = f32x16_add(sums, norm_input(add, x2 + i, c2 + i, sum2 + i));
        }
        if (square) {
            const f32x16 d = f32x16_sub(f32x16_load(x1 + i), mean1);
            squares = f32x16_fma(d, d, squares);
        }
        if (write && add) {
            __builtin_prefetch(y0 + i + NORM_AHEAD, 1);
        }
        if (write) {
            const f32x16 d = f32x16_mul(f32x16_sub(f32x16_load(x0 + i), mean0), factor);
            f32x16_store(y0 + i, f32x16_fma(d, f32x16_load(t->gain + i), f32x16_load(t->bias + i)));
        }
    }
    if (rest && sum) {
        const f32x16 v = norm_input_n(add, x2 + full, c2 + full, sum2 + full, rest);
        sums = f32x16_keep(f32x16_add(sums, v), sums, rest);
    }
    if (rest && square) {
        const f32x16 d = f32x16_sub(f32x16_load_n(x1 + full, rest), mean1);
        squares = f32x16_keep(f32x16_fma(d, d, squares), squares, rest);
    }
    if (rest && write) {
        const f32x16 d = f32x16_mul(f32x16_sub(f32x16_load_n(x0 + full, rest), mean0), factor);
        f32x16_store_n(
            y0 + full,
            f32x16_fma(d, f32x16_load_n(t->gain + full, rest), f32x16_load_n(t->bias + full, rest)),
            rest);
    }
    if (square) {
        s->mean_write = mean1;
        s->factor = norm_factor(squares, t);
    }
    if (sum) {
        s->mean_square = f32x16_set1(f32x16_sum(sums) / (float)t->n);
    }
}

/* --- all rows --- */

static inline __attribute__((always_inline)) void rmsnorm_all(const bool add, size_t m,
                                                              struct norm_rows *t)
{
    if (norm_is_beyond_l1(add, m, t->n)) {
        struct norm_stages s;
        s.mean_square = s.mean_write = s.factor = f32x16_set1(0.0f);
        rmsnorm_stagger(add, true, false, t, &s);
        for (norm_advance(t, 1); m > 1; m--, norm_advance(t, 1)) {
            rmsnorm_stagger(add, true, true, t, &s);
        }
        rmsnorm_stagger(add, false, true, t, &s);
        return;
    }
    for (; m >= 4 && !norm_strides_collide(t); m -= 4, norm_advance(t, 4)) {
        rmsnorm_rows(4, add, t);
    }
    for (; m >= 2; m -= 2, norm_advance(t, 2)) {
        rmsnorm_rows(2, add, t);
    }
    if (m) {
        rmsnorm_rows(1, add, t);
    }
}

static inline __attribute__((always_inline)) void layernorm_all(const bool add, size_t m,
                                                                struct norm_rows *t)
{
    if (norm_is_beyond_l1(add, m, t->n)) {
        struct norm_stages s;
        s.mean_square = s.mean_write = s.factor = f32x16_set1(0.0f);
        layernorm_stagger(add, true, false, false, t, &s);
        norm_advance(t, 1);
        layernorm_stagger(add, true, true, false, t, &s);
        for (norm_advance(t, 1); m > 2; m--, norm_advance(t, 1)) {
            layernorm_stagger(add, true, true, true, t, &s);
        }
        layernorm_stagger(add, false, true, true, t, &s);
        norm_advance(t, 1);
        layernorm_stagger(add, false, false, true, t, &s);
        return;
    }
    for (; m >= 4 && !norm_strides_collide(t); m -= 4, norm_advance(t, 4)) {
        layernorm_rows(4, add, t);
    }
    for (; m >= 2; m -= 2, norm_advance(t, 2)) {
        layernorm_rows(2, add, t);
    }
    if (m) {
        layernorm_rows(1, add, t);
    }
}

#endif
