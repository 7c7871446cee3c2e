/* widen_bf16_scalar: a slice of a packed panel as f32; the algorithm is in the template. */
#include "panel_scalar.h"

#define IOLK_NAME iolk_widen_bf16_scalar
#define DTYPE     bf16
#include "../tmpl/widen_panel_tmpl.h"
