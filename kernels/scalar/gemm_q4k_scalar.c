/* gemm_q4k_scalar: the panel stays packed, weights are widened in registers; the algorithm is in
 * the template. */
#include "panel_scalar.h"

#define IOLK_NAME iolk_gemm_q4k_scalar
#define DTYPE     q4k
#include "../tmpl/gemm_panel_tmpl.h"
