/* What the tests of the store share: a folder of their own, the sample in it, and assertions on
 * error sentences. Include after cmocka.h. */
#ifndef IOL_STORE_FIXTURE_H
#define IOL_STORE_FIXTURE_H

#include "base/base.h"
#include "iolaus/experiment.h"
#include "store_sample.h"

struct fixture {
    struct sample sample;
    char folder[64], path[96], other[96];
};

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (!f) {
        return -1;
    }
    sample_fill(&f->sample);
    strcpy(f->folder, "/tmp/iolaus-store-XXXXXX");
    if (!mkdtemp(f->folder)) {
        free(f);
        return -1;
    }
    snprintf(f->path, sizeof f->path, "%s/results.db", f->folder);
    snprintf(f->other, sizeof f->other, "%s/other", f->folder);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const ends[] = {"results.db", "results.db-wal", "results.db-shm",
                                       "other",      "other-wal",      "other-shm"};
    char path[160];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(path, sizeof path, "%s/%s", f->folder, ends[i]);
        unlink(path);
    }
    int left = rmdir(f->folder); /* fails if a test left a file of another name */
    free(f);
    return left;
}

static inline void assert_sentence(enum iol_status status, enum iol_status expected,
                                   const char *part)
{
    if (status != expected || !strstr(iol_error(), part)) {
        fail_msg("found %s '%s', expected %s with '%s'", iol_status_name(status), iol_error(),
                 iol_status_name(expected), part);
    }
    assert_null(strchr(iol_error(), '\n'));
}

static inline void assert_ok(enum iol_status status)
{
    if (status != IOL_OK) {
        fail_msg("%s: %s", iol_status_name(status), iol_error());
    }
}

/* Store everything, waves of `size` prompts, from the last to the first if `backwards`. */
static inline struct iol_results *store_all(struct sample *s, const char *path, size_t size,
                                            bool backwards)
{
    struct iol_store *store;
    struct iol_results *results;
    assert_ok(iol_store_open(path, &s->experiment, &store));
    assert_ok(iol_store_put_clean(store, s->clean, SAMPLE_PROMPTS));
    for (size_t done = 0; done < SAMPLE_PROMPTS; done += size) {
        size_t last = done + size < SAMPLE_PROMPTS ? done + size : SAMPLE_PROMPTS;
        size_t first = done;
        if (backwards) {
            first = SAMPLE_PROMPTS - last;
            last = SAMPLE_PROMPTS - done;
        }
        assert_ok(sample_wave(s, store, first, last));
    }
    assert_ok(iol_store_finish(store, &s->bill));
    assert_ok(iol_store_into_results(store, &results));
    return results;
}

static inline void digest_of(struct sample *s, size_t size, bool backwards, char out[33])
{
    struct iol_results *results = store_all(s, NULL, size, backwards);
    assert_ok(iol_results_digest(results, out));
    assert_int_equal(strlen(out), 32);
    iol_results_close(results);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
