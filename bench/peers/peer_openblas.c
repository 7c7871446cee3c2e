/* OpenBLAS: plain weights, packed anew in every call; it knows no other way. 0.3.21 does not know
 * newer processors and falls to AVX2 kernels there, so the core type is named. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "peers/peer.h"

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

static void (*sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                     const float *a, int ld_a, const float *b, int ld_b, float beta, float *c,
                     int ld_c);
static void (*openblas_threads)(int threads);
static char *(*openblas_config)(void);
static char *(*openblas_corename)(void);

struct prepared {
    size_t n, k;
    float *weights;
};

static bool open_openblas(char text[PEER_TEXT])
{
    /* The OpenMP build shares our threads; the other one brings its own pool. */
    static const char *const names[] = {"openblas-openmp/libopenblas.so.0", "libopenblas.so.0",
                                        "openblas-pthread/libopenblas.so.0"};
    static const char *const folders[] = {"/usr/lib/x86_64-linux-gnu/",
                                          "/usr/lib/aarch64-linux-gnu/", ""};
#if defined(__x86_64__)
    peer_setting("OPENBLAS_CORETYPE",
                 bench_machine()->isa == IOLK_ISA_AVX512 ? "SkylakeX" : "Haswell");
    peer_setting("OPENBLAS_L2_SIZE", NULL); /* its blocks follow from it */
    /* The pthread build's threads spin for 2^26 cycles after a call, in others' turns; 2^4. */
    peer_setting("OPENBLAS_THREAD_TIMEOUT", "4");
#endif
    void *library = NULL;
    char path[256] = "";
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++) {
        for (size_t f = 0; !library && f < sizeof folders / sizeof *folders; f++) {
            snprintf(path, sizeof path, "%s%s", folders[f], names[i]);
            library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        }
    }
    if (!library) {
        snprintf(text, PEER_TEXT, "not installed (libopenblas.so.0: Debian's libopenblas0-openmp)");
        return false;
    }
    *(void **)(void *)&sgemm = dlsym(library, "cblas_sgemm");
    *(void **)(void *)&openblas_threads = dlsym(library, "openblas_set_num_threads");
    *(void **)(void *)&openblas_config = dlsym(library, "openblas_get_config");
    *(void **)(void *)&openblas_corename = dlsym(library, "openblas_get_corename");
    if (!sgemm || !openblas_threads || !openblas_config || !openblas_corename) {
        snprintf(text, PEER_TEXT, "%s lacks cblas_sgemm or openblas_*", path);
        return false;
    }
    snprintf(text, PEER_TEXT, "%s: %s, plain weights,", path, openblas_config());
    peer_append_setting(text, "OPENBLAS_CORETYPE");
    return true;
}

static void set_threads(size_t threads)
{
    openblas_threads((int)threads);
}

static void *prepare(const struct peer_product *p, size_t m, void *old, char text[PEER_TEXT])
{
    (void)m, (void)text;
    if (old) {
        return old;
    }
    struct prepared *w = calloc(1, sizeof *w);
    if (w) {
        size_t floats = p->n * p->k;
        *w = (struct prepared){p->n, p->k, bench_floats(floats * p->copies)};
        for (size_t i = 0; i < p->copies; i++) {
            memcpy(w->weights + i * floats, p->w, floats * sizeof(float));
        }
    }
    return w;
}

static void release(void *prepared)
{
    struct prepared *w = prepared;
    if (w) {
        free(w->weights);
        free(w);
    }
}

static void run(void *prepared, size_t copy, size_t m, const float *a, float *c)
{
    const struct prepared *w = prepared;
    const int n = (int)w->n, k = (int)w->k;
    sgemm(ROW_MAJOR, NO_TRANS, TRANS, (int)m, n, k, 1, a, k, w->weights + copy * w->n * w->k, k, 0,
          c, n);
}

const struct peer peer_openblas = {"openblas", open_openblas, set_threads, prepare,
                                   run,        release,       NULL};
