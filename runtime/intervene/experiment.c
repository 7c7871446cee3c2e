#include "intervene/experiment.h"

#include <stdlib.h>
#include <string.h>

#include "intervene/expand.h"

static const char *const default_does[] = {"attn_out,mlp_out=zero,resample:15"};

static const struct {
    const char *name, *text;
    unsigned bit;
} reuse_axes[] = {
    {"depth", "a branch starts at its own layer step, not at the embedding", IOL_REUSE_DEPTH},
    {"position", "a branch has rows only from its first changed position on", IOL_REUSE_POSITION},
    {"donor", "a donor's activation is computed once for all branches", IOL_REUSE_DONOR},
};
enum { REUSE_AXES = sizeof reuse_axes / sizeof reuse_axes[0] };

bool iol_reuse_axis_get(size_t index, const char **out_name, const char **out_text)
{
    if (index >= REUSE_AXES) {
        return false;
    }
    *out_name = reuse_axes[index].name;
    *out_text = reuse_axes[index].text;
    return true;
}

void iol_run_settings_default(struct iol_run_settings *out_settings)
{
    *out_settings = (struct iol_run_settings){
        .struct_size = sizeof *out_settings,
        .does = default_does,
        .do_count = sizeof default_does / sizeof default_does[0],
        .metrics = "hydra",
        .positions = "final",
        .filter = "none",
        .bos = "auto",
        .reuse = "all",
    };
}

/* The caller's settings with every zero and NULL replaced by its default. */
static enum iol_status resolve(const struct iol_run_settings *settings,
                               struct iol_run_settings *out)
{
    iol_run_settings_default(out);
    if (!settings || settings->struct_size != sizeof *out) {
        return iol_fail(IOL_E_INVAL,
                        "settings: found struct_size %zu, expected %zu (fill the struct with "
                        "iol_run_settings_default first)",
                        settings ? settings->struct_size : 0, sizeof *out);
    }
    struct iol_run_settings fallback = *out;
    *out = *settings;
    if (out->do_count == 0) {
        out->does = fallback.does;
        out->do_count = fallback.do_count;
    }
    out->metrics = out->metrics ? out->metrics : fallback.metrics;
    out->positions = out->positions ? out->positions : fallback.positions;
    out->filter = out->filter ? out->filter : fallback.filter;
    out->bos = out->bos ? out->bos : fallback.bos;
    out->reuse = out->reuse ? out->reuse : fallback.reuse;
    return IOL_OK;
}

/* Index of `found` among `count` choices. Errors: IOL_E_INVAL naming setting, found, expected. */
static enum iol_status choose(const char *setting, const char *found, const char *const *choices,
                              size_t count, const char *expected, size_t *out_index)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(found, choices[i]) == 0) {
            *out_index = i;
            return IOL_OK;
        }
    }
    return iol_fail(IOL_E_INVAL, "%s: found '%s', expected %s", setting, found, expected);
}

static enum iol_status parse_metrics(const char *text, bool *out_dist)
{
    bool hydra = false;
    struct iol_span rest = iol_span_of(text), item;
    *out_dist = false;
    while (iol_list_next(&rest, &item)) {
        hydra = hydra || iol_span_is(item, "hydra");
        *out_dist = *out_dist || iol_span_is(item, "dist");
        if (!iol_span_is(item, "hydra") && !iol_span_is(item, "dist")) {
            return iol_fail(IOL_E_INVAL, "metrics: found '%.*s', expected 'hydra' or 'hydra,dist'",
                            IOL_SPAN(item));
        }
    }
    return hydra ? IOL_OK
                 : iol_fail(IOL_E_INVAL, "metrics: found '%s', expected 'hydra' or 'hydra,dist'",
                            text);
}

