/* oneDNN 2.x: inner product, weights reordered into the layout that it asks for (format_tag::any).
 * Plain weights would be far slower. Threads are those of the OpenMP runtime, shared with us. */
#define _GNU_SOURCE
#include "peers/peer.h"

#include <stdio.h>

#if defined(__has_include)
#if __has_include(<oneapi/dnnl/dnnl.h>)
#define HAVE_DNNL 1
#endif
#endif

#ifdef HAVE_DNNL
#include <dlfcn.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#include "measure.h"

#define DNNL_CALLS(X)                                                                              \
    X(dnnl_version)                                                                                \
    X(dnnl_engine_create)                                                                          \
    X(dnnl_stream_create)                                                                          \
    X(dnnl_stream_wait)                                                                            \
    X(dnnl_memory_desc_init_by_tag)                                                                \
    X(dnnl_memory_desc_equal)                                                                      \
    X(dnnl_memory_desc_get_size)                                                                   \
    X(dnnl_inner_product_forward_desc_init)                                                        \
    X(dnnl_primitive_desc_create)                                                                  \
    X(dnnl_primitive_desc_query_md)                                                                \
    X(dnnl_primitive_desc_destroy)                                                                 \
    X(dnnl_primitive_create)                                                                       \
    X(dnnl_primitive_execute)                                                                      \
    X(dnnl_primitive_destroy)                                                                      \
    X(dnnl_memory_create)                                                                          \
    X(dnnl_memory_destroy)                                                                         \
    X(dnnl_memory_set_data_handle)                                                                 \
    X(dnnl_reorder_primitive_desc_create)

static struct {
#define X(name) __typeof__(name) *name;
    DNNL_CALLS(X)
#undef X
} dnnl;
static dnnl_engine_t engine;
static dnnl_stream_t stream;

struct prepared {
    size_t threads, m; /* that the primitive was made for */
    dnnl_memory_desc_t weights_md;
    dnnl_primitive_t product;
    dnnl_memory_t a, b, c;
    unsigned char *weights;
    size_t bytes; /* of one copy */
};

static bool open_dnnl(char text[PEER_TEXT])
{
    /* The same instruction sets as ours. */
    if (bench_machine()->isa == IOLK_ISA_SCALAR) {
        peer_setting("ONEDNN_MAX_CPU_ISA", "SSE41");
    }
#if defined(__x86_64__)
    if (bench_machine()->isa == IOLK_ISA_AVX2) {
        peer_setting("ONEDNN_MAX_CPU_ISA", "AVX2");
    }
#endif
    void *library = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(text, PEER_TEXT, "not installed (libdnnl.so.2: Debian's libdnnl-dev)");
        return false;
    }
