#define _GNU_SOURCE
#include "schedule/capture.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

void iol_record_fill(const struct iol_model *model, size_t length, bool all_rows, bool logits,
                     struct iol_record *out_record)
{
    const struct iol_arch *a = &model->arch;
    struct iol_record r = {.kv_floats = 2 * length * a->kv_heads * a->head_dim};
    r.resid_at = a->layers * r.kv_floats;
    r.rows_at = r.resid_at + (model->step_count + 1) * a->d_model;
    r.logits_at = r.rows_at + (all_rows ? (model->step_count + 1) * length * a->d_model : 0);
    r.total = r.logits_at + (logits ? a->vocab : 0);
    *out_record = r;
}

static void record_of(const struct iol_experiment *e, size_t prompt, struct iol_record *out_record)
{
    bool all_rows = (e->reuse & IOL_REUSE_DEPTH) && !(e->reuse & IOL_REUSE_POSITION);
    iol_record_fill(e->model, e->prompts[prompt].count, all_rows, e->dist, out_record);
}

uint64_t iol_capture_floats(const struct iol_experiment *experiment, const size_t *prompts,
                            size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        struct iol_record r;
        record_of(experiment, prompts ? prompts[i] : i, &r);
        sum += r.total;
    }
    return sum;
}

/* An unnamed file of `bytes` bytes in the spill folder, after a look at the free space there. */
static enum iol_status spill_open(struct iol_capture *c, uint64_t bytes)
{
    const struct iol_experiment *e = c->experiment;
    const char *folder = e->spill_folder;
    char *beside = NULL;
    if (!folder && e->out) {
        const char *slash = strrchr(e->out, '/');
        beside = slash ? iol_strndup(e->out, (size_t)(slash - e->out) + 1) : iol_strdup(".");
        folder = beside;
    }
    folder = folder ? folder : "/tmp";
    enum iol_status status = IOL_OK;
    char *path = iol_format("%s/iolaus-spill-XXXXXX", folder);
    struct statvfs space;
    if (!path) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: a path");
        goto out;
    }
    if (statvfs(folder, &space) != 0) {
        status = iol_fail(IOL_E_IO, "%s: cannot use as spill folder: %s", folder, strerror(errno));
        goto out;
    }
    uint64_t available = (uint64_t)space.f_bavail * space.f_frsize;
    if (available < bytes) {
        status = iol_fail(IOL_E_IO,
                          "%s: the capture does not fit the memory budget and its spill file needs "
                          "%llu MiB, found %llu MiB "
                          "free; give --spill another folder or raise --memory",
                          folder, (unsigned long long)(bytes >> 20),
                          (unsigned long long)(available >> 20));
        goto out;
    }
    c->fd = mkostemp(path, O_CLOEXEC);
    if (c->fd < 0) {
        status = iol_fail(IOL_E_IO, "%s: cannot create: %s", path, strerror(errno));
        goto out;
    }
    unlink(path);
    c->path = path;
    path = NULL;
    int full = posix_fallocate(c->fd, 0, (off_t)bytes);
    if (full != 0 && full != EOPNOTSUPP && full != EINVAL) {
        status = iol_fail(IOL_E_IO, "%s: cannot reserve %llu MiB: %s", c->path,
                          (unsigned long long)(bytes >> 20), strerror(full));
    }
out:
    iol_free(path);
    iol_free(beside);
    return status;
}

