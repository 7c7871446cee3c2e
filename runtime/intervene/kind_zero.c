/* Zero ablation: the site adds nothing. */
#include "intervene/expand.h"

const struct iol_kind iol_kind_zero = {
    .name = "zero",
    .text = "the site's activation becomes 0",
    .order = 0,
    .source = IOL_VALUE_ZERO,
};
