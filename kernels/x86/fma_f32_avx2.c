/* fma_f32_avx2: chains in registers; the algorithm is in the template. */
#include "panel_avx2.h"

#define IOLK_NAME iolk_fma_f32_avx2
#include "../tmpl/fma_f32_tmpl.h"
