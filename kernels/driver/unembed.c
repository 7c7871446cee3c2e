#include "driver/unembed.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

/* SLEEF's FMA variants by name: equal bits on every ISA (its header declares them only where AVX2
 * is on). */
double Sleef_expd1_u10purecfma(double x);
double Sleef_logd1_u10purecfma(double x);

static size_t chunk_size(size_t n, size_t begin)
{
    return n - begin < IOLK_CHUNK ? n - begin : IOLK_CHUNK;
}

void iol_unembed_rows(const struct iolk_ops *ops, size_t m, const float *x, size_t ld_x,
                      const struct iol_packed *w, float *logits, size_t ld, uint64_t *flops)
{
    iol_gemm_block(ops, m, x, ld_x, w, NULL, logits, ld, flops);
}

/* Four lanes at any address. gcc 12 leaves loops of comparisons in scalar registers at -O2. */
typedef float f32x4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int64_t i64x2 __attribute__((vector_size(16)));
enum { LANES = 4, GROUP = 8 * LANES };

static const f32x4 *lanes_at(const float *x)
{
    return (const f32x4 *)x;
}

/* The larger of each lane; `old` where x is NaN. */
static f32x4 larger(f32x4 x, f32x4 old)
{
    const i32x4 over = x > old;
    return (f32x4)((over & (i32x4)x) | (~over & (i32x4)old));
}

/* First index from `i` at which a group of GROUP floats has one that is at least `bar`, or fewer
 * than GROUP are left. */
static size_t find_group(size_t i, size_t n, const float *x, float bar)
{
    const f32x4 bars = {bar, bar, bar, bar};
    for (; n - i >= GROUP; i += GROUP) {
        const f32x4 *lanes = lanes_at(x + i);
        const i32x4 left = (lanes[0] >= bars) | (lanes[1] >= bars) | (lanes[2] >= bars) |
                           (lanes[3] >= bars),
                    right = (lanes[4] >= bars) | (lanes[5] >= bars) | (lanes[6] >= bars) |
                            (lanes[7] >= bars);
        const i64x2 found = (i64x2)(left | right);
        if (found[0] | found[1]) {
            break;
        }
    }
    return i;
}

/* Bit j: x[j] > bar, of a group. */
static uint32_t group_over(const float *x, float bar)
{
    const f32x4 *lanes = lanes_at(x), bars = {bar, bar, bar, bar};
    u32x4 bits = {1, 2, 4, 8}, over = {0};
    for (size_t v = 0; v < GROUP / LANES; v++) {
        over |= (u32x4)(lanes[v] > bars) & bits;
        bits <<= LANES;
    }
    return over[0] | over[1] | over[2] | over[3];
}

/* Lowest index of a float that is at least `bar`; 0: none. */
static size_t find_first(size_t n, const float *x, float bar)
{
    for (size_t i = find_group(0, n, x, bar); i < n; i++) {
        if (x[i] >= bar) {
            return i;
        }
    }
    return 0;
}

/* Lowest index of x's maximum; 0 and -infinity where there is nothing else. The maximum is exact in
 * any order. */
static size_t find_max(size_t n, const float *x, float *out_max)
{
    f32x4 a = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, b = a, c = a, d = a;
    size_t i = 0;
    for (; n - i >= 4 * LANES; i += 4 * LANES) {
        const f32x4 *lanes = lanes_at(x + i);
        a = larger(lanes[0], a);
        b = larger(lanes[1], b);
        c = larger(lanes[2], c);
        d = larger(lanes[3], d);
    }
    a = larger(larger(b, a), larger(d, c));
    float max = -INFINITY;
    for (size_t j = 0; j < LANES; j++) {
        max = a[j] > max ? a[j] : max;
    }
    for (; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    *out_max = max;
    return find_first(n, x, max);
}

/* Part of a chunk's sum of exponentials in the sum over all, whose maximum is `max`. */
static double rescaled(float chunk_max, float chunk_sum, float max)
{
    return (double)chunk_sum * Sleef_expd1_u10purecfma((double)chunk_max - (double)max);
}

void iol_logits_reduce(const struct iolk_ops *ops, size_t n, const float *logits,
                       struct iol_logit_stats *out_stats)
{
    assert(n > 0);
    float max;
    const size_t argmax = find_max(n, logits, &max);
    double total = 0, sum = 0;
    for (size_t c = 0; c < n; c += IOLK_CHUNK) {
        float chunk_max, chunk_sum;
        ops->sumexp_f32(chunk_size(n, c), logits + c, &chunk_max, &chunk_sum);
        total += rescaled(chunk_max, chunk_sum, max);
        sum += ops->sum_f64(chunk_size(n, c), logits + c);
    }
    *out_stats = (struct iol_logit_stats){
        .argmax = argmax, .lse = (double)max + Sleef_logd1_u10purecfma(total), .sum = sum};
}

float iol_logits_max_but(size_t n, const float *logits, size_t skip)
{
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        best = i != skip && logits[i] > best ? logits[i] : best;
    }
    return best;
}

