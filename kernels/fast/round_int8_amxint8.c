/* round_int8_amxint8: a block of 32 as two registers. */
#define IOLK_NAME iolk_round_int8_amxint8
#include "round_int8_avx512.h"
