/* Normalizer and pre-tokenizer: steps that rewrite a text and cut it into pieces.
 * The reference keeps for every byte where it came from; only "does this piece begin where the raw
 * text begins" is ever asked of that, so a piece carries `first` and the number of its leading
 * bytes (`head`) that come from there. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/base.h"
#include "model/tokenizer_parts.h"

void iol_steps_close(struct iol_steps *steps)
{
    for (size_t i = 0; i < steps->count; i++) {
        iol_pattern_close(&steps->items[i].pattern);
        iol_free(steps->items[i].text);
    }
    iol_free(steps->items);
    *steps = (struct iol_steps){0};
}

void iol_pieces_close(struct iol_pieces *pieces)
{
    iol_free(pieces->text);
    iol_free(pieces->items);
    *pieces = (struct iol_pieces){0};
}

void iol_split_work_close(struct iol_split_work *work)
{
    iol_free(work->text.data);
    iol_free(work->spare.data);
    iol_free(work->found.items);
    iol_free(work->joined.items);
    *work = (struct iol_split_work){0};
}

uint32_t iol_byte_to_character(unsigned char byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173)) {
        return byte;
    }
    return 256U + (byte < 33 ? byte : byte < 161 ? byte - 127U + 33U : 67U);
}

int iol_character_to_byte(int32_t character)
{
    if (character >= 256 && character < 256 + 68) {
        int n = character - 256;
        return n < 33 ? n : n < 67 ? n - 33 + 127 : 173;
    }
    bool plain = (character >= 33 && character <= 126) ||
                 (character >= 161 && character <= 255 && character != 173);
    return plain ? (int)character : -1;
}

/* --- texts -------------------------------------------------------------------------------------
 */

static enum iol_status append(struct iol_text *text, const char *bytes, size_t length)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_grow(&text->data, &text->capacity, text->length + length + 1, 1));
    if (length) {
        memcpy(text->data + text->length, bytes, length);
    }
    text->length += length;
out:
    return status;
}

static enum iol_status append_character(struct iol_text *text, int32_t character)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t size = utf8proc_encode_char(character, bytes);
    return append(text, (const char *)bytes, (size_t)size);
}

static void swap_texts(struct iol_split_work *work)
{
    struct iol_text text = work->text;
    work->text = work->spare;
    work->spare = text;
}

enum iol_status iol_text_set(struct iol_split_work *work, const char *text, size_t length,
                             size_t head)
{
    work->text.length = 0;
    work->text.head = head;
    return append(&work->text, text, length);
}

/* Put `prefix` before a text that is not empty. What is put there counts as coming from the first
 * character. */
static enum iol_status prepend(struct iol_split_work *work, const char *prefix, size_t length)
{
    enum iol_status status = IOL_OK;
    struct iol_text *text = &work->text;
    if (text->length == 0) {
        return IOL_OK;
    }
    IOL_TRY(iol_grow(&text->data, &text->capacity, text->length + length + 1, 1));
    memmove(text->data + length, text->data, text->length);
    memcpy(text->data, prefix, length);
    text->length += length;
    text->head += text->head ? length : 0;
out:
    return status;
}

/* Replace every match. A replacement counts as coming from the last byte of what it replaces. */
static enum iol_status replace(struct iol_split_work *work, const struct iol_pattern *pattern,
                               const char *content, size_t length)
{
    enum iol_status status = IOL_OK;
    struct iol_text *from = &work->text, *to = &work->spare;
    if (from->length == 0) {
        return IOL_OK;
    }
    IOL_TRY(iol_pattern_find(pattern, from->data, from->length, &work->found));
    to->length = to->head = 0;
    for (size_t i = 0; i < work->found.count; i++) {
        const struct iol_span *span = &work->found.items[i];
        bool from_head = span->match && (span->end == 0 || span->end - 1 < from->head);
        if (span->match) {
            IOL_TRY(append(to, content, length));
            to->head = from_head ? to->length : to->head;
            continue;
        }
        size_t head = from->head > span->start ? from->head - span->start : 0;
        size_t size = span->end - span->start;
        head = head < size ? head : size;
        to->head = head ? to->length + head : to->head;
        IOL_TRY(append(to, from->data + span->start, size));
    }
    swap_texts(work);
out:
    return status;
}

/* --- Unicode -------------------------------------------------------------------------------------
 */

