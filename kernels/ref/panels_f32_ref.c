/* panels: gemm, panel by panel. */
#include "ops.h"
#include "ref/ref.h"

void iolk_panels_f32_ref(size_t m, size_t panels, size_t k, const float *a, size_t ld_a,
                         const float *b, size_t panel_floats, const float *init, size_t ld_init,
                         double *out_c, double *out_bound)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t p = 0; p < panels; p++) {
            const size_t at = (i * panels + p) * IOLK_NR;
            iolk_gemm_f32_ref(1, IOLK_NR, k, a + i * ld_a, ld_a, b + p * panel_floats, IOLK_NR,
                              init ? init + i * ld_init + p * IOLK_NR : NULL, 0, out_c + at,
                              out_bound + at);
        }
    }
}
