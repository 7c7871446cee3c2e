/* Byte-pair encoding.
 * Words start as one symbol per character in a doubly linked list; a min-heap of candidate merges
 * ordered by (rank, position) gives O(n log n). A candidate that no longer fits its place is
 * dropped when it comes up. */
#include "model/bpe.h"

#include <string.h>
#include <xxhash.h>

#include "base/base.h"

enum iol_status iol_ids_push(struct iol_ids *ids, int32_t id)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_grow(&ids->items, &ids->capacity, ids->count + 1, sizeof *ids->items));
    ids->items[ids->count++] = id;
out:
    return status;
}

/* --- vocabulary --- */

/* A power of two at least twice `count`, 0 on overflow. */
static size_t table_size(size_t count)
{
    size_t size = 16;
    while (size / 2 < count) {
        if (size > SIZE_MAX / 4) {
            return 0;
        }
        size *= 2;
    }
    return size;
}

enum iol_status iol_bpe_reserve(struct iol_bpe *bpe, size_t pieces, size_t merges)
{
    enum iol_status status = IOL_OK;
    bpe->slot_count = table_size(pieces);
    bpe->merge_count = table_size(merges);
    if (pieces >= UINT32_MAX || bpe->slot_count == 0 || bpe->merge_count == 0) {
        status = iol_fail(IOL_E_NOMEM, "a vocabulary of %zu pieces and %zu merges is too large",
                          pieces, merges);
        goto out;
    }
    bpe->slots = iol_alloc(bpe->slot_count, sizeof *bpe->slots);
    bpe->merges = iol_alloc(bpe->merge_count, sizeof *bpe->merges);
    if (!bpe->slots || !bpe->merges) {
        status = iol_fail(IOL_E_NOMEM, "out of memory: a vocabulary of %zu pieces, %zu merges",
                          pieces, merges);
        goto out;
    }
    for (size_t i = 0; i < bpe->merge_count; i++) {
        bpe->merges[i].pair = UINT64_MAX;
    }
    IOL_TRY(iol_grow(&bpe->entries, &bpe->entry_capacity, pieces, sizeof *bpe->entries));
out:
    return status;
}

/* The slot that holds `name`, or the empty slot where it belongs. */
static size_t find_slot(const struct iol_bpe *bpe, const char *name, size_t length)
{
    size_t mask = bpe->slot_count - 1;
    size_t slot = (size_t)XXH3_64bits(name, length) & mask;
    for (; bpe->slots[slot]; slot = (slot + 1) & mask) {
        const struct iol_vocab_entry *entry = &bpe->entries[bpe->slots[slot] - 1];
        if (entry->length == length && memcmp(bpe->names + entry->name, name, length) == 0) {
            break;
        }
    }
    return slot;
}

enum iol_status iol_bpe_add(struct iol_bpe *bpe, const char *name, size_t length, int32_t id)
{
    enum iol_status status = IOL_OK;
    if (length >= UINT32_MAX) {
        status = iol_fail(IOL_E_NOMEM, "a piece of %zu bytes is too long", length);
        goto out;
    }
    IOL_TRY(iol_grow(&bpe->names, &bpe->names_capacity, bpe->names_length + length + 1, 1));
    memcpy(bpe->names + bpe->names_length, name, length);
    bpe->names[bpe->names_length + length] = '\0';
    size_t slot = find_slot(bpe, name, length);
    bpe->entries[bpe->count] =
        (struct iol_vocab_entry){.name = bpe->names_length, .length = (uint32_t)length, .id = id};
    bpe->slots[slot] = (uint32_t)++bpe->count;
    bpe->names_length += length + 1;
out:
    return status;
}

int32_t iol_bpe_find(const struct iol_bpe *bpe, const char *name, size_t length)
{
    uint32_t entry = bpe->slots[find_slot(bpe, name, length)];
    return entry ? bpe->entries[entry - 1].id : -1;
}

/* --- merges ------------------------------------------------------------------------------------
 */

static struct iol_merge_row *find_merge(const struct iol_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t hash = pair * UINT64_C(0x9E3779B97F4A7C15);
    size_t mask = bpe->merge_count - 1;
    size_t row = (size_t)(hash ^ hash >> 32) & mask;
    while (bpe->merges[row].pair != pair && bpe->merges[row].pair != UINT64_MAX) {
        row = (row + 1) & mask;
    }
    return &bpe->merges[row];
}

