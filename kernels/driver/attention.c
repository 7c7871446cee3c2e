#include "driver/attention.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "driver/gemm.h"

/* Rows of a task: a panel of keys in L1 serves all of them. Rows that go through the heads
 * together: keys and values of a head in L2 serve all of them, and their other heads lie in the
 * same pages. Where L2 does not hold those of one head, more rows at a time read those of all heads
 * from far away less often. */
enum { MOST_ROWS = 32, SPAN_ROWS = 256, FAR_SPAN_ROWS = 1024, LINE = 64 };
enum { MOST_COPIED = 128 /* elements of a row that may be copied */ };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rows of scores lie an odd number of cache lines apart: whatever their length, the rows of a tile
 * spread over the sets of a cache. */
static size_t score_stride(size_t keys)
{
    return ((keys + IOLK_LANES - 1) / IOLK_LANES | 1) * IOLK_LANES;
}

size_t iol_attention_workspace(size_t keys)
{
    return MOST_ROWS * (score_stride(keys) + 1 + 2 * MOST_COPIED);
}

static size_t most_keys(const struct iol_attention *call)
{
    return call->shared->count + (call->own ? call->first + call->rows : 1);
}

/* Whole tiles, as many as keep the scores within a quarter of L2. */
static size_t task_rows(const struct iol_attention *call)
{
    const size_t row_bytes = score_stride(most_keys(call)) * sizeof(float);
    const size_t rows = call->ops->l2_bytes / 4 / row_bytes / IOLK_MR * IOLK_MR;
    return rows < IOLK_MR ? IOLK_MR : smaller(rows, MOST_ROWS);
}

/* Query heads of a head of keys that go through them together, as the rows of a tile: all of them
 * where they are more than the branches, whose rows a tile of one head would have. */
static size_t heads_together(const struct iol_attention *call)
{
    const size_t group = call->heads->heads / call->heads->kv_heads;
    return !call->own && call->rows < group && group <= task_rows(call) ? group : 1;
}

size_t iol_attention_tasks(const struct iol_attention *call)
{
    const size_t rows = task_rows(call);
    return heads_together(call) > 1 ? call->heads->kv_heads * call->rows
                                    : call->heads->heads * ((call->rows + rows - 1) / rows);
}

uint64_t iol_attention_flops(const struct iol_attention *call)
{
    const uint64_t rows = call->rows, least = call->shared->count + (call->own ? call->first : 0);
    const uint64_t more = call->own && rows ? rows * (rows - 1) / 2 : 0;
    return 4 * call->heads->head_dim * call->heads->heads * (rows * (least + 1) + more);
}

/* Rows from `row` on of a head (of the first one and those after it, where heads go together: one
 * row of each). first: of those that read this head's keys and values one after the other. */
struct turn {
    size_t head, row;
    bool first;
};

/* Spans of rows, in each the heads, in each the blocks, the last rows (of the causal form the
 * longest) first. */
static struct turn turn_of(const struct iol_attention *call, size_t task)
{
    const size_t rows = task_rows(call), blocks = (call->rows + rows - 1) / rows;
    const size_t heads = call->heads->heads, together = heads_together(call),
                 head_bytes = 2 * sizeof(float) * call->heads->head_dim * most_keys(call),
                 span = (head_bytes > call->ops->l2_bytes ? FAR_SPAN_ROWS : SPAN_ROWS) / rows;
    if (together > 1) {
        return (struct turn){.head = task / call->rows * together,
                             .row = task % call->rows,
                             .first = task % call->rows == 0};
    }
    const size_t at = task / (heads * span) * span; /* blocks in the spans before */
    const size_t here = smaller(blocks - at, span), in_span = task - heads * at;
    return (struct turn){.head = in_span / here,
                         .row = (blocks - 1 - at - in_span % here) * rows,
                         .first = in_span % here == 0};
}

/* What only one task reads lies far apart and, where a call has many rows, in no cache: it is
 * fetched during the task before, a few rows at a time between its pieces of work. All at once
 * would not run beside that work: a processor has some dozens of lines on their way, and stops at
 * the next. Near ones are left alone: from cache the fetching costs 4 to 10 %. Where L1 is small
 * they are fetched into L2 (iol_fetch), which costs less, and from less far. */
