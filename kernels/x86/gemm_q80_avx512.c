/* gemm_q80_avx512: the panel stays packed, weights are widened in registers; the algorithm is in
 * the template. */
#include "panel_avx512.h"

#define IOLK_NAME iolk_gemm_q80_avx512
#define DTYPE     q80
#define PANELS    4
#include "../tmpl/gemm_panel_tmpl.h"
