#include "base/base.h"
#include "intervene/experiment.h"

void iol_donors_draw(size_t p, size_t n, size_t runs, uint64_t seed, size_t *out_donors)
{
    uint64_t state = seed ^ (((uint64_t)p + 1) * UINT64_C(0xD1342543DE82EF95));
    size_t count = 0;
    while (count < runs) {
        size_t donor = (size_t)iol_below(&state, (uint64_t)n - 1);
        donor += donor >= p ? 1 : 0;
        bool drawn = false;
        for (size_t i = 0; i < count; i++) {
            drawn = drawn || out_donors[i] == donor;
        }
        if (!drawn) {
            out_donors[count++] = donor;
        }
    }
}
