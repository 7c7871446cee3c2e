/* What goes wrong with a results file is said in one sentence and loses nothing. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store_fixture.h"

static void write_file(const char *path, const void *data, size_t count)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, count), (ssize_t)count);
    close(fd);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *handle;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(handle);
}

static void assert_both_refuse(struct fixture *f, const char *path, enum iol_status expected,
                               const char *part)
{
    struct iol_store *store = NULL;
    struct iol_results *results = NULL;
    assert_sentence(iol_store_open(path, &f->sample.experiment, &store), expected, part);
    assert_null(store);
    assert_sentence(iol_results_open(path, &results), expected, part);
    assert_null(results);
}

static void files_that_are_no_results(void **state)
{
    struct fixture *f = *state;
    static const char noise[] = "This is a shopping list, not a database. Milk, bread, a neck of a "
                                "hydra, a torch, and quite a few other things: it must be longer "
                                "than the header of a database, or it is taken for an empty one.";
    struct iol_results *results;
    struct iol_store *store;
    write_file(f->other, noise, sizeof noise);
    assert_both_refuse(f, f->other, IOL_E_FORMAT, "not a results file: file is not a database");
    char *text;
    size_t length;
    assert_ok(iol_file_read(f->other, 4096, &text, &length));
    assert_int_equal(length, sizeof noise); /* untouched */
    iol_free(text);
    unlink(f->other);
    run_sql(f->other, "CREATE TABLE birds(name); INSERT INTO birds VALUES('wren')");
    assert_both_refuse(f, f->other, IOL_E_FORMAT, "another program");
    unlink(f->other);
    write_file(f->other, "", 0);
    assert_sentence(iol_results_open(f->other, &results), IOL_E_FORMAT, "it is empty");
    assert_ok(iol_store_open(f->other, &f->sample.experiment, &store)); /* a fresh mktemp file */
    iol_store_close(store);
    run_sql(f->other, "PRAGMA user_version = 2");
    assert_both_refuse(f, f->other, IOL_E_FORMAT, "found schema version 2, expected 1");
    assert_sentence(iol_results_open(f->path, &results), IOL_E_IO, "unable to open");
    assert_sentence(iol_store_open(f->folder, &f->sample.experiment, &store), IOL_E_IO,
                    "unable to open");
    assert_sentence(iol_store_open("/proc/nothing/x.db", &f->sample.experiment, &store), IOL_E_IO,
                    "/proc/nothing/x.db: cannot create it: No such");
}

static void a_truncated_file(void **state)
{
    struct fixture *f = *state;
    struct stat info;
    iol_results_close(store_all(&f->sample, f->path, 8, false));
    assert_int_equal(stat(f->path, &info), 0);
    static const double parts[] = {0.95, 0.5, 0.1};
    for (size_t i = 0; i < 3; i++) {
        struct iol_store *store = NULL;
        struct iol_results *results = NULL;
        char digest[33];
        assert_int_equal(truncate(f->path, (off_t)((double)info.st_size * parts[i])), 0);
        enum iol_status status = iol_results_open(f->path, &results);
        if (status == IOL_OK) { /* what it needs was still there: then the digest finds it */
            status = iol_results_digest(results, digest);
        }
        assert_sentence(status, IOL_E_FORMAT, "damaged");
        iol_results_close(results);
        status = iol_store_open(f->path, &f->sample.experiment, &store);
        if (status == IOL_OK) {
            status = iol_store_finish(store, &f->sample.bill);
        }
        assert_sentence(status, IOL_E_FORMAT, "damaged");
        iol_store_close(store);
    }
}

