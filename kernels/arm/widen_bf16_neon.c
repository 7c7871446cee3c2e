/* widen_bf16_neon: a slice of a packed panel as f32; the algorithm is in the template. */
#include "panel_neon.h"

#define IOLK_NAME iolk_widen_bf16_neon
#define DTYPE     bf16
#include "../tmpl/widen_panel_tmpl.h"
