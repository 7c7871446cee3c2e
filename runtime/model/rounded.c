#include "model/rounded.h"

#include <omp.h>

#include "base/base.h"
#include "driver/gemm_fast.h"
#include "model/loader.h"

/* Room for the rounded panels of one matrix, unless the family has no such matrix. */
static enum iol_status open_rounded(struct iol_model *model, const struct iolk_fast *fast,
                                    struct iol_packed *packed, size_t *most)
{
    const size_t words = iol_rounded_words(fast, packed->n, packed->k);
    if (!packed->panels) {
        return IOL_OK;
    }
    if (words == 0) {
        return iol_fail(IOL_E_LIMIT, "a matrix of (%zu, %zu) is too large", packed->n, packed->k);
    }
    *most = packed->k > *most ? packed->k : *most;
    return iol_model_block(model, words, sizeof *packed->rounded, &packed->rounded);
}

static void products_of(struct iol_step *step, struct iol_packed *out[6])
{
    struct iol_packed *all[6] = {&step->q,    &step->kv, &step->o,
                                 &step->gate, &step->up, &step->down};
    for (size_t i = 0; i < 6; i++) {
        out[i] = all[i];
    }
}

enum iol_status iol_model_round(struct iol_model *model, const struct iolk_fast *fast,
                                size_t threads)
{
    enum iol_status status = IOL_OK;
    struct iol_packed *products[6];
    size_t most = 0;
    float *rows = NULL;
    IOL_TRY(open_rounded(model, fast, &model->unembed, &most));
    for (size_t s = 0; s < model->step_count; s++) {
        products_of(&model->steps[s], products);
        for (size_t i = 0; i < 6; i++) {
            IOL_TRY(open_rounded(model, fast, products[i], &most));
        }
    }
    rows = iol_alloc(threads * most, sizeof *rows);
    if (!rows) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: rows to round weights through");
        goto out;
    }
    const size_t tasks = model->step_count + 1;
#pragma omp parallel for num_threads((int)threads) schedule(dynamic) default(none)                 \
    shared(model, fast, rows, most, tasks)
    for (size_t task = 0; task < tasks; task++) {
        float *row = rows + (size_t)omp_get_thread_num() * most;
        struct iol_packed *of_step[6] = {&model->unembed};
        if (task > 0) {
            products_of(&model->steps[task - 1], of_step);
        }
        for (size_t i = 0; i < 6; i++) {
            if (of_step[i] && of_step[i]->rounded) {
                iol_rounded_fill(fast, of_step[i], row, of_step[i]->rounded);
            }
        }
    }
out:
    iol_free(rows);
    return status;
}