double iol_logits_spread(const struct iolk_ops *ops, size_t n, const float *logits, double sum)
{
    double mean = sum / (double)n, square = 0;
    for (size_t c = 0; c < n; c += IOLK_CHUNK) {
        square += ops->ssq_f64(chunk_size(n, c), logits + c, mean);
    }
    return sqrt(square / (double)n);
}

double iol_logits_kl(const struct iolk_ops *ops, size_t n, const float *p, double lse_p,
                     const float *q, double lse_q)
{
    double kl = 0;
    for (size_t c = 0; c < n; c += IOLK_CHUNK) {
        kl += ops->kl_f64(chunk_size(n, c), p + c, lse_p, q + c, lse_q);
    }
    return kl;
}

/* The largest logits so far, descending, lower index first on ties. */
struct top {
    size_t count, held;
    size_t *index;
    float *logits;
};

static void top_put(struct top *top, size_t index, float logit)
{
    size_t at = top->held++;
    while (at > 0 && logit > top->logits[at - 1]) {
        top->index[at] = top->index[at - 1];
        top->logits[at] = top->logits[at - 1];
        at--;
    }
    top->index[at] = index;
    top->logits[at] = logit;
}

/* Logits on their way into the list, together: to put each into its place by itself costs a
 * mispredicted branch or two. */
enum { ROOM = 4 * GROUP };
struct candidates {
    size_t count, index[ROOM];
    float logits[ROOM];
};

static void append(struct candidates *found, size_t first, size_t i, const float *x)
{
    found->logits[found->count] = x[i];
    found->index[found->count] = first + i;
    found->count++;
}

/* Descending, lower index (it came first) first on ties: each by the number of those before it. No
 * NaN. */
static void sort_candidates(struct candidates *found, struct candidates *out)
{
    for (size_t i = found->count; i % LANES; i++) {
        found->logits[i] = -INFINITY;
    }
    const size_t vectors = (found->count + LANES - 1) / LANES;
    out->count = found->count;
    for (size_t i = 0; i < found->count; i++) {
        const float x = found->logits[i];
        const f32x4 own = {x, x, x, x};
        const i32x4 lane = {0, 1, 2, 3},
                    here = {(int)(i % LANES), (int)(i % LANES), (int)(i % LANES), (int)(i % LANES)};
        const f32x4 mixed = lanes_at(found->logits)[i / LANES];
        i32x4 before = -((mixed > own) | ((mixed == own) & (lane < here)));
        for (size_t v = 0; v < i / LANES; v++) {
            before -= lanes_at(found->logits)[v] >= own;
        }
        for (size_t v = i / LANES + 1; v < vectors; v++) {
            before -= lanes_at(found->logits)[v] > own;
        }
        const size_t place = (size_t)(before[0] + before[1] + before[2] + before[3]);
        out->logits[place] = x;
        out->index[place] = found->index[i];
    }
}

/* From the last place upwards: what is held goes before a candidate that is no larger. */
static void top_merge(struct top *top, struct candidates *found)
{
    struct candidates sorted;
    sort_candidates(found, &sorted);
    found->count = 0;
    size_t held = top->held, left = sorted.count, place = held + left;
    top->held = place < top->count ? place : top->count;
    while (left > 0) {
        const bool up = held > 0 && sorted.logits[left - 1] > top->logits[held - 1];
        const float logit = up ? top->logits[held - 1] : sorted.logits[left - 1];
        const size_t index = up ? top->index[held - 1] : sorted.index[left - 1];
        held -= up;
        left -= !up;
        if (--place < top->held) {
            top->logits[place] = logit;
            top->index[place] = index;
        }
    }
}

/* Something that the last of `count` logits will be over: of the maxima of so many groups at least
 * the least is. False: the list has begun, or there are too few groups, or NaN among the first. */
static bool find_bar(const struct top *top, size_t n, const float *x, float *out_bar)
{
    struct candidates maxima = {0}, sorted;
    const size_t groups = n / GROUP < ROOM ? n / GROUP : ROOM;
    if (top->held > 0 || groups < top->count) {
        return false;
    }
    for (size_t i = 0; i < top->count; i++) {
        if (isnan(x[i])) {
            return false;
        }
    }
    for (size_t g = 0; g < groups; g++) {
        const f32x4 *lanes = lanes_at(x + g * GROUP);
        f32x4 most = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, other = most;
        for (size_t v = 0; v < GROUP / LANES; v += 2) {
            most = larger(lanes[v], most);
            other = larger(lanes[v + 1], other);
        }
        most = larger(other, most);
        const float a = most[0] > most[1] ? most[0] : most[1],
                    b = most[2] > most[3] ? most[2] : most[3];
        maxima.logits[maxima.count++] = a > b ? a : b;
    }
    sort_candidates(&maxima, &sorted);
    *out_bar = nextafterf(sorted.logits[top->count - 1], -INFINITY);
    return sorted.logits[top->count - 1] > -INFINITY;
}

/* Columns first .. first + n, in ascending calls. A group without a logit over the last that is
 * held is passed by with one comparison per vector. */
