/* gemm_f16_neon: the panel stays packed, weights are widened in registers; the algorithm is in the
 * template. */
#include "panel_neon.h"

#define IOLK_NAME iolk_gemm_f16_neon
#define DTYPE     f16
#include "../tmpl/gemm_panel_tmpl.h"
