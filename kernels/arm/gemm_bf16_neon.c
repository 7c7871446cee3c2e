/* gemm_bf16_neon: the panel stays packed, weights are widened in registers; the algorithm is in the
 * template. */
#include "panel_neon.h"

#define IOLK_NAME iolk_gemm_bf16_neon
#define DTYPE     bf16
#include "../tmpl/gemm_panel_tmpl.h"
