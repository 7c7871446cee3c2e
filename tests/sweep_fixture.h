/* Small models of both families with prompts, and a sweep over them through the public API. */
#ifndef IOL_TESTS_SWEEP_FIXTURE_H
#define IOL_TESTS_SWEEP_FIXTURE_H

#include "iolaus/experiment.h"
#include "model_writer.h"

/* Lengths differ, some prompts have one token. */
static const char sweep_prompts[] =
    "{\"tokens\":[3]}\n{\"tokens\":[1,2,3,4,5]}\n{\"tokens\":[9,8,7]}\n"
    "{\"tokens\":[11,0,12,5,1,1,30,22]}\n{\"tokens\":[40]}\n"
    "{\"tokens\":[5,4,3,2,1,0,6,7,8,9,10,11,12]}\n{\"tokens\":[17,18]}\n"
    "{\"tokens\":[2,4,8,16,32,1]}\n";

/* A Llama with grouped queries and d_model that is not heads * head_dim. */
static inline const char *sweep_llama(const char *name)
{
    static struct writer w;
    const struct shape s = {.layers = 3,
                            .d = 20,
                            .heads = 4,
                            .kv_heads = 2,
                            .head_dim = 6,
                            .ff = 28,
                            .vocab = 53,
                            .context = 16,
                            .attention_bias = true,
                            .dtype = "F32"};
    const char *folder = writer_folder(name);
    w.state = 11;
    writer_llama(&w, &s);
    writer_single(&w, folder);
    writer_clear(&w);
    write_llama_config(folder, &s, "");
    write_text(folder, "prompts.jsonl", sweep_prompts);
    return folder;
}

/* The same with room for prompts that the capture cuts into parts, and such prompts. */
static inline const char *sweep_long(const char *name)
{
    static struct writer w;
    static const size_t lengths[] = {100, 3, 49, 128, 48, 1, 97};
    static char prompts[8192];
    const struct shape s = {.layers = 3,
                            .d = 20,
                            .heads = 4,
                            .kv_heads = 2,
                            .head_dim = 6,
                            .ff = 28,
                            .vocab = 53,
                            .context = 128,
                            .dtype = "F32"};
    const char *folder = writer_folder(name);
    w.state = 13;
    writer_llama(&w, &s);
    writer_single(&w, folder);
    writer_clear(&w);
    write_llama_config(folder, &s, "");
    size_t at = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        at += (size_t)snprintf(prompts + at, sizeof prompts - at, "{\"tokens\":[");
        for (size_t t = 0; t < lengths[i]; t++) {
            at += (size_t)snprintf(prompts + at, sizeof prompts - at, "%s%zu", t ? "," : "",
                                   (7 * i + 11 * t + t * t) % 53);
        }
        at += (size_t)snprintf(prompts + at, sizeof prompts - at, "]}\n");
    }
    write_text(folder, "prompts.jsonl", prompts);
    return folder;
}

static inline const char *sweep_gpt2(const char *name)
{
    static struct writer w;
    const struct shape s = {.layers = 2,
                            .d = 18,
                            .heads = 3,
                            .kv_heads = 3,
                            .head_dim = 6,
                            .ff = 72,
                            .vocab = 61,
                            .context = 16,
                            .tied = true,
                            .dtype = "F32",
                            .prefix = ""};
    const char *folder = writer_folder(name);
    w.state = 12;
    writer_gpt2(&w, &s);
    writer_single(&w, folder);
    writer_clear(&w);
    write_gpt2_config(folder, &s, "");
    write_text(folder, "prompts.jsonl", sweep_prompts);
    return folder;
}

/* Everything of one sweep; close in any state. */
struct sweep {
    struct iol_ctx *ctx;
    struct iol_model *model;
    struct iol_experiment *experiment;
    struct iol_results *results;
    char prompts[600];
};

static inline void sweep_close(struct sweep *s)
{
    iol_results_close(s->results);
    iol_experiment_close(s->experiment);
    iol_model_close(s->model);
    iol_ctx_close(s->ctx);
    memset(s, 0, sizeof *s);
}

/* Open context, model and experiment. settings->prompts is set here. */
static inline enum iol_status sweep_open(const char *folder, const char *isa, size_t threads,
                                         struct iol_run_settings *settings, struct sweep *out)
{
    memset(out, 0, sizeof *out);
    struct iol_ctx_settings ctx;
    iol_ctx_settings_default(&ctx);
    ctx.isa = isa;
    ctx.threads = threads;
    snprintf(out->prompts, sizeof out->prompts, "%s/prompts.jsonl", folder);
    settings->prompts = out->prompts;
    enum iol_status status = iol_ctx_open(&ctx, &out->ctx);
    if (status == IOL_OK) {
        status = iol_model_open(out->ctx, folder, &out->model);
    }
    if (status == IOL_OK) {
        status = iol_experiment_open(out->ctx, out->model, folder, settings, &out->experiment);
    }
    return status;
}

static inline enum iol_status sweep_run(struct sweep *s)
{
    return iol_experiment_run(s->experiment, NULL, NULL, &s->results);
}

#endif
