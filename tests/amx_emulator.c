#define _GNU_SOURCE
#include "amx_emulator.h"

#if defined(__x86_64__) && defined(__linux__)
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

/* What ldtilecfg reads. */
struct shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};

static _Thread_local struct {
    struct shapes shapes;
    unsigned char tile[TILES][ROWS][ROW_BYTES];
    unsigned long count;
} state;

/* One instruction: VEX.128, map 0F38, W0. */
struct instruction {
    unsigned prefix, opcode, mode, reg, rm, vvvv;
    unsigned char *memory; /* where it has a memory operand */
    uint64_t stride;
    size_t length;
};

enum { NONE, P66, PF3, PF2, REGISTER = 3 };

static const int register_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                    REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                    REG_R12, REG_R13, REG_R14, REG_R15};

static uint64_t value_of(const ucontext_t *at, unsigned number)
{
    return (uint64_t)at->uc_mcontext.gregs[register_of[number]];
}

/* The operand that follows the opcode, at `p`, and what its length is. RIP-relative operands count
 * from the end of the instruction, which is the end of the displacement. */
static size_t read_operand(const unsigned char *p, unsigned x, unsigned b, const ucontext_t *at,
                           struct instruction *out)
{
    const unsigned modrm = p[0];
    size_t length = 1;
    uint64_t address = 0;
    out->mode = modrm >> 6;
    out->reg = modrm >> 3 & 7;
    out->rm = modrm & 7;
    if (out->mode == REGISTER) {
        return length;
    }
    bool base = true;
    if (out->rm == 4) {
        const unsigned sib = p[length++], index = (sib >> 3 & 7) | x << 3;
        if (index != 4) {
            out->stride = value_of(at, index) << (sib >> 6);
        }
        base = !((sib & 7) == 5 && out->mode == 0);
        address = base ? value_of(at, (sib & 7) | b << 3) : 0;
    } else if (out->rm == 5 && out->mode == 0) {
        base = false;
        address = (uint64_t)(p + 5);
    } else {
        address = value_of(at, out->rm | b << 3);
    }
    if (out->mode == 1) {
        address += (uint64_t)(int64_t)(int8_t)p[length];
        length += 1;
    } else if (out->mode == 2 || !base) {
        int32_t far;
        memcpy(&far, p + length, sizeof far);
        address += (uint64_t)(int64_t)far;
        length += 4;
    }
    memcpy(&out->memory, &address, sizeof address);
    return length;
}

/* False: not such an instruction. */
static bool read_instruction(const unsigned char *p, const ucontext_t *at, struct instruction *out)
{
    memset(out, 0, sizeof *out);
    if (p[0] != 0xc4 || (p[1] & 0x1f) != 2 || (p[2] & 0x84) != 0) {
        return false;
    }
    out->prefix = p[2] & 3;
    out->vvvv = ~(unsigned)(p[2] >> 3) & 0xf;
    out->opcode = p[3];
    out->length = 4 + read_operand(p + 4, !(p[1] & 0x40), !(p[1] & 0x20), at, out);
    return true;
}

static void rows_of(const struct instruction *i, bool store)
{
    const size_t bytes = state.shapes.bytes[i->reg];
    for (size_t r = 0; r < state.shapes.rows[i->reg]; r++) {
        unsigned char *memory = i->memory + r * i->stride, *row = state.tile[i->reg][r];
        if (store) {
            memcpy(memory, row, bytes);
        } else {
            memset(row, 0, ROW_BYTES);
            memcpy(row, memory, bytes);
        }
    }
}

static float flushed(float x)
{
    return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x;
}

static float of_bf16(const unsigned char *p)
{
    const uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
    float x;
    memcpy(&x, &bits, sizeof x);
    return flushed(x);
}

