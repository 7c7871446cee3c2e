/* mix_f32_neon: sixteen virtual lanes in 4 q of f32; the algorithm is in the template. */
#include "lanes_neon.h"

#define IOLK_NAME iolk_mix_f32_neon
#define IOLK_GEMM iolk_gemm_f32_neon
#include "../tmpl/mix_f32_tmpl.h"
