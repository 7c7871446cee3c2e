/* A tokenizer: text to ids by the parts of tokenizer_parts.h. */
#include "iolaus/tokenizer.h"

#include <string.h>
#include <utf8proc.h>

#include "base/base.h"
#include "model/tokenizer_parts.h"

void iol_tokenizer_close(struct iol_tokenizer *tokenizer)
{
    if (!tokenizer) {
        return;
    }
    iol_bpe_close(&tokenizer->bpe);
    iol_steps_close(&tokenizer->normalizer);
    iol_steps_close(&tokenizer->pre_tokenizer);
    iol_added_set_close(&tokenizer->raw);
    iol_added_set_close(&tokenizer->normalized);
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        iol_free(tokenizer->added[i].content);
        iol_free(tokenizer->added[i].pattern);
    }
    iol_free(tokenizer->added);
    iol_free(tokenizer->template);
    iol_free(tokenizer->display_at);
    iol_free(tokenizer->display);
    iol_free(tokenizer);
}

/* --- display --- */

/* Bytes of a piece: those that byte-level characters stand for, or its own with spaces for U+2581.
 */
static size_t piece_bytes(const char *name, size_t length, bool byte_level, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)name + i,
                                                 (utf8proc_ssize_t)(length - i), &c);
        size = size > 0 ? size : 1;
        int byte = byte_level ? iol_character_to_byte(c) : c == 0x2581 ? ' ' : -1;
        if (byte >= 0) {
            out[n++] = (char)byte;
        } else {
            memcpy(out + n, name + i, (size_t)size);
            n += (size_t)size;
        }
        i += (size_t)size;
    }
    return n;
}

/* Printable UTF-8 of `length` bytes, NUL-ended; at most 4 * length + 1 bytes. Returns the length.
 */
static size_t printable(const char *bytes, size_t length, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t c = -1;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)bytes + i,
                                                 (utf8proc_ssize_t)(length - i), &c);
        char letter = bytes[i] == '\n'   ? 'n'
                      : bytes[i] == '\t' ? 't'
                      : bytes[i] == '\r' ? 'r'
                                         : '\0';
        if (letter) {
            out[n++] = '\\';
            out[n++] = letter;
            i++;
        } else if (size <= 0 || utf8proc_category(c) == UTF8PROC_CATEGORY_CC) {
            for (size_t k = 0; k < (size > 0 ? (size_t)size : 1); k++) {
                unsigned char byte = (unsigned char)bytes[i + k];
                memcpy(out + n, "\\x", 2);
                out[n + 2] = digits[byte >> 4];
                out[n + 3] = digits[byte & 15];
                n += 4;
            }
            i += size > 0 ? (size_t)size : 1;
        } else {
            memcpy(out + n, bytes + i, (size_t)size);
            n += (size_t)size;
            i += (size_t)size;
        }
    }
    out[n] = '\0';
    return n;
}

struct display {
    char *text;
    size_t length, capacity;
    char *bytes;
    size_t bytes_capacity;
};

static enum iol_status add_display(struct iol_tokenizer *tokenizer, struct display *display,
                                   const char *name, size_t length, int32_t id, bool byte_level)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_grow(&display->bytes, &display->bytes_capacity, length + 1, 1));
    IOL_TRY(iol_grow(&display->text, &display->capacity, display->length + 4 * length + 2, 1));
    size_t size = piece_bytes(name, length, byte_level, display->bytes);
    tokenizer->display_at[id] = display->length;
    display->length += printable(display->bytes, size, display->text + display->length) + 1;
out:
    return status;
}