struct fetch {
    const struct iol_attention *call;
    size_t head, row, end, piece; /* rows `row` .. end of the next task; rows of one piece */
    bool into_l2;
};

/* Pieces of a task of MOST_ROWS rows; the times L2 that a call's own rows take for them to be far.
 */
enum { FETCHES = 10, FAR_CALL = 8, FAR_CALL_INTO_L2 = 3 };

static struct fetch fetch_begin(const struct iol_attention *call, size_t task)
{
    struct fetch f = {.call = call, .into_l2 = iol_small_l1(call->ops)};
    const size_t far_call = (f.into_l2 ? FAR_CALL_INTO_L2 : FAR_CALL) * call->ops->l2_bytes;
    const size_t kv_rows = call->own ? 0 : 2 * call->rows * call->heads->kv_heads,
                 q_rows = (call->z == call->q ? 1 : 2) * call->rows * call->heads->heads;
    const size_t bytes = (kv_rows + q_rows) * call->heads->head_dim * sizeof(float);
    if (bytes > far_call && heads_together(call) == 1 && task + 1 < iol_attention_tasks(call)) {
        const struct turn next = turn_of(call, task + 1);
        const size_t rows = smaller(call->rows - next.row, task_rows(call));
        f.head = next.head;
        f.row = next.row;
        f.end = f.row + rows;
        f.piece = (rows + FETCHES - 1) / FETCHES;
    }
    return f;
}

/* Inlined always: gcc 12 finds a function that only prefetches pure, and drops the call. */
static inline __attribute__((always_inline)) void fetch_row(const float *p, size_t d, bool into_l2)
{
    const float *end = p + d;
    if (into_l2) {
        for (; p < end; p += LINE / sizeof *p) {
            __builtin_prefetch(p, 0, 2);
        }
        return;
    }
    for (; p < end; p += LINE / sizeof *p) {
        __builtin_prefetch(p, 0, 3);
    }
}

static __attribute__((noinline)) void fetch_rows(struct fetch *f)
{
    const struct iol_attention *call = f->call;
    const size_t d = call->heads->head_dim;
    const size_t own = f->head / (call->heads->heads / call->heads->kv_heads) * d;
    for (size_t end = smaller(f->end, f->row + f->piece); f->row < end; f->row++) {
        fetch_row(call->q + f->row * call->ld_q + f->head * d, d, f->into_l2);
        if (!call->own) {
            fetch_row(call->k + f->row * call->ld_kv + own, d, f->into_l2);
            fetch_row(call->v + f->row * call->ld_kv + own, d, f->into_l2);
        }
        if (call->z != call->q) {
            fetch_row(call->z + f->row * call->ld_z + f->head * d, d, f->into_l2);
        }
    }
}

/* Mostly there is nothing to fetch. */
static inline void fetch_piece(struct fetch *f)
{
    if (f->row < f->end) {
        fetch_rows(f);
    }
}

/* The rows of one task: of one head, or the heads of one row that go together. */
struct block {
    const struct iol_attention *call;
    size_t kv_head, row, rows; /* rows `row` .. of the call */
    bool first;                /* struct turn */
    const float *q;
    float *z, *scores, *rcp; /* rcp (rows): 1 / sum of a row's exponentials */
    size_t ld_q, ld_z, ld_s;
    const float *own_k, *own_v; /* branches: of the first row */
    size_t ld_own_k, ld_own_v;  /* 0: of all rows */
    struct fetch *fetch;        /* of the next task */
    bool far_keys; /* shared keys and values that L2 does not hold, for few rows, which fetch */
    struct iolk_fetch own_stream;
};

/* Few rows wait for the keys and values themselves, which then fetch their own streams. */
static bool keys_are_far(const struct iol_attention *call, size_t rows)
{
    const struct iol_heads *heads = call->heads;
    return !call->own && rows <= IOLK_MR &&
           2 * sizeof(float) * heads->kv_heads * heads->head_dim * call->shared->count >
               call->ops->l2_bytes;
}

