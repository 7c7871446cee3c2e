/* Added tokens: cut out of a text before anything else sees it. At every place the longest token
 * that begins there wins; the search goes on behind it even when the token is then refused
 * (single_word). */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/base.h"
#include "model/tokenizer_parts.h"

static int by_first_byte_then_longest(const void *left, const void *right)
{
    const struct iol_added *const *lp = left, *const *rp = right;
    const struct iol_added *a = *lp, *b = *rp;
    unsigned char first_a = (unsigned char)a->pattern[0], first_b = (unsigned char)b->pattern[0];
    if (first_a != first_b) {
        return first_a < first_b ? -1 : 1;
    }
    if (a->pattern_length != b->pattern_length) {
        return a->pattern_length > b->pattern_length ? -1 : 1;
    }
    int order = memcmp(a->pattern, b->pattern, a->pattern_length);
    return order ? order : (a->row > b->row) - (a->row < b->row);
}

enum iol_status iol_added_set_open(const char *file, const struct iol_added *tokens, size_t count,
                                   bool normalized, struct iol_added_set *out_set)
{
    enum iol_status status = IOL_OK;
    *out_set = (struct iol_added_set){0};
    out_set->items = iol_alloc(count, sizeof *out_set->items);
    if (!out_set->items) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: %zu added tokens", count);
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        /* one of which the normalizer leaves nothing is never found */
        if (tokens[i].normalized == normalized && tokens[i].pattern_length > 0) {
            out_set->items[out_set->count++] = &tokens[i];
        }
    }
    if (out_set->count) {
        qsort(out_set->items, out_set->count, sizeof *out_set->items, by_first_byte_then_longest);
    }
    for (size_t i = 0; i < out_set->count; i++) {
        const struct iol_added *token = out_set->items[i];
        out_set->begin[(unsigned char)token->pattern[0] + 1] = i + 1;
        if (i && token->pattern_length == out_set->items[i - 1]->pattern_length &&
            memcmp(token->pattern, out_set->items[i - 1]->pattern, token->pattern_length) == 0) {
            status = iol_fail(IOL_E_FORMAT,
                              "%s: added_tokens[%zu].content: the same text as added_tokens[%zu] "
                              "after the normalizer",
                              file, token->row, out_set->items[i - 1]->row);
            goto out;
        }
    }
    for (size_t b = 1; b < 257; b++) {
        out_set->begin[b] = out_set->begin[b] ? out_set->begin[b] : out_set->begin[b - 1];
    }
out:
    return status;
}

void iol_added_set_close(struct iol_added_set *set)
{
    iol_free(set->items);
    *set = (struct iol_added_set){0};
}

static const struct iol_added *longest_at(const struct iol_added_set *set, const char *text,
                                          size_t length)
{
    unsigned char first = (unsigned char)*text;
    for (size_t i = set->begin[first]; i < set->begin[first + 1]; i++) {
        const struct iol_added *token = set->items[i];
        if (token->pattern_length <= length &&
            memcmp(token->pattern, text, token->pattern_length) == 0) {
            return token;
        }
    }
    return NULL;
}

/* The character that begins at `at`, or the one that ends there. `*size`: its bytes. */
static int32_t character_at(const char *text, size_t length, size_t at, size_t *size)
{
    utf8proc_int32_t c = -1;
    utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(length - at), &c);
    *size = used > 0 ? (size_t)used : 1;
    return c;
}

static int32_t character_before(const char *text, size_t at, size_t *size)
{
    size_t begin = at - 1;
    while (begin > 0 && ((unsigned char)text[begin] & 0xC0) == 0x80) {
        begin--;
    }
    return character_at(text, at, begin, size);
}

/* Word characters of Unicode 15.1 and 16, which the reference has and utf8proc 2.8 does not. */
static bool newer_word(int32_t c)
{
    static const int32_t ranges[][2] = {
        {0x897, 0x897},     {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},
        {0x105C0, 0x105F3}, {0x10D40, 0x10D65}, {0x10D69, 0x10D6D}, {0x10D6F, 0x10D85},
        {0x10EC2, 0x10EC4}, {0x10EFC, 0x10EFC}, {0x11380, 0x11389}, {0x1138B, 0x1138B},
        {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113C0}, {0x113C2, 0x113C2},
        {0x113C5, 0x113C5}, {0x113C7, 0x113CA}, {0x113CC, 0x113D3}, {0x113E1, 0x113E2},
        {0x116D0, 0x116E3}, {0x11BC0, 0x11BE0}, {0x11BF0, 0x11BF9}, {0x11F5A, 0x11F5A},
        {0x13460, 0x143FA}, {0x16100, 0x16139}, {0x16D40, 0x16D6C}, {0x16D70, 0x16D79},
        {0x18CFF, 0x18CFF}, {0x1CCF0, 0x1CCF9}, {0x1E5D0, 0x1E5FA}, {0x2EBF0, 0x2EE5D},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (c >= ranges[i][0] && c <= ranges[i][1]) {
            return true;
        }
    }
    return false;
}

/* \w and \s of the Rust crate regex. */
static bool is_word(int32_t c)
{
    if (c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
        (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
        (c >= 0x1F170 && c <= 0x1F189)) {
        return true;
    }
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return newer_word(c);
    }
}

static bool is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

static bool stands_alone(const char *text, size_t length, size_t start, size_t stop)
{
    size_t size;
    return (start == 0 || !is_word(character_before(text, start, &size))) &&
           (stop == length || !is_word(character_at(text, length, stop, &size)));
}

enum iol_status iol_added_cut(const struct iol_added_set *set, const char *text, size_t length,
                              bool first, size_t head, struct iol_pieces *out_pieces)
{
    enum iol_status status = IOL_OK;
    size_t done = 0, size = 0;
    for (size_t at = 0; set->count && at < length;) {
        const struct iol_added *token = longest_at(set, text + at, length - at);
        if (!token) {
            at++;
            continue;
        }
        size_t start = at, stop = at + token->pattern_length;
        at = stop;
        if (token->single_word && !stands_alone(text, length, start, stop)) {
            continue;
        }
        while (token->lstrip && start > 0 && is_space(character_before(text, start, &size))) {
            start -= size;
        }
        start = token->lstrip && start < done ? done : start;
        while (token->rstrip && stop < length &&
               is_space(character_at(text, length, stop, &size))) {
            stop += size;
        }
        if (start >= stop) { /* what an earlier rstrip took */
            continue;
        }
        IOL_TRY(iol_pieces_slice(out_pieces, text, done, start, first, head));
        IOL_TRY(iol_grow(&out_pieces->items, &out_pieces->item_capacity, out_pieces->count + 1,
                         sizeof *out_pieces->items));
        out_pieces->items[out_pieces->count++] = (struct iol_piece){.id = token->id};
        done = stop;
    }
    IOL_TRY(iol_pieces_slice(out_pieces, text, done, length, first, head));
out:
    return status;
}
