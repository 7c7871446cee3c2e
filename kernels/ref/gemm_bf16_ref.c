/* gemm over bf16 panels: the weight is exact, the bound that of gemm_f32. */
#include "ref/panel_weight.h"

IOLK_GEMM_WIDENED_REF(bf16)
