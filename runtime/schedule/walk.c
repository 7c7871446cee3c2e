#include "schedule/walk.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- sizes --- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t clamp(size_t value, size_t low, size_t high)
{
    return value < low ? low : value > high ? high : value;
}

_Static_assert(IOL_K_WALKED % IOLK_NR == 0, "a slice of the hidden layer is whole panels");

void iol_geometry_fill(const struct iol_ctx *ctx, const struct iol_model *model, size_t max_length,
                       struct iol_geometry *out_geometry)
{
    const struct iol_arch *a = &model->arch;
    struct iol_geometry g = {.d = a->d_model,
                             .q_width = a->heads * a->head_dim,
                             .kv_width = a->kv_heads * a->head_dim,
                             .max_length = max_length};
    /* The hidden layer in slices as long as the k that a GEMM walks at a time: each slice reads and
     * writes the output once more. Rows of a block: this width of them takes three quarters of L2.
     */
    const size_t padded = (a->d_ff + IOLK_NR - 1) / IOLK_NR * IOLK_NR;
    g.hidden = smaller(IOL_K_WALKED, padded);
    g.block_rows = clamp(
        ctx->ops.l2_bytes * 3 / 4 / (sizeof(float) * IOL_K_WALKED) / IOLK_MR * IOLK_MR, 32, 256);
    g.max_rows = g.block_rows > max_length ? g.block_rows : max_length;
    *out_geometry = g;
}

/* Every piece of a worker's arena, once: take is NULL to count bytes only. */
static size_t worker_pieces(const struct iol_model *model, const struct iol_geometry *g,
                            size_t logit_rows, struct iol_worker *take)
{
    struct iol_worker sink;
    struct iol_worker *w = take ? take : &sink;
    struct {
        float **piece;
        size_t count, width;
    } pieces[] = {
        {&w->normed, g->block_rows, g->d},
        {&w->y, g->block_rows, g->d},
        {&w->kv, g->max_rows, 2 * g->kv_width},
        {&w->q, g->max_rows, g->q_width},
        {&w->hidden, 2 * g->block_rows, g->hidden},
        {&w->kt, g->kv_width, g->max_length},
        {&w->scores, 1, iol_attention_workspace(g->max_length)},
        {&w->logits, logit_rows, model->arch.vocab},
    };
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        bytes += iol_arena_need(pieces[i].count * pieces[i].width, sizeof(float));
        if (take) {
            *pieces[i].piece =
                iol_arena_take(&w->arena, pieces[i].count * pieces[i].width, sizeof(float));
        }
    }
    return bytes;
}

size_t iol_worker_bytes(const struct iol_model *model, const struct iol_geometry *geometry,
                        size_t logit_rows)
{
    return worker_pieces(model, geometry, logit_rows, NULL);
}

enum iol_status iol_worker_open(const struct iol_ctx *ctx, const struct iol_model *model,
                                const struct iol_geometry *geometry, size_t logit_rows,
                                const float *cos, const float *sin, struct iol_worker *out_worker)
{
    *out_worker = (struct iol_worker){.ctx = ctx,
                                      .model = model,
                                      .geometry = geometry,
                                      .cos = cos,
                                      .sin = sin,
                                      .logit_rows = logit_rows};
    enum iol_status status =
        iol_arena_open(iol_worker_bytes(model, geometry, logit_rows), &out_worker->arena);
    if (status == IOL_OK) {
        worker_pieces(model, geometry, logit_rows, out_worker);
    }
    return status;
}

void iol_worker_close(struct iol_worker *worker)
{
    iol_arena_close(&worker->arena);
}

/* --- rows --------------------------------------------------------------------------------------
 */

void iol_norm_row(const struct iolk_ops *ops, const struct iol_norm *norm, size_t n, const float *x,
                  float *y)
{
    if (norm->kind == IOL_NORM_RMS) {
        ops->rmsnorm_f32(1, n, x, n, norm->gain, norm->eps, y, n);
    } else {
        ops->layernorm_f32(1, n, x, n, norm->gain, norm->bias, norm->eps, y, n);
    }
}

