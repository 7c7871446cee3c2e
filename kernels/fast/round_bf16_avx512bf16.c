/* round_bf16_avx512bf16: sixteen at a time by vcvtneps2bf16. */
enum { BLOCK = 2 };
#define IOLK_NAME iolk_round_bf16_avx512bf16
#include "round_bf16_avx512.h"
