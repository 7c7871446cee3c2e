/* chains_f32_avx512: eight interleaved scalar chains; the algorithm is in the template. */
#include "lanes_avx512.h"

#define IOLK_NAME iolk_chains_f32_avx512
#include "../tmpl/chains_f32_tmpl.h"
