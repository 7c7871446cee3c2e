#define _GNU_SOURCE
#include "fast.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* The formats under their lower-case names, for the rows of fast.def. */
enum {
#define F(format, UPPER, k, b_rows, a_words, everywhere)                                           \
    format_of_##format = IOLK_FAST_##UPPER, k_of_##format = (k), b_rows_of_##format = (b_rows),    \
    a_words_of_##format = (a_words), everywhere_of_##format = (everywhere),
    IOLK_FAST_FORMATS(F)
#undef F
};

#define FAST(name, isa, rows, flags, needs, text)                                                  \
    _Static_assert((rows) <= IOLK_FAST_ROWS, "rows of " #isa);
#include "fast.def"
#undef FAST

static const struct iolk_fast rows[] = {
#define FAST(name, isa, rows, flags, needs, text)                                                  \
    {(enum iolk_fast_format)format_of_##name,                                                      \
     k_of_##name,                                                                                  \
     b_rows_of_##name,                                                                             \
     a_words_of_##name,                                                                            \
     everywhere_of_##name,                                                                         \
     rows,                                                                                         \
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

#if defined(__x86_64__)
/* Linux: state that is saved at a task's switch only when it was asked for (arch_prctl(2)). */
static bool ask_for_tiles(void)
{
    enum { REQUEST = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

/* A flag by the name that /proc/cpuinfo gives it. */
static bool has(const char *name, size_t length)
{
    enum { EAX, EBX, ECX, EDX };
    static const struct {
        const char *name;
        unsigned subleaf, reg, bit; /* of leaf 7 */
    } flags[] = {{"avx512f", 0, EBX, 16},  {"avx512dq", 0, EBX, 17},    {"avx512bw", 0, EBX, 30},
                 {"avx512vl", 0, EBX, 31}, {"avx512_vnni", 0, ECX, 11}, {"avx512_bf16", 1, EAX, 5},
                 {"amx_bf16", 0, EDX, 22}, {"amx_tile", 0, EDX, 24}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        unsigned most, r[4];
        if (strlen(flags[i].name) == length && memcmp(flags[i].name, name, length) == 0) {
            return __get_cpuid_count(7, 0, &most, &r[EBX], &r[ECX], &r[EDX]) &&
                   flags[i].subleaf <= most &&
                   __get_cpuid_count(7, flags[i].subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) &&
                   (r[flags[i].reg] >> flags[i].bit & 1U) != 0 &&
                   (strcmp(flags[i].name, "amx_tile") != 0 || ask_for_tiles());
        }
    }
    return false;
}
enum { ISA = IOLK_ISA_AVX512 };
#elif defined(__aarch64__)
static bool has(const char *name, size_t length)
{
    static const struct {
        const char *name;
        unsigned long type, bit;
    } flags[] = {{"asimd", AT_HWCAP, 1}, {"asimddp", AT_HWCAP, 20}, {"bf16", AT_HWCAP2, 14}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strlen(flags[i].name) == length && memcmp(flags[i].name, name, length) == 0) {
            return (getauxval(flags[i].type) >> flags[i].bit & 1U) != 0;
        }
    }
    return false;
}
enum { ISA = IOLK_ISA_NEON };
#endif

int iolk_fast_runs(const struct iolk_fast *fast, uint32_t mask)
{
#if defined(__x86_64__) || defined(__aarch64__)
    if (!((mask & iolk_isa_detect()) >> ISA & 1U)) {
        return 0;
    }
    for (const char *word = fast->needs; *word;) {
        const size_t length = strcspn(word, " ");
        if (!has(word, length)) {
            return 0;
        }
        word += length + (word[length] == ' ');
    }
    return 1;
#else
    (void)fast, (void)mask;
    return 0;
#endif
}