#define X(name)                                                                                    \
    *(void **)(void *)&dnnl.name = dlsym(library, #name);                                          \
    if (!dnnl.name) {                                                                              \
        snprintf(text, PEER_TEXT, "libdnnl.so.2 has no " #name);                                   \
        return false;                                                                              \
    }
    DNNL_CALLS(X)
#undef X
    const dnnl_version_t *v = dnnl.dnnl_version();
    if (dnnl.dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl.dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success) {
        snprintf(text, PEER_TEXT, "dnnl_engine_create failed");
        return false;
    }
    snprintf(text, PEER_TEXT, "oneDNN %d.%d.%d inner product, weights in its own layout", v->major,
             v->minor, v->patch);
    peer_append_setting(text, "ONEDNN_MAX_CPU_ISA");
    return true;
}

static void set_threads(size_t threads)
{
    omp_set_num_threads((int)threads);
}

static void release(void *prepared)
{
    struct prepared *w = prepared;
    if (w) {
        dnnl.dnnl_primitive_destroy(w->product);
        dnnl.dnnl_memory_destroy(w->a);
        dnnl.dnnl_memory_destroy(w->b);
        dnnl.dnnl_memory_destroy(w->c);
        free(w->weights);
        free(w);
    }
}

/* Plain (n, k) weights into w->weights. */
static bool reorder(const struct peer_product *p, struct prepared *w)
{
    dnnl_memory_desc_t plain;
    dnnl_dims_t dims = {(dnnl_dim_t)p->n, (dnnl_dim_t)p->k};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_exec_arg_t args[2];
    bool ok = false;
    if (dnnl.dnnl_memory_desc_init_by_tag(&plain, 2, dims, dnnl_f32, dnnl_ab) ||
        dnnl.dnnl_reorder_primitive_desc_create(&pd, &plain, engine, &w->weights_md, engine,
                                                NULL) ||
        dnnl.dnnl_primitive_create(&primitive, pd) ||
        dnnl.dnnl_memory_create(&from, &plain, engine, DNNL_MEMORY_NONE) ||
        dnnl.dnnl_memory_create(&to, &w->weights_md, engine, w->weights)) {
        goto out;
    }
    float *w_plain = bench_floats(p->n * p->k);
    memcpy(w_plain, p->w, p->n * p->k * sizeof(float));
    args[0] = (dnnl_exec_arg_t){DNNL_ARG_FROM, from};
    args[1] = (dnnl_exec_arg_t){DNNL_ARG_TO, to};
    ok = !dnnl.dnnl_memory_set_data_handle(from, w_plain) &&
         !dnnl.dnnl_primitive_execute(primitive, stream, 2, args) && !dnnl.dnnl_stream_wait(stream);
    free(w_plain);
out:
    dnnl.dnnl_memory_destroy(from);
    dnnl.dnnl_memory_destroy(to);
    dnnl.dnnl_primitive_destroy(primitive);
    dnnl.dnnl_primitive_desc_destroy(pd);
    return ok;
}

/* A fresh primitive for m rows; its weights layout may differ from that of another m. */
static bool make_primitive(const struct peer_product *p, size_t m, struct prepared *w)
{
    dnnl_dims_t a_dims = {(dnnl_dim_t)m, (dnnl_dim_t)p->k},
                c_dims = {(dnnl_dim_t)m, (dnnl_dim_t)p->n},
                b_dims = {(dnnl_dim_t)p->n, (dnnl_dim_t)p->k};
    dnnl_memory_desc_t a, b, c;
    dnnl_inner_product_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = false;
    if (!dnnl.dnnl_memory_desc_init_by_tag(&a, 2, a_dims, dnnl_f32, dnnl_ab) &&
        !dnnl.dnnl_memory_desc_init_by_tag(&b, 2, b_dims, dnnl_f32, dnnl_format_tag_any) &&
        !dnnl.dnnl_memory_desc_init_by_tag(&c, 2, c_dims, dnnl_f32, dnnl_ab) &&
        !dnnl.dnnl_inner_product_forward_desc_init(&desc, dnnl_forward_inference, &a, &b, NULL,
                                                   &c) &&
        !dnnl.dnnl_primitive_desc_create(&pd, &desc, NULL, engine, NULL) &&
        !dnnl.dnnl_primitive_create(&w->product, pd)) {
        w->weights_md = *dnnl.dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
        ok = !dnnl.dnnl_memory_create(&w->a, &a, engine, DNNL_MEMORY_NONE) &&
             !dnnl.dnnl_memory_create(&w->b, &w->weights_md, engine, DNNL_MEMORY_NONE) &&
             !dnnl.dnnl_memory_create(&w->c, &c, engine, DNNL_MEMORY_NONE);
    }
    dnnl.dnnl_primitive_desc_destroy(pd);
    return ok;
}

static void *prepare(const struct peer_product *p, size_t m, void *old, char text[PEER_TEXT])
{
    struct prepared *before = old, *w = calloc(1, sizeof *w);
    if (!w || !make_primitive(p, m, w)) {
        goto fail;
    }
    w->bytes = (dnnl.dnnl_memory_desc_get_size(&w->weights_md) + 63) / 64 * 64;
    if (before && dnnl.dnnl_memory_desc_equal(&before->weights_md, &w->weights_md)) {
        w->weights = before->weights;
        before->weights = NULL;
    } else {
        w->weights = (void *)bench_floats(w->bytes / sizeof(float) * p->copies);
        if (!reorder(p, w)) {
            goto fail;
        }
        for (size_t i = 1; i < p->copies; i++) {
            memcpy(w->weights + i * w->bytes, w->weights, w->bytes);
        }
    }
    release(before);
    return w;
fail:
    snprintf(text, PEER_TEXT, "oneDNN could not make the product");
    release(w);
    release(before);
    return NULL;
}

static void run(void *prepared, size_t copy, size_t m, const float *a, float *c)
{
    struct prepared *w = prepared;
    (void)m;
    union { /* the library takes void *, and only reads A */
        const float *read;
        void *any;
    } a_handle = {.read = a};
    dnnl.dnnl_memory_set_data_handle(w->a, a_handle.any);
    dnnl.dnnl_memory_set_data_handle(w->b, w->weights + copy * w->bytes);
    dnnl.dnnl_memory_set_data_handle(w->c, c);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, w->a}, {DNNL_ARG_WEIGHTS, w->b}, {DNNL_ARG_DST, w->c}};
    dnnl.dnnl_primitive_execute(w->product, stream, 3, args);
    dnnl.dnnl_stream_wait(stream);
}
#else
static bool open_dnnl(char text[PEER_TEXT])
{
    snprintf(text, PEER_TEXT, "not built in (oneapi/dnnl/dnnl.h: Debian's libdnnl-dev)");
    return false;
}
static void set_threads(size_t threads)
{
    (void)threads;
}
static void *prepare(const struct peer_product *p, size_t m, void *old, char text[PEER_TEXT])
{
    (void)p, (void)m, (void)old, (void)text;
    return NULL;
}
static void run(void *prepared, size_t copy, size_t m, const float *a, float *c)
{
    (void)prepared, (void)copy, (void)m, (void)a, (void)c;
}
static void release(void *prepared)
{
    (void)prepared;
}
#endif

const struct peer peer_onednn = {"onednn", open_dnnl, set_threads, prepare, run, release, NULL};
