/* gemm_bf16_avx2: the panel stays packed, weights are widened in registers; the algorithm is in the
 * template. */
#include "panel_avx2.h"

#define IOLK_NAME iolk_gemm_bf16_avx2
#define DTYPE     bf16
#include "../tmpl/gemm_panel_tmpl.h"
