/* panels_f32_neon: one panel after the other; the loop is in the template. */
#include "../ops.h"

#define IOLK_NAME iolk_panels_f32_neon
#define IOLK_GEMM iolk_gemm_f32_neon
#include "../tmpl/panels_f32_tmpl.h"
