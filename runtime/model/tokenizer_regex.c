/* Patterns of tokenizers. The reference compiles them with Oniguruma in Ruby syntax; here they are
 * rewritten for PCRE2: \s \d \w \p{..}   Unicode properties of the reference's version
 * (tokenizer_unicode.def) x{n,m}+           in Ruby a repeated repetition, not a possessive one
 *   [a[bc]]           nested classes are united
 *   ^ $               lines
 * What has another meaning in PCRE2 and is not rewritten is refused. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "base/base.h"
#include "model/tokenizer_parts.h"

/* "word" stands for \w: its PCRE2 name is spelled so that \p{NAME} gives the four properties it
 * joins. */
static const struct property {
    const char *name, *pcre2, *ranges;
} properties[] = {
#define X(name, pcre2, ranges) {name, pcre2, ranges},
#include "model/tokenizer_unicode.def"
#undef X
};

#define GROUP_DEPTH 64

struct translation {
    const char *file, *place, *text; /* text: the expression, NUL-ended */
    size_t length, at;
    char *out;
    size_t used, capacity;
    size_t atom; /* where the last atom begins in out */
    size_t groups[GROUP_DEPTH];
    size_t depth;
    bool branch_start; /* nothing yet in this branch */
    bool first_branch; /* of the group */
};

static enum iol_status refuse(const struct translation *t, size_t from, size_t length,
                              const char *why)
{
    int shown = (int)(length < 24 ? length : 24);
    return iol_fail(IOL_E_UNSUPPORTED,
                    "%s: %s: '%.*s' at byte %zu of the expression is not supported (%s)", t->file,
                    t->place, shown, t->text + from, from, why);
}

static enum iol_status emit(struct translation *t, const char *text, size_t length)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_grow(&t->out, &t->capacity, t->used + length + 1, 1));
    memcpy(t->out + t->used, text, length);
    t->used += length;
    t->out[t->used] = '\0';
out:
    return status;
}

static enum iol_status emit_text(struct translation *t, const char *text)
{
    return emit(t, text, strlen(text));
}

static const struct property *find_property(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) {
        if (strlen(properties[i].name) == length &&
            strncmp(properties[i].name, name, length) == 0) {
            return &properties[i];
        }
    }
    return NULL;
}

/* A property, positive or not, inside a class or outside. */
static enum iol_status emit_property(struct translation *t, const struct property *property,
                                     bool negative, bool in_class, size_t from)
{
    enum iol_status status = IOL_OK;
    if (in_class && negative) {
        if (strchr(property->pcre2, '}')) {
            return refuse(t, from, t->at - from, "a negative \\W inside a class");
        }
        IOL_TRY(emit_text(t, "\\P{"));
        IOL_TRY(emit_text(t, property->pcre2));
        return emit_text(t, "}");
    }
    if (!in_class) {
        IOL_TRY(emit_text(t, negative ? "[^" : "["));
    }
    IOL_TRY(emit_text(t, "\\p{"));
    IOL_TRY(emit_text(t, property->pcre2));
    IOL_TRY(emit_text(t, "}"));
    IOL_TRY(emit_text(t, property->ranges));
    if (!in_class) {
        IOL_TRY(emit_text(t, "]"));
    }
out:
    return status;
}

/* \p{NAME}, \P{NAME}, \p{^NAME}; t->at is behind the p. */
static enum iol_status property_escape(struct translation *t, bool negative, bool in_class,
                                       size_t from)
{
    size_t begin = t->at + 1, end = begin;
    if (t->at >= t->length || t->text[t->at] != '{') {
        return refuse(t, from, t->at - from, "a property without braces");
    }
    while (end < t->length && t->text[end] != '}') {
        end++;
    }
    if (end == t->length) {
        return iol_fail(IOL_E_FORMAT, "%s: %s: '%.24s' has no closing brace", t->file, t->place,
                        t->text + from);
    }
    t->at = end + 1;
    if (begin < end && t->text[begin] == '^') {
        negative = !negative;
        begin++;
    }
    const struct property *property = find_property(t->text + begin, end - begin);
    if (!property) {
        return refuse(t, from, t->at - from, "a property that is not known here");
    }
    return emit_property(t, property, negative, in_class, from);
}

