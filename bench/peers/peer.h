/* Programs that compute C = A * B^T in f32: ours and others, called the same way.
 *
 * Libraries of others are opened with dlopen(RTLD_LOCAL) and never linked: their symbols clash.
 * Their settings go into the environment before that, where the user has not set them. */
#ifndef IOL_BENCH_PEER_H
#define IOL_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>

enum { PEER_TEXT = 512 };

struct peer_product {
    size_t n, k;
    size_t copies;  /* of the packed weights, for cold calls */
    const float *w; /* (n, k) row-major; read by prepare only */
};

struct peer {
    const char *name;
    /* Load and set up, once. True: text says version and settings. False: why it is not here. */
    bool (*open)(char text[PEER_TEXT]);
    /* How many threads the next calls use. */
    void (*set_threads)(size_t threads);
    /* Pack p->w, p->copies times, for products of m rows; `old` (or NULL) is what prepare returned
     * for the same product before and is reused or freed. NULL: text says what failed. */
    void *(*prepare)(const struct peer_product *p, size_t m, void *old, char text[PEER_TEXT]);
    /* C (m, n) = A (m, k) * B^T with copy number `copy`; rows side by side. */
    void (*run)(void *prepared, size_t copy, size_t m, const float *a, float *c);
    void (*release)(void *prepared); /* NULL-safe */
    /* Of a peer in another process, else NULL: seconds of `calls` calls, each with the next copy,
     * after one that is not timed. Its run says what is computed, and tells no time. */
    double (*turn)(void *prepared, size_t calls);
};

#define PEER(name) extern const struct peer peer_##name;
#include "peers.def"
#undef PEER

enum peer_id {
#define PEER(name) PEER_##name,
#include "peers.def"
#undef PEER
    PEER_COUNT
};

/* The peer, opened: NULL and the reason in *out_text if it is not here. Static storage. */
const struct peer *peer_get(enum peer_id id, const char **out_text);
const char *peer_name(enum peer_id id);
/* Whether it lives in another process: started late, and timed by its turn only. */
bool peer_elsewhere(enum peer_id id);

/* Environment of a peer, NULL: none; before it is loaded. What an environment says that knows
 * nothing of this bench gives way, and a line says so; IOL_PEER_SETTINGS=keep keeps it. */
void peer_setting(const char *name, const char *value);
/* Append "name=value " of an environment variable that is set. */
void peer_append_setting(char text[PEER_TEXT], const char *name);

/* Ours in detail: threads split `panels` (each its own part of the weights) or `rows` (the walk's
 * way). */
enum peer_split { PEER_SPLIT_PANELS, PEER_SPLIT_ROWS };
void peer_iolaus_split(enum peer_split split);

#endif
