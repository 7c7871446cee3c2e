/* panels: the gemm of the same ISA over one panel after the other, each fetching its own stream. */
#include <assert.h>

void IOLK_NAME(size_t m, size_t panels, size_t k, const float *a, size_t ld_a, const float *b,
               size_t panel_floats, const float *init, size_t ld_init, float *c, size_t ld_c)
{
    const struct iolk_fetch own = {.at = NULL};
    assert(m >= 1 && m <= IOLK_SIDE_MR && panels >= 1 && m * panels <= IOLK_MR);
    for (size_t p = 0; p < panels; p++) {
        const size_t column = p * IOLK_NR;
        IOLK_GEMM(m, IOLK_NR, k, a, ld_a, b + p * panel_floats, IOLK_NR,
                  init ? init + column : NULL, ld_init, c + column, ld_c, &own);
    }
}
