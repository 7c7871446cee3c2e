/* widen of q80 panels: every weight is the float that the layout defines; no error at all. */
#include "ref/panel_weight.h"

IOLK_WIDEN_REF(q80)