/* Whether tiles are as wide as a panel. Narrower ones pass over a row of values, or of a panel of
 * keys, several times, a part of its columns each time. */
static bool wide_tiles(const struct iolk_ops *ops)
{
#if defined(__x86_64__)
    return ops->chosen[IOLK_OP_gemm_f32] == IOLK_ISA_AVX512;
#else
    (void)ops;
    return false;
#endif
}

/* Keys and values of so many keys that L2 does not hold them, for a tile of rows and more: what is
 * used next is fetched, the next panel of keys, the next slice of values, which then serves all
 * parts of its columns. By the first rows that read a head's: those after find in L2 what it holds,
 * and what it does not hold in part; fetching that as well pays where L2 is large, and where tiles
 * are narrow. */
enum { SLICE_KEYS = 256 };
static bool keys_pass_by(const struct block *b, const struct iol_keys *keys)
{
    const struct iol_attention *call = b->call;
    const size_t d = call->heads->head_dim, head = 2 * sizeof(float) * d * keys->count;
    if (keys->count <= SLICE_KEYS || keys->ld_v != d || !keys->v_head) {
        return false;
    }
    /* Own ones serve task after task, if half of L2 holds them beside the scores. */
    const size_t bytes = call->own ? 2 * head : call->heads->kv_heads * head;
    const bool narrow = !wide_tiles(call->ops);
    return bytes > call->ops->l2_bytes && b->rows >= IOLK_MR + (narrow ? 0U : 1U) &&
           (b->first || narrow || iol_large_l2(call->ops));
}

/* Values of a head. */
static const float *values_of(const struct block *b, const struct iol_keys *keys)
{
    const size_t d = b->call->heads->head_dim;
    return keys->v + b->kv_head * (keys->v_head ? keys->v_head : d);
}

/* Own keys that all rows of the tile at row r of the block see. */
static size_t common_keys(const struct block *b, size_t r)
{
    return b->call->first + b->row + r + 1;
}

/* Scores of a run of keys, the first of them in column `column` of the rows: chains over the head's
 * elements. Of the call's own keys only what a tile's last row sees. */
static void score_keys(const struct block *b, const struct iol_keys *keys, size_t column)
{
    const struct iol_attention *call = b->call;
    const bool own = keys == call->own;
    const size_t d = call->heads->head_dim;
    const float *kt = keys->kt + b->kv_head * d * keys->ld_kt;
    const size_t most = own ? common_keys(b, b->rows - 1) : keys->count;
    const bool pass_by = keys_pass_by(b, keys);
    for (size_t j = 0; j < most; j += IOLK_NR) {
        const size_t ld_panel = smaller(keys->ld_kt - j, IOLK_NR);
        const float *next = j + IOLK_NR < most ? kt + (j + IOLK_NR) * d : values_of(b, keys);
        struct iolk_fetch fetch = b->own_stream;
        if (pass_by) {
            fetch = iol_fetch(call->ops, b->rows, next, IOLK_NR * d * sizeof *next / LINE);
        }
        for (size_t r = 0, m; r < b->rows; r += m) {
            size_t seen = most;
            m = smaller(b->rows - r, IOLK_MR);
            if (own) {
                seen = common_keys(b, r + m - 1);
            }
            if (seen >= smaller(j + IOLK_NR, most)) {
                m = b->rows - r; /* the rows that follow see no less */
                seen = most;
            }
            if (seen > j) {
                call->ops->gemm_f32(m, smaller(seen - j, IOLK_NR), d, b->q + r * b->ld_q, b->ld_q,
                                    kt + j * d, ld_panel, NULL, 0,
                                    b->scores + r * b->ld_s + column + j, b->ld_s,
                                    b->far_keys || (pass_by && r == 0) ? &fetch : NULL);
            }
        }
    }
}

/* Columns of V that one product takes, at most `most`. Equal parts, if the registers are sixteen
 * wide: 64 = 32 + 32 (48 + 16 costs AVX-512 3 to 5 %, 32 + 32 costs AVX2 6 %). */