static void top_scan(struct top *top, size_t first, size_t n, const float *x)
{
    struct candidates found;
    size_t i = 0;
    float least;
    if (!top->count) {
        return;
    }
    if (!find_bar(top, n, x, &least)) {
        for (; i < n && top->held < top->count; i++) {
            top_put(top, first + i, x[i]);
        }
        least = top->logits[top->held - 1];
    }
    found.count = 0;
    while (i < n) {
        i = find_group(i, n, x, least);
        if (n - i >= GROUP) {
            for (uint32_t over = group_over(x + i, least); over; over &= over - 1) {
                append(&found, first, i + (size_t)__builtin_ctz(over), x);
            }
            i += GROUP;
        } else {
            for (; i < n; i++) {
                if (x[i] > least) {
                    append(&found, first, i, x);
                }
            }
        }
        if (found.count > ROOM - GROUP || i == n) {
            top_merge(top, &found);
            least = top->held == top->count ? top->logits[top->held - 1] : least;
        }
    }
}

void iol_logits_top(size_t n, const float *logits, size_t count, size_t *out_index,
                    float *out_logits)
{
    assert(count <= n);
    top_scan(&(struct top){.count = count, .index = out_index, .logits = out_logits}, 0, n, logits);
}

/* --- fused -------------------------------------------------------------------------------------
 */

enum {
    STRIP = 3 * IOLK_CHUNK,   /* columns: whole panels and whole chunks */
    STRIP_LD = STRIP + 16,    /* no multiple of a page: rows do not fall into the same sets */
    STRIP_ROWS = 8 * IOLK_MR, /* of a strip: it stays in L2 or near it */
};
static_assert(STRIP % IOLK_NR == 0, "a strip ends at the border of a panel");

/* One row between strips, in the workspace: its maximum, then per chunk maximum and sum, rescaled
 * when the maximum of all is known. */
static size_t partial_floats(size_t n)
{
    return 1 + 2 * ((n + IOLK_CHUNK - 1) / IOLK_CHUNK);
}

size_t iol_unembed_workspace(size_t m, size_t n)
{
    return (m < STRIP_ROWS ? m : STRIP_ROWS) * STRIP_LD + m * partial_floats(n);
}

static void reduce_strip(const struct iolk_ops *ops, size_t first, size_t columns, const float *x,
                         float *partial, struct iol_unembed_row *row)
{
    struct top top = {.count = row->top_count,
                      .held = first < row->top_count ? first : row->top_count,
                      .index = row->out_top,
                      .logits = row->out_top_logits};
    top_scan(&top, first, columns, x);
    for (size_t i = 0; i < row->chosen_count; i++) {
        if (row->chosen[i] - first < columns) {
            row->out_chosen[i] = x[row->chosen[i] - first];
        }
    }
    for (size_t c = 0; c < columns; c += IOLK_CHUNK) {
        const size_t n = chunk_size(columns, c);
        float *chunk = partial + 1 + (first + c) / IOLK_CHUNK * 2;
        ops->sumexp_f32(n, x + c, &chunk[0], &chunk[1]);
        row->stats.sum += ops->sum_f64(n, x + c);
        if (chunk[0] > partial[0]) {
            partial[0] = chunk[0];
            row->stats.argmax = first + c + find_first(n, x + c, chunk[0]);
        }
    }
}

void iol_unembed_reduce(const struct iolk_ops *ops, size_t m, const float *x, size_t ld_x,
                        const struct iol_packed *w, struct iol_unembed_row *rows, float *workspace,
                        uint64_t *flops)
{
    const size_t n = w->n, panels = (n + IOLK_NR - 1) / IOLK_NR, partial = partial_floats(n);
    const size_t blocks = (m + STRIP_ROWS - 1) / STRIP_ROWS;
    float *strip = workspace + m * partial;
    assert(n > 0);
    for (size_t r = 0; r < m; r++) {
        assert(rows[r].top_count <= n);
        rows[r].stats = (struct iol_logit_stats){0};
        workspace[r * partial] = -INFINITY;
    }
    for (size_t first = 0; first < n; first += STRIP) {
        const size_t columns = n - first < STRIP ? n - first : STRIP, panel = first / IOLK_NR;
        const struct iol_gemm_part part = {.panel_begin = panel,
                                           .panel_end = first + STRIP < n ? panel + STRIP / IOLK_NR
                                                                          : panels};
        for (size_t b = 0; b < blocks; b++) {
            const size_t row = m * b / blocks, end = m * (b + 1) / blocks;
            iol_gemm_block(ops, end - row, x + row * ld_x, ld_x, w, &part, strip, STRIP_LD, flops);
            for (size_t r = row; r < end; r++) {
                reduce_strip(ops, first, columns, strip + (r - row) * STRIP_LD,
                             workspace + r * partial, &rows[r]);
            }
        }
    }
    for (size_t r = 0; r < m; r++) {
        const float max = workspace[r * partial], *chunk = workspace + r * partial + 1;
        double total = 0;
        for (size_t c = 0; c < n; c += IOLK_CHUNK, chunk += 2) {
            total += rescaled(chunk[0], chunk[1], max);
        }
        rows[r].stats.lse = (double)max + Sleef_logd1_u10purecfma(total);
    }
}
