/* The capture: what the clean walk leaves for the branches.
 *
 * Per prompt, one record of floats, in memory or, over the budget, in one spill file (prompt after
 * prompt, so that a wave reads a contiguous range):   KV of every layer | residual entering every
 * step | [residual of all rows] | [clean logits] Beside it, always in memory, the small part that
 * any other prompt may need: y of every sublayer and z of every layer at the final position (what
 * donors give). */
#ifndef IOL_CAPTURE_H
#define IOL_CAPTURE_H

#include "schedule/walk.h"

/* Where the parts of one prompt's record begin (floats); rows_at, logits_at equal total where they
 * are not kept. */
struct iol_record {
    size_t kv_floats; /* of one layer */
    size_t resid_at, rows_at, logits_at, total;
};
void iol_record_fill(const struct iol_model *model, size_t length, bool all_rows, bool logits,
                     struct iol_record *out_record);

struct iol_capture {
    const struct iol_experiment *experiment;
    size_t count;               /* prompts, in the order of experiment->prompts */
    struct iol_record *records; /* (count) */
    uint64_t *offset; /* (count): of each record, floats from the start of memory or file */
    float *memory;    /* all records, or NULL when spilled */
    int fd;           /* spill file, unlinked; -1: none */
    char *path;       /* for error sentences */
    float *window;    /* spilled: records of the prompts of one group or wave */
    size_t window_floats;
    float **at;   /* (count): where a prompt's record is now; NULL: not here */
    float *y, *z; /* (count, steps, d_model), (count, layers, q_width) or NULL */
    double spill_seconds;
    uint64_t spill_bytes;
};

/* window_floats 0: everything in memory; else spill, with a window of that size. `wanted` (count)
 * or NULL: prompts that get a record; the others keep y and z only. Errors: IOL_E_NOMEM, IOL_E_IO
 * (no space: found, needed). */
IOL_NODISCARD enum iol_status iol_capture_open(const struct iol_experiment *experiment,
                                               const bool *wanted, size_t window_floats,
                                               struct iol_capture *out_capture);
void iol_capture_close(struct iol_capture *capture); /* safe on a zeroed capture with fd -1 */

/* Make the records of `count` prompts addressable through at[]; with `load` their contents are read
 * back. */
IOL_NODISCARD enum iol_status iol_capture_bring(struct iol_capture *capture, const size_t *prompts,
                                                size_t count, bool load);
/* Write the records that the last bring made addressable to the spill file (nothing to do in
 * memory). */
IOL_NODISCARD enum iol_status iol_capture_flush(struct iol_capture *capture, const size_t *prompts,
                                                size_t count);

/* Floats that the records of `count` prompts of these lengths take. */
uint64_t iol_capture_floats(const struct iol_experiment *experiment, const size_t *prompts,
                            size_t count);

static inline float *iol_capture_y(const struct iol_capture *c, size_t prompt)
{
    const struct iol_model *m = c->experiment->model;
    return c->y + prompt * m->step_count * m->arch.d_model;
}
static inline float *iol_capture_z(const struct iol_capture *c, size_t prompt)
{
    const struct iol_arch *a = &c->experiment->model->arch;
    return c->z ? c->z + prompt * a->layers * a->heads * a->head_dim : NULL;
}

#endif
