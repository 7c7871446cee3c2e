/* ssq_f64_neon: sixteen virtual lanes in 8 q of f64; the algorithm is in the template. */
#include "lanes_neon.h"

#define IOLK_NAME iolk_ssq_f64_neon
#include "../tmpl/ssq_f64_tmpl.h"
