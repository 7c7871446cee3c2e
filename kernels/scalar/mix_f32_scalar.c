/* mix_f32_scalar: sixteen virtual lanes, one lane at a time; the algorithm is in the template. */
#include "lanes_scalar.h"

#define IOLK_NAME iolk_mix_f32_scalar
#define IOLK_GEMM iolk_gemm_f32_scalar
#include "../tmpl/mix_f32_tmpl.h"
