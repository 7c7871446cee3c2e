/* JSON files with good errors: file, key path, found, expected. */
#ifndef IOL_CONFIG_H
#define IOL_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"
#include "model/model.h"

/* A JSON object and where it came from. Nothing here is owned. */
struct iol_json {
    const json_t *object;
    const char *path; /* file */
    const char
        *prefix; /* key path of the object with its dot ("rope_parameters."), "" at the root */
};

/* Parse `length` bytes into *out_object, a JSON object without duplicate keys, released by
 * json_decref. `path` and `part` ("config", "header") name the place in errors, IOL_E_FORMAT with
 * line and column. */
IOL_NODISCARD enum iol_status iol_json_parse(const char *text, size_t length, const char *path,
                                             const char *part, json_t **out_object);

/* The whole file, up to `limit` bytes. Errors: IOL_E_IO, IOL_E_LIMIT and those of iol_json_parse.
 */
IOL_NODISCARD enum iol_status iol_json_read(const char *path, size_t limit, const char *part,
                                            json_t **out_object);

/* What a value is, in a few words: 'the string "abc"', "3.5", "null", "an object". Returns out. */
const char *iol_json_describe(const json_t *value, char out[96]);

/* The value of a key; absent and null are the same: NULL. */
const json_t *iol_json_get(const struct iol_json *json, const char *key);

/* Typed reads. The _or forms give `fallback` where the key is absent or null; the others require
 * it. A size is a whole number in 1 .. 2^31 - 1; a real is finite and may be written as an integer.
 * Errors: IOL_E_FORMAT. */
IOL_NODISCARD enum iol_status iol_json_size(const struct iol_json *json, const char *key,
                                            size_t *out_value);
IOL_NODISCARD enum iol_status iol_json_size_or(const struct iol_json *json, const char *key,
                                               size_t fallback, size_t *out_value);
IOL_NODISCARD enum iol_status iol_json_positive(const struct iol_json *json, const char *key,
                                                double *out_value);
IOL_NODISCARD enum iol_status iol_json_positive_or(const struct iol_json *json, const char *key,
                                                   double fallback, double *out_value);
IOL_NODISCARD enum iol_status iol_json_bool_or(const struct iol_json *json, const char *key,
                                               bool fallback, bool *out_value);
/* *out_value is owned by the JSON object (or is `fallback`). */
IOL_NODISCARD enum iol_status iol_json_text_or(const struct iol_json *json, const char *key,
                                               const char *fallback, const char **out_value);

/* IOL_E_UNSUPPORTED if the key is there with anything but null, false or an empty container:
 * `feature` says in a few words what it would mean. */
IOL_NODISCARD enum iol_status iol_json_refuse(const struct iol_json *json, const char *key,
                                              const char *feature);

/* Rotary parameters in the new style (rope_parameters) and the old one (rope_theta, rope_scaling
 * {rope_type | type}); rope.c. `context` is the default of original_max_position_embeddings.
 * Errors: IOL_E_FORMAT, IOL_E_UNSUPPORTED (rope type by name, partial rotation). */
IOL_NODISCARD enum iol_status iol_rope_parse(const struct iol_json *config, size_t context,
                                             struct iol_rope *out_rope);

#endif
