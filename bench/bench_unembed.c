/* Unembedding and the reductions over the vocabulary, beside the product alone. */
#include "bench_unembed.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench_cases.h"

void unembed_open(size_t k, size_t n, size_t rows, struct unembed_call *out)
{
    *out = (struct unembed_call){.rows = rows, .packed = {n, k, NULL, NULL}};
    out->packed.panels = bench_floats(iol_packed_floats(n, k));
    bench_fill(out->packed.panels, iol_packed_floats(n, k), 1);
    out->x = bench_floats(rows * k);
    bench_fill(out->x, rows * k, 2);
    out->logits = bench_floats(rows * n);
}

void unembed_close(struct unembed_call *call)
{
    free(call->packed.panels);
    free(call->x);
    free(call->logits);
    *call = (struct unembed_call){0};
}

void unembed_run(void *user)
{
    struct unembed_call *call = user;
    const struct iolk_ops *ops = &bench_machine()->ops;
    const size_t n = call->packed.n;
    call->flops = 0;
    iol_unembed_rows(ops, call->rows, call->x, call->packed.k, &call->packed, call->logits, n,
                     &call->flops);
    for (size_t r = 0; r < call->rows; r++) {
        iol_logits_reduce(ops, n, call->logits + r * n, &call->stats);
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
};

static void run_unembed(struct bench_state *state, const void *user)
{
    const struct unembed_case *c = user;
    struct unembed_call call;
    unembed_open(c->k, c->n, c->rows, &call);
    const double k = (double)c->k, n = (double)c->n, m = (double)c->rows;
    struct bench_work work = {2 * m * n * k, 4 * (n * k + m * k), 1, bench_machine()->isa};
    bench_time(state, unembed_run, &call, &work);
    unembed_close(&call);
}

void bench_register_unembed(void)
{
    static const struct unembed_case cases[] = {
        {288, 32000, 1}, {288, 32000, 16}, {768, 50257, 1}, {768, 50257, 8}, {768, 50257, 64}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[160];
        snprintf(name, sizeof name, "unembed/k:%zu/n:%zu/m:%zu", cases[i].k, cases[i].n,
                 cases[i].rows);
        bench_register(name, run_unembed, &cases[i]);
    }
}
