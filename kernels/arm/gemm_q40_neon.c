/* gemm_q40_neon: the panel stays packed, weights are widened in registers; the algorithm is in the
 * template. */
#include "panel_neon.h"

#define IOLK_NAME iolk_gemm_q40_neon
#define DTYPE     q40
#include "../tmpl/gemm_panel_tmpl.h"
