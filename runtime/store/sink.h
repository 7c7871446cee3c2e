/* Where text goes: a growing string, or a file that appears under its name only when complete. The
 * first failure sticks; later writes do nothing. Not thread-safe. */
#ifndef IOL_SINK_H
#define IOL_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iolaus/status.h"

struct iol_sink {
    char *buffer;
    size_t length, capacity;
    int fd;            /* -1: the text stays in `buffer` */
    char *path, *part; /* file: final and temporary name; part NULL: written in place */
    enum iol_status status;
};

void iol_sink_open_text(struct iol_sink *out_sink);
/* Write to a temporary name beside `path` (in place if `path` is there and no regular file).
 * Errors: IOL_E_IO, IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_sink_open_file(const char *path, struct iol_sink *out_sink);

/* Everything written? Then the string is the caller's (iol_free), or the file is synchronised and
 * renamed. Otherwise nothing is left under the final name. The sink is closed in both cases. */
IOL_NODISCARD enum iol_status iol_sink_finish_text(struct iol_sink *sink, char **out_text);
IOL_NODISCARD enum iol_status iol_sink_finish_file(struct iol_sink *sink);
void iol_sink_close(struct iol_sink *sink); /* give up; safe on a closed one */

void iol_sink_bytes(struct iol_sink *sink, const char *bytes, size_t count);
void iol_sink_text(struct iol_sink *sink, const char *text);
void iol_sink_format(struct iol_sink *sink, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void iol_sink_count(struct iol_sink *sink, uint64_t value);
/* The shortest of 15, 16 and 17 digits that reads back as the same bits, with a point or an
 * exponent; `undefined` for NaN and infinities. */
void iol_sink_real(struct iol_sink *sink, double value, const char *undefined);
void iol_sink_json_string(struct iol_sink *sink, const char *text); /* quoted and escaped */

/* The "C" number format and the floating-point mode of the numeric contract for this thread, around
 * everything that prints or hashes numbers. Nesting is fine. */
struct iol_number_scope {
    void *locale, *previous; /* locale_t */
    unsigned long mode;
    bool entered;
};
IOL_NODISCARD enum iol_status iol_number_scope_enter(struct iol_number_scope *out_scope);
void iol_number_scope_leave(struct iol_number_scope *scope); /* safe on a zeroed one */

#endif
