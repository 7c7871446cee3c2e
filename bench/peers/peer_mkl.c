/* MKL with packed weights (cblas_sgemm_pack, cblas_sgemm_compute), the way PyTorch uses it. Found
 * at IOL_MKL (the file libmkl_rt.so.N, a folder that holds it, or an environment), in the Python
 * environment of IOL_PYTHON or VIRTUAL_ENV, or where the loader finds it. Its own OpenMP would spin
 * for 200 ms after a call: the GNU layer shares our threads. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "peers/peer.h"

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112, PACKED = 151, B_MATRIX = 162 };

static size_t (*pack_size)(int which, int m, int n, int k);
static void (*pack)(int order, int which, int trans, int m, int n, int k, float alpha,
                    const float *from, int ld, float *to);
static void (*compute)(int order, int trans_a, int trans_b, int m, int n, int k, const float *a,
                       int ld_a, const float *b, int ld_b, float beta, float *c, int ld_c);
static void (*mkl_threads)(int threads);
static void (*mkl_dynamic)(int on);
static void (*mkl_version)(char *text, int length);

struct prepared {
    size_t m, n, k, floats; /* floats of one copy */
    float *weights;
};

/* The library in `folder` (or where the loader looks, if it is ""), any of its major versions. */
static void *open_in(const char *folder, char path[PEER_TEXT])
{
    static const char *const names[] = {"libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.so"};
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++) {
        snprintf(path, PEER_TEXT, "%s%s%s", folder, folder[0] ? "/" : "", names[i]);
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

/* PREFIX/lib of PREFIX/bin/python, and the like. */
static void *open_below(const char *file, size_t up, char path[PEER_TEXT])
{
    char folder[PEER_TEXT / 2] = "";
    snprintf(folder, sizeof folder - 8, "%s", file ? file : "");
    for (; up; up--) {
        char *slash = strrchr(folder, '/');
        *(slash ? slash : folder) = '\0';
    }
    if (!folder[0]) {
        return NULL;
    }
    memcpy(folder + strlen(folder), "/lib", sizeof "/lib");
    return open_in(folder, path);
}

static void *find_library(char path[PEER_TEXT])
{
    const char *given = getenv("IOL_MKL");
    void *library = NULL;
    if (given) {
        snprintf(path, PEER_TEXT, "%s", given);
        library = dlopen(given, RTLD_NOW | RTLD_LOCAL);
        library = library ? library : open_in(given, path);
        library = library ? library : open_below(given, 0, path);
    }
    library = library ? library : open_below(getenv("IOL_PYTHON"), 2, path);
    library = library ? library : open_below(getenv("VIRTUAL_ENV"), 0, path);
    return library ? library : open_in("", path);
}

static bool open_mkl(char text[PEER_TEXT])
{
    char path[PEER_TEXT];
    peer_setting("MKL_THREADING_LAYER", "GNU");
    peer_setting("MKL_INTERFACE_LAYER", "LP64");
    peer_setting("KMP_BLOCKTIME", "0");
#if defined(__x86_64__)
    if (bench_machine()->isa == IOLK_ISA_AVX2) {
        peer_setting("MKL_ENABLE_INSTRUCTIONS", "AVX2");
    }
#endif
    void *library = find_library(path);
    if (!library) {
        snprintf(text, PEER_TEXT, "not found (libmkl_rt.so: pip install mkl, then IOL_MKL=FOLDER)");
        return false;
    }
    *(void **)(void *)&pack_size = dlsym(library, "cblas_sgemm_pack_get_size");
    *(void **)(void *)&pack = dlsym(library, "cblas_sgemm_pack");
    *(void **)(void *)&compute = dlsym(library, "cblas_sgemm_compute");
    *(void **)(void *)&mkl_threads = dlsym(library, "MKL_Set_Num_Threads");
    *(void **)(void *)&mkl_dynamic = dlsym(library, "MKL_Set_Dynamic");
    *(void **)(void *)&mkl_version = dlsym(library, "MKL_Get_Version_String");
    if (!pack_size || !pack || !compute || !mkl_threads || !mkl_dynamic || !mkl_version) {
        snprintf(text, PEER_TEXT, "%.400s lacks cblas_sgemm_pack or MKL_*", path);
        return false;
    }
    mkl_dynamic(0);
    char version[160] = "";
    mkl_version(version, sizeof version);
    for (size_t end = strlen(version); end && version[end - 1] == ' '; end--) {
        version[end - 1] = '\0';
    }
    snprintf(text, PEER_TEXT, "%.160s, packed weights,", version);
    peer_append_setting(text, "MKL_THREADING_LAYER");
    peer_append_setting(text, "KMP_BLOCKTIME");
    peer_append_setting(text, "MKL_ENABLE_INSTRUCTIONS");
    return true;
}

static void set_threads(size_t threads)
{
    mkl_threads((int)threads);
}

static void release(void *prepared)
{
    struct prepared *w = prepared;
    if (w) {
        free(w->weights);
        free(w);
    }
}

static void *prepare(const struct peer_product *p, size_t m, void *old, char text[PEER_TEXT])
{
    (void)text;
    struct prepared *w = old;
    if (w && w->m == m) {
        return w;
    }
    size_t floats = (pack_size(B_MATRIX, (int)m, (int)p->n, (int)p->k) + 63) / 64 * 16;
    if (w && w->floats != floats) {
        release(w);
        w = NULL;
    }
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w) {
            return NULL;
        }
        *w = (struct prepared){m, p->n, p->k, floats, bench_floats(floats * p->copies)};
    }
    w->m = m;
    for (size_t i = 0; i < p->copies; i++) {
        pack(ROW_MAJOR, B_MATRIX, TRANS, (int)m, (int)p->n, (int)p->k, 1, p->w, (int)p->k,
             w->weights + i * floats);
    }
    return w;
}

static void run(void *prepared, size_t copy, size_t m, const float *a, float *c)
{
    const struct prepared *w = prepared;
    const int n = (int)w->n, k = (int)w->k;
    compute(ROW_MAJOR, NO_TRANS, PACKED, (int)m, n, k, a, k, w->weights + copy * w->floats, k, 0, c,
            n);
}

const struct peer peer_mkl = {"mkl", open_mkl, set_threads, prepare, run, release, NULL};