void iol_bpe_merge(struct iol_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    *find_merge(bpe, left, right) = (struct iol_merge_row){
        .pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right, .rank = rank, .id = id};
}

void iol_bpe_finish(struct iol_bpe *bpe)
{
    static const char digits[] = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; b++) {
        char name[6] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
        bpe->byte_ids[b] = iol_bpe_find(bpe, name, sizeof name);
    }
}

void iol_bpe_close(struct iol_bpe *bpe)
{
    if (bpe) {
        iol_free(bpe->names);
        iol_free(bpe->entries);
        iol_free(bpe->slots);
        iol_free(bpe->merges);
        iol_free(bpe->prefix);
        iol_free(bpe->suffix);
        iol_free(bpe->unk_token);
        *bpe = (struct iol_bpe){0};
    }
}

/* --- one word ------------------------------------------------------------------------------------
 */

static bool before(const struct iol_bpe_candidate *a, const struct iol_bpe_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static enum iol_status heap_push(struct iol_bpe_work *work, struct iol_bpe_candidate candidate)
{
    enum iol_status status = IOL_OK;
    IOL_TRY(iol_grow(&work->heap, &work->heap_capacity, work->heap_count + 1, sizeof *work->heap));
    size_t i = work->heap_count++;
    while (i > 0 && before(&candidate, &work->heap[(i - 1) / 2])) {
        work->heap[i] = work->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    work->heap[i] = candidate;
out:
    return status;
}

static struct iol_bpe_candidate heap_pop(struct iol_bpe_work *work)
{
    struct iol_bpe_candidate top = work->heap[0], last = work->heap[--work->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= work->heap_count) {
            break;
        }
        if (child + 1 < work->heap_count && before(&work->heap[child + 1], &work->heap[child])) {
            child++;
        }
        if (!before(&work->heap[child], &last)) {
            break;
        }
        work->heap[i] = work->heap[child];
        i = child;
    }
    work->heap[i] = last;
    return top;
}

static enum iol_status add_symbol(struct iol_bpe_work *work, int32_t id)
{
    enum iol_status status = IOL_OK;
    size_t n = work->count;
    IOL_TRY(iol_grow(&work->symbols, &work->symbol_capacity, n + 1, sizeof *work->symbols));
    work->symbols[n] = (struct iol_bpe_symbol){
        .id = id, .alive = 1, .prev = n ? n - 1 : SIZE_MAX, .next = SIZE_MAX};
    if (n) {
        work->symbols[n - 1].next = n;
    }
    work->count++;
out:
    return status;
}

/* The bytes of one character with the affixes of its place in the word: in `word` itself when there
 * are none. */
static enum iol_status affix(const struct iol_bpe *bpe, struct iol_bpe_work *work, const char *at,
                             size_t size, bool first, bool last, const char **out_text,
                             size_t *out_length)
{
    enum iol_status status = IOL_OK;
    const char *prefix = !first ? bpe->prefix : NULL, *suffix = last ? bpe->suffix : NULL;
    size_t before_bytes = prefix ? strlen(prefix) : 0, after_bytes = suffix ? strlen(suffix) : 0;
    *out_text = at;
    *out_length = size;
    if (before_bytes + after_bytes == 0) {
        return IOL_OK;
    }
    size_t total = before_bytes + size + after_bytes;
    IOL_TRY(iol_grow(&work->affixed, &work->affixed_capacity, total, 1));
    if (prefix) {
        memcpy(work->affixed, prefix, before_bytes);
    }
    memcpy(work->affixed + before_bytes, at, size);
    if (suffix) {
        memcpy(work->affixed + before_bytes + size, suffix, after_bytes);
    }
    *out_text = work->affixed;
    *out_length = total;
out:
    return status;
}

static bool all_bytes_known(const struct iol_bpe *bpe, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bpe->byte_ids[(unsigned char)text[i]] < 0) {
            return false;
        }
    }
    return true;
}

/* A character that is in no piece: its bytes, or the unknown token. `*pending` is an unknown token
 * not yet added: it is added before the next known character or the next unknown one, but after
 * bytes, as the reference does. */
