/* The tile instructions of AMX that kernels/fast uses, for tests on x86-64 processors without them:
 * as each raises SIGILL, it is read, carried out in plain C (Intel SDM, volumes 1 and 2, chapters
 * on AMX) and stepped over. Some microseconds each. */
#ifndef IOL_AMX_EMULATOR_H
#define IOL_AMX_EMULATOR_H

#include <stdbool.h>

/* From now on, for the whole process; tiles are per thread. False: not Linux on x86-64. */
bool amx_emulate(void);

/* Tile instructions carried out so far in this thread. */
unsigned long amx_emulated(void);

#endif
