/* Resample ablation (McGrath et al. 2023, arXiv 2307.15771): the site adds what it adds in another
 * prompt. */
#include "intervene/expand.h"

const struct iol_kind iol_kind_resample = {
    .name = "resample",
    .text = "resample:R: R runs, each with the clean activation of another prompt (a donor)",
    .order = 2,
    .counted = true,
    .source = IOL_VALUE_DONOR,
};
