/* GEMM through the driver on packed weights, and through every peer of peers.def: cold (rotating
 * copies of the weights, more than any cache holds) and hot (one copy). */
#include "bench_gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_cases.h"
#include "measure.h"

const struct gemm_shape gemm_shapes[GEMM_SHAPES] = {{288, 768},   {576, 1536}, {768, 768},
                                                    {768, 3072},  {3072, 768}, {2048, 8192},
                                                    {4096, 4096}, {768, 50257}};
const size_t gemm_rows[GEMM_ROWS] = {1, 2, 4, 8, 16, 32, 64, 128, 512};

size_t gemm_copies(const struct gemm_shape *shape, bool cold)
{
    const char *text = getenv("IOL_BENCH_COLD_MIB");
    size_t mib = text ? strtoul(text, NULL, 10) : 0;
    size_t bytes = (mib ? mib : 513) << 20, one = shape->k * shape->n * sizeof(float);
    return cold ? bytes / one + 2 : 1;
}

/* --- data of a shape ----------------------------------------------------------------------------
 */

void gemm_data_open(const struct gemm_shape *shape, bool cold, size_t most_rows,
                    struct gemm_data *out)
{
    *out = (struct gemm_data){.product = {shape->n, shape->k, gemm_copies(shape, cold), NULL}};
    float *w = bench_floats(shape->n * shape->k);
    bench_fill(w, shape->n * shape->k, 1);
    out->product.w = out->w = w;
    out->a = bench_floats(most_rows * shape->k);
    bench_fill(out->a, most_rows * shape->k, 2);
    out->c = bench_floats(most_rows * shape->n);
}

void gemm_data_close(struct gemm_data *data)
{
    free(data->w);
    free(data->a);
    free(data->c);
    *data = (struct gemm_data){0};
}

bool gemm_agrees(const struct gemm_data *data, size_t m, const float *c, char text[PEER_TEXT])
{
    const size_t n = data->product.n, k = data->product.k;
    const double bound = 2e-7 * (double)k + 1e-6; /* K roundings of terms within -1..1 */
    for (size_t i = 0; i < 64; i++) {
        size_t row = i * 7 % m, column = i == 0 ? n - 1 : i * 10007 % n;
        double sum = 0;
        for (size_t j = 0; j < k; j++) {
            sum += (double)data->a[row * k + j] * (double)data->w[column * k + j];
        }
        double found = (double)c[row * n + column];
        if (!(found - sum <= bound && sum - found <= bound)) {
            snprintf(text, PEER_TEXT, "computes something else: row %zu, column %zu: %g, not %g",
                     row, column, found, sum);
            return false;
        }
    }
    return true;
}

/* --- one case of Google Benchmark ----------------------------------------------------------------
 */

struct gemm_case {
    enum peer_id peer;
    const struct gemm_shape *shape;
    size_t m, threads;
    bool cold;
    enum peer_split split;
};

struct gemm_call {
    const struct peer *peer;
    void *prepared;
    size_t copy, m;
    struct gemm_data data;
};

static void call_once(void *user)
{
    struct gemm_call *call = user;
    call->peer->run(call->prepared, call->copy, call->m, call->data.a, call->data.c);
    call->copy = (call->copy + 1) % call->data.product.copies;
}

static void run_gemm(struct bench_state *state, const void *user)
{
    const struct gemm_case *c = user;
    const char *reason;
    char text[PEER_TEXT];
    struct gemm_call call = {.peer = peer_get(c->peer, &reason), .m = c->m};
    if (!call.peer) {
        bench_skip(state, reason);
        return;
    }
    if (c->threads > bench_machine()->threads) {
        bench_skip(state, "more threads than this process may use");
        return;
    }
    gemm_data_open(c->shape, c->cold, c->m, &call.data);
    call.peer->set_threads(c->threads);
    peer_iolaus_split(c->split);
    call.prepared = call.peer->prepare(&call.data.product, c->m, NULL, text);
    if (!call.prepared) {
        bench_skip(state, text);
        goto out;
    }
    for (size_t i = 0; i < call.data.product.copies; i++) {
        call_once(&call);
    }
    if (!gemm_agrees(&call.data, c->m, call.data.c, text)) {
        bench_skip(state, text);
        goto out;
    }
    const double k = (double)c->shape->k, n = (double)c->shape->n, m = (double)c->m;
    struct bench_work work = {2 * m * n * k, 4 * (k * n + m * k + m * n), c->threads,
                              bench_machine()->isa};
    bench_label(state, reason);
    bench_time_at(state, call_once, &call, &work,
                  c->cold ? BENCH_DRAM : bench_level_of(work.bytes));
out:
    call.peer->release(call.prepared);
    gemm_data_close(&call.data);
}

static void add_case(const struct gemm_case *c)
{
    struct gemm_case *kept = malloc(sizeof *kept); /* lives until the program ends */
    char name[160];
    if (!kept) {
        return;
    }
    *kept = *c;
    snprintf(name, sizeof name, "gemm/%s%s/k:%zu/n:%zu/m:%zu/t:%zu/%s", peer_name(c->peer),
             c->split == PEER_SPLIT_ROWS ? "-rows" : "", c->shape->k, c->shape->n, c->m, c->threads,
             c->cold ? "cold" : "hot");
    bench_register(name, run_gemm, kept);
}

void bench_register_gemm(void)
{
    for (size_t s = 0; s < GEMM_SHAPES; s++) {
        for (size_t i = 0; i < GEMM_ROWS * 4; i++) {
            for (unsigned p = 0; p < PEER_COUNT; p++) {
                if (peer_elsewhere((enum peer_id)p)) {
                    continue;
                }
                struct gemm_case c = {(enum peer_id)p, &gemm_shapes[s], gemm_rows[i / 4],
                                      i % 2 + 1,       i / 2 % 2 == 1,  PEER_SPLIT_PANELS};
                add_case(&c);
                if (p == PEER_iolaus && c.threads > 1 && c.m > 1) {
                    c.split = PEER_SPLIT_ROWS; /* the walk's way */
                    add_case(&c);
                }
            }
        }
    }
}