static void dot_bf16(unsigned c, unsigned a, unsigned b)
{
    for (size_t m = 0; m < state.shapes.rows[c]; m++) {
        for (size_t n = 0; n < state.shapes.bytes[c] / 4; n++) {
            float even = 0, odd = 0, sum;
            for (size_t k = 0; k < state.shapes.rows[b]; k++) {
                const unsigned char *x = &state.tile[a][m][4 * k], *y = &state.tile[b][k][4 * n];
                even = flushed(fmaf(of_bf16(x), of_bf16(y), even));
                odd = flushed(fmaf(of_bf16(x + 2), of_bf16(y + 2), odd));
            }
            memcpy(&sum, &state.tile[c][m][4 * n], sizeof sum);
            sum = flushed(flushed(sum) + flushed(even + odd));
            memcpy(&state.tile[c][m][4 * n], &sum, sizeof sum);
        }
    }
}

/* Shapes that palette 1 allows. */
static bool configure(const unsigned char *memory)
{
    memcpy(&state.shapes, memory, sizeof state.shapes);
    memset(state.tile, 0, sizeof state.tile);
    for (size_t t = 0; t < 16; t++) {
        const unsigned bytes = state.shapes.bytes[t], rows = state.shapes.rows[t];
        if ((bytes == 0) != (rows == 0) || bytes > (t < TILES ? ROW_BYTES : 0) || bytes % 4 ||
            rows > ROWS) {
            return false;
        }
    }
    return state.shapes.palette == 1 && state.shapes.start_row == 0;
}

/* The dimensions of a product fit, and its tiles are three. */
static bool fits(unsigned c, unsigned a, unsigned b)
{
    const struct shapes *s = &state.shapes;
    return c < TILES && a < TILES && b < TILES && c != a && a != b && b != c && s->rows[c] > 0 &&
           s->rows[c] == s->rows[a] && s->bytes[c] == s->bytes[b] && s->bytes[a] / 4 == s->rows[b];
}

static bool carry_out(const struct instruction *i)
{
    const bool configured = state.shapes.palette == 1 && state.shapes.rows[i->reg] > 0;
    if (i->opcode == 0x49 && i->prefix == NONE) { /* ldtilecfg, tilerelease */
        if (i->mode == REGISTER) {
            memset(&state.shapes, 0, sizeof state.shapes);
            return true;
        }
        return configure(i->memory);
    }
    if (i->opcode == 0x49 && i->prefix == PF2 && i->mode == REGISTER && configured) { /* tilezero */
        memset(state.tile[i->reg], 0, sizeof state.tile[i->reg]);
        return true;
    }
    if (i->opcode == 0x4b && i->mode != REGISTER && i->rm == 4 && configured &&
        (i->prefix == PF2 || i->prefix == PF3)) { /* tileloadd, tilestored */
        rows_of(i, i->prefix == PF3);
        return true;
    }
    const bool product = i->mode == REGISTER && configured && fits(i->reg, i->rm, i->vvvv);
    if (product && i->opcode == 0x5c && i->prefix == PF3) { /* tdpbf16ps */
        dot_bf16(i->reg, i->rm, i->vvvv);
        return true;
    }
    return false;
}

static void on_sigill(int number, siginfo_t *info, void *context)
{
    ucontext_t *at = context;
    struct instruction i;
    const unsigned char *p;
    const uint64_t address = (uint64_t)at->uc_mcontext.gregs[REG_RIP];
    (void)info;
    memcpy(&p, &address, sizeof p);
    if (!read_instruction(p, at, &i) || !carry_out(&i)) { /* the real thing, then */
        signal(number, SIG_DFL);
        return;
    }
    state.count++;
    at->uc_mcontext.gregs[REG_RIP] += (greg_t)i.length;
}

bool amx_emulate(void)
{
    struct sigaction action = {.sa_sigaction = on_sigill, .sa_flags = SA_SIGINFO};
    return sigaction(SIGILL, &action, NULL) == 0;
}

unsigned long amx_emulated(void)
{
    return state.count;
}
#else
bool amx_emulate(void)
{
    return false;
}

unsigned long amx_emulated(void)
{
    return 0;
}
#endif
