#include "fpmode.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

struct iol_fpmode iol_fpmode_enter(void)
{
    struct iol_fpmode mode = {0};
#if defined(__x86_64__)
    mode.saved = _mm_getcsr();
    _mm_setcsr(0x1f80);
#elif defined(__aarch64__)
    unsigned long zero = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode.saved));
    __asm__ volatile("msr fpcr, %0" : : "r"(zero));
#endif
    return mode;
}

void iol_fpmode_leave(struct iol_fpmode mode)
{
#if defined(__x86_64__)
    _mm_setcsr((unsigned)mode.saved);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode.saved));
#else
    (void)mode;
#endif
}
