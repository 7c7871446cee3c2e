/* dot_f64_neon: sixteen virtual lanes in 8 q of f64; the algorithm is in the template. */
#include "lanes_neon.h"

#define IOLK_NAME iolk_dot_f64_neon
#include "../tmpl/dot_f64_tmpl.h"
