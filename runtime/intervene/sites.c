#include <stdio.h>
#include <string.h>

#include "intervene/expand.h"

static const struct {
    const char *name, *text;
} types[IOL_SITE_TYPE_COUNT] = {
#define SITE(name, UPPER, text) {#name, text},
#include "sites.def"
#undef SITE
};

/* Site types of the design that are refused by name, and their hooks in TransformerLens. */
static const struct {
    const char *name, *hook;
} planned[] = {
    {"embed", "hook_embed"},
    {"pos_embed", "hook_pos_embed"},
    {"resid_pre", "blocks.*.hook_resid_pre"},
    {"resid_mid", "blocks.*.hook_resid_mid"},
    {"resid_post", "blocks.*.hook_resid_post"},
    {"neuron", "blocks.*.mlp.hook_post"},
    {"q", "blocks.*.attn.hook_q"},
    {"k", "blocks.*.attn.hook_k"},
    {"v", "blocks.*.attn.hook_v"},
    {"z", NULL},
    {"pattern", "blocks.*.attn.hook_pattern"},
    {"ln1", "blocks.*.ln1.hook_*"},
    {"ln2", "blocks.*.ln2.hook_*"},
    {"ln_final", "ln_final.hook_*"},
};

bool iol_site_type_get(size_t index, const char **out_name, const char **out_text)
{
    if (index >= IOL_SITE_TYPE_COUNT) {
        return false;
    }
    *out_name = types[index].name;
    *out_text = types[index].text;
    return true;
}

size_t iol_site_sublayer(const struct iol_site *site)
{
    return 2 * site->layer + (site->type == IOL_SITE_MLP_OUT ? 1 : 0);
}

size_t iol_site_width(const struct iol_arch *arch, const struct iol_site *site)
{
    return site->type == IOL_SITE_HEAD ? arch->head_dim : arch->d_model;
}

enum iol_status iol_sites_list(const struct iol_arch *arch, struct iol_site **out_sites,
                               size_t *out_count)
{
    size_t per_layer, count;
    *out_sites = NULL;
    *out_count = 0;
    if (!iol_add(arch->heads, IOL_SITE_TYPE_COUNT - 1, &per_layer) ||
        !iol_mul(per_layer, arch->layers, &count)) {
        return iol_fail(IOL_E_NOMEM, "out of memory: the sites of %zu layers", arch->layers);
    }
    struct iol_site *sites = iol_alloc(count, sizeof *sites);
    if (!sites) {
        return iol_fail(IOL_E_NOMEM, "out of memory: %zu sites", count);
    }
    size_t used = 0;
    for (size_t layer = 0; layer < arch->layers; layer++) {
        for (size_t type = 0; type < IOL_SITE_TYPE_COUNT; type++) {
            size_t heads = type == IOL_SITE_HEAD ? arch->heads : 1;
            for (size_t head = 0; head < heads; head++) {
                struct iol_site *site = &sites[used++];
                *site = (struct iol_site){
                    .type = (enum iol_site_type)type, .layer = layer, .head = head};
                int written =
                    snprintf(site->name, sizeof site->name, "%s.%zu", types[type].name, layer);
                if (type == IOL_SITE_HEAD) {
                    snprintf(site->name + written, sizeof site->name - (size_t)written, ".%zu",
                             head);
                }
            }
        }
    }
    *out_sites = sites;
    *out_count = count;
    return IOL_OK;
}

/* The TransformerLens hook at which the site is read; z holds all heads of a layer. */
static void hook_name(const struct iol_site *site, char *out_text, size_t size)
{
    const char *hook = "";
    switch (site->type) {
    case IOL_SITE_HEAD:
        hook = "attn.hook_z";
        break;
    case IOL_SITE_ATTN_OUT:
        hook = "hook_attn_out";
        break;
    case IOL_SITE_MLP_OUT:
        hook = "hook_mlp_out";
        break;
    case IOL_SITE_TYPE_COUNT:
        break;
    }
    snprintf(out_text, size, "blocks.%zu.%s", site->layer, hook);
}

/* Say why a pattern matched nothing. */
static enum iol_status fail_match(const struct iol_arch *arch, struct iol_span pattern)
{
    char given[96], built[96] = "";
    size_t used = 0;
    snprintf(given, sizeof given, "%.*s", IOL_SPAN(pattern));
    for (size_t i = 0; i < IOL_SITE_TYPE_COUNT && used < sizeof built; i++) {
        used += (size_t)snprintf(built + used, sizeof built - used, "%s%s", i ? ", " : "",
                                 types[i].name);
    }
    struct iol_span word = iol_span_until(pattern, '.');
    for (size_t i = 0; i < sizeof planned / sizeof planned[0]; i++) {
        bool named = iol_glob_match(word, planned[i].name);
        bool hooked = planned[i].hook && iol_glob_match(iol_span_of(planned[i].hook), given);
        if (named || hooked) {
            return iol_fail(IOL_E_UNSUPPORTED, "do: site '%s' (%s) is not built yet; built: %s",
                            given, planned[i].name, built);
        }
    }
    return iol_fail(IOL_E_INVAL,
                    "do: no site matches '%s'; this model has head.0.0 to head.%zu.%zu, "
                    "attn_out.0 to attn_out.%zu and mlp_out.0 to mlp_out.%zu",
                    given, arch->layers - 1, arch->heads - 1, arch->layers - 1, arch->layers - 1);
}

enum iol_status iol_sites_match(const struct iol_arch *arch, const struct iol_site *sites,
                                size_t count, struct iol_span pattern, bool *matched)
{
    bool any = false;
    bool is_hook = pattern.length > 7 && memcmp(pattern.text, "blocks.", 7) == 0;
    for (size_t i = 0; i < count; i++) {
        char hook[64];
        const char *name = sites[i].name;
        if (is_hook) {
            hook_name(&sites[i], hook, sizeof hook);
            name = hook;
        }
        if (iol_span_is(pattern, types[sites[i].type].name) || iol_glob_match(pattern, name)) {
            matched[i] = any = true;
        }
    }
    return any ? IOL_OK : fail_match(arch, pattern);
}