/* \xHH, \x{H..}, \uHHHH; t->at is behind the letter. */
static enum iol_status code_escape(struct translation *t, char letter, size_t from)
{
    enum iol_status status = IOL_OK;
    bool braces = letter == 'x' && t->at < t->length && t->text[t->at] == '{';
    size_t begin = t->at + (braces ? 1 : 0), most = braces ? 6 : letter == 'u' ? 4 : 2;
    size_t digits = strspn(t->text + begin, "0123456789abcdefABCDEF");
    digits = digits < most ? digits : most;
    t->at = begin + digits;
    if (digits == 0 || (letter == 'u' && digits != 4) || (braces && t->text[t->at] != '}')) {
        return refuse(t, from, t->at - from, "an incomplete character code");
    }
    if (letter == 'x' && !braces && digits == 2 && t->text[begin] > '7') {
        return refuse(t, from, t->at - from, "a raw byte above 7F");
    }
    t->at += braces ? 1 : 0;
    IOL_TRY(emit_text(t, "\\x{"));
    IOL_TRY(emit(t, t->text + begin, digits));
    IOL_TRY(emit_text(t, "}"));
out:
    return status;
}

/* The escape that begins at t->at. */
static enum iol_status escape(struct translation *t, bool in_class)
{
    size_t from = t->at;
    char c = t->at + 1 < t->length ? t->text[t->at + 1] : '\0';
    t->at += 2;
    switch (c) {
    case 's':
        return emit_text(t, "\\p{White_Space}");
    case 'S':
        return emit_text(t, "\\P{White_Space}");
    case 'd':
    case 'D':
        return emit_property(t, find_property("Nd", 2), c == 'D', in_class, from);
    case 'w':
    case 'W':
        return emit_property(t, find_property("word", 4), c == 'W', in_class, from);
    case 'p':
    case 'P':
        return property_escape(t, c == 'P', in_class, from);
    case 'x':
    case 'u':
        return code_escape(t, c, from);
    case 'v':
        return emit_text(t, "\\x0B");
    case 'n':
    case 't':
    case 'r':
    case 'f':
    case 'a':
    case 'e':
        return emit(t, t->text + from, 2);
    case 'A':
    case 'z':
    case 'Z':
        return in_class ? refuse(t, from, 2, "not in a class") : emit(t, t->text + from, 2);
    default:
        break;
    }
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '\0') {
        t->at = t->at < t->length ? t->at : t->length;
        return refuse(t, from, t->at - from, "an escape that is not known here");
    }
    if ((unsigned char)c >= 0x80) { /* an escaped character that needs none */
        t->at = from + 1;
        return IOL_OK;
    }
    return emit(t, t->text + from, 2);
}

/* The class that begins at t->at; nested positive classes are written out. */
static enum iol_status character_class(struct translation *t)
{
    enum iol_status status = IOL_OK;
    size_t from = t->at, depth = 1;
    IOL_TRY(emit_text(t, "["));
    t->at++;
    if (t->at < t->length && t->text[t->at] == '^') {
        IOL_TRY(emit_text(t, "^"));
        t->at++;
    }
    if (t->at < t->length && t->text[t->at] == ']') {
        return refuse(t, from, t->at + 1 - from, "an empty class");
    }
    while (depth > 0) {
        const char *rest = t->text + t->at;
        if (t->at >= t->length) {
            return iol_fail(IOL_E_FORMAT,
                            "%s: %s: the class '%.24s' at byte %zu of the expression is not closed",
                            t->file, t->place, t->text + from, from);
        }
        if (*rest == '\\') {
            IOL_TRY(escape(t, true));
            continue;
        }
        if (*rest == '[' && (rest[1] == '^' || rest[1] == ':' || rest[1] == ']')) {
            return refuse(t, t->at, 2, "inside a class");
        }
        if (strncmp(rest, "&&", 2) == 0) {
            return refuse(t, t->at, 2, "intersection of classes");
        }
        if (*rest == '[') {
            depth++;
        } else if (*rest == ']') {
            depth--;
        } else {
            IOL_TRY(emit(t, rest, 1));
        }
        t->at++;
    }
    IOL_TRY(emit_text(t, "]"));
out:
    return status;
}

