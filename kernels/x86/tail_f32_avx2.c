/* tail_f32_avx2: sixteen virtual lanes in 2 ymm of f32; the algorithm is in the template. */
#include "lanes_avx2.h"

#define IOLK_NAME iolk_tail_f32_avx2
#include "../tmpl/tail_f32_tmpl.h"
