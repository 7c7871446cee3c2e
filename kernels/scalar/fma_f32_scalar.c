/* fma_f32_scalar: chains in registers; the algorithm is in the template. */
#include "panel_scalar.h"

#define IOLK_NAME iolk_fma_f32_scalar
#include "../tmpl/fma_f32_tmpl.h"
