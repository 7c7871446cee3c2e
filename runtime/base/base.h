/* What every room of the runtime stands on: failures, memory, arenas, files, clocks. */
#ifndef IOL_BASE_H
#define IOL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iolaus/status.h"

/* Record one sentence about a failure in this thread and return `status`.
 *   return iol_fail(IOL_E_FORMAT, "%s: tensor '%s' has dtype %s, expected F32, F16 or BF16", path,
 * name, dtype); */
IOL_NODISCARD enum iol_status iol_fail(enum iol_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Go to `out` with `status` set when a call fails. Every fallible function has one exit. */
#define IOL_TRY(call)                                                                              \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != IOL_OK) {                                                                    \
            goto out;                                                                              \
        }                                                                                          \
    } while (0)

/* --- memory --- */

#define IOL_ALIGN      64        /* bytes: a cache line, a zmm register */
#define IOL_LARGE_PAGE (2 << 20) /* bytes: what x86 and most of aarch64 call a huge page */

/* count * size bytes, zeroed, aligned to IOL_ALIGN; NULL when out of memory or on overflow (also
 * when a test asked this allocation to fail). count or size 0 gives a valid pointer. Freed by
 * iol_free. */
void *iol_alloc(size_t count, size_t size);
/* Grow *array (count elements, capacity *capacity) so that it holds `need`; doubles. Contents kept.
 */
IOL_NODISCARD enum iol_status iol_grow(void *array_pointer, size_t *capacity, size_t need,
                                       size_t size);
void iol_free(void *p); /* NULL-safe */
char *iol_strdup(const char *text);
char *iol_strndup(const char *text, size_t length);
/* printf into a fresh string, freed by iol_free; NULL when out of memory. */
char *iol_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Test seam: the n-th allocation from now fails (0: none). Counts down over all threads. */
void iol_alloc_fail_nth(long n);

/* Checked size arithmetic: false on overflow. */
static inline bool iol_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool iol_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* A bump allocator over one block: take pieces, never free them one by one. Sized by the caller
 * beforehand. */
struct iol_arena {
    unsigned char *base;
    size_t size, used; /* bytes */
};
IOL_NODISCARD enum iol_status iol_arena_open(size_t bytes, struct iol_arena *out_arena);
void iol_arena_close(struct iol_arena *arena); /* NULL-safe, safe on a zeroed arena */
/* A piece aligned to IOL_ALIGN, not zeroed again; asserts that it fits (the plan sized the arena).
 */
void *iol_arena_take(struct iol_arena *arena, size_t count, size_t size);
/* Bytes that iol_arena_take(count, size) uses. */
size_t iol_arena_need(size_t count, size_t size);

/* --- files --- */

/* A file mapped read-only. */
struct iol_map {
    const unsigned char *data;
    size_t size; /* bytes */
};
IOL_NODISCARD enum iol_status iol_map_open(const char *path, struct iol_map *out_map);
void iol_map_close(struct iol_map *map); /* NULL-safe */

/* The whole file as a NUL-ended string (length excludes the NUL); larger than `limit` bytes is
 * IOL_E_LIMIT. */
IOL_NODISCARD enum iol_status iol_file_read(const char *path, size_t limit, char **out_text,
                                            size_t *out_length);

bool iol_file_exists(const char *path);
/* "folder/name", freed by iol_free; NULL when out of memory. */
char *iol_path_join(const char *folder, const char *name);

/* --- text --- */

/* Byte offset of the first byte that is not valid UTF-8, or `length` when all is valid. */
size_t iol_utf8_check(const char *text, size_t length);

/* --- clock --- */

double iol_seconds(void); /* monotonic */

/* --- splitmix64 (oracle schema: donors, bootstrap, permutations) --- */

static inline uint64_t iol_splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}
/* Uniform in 0..n-1: high 64 bits of the 128-bit product. */
static inline uint64_t iol_below(uint64_t *state, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)iol_splitmix64(state) * n) >> 64);
}

#endif
