/* mix_f32_avx2: sixteen virtual lanes in 2 ymm of f32; the algorithm is in the template. */
#include "lanes_avx2.h"

#define IOLK_NAME iolk_mix_f32_avx2
#define IOLK_GEMM iolk_gemm_f32_avx2
#include "../tmpl/mix_f32_tmpl.h"
