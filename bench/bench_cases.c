#include "bench_cases.h"

#include <stdio.h>

#include "base/energy.h"
#include "bench.h"
#include "counters.h"

/* Open the processor's counters, and say once what this machine does not show. */
static void open_counters(void)
{
    char missing[256];
    struct iol_energy energy;
    (void)bench_counters_open(NULL, missing, sizeof missing);
    if (*missing) {
        fprintf(stderr, "iolaus_bench: %s\n", missing);
    }
    iol_energy_open("", NULL, &energy);
    if (energy.count == 0) {
        fprintf(stderr, "iolaus_bench: no energy (no RAPL counters that this user may read)\n");
    }
    iol_energy_close(&energy);
}

void bench_register_all(void)
{
    open_counters();
    bench_register_kernels();
    bench_register_gemm();
    bench_register_attention();
    bench_register_unembed();
    bench_register_sweep();
}
