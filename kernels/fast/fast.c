#include "fast.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* The formats under their lower-case names, for the rows of fast.def. */
enum {
#define F(format, UPPER, k, b_rows, a_words)                                                       \
    format_of_##format = IOLK_FAST_##UPPER, k_of_##format = (k), b_rows_of_##format = (b_rows),    \
    a_words_of_##format = (a_words),
    IOLK_FAST_FORMATS(F)
#undef F
};

static const struct iolk_fast rows[] = {
#define FAST(name, isa, flags, needs, text)                                                        \
    {(enum iolk_fast_format)format_of_##name,                                                      \
     k_of_##name,                                                                                  \
     b_rows_of_##name,                                                                             \
     a_words_of_##name,                                                                            \
     iolk_gemm_##name##dot_##isa,                                                                  \
     iolk_round_##name##_##isa,                                                                    \
     #name,                                                                                        \
     #isa,                                                                                         \
     needs,                                                                                        \
     text},
#include "fast.def"
#undef FAST
    {0}, /* the end */
};

const struct iolk_fast *iolk_fast_get(size_t index)
{
    return index + 1 < sizeof rows / sizeof *rows ? &rows[index] : NULL;
}

int iolk_fast_runs(const struct iolk_fast *fast, uint32_t mask)
{
#if defined(__x86_64__)
    enum { BF16 = 1 << 5, VNNI = 1 << 11 }; /* leaf 7: subleaf 1, eax; subleaf 0, ecx */
    unsigned a, b, c, d, most, vnni;
    if (!((mask & iolk_isa_detect()) >> IOLK_ISA_AVX512 & 1U) ||
        !__get_cpuid_count(7, 0, &most, &b, &vnni, &d)) {
        return 0;
    }
    if (fast->format == IOLK_FAST_INT8) {
        return (vnni & VNNI) != 0;
    }
    return most >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & BF16) != 0;
#elif defined(__aarch64__)
    const unsigned long dot = 1UL << 20, bf16 = 1UL << 14; /* of HWCAP; of HWCAP2 */
    if (!((mask & iolk_isa_detect()) >> IOLK_ISA_NEON & 1U)) {
        return 0;
    }
    return fast->format == IOLK_FAST_INT8 ? (getauxval(AT_HWCAP) & dot) != 0
                                          : (getauxval(AT_HWCAP2) & bf16) != 0;
#else
    (void)fast, (void)mask;
    return 0;
#endif
}
