/* gemm_f16_avx512: the panel stays packed, weights are widened in registers; the algorithm is in
 * the template. */
#include "panel_avx512.h"

#define IOLK_NAME iolk_gemm_f16_avx512
#define DTYPE     f16
#define PANELS    4
#include "../tmpl/gemm_panel_tmpl.h"
