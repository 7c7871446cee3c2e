/* sum_f64_scalar: sixteen virtual lanes, one lane at a time; the algorithm is in the template. */
#include "lanes_scalar.h"

#define IOLK_NAME iolk_sum_f64_scalar
#include "../tmpl/sum_f64_tmpl.h"
