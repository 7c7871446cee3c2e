/* widen_bf16_avx2: a slice of a packed panel as f32; the algorithm is in the template. */
#include "panel_avx2.h"

#define IOLK_NAME iolk_widen_bf16_avx2
#define DTYPE     bf16
#include "../tmpl/widen_panel_tmpl.h"