static enum iol_status parse_positions(const char *text)
{
    if (strcmp(text, "final") == 0) {
        return IOL_OK;
    }
    const char *digits = text[0] == '-' ? text + 1 : text;
    bool number = digits[0] && strspn(digits, "0123456789") == strlen(digits);
    if (number || strcmp(text, "all") == 0 || strncmp(text, "span", 4) == 0) {
        return iol_fail(IOL_E_UNSUPPORTED, "positions: %s '%s' is not built yet; built: final",
                        number ? "an index like" : "scope", text);
    }
    return iol_fail(IOL_E_INVAL, "positions: found '%s', expected 'final'", text);
}

static enum iol_status parse_reuse(const char *text, unsigned *out_bits)
{
    static const char expected[] = "'none', 'all' or a list of depth, position, donor";
    *out_bits = 0;
    if (strcmp(text, "none") == 0) {
        return IOL_OK;
    }
    if (strcmp(text, "all") == 0) {
        *out_bits = IOL_REUSE_ALL;
        return IOL_OK;
    }
    struct iol_span rest = iol_span_of(text), item;
    while (iol_list_next(&rest, &item)) {
        unsigned bit = 0;
        for (size_t i = 0; i < REUSE_AXES; i++) {
            bit = iol_span_is(item, reuse_axes[i].name) ? reuse_axes[i].bit : bit;
        }
        if (iol_span_is(item, "prefix")) {
            return iol_fail(IOL_E_UNSUPPORTED,
                            "reuse: axis 'prefix' is not built yet; built: depth, position, donor");
        }
        if (bit == 0) {
            return iol_fail(IOL_E_INVAL, "reuse: found '%.*s', expected %s", IOL_SPAN(item),
                            expected);
        }
        *out_bits |= bit;
    }
    return IOL_OK;
}

/* A copy of a path, NULL stays NULL; "" is refused. */
static enum iol_status copy_path(const char *setting, const char *path, char **out_copy)
{
    if (!path) {
        return IOL_OK;
    }
    if (!path[0]) {
        return iol_fail(IOL_E_INVAL, "%s: found an empty name, expected a path", setting);
    }
    *out_copy = iol_strdup(path);
    return *out_copy ? IOL_OK : iol_fail(IOL_E_NOMEM, "out of memory: %s", setting);
}

static enum iol_status parse_settings(const struct iol_run_settings *settings,
                                      struct iol_experiment *experiment)
{
    static const char *const filters[] = {"none", "correct"};
    static const char *const boses[] = {"auto", "yes", "no"};
    static const enum iol_bos bos_values[] = {IOL_BOS_AUTO, IOL_BOS_YES, IOL_BOS_NO};
    enum iol_status status = IOL_OK;
    size_t filter = 0, bos = 0;
    if (!settings->prompts) {
        status = iol_fail(IOL_E_INVAL, "prompts: found nothing, expected the path of a JSONL file");
        goto out;
    }
    if (settings->seed > INT64_MAX) {
        status = iol_fail(IOL_E_INVAL, "seed: found %llu, expected less than 2^63",
                          (unsigned long long)settings->seed);
        goto out;
    }
    IOL_TRY(parse_metrics(settings->metrics, &experiment->dist));
    IOL_TRY(parse_positions(settings->positions));
    IOL_TRY(choose("filter", settings->filter, filters, 2, "'none' or 'correct'", &filter));
    IOL_TRY(choose("bos", settings->bos, boses, 3, "'auto', 'yes' or 'no'", &bos));
    IOL_TRY(parse_reuse(settings->reuse, &experiment->reuse));
    experiment->filter_correct = filter == 1;
    experiment->bos = bos_values[bos];
    experiment->seed = settings->seed;
    experiment->memory_bytes = settings->memory_bytes;
    experiment->group = settings->group;
    experiment->measure_none = settings->measure_none;
    IOL_TRY(copy_path("prompts", settings->prompts, &experiment->prompts_path));
    IOL_TRY(copy_path("out", settings->out, &experiment->out));
    IOL_TRY(copy_path("spill_folder", settings->spill_folder, &experiment->spill_folder));
out:
    return status;
}

