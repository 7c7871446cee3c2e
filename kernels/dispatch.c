#include "ops.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMD
#define HWCAP_ASIMD (1UL << 1)
#endif
#endif

static const struct {
    const char *name, *needs;
} isas[IOLK_ISA_COUNT] = {
#define ISA(name, UPPER, folder, flags, needs) {#name, needs},
#include "isa.def"
#undef ISA
};

static const char *const op_names[IOLK_OP_COUNT] = {
#define O(op, dtype) #op "_" #dtype,
    IOLK_OPS(O)
#undef O
};

const char *iolk_isa_name(enum iolk_isa isa)
{
    return (unsigned)isa < IOLK_ISA_COUNT ? isas[isa].name : "?";
}

const char *iolk_isa_needs(enum iolk_isa isa)
{
    return (unsigned)isa < IOLK_ISA_COUNT ? isas[isa].needs : "?";
}

const char *iolk_op_name(enum iolk_op op)
{
    return (unsigned)op < IOLK_OP_COUNT ? op_names[op] : "?";
}

#if defined(__x86_64__)
static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t iolk_isa_detect(void)
{
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29 }; /* leaf 1 ecx */
    enum { AVX2 = 1 << 5, F = 1 << 16, DQ = 1 << 17, BW = 1 << 30 };          /* leaf 7 ebx */
    const unsigned vl = 1U << 31;
    const uint64_t ymm_state = 0x6,
                   zmm_state = 0xe6; /* XCR0: SSE, AVX; opmask, both halves of zmm */
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE) || !(c & AVX) || !(c & FMA)) {
        return 0;
    }
    uint64_t state = xcr0();
    if ((state & ymm_state) != ymm_state) {
        return 0;
    }
    uint32_t mask = 1U << IOLK_ISA_SCALAR;
    const int f16c = (c & F16C) != 0;
    if (!f16c || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & AVX2)) {
        return mask;
    }
    mask |= 1U << IOLK_ISA_AVX2;
    if ((b & F) && (b & DQ) && (b & BW) && (b & vl) && (state & zmm_state) == zmm_state) {
        mask |= 1U << IOLK_ISA_AVX512;
    }
    return mask;
}
#elif defined(__aarch64__)
uint32_t iolk_isa_detect(void)
{
    uint32_t mask = 1U << IOLK_ISA_SCALAR;
    return getauxval(AT_HWCAP) & HWCAP_ASIMD ? mask | 1U << IOLK_ISA_NEON : mask;
}
#else
uint32_t iolk_isa_detect(void)
{
    return 1U << IOLK_ISA_SCALAR;
}
#endif

/* The enumerators of the ISAs under their lower-case names, for the rows of registry.def. */
enum {
#define ISA(name, UPPER, folder, flags, needs) isa_of_##name = IOLK_ISA_##UPPER,
#include "isa.def"
#undef ISA
};

void iolk_ops_fill(uint32_t mask, struct iolk_ops *out_ops)
{
    *out_ops = (struct iolk_ops){.l1_bytes = (size_t)32 << 10, .l2_bytes = (size_t)1 << 20};
#define KERNEL(op, dtype, isa)                                                                     \
    if (mask >> isa_of_##isa & 1U) {                                                               \
        out_ops->op##_##dtype = iolk_##op##_##dtype##_##isa;                                       \
        out_ops->chosen[IOLK_OP_##op##_##dtype] = (enum iolk_isa)isa_of_##isa;                     \
    }
#include "registry.def"
#undef KERNEL
}