struct range {
    int32_t first, last;
};

/* Is c in one of `count` ascending ranges? One more row lies behind them. */
static bool in_ranges(const struct range *ranges, size_t count, int32_t c)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (c > ranges[middle].last) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return c >= ranges[low].first && c <= ranges[low].last;
}

/* Characters whose decomposition or combining class is newer than the reference's tables of normal
 * forms (Unicode 9): there they stay as they are and nothing moves or joins across them. */
static bool newer_form(int32_t c)
{
    static const struct range ranges[] = {
        {0x7FD, 0x7FD},         {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
        {0xC3C, 0xC3C},         {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
        {0x1ABF, 0x1ACE},       {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},
        {0xA82C, 0xA82C},       {0xAB69, 0xAB69},   {0x10781, 0x107BA}, {0x10D24, 0x10D27},
        {0x10EAB, 0x10EAC},     {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
        {0x11070, 0x11070},     {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
        {0x11938, 0x11938},     {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
        {0x11A34, 0x11A34},     {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
        {0x11D44, 0x11D45},     {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1},
        {0x1E030, 0x1E06D},     {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
        {0x1E2EC, 0x1E2EF},     {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
        {INT32_MAX, INT32_MAX}, /* so that the search ends on a row */
    };
    return in_ranges(ranges, sizeof ranges / sizeof *ranges - 1, c);
}

/* Lower case of one character; of U+0130 without its dot. */
static int32_t lower(int32_t c)
{
    /* pairs that utf8proc 2.8 (Unicode 15) does not have: first, last, distance */
    static const int32_t newer[][3] = {
        {0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
        {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
        {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
        {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
        {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B},
    };
    for (size_t i = 0; c >= 0x1C89 && i < sizeof newer / sizeof *newer; i++) {
        if (c >= newer[i][0] && c <= newer[i][1]) {
            return c + newer[i][2];
        }
    }
    return utf8proc_tolower(c);
}

static enum iol_status append_form(struct iol_text *to, const char *text, size_t length,
                                   int options)
{
    enum iol_status status = IOL_OK;
    utf8proc_uint8_t *form = NULL;
    if (length == 0) {
        return IOL_OK;
    }
    utf8proc_ssize_t size = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length,
                                         &form, (utf8proc_option_t)options);
    if (size < 0) {
        status =
            iol_fail(size == UTF8PROC_ERROR_NOMEM ? IOL_E_NOMEM : IOL_E_FORMAT,
                     "a text of %zu bytes cannot be normalised: %s", length, utf8proc_errmsg(size));
        goto out;
    }
    IOL_TRY(append(to, (const char *)form, (size_t)size));
out:
    free(form);
    return status;
}

/* to->head after a change of form: the form of the head where the text begins with that, or one
 * character (the head and what follows it have become one). */
static enum iol_status form_head(const struct iol_text *from, struct iol_text *to, int options)
{
    enum iol_status status = IOL_OK;
    struct iol_text head = {0};
    to->head = 0;
    if (from->head == 0 || to->length == 0) {
        return IOL_OK;
    }
    if (from->head < from->length) {
        IOL_TRY(append_form(&head, from->data, from->head, options));
    }
    if (head.length && head.length <= to->length && memcmp(head.data, to->data, head.length) == 0) {
        to->head = head.length;
        goto out;
    }
    to->head = from->head < from->length ? 1 : to->length;
    while (to->head < to->length && ((unsigned char)to->data[to->head] & 0xC0) == 0x80) {
        to->head++;
    }
out:
    iol_free(head.data);
    return status;
}

static enum iol_status unicode_form(struct iol_split_work *work, enum iol_step_kind kind)
{
    enum iol_status status = IOL_OK;
    struct iol_text *from = &work->text, *to = &work->spare;
    bool compose = kind == IOL_STEP_NFC || kind == IOL_STEP_NFKC;
    bool compat = kind == IOL_STEP_NFKC || kind == IOL_STEP_NFKD;
    int options = (int)UTF8PROC_STABLE | (int)(compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                  (compat ? (int)UTF8PROC_COMPAT : 0);
    size_t done = 0;
    to->length = to->head = 0;
    for (size_t i = 0; i < from->length;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)from->data + i,
                                                 (utf8proc_ssize_t)(from->length - i), &c);
        if (size <= 0) {
            break;
        }
        if (newer_form(c)) {
            IOL_TRY(append_form(to, from->data + done, i - done, options));
            IOL_TRY(append(to, from->data + i, (size_t)size));
            done = i + (size_t)size;
        }
        i += (size_t)size;
    }
    IOL_TRY(append_form(to, from->data + done, from->length - done, options));
    IOL_TRY(form_head(from, to, options));
    swap_texts(work);
out:
    return status;
}

/* Lower case by single characters, without context. */
static enum iol_status lowercase(struct iol_split_work *work)
{
    enum iol_status status = IOL_OK;
    struct iol_text *from = &work->text, *to = &work->spare;
    to->length = to->head = 0;
    for (size_t i = 0; i < from->length;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)from->data + i,
                                                 (utf8proc_ssize_t)(from->length - i), &c);
        if (size <= 0) {
            break;
        }
        IOL_TRY(append_character(to, lower(c)));
        if (c == 0x130) { /* the one character whose lower case is two */
            IOL_TRY(append_character(to, 0x307));
        }
        i += (size_t)size;
        to->head = i <= from->head ? to->length : to->head;
    }
    swap_texts(work);
out:
    return status;
}

enum iol_status iol_steps_normalize(const struct iol_steps *steps, struct iol_split_work *work)
{
    enum iol_status status = IOL_OK;
    for (size_t i = 0; i < steps->count; i++) {
        const struct iol_step *step = &steps->items[i];
        if (step->kind == IOL_STEP_PREPEND) {
            IOL_TRY(prepend(work, step->text, step->text_length));
        } else if (step->kind == IOL_STEP_REPLACE) {
            IOL_TRY(replace(work, &step->pattern, step->text, step->text_length));
        } else if (step->kind == IOL_STEP_LOWERCASE) {
            IOL_TRY(lowercase(work));
        } else {
            IOL_TRY(unicode_form(work, step->kind));
        }
    }
out:
    return status;
}

/* --- pieces --- */

static enum iol_status add_piece(struct iol_pieces *pieces, const char *text, size_t length,
                                 struct iol_piece piece)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(
        iol_grow(&pieces->items, &pieces->item_capacity, pieces->count + 1, sizeof *pieces->items));
    IOL_TRY(iol_grow(&pieces->text, &pieces->capacity, pieces->length + length + 1, 1));
    if (length) {
        memcpy(pieces->text + pieces->length, text, length);
    }
    piece.at = pieces->length;
    piece.length = length;
    pieces->items[pieces->count++] = piece;
    pieces->length += length;
out:
    return status;
}

enum iol_status iol_pieces_slice(struct iol_pieces *pieces, const char *text, size_t start,
                                 size_t end, bool first, size_t head)
{
    if (start >= end) {
        return IOL_OK;
    }
    struct iol_piece piece = {.id = -1, .first = first && start < head};
    if (piece.first) {
        piece.head = (head < end ? head : end) - start;
    }
    return add_piece(pieces, text + start, end - start, piece);
}

/* Write the bytes of the last piece as the characters of byte-level BPE. */
static enum iol_status to_byte_level(struct iol_pieces *pieces, struct iol_split_work *work)
{
    enum iol_status status = IOL_OK;
    struct iol_piece *piece = &pieces->items[pieces->count - 1];
    struct iol_text *to = &work->spare;
    size_t head = 0;
    to->length = 0;
    for (size_t i = 0; i < piece->length; i++) {
        unsigned char byte = (unsigned char)pieces->text[piece->at + i];
        IOL_TRY(append_character(to, (int32_t)iol_byte_to_character(byte)));
        head = i < piece->head ? to->length : head;
    }
    IOL_TRY(iol_grow(&pieces->text, &pieces->capacity, piece->at + to->length + 1, 1));
    memcpy(pieces->text + piece->at, to->data, to->length);
    piece->length = to->length;
    piece->head = head;
    pieces->length = piece->at + to->length;
out:
    return status;
}

static enum iol_status join(struct iol_spans *spans, struct iol_span span)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_grow(&spans->items, &spans->capacity, spans->count + 1, sizeof *spans->items));
    spans->items[spans->count++] = span;
out:
    return status;
}

/* work->joined = what `behavior` makes of work->found; `match` there: leave it out. */
static enum iol_status apply_behavior(struct iol_split_work *work, enum iol_behavior behavior,
                                      bool invert)
{
    enum iol_status status = IOL_OK;
    const struct iol_spans *found = &work->found;
    struct iol_spans *joined = &work->joined;
    bool backwards = behavior == IOL_SPLIT_MERGED_WITH_NEXT, previous = false;
    joined->count = 0;
    for (size_t k = 0; k < found->count; k++) {
        struct iol_span span = found->items[backwards ? found->count - 1 - k : k];
        bool match = span.match != invert, merge = false;
        if (behavior == IOL_SPLIT_CONTIGUOUS) {
            merge = match == previous;
        } else if (behavior == IOL_SPLIT_MERGED_WITH_PREVIOUS || backwards) {
            merge = match && !previous;
        }
        previous = match;
        if (merge && joined->count) {
            struct iol_span *last = &joined->items[joined->count - 1];
            *(backwards ? &last->start : &last->end) = backwards ? span.start : span.end;
            continue;
        }
        span.match = behavior == IOL_SPLIT_REMOVED && match;
        IOL_TRY(join(joined, span));
    }
    for (size_t i = 0; backwards && i < joined->count / 2; i++) {
        struct iol_span span = joined->items[i];
        joined->items[i] = joined->items[joined->count - 1 - i];
        joined->items[joined->count - 1 - i] = span;
    }
out:
    return status;
}

/* What a step does to the text of a piece before it is cut. */
static enum iol_status prepare(const struct iol_step *step, struct iol_split_work *work, bool first)
{
    enum iol_status status = IOL_OK;
    if (step->kind == IOL_STEP_BYTE_LEVEL && step->prefix_space && work->text.data[0] != ' ') {
        IOL_TRY(prepend(work, " ", 1));
    }
    if (step->kind == IOL_STEP_METASPACE) {
        char space[] = " ";
        struct iol_pattern spaces = {.literal = space, .literal_length = 1};
        IOL_TRY(replace(work, &spaces, step->text, step->text_length));
        bool marked = work->text.length >= step->text_length &&
                      memcmp(work->text.data, step->text, step->text_length) == 0;
        if (!marked && (step->prepend == IOL_PREPEND_ALWAYS ||
                        (step->prepend == IOL_PREPEND_FIRST && first))) {
            IOL_TRY(prepend(work, step->text, step->text_length));
        }
    }
out:
    return status;
}

static enum iol_status split_piece(const struct iol_step *step, bool first,
                                   struct iol_split_work *work, struct iol_pieces *out_pieces)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(prepare(step, work, first));
    const struct iol_text *text = &work->text;
    if (!step->splits) {
        struct iol_piece whole = {.id = -1, .first = first, .head = text->head};
        IOL_TRY(add_piece(out_pieces, text->data, text->length, whole));
        if (step->kind == IOL_STEP_BYTE_LEVEL) {
            IOL_TRY(to_byte_level(out_pieces, work));
        }
        goto out;
    }
    IOL_TRY(iol_pattern_find(&step->pattern, text->data, text->length, &work->found));
    IOL_TRY(apply_behavior(work, step->behavior, step->invert));
    for (size_t i = 0; i < work->joined.count; i++) {
        const struct iol_span *span = &work->joined.items[i];
        if (span->match || span->start == span->end) {
            continue;
        }
        IOL_TRY(
            iol_pieces_slice(out_pieces, text->data, span->start, span->end, first, text->head));
        if (step->kind == IOL_STEP_BYTE_LEVEL) {
            IOL_TRY(to_byte_level(out_pieces, work));
        }
    }
out:
    return status;
}

enum iol_status iol_step_split(const struct iol_step *step, const struct iol_pieces *pieces,
                               struct iol_split_work *work, struct iol_pieces *out_pieces)
{
    enum iol_status status = IOL_OK;
    out_pieces->count = out_pieces->length = 0;
    for (size_t i = 0; i < pieces->count; i++) {
        const struct iol_piece *piece = &pieces->items[i];
        if (piece->id >= 0) {
            IOL_TRY(add_piece(out_pieces, NULL, 0, *piece));
            continue;
        }
        IOL_TRY(iol_text_set(work, pieces->text + piece->at, piece->length, piece->head));
        IOL_TRY(split_piece(step, piece->first, work, out_pieces));
    }
out:
    return status;
}