/* "SITES=KINDS" at the first '='. */
static enum iol_status parse_does(const struct iol_run_settings *settings,
                                  struct iol_experiment *experiment)
{
    experiment->does = iol_alloc(settings->do_count, sizeof *experiment->does);
    if (!experiment->does) {
        return iol_fail(IOL_E_NOMEM, "out of memory: %zu do clauses", settings->do_count);
    }
    for (size_t i = 0; i < settings->do_count; i++) {
        const char *text = settings->does[i] ? settings->does[i] : "";
        const char *equals = strchr(text, '=');
        if (!equals || equals == text || !equals[1]) {
            return iol_fail(IOL_E_INVAL, "do: found '%s', expected SITES=KINDS, for example %s",
                            text, default_does[0]);
        }
        struct iol_do *clause = &experiment->does[experiment->do_count++];
        clause->sites = iol_strndup(text, (size_t)(equals - text));
        clause->kinds = iol_strdup(equals + 1);
        if (!clause->sites || !clause->kinds) {
            return iol_fail(IOL_E_NOMEM, "out of memory: do clauses");
        }
    }
    return IOL_OK;
}

static int compare_kinds(const void *a, const void *b)
{
    return iol_kind_use_compare(a, b);
}

static size_t find_kind(const struct iol_experiment *experiment, const struct iol_kind_use *use)
{
    size_t i = 0;
    while (i < experiment->kind_count && iol_kind_use_compare(&experiment->kinds[i], use) != 0) {
        i++;
    }
    return i;
}

/* The kinds of all clauses, each once, in the order of the schema. */
static enum iol_status expand_kinds(struct iol_experiment *experiment)
{
    enum iol_status status = IOL_OK;
    size_t capacity = 0;
    for (size_t i = 0; i < experiment->do_count; i++) {
        struct iol_span rest = iol_span_of(experiment->does[i].kinds), item;
        while (iol_list_next(&rest, &item)) {
            struct iol_kind_use use;
            IOL_TRY(iol_kind_parse(item, &use));
            if (find_kind(experiment, &use) < experiment->kind_count) {
                continue;
            }
            IOL_TRY(iol_grow(&experiment->kinds, &capacity, experiment->kind_count + 1,
                             sizeof *experiment->kinds));
            experiment->kinds[experiment->kind_count++] = use;
            if (use.donors && use.runs > experiment->max_runs) {
                experiment->max_runs = use.runs;
            }
        }
    }
    qsort(experiment->kinds, experiment->kind_count, sizeof *experiment->kinds, compare_kinds);
out:
    return status;
}

/* wanted (all sites, kind_count): which pairs the clauses name. */
static enum iol_status mark_pairs(const struct iol_experiment *experiment,
                                  const struct iol_site *all, size_t all_count, bool *matched,
                                  bool *wanted)
{
    enum iol_status status = IOL_OK;
    for (size_t i = 0; i < experiment->do_count; i++) {
        struct iol_span rest = iol_span_of(experiment->does[i].sites), item;
        memset(matched, 0, all_count * sizeof *matched);
        while (iol_list_next(&rest, &item)) {
            IOL_TRY(iol_sites_match(&experiment->model->arch, all, all_count, item, matched));
        }
        rest = iol_span_of(experiment->does[i].kinds);
        while (iol_list_next(&rest, &item)) {
            struct iol_kind_use use;
            IOL_TRY(iol_kind_parse(item, &use));
            size_t kind = find_kind(experiment, &use);
            for (size_t s = 0; s < all_count; s++) {
                bool *cell = &wanted[s * experiment->kind_count + kind];
                *cell = *cell || matched[s];
            }
        }
    }
out:
    return status;
}

