#include "fast.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const struct iolk_fast rows[] = {
#define FAST(isa, flags, needs, text)                                                              \
    {iolk_gemm_bf16dot_##isa, iolk_round_bf16_##isa, #isa, needs, text},
#include "fast.def"
#undef FAST
    {NULL, NULL, NULL, NULL, NULL}, /* the end */
};

const struct iolk_fast *iolk_fast_get(size_t index)
{
    return index + 1 < sizeof rows / sizeof *rows ? &rows[index] : NULL;
}

const struct iolk_fast *iolk_fast_detect(uint32_t mask)
{
#if defined(__x86_64__)
    enum { BF16 = 1 << 5 }; /* leaf 7, subleaf 1, eax */
    unsigned a, b, c, d;
    if ((mask & iolk_isa_detect()) >> IOLK_ISA_AVX512 & 1U &&
        __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1 &&
        __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & BF16)) {
        return iolk_fast_get(0);
    }
#else
    (void)mask;
#endif
    return NULL;
}
