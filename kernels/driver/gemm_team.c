#include "driver/gemm_team.h"

#include <stdbool.h>
#include <stdint.h>

/* A call cut into tasks: `row_blocks` blocks of rows, `chunks` runs of panels. Chunks come in one
 * group per worker; a group goes through its chunks for one block of rows after the other, so that
 * a worker's rows stay in its L2 while its own part of the panels passes by.
 *
 *              group 0        group 1            order of the tasks, two workers:
 *   rows 0   [ 0 | 1 | 2 ]  [ 6 | 7 | 8 ]        worker 0 begins at 0, worker 1 at 6; whoever is
 *   rows 1   [ 3 | 4 | 5 ]  [ 9 |10 |11 ]        done takes the other's from where it is */
struct call {
    const struct iolk_ops *ops;
    size_t m, ld_a, ld_c;
    const float *a;
    float *c;
    const struct iol_packed *b;
    struct iol_gemm_part part; /* panel_end, k_end filled in */
    size_t row_blocks, groups, chunks;
    size_t grain; /* panels that a chunk begins at a multiple of */
};

/* First chunk of a group, first panel of a chunk (from the part's first). */
static size_t group_begin(const struct call *x, size_t group)
{
    return x->chunks * group / x->groups;
}

static size_t chunk_begin(const struct call *x, size_t chunk)
{
    const size_t panels = x->part.panel_end - x->part.panel_begin,
                 begin = panels * chunk / x->chunks;
    return chunk < x->chunks ? begin - begin % x->grain : panels;
}

static void run_task(void *user, size_t task, size_t worker)
{
    const struct call *x = user;
    (void)worker;
    size_t group = 0;
    while (task >= group_begin(x, group + 1) * x->row_blocks) {
        group++;
    }
    const size_t first = group_begin(x, group), chunks = group_begin(x, group + 1) - first;
    const size_t within = task - first * x->row_blocks, block = within / chunks,
                 chunk = first + within % chunks;
    const size_t row = x->m * block / x->row_blocks,
                 rows = x->m * (block + 1) / x->row_blocks - row;
    const size_t from = chunk_begin(x, chunk), to = chunk_begin(x, chunk + 1);
    /* What this worker most likely reads next. */
    const bool last_of_rows = chunk + 1 == first + chunks;
    const size_t next = last_of_rows ? chunk_begin(x, first) : to;
    struct iol_gemm_part part = x->part;
    part.panel_begin = x->part.panel_begin + from;
    part.panel_end = x->part.panel_begin + to;
    part.after = x->part.after;
    part.fetched = within > 0; /* taken over from another worker: that one is fetching it */
    if (!last_of_rows || block + 1 < x->row_blocks) {
        part.after = iol_panel_at(x->b, x->part.panel_begin + next, x->part.k_begin);
    }
    uint64_t flops = 0;
    iol_gemm_block(x->ops, rows, x->a + row * x->ld_a, x->ld_a, x->b, &part,
                   x->c + row * x->ld_c + from * IOLK_NR, x->ld_c, &flops);
}

enum {
    TASKS_EACH = 4, /* at least, per worker, where the product is large enough */
    LEAST_ROWS = 4 * IOLK_MR
};

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static void cut(struct call *x, size_t threads)
{
    const size_t panels = x->part.panel_end - x->part.panel_begin,
                 depth = x->part.k_end - x->part.k_begin,
                 walked = depth < IOL_K_WALKED ? depth : IOL_K_WALKED;
    /* A task is worth half as many FMAs as L2 has bytes (about 10 us); with few rows the panels'
     * bytes count, not their FMAs: a byte takes as long as four of these. */
    const size_t fmas = depth * IOLK_NR * x->m, all = x->b->k ? x->b->k : 1,
                 bytes = iol_panel_bytes(x->b->dtype, IOLK_NR, x->b->k) / all * depth,
                 cost = fmas < 4 * bytes ? 4 * bytes : fmas;
    const size_t each = x->ops->l2_bytes / 2 / (cost + 1) + 1;
    x->grain = iol_panels_at_once(x->ops, x->m, x->b);
    while (x->grain > 1 && panels < 2 * threads * x->grain) {
        x->grain /= 2;
    }
    x->chunks = divide_up(panels, each);
    x->chunks = x->chunks < panels / x->grain ? x->chunks : panels / x->grain;
    /* Rows whose slice of A takes two fifths of L2. */
    const size_t fit = x->ops->l2_bytes * 2 / 5 / (sizeof(float) * (walked + 1));
    x->row_blocks = divide_up(x->m, fit < LEAST_ROWS ? LEAST_ROWS : fit);
    while (x->chunks * x->row_blocks < TASKS_EACH * threads &&
           x->m / (x->row_blocks + 1) >= LEAST_ROWS) {
        x->row_blocks++;
    }
    x->groups = threads < x->chunks ? threads : x->chunks;
}

void iol_gemm_team(struct iol_team *team, const struct iolk_ops *ops, size_t m, const float *a,
                   size_t ld_a, const struct iol_packed *b, const struct iol_gemm_part *part,
                   float *c, size_t ld_c, uint64_t *flops)
{
    struct call x = {.ops = ops, .m = m, .a = a, .ld_a = ld_a, .b = b, .c = c, .ld_c = ld_c};
    const size_t threads = iol_team_threads(team);
    x.part = part ? *part : (struct iol_gemm_part){0};
    x.part.k_end = x.part.k_end ? x.part.k_end : b->k;
    x.part.panel_end = x.part.panel_end ? x.part.panel_end : (b->n + IOLK_NR - 1) / IOLK_NR;
    if (m == 0 || x.part.panel_begin == x.part.panel_end) {
        return;
    }
    cut(&x, threads);
    const size_t last = x.part.panel_end * IOLK_NR < b->n ? x.part.panel_end * IOLK_NR : b->n;
    *flops +=
        2 * (uint64_t)m * (last - x.part.panel_begin * IOLK_NR) * (x.part.k_end - x.part.k_begin);
    iol_team_run(team, x.chunks * x.row_blocks, run_task, &x);
}
