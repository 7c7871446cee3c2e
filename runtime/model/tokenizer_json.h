/* Reading a tokenizer's JSON: typed members, and sentences about what is wrong where. */
#ifndef IOL_TOKENIZER_JSON_H
#define IOL_TOKENIZER_JSON_H

#include <jansson.h>

#include "model/tokenizer_parts.h"

/* A value with its place: `place` is a path such as "model.merges[17]", borrowed. */
struct iol_json {
    const char *file, *place;
    json_t *value; /* borrowed */
};

/* Read and parse a file of at most `limit` bytes; the caller owns *out_root (json_decref). */
IOL_NODISCARD enum iol_status iol_tokjson_read(const char *path, size_t limit, json_t **out_root);

/* "<place>.<key>: found <what value is>, expected <expected>"; key NULL: the place itself.
 * IOL_E_FORMAT. */
IOL_NODISCARD enum iol_status iol_json_wrong(const struct iol_json *at, const char *key,
                                             const json_t *value, const char *expected);

/* Members of an object. A member that is missing or null leaves *out as it was where `required` is
 * false. */
IOL_NODISCARD enum iol_status iol_json_bool(const struct iol_json *at, const char *key,
                                            bool required, bool *out);
IOL_NODISCARD enum iol_status iol_json_text(const struct iol_json *at, const char *key,
                                            bool required, const char **out_text,
                                            size_t *out_length);
IOL_NODISCARD enum iol_status iol_json_copy(const struct iol_json *at, const char *key,
                                            bool required, char **out_text, size_t *out_length);
/* An id: 0..IOL_ID_LIMIT-1. */
IOL_NODISCARD enum iol_status iol_json_id(const struct iol_json *at, const char *key,
                                          const json_t *value, int32_t *out_id);
/* The member "type" of an object. */
IOL_NODISCARD enum iol_status iol_json_type(const struct iol_json *at, const char **out_type);
/* The element `index` of the member array `key`; *out_place is freed by the caller. */
IOL_NODISCARD enum iol_status iol_json_element(const struct iol_json *at, const char *key,
                                               json_t *array, size_t index, char **out_place,
                                               struct iol_json *out_element);

/* Parse the normalizer or the pre-tokenizer (null: no steps) into a flat list of steps
 * (tokenizer_steps.c). */
IOL_NODISCARD enum iol_status iol_steps_load_normalizer(const struct iol_json *at,
                                                        struct iol_steps *steps);
IOL_NODISCARD enum iol_status iol_steps_load_pre_tokenizer(const struct iol_json *at,
                                                           struct iol_steps *steps);

#define IOL_SEQUENCE_DEPTH 16 /* Sequences within Sequences */

#endif
