/* The walk: streams pass the layer steps in order, in blocks of rows that stay near one core.
 *
 * A stream is a run of positions of one prompt (clean) or of one branch. A block is a set of
 * streams that start and end at the same steps; blocks never depend on each other, so the tasks
 * (step, block) are handed out dynamically in step-major order: weights of a step are read by all
 * blocks at about the same time, and a task waits only for its own block's previous step. */
#ifndef IOL_WALK_H
#define IOL_WALK_H

#include <stdatomic.h>

#include "driver/attention.h"
#include "driver/team.h"
#include "model/model.h"
#include "schedule/cost.h"

enum { IOL_NO_EDIT = -1, IOL_WHOLE = -1 };

struct iol_stream {
    const int32_t *tokens; /* of its prompt, (length) */
    struct iol_stream_shape shape;
    size_t tag; /* the caller's: which of its prompts or branches this is */
    /* Keys and values of a whole prompt of kv_length positions. Layer l's are at kv + l *
     * kv_floats: K as in struct iol_keys (kv_heads, head_dim * kv_length), then V (kv_heads,
     * kv_length, head_dim). */
    const float *clean_kv; /* for a branch: positions before shape.first; NULL if first is 0 */
    float *own_kv; /* where a clean stream leaves its own, and reads those before shape.first;
                      NULL: nobody wants them */
    size_t kv_floats, kv_length;
    bool part; /* a clean stream without the prompt's final position: only its keys and values (and
                  the residual of all rows) are wanted, and it ends with the keys of the last
                  attention step */
    /* Fork (shape.start > 0): the clean residual entering step s is at resid + s * resid_step;
     * (length) rows of d_model if the capture holds all rows, else the final row alone. */
    const float *fork_resid;
    const float *fork_resid_rows; /* (steps + 1, length, d_model), needed when more than the final
                                     row forks */
    const float *fork_z; /* clean z of layer l at fork_z + l * heads * head_dim, needed for heads */
    /* The edit: at step edit_step, of the whole sublayer output (edit_head IOL_WHOLE) or of one
     * head's z. */
    size_t edit_step; /* SIZE_MAX: none */
    int edit_head;
    const float *edit_value;
    /* Observation of the final row. NULL: not wanted. */
    const double
        *reader; /* (d_model): dots[s] = D16(y of step s, reader) for the steps after edit_step */
    double *out_dots;      /* (steps) */
    float *out_y;          /* (steps, d_model) */
    float *out_z;          /* (layers, heads * head_dim) */
    float *out_resid;      /* (steps + 1, d_model) */
    float *out_resid_rows; /* (steps + 1, length, d_model) */
    size_t row;            /* of its first live row in the block; set by the walk */
};

struct iol_block {
    struct iol_stream *streams;
    size_t count;
    size_t start, end; /* of all its streams */
    float *x;          /* (rows at the start, d_model): the residual stream */
    size_t rows;       /* live */
    bool forked, narrow;
    bool split; /* one stream, a part (perhaps the last) of a prompt: at an attention step the keys
                   are a task of their own, which the later parts wait for */
    const struct iol_block *before; /* the part before this one, or NULL */
    size_t last_attention;
    uint64_t flops; /* counted by the kernels' driver */
    double seconds;
    atomic_size_t done; /* tasks finished */
};

/* Sizes that follow from the model and the caches; the same for all workers. */
struct iol_geometry {
    size_t d, q_width, kv_width; /* kv_width: of K alone */
    size_t block_rows;           /* rows that a task takes through a sublayer at once */
    size_t hidden; /* columns of the MLP's hidden layer computed at a time: a multiple of the panel
                      width */
    size_t max_rows;   /* of a block */
    size_t max_length; /* of a prompt */
};
void iol_geometry_fill(const struct iol_ctx *ctx, const struct iol_model *model, size_t max_length,
                       struct iol_geometry *out_geometry);

/* One thread's workspace. */
struct iol_worker {
    const struct iol_ctx *ctx;
    const struct iol_model *model;
    const struct iol_geometry *geometry;
    const float *cos, *sin; /* (max_length, head_dim / 2) or NULL */
    struct iol_arena arena;
    float *normed; /* (block_rows, d) */
    float *y;      /* (block_rows, d) */
    float *kv;     /* (max_rows, 2 kv_width) */
    float *q;      /* (max_rows, q_width); becomes z */
    float *hidden; /* (2, block_rows, hidden) */
    float *kt;     /* kv_width * max_length: K, as iol_keys, of a stream that nobody keeps */
    float *scores; /* attention workspace */
    float *logits; /* (logit_rows, vocab) or NULL */
    size_t logit_rows;
};
size_t iol_worker_bytes(const struct iol_model *model, const struct iol_geometry *geometry,
                        size_t logit_rows);
IOL_NODISCARD enum iol_status iol_worker_open(const struct iol_ctx *ctx,
                                              const struct iol_model *model,
                                              const struct iol_geometry *geometry,
                                              size_t logit_rows, const float *cos, const float *sin,
                                              struct iol_worker *out_worker);
void iol_worker_close(struct iol_worker *worker); /* safe on a zeroed worker */

/* Live rows of a stream before it narrows. */
static inline size_t iol_stream_rows(const struct iol_stream *stream)
{
    return stream->shape.length - stream->shape.first;
}

/* Set start, end, rows and each stream's row from the streams; x must then hold rows * d_model
 * floats. */
void iol_block_init(const struct iol_model *model, struct iol_block *block,
                    struct iol_stream *streams, size_t count);

/* Bring the block's rows to the entrance of its first step: embeddings (start 0) or the fork. */
void iol_block_fork(struct iol_worker *worker, struct iol_block *block);
/* The keys and values of a split block at an attention step, before iol_block_step there. */
void iol_block_keys(struct iol_worker *worker, struct iol_block *block, size_t step);
/* Take the block through one step. */
void iol_block_step(struct iol_worker *worker, struct iol_block *block, size_t step);

/* Blocks of clean streams for `threads` threads: short prompts side by side, long ones cut into
 * parts so that every thread has work. */
struct iol_clean_blocks {
    struct iol_stream
        *streams; /* copies, in the order of the prompts, parts in order of position */
    struct iol_block *blocks;
    size_t block_count;
    float *x;
};
/* `streams`: one whole prompt each (start 0, first 0), own_kv set. Errors: IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_clean_blocks_open(const struct iol_model *model,
                                                    const struct iol_geometry *geometry,
                                                    size_t threads,
                                                    const struct iol_stream *streams, size_t count,
                                                    struct iol_clean_blocks *out_blocks);
void iol_clean_blocks_close(struct iol_clean_blocks *blocks); /* safe on zeroed ones */

/* Run all blocks through all their steps and then `finish` once per block, on the team's threads,
 * each with its own of the workers (iol_team_threads(team)). */
typedef void iol_finish_fn(struct iol_worker *worker, struct iol_block *block, void *user);
typedef void iol_prepare_fn(struct iol_worker *worker, struct iol_block *block, void *user);
IOL_NODISCARD enum iol_status iol_walk(struct iol_team *team, struct iol_worker *workers,
                                       struct iol_block *blocks, size_t count,
                                       iol_prepare_fn *prepare, iol_finish_fn *finish, void *user);

/* The final norm of one row. */
void iol_norm_row(const struct iolk_ops *ops, const struct iol_norm *norm, size_t n, const float *x,
                  float *y);

#endif
