/* Unembedding and reductions over the vocabulary, fused and by stored logits, beside the product
 * alone. */
#include "bench_unembed.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench_cases.h"

static void *zeroed(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (!p) {
        fprintf(stderr, "iolaus_bench: out of memory\n");
        exit(2);
    }
    return p;
}

void unembed_open(size_t k, size_t n, size_t rows, struct unembed_call *out)
{
    *out = (struct unembed_call){.rows = rows, .packed = {.n = n, .k = k}};
    out->packed.panels = bench_floats(iol_packed_floats(n, k));
    bench_fill(out->packed.panels, iol_packed_floats(n, k), 1);
    out->x = bench_floats(rows * k);
    bench_fill(out->x, rows * k, 2);
    out->logits = bench_floats(rows * n);
    out->workspace = bench_floats(iol_unembed_workspace(rows, n));
    out->kept = zeroed(rows, sizeof *out->kept);
    out->row = zeroed(rows, sizeof *out->row);
    for (size_t r = 0; r < rows; r++) {
        struct unembed_kept *kept = &out->kept[r];
        for (size_t i = 0; i < UNEMBED_CHOSEN; i++) {
            kept->chosen[i] = (r * 7919 + i * 10007) % n;
        }
        out->row[r] = (struct iol_unembed_row){.chosen_count = UNEMBED_CHOSEN,
                                               .chosen = kept->chosen,
                                               .out_chosen = kept->chosen_logits,
                                               .top_count = n < UNEMBED_TOP ? n : UNEMBED_TOP,
                                               .out_top = kept->top,
                                               .out_top_logits = kept->top_logits};
    }
}

void unembed_close(struct unembed_call *call)
{
    free(call->packed.panels);
    free(call->x);
    free(call->logits);
    free(call->workspace);
    free(call->kept);
    free(call->row);
    *call = (struct unembed_call){0};
}

void unembed_fused(void *user)
{
    struct unembed_call *call = user;
    call->flops = 0;
    iol_unembed_reduce(&bench_machine()->ops, call->rows, call->x, call->packed.k, &call->packed,
                       call->row, call->workspace, &call->flops);
}

void unembed_stored(void *user)
{
    struct unembed_call *call = user;
    const struct iolk_ops *ops = &bench_machine()->ops;
    const size_t n = call->packed.n;
    call->flops = 0;
    iol_unembed_rows(ops, call->rows, call->x, call->packed.k, &call->packed, call->logits, n,
                     &call->flops);
    for (size_t r = 0; r < call->rows; r++) {
        struct iol_unembed_row *row = &call->row[r];
        const float *logits = call->logits + r * n;
        iol_logits_reduce(ops, n, logits, &row->stats);
        iol_logits_top(n, logits, row->top_count, row->out_top, row->out_top_logits);
        for (size_t i = 0; i < row->chosen_count; i++) {
            row->out_chosen[i] = logits[row->chosen[i]];
        }
    }
}

void unembed_product(void *user)
{
    struct unembed_call *call = user;
    call->flops = 0;
    iol_gemm_block(&bench_machine()->ops, call->rows, call->x, call->packed.k, &call->packed, NULL,
                   call->logits, call->packed.n, &call->flops);
}

struct unembed_case {
    size_t k, n, rows;
    bench_call_fn *call;
};

static void run_unembed(struct bench_state *state, const void *user)
{
    const struct unembed_case *c = user;
    struct unembed_call call;
    unembed_open(c->k, c->n, c->rows, &call);
    const double k = (double)c->k, n = (double)c->n, m = (double)c->rows;
    struct bench_work work = {2 * m * n * k, 4 * (n * k + m * k), 1, bench_machine()->isa};
    bench_time(state, c->call, &call, &work);
    unembed_close(&call);
}

void bench_register_unembed(void)
{
    static const struct {
        const char *name;
        bench_call_fn *call;
    } ways[] = {{"fused", unembed_fused}, {"stored", unembed_stored}, {"product", unembed_product}};
    static const size_t shapes[][2] = {{288, 32000}, {768, 50257}, {768, 128256}, {640, 262144}};
    static const size_t rows[] = {1, 8, 64};
    for (size_t i = 0; i < 36; i++) {
        struct unembed_case *kept = malloc(sizeof *kept); /* lives until the program ends */
        const size_t *shape = shapes[i / 9];
        char name[160];
        if (!kept) {
            return;
        }
        *kept = (struct unembed_case){shape[0], shape[1], rows[i / 3 % 3], ways[i % 3].call};
        snprintf(name, sizeof name, "unembed/%s/k:%zu/n:%zu/m:%zu", ways[i % 3].name, kept->k,
                 kept->n, kept->rows);
        bench_register(name, run_unembed, kept);
    }
}
