#include <stdio.h>

#include "intervene/expand.h"

static const struct iol_kind *const built[] = {
#define KIND(name) &iol_kind_##name,
#include "kinds.def"
#undef KIND
};
enum { BUILT = sizeof built / sizeof built[0] };

/* Kinds of the design that are refused by name. */
static const char *const planned[] = {"patch",   "noise", "scale",  "add",
                                      "project", "sae",   "freeze", "path"};

bool iol_kind_get(size_t index, const char **out_name, const char **out_text)
{
    if (index >= BUILT) {
        return false;
    }
    *out_name = built[index]->name;
    *out_text = built[index]->text;
    return true;
}

/* "zero, mean, resample:R" */
static const char *built_list(char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < BUILT && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s%s", i ? ", " : "", built[i]->name,
                                 built[i]->counted ? ":R" : "");
    }
    return text;
}

/* Digits only, at least 1, at most 10^9: more donors than any set of prompts has. */
static bool parse_runs(struct iol_span text, size_t *out_runs)
{
    size_t value = 0;
    if (text.length == 0) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        if (text.text[i] < '0' || text.text[i] > '9') {
            return false;
        }
        value = value * 10 + (size_t)(text.text[i] - '0');
        if (value > 1000000000) {
            return false;
        }
    }
    *out_runs = value;
    return value >= 1;
}

enum iol_status iol_kind_parse(struct iol_span text, struct iol_kind_use *out_use)
{
    char list[128];
    struct iol_span name = iol_span_until(text, ':');
    bool has_argument = name.length < text.length;
    const struct iol_kind *kind = NULL;
    *out_use = (struct iol_kind_use){0};
    for (size_t i = 0; i < BUILT; i++) {
        kind = iol_span_is(name, built[i]->name) ? built[i] : kind;
    }
    if (!kind) {
        for (size_t i = 0; i < sizeof planned / sizeof planned[0]; i++) {
            if (iol_span_is(name, planned[i])) {
                return iol_fail(IOL_E_UNSUPPORTED, "do: kind '%s' is not built yet; built: %s",
                                planned[i], built_list(list, sizeof list));
            }
        }
        return iol_fail(IOL_E_INVAL, "do: unknown kind '%.*s'; expected one of %s", IOL_SPAN(text),
                        built_list(list, sizeof list));
    }
    size_t runs = 1;
    if (!kind->counted && has_argument) {
        return iol_fail(IOL_E_INVAL, "do: found kind '%.*s', expected '%s' (it takes no number)",
                        IOL_SPAN(text), kind->name);
    }
    if (kind->counted) {
        struct iol_span rest = {.text = text.text + name.length + 1,
                                .length = has_argument ? text.length - name.length - 1 : 0};
        if (!has_argument || !parse_runs(rest, &runs)) {
            return iol_fail(IOL_E_INVAL,
                            "do: found kind '%.*s', expected %s:R with R a whole number from 1 to "
                            "1000000000, for example %s:15",
                            IOL_SPAN(text), kind->name, kind->name);
        }
    }
    out_use->kind = kind;
    out_use->runs = runs;
    out_use->donors = kind->source == IOL_VALUE_DONOR;
    if (kind->counted) {
        snprintf(out_use->name, sizeof out_use->name, "%s:%zu", kind->name, runs);
    } else {
        snprintf(out_use->name, sizeof out_use->name, "%s", kind->name);
    }
    return IOL_OK;
}

int iol_kind_use_compare(const struct iol_kind_use *a, const struct iol_kind_use *b)
{
    if (a->kind->order != b->kind->order) {
        return a->kind->order < b->kind->order ? -1 : 1;
    }
    return a->runs < b->runs ? -1 : a->runs > b->runs ? 1 : 0;
}