/* A user who may read but not write, and a folder that cannot be written. */
static void read_only(void **state)
{
    struct fixture *f = *state;
    iol_results_close(store_all(&f->sample, f->path, 8, false));
    assert_int_equal(chmod(f->path, 0444), 0);
    assert_int_equal(chmod(f->folder, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        struct iol_store *store;
        struct iol_results *results;
        char digest[33];
        if (geteuid() == 0 && setuid(65534) != 0) {
            _exit(2);
        }
        if (iol_store_open(f->path, &f->sample.experiment, &store) != IOL_E_IO ||
            !strstr(iol_error(), "cannot write to it: Permission denied")) {
            _exit(3);
        }
        if (iol_store_open(f->other, &f->sample.experiment, &store) != IOL_E_IO ||
            !strstr(iol_error(), "Permission denied")) {
            _exit(4);
        }
        if (iol_results_open(f->path, &results) != IOL_OK ||
            iol_results_digest(results, digest) != IOL_OK) {
            _exit(5);
        }
        if (iol_results_export(results, "json", f->other) != IOL_E_IO) {
            _exit(6);
        }
        iol_results_close(results);
        _exit(0);
    }
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(chmod(f->folder, 0755), 0);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), 0);
}

/* No page can be added: the wave fails whole, the file stays good, and the run goes on later. */
static void a_full_disk_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    struct iol_store *store;
    char whole[33], after[33];
    digest_of(s, 8, false, whole);
    assert_ok(iol_store_open(f->path, &s->experiment, &store));
    assert_ok(iol_store_put_clean(store, s->clean, SAMPLE_PROMPTS));
    assert_ok(sample_wave(s, store, 0, 2));
    /* the handle is the first member of the store */
    sqlite3 *handle;
    memcpy(&handle, store, sizeof handle);
    assert_int_equal(sqlite3_exec(handle, "PRAGMA max_page_count = 1", NULL, NULL, NULL),
                     SQLITE_OK); /* raised to the present size */
    assert_sentence(sample_wave(s, store, 2, 8), IOL_E_IO, "database or disk is full");
    assert_sentence(IOL_E_IO, IOL_E_IO, "what was stored before is kept");
    bool done[SAMPLE_PROMPTS];
    assert_ok(iol_store_get_done(store, SAMPLE_PROMPTS, done));
    assert_true(done[0] && done[1] && !done[2] && !done[7]);
    iol_store_close(store);
    assert_ok(iol_store_open(f->path, &s->experiment, &store));
    assert_ok(sample_wave(s, store, 2, 8));
    assert_ok(iol_store_finish(store, &s->bill));
    struct iol_results *results;
    assert_ok(iol_store_into_results(store, &results));
    assert_ok(iol_results_digest(results, after));
    assert_string_equal(after, whole);
    iol_results_close(results);
}

/* A child stores waves one by one and is killed after `microseconds`; the parent finishes. */
static void kill_and_resume(struct fixture *f, unsigned microseconds, const char *whole)
{
    struct sample *s = &f->sample;
    struct iol_store *store;
    pid_t child = fork();
    if (child == 0) {
        if (iol_store_open(f->path, &s->experiment, &store) != IOL_OK ||
            iol_store_put_clean(store, s->clean, SAMPLE_PROMPTS) != IOL_OK) {
            _exit(1);
        }
        for (size_t p = 0; p < SAMPLE_PROMPTS; p++) {
            if (sample_wave(s, store, p, p + 1) != IOL_OK) {
                _exit(1);
            }
        }
        pause();
        _exit(1);
    }
    usleep(microseconds);
    kill(child, SIGKILL);
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFSIGNALED(code));
    bool stored, done[SAMPLE_PROMPTS];
    size_t count;
    assert_ok(iol_store_open(f->path, &s->experiment, &store));
    assert_ok(iol_store_clean_count(store, &stored, &count));
    if (!stored) {
        assert_ok(iol_store_put_clean(store, s->clean, SAMPLE_PROMPTS));
    }
    assert_ok(iol_store_get_done(store, SAMPLE_PROMPTS, done));
    for (size_t p = 0; p < SAMPLE_PROMPTS; p++) {
        if (!done[p]) {
            assert_ok(sample_wave(s, store, p, p + 1));
        }
    }
    assert_ok(iol_store_finish(store, &s->bill));
    struct iol_results *results;
    char digest[33];
    assert_ok(iol_store_into_results(store, &results));
    assert_ok(iol_results_digest(results, digest));
    assert_string_equal(digest, whole);
    iol_results_close(results);
    unlink(f->path);
}

