#include "intervene/pattern.h"

#include <stdint.h>
#include <string.h>

struct iol_span iol_span_of(const char *text)
{
    return (struct iol_span){.text = text, .length = strlen(text)};
}

bool iol_span_is(struct iol_span span, const char *text)
{
    return strlen(text) == span.length && memcmp(span.text, text, span.length) == 0;
}

struct iol_span iol_span_until(struct iol_span span, char end)
{
    const char *at = span.length > 0 ? memchr(span.text, end, span.length) : NULL;
    return (struct iol_span){.text = span.text,
                             .length = at ? (size_t)(at - span.text) : span.length};
}

bool iol_list_next(struct iol_span *rest, struct iol_span *out_item)
{
    if (!rest->text) {
        return false;
    }
    *out_item = iol_span_until(*rest, ',');
    if (out_item->length == rest->length) {
        *rest = (struct iol_span){0};
    } else {
        rest->text += out_item->length + 1;
        rest->length -= out_item->length + 1;
    }
    return true;
}

/* The set that begins at glob.text[at] == '[': its length, and whether c is in it. 0: no closing
 * bracket, so the '[' stands for itself. */
static size_t set_match(struct iol_span glob, size_t at, char c, bool *out_hit)
{
    size_t begin = at + 1;
    bool negated = begin < glob.length && glob.text[begin] == '!';
    begin += negated ? 1 : 0;
    size_t end = begin + 1; /* a ']' in the first place is a member */
    while (end < glob.length && glob.text[end] != ']') {
        end++;
    }
    if (end >= glob.length) {
        return 0;
    }
    bool hit = false;
    for (size_t i = begin; i < end; i++) {
        bool range = i + 2 < end && glob.text[i + 1] == '-';
        char low = glob.text[i], high = range ? glob.text[i + 2] : low;
        hit = hit || (c >= low && c <= high);
        i += range ? 2 : 0;
    }
    *out_hit = hit != negated;
    return end + 1 - at;
}

bool iol_glob_match(struct iol_span glob, const char *name)
{
    size_t g = 0, n = 0, star = SIZE_MAX, resume = 0, length = strlen(name);
    while (n < length) {
        size_t used = 0;
        bool hit = false;
        if (g < glob.length) {
            if (glob.text[g] == '*') {
                star = g++;
                resume = n;
                continue;
            }
            if (glob.text[g] == '[') {
                used = set_match(glob, g, name[n], &hit);
            }
            if (used == 0) {
                used = 1;
                hit = glob.text[g] == '?' || glob.text[g] == name[n];
            }
        }
        if (hit) {
            g += used;
            n++;
        } else if (star != SIZE_MAX) {
            g = star + 1;
            n = ++resume;
        } else {
            return false;
        }
    }
    while (g < glob.length && glob.text[g] == '*') {
        g++;
    }
    return g == glob.length;
}