static enum iol_status build_display(struct iol_tokenizer *tokenizer)
{
    enum iol_status status = IOL_OK;
    struct display display = {0};
    int32_t last = -1;
    const struct iol_bpe *bpe = &tokenizer->bpe;
    for (size_t i = 0; i < bpe->count; i++) {
        last = bpe->entries[i].id > last ? bpe->entries[i].id : last;
    }
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        last = tokenizer->added[i].id > last ? tokenizer->added[i].id : last;
    }
    tokenizer->size = (size_t)last + 1;
    tokenizer->display_at = iol_alloc(tokenizer->size, sizeof *tokenizer->display_at);
    if (!tokenizer->display_at) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: the texts of %zu ids", tokenizer->size);
        goto out;
    }
    IOL_TRY(iol_grow(&display.text, &display.capacity, 1, 1));
    display.text[0] = '\0';
    display.length = 1; /* offset 0: an id without a text */
    for (size_t i = 0; i < bpe->count; i++) {
        const struct iol_vocab_entry *entry = &bpe->entries[i];
        IOL_TRY(add_display(tokenizer, &display, bpe->names + entry->name, entry->length, entry->id,
                            tokenizer->byte_level));
    }
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        const struct iol_added *token = &tokenizer->added[i];
        IOL_TRY(add_display(tokenizer, &display, token->content, token->content_length, token->id,
                            false));
    }
    tokenizer->display = display.text;
    display.text = NULL;
out:
    iol_free(display.text);
    iol_free(display.bytes);
    return status;
}

/* --- opening --- */

enum iol_status iol_tokenizer_open(const char *folder, struct iol_tokenizer **out_tokenizer)
{
    enum iol_status status = IOL_OK;
    char *path = NULL;
    *out_tokenizer = NULL;
    struct iol_tokenizer *tokenizer = iol_alloc(1, sizeof *tokenizer);
    path = iol_path_join(folder, "tokenizer.json");
    if (!tokenizer || !path) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: the tokenizer of %s", folder);
        goto out;
    }
    IOL_TRY(iol_tokenizer_load(path, tokenizer));
    IOL_TRY(iol_tokenizer_load_bos(folder, tokenizer));
    IOL_TRY(build_display(tokenizer));
    *out_tokenizer = tokenizer;
    tokenizer = NULL;
out:
    iol_tokenizer_close(tokenizer);
    iol_free(path);
    return status;
}

int32_t iol_tokenizer_find(const struct iol_tokenizer *tokenizer, const char *text, size_t length)
{
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        const struct iol_added *token = &tokenizer->added[i];
        if (token->content_length == length && memcmp(token->content, text, length) == 0) {
            return token->id;
        }
    }
    return iol_bpe_find(&tokenizer->bpe, text, length);
}

/* --- encoding --- */

struct encode_work {
    struct iol_pieces pieces, next;
    struct iol_split_work split;
    struct iol_bpe_work bpe;
    struct iol_ids body, ids;
};

static void swap_pieces(struct encode_work *work)
{
    struct iol_pieces pieces = work->pieces;
    work->pieces = work->next;
    work->next = pieces;
}

/* Cut out the added tokens, normalise the rest, pre-tokenize it: work->pieces. */
static enum iol_status cut(const struct iol_tokenizer *tokenizer, const char *text, size_t length,
                           struct encode_work *work)
{
    enum iol_status status = IOL_OK;
    size_t head = length ? 1 : 0;
    while (head && head < length && ((unsigned char)text[head] & 0xC0) == 0x80) {
        head++;
    }
    IOL_TRY(iol_added_cut(&tokenizer->raw, text, length, true, head, &work->pieces));
    for (size_t i = 0; i < work->pieces.count; i++) {
        const struct iol_piece *piece = &work->pieces.items[i];
        if (piece->id >= 0) {
            IOL_TRY(iol_grow(&work->next.items, &work->next.item_capacity, work->next.count + 1,
                             sizeof *work->next.items));
            work->next.items[work->next.count++] = *piece;
            continue;
        }
        IOL_TRY(
            iol_text_set(&work->split, work->pieces.text + piece->at, piece->length, piece->head));
        IOL_TRY(iol_steps_normalize(&tokenizer->normalizer, &work->split));
        const struct iol_text *normal = &work->split.text;
        IOL_TRY(iol_added_cut(&tokenizer->normalized, normal->data, normal->length, piece->first,
                              normal->head, &work->next));
    }
    swap_pieces(work);
    for (size_t i = 0; i < tokenizer->pre_tokenizer.count; i++) {
        IOL_TRY(iol_step_split(&tokenizer->pre_tokenizer.items[i], &work->pieces, &work->split,
                               &work->next));
        swap_pieces(work);
    }
out:
    return status;
}

