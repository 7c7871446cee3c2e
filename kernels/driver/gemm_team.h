/* One GEMM call on all threads of a team. */
#ifndef IOL_GEMM_TEAM_H
#define IOL_GEMM_TEAM_H

#include "driver/gemm.h"
#include "driver/team.h"

/* iol_gemm_block of `part` (NULL: everything) with the workers of `team` (NULL: this thread alone):
 * the same bits whatever their number. Not thread-safe: one call on a team at a time. */
void iol_gemm_team(struct iol_team *team, const struct iolk_ops *ops, size_t m, const float *a,
                   size_t ld_a, const struct iol_packed *b, const struct iol_gemm_part *part,
                   float *c, size_t ld_c, uint64_t *flops);

#endif