static void norm_rows(struct iol_worker *w, const struct iol_norm *norm, const float *x,
                      size_t rows)
{
    const struct iolk_ops *ops = &w->ctx->ops;
    const size_t d = w->geometry->d;
    if (norm->kind == IOL_NORM_RMS) {
        ops->rmsnorm_f32(rows, d, x, d, norm->gain, norm->eps, w->normed, d);
    } else {
        ops->layernorm_f32(rows, d, x, d, norm->gain, norm->bias, norm->eps, w->normed, d);
    }
}

static size_t live_rows(const struct iol_block *block, const struct iol_stream *stream)
{
    return block->narrow ? 1 : iol_stream_rows(stream);
}

static size_t final_row(const struct iol_block *block, const struct iol_stream *stream)
{
    return stream->row + live_rows(block, stream) - 1;
}

void iol_block_init(const struct iol_model *model, struct iol_block *block,
                    struct iol_stream *streams, size_t count)
{
    assert(count > 0);
    *block =
        (struct iol_block){.streams = streams,
                           .count = count,
                           .start = streams->shape.start,
                           .end = streams->shape.end,
                           .last_attention = iol_stream_last_attention(model, &streams->shape)};
    block->narrow = block->last_attention == SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        assert(streams[i].shape.start == block->start && streams[i].shape.end == block->end);
        streams[i].row = block->rows;
        block->rows += live_rows(block, &streams[i]);
    }
}

/* Only final rows are read from here on: move them to the front. */
static void narrow_block(struct iol_worker *w, struct iol_block *block)
{
    const size_t d = w->geometry->d;
    for (size_t i = 0; i < block->count; i++) {
        struct iol_stream *s = &block->streams[i];
        size_t from = final_row(block, s);
        if (from != i) {
            memmove(block->x + i * d, block->x + from * d, d * sizeof(float));
        }
        s->row = i;
    }
    block->narrow = true;
    block->rows = block->count;
}

/* The residual entering step `step`, where a capture wants it. */
static void keep_resid(struct iol_worker *w, struct iol_block *block, size_t step)
{
    const size_t d = w->geometry->d;
    for (size_t i = 0; i < block->count; i++) {
        struct iol_stream *s = &block->streams[i];
        if (s->out_resid) {
            memcpy(s->out_resid + step * d, block->x + final_row(block, s) * d, d * sizeof(float));
        }
        if (s->out_resid_rows && !block->narrow) {
            memcpy(s->out_resid_rows + (step * s->kv_length + s->shape.first) * d,
                   block->x + s->row * d, iol_stream_rows(s) * d * sizeof(float));
        }
    }
}

/* --- the fork ------------------------------------------------------------------------------------
 */

static void embed_stream(struct iol_worker *w, struct iol_block *block, const struct iol_stream *s)
{
    const size_t d = w->geometry->d;
    const struct iol_model *m = w->model;
    for (size_t r = 0; r < iol_stream_rows(s); r++) {
        size_t position = s->shape.first + r;
        float *x = block->x + (s->row + r) * d;
        iol_model_embed(m, (size_t)s->tokens[position], x);
        if (m->position_embedding) {
            w->ctx->ops.add_f32(d, x, m->position_embedding + position * d, x);
        }
    }
}

/* The edited sublayer output of `count` head branches from streams[first]: z with one head
 * replaced, projected again. */
static void project_heads(struct iol_worker *w, struct iol_block *block, size_t first, size_t count)
{
    const struct iol_geometry *g = w->geometry;
    const struct iol_step *step = &w->model->steps[block->start - 1];
    const size_t head_dim = w->model->arch.head_dim;
    for (size_t i = 0; i < count; i++) {
        const struct iol_stream *s = &block->streams[first + i];
        float *z = w->q + i * g->q_width;
        memcpy(z, s->fork_z + step->layer * g->q_width, g->q_width * sizeof(float));
        memcpy(z + (size_t)s->edit_head * head_dim, s->edit_value, head_dim * sizeof(float));
    }
    iol_gemm_block(&w->ctx->ops, count, w->q, g->q_width, &step->o, NULL, w->y, g->d,
                   &block->flops);
}

