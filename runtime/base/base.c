#define _GNU_SOURCE
#include "base/base.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- failures --- */

static _Thread_local char error_text[2048];

enum iol_status iol_fail(enum iol_status status, const char *format, ...)
{
    char text[sizeof error_text]; /* an argument may be the previous sentence itself */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(error_text, text, sizeof text);
    return status;
}

const char *iol_error(void)
{
    return error_text;
}

const char *iol_status_name(enum iol_status status)
{
    switch (status) {
#define NAME(symbol, value, text)                                                                  \
    case symbol:                                                                                   \
        return #symbol;
        IOL_STATUS_MAP(NAME)
#undef NAME
    }
    return "IOL_E_?";
}

const char *iol_status_text(enum iol_status status)
{
    switch (status) {
#define TEXT(symbol, value, text)                                                                  \
    case symbol:                                                                                   \
        return text;
        IOL_STATUS_MAP(TEXT)
#undef TEXT
    }
    return "unknown status";
}

/* --- memory --- */

static atomic_long fail_countdown;

void iol_alloc_fail_nth(long n)
{
    atomic_store(&fail_countdown, n);
}

static bool allocation_fails(void)
{
    return atomic_load_explicit(&fail_countdown, memory_order_relaxed) > 0 &&
           atomic_fetch_sub(&fail_countdown, 1) == 1;
}

void *iol_alloc(size_t count, size_t size)
{
    size_t bytes, rounded;
    if (!iol_mul(count, size, &bytes) || !iol_add(bytes, IOL_ALIGN - 1, &rounded) ||
        rounded > PTRDIFF_MAX || allocation_fails()) {
        return NULL;
    }
    rounded -= rounded % IOL_ALIGN;
    rounded = rounded ? rounded : IOL_ALIGN;
    /* What fills at least two large pages lies in large pages where the kernel gives them: weights
     * read from memory cost their bytes, not their page tables. Small pages that an earlier owner
     * of the place has left are given back first. */
    const bool large = rounded >= 2 * (size_t)IOL_LARGE_PAGE;
    void *p = NULL;
    if (posix_memalign(&p, large ? IOL_LARGE_PAGE : IOL_ALIGN, rounded) != 0) {
        p = NULL;
    } else {
#ifdef MADV_HUGEPAGE
        if (large) {
            (void)madvise(p, rounded - rounded % IOL_LARGE_PAGE, MADV_DONTNEED);
            (void)madvise(p, rounded - rounded % IOL_LARGE_PAGE, MADV_HUGEPAGE);
        }
#endif
        memset(p, 0, rounded);
    }
    return p;
}

enum iol_status iol_grow(void *array_pointer, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity) {
        return IOL_OK;
    }
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    while (wanted < need) {
        if (!iol_mul(wanted, 2, &wanted)) {
            return iol_fail(IOL_E_NOMEM, "out of memory: %zu elements of %zu bytes", need, size);
        }
    }
    void *grown = iol_alloc(wanted, size);
    if (!grown) {
        return iol_fail(IOL_E_NOMEM, "out of memory: %zu elements of %zu bytes", wanted, size);
    }
    void **array = array_pointer;
    if (*array) {
        memcpy(grown, *array, *capacity * size);
        iol_free(*array);
    }
    *array = grown;
    *capacity = wanted;
    return IOL_OK;
}

void iol_free(void *p)
{
    free(p);
}

char *iol_strndup(const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? iol_alloc(length + 1, 1) : NULL;
    if (copy) {
        memcpy(copy, text, length);
    }
    return copy;
}

char *iol_strdup(const char *text)
{
    return iol_strndup(text, strlen(text));
}

