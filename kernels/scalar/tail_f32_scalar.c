/* tail_f32_scalar: sixteen virtual lanes, one lane at a time; the algorithm is in the template.
 */
#include "lanes_scalar.h"

#define IOLK_NAME iolk_tail_f32_scalar
#include "../tmpl/tail_f32_tmpl.h"
