/* chains_f32_scalar: eight interleaved scalar chains; the algorithm is in the template. */
#include "lanes_scalar.h"

#define IOLK_NAME iolk_chains_f32_scalar
#include "../tmpl/chains_f32_tmpl.h"
