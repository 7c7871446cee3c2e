/* The context: which kernels run, on how many threads. Immutable; share it between threads. */
#ifndef IOLAUS_CONTEXT_H
#define IOLAUS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iolaus/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct iol_ctx;

struct iol_ctx_settings {
    size_t struct_size;
    size_t threads;  /* 0: as many as the process may run on */
    const char *isa; /* NULL or "auto": the newest this machine has; else a name of iol_isa_name, or
                        several, "scalar,avx2" */
    const char *arithmetic; /* NULL or "exact"; "bf16", "bf16x32", "int8": weight products by dot
                               products of operands rounded so, where the processor has them and is
                               measured to be faster with them; "fast": the first of these that is;
                               not the bits of exact, and named in every result */
};

IOL_API void iol_ctx_settings_default(struct iol_ctx_settings *out_settings);

/* Choose kernels by CPUID/XCR0 (HWCAP on ARM), narrowed by settings->isa. settings NULL: defaults.
 * Errors: IOL_E_CPU (no FMA; the named ISA, or the fast mode, is not there or of no use),
 * IOL_E_INVAL (unknown name),
 * IOL_E_NOMEM. Thread-safe. */
IOL_API IOL_NODISCARD enum iol_status iol_ctx_open(const struct iol_ctx_settings *settings,
                                                   struct iol_ctx **out_ctx);
IOL_API void iol_ctx_close(struct iol_ctx *ctx); /* NULL-safe */

/* "exact", "fast (int8 dot products)", or, where bits depend on the kernels, "fast (bf16 dot
 * products, avx512bf16)". Owned by the context. */
IOL_API const char *iol_ctx_arithmetic(const struct iol_ctx *ctx);
/* Rate of fast products over exact ones as measured when the context was opened; 0 if exact. */
IOL_API double iol_ctx_fast_rate(const struct iol_ctx *ctx);
/* The kernels of the fast mode in this build: name, what they compute with, what they need of a
 * processor; false past the end. Static storage. Thread-safe. */
IOL_API bool iol_fast_get(size_t index, const char **out_name, const char **out_text,
                          const char **out_needs);
IOL_API size_t iol_ctx_threads(const struct iol_ctx *ctx);
/* Name of the newest ISA in use ("avx2"). Static storage. */
IOL_API const char *iol_ctx_isa(const struct iol_ctx *ctx);

/* The ISAs this build knows: count, name, what each needs of a processor, whether this machine runs
 * it. Thread-safe. */
IOL_API size_t iol_isa_count(void);
IOL_API const char *iol_isa_name(size_t index);
IOL_API const char *iol_isa_needs(size_t index);
IOL_API bool iol_isa_available(size_t index);

/* The ops and the ISA whose variant each one uses in this context. */
IOL_API size_t iol_op_count(void);
IOL_API const char *iol_op_name(size_t index);
IOL_API const char *iol_op_isa(const struct iol_ctx *ctx, size_t index);

/* What this machine can do. */
struct iol_machine {
    size_t struct_size;
    char cpu[96];                        /* model name as the processor reports it */
    size_t threads;                      /* that this process may run on */
    size_t l1_bytes, l2_bytes, l3_bytes; /* data caches of one core; 0 where unknown */
    uint64_t memory_bytes, available_bytes;
    double peak_flops; /* f32 FMA, of the context's ISA on the context's threads; FLOP/s */
};
/* Fill *out_machine (struct_size set by the caller). The peak comes from the registry's chains of
 * FMAs in registers, measured for about `seconds` (0: not measured, peak 0). Thread-safe, but
 * another busy thread lowers the peak. */
IOL_API IOL_NODISCARD enum iol_status iol_machine_probe(const struct iol_ctx *ctx, double seconds,
                                                        struct iol_machine *out_machine);

/* "0.1.0" */
IOL_API const char *iol_version(void);
/* Rises with every announced change of result bits. */
IOL_API int iol_numerics_version(void);

#ifdef __cplusplus
}
#endif
#endif