char *iol_format(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *text = length >= 0 ? iol_alloc((size_t)length + 1, 1) : NULL;
    if (text) {
        vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    va_end(args);
    return text;
}

size_t iol_arena_need(size_t count, size_t size)
{
    size_t bytes;
    if (!iol_mul(count, size, &bytes) || bytes > SIZE_MAX - IOL_ALIGN) {
        return SIZE_MAX / 2;
    }
    return (bytes + IOL_ALIGN - 1) / IOL_ALIGN * IOL_ALIGN;
}

enum iol_status iol_arena_open(size_t bytes, struct iol_arena *out_arena)
{
    *out_arena = (struct iol_arena){.base = iol_alloc(bytes, 1), .size = bytes};
    if (!out_arena->base) {
        out_arena->size = 0;
        return iol_fail(IOL_E_NOMEM, "out of memory: a workspace of %zu bytes", bytes);
    }
    return IOL_OK;
}

void iol_arena_close(struct iol_arena *arena)
{
    if (arena) {
        iol_free(arena->base);
        *arena = (struct iol_arena){0};
    }
}

void *iol_arena_take(struct iol_arena *arena, size_t count, size_t size)
{
    size_t bytes = iol_arena_need(count, size);
    assert(bytes <= arena->size - arena->used);
    void *piece = arena->base + arena->used;
    arena->used += bytes;
    return piece;
}

/* --- files --- */

static enum iol_status fail_file(const char *path, const char *what)
{
    return iol_fail(IOL_E_IO, "%s: %s: %s", path, what, strerror(errno));
}

enum iol_status iol_map_open(const char *path, struct iol_map *out_map)
{
    enum iol_status status = IOL_OK;
    *out_map = (struct iol_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_file(path, "cannot open");
    }
    struct stat info;
    if (fstat(fd, &info) != 0) {
        status = fail_file(path, "cannot stat");
        goto out;
    }
    if (!S_ISREG(info.st_mode)) {
        status = iol_fail(IOL_E_IO, "%s: not a regular file", path);
        goto out;
    }
    if (info.st_size == 0) {
        status = iol_fail(IOL_E_FORMAT, "%s: the file is empty", path);
        goto out;
    }
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        status = fail_file(path, "cannot map");
        goto out;
    }
    *out_map = (struct iol_map){.data = data, .size = (size_t)info.st_size};
out:
    close(fd);
    return status;
}

void iol_map_close(struct iol_map *map)
{
    if (map && map->data) {
        munmap((void *)(uintptr_t)map->data, map->size);
        *map = (struct iol_map){0};
    }
}

enum iol_status iol_file_read(const char *path, size_t limit, char **out_text, size_t *out_length)
{
    enum iol_status status = IOL_OK;
    char *text = NULL;
    size_t length = 0, capacity = 0;
    *out_text = NULL;
    *out_length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_file(path, "cannot open");
    }
    for (;;) {
        IOL_TRY(iol_grow(&text, &capacity, length + 65536 + 1, 1));
        ssize_t got = read(fd, text + length, 65536);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            status = fail_file(path, "cannot read");
            goto out;
        }
        if (got == 0) {
            break;
        }
        length += (size_t)got;
        if (length > limit) {
            status = iol_fail(IOL_E_LIMIT, "%s: larger than %zu bytes", path, limit);
            goto out;
        }
    }
    text[length] = '\0';
    *out_text = text;
    *out_length = length;
    text = NULL;
out:
    iol_free(text);
    close(fd);
    return status;
}

bool iol_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

char *iol_path_join(const char *folder, const char *name)
{
    size_t n = strlen(folder);
    return iol_format("%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
}

/* --- text ---------------------------------------------------------------------------------------
 */

size_t iol_utf8_check(const char *text, size_t length)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;
    while (i < length) {
        unsigned char c = s[i];
        size_t more = c < 0x80             ? 0
                      : (c & 0xE0) == 0xC0 ? 1
                      : (c & 0xF0) == 0xE0 ? 2
                      : (c & 0xF8) == 0xF0 ? 3
                                           : 9;
        if (more == 9 || more > length - i - 1) {
            return i;
        }
        uint32_t code = more == 0 ? c : c & (0x3FU >> more);
        for (size_t k = 1; k <= more; k++) {
            if ((s[i + k] & 0xC0) != 0x80) {
                return i;
            }
            code = code << 6 | (s[i + k] & 0x3FU);
        }
        static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
        if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
            return i;
        }
        i += more + 1;
    }
    return length;
}

/* --- clock --------------------------------------------------------------------------------------
 */

double iol_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
