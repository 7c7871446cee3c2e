/* widen_q41_neon: a slice of a packed panel as f32; the algorithm is in the template. */
#include "panel_neon.h"

#define IOLK_NAME iolk_widen_q41_neon
#define DTYPE     q41
#include "../tmpl/widen_panel_tmpl.h"
