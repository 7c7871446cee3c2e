/* Mean ablation: the site adds what it adds on average over all prompts, this one too. */
#include "intervene/expand.h"

const struct iol_kind iol_kind_mean = {
    .name = "mean",
    .text = "the mean clean activation over all prompts of the set",
    .order = 1,
    .source = IOL_VALUE_MEAN,
};
