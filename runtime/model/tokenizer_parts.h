/* The parts of a tokenizer, in the order a text meets them:
 *   added tokens cut out of the raw text (tokenizer_added.c), normalizer, added tokens cut out of
 * the normalised text, pre-tokenizer (tokenizer_split.c, tokenizer_regex.c), BPE (bpe.c),
 * post-processor and BOS (tokenizer.c). tokenizer_load.c and tokenizer_steps.c fill them from the
 * files. */
#ifndef IOL_TOKENIZER_PARTS_H
#define IOL_TOKENIZER_PARTS_H

#include "iolaus/tokenizer.h"
#include "model/bpe.h"

/* --- patterns (tokenizer_regex.c) --- */

/* A stretch of a text, bytes start..end-1; `match`: the pattern matched it. */
struct iol_span {
    size_t start, end;
    bool match;
};
struct iol_spans {
    struct iol_span *items;
    size_t count, capacity;
};

/* A literal text or a regular expression. Read-only after opening, shared by threads. Zeroed memory
 * is closed. */
struct iol_pattern {
    char *literal; /* NULL: a regular expression */
    size_t literal_length;
    void *code; /* pcre2_code */
};

/* Compile an expression in the reference's syntax (Oniguruma, Ruby) for PCRE2. Errors, with `file`
 * and `place`: IOL_E_FORMAT (does not compile), IOL_E_UNSUPPORTED (a construct that means something
 * else there, by name), IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_pattern_regex(const char *file, const char *place,
                                                const char *expression, size_t length,
                                                struct iol_pattern *out_pattern);
IOL_NODISCARD enum iol_status iol_pattern_literal(const char *text, size_t length,
                                                  struct iol_pattern *out_pattern);
void iol_pattern_close(struct iol_pattern *pattern);
/* Spans that cover the whole text in order, matches marked. Errors: IOL_E_LIMIT (the expression
 * backtracks too much), IOL_E_NOMEM. Thread-safe; out_spans belongs to one thread. */
IOL_NODISCARD enum iol_status iol_pattern_find(const struct iol_pattern *pattern, const char *text,
                                               size_t length, struct iol_spans *out_spans);

/* --- steps of the normalizer and the pre-tokenizer (tokenizer_split.c) -------------------------
 */

enum iol_step_kind {
    IOL_STEP_PREPEND,
    IOL_STEP_REPLACE,
    IOL_STEP_NFC,
    IOL_STEP_NFD,
    IOL_STEP_NFKC,
    IOL_STEP_NFKD,
    IOL_STEP_LOWERCASE,
    IOL_STEP_BYTE_LEVEL,
    IOL_STEP_DIGITS,
    IOL_STEP_SPLIT,
    IOL_STEP_METASPACE
};
enum iol_behavior {
    IOL_SPLIT_REMOVED,
    IOL_SPLIT_ISOLATED,
    IOL_SPLIT_MERGED_WITH_PREVIOUS,
    IOL_SPLIT_MERGED_WITH_NEXT,
    IOL_SPLIT_CONTIGUOUS
};
enum iol_prepend { IOL_PREPEND_ALWAYS, IOL_PREPEND_FIRST, IOL_PREPEND_NEVER };

struct iol_step {
    enum iol_step_kind kind;
    struct iol_pattern pattern; /* replace, split, digits, byte-level, metaspace */
    char *text; /* prepend: the prefix; replace: the content; metaspace: the marker */
    size_t text_length;
    enum iol_behavior behavior;
    enum iol_prepend prepend; /* metaspace */
    bool invert;              /* split: what did not match is the delimiter */
    bool splits;              /* byte-level use_regex, metaspace split */
    bool prefix_space;        /* byte-level add_prefix_space */
};
struct iol_steps {
    struct iol_step *items;
    size_t count, capacity;
};
void iol_steps_close(struct iol_steps *steps);

/* A piece of the text on its way: bytes at..at+length-1 of the pieces' text, or an id already (id
 * >= 0). first: it begins where the raw text begins; head: how many of its leading bytes come from
 * there (what Metaspace's prepend_scheme "first" asks). */
