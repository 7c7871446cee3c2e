/* fma_f32_avx512: chains in registers; the algorithm is in the template. */
#include "panel_avx512.h"

#define IOLK_NAME iolk_fma_f32_avx512
#include "../tmpl/fma_f32_tmpl.h"
