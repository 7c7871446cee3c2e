/* The results file: one SQLite database per experiment (WAL; one wave is one transaction). */
#ifndef IOL_STORE_H
#define IOL_STORE_H

#include "store/results.h"

struct iol_store;

/* Create `path` (NULL: in memory), or open it again and check that it holds the same experiment,
 * architecture record, weights and numerics version: IOL_E_MISMATCH names the file and what differs
 * (found, expected). Refuses files that are no results files. Only result-determining settings are
 * compared; threads, ISA, reuse, group, memory are not. */
IOL_NODISCARD enum iol_status iol_store_open(const char *path,
                                             const struct iol_experiment *experiment,
                                             struct iol_store **out_store);
void iol_store_close(struct iol_store *store); /* NULL-safe */

/* Is phase A stored? Then *out_count is the number of prompts after the filter. */
IOL_NODISCARD enum iol_status iol_store_clean_count(struct iol_store *store, bool *out_stored,
                                                    size_t *out_count);
/* Store all clean rows with their y and z (one transaction). */
IOL_NODISCARD enum iol_status iol_store_put_clean(struct iol_store *store,
                                                  const struct iol_clean_row *rows, size_t count);
/* Read back for a resumed run: for p < count: sources[p], targets[p], y + p * K * d_model, z + p *
 * layers * heads * head_dim (z NULL: not wanted). */
IOL_NODISCARD enum iol_status iol_store_get_clean(struct iol_store *store, size_t count,
                                                  size_t *sources, int32_t *targets, float *y,
                                                  float *z);
/* done[p] = the effects of prompt p are stored. */
IOL_NODISCARD enum iol_status iol_store_get_done(struct iol_store *store, size_t count,
                                                 bool *out_done);
/* The bill as stored so far (pairs array supplied by the caller); zeroed if none. */
IOL_NODISCARD enum iol_status iol_store_get_bill(struct iol_store *store, struct iol_bill *bill);

/* One wave: effects (with their runs), noise rows and the whole bill so far, in one transaction. */
IOL_NODISCARD enum iol_status iol_store_put_wave(struct iol_store *store,
                                                 const struct iol_effect_row *effects,
                                                 size_t effect_count,
                                                 const struct iol_noise_row *noise,
                                                 size_t noise_count, const struct iol_bill *bill);
/* The arithmetic of a fast run and its error, for readers. */
IOL_NODISCARD enum iol_status iol_store_put_fast(struct iol_store *store,
                                                 const struct iol_fast_error *error);
/* All waves are stored: compute the statistics from the stored values, store them, the bill and the
 * machine; mark finished. */
IOL_NODISCARD enum iol_status iol_store_finish(struct iol_store *store,
                                               const struct iol_bill *bill);

/* Hand the database over to a results reader. The store is gone then, also when this fails. */
IOL_NODISCARD enum iol_status iol_store_into_results(struct iol_store *store,
                                                     struct iol_results **out_results);

#endif
