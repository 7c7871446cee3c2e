/* dot_f64_avx512: sixteen virtual lanes in 2 zmm of f64; the algorithm is in the template. */
#include "lanes_avx512.h"

#define IOLK_NAME iolk_dot_f64_avx512
#include "../tmpl/dot_f64_tmpl.h"
