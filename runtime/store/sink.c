#define _GNU_SOURCE
#include "store/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/context.h"

enum { FLUSH_BYTES = 1 << 16 };

/* --- opening and closing --- */

void iol_sink_open_text(struct iol_sink *out_sink)
{
    *out_sink = (struct iol_sink){.fd = -1};
}

static enum iol_status fail_path(const char *path, const char *what)
{
    return iol_fail(IOL_E_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

enum iol_status iol_sink_open_file(const char *path, struct iol_sink *out_sink)
{
    enum iol_status status = IOL_OK;
    struct stat info;
    *out_sink = (struct iol_sink){.fd = -1};
    out_sink->path = iol_strdup(path);
    if (!out_sink->path) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s", path);
        goto out;
    }
    bool exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode)) {
        status = iol_fail(IOL_E_IO, "%s: cannot write to it: it is a folder", path);
        goto out;
    }
    if (!exists || S_ISREG(info.st_mode)) {
        out_sink->part = iol_format("%s.part-%ld", path, (long)getpid());
        if (!out_sink->part) {
            status = iol_fail(IOL_E_NOMEM, "out of memory: %s", path);
            goto out;
        }
    }
    int flags = O_WRONLY | O_CLOEXEC | (out_sink->part ? O_CREAT | O_TRUNC : 0);
    out_sink->fd = open(out_sink->part ? out_sink->part : path, flags, 0666);
    if (out_sink->fd < 0) {
        status = fail_path(out_sink->part ? out_sink->part : path, "create it");
        iol_free(out_sink->part);
        out_sink->part = NULL;
    }
out:
    if (status != IOL_OK) {
        iol_sink_close(out_sink);
    }
    return status;
}

void iol_sink_close(struct iol_sink *sink)
{
    if (sink->fd >= 0) {
        close(sink->fd);
    }
    if (sink->part) {
        unlink(sink->part);
    }
    iol_free(sink->part);
    iol_free(sink->path);
    iol_free(sink->buffer);
    *sink = (struct iol_sink){.fd = -1};
}

static void flush_buffer(struct iol_sink *sink)
{
    size_t done = 0;
    while (sink->status == IOL_OK && done < sink->length) {
        ssize_t wrote = write(sink->fd, sink->buffer + done, sink->length - done);
        if (wrote < 0 && errno != EINTR) {
            sink->status = fail_path(sink->path, "write to it");
        } else if (wrote > 0) {
            done += (size_t)wrote;
        }
    }
    sink->length = 0;
}

enum iol_status iol_sink_finish_text(struct iol_sink *sink, char **out_text)
{
    *out_text = NULL;
    iol_sink_bytes(sink, "", 1);
    enum iol_status status = sink->status;
    if (status == IOL_OK) {
        *out_text = sink->buffer;
        sink->buffer = NULL;
    }
    iol_sink_close(sink);
    return status;
}

/* Make the rename itself durable; a file system that cannot is left at that. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    char *folder = slash ? iol_strndup(path, length) : iol_strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    iol_free(folder);
}

enum iol_status iol_sink_finish_file(struct iol_sink *sink)
{
    flush_buffer(sink);
    enum iol_status status = sink->status;
    if (status == IOL_OK && sink->part && fsync(sink->fd) != 0) {
        status = fail_path(sink->path, "write to it");
    }
    if (status == IOL_OK && sink->part) {
        if (rename(sink->part, sink->path) != 0) {
            status = fail_path(sink->path, "rename the finished file to it");
        } else {
            sync_folder(sink->path);
            iol_free(sink->part);
            sink->part = NULL;
        }
    }
    iol_sink_close(sink);
    return status;
}

/* --- writing --- */

void iol_sink_bytes(struct iol_sink *sink, const char *bytes, size_t count)
{
    size_t need;
    if (sink->status != IOL_OK) {
        return;
    }
    if (!iol_add(sink->length, count, &need)) {
        sink->status = iol_fail(IOL_E_NOMEM, "out of memory: %zu bytes of text", count);
        return;
    }
    sink->status = iol_grow(&sink->buffer, &sink->capacity, need, 1);
    if (sink->status != IOL_OK) {
        return;
    }
    memcpy(sink->buffer + sink->length, bytes, count);
    sink->length = need;
    if (sink->fd >= 0 && sink->length >= FLUSH_BYTES) {
        flush_buffer(sink);
    }
}

void iol_sink_text(struct iol_sink *sink, const char *text)
{
    iol_sink_bytes(sink, text, strlen(text));
}

void iol_sink_format(struct iol_sink *sink, const char *format, ...)
{
    char text[512];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(text, sizeof text, format, args);
    if (length >= 0 && (size_t)length < sizeof text) {
        iol_sink_bytes(sink, text, (size_t)length);
    } else if (length >= 0) {
        char *larger = iol_alloc((size_t)length + 1, 1);
        if (larger) {
            vsnprintf(larger, (size_t)length + 1, format, again);
            iol_sink_bytes(sink, larger, (size_t)length);
        } else if (sink->status == IOL_OK) {
            sink->status = iol_fail(IOL_E_NOMEM, "out of memory: %d bytes of text", length);
        }
        iol_free(larger);
    }
    va_end(again);
    va_end(args);
}

void iol_sink_count(struct iol_sink *sink, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    iol_sink_bytes(sink, digits + at, sizeof digits - at);
}

void iol_sink_real(struct iol_sink *sink, double value, const char *undefined)
{
    char text[40];
    int length = 0;
    if (!isfinite(value)) {
        iol_sink_text(sink, undefined);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        length = snprintf(text, sizeof text - 2, "%.*g", digits, value);
        double back = digits < 17 ? strtod(text, NULL) : value;
        if (memcmp(&back, &value, sizeof value) == 0) {
            break;
        }
    }
    iol_sink_bytes(sink, text, (size_t)length);
    if (!strpbrk(text, ".e")) {
        iol_sink_bytes(sink, ".0", 2);
    }
}

void iol_sink_json_string(struct iol_sink *sink, const char *text)
{
    iol_sink_bytes(sink, "\"", 1);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            iol_sink_bytes(sink, "\\", 1);
            iol_sink_bytes(sink, c, 1);
        } else if ((unsigned char)*c < 0x20) {
            iol_sink_format(sink, "\\u%04x", (unsigned)(unsigned char)*c);
        } else {
            iol_sink_bytes(sink, c, 1);
        }
    }
    iol_sink_bytes(sink, "\"", 1);
}

/* --- number format --- */

enum iol_status iol_number_scope_enter(struct iol_number_scope *out_scope)
{
    *out_scope = (struct iol_number_scope){0};
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) {
        return iol_fail(IOL_E_NOMEM, "out of memory: the number format");
    }
    out_scope->locale = plain;
    out_scope->previous = uselocale(plain);
    out_scope->mode = iol_fpmode_enter().saved;
    out_scope->entered = true;
    return IOL_OK;
}

void iol_number_scope_leave(struct iol_number_scope *scope)
{
    if (scope->entered) {
        iol_fpmode_leave((struct iol_fpmode){scope->mode});
        uselocale((locale_t)scope->previous);
        freelocale((locale_t)scope->locale);
    }
    *scope = (struct iol_number_scope){0};
}
