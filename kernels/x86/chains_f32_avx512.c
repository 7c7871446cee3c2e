/* chains_f32_avx512: eight chains in the lanes of a ymm; the algorithm is in the header. */
#define IOLK_NAME iolk_chains_f32_avx512
#include "chains_ymm.h"
