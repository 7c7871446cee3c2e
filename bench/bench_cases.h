/* The files of cases, one function each. */
#ifndef IOL_BENCH_CASES_H
#define IOL_BENCH_CASES_H

void bench_register_kernels(void);
void bench_register_gemm(void);
void bench_register_attention(void);
void bench_register_unembed(void);
void bench_register_sweep(void);

#endif
