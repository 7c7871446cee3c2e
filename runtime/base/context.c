#define _GNU_SOURCE
#include "base/context.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/arithmetic.h"
#include "base/base.h"
#include "base/caches.h"

#ifndef IOL_VERSION
#error "the build defines IOL_VERSION"
#endif

enum { NUMERICS_VERSION = 1 };

const char *iol_version(void)
{
    return IOL_VERSION;
}

int iol_numerics_version(void)
{
    return NUMERICS_VERSION;
}

/* --- context --- */

void iol_ctx_settings_default(struct iol_ctx_settings *out_settings)
{
    *out_settings = (struct iol_ctx_settings){.struct_size = sizeof *out_settings};
}

static size_t usable_threads(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) {
        return (size_t)CPU_COUNT(&set);
    }
    return 1;
}

/* The names of `text`, separated by commas, as a mask that always holds the scalar row. */
static enum iol_status parse_isas(const char *text, uint32_t available, uint32_t *out_mask)
{
    uint32_t mask = 1U << IOLK_ISA_SCALAR;
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ",");
        unsigned found = IOLK_ISA_COUNT;
        for (unsigned i = 0; i < IOLK_ISA_COUNT; i++) {
            const char *name = iolk_isa_name((enum iolk_isa)i);
            if (strlen(name) == length && memcmp(name, at, length) == 0) {
                found = i;
            }
        }
        if (found == IOLK_ISA_COUNT) {
            char known[128] = "auto";
            for (unsigned i = 0; i < IOLK_ISA_COUNT; i++) {
                size_t used = strlen(known);
                snprintf(known + used, sizeof known - used, ", %s",
                         iolk_isa_name((enum iolk_isa)i));
            }
            return iol_fail(IOL_E_INVAL, "isa: found '%.*s', expected one of %s", (int)length, at,
                            known);
        }
        if (!(available >> found & 1U)) {
            return iol_fail(IOL_E_CPU, "isa: %s needs a processor with %s, which this one lacks",
                            iolk_isa_name((enum iolk_isa)found),
                            iolk_isa_needs((enum iolk_isa)found));
        }
        mask |= 1U << found;
        at += length + (at[length] == ',');
    }
    *out_mask = mask;
    return IOL_OK;
}

static enum iol_status choose_arithmetic(const char *name, struct iol_ctx *ctx)
{
    const struct iolk_fast *fast;
    enum iol_status status =
        iol_arithmetic_choose(name, &ctx->ops, ctx->isa_mask, &fast, &ctx->fast_rate);
    ctx->ops.fast = fast;
    snprintf(ctx->arithmetic, sizeof ctx->arithmetic, "exact");
    if (fast) {
        /* its kernels belong to the name where other ones would give other bits */
        snprintf(ctx->arithmetic, sizeof ctx->arithmetic, "fast (%s%s%s)", fast->text,
                 fast->everywhere ? "" : ", ", fast->everywhere ? "" : fast->isa);
    }
    return status;
}

enum iol_status iol_ctx_open(const struct iol_ctx_settings *settings, struct iol_ctx **out_ctx)
{
    enum iol_status status = IOL_OK;
    struct iol_ctx *ctx = NULL;
    *out_ctx = NULL;
    uint32_t available = iolk_isa_detect(), mask = available;
    if (!(available >> IOLK_ISA_SCALAR & 1U)) {
        return iol_fail(
            IOL_E_CPU,
            "this processor lacks FMA (fused multiply-add): the numeric contract needs it "
            "(x86-64: Haswell, Zen or newer)");
    }
    const char *isa = settings && settings->isa ? settings->isa : "auto";
    if (strcmp(isa, "auto") != 0) {
        IOL_TRY(parse_isas(isa, available, &mask));
    }
    ctx = iol_alloc(1, sizeof *ctx);
    if (!ctx) {
        return iol_fail(IOL_E_NOMEM, "out of memory: a context");
    }
    const size_t usable = usable_threads();
    ctx->threads = settings && settings->threads ? settings->threads
                   : usable < IOL_MOST_THREADS   ? usable
                                                 : IOL_MOST_THREADS;
    if (ctx->threads > IOL_MOST_THREADS) {
        status = iol_fail(IOL_E_INVAL, "threads: found %zu, expected at most %d", ctx->threads,
                          (int)IOL_MOST_THREADS);
        goto out;
    }
    ctx->isa_mask = mask;
    for (unsigned i = 0; i < IOLK_ISA_COUNT; i++) {
        ctx->isa = mask >> i & 1U ? (enum iolk_isa)i : ctx->isa;
    }
    iolk_ops_fill(mask, &ctx->ops);
    iol_ops_fit_caches(&ctx->ops);
    IOL_TRY(choose_arithmetic(settings ? settings->arithmetic : NULL, ctx));
    *out_ctx = ctx;
    ctx = NULL;
out:
    iol_free(ctx);
    return status;
}

void iol_ctx_close(struct iol_ctx *ctx)
{
    iol_free(ctx);
}

const char *iol_ctx_arithmetic(const struct iol_ctx *ctx)
{
    return ctx->arithmetic;
}

double iol_ctx_fast_rate(const struct iol_ctx *ctx)
{
    return ctx->fast_rate;
}

size_t iol_ctx_threads(const struct iol_ctx *ctx)
{
    return ctx->threads;
}

const char *iol_ctx_isa(const struct iol_ctx *ctx)
{
    return iolk_isa_name(ctx->isa);
}

size_t iol_isa_count(void)
{
    return IOLK_ISA_COUNT;
}

const char *iol_isa_name(size_t index)
{
    return iolk_isa_name((enum iolk_isa)index);
}

const char *iol_isa_needs(size_t index)
{
    return iolk_isa_needs((enum iolk_isa)index);
}

bool iol_isa_available(size_t index)
{
    return index < IOLK_ISA_COUNT && (iolk_isa_detect() >> index & 1U);
}

size_t iol_op_count(void)
{
    return IOLK_OP_COUNT;
}

const char *iol_op_name(size_t index)
{
    return iolk_op_name((enum iolk_op)index);
}

const char *iol_op_isa(const struct iol_ctx *ctx, size_t index)
{
    return index < IOLK_OP_COUNT ? iolk_isa_name(ctx->ops.chosen[index]) : "?";
}
