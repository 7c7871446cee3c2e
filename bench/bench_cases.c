#include "bench_cases.h"

#include "bench.h"

void bench_register_all(void)
{
    bench_register_kernels();
    bench_register_gemm();
    bench_register_attention();
    bench_register_unembed();
    bench_register_sweep();
}