static size_t value_columns(const struct iolk_ops *ops, size_t d, size_t most)
{
    if (!wide_tiles(ops)) {
        return most;
    }
    const size_t parts = (d + most - 1) / most;
    return ((d + parts - 1) / parts + IOLK_LANES - 1) / IOLK_LANES * IOLK_LANES;
}

/* Slices of values that pass by: the exponentials from column `column` on times the first `count`
 * values, the next slice fetched meanwhile. from_z: chains continue from z. */
static void mix_slices(const struct block *b, const struct iol_keys *keys, size_t column,
                       size_t count, bool from_z)
{
    const struct iol_attention *call = b->call;
    const size_t d = call->heads->head_dim, part = value_columns(call->ops, d, IOLK_NR),
                 parts = (d + part - 1) / part;
    const float *v = values_of(b, keys);
    for (size_t j = 0, run; j < count; j += run, from_z = true) {
        run = smaller(count - j, SLICE_KEYS);
        const size_t lines = smaller(keys->count - j - run, SLICE_KEYS) * d * sizeof *v / LINE;
        for (size_t i = 0; i < parts; i++) {
            const size_t c = i * part, line = lines * i / parts;
            const struct iolk_fetch fetch =
                iol_fetch(call->ops, b->rows, v + (j + run) * d + line * (LINE / sizeof *v),
                          lines * (i + 1) / parts - line);
            call->ops->gemm_f32(b->rows, smaller(d - c, part), run, b->scores + column + j, b->ld_s,
                                v + j * d + c, d, from_z ? b->z + c : NULL, from_z ? b->ld_z : 0,
                                b->z + c, b->ld_z, &fetch);
            fetch_piece(b->fetch);
        }
    }
}

/* z begins with, or continues by, the exponentials times the values of the shared keys: chains over
 * keys. */
static void mix_shared(const struct block *b)
{
    const struct iol_attention *call = b->call;
    const struct iol_keys *keys = call->shared;
    const size_t d = call->heads->head_dim, most = b->rows == 1 ? IOLK_ROW_NR : IOLK_NR,
                 part = value_columns(call->ops, d, most);
    if (keys_pass_by(b, keys)) {
        mix_slices(b, keys, 0, keys->count, false);
        return;
    }
    const float *v = keys->count ? values_of(b, keys) : b->q;
    for (size_t c = 0; c < d; c += part) {
        call->ops->gemm_f32(b->rows, smaller(d - c, part), keys->count, b->scores, b->ld_s, v + c,
                            keys->ld_v, NULL, 0, b->z + c, b->ld_z,
                            b->far_keys ? &b->own_stream : NULL);
        fetch_piece(b->fetch);
    }
}

/* The same of the call's own keys, of which a row sees one more than the row before, and the
 * division. */
static void mix_own(const struct block *b)
{
    const struct iol_attention *call = b->call;
    const struct iol_keys *keys = call->own;
    const size_t d = call->heads->head_dim, part = value_columns(call->ops, d, IOLK_NR),
                 common = common_keys(b, 0),
                 sliced = keys_pass_by(b, keys) ? (common - 1) / SLICE_KEYS * SLICE_KEYS : 0;
    const size_t column = call->shared->count + sliced;
    const float *v = values_of(b, keys) + sliced * keys->ld_v;
    mix_slices(b, keys, call->shared->count, sliced, call->shared->count > 0);
    for (size_t c = 0; c < d; c += part) {
        for (size_t r = 0; r < b->rows; r += IOLK_MR) {
            call->ops->mix_f32(smaller(b->rows - r, IOLK_MR), smaller(d - c, part),
                               common_keys(b, r) - sliced, b->scores + r * b->ld_s + column,
                               b->ld_s, v + c, keys->ld_v, b->rcp + r, column > 0,
                               b->z + r * b->ld_z + c, b->ld_z);
            fetch_piece(b->fetch);
        }
    }
}

/* Each row's own key, and the division. */
static void finish_branches(const struct block *b)
{
    const struct iol_attention *call = b->call;
    const size_t d = call->heads->head_dim;
    for (size_t r = 0; r < b->rows; r += IOLK_MR) {
        call->ops->tail_f32(smaller(b->rows - r, IOLK_MR), d,
                            b->scores + r * b->ld_s + call->shared->count, b->ld_s,
                            b->own_v + r * b->ld_own_v, b->ld_own_v, b->rcp + r, b->z + r * b->ld_z,
                            b->ld_z);
        fetch_piece(b->fetch);
    }
}

