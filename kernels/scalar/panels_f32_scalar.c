/* panels_f32_scalar: one panel after the other; the loop is in the template. */
#include "../ops.h"

#define IOLK_NAME iolk_panels_f32_scalar
#define IOLK_GEMM iolk_gemm_f32_scalar
#include "../tmpl/panels_f32_tmpl.h"
