#define _GNU_SOURCE
#include <assert.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "schedule/walk.h"

/* --- blocks of clean streams --------------------------------------------------------------------
 */

/* Rows of a part: two parts for each thread, but not so few rows that the weights' way to the core
 * costs more than the arithmetic. */
enum { LEAST_PART = 32 };

static size_t part_rows(const struct iol_geometry *g, size_t threads, size_t rows)
{
    const size_t share = (rows + 2 * threads - 1) / (2 * threads),
                 even = (share + IOLK_MR - 1) / IOLK_MR * IOLK_MR;
    if (threads == 1) {
        return g->max_rows;
    }
    return even < LEAST_PART ? LEAST_PART : even < g->max_rows ? even : g->max_rows;
}

/* Parts that a prompt of `length` positions is cut into. */
static size_t part_count(size_t length, size_t rows)
{
    return length > rows + rows / 2 ? (length + rows - 1) / rows : 1;
}

static void add_block(const struct iol_model *model, struct iol_clean_blocks *out, size_t first,
                      size_t count, float **x)
{
    struct iol_block *block = &out->blocks[out->block_count++];
    iol_block_init(model, block, &out->streams[first], count);
    block->x = *x;
    *x += block->rows * model->arch.d_model;
}

/* A prompt as `parts` streams at out->streams[first], one block each. */
static void add_parts(const struct iol_model *model, const struct iol_stream *whole, size_t parts,
                      size_t first, struct iol_clean_blocks *out, float **x)
{
    const size_t length = whole->shape.length,
                 last = iol_stream_last_attention(model, &whole->shape);
    for (size_t i = 0; i < parts; i++) {
        struct iol_stream *s = &out->streams[first + i];
        *s = *whole;
        s->shape.first = length * i / parts;
        s->shape.length = length * (i + 1) / parts;
        if (i + 1 < parts) {
            s->part = true;
            s->shape.end = last + 1;
            s->out_y = s->out_z = s->out_resid = NULL;
        }
        add_block(model, out, first + i, 1, x);
        struct iol_block *block = &out->blocks[out->block_count - 1];
        block->split = true;
        block->before = i ? block - 1 : NULL;
    }
}

enum iol_status iol_clean_blocks_open(const struct iol_model *model,
                                      const struct iol_geometry *geometry, size_t threads,
                                      const struct iol_stream *streams, size_t count,
                                      struct iol_clean_blocks *out_blocks)
{
    size_t rows = 0, total = 0;
    *out_blocks = (struct iol_clean_blocks){0};
    for (size_t i = 0; i < count; i++) {
        rows += streams[i].shape.length;
    }
    const size_t wanted = part_rows(geometry, threads, rows);
    for (size_t i = 0; i < count; i++) {
        assert(streams[i].own_kv && streams[i].shape.first == 0 && streams[i].shape.start == 0);
        total += part_count(streams[i].shape.length, wanted);
    }
    struct iol_clean_blocks b = {.streams = iol_alloc(total, sizeof *b.streams),
                                 .blocks = iol_alloc(total, sizeof *b.blocks),
                                 .x = iol_alloc(rows * geometry->d, sizeof *b.x)};
    if (!b.streams || !b.blocks || !b.x) {
        iol_clean_blocks_close(&b);
        return iol_fail(IOL_E_NOMEM, "out of memory: %zu rows of %zu prompts", rows, count);
    }
    float *x = b.x;
    for (size_t i = 0, at = 0; i < count;) {
        size_t n = 0, block_rows = 0, parts = part_count(streams[i].shape.length, wanted);
        if (parts > 1) {
            add_parts(model, &streams[i++], parts, at, &b, &x);
            at += parts;
            continue;
        }
        while (i + n < count && part_count(streams[i + n].shape.length, wanted) == 1 &&
               (n == 0 || block_rows + streams[i + n].shape.length <= wanted)) {
            block_rows += streams[i + n].shape.length;
            b.streams[at + n] = streams[i + n];
            n++;
        }
        add_block(model, &b, at, n, &x);
        at += n;
        i += n;
    }
    *out_blocks = b;
    return IOL_OK;
}

void iol_clean_blocks_close(struct iol_clean_blocks *blocks)
{
    iol_free(blocks->x);
    iol_free(blocks->blocks);
    iol_free(blocks->streams);
    *blocks = (struct iol_clean_blocks){0};
}

/* --- tasks ---------------------------------------------------------------------------------------
 */

enum task_kind { TASK_KEYS, TASK_STEP, TASK_FINISH };

struct task {
    size_t block, step;
    size_t order; /* tasks of its block before it */
    enum task_kind kind;
};

static bool is_part(const struct iol_block *block)
{
    return block->split && block->streams->part;
}

