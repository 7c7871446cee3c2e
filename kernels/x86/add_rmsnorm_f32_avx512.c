/* add_rmsnorm_f32_avx512: sixteen virtual lanes in 1 zmm of f32; the algorithm is in the template.
 */
#include "lanes_avx512.h"

#define IOLK_NAME iolk_add_rmsnorm_f32_avx512
#include "../tmpl/add_rmsnorm_f32_tmpl.h"