/* Sites, kinds and pairs in the order of the schema, each once. */
static enum iol_status expand_pairs(struct iol_experiment *experiment)
{
    enum iol_status status = IOL_OK;
    struct iol_site *all = NULL;
    bool *matched = NULL, *wanted = NULL;
    size_t all_count = 0, cells = 0;
    IOL_TRY(expand_kinds(experiment));
    IOL_TRY(iol_sites_list(&experiment->model->arch, &all, &all_count));
    if (!iol_mul(all_count, experiment->kind_count, &cells) ||
        !(matched = iol_alloc(all_count, sizeof *matched)) ||
        !(wanted = iol_alloc(cells, sizeof *wanted)) ||
        !(experiment->pairs = iol_alloc(cells, sizeof *experiment->pairs)) ||
        !(experiment->sites = iol_alloc(all_count, sizeof *experiment->sites))) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %zu sites", all_count);
        goto out;
    }
    IOL_TRY(mark_pairs(experiment, all, all_count, matched, wanted));
    for (size_t s = 0; s < all_count; s++) {
        bool used = false;
        for (size_t k = 0; k < experiment->kind_count; k++) {
            if (wanted[s * experiment->kind_count + k]) {
                experiment->pairs[experiment->pair_count++] =
                    (struct iol_pair){.site = experiment->site_count, .kind = k};
                used = true;
            }
        }
        if (used) {
            experiment->sites[experiment->site_count++] = all[s];
            experiment->any_head = experiment->any_head || all[s].type == IOL_SITE_HEAD;
        }
    }
out:
    iol_free(wanted);
    iol_free(matched);
    iol_free(all);
    return status;
}

enum iol_status iol_experiment_open(const struct iol_ctx *ctx, const struct iol_model *model,
                                    const char *model_folder,
                                    const struct iol_run_settings *settings,
                                    struct iol_experiment **out_experiment)
{
    enum iol_status status = IOL_OK;
    struct iol_run_settings resolved;
    struct iol_experiment *experiment = NULL;
    *out_experiment = NULL;
    if (!ctx || !model || !model_folder) {
        status = iol_fail(IOL_E_INVAL, "experiment: expected a context, a model and its folder");
        goto out;
    }
    if (iol_ctx_fast_rate(ctx) > 0 && !model->unembed.rounded) {
        status = iol_fail(IOL_E_INVAL, "arithmetic: the context is fast, expected a model opened "
                                       "with a fast context");
        goto out;
    }
    IOL_TRY(resolve(settings, &resolved));
    experiment = iol_alloc(1, sizeof *experiment);
    if (!experiment) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: an experiment");
        goto out;
    }
    experiment->ctx = ctx;
    experiment->model = model;
    IOL_TRY(parse_settings(&resolved, experiment));
    IOL_TRY(parse_does(&resolved, experiment));
    IOL_TRY(expand_pairs(experiment));
    IOL_TRY(iol_prompts_read(experiment, model_folder, resolved.limit));
    if (experiment->max_runs > experiment->prompt_count - 1) {
        status =
            iol_fail(IOL_E_LIMIT,
                     "do: resample:%zu needs at least %zu prompts (a prompt is no donor of its "
                     "own), found %zu in %s",
                     experiment->max_runs, experiment->max_runs + 1, experiment->prompt_count,
                     experiment->prompts_path);
        goto out;
    }
    *out_experiment = experiment;
    experiment = NULL;
out:
    iol_experiment_close(experiment);
    return status;
}

void iol_experiment_close(struct iol_experiment *experiment)
{
    if (!experiment) {
        return;
    }
    for (size_t i = 0; i < experiment->do_count; i++) {
        iol_free(experiment->does[i].sites);
        iol_free(experiment->does[i].kinds);
    }
    for (size_t i = 0; i < experiment->prompt_count; i++) {
        if (experiment->prompts[i].by_tokens) {
            iol_free(experiment->prompts[i].tokens);
        } else {
            iol_ids_free(experiment->prompts[i].tokens);
        }
    }
    iol_free(experiment->does);
    iol_free(experiment->prompts);
    iol_free(experiment->sites);
    iol_free(experiment->kinds);
    iol_free(experiment->pairs);
    iol_free(experiment->out);
    iol_free(experiment->spill_folder);
    iol_free(experiment->prompts_path);
    iol_free(experiment);
}