/* Tasks of one block at `step` (== end: finish), at most two; returns how many. */
static size_t tasks_of(const struct iol_model *model, const struct iol_block *block, size_t step,
                       enum task_kind out_kinds[2])
{
    size_t n = 0;
    if (step < block->start || step > block->end) {
        return 0;
    }
    if (step == block->end) {
        out_kinds[n] = TASK_FINISH;
        return is_part(block) ? 0 : 1;
    }
    if (block->split && model->steps[step].kind == IOL_STEP_ATTENTION) {
        out_kinds[n++] = TASK_KEYS;
    }
    if (!(is_part(block) && step == block->last_attention)) {
        out_kinds[n++] = TASK_STEP;
    }
    return n;
}

/* All tasks, step by step; within a step the keys of all blocks come first, so that nobody waits
 * for what nobody has begun. */
static size_t list_tasks(const struct iol_model *model, const struct iol_block *blocks,
                         size_t count, size_t last_step, struct task *out_tasks, size_t *orders)
{
    size_t filled = 0;
    memset(orders, 0, count * sizeof *orders);
    for (size_t step = 0; step <= last_step; step++) {
        for (int keys = 1; keys >= 0; keys--) {
            for (size_t b = 0; b < count; b++) {
                enum task_kind kinds[2];
                for (size_t i = 0, n = tasks_of(model, &blocks[b], step, kinds); i < n; i++) {
                    if ((kinds[i] == TASK_KEYS) == (keys == 1)) {
                        out_tasks[filled++] = (struct task){b, step, orders[b]++, kinds[i]};
                    }
                }
            }
        }
    }
    return filled;
}

/* Wait for another thread's task: spin a little, then sleep, so that a busy neighbour costs its
 * share and no more. */
static void wait_done(const atomic_size_t *done, size_t wanted)
{
    for (unsigned spin = 0; atomic_load_explicit(done, memory_order_acquire) < wanted; spin++) {
        if (spin > 2000) {
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        } else if (spin % 64 == 63) {
            sched_yield();
        }
    }
}

static void run_task(struct iol_worker *w, struct iol_block *block, const struct task *task,
                     iol_prepare_fn *prepare, iol_finish_fn *finish, void *user)
{
    double begin = iol_seconds();
    if (!block->forked) {
        if (prepare) {
            prepare(w, block, user);
        }
        iol_block_fork(w, block);
    }
    switch (task->kind) {
    case TASK_KEYS:
        iol_block_keys(w, block, task->step);
        break;
    case TASK_STEP:
        /* The keys of the parts before: their task has the same place in their list. */
        if (w->model->steps[task->step].kind == IOL_STEP_ATTENTION) {
            for (const struct iol_block *part = block->before; part; part = part->before) {
                wait_done(&part->done, task->order);
            }
        }
        iol_block_step(w, block, task->step);
        break;
    case TASK_FINISH:
        if (finish) {
            finish(w, block, user);
        }
        break;
    }
    block->seconds += iol_seconds() - begin;
}

struct walk {
    struct iol_worker *workers;
    struct iol_block *blocks;
    const struct task *tasks;
    size_t total;
    atomic_size_t next;
    iol_prepare_fn *prepare;
    iol_finish_fn *finish;
    void *user;
};

/* One thread's walk: the next task of the list, and the next, to the end. */
static void walk_tasks(void *user, size_t index, size_t worker)
{
    struct walk *walk = user;
    (void)index;
    for (size_t i; (i = atomic_fetch_add(&walk->next, 1)) < walk->total;) {
        const struct task *task = &walk->tasks[i];
        struct iol_block *block = &walk->blocks[task->block];
        wait_done(&block->done, task->order);
        run_task(&walk->workers[worker], block, task, walk->prepare, walk->finish, walk->user);
        atomic_store_explicit(&block->done, task->order + 1, memory_order_release);
    }
}

enum iol_status iol_walk(struct iol_team *team, struct iol_worker *workers,
                         struct iol_block *blocks, size_t count, iol_prepare_fn *prepare,
                         iol_finish_fn *finish, void *user)
{
    enum iol_status status = IOL_OK;
    size_t most = 0, end = 0;
    for (size_t b = 0; b < count; b++) {
        most += 2 * (blocks[b].end - blocks[b].start) + 1;
        end = blocks[b].end > end ? blocks[b].end : end;
    }
    struct task *tasks = iol_alloc(most, sizeof *tasks);
    size_t *orders = iol_alloc(count ? count : 1, sizeof *orders);
    if (!tasks || !orders) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: a list of %zu tasks", most);
        goto out;
    }
    struct walk walk = {.workers = workers,
                        .blocks = blocks,
                        .tasks = tasks,
                        .total = list_tasks(workers->model, blocks, count, end, tasks, orders),
                        .prepare = prepare,
                        .finish = finish,
                        .user = user};
    iol_team_run(team, iol_team_threads(team), walk_tasks, &walk);
out:
    iol_free(orders);
    iol_free(tasks);
    return status;
}