void iol_block_fork(struct iol_worker *w, struct iol_block *block)
{
    const size_t d = w->geometry->d;
    block->forked = true;
    if (block->start == 0) {
        for (size_t i = 0; i < block->count; i++) {
            embed_stream(w, block, &block->streams[i]);
        }
        keep_resid(w, block, 0);
        return;
    }
    for (size_t i = 0; i < block->count;) {
        size_t heads = 0; /* head branches go through the projection together */
        while (i + heads < block->count && heads < w->geometry->block_rows &&
               block->streams[i + heads].edit_head != IOL_WHOLE) {
            heads++;
        }
        if (heads) {
            project_heads(w, block, i, heads);
        }
        for (size_t j = 0; j < (heads ? heads : 1); j++, i++) {
            const struct iol_stream *s = &block->streams[i];
            const float *y = heads ? w->y + j * d : s->edit_value;
            size_t rows = live_rows(block, s);
            if (rows > 1) {
                memcpy(block->x + s->row * d,
                       s->fork_resid_rows + block->start * s->shape.length * d,
                       (rows - 1) * d * sizeof(float));
            }
            w->ctx->ops.add_f32(d, s->fork_resid + (block->start - 1) * d, y,
                                block->x + (s->row + rows - 1) * d);
        }
    }
}

/* --- one step --- */

/* Rows that pass a sublayer at once: equal slices of the block, whole tiles, at most block_rows. */
static size_t slice_rows(const struct iol_geometry *g, const struct iol_block *block)
{
    const size_t slices = (block->rows + g->block_rows - 1) / g->block_rows,
                 each = slices ? (block->rows + slices - 1) / slices : IOLK_MR;
    return smaller((each + IOLK_MR - 1) / IOLK_MR * IOLK_MR, g->block_rows);
}

/* Sublayer outputs y of rows row0 .. row0 + rows: edit, observe, add to the residual. */
static void finish_rows(struct iol_worker *w, struct iol_block *block, size_t step, size_t row0,
                        size_t rows)
{
    const size_t d = w->geometry->d;
    const struct iolk_ops *ops = &w->ctx->ops;
    for (size_t i = 0; i < block->count; i++) {
        struct iol_stream *s = &block->streams[i];
        size_t row = final_row(block, s);
        if (row < row0 || row >= row0 + rows) {
            continue;
        }
        float *y = w->y + (row - row0) * d;
        if (s->edit_step == step && s->edit_head == IOL_WHOLE) {
            memcpy(y, s->edit_value, d * sizeof(float));
        }
        if (s->out_y) {
            memcpy(s->out_y + step * d, y, d * sizeof(float));
        }
        if (s->out_dots && (s->edit_step == SIZE_MAX || step > s->edit_step)) {
            s->out_dots[step] = ops->dot_f64(d, y, s->reader);
        }
    }
    ops->add_f32(rows * d, block->x + row0 * d, w->y, block->x + row0 * d);
}

static void rope_rows(struct iol_worker *w, const struct iol_block *block, float *rows, size_t ld,
                      size_t heads, size_t row0, size_t count)
{
    if (!w->cos) {
        return;
    }
    const size_t head_dim = w->model->arch.head_dim, half = head_dim / 2;
    for (size_t i = 0; i < block->count; i++) {
        const struct iol_stream *s = &block->streams[i];
        size_t live = live_rows(block, s),
               first = s->shape.length - live; /* position of its first live row */
        size_t begin = s->row > row0 ? s->row : row0, end = smaller(s->row + live, row0 + count);
        if (begin < end) {
            size_t position = first + (begin - s->row);
            w->ctx->ops.rope_f32(end - begin, heads, half, rows + (begin - row0) * ld, ld,
                                 w->cos + position * half, w->sin + position * half, half);
        }
    }
}

