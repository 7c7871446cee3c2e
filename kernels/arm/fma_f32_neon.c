/* fma_f32_neon: chains in registers; the algorithm is in the template. */
#include "panel_neon.h"

#define SIXTEEN
#define IOLK_NAME iolk_fma_f32_neon
#include "../tmpl/fma_f32_tmpl.h"