struct iol_piece {
    size_t at, length, head;
    int32_t id;
    bool first;
};
struct iol_pieces {
    char *text;
    size_t length, capacity;
    struct iol_piece *items;
    size_t count, item_capacity;
};
void iol_pieces_close(struct iol_pieces *pieces);
/* Append bytes start..end-1 of `text` as a piece; empty ones are left out. `of` gives first and
 * head of the text. */
IOL_NODISCARD enum iol_status iol_pieces_slice(struct iol_pieces *pieces, const char *text,
                                               size_t start, size_t end, bool first, size_t head);

/* A text that steps rewrite, and what they need for it. One thread. Zeroed memory is valid. */
struct iol_text {
    char *data;
    size_t length, capacity, head;
};
struct iol_split_work {
    struct iol_text text, spare;
    struct iol_spans found, joined;
};
void iol_split_work_close(struct iol_split_work *work);

/* work->text = `length` bytes of `text`. */
IOL_NODISCARD enum iol_status iol_text_set(struct iol_split_work *work, const char *text,
                                           size_t length, size_t head);
/* Run the normalizer over work->text. */
IOL_NODISCARD enum iol_status iol_steps_normalize(const struct iol_steps *steps,
                                                  struct iol_split_work *work);
/* Run one step of the pre-tokenizer over `pieces`; out_pieces is filled anew. */
IOL_NODISCARD enum iol_status iol_step_split(const struct iol_step *step,
                                             const struct iol_pieces *pieces,
                                             struct iol_split_work *work,
                                             struct iol_pieces *out_pieces);

/* --- added tokens (tokenizer_added.c) ------------------------------------------------------------
 */

struct iol_added {
    char *content,
        *pattern; /* pattern: what is looked for; the normalised content of a normalized token */
    size_t content_length, pattern_length;
    int32_t id;
    size_t row; /* in the file, for sentences about it */
    bool single_word, lstrip, rstrip, normalized;
};
/* Tokens to look for, longest first among those with the same first byte. */
struct iol_added_set {
    const struct iol_added **items; /* borrowed tokens */
    size_t count;
    size_t begin[257]; /* items with first byte b: begin[b]..begin[b+1]-1 */
};
IOL_NODISCARD enum iol_status iol_added_set_open(const char *file, const struct iol_added *tokens,
                                                 size_t count, bool normalized,
                                                 struct iol_added_set *out_set);
void iol_added_set_close(struct iol_added_set *set);
/* Cut the tokens of the set out of a text (leftmost, then longest) and append the pieces. */
IOL_NODISCARD enum iol_status iol_added_cut(const struct iol_added_set *set, const char *text,
                                            size_t length, bool first, size_t head,
                                            struct iol_pieces *out_pieces);

/* --- the whole --- */

struct iol_tokenizer {
    struct iol_bpe bpe;
    struct iol_steps normalizer, pre_tokenizer;
    struct iol_added *added;
    size_t added_count;
    struct iol_added_set raw, normalized; /* the added tokens of either kind */
    int32_t *template; /* of the post-processor: ids, -1 for the text; NULL: the text alone */
    size_t template_count, template_capacity;
    bool byte_level, add_bos;
    int32_t bos;        /* -1: none */
    size_t *display_at; /* id -> offset in display */
    char *display;
    size_t size;
};

/* Fill a zeroed tokenizer from tokenizer.json; the caller closes it also after a failure. */
IOL_NODISCARD enum iol_status iol_tokenizer_load(const char *path, struct iol_tokenizer *tokenizer);
/* Fill add_bos and bos from tokenizer_config.json and config.json, where they exist. */
IOL_NODISCARD enum iol_status iol_tokenizer_load_bos(const char *folder,
                                                     struct iol_tokenizer *tokenizer);
/* Id of a token by its text, added tokens first; -1 when there is none. */
int32_t iol_tokenizer_find(const struct iol_tokenizer *tokenizer, const char *text, size_t length);

/* The character that byte-level BPE writes for a byte, and the byte of a character (-1: none). */
uint32_t iol_byte_to_character(unsigned char byte);
int iol_character_to_byte(int32_t character);

#endif