/* Where the rows of one task lie. */
struct place {
    const float *q, *own_k;
    float *z;
    size_t ld_q, ld_own_k, ld_z;
};

/* Branches' own keys are multiplied sixteen rows of q and of k at a time, a few elements of each in
 * turn. Rows a large power of two of bytes apart lie in the same sets of L1, and are read from L2
 * each time where they are more than it has ways: they are copied side by side. So is z, which
 * would be written, read and written again there, unless it is far away: then the copy would wait
 * for it. */
enum { WAY = 4096, ROWS_IN_TURN = 16 };

static bool share_sets(const struct iolk_ops *ops, size_t rows, size_t ld)
{
    const size_t bytes = ld * sizeof(float) % WAY, apart = bytes ? bytes & -bytes : WAY;
    return ld && rows * apart / WAY > ops->l1_bytes / WAY;
}

static void copy_rows(size_t rows, size_t n, const float *from, size_t ld_from, float *to,
                      size_t ld_to)
{
    for (size_t r = 0; r < rows; r++) {
        memcpy(to + r * ld_to, from + r * ld_from, n * sizeof(float));
    }
}

/* copies: room for MOST_ROWS rows of q, and as many of k. */
static void copy_sharing_rows(const struct iol_attention *call, size_t rows, bool far,
                              float *copies, struct place *at)
{
    const size_t d = call->heads->head_dim, in_turn = smaller(rows, ROWS_IN_TURN);
    if (share_sets(call->ops, in_turn, at->ld_own_k)) {
        float *const k = copies + MOST_ROWS * MOST_COPIED;
        copy_rows(rows, d, at->own_k, at->ld_own_k, k, d);
        at->own_k = k;
        at->ld_own_k = d;
    }
    if (share_sets(call->ops, 2 * in_turn, at->ld_q)) {
        copy_rows(rows, d, at->q, at->ld_q, copies, d);
        at->q = copies;
        at->ld_q = d;
        at->z = far ? at->z : copies;
        at->ld_z = far ? at->ld_z : d;
    }
}

void iol_attention_task(const struct iol_attention *call, size_t task, float *workspace)
{
    const struct iolk_ops *ops = call->ops;
    const struct iol_heads *heads = call->heads;
    const size_t d = heads->head_dim, before = call->shared->count, most = task_rows(call),
                 together = heads_together(call);
    const struct turn turn = turn_of(call, task);
    const size_t head = turn.head, row = turn.row;
    struct fetch fetch = fetch_begin(call, task);
    const size_t rows = together > 1 ? together : smaller(call->rows - row, most),
                 kv_head = head / (heads->heads / heads->kv_heads),
                 own_at = call->own ? 0 : row * call->ld_kv + kv_head * d;
    const struct place in_place = {.q = call->q + row * call->ld_q + head * d,
                                   .own_k = call->own ? NULL : call->k + own_at,
                                   .z = call->z + row * call->ld_z + head * d,
                                   .ld_q = together > 1 ? d : call->ld_q,
                                   .ld_own_k = together > 1 ? 0 : call->ld_kv,
                                   .ld_z = together > 1 ? d : call->ld_z};
    struct place at = in_place;
    float *const rcp = workspace + most * score_stride(most_keys(call));
    if (!call->own && rows > IOLK_MR / 2 && d <= MOST_COPIED) { /* fewer share no set of 8 ways */
        copy_sharing_rows(call, rows, fetch.row < fetch.end, rcp + MOST_ROWS, &at);
    }
    const struct block b = {.call = call,
                            .kv_head = kv_head,
                            .row = row,
                            .rows = rows,
                            .first = turn.first,
                            .q = at.q,
                            .z = at.z,
                            .scores = workspace,
                            .rcp = rcp,
                            .ld_q = at.ld_q,
                            .ld_z = at.ld_z,
                            .ld_s = score_stride(most_keys(call)),
                            .own_k = at.own_k,
                            .own_v = call->own ? NULL : call->v + own_at,
                            .ld_own_k = at.ld_own_k,
                            .ld_own_v = together > 1 ? 0 : call->ld_kv,
                            .fetch = &fetch,
                            .far_keys = keys_are_far(call, rows),
                            .own_stream = iol_fetch(call->ops, rows, NULL, 0)};
    assert(head < heads->heads);
    assert(!call->own || call->own->count >= call->first + call->rows);
    score_keys(&b, call->shared, 0);
    if (call->own) {
        score_keys(&b, call->own, before);
    } else {
        fetch_piece(&fetch);
        ops->chains_f32(b.rows, d, b.q, b.ld_q, b.own_k, b.ld_own_k, b.rcp);
        for (size_t r = 0; r < b.rows; r++) {
            b.scores[r * b.ld_s + before] = b.rcp[r];
        }
    }
    for (size_t r = 0; r < b.rows; r += IOLK_MR) {
        ops->softmax_f32(smaller(b.rows - r, IOLK_MR),
                         before + (call->own ? common_keys(&b, r) : 1), call->own != NULL,
                         heads->scale, b.scores + r * b.ld_s, b.ld_s, b.rcp + r);
        fetch_piece(&fetch);
    }
    if (before || !call->own) {
        mix_shared(&b);
    }
    if (call->own) {
        mix_own(&b);
    } else {
        finish_branches(&b);
    }
    if (b.z != in_place.z) {
        copy_rows(b.rows, d, b.z, b.ld_z, in_place.z, in_place.ld_z);
    }
}