/* The opening parenthesis at t->at with what follows it. */
static enum iol_status open_group(struct translation *t)
{
    enum iol_status status = IOL_OK;
    static const char *const openings[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
    const char *rest = t->text + t->at;
    size_t length = rest[1] == '?' || rest[1] == '*' ? 0 : 1;
    for (size_t i = 0; length == 0 && i < sizeof openings / sizeof *openings; i++) {
        if (strncmp(rest, openings[i], strlen(openings[i])) == 0) {
            length = strlen(openings[i]);
        }
    }
    if (length == 0 && strncmp(rest, "(?i)", 4) == 0 && t->first_branch && t->branch_start) {
        t->at += 4;
        return emit_text(t, "(?i)");
    }
    if (length == 0) {
        return refuse(t, t->at, 3, "a group of this kind");
    }
    if (t->depth == GROUP_DEPTH) {
        return refuse(t, t->at, length, "groups nested too deeply");
    }
    t->groups[t->depth++] = t->used;
    t->branch_start = t->first_branch = true;
    IOL_TRY(emit(t, rest, length));
    t->at += length;
out:
    return status;
}

/* Put "(?:" before the last atom and ")" behind what is written. */
static enum iol_status wrap_atom(struct translation *t)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(emit_text(t, "(?:)"));
    memmove(t->out + t->atom + 3, t->out + t->atom, t->used - 4 - t->atom);
    memcpy(t->out + t->atom, "(?:", 3);
    t->out[t->used - 1] = ')';
out:
    return status;
}

/* A brace: an interval {n} {n,} {n,m} {,m} or a plain character. */
static enum iol_status brace(struct translation *t)
{
    enum iol_status status = IOL_OK;
    const char *rest = t->text + t->at;
    size_t low = strspn(rest + 1, "0123456789"), comma = rest[1 + low] == ',' ? 1 : 0;
    size_t high = comma ? strspn(rest + 2 + low, "0123456789") : 0;
    size_t length = 1 + low + comma + high;
    if (low + high == 0 || rest[length] != '}') {
        t->atom = t->used;
        t->at++;
        return emit_text(t, "\\{");
    }
    length++;
    IOL_TRY(emit_text(t, low ? "{" : "{0"));
    IOL_TRY(emit(t, rest + 1, length - 1));
    t->at += length;
    if (rest[length] == '+' || (rest[length] == '?' && !comma)) {
        IOL_TRY(wrap_atom(t));
    }
out:
    return status;
}

static enum iol_status translate(struct translation *t)
{
    enum iol_status status = IOL_OK;
    t->branch_start = t->first_branch = true;
    while (t->at < t->length) {
        char c = t->text[t->at];
        bool start = false;
        if (c == '\\' || c == '[' || c == '.' || (unsigned char)c < 0x80) {
            t->atom = c == '*' || c == '+' || c == '?' || c == '{' || c == ')' ? t->atom : t->used;
        } else if ((unsigned char)c >= 0xC0) {
            t->atom = t->used;
        }
        if (c == '\\') {
            IOL_TRY(escape(t, false));
        } else if (c == '[') {
            IOL_TRY(character_class(t));
        } else if (c == '(') {
            IOL_TRY(open_group(t));
            start = true;
        } else if (c == '{') {
            IOL_TRY(brace(t));
        } else {
            if (c == ')') {
                t->atom = t->depth ? t->groups[--t->depth] : t->used;
                t->first_branch = false;
            } else if (c == '|') {
                t->first_branch = false;
            }
            IOL_TRY(emit(t, &c, 1));
            t->at++;
        }
        t->branch_start = start;
    }
out:
    return status;
}

enum iol_status iol_pattern_regex(const char *file, const char *place, const char *expression,
                                  size_t length, struct iol_pattern *out_pattern)
{
    enum iol_status status = IOL_OK;
    struct translation t = {.file = file, .place = place, .text = expression, .length = length};
    pcre2_compile_context *context = NULL;
    pcre2_code *code = NULL;
    int error = 0;
    PCRE2_SIZE offset = 0;
    *out_pattern = (struct iol_pattern){0};
    if (strlen(expression) != length) {
        status =
            iol_fail(IOL_E_UNSUPPORTED, "%s: %s: a NUL character in an expression", file, place);
        goto out;
    }
    IOL_TRY(emit_text(&t, ""));
    IOL_TRY(translate(&t));
    context = pcre2_compile_context_create(NULL);
    if (!context) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %s: an expression", file);
        goto out;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    code = pcre2_compile((PCRE2_SPTR)t.out, t.used, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error,
                         &offset, context);
    if (!code) {
        PCRE2_UCHAR why[128] = {0};
        pcre2_get_error_message(error, why, sizeof why);
        status = iol_fail(IOL_E_FORMAT, "%s: %s: the expression '%.80s' does not compile: %s", file,
                          place, expression, (const char *)why);
        goto out;
    }
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* only faster */
    out_pattern->code = code;
out:
    pcre2_compile_context_free(context);
    iol_free(t.out);
    return status;
}

