/* For tests that go through the floats: blocks of consecutive or every n-th bit pattern, the ops of
 * every ISA of the machine, and the lines of the end. */
#ifndef IOL_ALL_FLOATS_H
#define IOL_ALL_FLOATS_H

#include <stdio.h>
#include <string.h>

#include "ops.h"

enum { BLOCK = 4096 };

static struct iolk_ops isas[IOLK_ISA_COUNT];
static uint32_t mask; /* of isas that are here */
static uint64_t faults;

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* check: of at most BLOCK floats. */
static void check_range(void (*check)(size_t n, const float *x), uint64_t first, uint64_t end,
                        uint64_t step)
{
    static float x[BLOCK];
    size_t n = 0;
    for (uint64_t bits = first; bits < end; bits += step) {
        x[n++] = float_of((uint32_t)bits);
        if (n == BLOCK) {
            check(n, x);
            n = 0;
        }
    }
    check(n, x);
}

/* How many ISAs there are; their variants of `op`, named `name`, are printed. 0: none, and a
 * sentence. */
static unsigned open_isas(const char *test, const char *name, unsigned op)
{
    unsigned count = 0;
    mask = iolk_isa_detect();
    if (!(mask & 1U << IOLK_ISA_SCALAR)) {
        fprintf(stderr, "%s: this processor lacks %s\n", test, iolk_isa_needs(IOLK_ISA_SCALAR));
        return 0;
    }
    printf("%s:", name);
    for (unsigned isa = 0; isa < IOLK_ISA_COUNT; isa++) {
        if (mask >> isa & 1U) {
            iolk_ops_fill(1U << isa | 1U << IOLK_ISA_SCALAR, &isas[isa]);
            printf(" %s", iolk_isa_name(isas[isa].chosen[op]));
            count++;
        }
    }
    printf("\n");
    return count;
}

/* The exit status. */
static int close_isas(unsigned count)
{
    printf("%llu wrong\n", (unsigned long long)faults);
    printf("%u passed, %u failed, 0 skipped\n", faults ? 0 : count, faults ? count : 0);
    return faults ? 1 : 0;
}

#endif
