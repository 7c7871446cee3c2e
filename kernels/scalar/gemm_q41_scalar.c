/* gemm_q41_scalar: the panel stays packed, weights are widened in registers; the algorithm is in
 * the template. */
#include "panel_scalar.h"

#define IOLK_NAME iolk_gemm_q41_scalar
#define DTYPE     q41
#include "../tmpl/gemm_panel_tmpl.h"