static void run_here(const struct iol_attention *call, float *workspace, uint64_t *flops)
{
    const size_t tasks = iol_attention_tasks(call);
    for (size_t task = 0; task < tasks; task++) {
        iol_attention_task(call, task, workspace);
    }
    *flops += iol_attention_flops(call);
}

void iol_attention_causal(const struct iolk_ops *ops, const struct iol_heads *heads,
                          const struct iol_keys *shared, const struct iol_keys *own, size_t first,
                          size_t rows, float *q, size_t ld_q, float *workspace, uint64_t *flops)
{
    const struct iol_attention call = {.ops = ops,
                                       .heads = heads,
                                       .shared = shared,
                                       .own = own,
                                       .first = first,
                                       .rows = rows,
                                       .q = q,
                                       .ld_q = ld_q,
                                       .z = q,
                                       .ld_z = ld_q};
    run_here(&call, workspace, flops);
}

void iol_attention_branches(const struct iolk_ops *ops, const struct iol_heads *heads,
                            const struct iol_keys *shared, const float *k, const float *v,
                            size_t ld_kv, size_t rows, float *q, size_t ld_q, float *workspace,
                            uint64_t *flops)
{
    const struct iol_attention call = {.ops = ops,
                                       .heads = heads,
                                       .shared = shared,
                                       .k = k,
                                       .v = v,
                                       .ld_kv = ld_kv,
                                       .rows = rows,
                                       .q = q,
                                       .ld_q = ld_q,
                                       .z = q,
                                       .ld_z = ld_q};
    run_here(&call, workspace, flops);
}

void iol_keys_transpose(const struct iol_heads *heads, size_t rows, const float *k, size_t ld_k,
                        size_t position, float *kt, size_t ld_kt)
{
    const size_t d = heads->head_dim;
    for (size_t t = 0, run; t < rows; t += run) {
        const size_t column = (position + t) % IOLK_NR, panel = position + t - column;
        const size_t width = smaller(ld_kt - panel, IOLK_NR);
        run = smaller(smaller(rows - t, width - column), IOLK_LANES); /* whose lines L1 holds */
        for (size_t g = 0; g < heads->kv_heads; g++) {
            const float *from = k + t * ld_k + g * d;
            float *to = kt + g * d * ld_kt + panel * d + column;
            for (size_t i = 0; i < d; i++, to += width) {
                for (size_t r = 0; r < run; r++) {
                    to[r] = from[r * ld_k + i];
                }
            }
        }
    }
}
