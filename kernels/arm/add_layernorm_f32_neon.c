/* add_layernorm_f32_neon: sixteen virtual lanes in 4 q of f32; the algorithm is in the template. */
#include "lanes_neon.h"

#define IOLK_NAME iolk_add_layernorm_f32_neon
#include "../tmpl/add_layernorm_f32_tmpl.h"
