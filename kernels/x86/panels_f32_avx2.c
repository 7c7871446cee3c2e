/* panels_f32_avx2: one panel after the other; the loop is in the template. */
#include "../ops.h"

#define IOLK_NAME iolk_panels_f32_avx2
#define IOLK_GEMM iolk_gemm_f32_avx2
#include "../tmpl/panels_f32_tmpl.h"
