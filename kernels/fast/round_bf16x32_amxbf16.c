/* round_bf16x32_amxbf16: sixteen at a time by vcvtneps2bf16. */
enum { BLOCK = 32 };
#define IOLK_NAME iolk_round_bf16x32_amxbf16
#include "round_bf16_avx512.h"
