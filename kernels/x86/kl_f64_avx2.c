/* kl_f64_avx2: sixteen virtual lanes in 4 ymm of f64; the algorithm is in the template. */
#include "lanes_avx2.h"

#define IOLK_NAME iolk_kl_f64_avx2
#include "../tmpl/kl_f64_tmpl.h"
