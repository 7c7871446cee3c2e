/* round_int8_neondot: a block of 32 as eight registers. */
#include "fast.h"
#include "int8_blocks.h"

#include <arm_neon.h>
#include <assert.h>
#include <string.h>

enum { LANES = 4, VECTORS = BLOCK / LANES };

static void round_block(const float *x, uint32_t *out)
{
    /* As integers: NaN is above infinity, and both above all that is finite. */
    uint32x4_t most = vdupq_n_u32(0);
    int32x4_t sums = vdupq_n_s32(0);
    float largest, scale;
    for (size_t v = 0; v < VECTORS; v++) {
        most = vmaxq_u32(most, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + v * LANES)),
                                         vdupq_n_u32(0x7fffffff)));
    }
    const uint32_t bits = vmaxvq_u32(most);
    memcpy(&largest, &bits, sizeof largest);
    const float32x4_t inverse = vdupq_n_f32(int8_inverse(largest));
    for (size_t v = 0; v < VECTORS; v += 2) {
        const int32x4_t q0 = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + v * LANES), inverse)),
                        q1 = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + (v + 1) * LANES), inverse));
        sums = vaddq_s32(sums, vaddq_s32(q0, q1));
        vst1_s8((int8_t *)(out + v), vqmovn_s16(vcombine_s16(vqmovn_s32(q0), vqmovn_s32(q1))));
    }
    scale = largest / 127.0f;
    memcpy(out + SCALE, &scale, sizeof scale);
    out[CORRECTION] = (uint32_t)vaddvq_s32(sums) * (uint32_t)-128;
}

/* Or gcc makes a call of memcpy of the loop. */
#define NO_CALL() __asm__ volatile("" ::: "memory")

/* A block of which only some are there. */
static void round_some(size_t lead, size_t n, const float *x, uint32_t *out)
{
    float block[BLOCK] = {0};
    for (size_t i = 0; i < n; i++) {
        block[lead + i] = x[i];
        NO_CALL();
    }
    round_block(block, out);
}

#define IOLK_NAME iolk_round_int8_neondot
#include "round_int8_tmpl.h"
