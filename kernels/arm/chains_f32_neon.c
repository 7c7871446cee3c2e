/* chains_f32_neon: eight interleaved scalar chains; the algorithm is in the template. */
#include "lanes_neon.h"

#define IOLK_NAME iolk_chains_f32_neon
#include "../tmpl/chains_f32_tmpl.h"
