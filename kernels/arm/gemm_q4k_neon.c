/* gemm_q4k_neon: the panel stays packed, weights are widened in registers; the algorithm is in the
 * template. */
#include "panel_neon.h"

#define IOLK_NAME iolk_gemm_q4k_neon
#define DTYPE     q4k
#include "../tmpl/gemm_panel_tmpl.h"
