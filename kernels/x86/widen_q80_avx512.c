/* widen_q80_avx512: a slice of a packed panel as f32; the algorithm is in the template. */
#include "panel_avx512.h"

#define IOLK_NAME iolk_widen_q80_avx512
#define DTYPE     q80
#include "../tmpl/widen_panel_tmpl.h"