static enum iol_status add_unknown(const struct iol_bpe *bpe, struct iol_bpe_work *work,
                                   const char *text, size_t length, int32_t *pending)
{
    enum iol_status status = IOL_OK;
    if (bpe->byte_fallback && all_bytes_known(bpe, text, length)) {
        for (size_t i = 0; i < length; i++) {
            IOL_TRY(add_symbol(work, bpe->byte_ids[(unsigned char)text[i]]));
        }
        goto out;
    }
    if (!bpe->unk_token || (*pending >= 0 && bpe->fuse_unk)) {
        goto out;
    }
    if (*pending >= 0) {
        IOL_TRY(add_symbol(work, *pending));
    }
    *pending = iol_bpe_find(bpe, bpe->unk_token, strlen(bpe->unk_token));
    if (*pending < 0) {
        status = iol_fail(IOL_E_FORMAT,
                          "tokenizer.json: model.unk_token '%.64s' is needed for this text and "
                          "is not in model.vocab",
                          bpe->unk_token);
    }
out:
    return status;
}

static size_t character_size(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

static enum iol_status add_characters(const struct iol_bpe *bpe, struct iol_bpe_work *work,
                                      const char *word, size_t length)
{
    enum iol_status status = IOL_OK;
    int32_t pending = -1;
    for (size_t i = 0, size; i < length; i += size) {
        const char *text = NULL;
        size_t text_length = 0;
        size = character_size((unsigned char)word[i]);
        IOL_TRY(affix(bpe, work, word + i, size, i == 0, i + size >= length, &text, &text_length));
        int32_t id = iol_bpe_find(bpe, text, text_length);
        if (id < 0) {
            IOL_TRY(add_unknown(bpe, work, text, text_length, &pending));
            continue;
        }
        if (pending >= 0) {
            IOL_TRY(add_symbol(work, pending));
            pending = -1;
        }
        IOL_TRY(add_symbol(work, id));
    }
    if (pending >= 0) {
        IOL_TRY(add_symbol(work, pending));
    }
out:
    return status;
}

/* Queue the merge of symbol `at` with the one after it, if there is one. */
static enum iol_status consider(const struct iol_bpe *bpe, struct iol_bpe_work *work, size_t at)
{
    const struct iol_bpe_symbol *left = &work->symbols[at];
    const struct iol_merge_row *row = find_merge(bpe, left->id, work->symbols[left->next].id);
    if (row->pair == UINT64_MAX) {
        return IOL_OK;
    }
    return heap_push(work, (struct iol_bpe_candidate){.at = at, .rank = row->rank, .id = row->id});
}

static enum iol_status merge_all(const struct iol_bpe *bpe, struct iol_bpe_work *work)
{
    enum iol_status status = IOL_OK;
    work->heap_count = 0;
    for (size_t i = 0; i + 1 < work->count; i++) {
        IOL_TRY(consider(bpe, work, i));
    }
    while (work->heap_count) {
        struct iol_bpe_candidate top = heap_pop(work);
        struct iol_bpe_symbol *left = &work->symbols[top.at];
        if (!left->alive || left->next == SIZE_MAX) {
            continue;
        }
        struct iol_bpe_symbol *right = &work->symbols[left->next];
        const struct iol_merge_row *row = find_merge(bpe, left->id, right->id);
        if (row->pair == UINT64_MAX || row->id != top.id) {
            continue;
        }
        left->id = top.id;
        left->next = right->next;
        right->alive = 0;
        if (left->next != SIZE_MAX) {
            work->symbols[left->next].prev = top.at;
        }
        if (left->prev != SIZE_MAX) {
            IOL_TRY(consider(bpe, work, left->prev));
        }
        if (left->next != SIZE_MAX) {
            IOL_TRY(consider(bpe, work, top.at));
        }
    }
out:
    return status;
}

enum iol_status iol_bpe_encode(const struct iol_bpe *bpe, const char *word, size_t length,
                               struct iol_bpe_work *work, struct iol_ids *out_ids)
{
    enum iol_status status = IOL_OK;
    if (bpe->ignore_merges) {
        int32_t whole = iol_bpe_find(bpe, word, length);
        if (whole >= 0) {
            return iol_ids_push(out_ids, whole);
        }
    }
    work->count = 0;
    IOL_TRY(add_characters(bpe, work, word, length));
    IOL_TRY(merge_all(bpe, work));
    for (size_t i = 0; i < work->count; i++) {
        if (work->symbols[i].alive) {
            IOL_TRY(iol_ids_push(out_ids, work->symbols[i].id));
        }
    }
out:
    return status;
}

void iol_bpe_work_close(struct iol_bpe_work *work)
{
    iol_free(work->symbols);
    iol_free(work->heap);
    iol_free(work->affixed);
    *work = (struct iol_bpe_work){0};
}