enum iol_status iol_pattern_literal(const char *text, size_t length,
                                    struct iol_pattern *out_pattern)
{
    *out_pattern =
        (struct iol_pattern){.literal = iol_strndup(text, length), .literal_length = length};
    return out_pattern->literal ? IOL_OK : iol_fail(IOL_E_NOMEM, "out of memory: a pattern");
}

void iol_pattern_close(struct iol_pattern *pattern)
{
    if (pattern) {
        iol_free(pattern->literal);
        pcre2_code_free(pattern->code);
        *pattern = (struct iol_pattern){0};
    }
}

/* --- matching ------------------------------------------------------------------------------------
 */

/* Add the match start..end-1 and what lies before it. `*done`: where the spans end so far. */
static enum iol_status add_match(struct iol_spans *spans, size_t *done, size_t start, size_t end)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_grow(&spans->items, &spans->capacity, spans->count + 2, sizeof *spans->items));
    if (*done != start) {
        spans->items[spans->count++] = (struct iol_span){.start = *done, .end = start};
    }
    spans->items[spans->count++] = (struct iol_span){.start = start, .end = end, .match = true};
    *done = end;
out:
    return status;
}

static enum iol_status find_literal(const struct iol_pattern *pattern, const char *text,
                                    size_t length, struct iol_spans *spans, size_t *done)
{
    enum iol_status status = IOL_OK;
    size_t n = pattern->literal_length;
    for (size_t i = 0; n && i + n <= length;) {
        const char *hit = memchr(text + i, pattern->literal[0], length - n + 1 - i);
        if (!hit) {
            break;
        }
        i = (size_t)(hit - text);
        if (memcmp(hit, pattern->literal, n) != 0) {
            i++;
            continue;
        }
        IOL_TRY(add_match(spans, done, i, i + n));
        i += n;
    }
out:
    return status;
}

static size_t next_character(const char *text, size_t length, size_t at)
{
    at++;
    while (at < length && ((unsigned char)text[at] & 0xC0) == 0x80) {
        at++;
    }
    return at;
}

/* All matches from left to right; an empty match right behind the last one is skipped. */
static enum iol_status find_regex(const pcre2_code *code, const char *text, size_t length,
                                  struct iol_spans *spans, size_t *done)
{
    enum iol_status status = IOL_OK;
    size_t at = 0, last_end = SIZE_MAX;
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    if (!match) {
        return iol_fail(IOL_E_NOMEM, "out of memory: matching an expression");
    }
    const PCRE2_SIZE *where = pcre2_get_ovector_pointer(match);
    while (at <= length) {
        int found =
            pcre2_match(code, (PCRE2_SPTR)text, length, at, PCRE2_NO_UTF_CHECK, match, NULL);
        if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
            found = pcre2_match(code, (PCRE2_SPTR)text, length, at,
                                PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, NULL);
        }
        if (found == PCRE2_ERROR_NOMATCH) {
            break;
        }
        if (found < 0) {
            PCRE2_UCHAR why[128] = {0};
            pcre2_get_error_message(found, why, sizeof why);
            status = iol_fail(found == PCRE2_ERROR_NOMEMORY ? IOL_E_NOMEM : IOL_E_LIMIT,
                              "an expression of tokenizer.json failed at byte %zu of a text of "
                              "%zu bytes: %s",
                              at, length, (const char *)why);
            goto out;
        }
        if (where[0] == where[1] && where[1] == last_end) {
            at = next_character(text, length, at);
            continue;
        }
        at = last_end = where[1];
        IOL_TRY(add_match(spans, done, where[0], where[1]));
    }
out:
    pcre2_match_data_free(match);
    return status;
}

enum iol_status iol_pattern_find(const struct iol_pattern *pattern, const char *text, size_t length,
                                 struct iol_spans *out_spans)
{
    enum iol_status status = IOL_OK;
    size_t done = 0;
    out_spans->count = 0;
    if (pattern->literal) {
        IOL_TRY(find_literal(pattern, text, length, out_spans, &done));
    } else {
        IOL_TRY(find_regex(pattern->code, text, length, out_spans, &done));
    }
    IOL_TRY(iol_grow(&out_spans->items, &out_spans->capacity, out_spans->count + 1,
                     sizeof *out_spans->items));
    if (done != length) {
        out_spans->items[out_spans->count++] = (struct iol_span){.start = done, .end = length};
    }
out:
    return status;
}
