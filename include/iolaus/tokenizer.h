/* Text to token ids, as the model's own `tokenizer.json` says. */
#ifndef IOLAUS_TOKENIZER_H
#define IOLAUS_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "iolaus/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct iol_tokenizer;

/* How the beginning-of-sequence id is handled: as the files say (post-processor or add_bos_token),
 * always first (added once), or no special tokens added at all. */
enum iol_bos { IOL_BOS_AUTO, IOL_BOS_YES, IOL_BOS_NO };

/* Read FOLDER/tokenizer.json (required), FOLDER/tokenizer_config.json (add_bos_token, bos_token)
 * and FOLDER/config.json (bos_token_id), where they are there. Byte-level BPE and
 * SentencePiece-style BPE with byte fallback. Errors: IOL_E_IO, IOL_E_FORMAT (file, place, found,
 * expected), IOL_E_UNSUPPORTED (a normalizer, pre-tokenizer, post-processor or model that is not
 * built, by name), IOL_E_NOMEM. *out_tokenizer is NULL then. Thread-safe. */
IOL_API IOL_NODISCARD enum iol_status iol_tokenizer_open(const char *folder,
                                                         struct iol_tokenizer **out_tokenizer);
IOL_API void iol_tokenizer_close(struct iol_tokenizer *tokenizer);

/* Token ids of `length` bytes of UTF-8 `text`. *out_ids is owned by the caller (iol_ids_free).
 * Errors: IOL_E_FORMAT (not UTF-8: byte offset), IOL_E_UNSUPPORTED (IOL_BOS_YES without a BOS id),
 * IOL_E_NOMEM. Thread-safe: a tokenizer may be shared. */
IOL_API IOL_NODISCARD enum iol_status iol_tokenizer_encode(const struct iol_tokenizer *tokenizer,
                                                           const char *text, size_t length,
                                                           enum iol_bos bos, int32_t **out_ids,
                                                           size_t *out_count);
IOL_API void iol_ids_free(int32_t *ids);

/* Text of one id for display (raw bytes made printable UTF-8), "" if out of range. Owned by the
 * tokenizer. Thread-safe. */
IOL_API const char *iol_tokenizer_piece(const struct iol_tokenizer *tokenizer, int32_t id);
/* Number of ids (largest id + 1, added tokens included). */
IOL_API size_t iol_tokenizer_size(const struct iol_tokenizer *tokenizer);
/* The BOS id, or -1. */
IOL_API int32_t iol_tokenizer_bos(const struct iol_tokenizer *tokenizer);
/* "byte-level BPE" or "SentencePiece BPE". Static storage. */
IOL_API const char *iol_tokenizer_kind(const struct iol_tokenizer *tokenizer);

#ifdef __cplusplus
}
#endif
#endif
