/* widen_q4k_scalar: a slice of a packed panel as f32; the algorithm is in the template. */
#include "panel_scalar.h"

#define IOLK_NAME iolk_widen_q4k_scalar
#define DTYPE     q4k
#include "../tmpl/widen_panel_tmpl.h"