/* Keys and values of all live rows into w->kv, and into the captures that keep them. */
static void keys_and_values(struct iol_worker *w, struct iol_block *block,
                            const struct iol_step *step, size_t row0, size_t rows)
{
    const struct iol_geometry *g = w->geometry;
    float *kv = w->kv + row0 * 2 * g->kv_width;
    iol_gemm_block(&w->ctx->ops, rows, w->normed, g->d, &step->kv, NULL, kv, 2 * g->kv_width,
                   &block->flops);
    rope_rows(w, block, kv, 2 * g->kv_width, w->model->arch.kv_heads, row0, rows);
}

static void queries(struct iol_worker *w, struct iol_block *block, const struct iol_step *step,
                    size_t row0, size_t rows)
{
    const struct iol_geometry *g = w->geometry;
    float *q = w->q + row0 * g->q_width;
    iol_gemm_block(&w->ctx->ops, rows, w->normed, g->d, &step->q, NULL, q, g->q_width,
                   &block->flops);
    rope_rows(w, block, q, g->q_width, w->model->arch.heads, row0, rows);
}

/* The first `count` keys of a layer where a capture keeps them: K in panels, then V, head after
 * head, so that a head's values are one stream. */
static struct iol_keys kept_keys(const struct iol_worker *w, const struct iol_step *step,
                                 const struct iol_stream *s, const float *kv, size_t count)
{
    const size_t head_dim = w->model->arch.head_dim;
    if (!kv) {
        return (struct iol_keys){0};
    }
    kv += step->layer * s->kv_floats;
    return (struct iol_keys){.kt = kv,
                             .ld_kt = s->kv_length,
                             .v = kv + w->geometry->kv_width * s->kv_length,
                             .ld_v = head_dim,
                             .v_head = s->kv_length * head_dim,
                             .count = count};
}

static void keep_keys(struct iol_worker *w, const struct iol_step *step,
                      const struct iol_heads *heads, const struct iol_stream *s, size_t kv_row0)
{
    const size_t width = w->geometry->kv_width, ld = 2 * width, d = heads->head_dim;
    const float *rows = w->kv + kv_row0 * ld;
    float *kt = s->own_kv + step->layer * s->kv_floats, *v = kt + width * s->kv_length;
    iol_keys_transpose(heads, iol_stream_rows(s), rows, ld, s->shape.first, kt, s->kv_length);
    for (size_t r = 0; r < iol_stream_rows(s); r++) {
        const size_t position = s->shape.first + r;
        for (size_t g = 0; g < heads->kv_heads; g++) {
            memcpy(v + (g * s->kv_length + position) * d, rows + r * ld + width + g * d,
                   d * sizeof(float));
        }
    }
}

/* Attention of a stream that keeps its keys: all of them are where they are kept. */
static void attend_kept(struct iol_worker *w, struct iol_block *block, const struct iol_step *step,
                        const struct iol_heads *heads, const struct iol_stream *s)
{
    const struct iol_geometry *g = w->geometry;
    const struct iol_keys none = {0}, keys = kept_keys(w, step, s, s->own_kv, s->shape.length);
    const size_t live = live_rows(block, s);
    iol_attention_causal(&w->ctx->ops, heads, &none, &keys, s->shape.length - live, live,
                         w->q + s->row * g->q_width, g->q_width, w->scores, &block->flops);
}

/* Attention of a branch with rows of its own before the final one. kv_row0: its first row in w->kv.
 */
static void attend_stream(struct iol_worker *w, struct iol_block *block,
                          const struct iol_step *step, const struct iol_heads *heads,
                          const struct iol_stream *s, size_t kv_row0)
{
    const struct iol_geometry *g = w->geometry;
    const size_t own = iol_stream_rows(s), ld = 2 * g->kv_width;
    const float *rows = w->kv + kv_row0 * ld;
    struct iol_keys mine = {
        .kt = w->kt, .ld_kt = own, .v = rows + g->kv_width, .ld_v = ld, .count = own};
    iol_keys_transpose(heads, own, rows, ld, 0, w->kt, own);
    const struct iol_keys shared =
        kept_keys(w, step, s, s->shape.first ? s->clean_kv : NULL, s->shape.first);
    size_t live = live_rows(block, s);
    iol_attention_causal(&w->ctx->ops, heads, &shared, &mine, own - live, live,
                         w->q + s->row * g->q_width, g->q_width, w->scores, &block->flops);
}