static void killed_at_any_moment(void **state)
{
    struct fixture *f = *state;
    char whole[33];
    digest_of(&f->sample, 8, false, whole);
    for (unsigned moment = 0; moment < 24; moment++) {
        kill_and_resume(f, moment * 700, whole);
    }
}

static int die(void *user)
{
    unsigned *left = user;
    if (--*left == 0) {
        kill(getpid(), SIGKILL);
    }
    return 0;
}

/* Killed inside the transaction of one wave, all of whose rows are written but not committed. */
static void killed_inside_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    for (unsigned wave = 1; wave <= 4; wave++) {
        pid_t child = fork();
        if (child == 0) {
            struct iol_store *store;
            sqlite3 *handle;
            unsigned left = wave + 1; /* the clean rows are a transaction too */
            if (iol_store_open(f->path, &s->experiment, &store) != IOL_OK) {
                _exit(1);
            }
            memcpy(&handle, store, sizeof handle);
            sqlite3_commit_hook(handle, die, &left);
            bool going = iol_store_put_clean(store, s->clean, SAMPLE_PROMPTS) == IOL_OK;
            for (size_t p = 0; going && p < SAMPLE_PROMPTS; p += 2) {
                going = sample_wave(s, store, p, p + 2) == IOL_OK;
            }
            _exit(1);
        }
        int code;
        struct iol_store *store;
        bool done[SAMPLE_PROMPTS];
        assert_int_equal(waitpid(child, &code, 0), child);
        assert_true(WIFSIGNALED(code) && WTERMSIG(code) == SIGKILL);
        assert_ok(iol_store_open(f->path, &s->experiment, &store));
        assert_ok(iol_store_get_done(store, SAMPLE_PROMPTS, done));
        for (size_t p = 0; p < SAMPLE_PROMPTS; p++) {
            assert_int_equal(done[p], p < 2 * ((size_t)wave - 1));
        }
        assert_ok(sample_wave(s, store, 2 * ((size_t)wave - 1), SAMPLE_PROMPTS));
        assert_ok(iol_store_finish(store, &s->bill));
        iol_store_close(store);
        unlink(f->path);
    }
}

/* Every allocation fails once: an error each time, no leak, and success in the end. */
static void out_of_memory(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    bool failed = true;
    for (long n = 1; failed; n++) {
        struct iol_store *store = NULL;
        struct iol_results *results = NULL;
        char *text = NULL;
        enum iol_status status;
        iol_alloc_fail_nth(n);
        IOL_TRY(iol_store_open(NULL, &s->experiment, &store));
        IOL_TRY(iol_store_put_clean(store, s->clean, SAMPLE_PROMPTS));
        IOL_TRY(sample_wave(s, store, 0, SAMPLE_PROMPTS));
        IOL_TRY(iol_store_finish(store, &s->bill));
        status = iol_store_into_results(store, &results);
        store = NULL;
        if (status != IOL_OK) {
            goto out;
        }
        IOL_TRY(iol_results_text(results, "json", &text));
        iol_text_free(text);
        IOL_TRY(iol_results_text(results, "table", &text));
        iol_text_free(text);
        IOL_TRY(iol_results_text(results, "bill", &text));
        iol_text_free(text);
    out:
        iol_alloc_fail_nth(0);
        failed = status != IOL_OK;
        if (failed) {
            assert_int_equal(status, IOL_E_NOMEM);
        }
        assert_true(n < 5000);
        iol_results_close(results);
        iol_store_close(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_that_are_no_results),
        TEST(a_truncated_file),
        TEST(read_only),
        TEST(a_full_disk_loses_nothing),
        TEST(killed_at_any_moment),
        TEST(killed_inside_a_transaction),
        TEST(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
