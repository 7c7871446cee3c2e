/* Kernels broken on purpose: what kcheck must catch. */
#ifndef KCHECK_BROKEN_H
#define KCHECK_BROKEN_H

#include "kcheck.h"

/* Something wrong that any kernel could do, added to a right one. */
struct kcb_sabotage {
    const char *what;
    void (*before)(void);
    void (*after)(const struct kc_case *c, void *const *p);
    bool must_fault;    /* only a guard page can see it */
    const char *spares; /* ops, comma-separated, whose results it does not change */
};
extern const struct kcb_sabotage kcb_sabotages[];
extern const size_t kcb_sabotage_count;

/* Wrong kernels of one op. */
extern const struct kc_variant kcb_broken[];
extern const size_t kcb_broken_count;

extern size_t kcb_fired; /* times that a sabotage or broken kernel did its work */

/* Flush denormals (FTZ and DAZ, FPCR.FZ) in this thread; false where there is no such mode. */
bool kcb_flush_denormals(void);
void kcb_keep_denormals(void);
bool kcb_flushes_denormals(void);

#endif