/* Attention of one-row streams streams[i ..) of the same prompt against its clean keys; returns how
 * many. */
static size_t attend_branches(struct iol_worker *w, struct iol_block *block,
                              const struct iol_step *step, const struct iol_heads *heads, size_t i,
                              size_t kv_row0)
{
    const struct iol_geometry *g = w->geometry;
    const struct iol_stream *s = &block->streams[i];
    const size_t ld = 2 * g->kv_width;
    size_t count = 1;
    while (i + count < block->count && block->streams[i + count].clean_kv == s->clean_kv &&
           s->clean_kv && iol_stream_rows(&block->streams[i + count]) == 1 &&
           !block->streams[i + count].own_kv) {
        count++;
    }
    const struct iol_keys shared = kept_keys(w, step, s, s->clean_kv, s->shape.first);
    const float *rows = w->kv + kv_row0 * ld;
    iol_attention_branches(&w->ctx->ops, heads, &shared, rows, rows + g->kv_width, ld, count,
                           w->q + s->row * g->q_width, g->q_width, w->scores, &block->flops);
    return count;
}

static struct iol_heads heads_of(const struct iol_worker *w, const struct iol_step *step)
{
    const struct iol_arch *a = &w->model->arch;
    return (struct iol_heads){
        .heads = a->heads, .kv_heads = a->kv_heads, .head_dim = a->head_dim, .scale = step->scale};
}

static void attend(struct iol_worker *w, struct iol_block *block, const struct iol_step *step)
{
    const struct iol_geometry *g = w->geometry;
    const struct iol_arch *a = &w->model->arch;
    const struct iol_heads heads = heads_of(w, step);
    for (size_t i = 0, kv_row = 0; i < block->count;) {
        struct iol_stream *s = &block->streams[i];
        if (s->own_kv) {
            if (!block->split) {
                keep_keys(w, step, &heads, s, kv_row);
            }
            attend_kept(w, block, step, &heads, s);
            kv_row += iol_stream_rows(s);
            i++;
        } else if (iol_stream_rows(s) > 1) {
            attend_stream(w, block, step, &heads, s, kv_row);
            kv_row += iol_stream_rows(s);
            i++;
        } else {
            size_t count = attend_branches(w, block, step, &heads, i, kv_row);
            kv_row += count;
            i += count;
        }
    }
    for (size_t i = 0; i < block->count; i++) {
        struct iol_stream *s = &block->streams[i];
        float *z = w->q + final_row(block, s) * g->q_width;
        if (s->edit_step != SIZE_MAX && s->edit_head != IOL_WHOLE &&
            &w->model->steps[s->edit_step] == step) {
            memcpy(z + (size_t)s->edit_head * a->head_dim, s->edit_value,
                   a->head_dim * sizeof(float));
        }
        if (s->out_z) {
            memcpy(s->out_z + step->layer * g->q_width, z, g->q_width * sizeof(float));
        }
    }
}

void iol_block_keys(struct iol_worker *w, struct iol_block *block, size_t index)
{
    const struct iol_geometry *g = w->geometry;
    const struct iol_step *step = &w->model->steps[index];
    const struct iol_heads heads = heads_of(w, step);
    const size_t slice = slice_rows(g, block);
    assert(block->split && step->kind == IOL_STEP_ATTENTION);
    for (size_t r = 0; r < block->rows; r += slice) {
        size_t rows = smaller(block->rows - r, slice);
        norm_rows(w, &step->norm, block->x + r * g->d, rows);
        keys_and_values(w, block, step, r, rows);
    }
    keep_keys(w, step, &heads, block->streams, 0);
}

