/* Byte-pair encoding: a vocabulary, ranked merges, and one word to ids. */
#ifndef IOL_BPE_H
#define IOL_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iolaus/status.h"

#define IOL_ID_LIMIT (1 << 24) /* ids are 0..IOL_ID_LIMIT-1 */

/* One piece of the vocabulary. `name` is an offset into names, `length` in bytes. */
struct iol_vocab_entry {
    size_t name;
    uint32_t length;
    int32_t id;
};

/* Row of the merge table: (left id << 32 | right id) -> rank and id of the joined piece. */
struct iol_merge_row {
    uint64_t pair; /* UINT64_MAX: empty */
    uint32_t rank;
    int32_t id;
};

/* A BPE model. Filled once by iol_bpe_add and iol_bpe_merge, then read-only and shared by threads.
 * Zeroed memory is an empty model. */
struct iol_bpe {
    char *names;
    size_t names_length, names_capacity; /* bytes */
    struct iol_vocab_entry *entries;
    size_t count, entry_capacity;
    uint32_t *slots; /* entry + 1, 0: empty; slot_count a power of two */
    size_t slot_count;
    struct iol_merge_row *merges;
    size_t merge_count;                /* a power of two */
    char *prefix, *suffix, *unk_token; /* NULL: none */
    int32_t byte_ids[256];             /* id of "<0xNN>", -1: not in the vocabulary */
    bool fuse_unk, byte_fallback, ignore_merges;
};

/* Memory one thread needs while it encodes words. Zeroed memory is valid. */
struct iol_bpe_symbol {
    int32_t id;
    uint32_t alive;
    size_t prev, next; /* SIZE_MAX: none */
};
struct iol_bpe_candidate {
    size_t at;
    uint32_t rank;
    int32_t id;
};
struct iol_bpe_work {
    struct iol_bpe_symbol *symbols;
    size_t count, symbol_capacity;
    struct iol_bpe_candidate *heap;
    size_t heap_count, heap_capacity;
    char *affixed;
    size_t affixed_capacity;
};

/* Ids of one text, growing. */
struct iol_ids {
    int32_t *items;
    size_t count, capacity;
};
IOL_NODISCARD enum iol_status iol_ids_push(struct iol_ids *ids, int32_t id);

/* Make room for `pieces` pieces and `merges` merges. Errors: IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_bpe_reserve(struct iol_bpe *bpe, size_t pieces, size_t merges);
/* Add a piece; at most the reserved number, all names different. Errors: IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_bpe_add(struct iol_bpe *bpe, const char *name, size_t length,
                                          int32_t id);
/* Set a merge; a pair given twice keeps the later rank. At most the reserved number. */
void iol_bpe_merge(struct iol_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t id);
/* To be called when all pieces are added: looks up the byte pieces. */
void iol_bpe_finish(struct iol_bpe *bpe);
void iol_bpe_close(struct iol_bpe *bpe); /* NULL-safe */

/* Id of a piece, -1 when it is not in the vocabulary. Thread-safe. */
int32_t iol_bpe_find(const struct iol_bpe *bpe, const char *name, size_t length);

/* Append the ids of one word (valid UTF-8, `length` bytes): characters, then merges by rank,
 * leftmost first. Errors: IOL_E_FORMAT (the unknown token is needed and not in the vocabulary),
 * IOL_E_NOMEM. Source: Sennrich et al. 2016, arXiv:1508.07909. Thread-safe; work belongs to one
 * thread. */
IOL_NODISCARD enum iol_status iol_bpe_encode(const struct iol_bpe *bpe, const char *word,
                                             size_t length, struct iol_bpe_work *work,
                                             struct iol_ids *out_ids);
void iol_bpe_work_close(struct iol_bpe_work *work);

#endif