enum iol_status iol_capture_open(const struct iol_experiment *experiment, const bool *wanted,
                                 size_t window_floats, struct iol_capture *out_capture)
{
    enum iol_status status = IOL_OK;
    const struct iol_model *m = experiment->model;
    const struct iol_arch *a = &m->arch;
    struct iol_capture c = {.experiment = experiment,
                            .count = experiment->prompt_count,
                            .fd = -1,
                            .window_floats = window_floats};
    uint64_t floats = 0;
    c.records = iol_alloc(c.count, sizeof *c.records);
    c.offset = iol_alloc(c.count, sizeof *c.offset);
    c.at = iol_alloc(c.count, sizeof *c.at);
    c.y = iol_alloc(c.count * m->step_count, a->d_model * sizeof(float));
    c.z = experiment->any_head
              ? iol_alloc(c.count * a->layers, a->heads * a->head_dim * sizeof(float))
              : NULL;
    if (!c.records || !c.offset || !c.at || !c.y || (experiment->any_head && !c.z)) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: activations of %zu prompts", c.count);
        goto out;
    }
    for (size_t p = 0; p < c.count; p++) {
        record_of(experiment, p, &c.records[p]);
        c.offset[p] = floats;
        floats += !wanted || wanted[p] ? c.records[p].total : 0;
    }
    if (window_floats == 0) {
        c.memory = iol_alloc(floats, sizeof(float));
        if (!c.memory) {
            status = iol_fail(IOL_E_NOMEM, "out of memory: a capture of %llu MiB",
                              (unsigned long long)(floats >> 18));
            goto out;
        }
    } else {
        c.window = iol_alloc(window_floats, sizeof(float));
        if (!c.window) {
            status = iol_fail(IOL_E_NOMEM, "out of memory: a capture window of %zu MiB",
                              window_floats >> 18);
            goto out;
        }
        c.spill_bytes = floats * sizeof(float);
        IOL_TRY(spill_open(&c, c.spill_bytes));
    }
out:
    *out_capture = c;
    if (status != IOL_OK) {
        iol_capture_close(out_capture);
    }
    return status;
}

void iol_capture_close(struct iol_capture *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    iol_free(c->records);
    iol_free(c->offset);
    iol_free(c->at);
    iol_free(c->memory);
    iol_free(c->window);
    iol_free(c->path);
    iol_free(c->y);
    iol_free(c->z);
    *c = (struct iol_capture){.fd = -1};
}

/* Move one record between window and file. */
static enum iol_status move_record(struct iol_capture *c, size_t p, bool load)
{
    char *data = (char *)c->at[p];
    uint64_t left = c->records[p].total * sizeof(float), at = c->offset[p] * sizeof(float);
    while (left > 0) {
        ssize_t moved =
            load ? pread(c->fd, data, left, (off_t)at) : pwrite(c->fd, data, left, (off_t)at);
        if (moved < 0 && errno == EINTR) {
            continue;
        }
        if (moved <= 0) {
            return iol_fail(IOL_E_IO, "%s: cannot %s the spill file: %s", c->path,
                            load ? "read" : "write", moved < 0 ? strerror(errno) : "it ends early");
        }
        data += moved;
        at += (uint64_t)moved;
        left -= (uint64_t)moved;
    }
    return IOL_OK;
}

enum iol_status iol_capture_bring(struct iol_capture *c, const size_t *prompts, size_t count,
                                  bool load)
{
    enum iol_status status = IOL_OK;
    double begin = iol_seconds();
    size_t used = 0;
    if (c->window) {
        memset(c->at, 0, c->count * sizeof *c->at);
    }
    for (size_t i = 0; i < count; i++) {
        size_t p = prompts[i];
        if (c->memory) {
            c->at[p] = c->memory + c->offset[p];
            continue;
        }
        assert(used + c->records[p].total <= c->window_floats);
        c->at[p] = c->window + used;
        used += c->records[p].total;
        if (load) {
            IOL_TRY(move_record(c, p, true));
        }
    }
out:
    c->spill_seconds += c->window ? iol_seconds() - begin : 0;
    return status;
}

enum iol_status iol_capture_flush(struct iol_capture *c, const size_t *prompts, size_t count)
{
    enum iol_status status = IOL_OK;
    double begin = iol_seconds();
    if (!c->window) {
        return IOL_OK;
    }
    for (size_t i = 0; i < count; i++) {
        IOL_TRY(move_record(c, prompts[i], false));
    }
out:
    c->spill_seconds += iol_seconds() - begin;
    return status;
}