static void attention_step(struct iol_worker *w, struct iol_block *block, size_t index)
{
    const struct iol_geometry *g = w->geometry;
    const struct iol_step *step = &w->model->steps[index];
    const bool narrows = index == block->last_attention;
    size_t slice = slice_rows(g, block);
    for (size_t r = 0; r < block->rows && !(narrows && block->split); r += slice) {
        size_t rows = smaller(block->rows - r, slice);
        norm_rows(w, &step->norm, block->x + r * g->d, rows);
        if (!block->split) {
            keys_and_values(w, block, step, r, rows);
        }
        if (!narrows) {
            queries(w, block, step, r, rows);
        }
    }
    if (narrows) {
        narrow_block(w, block);
        slice = slice_rows(g, block);
        for (size_t r = 0; r < block->rows; r += slice) {
            size_t rows = smaller(block->rows - r, slice);
            norm_rows(w, &step->norm, block->x + r * g->d, rows);
            queries(w, block, step, r, rows);
        }
    }
    attend(w, block, step);
    if (block->streams->shape.until_z && index + 1 == block->end) {
        return;
    }
    for (size_t r = 0; r < block->rows; r += slice) {
        size_t rows = smaller(block->rows - r, slice);
        iol_gemm_block(&w->ctx->ops, rows, w->q + r * g->q_width, g->q_width, &step->o, NULL, w->y,
                       g->d, &block->flops);
        finish_rows(w, block, index, r, rows);
    }
}

/* hidden = activation(normed * up^T) for hidden columns of panels p0 .. p1. */
static void hidden_slice(struct iol_worker *w, const struct iol_step *step, size_t rows, size_t p0,
                         size_t p1, size_t columns, uint64_t *flops)
{
    const struct iol_geometry *g = w->geometry;
    const struct iolk_ops *ops = &w->ctx->ops;
    const struct iol_gemm_part part = {.panel_begin = p0, .panel_end = p1};
    float *up = w->hidden, *gate = w->hidden + g->block_rows * g->hidden;
    iol_gemm_block(ops, rows, w->normed, g->d, &step->up, &part, up, g->hidden, flops);
    if (w->model->arch.gated) {
        iol_gemm_block(ops, rows, w->normed, g->d, &step->gate, &part, gate, g->hidden, flops);
    }
    for (size_t r = 0; r < rows; r++) {
        float *h = up + r * g->hidden;
        switch (w->model->arch.activation) {
        case IOL_ACT_SILU:
            ops->silu_mul_f32(columns, gate + r * g->hidden, h, h);
            break;
        case IOL_ACT_GELU_TANH:
            ops->gelu_tanh_f32(columns, h, h);
            break;
        case IOL_ACT_GELU_ERF:
            ops->gelu_erf_f32(columns, h, h);
            break;
        }
    }
}

static void mlp_step(struct iol_worker *w, struct iol_block *block, size_t index)
{
    const struct iol_geometry *g = w->geometry;
    const struct iol_step *step = &w->model->steps[index];
    const size_t d_ff = step->up.n, panels = (d_ff + IOLK_NR - 1) / IOLK_NR,
                 slice = g->hidden / IOLK_NR;
    const size_t slices = (panels + slice - 1) / slice;
    const size_t row_slice = slice_rows(g, block);
    for (size_t r = 0; r < block->rows; r += row_slice) {
        size_t rows = smaller(block->rows - r, row_slice);
        norm_rows(w, &step->norm, block->x + r * g->d, rows);
        for (size_t i = 0; i < slices; i++) {
            size_t p0 = panels * i / slices, p1 = panels * (i + 1) / slices;
            size_t k0 = p0 * IOLK_NR, k1 = smaller(p1 * IOLK_NR, d_ff);
            hidden_slice(w, step, rows, p0, p1, k1 - k0, &block->flops);
            const struct iol_gemm_part part = {.k_begin = k0, .k_end = k1, .accumulate = i > 0};
            iol_gemm_block(&w->ctx->ops, rows, w->hidden, g->hidden, &step->down, &part, w->y, g->d,
                           &block->flops);
        }
        finish_rows(w, block, index, r, rows);
    }
}

void iol_block_step(struct iol_worker *w, struct iol_block *block, size_t index)
{
    assert(block->forked && index >= block->start && index < block->end);
    if (w->model->steps[index].kind == IOL_STEP_ATTENTION) {
        attention_step(w, block, index);
    } else {
        mlp_step(w, block, index);
    }
    keep_resid(w, block, index + 1);
}