/* work->ids = work->body inside the template, and the BOS id before it where it is asked for. */
static enum iol_status finish(const struct iol_tokenizer *tokenizer, enum iol_bos bos,
                              struct encode_work *work)
{
    enum iol_status status = IOL_OK;
    static const int32_t text_alone[] = {-1};
    const int32_t *template = tokenizer->template ? tokenizer->template : text_alone;
    size_t count = tokenizer->template ? tokenizer->template_count : 1;
    bool wanted = bos == IOL_BOS_YES || (bos == IOL_BOS_AUTO && tokenizer->add_bos);
    if (wanted && tokenizer->bos < 0) {
        return iol_fail(IOL_E_UNSUPPORTED,
                        "a beginning-of-sequence id is asked for (%s), but config.json has no "
                        "bos_token_id and tokenizer_config.json no known bos_token",
                        bos == IOL_BOS_YES ? "bos: yes" : "add_bos_token in tokenizer_config.json");
    }
    if (wanted) {
        IOL_TRY(iol_ids_push(&work->ids, tokenizer->bos));
    }
    for (size_t i = 0; i < count; i++) {
        if (template[i] >= 0) {
            if (bos != IOL_BOS_NO) {
                IOL_TRY(iol_ids_push(&work->ids, template[i]));
            }
            continue;
        }
        for (size_t k = 0; k < work->body.count; k++) {
            IOL_TRY(iol_ids_push(&work->ids, work->body.items[k]));
        }
    }
    if (wanted && work->ids.count > 1 && work->ids.items[1] == tokenizer->bos) {
        work->ids.count--; /* it was first already */
        memmove(work->ids.items, work->ids.items + 1, work->ids.count * sizeof *work->ids.items);
    }
out:
    return status;
}

enum iol_status iol_tokenizer_encode(const struct iol_tokenizer *tokenizer, const char *text,
                                     size_t length, enum iol_bos bos, int32_t **out_ids,
                                     size_t *out_count)
{
    enum iol_status status = IOL_OK;
    struct encode_work work = {0};
    *out_ids = NULL;
    *out_count = 0;
    size_t valid = iol_utf8_check(text, length);
    if (valid != length) {
        return iol_fail(IOL_E_FORMAT, "the text is not UTF-8 at byte %zu of %zu", valid, length);
    }
    IOL_TRY(cut(tokenizer, text, length, &work));
    for (size_t i = 0; i < work.pieces.count; i++) {
        const struct iol_piece *piece = &work.pieces.items[i];
        if (piece->id >= 0) {
            IOL_TRY(iol_ids_push(&work.body, piece->id));
        } else {
            IOL_TRY(iol_bpe_encode(&tokenizer->bpe, work.pieces.text + piece->at, piece->length,
                                   &work.bpe, &work.body));
        }
    }
    IOL_TRY(finish(tokenizer, bos, &work));
    if (!work.ids.items) { /* no ids at all: still something to free */
        IOL_TRY(iol_grow(&work.ids.items, &work.ids.capacity, 1, sizeof *work.ids.items));
    }
    *out_ids = work.ids.items;
    *out_count = work.ids.count;
    work.ids.items = NULL;
out:
    iol_pieces_close(&work.pieces);
    iol_pieces_close(&work.next);
    iol_split_work_close(&work.split);
    iol_bpe_work_close(&work.bpe);
    iol_free(work.body.items);
    iol_free(work.ids.items);
    return status;
}

void iol_ids_free(int32_t *ids)
{
    iol_free(ids);
}

/* --- questions --- */

const char *iol_tokenizer_piece(const struct iol_tokenizer *tokenizer, int32_t id)
{
    if (id < 0 || (size_t)id >= tokenizer->size) {
        return "";
    }
    return tokenizer->display + tokenizer->display_at[id];
}

size_t iol_tokenizer_size(const struct iol_tokenizer *tokenizer)
{
    return tokenizer->size;
}

int32_t iol_tokenizer_bos(const struct iol_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

const char *iol_tokenizer_kind(const struct iol_tokenizer *tokenizer)
{
    return tokenizer->byte_level ? "byte-level BPE" : "SentencePiece BPE";
}
