/* Comma lists and globs, the two small languages of the settings. */
#ifndef IOL_PATTERN_H
#define IOL_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

/* A piece of a string that somebody else owns. For printf: "%.*s", IOL_SPAN(span). */
struct iol_span {
    const char *text;
    size_t length;
};
#define IOL_SPAN(span) (int)(span).length, (span).text

struct iol_span iol_span_of(const char *text);
bool iol_span_is(struct iol_span span, const char *text);
/* What comes before the first `end` (all of it if there is none). */
struct iol_span iol_span_until(struct iol_span span, char end);

/* The next item of a comma list: *rest is shortened, false at the end. "a,,b" has an empty item, ""
 * is one empty item. Start with *rest = the whole list. Thread-safe. */
bool iol_list_next(struct iol_span *rest, struct iol_span *out_item);

/* Does the whole of `name` match the glob: '*', '?', '[a-z]', '[!a-z]', everything else (also '\')
 * stands for itself; what Python's fnmatch.fnmatchcase does. Thread-safe. */
bool iol_glob_match(struct iol_span glob, const char *name);

#endif
