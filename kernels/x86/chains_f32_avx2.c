/* chains_f32_avx2: eight interleaved scalar chains; the algorithm is in the template. */
#include "lanes_avx2.h"

#define IOLK_NAME iolk_chains_f32_avx2
#include "../tmpl/chains_f32_tmpl.h"
