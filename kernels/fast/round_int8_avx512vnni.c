/* round_int8_avx512vnni: a block of 32 as two registers. */
#define IOLK_NAME iolk_round_int8_avx512vnni
#include "round_int8_avx512.h"
