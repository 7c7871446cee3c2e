/* The steps of iol_experiment_open, one file each. */
#ifndef IOL_EXPAND_H
#define IOL_EXPAND_H

#include "base/base.h"
#include "intervene/experiment.h"
#include "intervene/pattern.h"

/* sites.c: every site of the model in the order of the schema; *out_sites is freed by iol_free.
 * Errors: IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_sites_list(const struct iol_arch *arch,
                                             struct iol_site **out_sites, size_t *out_count);
/* Set matched[i] for every sites[i] that the pattern names: a bare type, a glob over the names, or
 * a TransformerLens hook name. Errors: IOL_E_INVAL (nothing matches: what exists),
 * IOL_E_UNSUPPORTED (a site that is known but not built, by name). */
IOL_NODISCARD enum iol_status iol_sites_match(const struct iol_arch *arch,
                                              const struct iol_site *sites, size_t count,
                                              struct iol_span pattern, bool *matched);

/* kinds.c: "zero", "mean", "resample:15". Errors: IOL_E_INVAL (unknown; ":R" missing, superfluous
 * or malformed), IOL_E_UNSUPPORTED (known but not built, by name). */
IOL_NODISCARD enum iol_status iol_kind_parse(struct iol_span text, struct iol_kind_use *out_use);
/* < 0, 0, > 0: the order of the schema. */
int iol_kind_use_compare(const struct iol_kind_use *a, const struct iol_kind_use *b);
/* prompts.c: read, check and tokenise the first `limit` (0: all) lines of experiment->prompts_path
 * into experiment->prompts (model, filter_correct and bos are set). Errors: IOL_E_IO, IOL_E_FORMAT
 * (file:line, found, expected), IOL_E_LIMIT (longer than the context), IOL_E_UNSUPPORTED
 * (tokenizer), IOL_E_NOMEM. */
IOL_NODISCARD enum iol_status iol_prompts_read(struct iol_experiment *experiment,
                                               const char *model_folder, size_t limit);

#endif
