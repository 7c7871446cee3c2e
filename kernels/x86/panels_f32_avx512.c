/* panels_f32_avx512: one to four rows over several panels at once: every step of k reads three
 * lines of each. Memory answers several streams faster than one, because a processor looks ahead
 * within a page, and has a page for each stream.
 *
 * Registers: up to 24 zmm of C (8 pairs of a row and a panel x 3), 1 of B, 1 to 4 of A broadcast.
 *
 *            panel 0          panel 1          ...        2 rows, 4 panels: row 0 [acc0 .. acc3]
 *   k = 0    [b 16][b 16][b 16] [b 16][b 16][b 16]                          row 1 [acc4 .. acc7]
 *   k = 1    ... */
#include "tile_avx512.h"

#include <assert.h>

struct work {
    size_t k, ld_a, panel_floats, ld_init, ld_c;
    const float *a, *b, *init;
    float *c;
};

#define EACH_PANEL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define EACH_ROW(X)   X(0) X(1) X(2) X(3)
#define ROWS_OF(X, p) X(0, p) X(1, p) X(2, p) X(3, p)

/* m, panels and source are constants in every caller: what they exclude is not compiled. B is
 * fetched further on, or not: where the work for a line is short, the processor alone brings more.
 */
static inline __attribute__((always_inline)) void
run(const size_t m, const size_t panels, const enum source source, const struct work *w)
{
    const float *a = w->a, *b = w->b;
    __m512 acc[IOLK_MR][3], x[IOLK_SIDE_MR];
#define PAIR(r, p) acc[(r) < m && (p) < panels ? (r)*panels + (p) : 0]
#define START(r, p)                                                                                \
    if ((r) < m && (p) < panels) {                                                                 \
        const float *from = w->init ? w->init + (r)*w->ld_init + (p)*IOLK_NR : NULL;               \
        PAIR(r, p)[0] = from ? _mm512_loadu_ps(from) : _mm512_setzero_ps();                        \
        PAIR(r, p)[1] = from ? _mm512_loadu_ps(from + LANES) : _mm512_setzero_ps();                \
        PAIR(r, p)[2] = from ? _mm512_loadu_ps(from + 2 * LANES) : _mm512_setzero_ps();            \
    }
#define FINISH(r, p)                                                                               \
    if ((r) < m && (p) < panels) {                                                                 \
        float *to = w->c + (r)*w->ld_c + (p)*IOLK_NR;                                              \
        _mm512_storeu_ps(to, PAIR(r, p)[0]);                                                       \
        _mm512_storeu_ps(to + LANES, PAIR(r, p)[1]);                                               \
        _mm512_storeu_ps(to + 2 * LANES, PAIR(r, p)[2]);                                           \
    }
#define SPREAD(r)                                                                                  \
    if ((r) < m) {                                                                                 \
        x[r] = _mm512_set1_ps(a[(r)*w->ld_a + i]);                                                 \
    }
#define VECTOR(p, v)                                                                               \
    {                                                                                              \
        const float *at = b + (p)*w->panel_floats + (v)*LANES;                                     \
        __m512 weights = _mm512_loadu_ps(at);                                                      \
        __asm__ volatile("" : "+v"(weights)); /* in this order, and once */                        \
        touch_own(at, 1, source);                                                                  \
        PAIR(0, p)[v] = fma_in_place(PAIR(0, p)[v], x[0], weights);                                \
        if (m > 1) {                                                                               \
            PAIR(1, p)[v] = fma_in_place(PAIR(1, p)[v], x[1], weights);                            \
        }                                                                                          \
        if (m > 2) {                                                                               \
            PAIR(2, p)[v] = fma_in_place(PAIR(2, p)[v], x[2], weights);                            \
        }                                                                                          \
        if (m > 3) {                                                                               \
            PAIR(3, p)[v] = fma_in_place(PAIR(3, p)[v], x[3], weights);                            \
        }                                                                                          \
    }
#define STEP(p)                                                                                    \
    if ((p) < panels) {                                                                            \
        VECTOR(p, 0)                                                                               \
        VECTOR(p, 1)                                                                               \
        VECTOR(p, 2)                                                                               \
    }
#define START_PANEL(p)  ROWS_OF(START, p)
#define FINISH_PANEL(p) ROWS_OF(FINISH, p)
    EACH_PANEL(START_PANEL)
    for (size_t i = 0; i < w->k; i++, b += IOLK_NR) {
        EACH_ROW(SPREAD)
        EACH_PANEL(STEP)
    }
    EACH_PANEL(FINISH_PANEL)
#undef PAIR
#undef START
#undef FINISH
#undef SPREAD
#undef VECTOR
#undef STEP
#undef START_PANEL
#undef FINISH_PANEL
}

#define BODY(m, panels)                                                                            \
    static __attribute__((noinline)) void rows_##m##_panels_##panels(const struct work *w)         \
    {                                                                                              \
        run(m, panels, (m) > 2 ? OWN_L1 : NOTHING, w);                                             \
    }
BODY(1, 1)
BODY(1, 2)
BODY(1, 4)
BODY(1, 8)
BODY(2, 1)
BODY(2, 2)
BODY(2, 4)
BODY(3, 1)
BODY(3, 2)
BODY(4, 1)
BODY(4, 2)

/* [m - 1][e]: 2^e panels. */
static void (*const bodies[IOLK_SIDE_MR][4])(const struct work *) = {
    {rows_1_panels_1, rows_1_panels_2, rows_1_panels_4, rows_1_panels_8},
    {rows_2_panels_1, rows_2_panels_2, rows_2_panels_4},
    {rows_3_panels_1, rows_3_panels_2},
    {rows_4_panels_1, rows_4_panels_2}};

void iolk_panels_f32_avx512(size_t m, size_t panels, size_t k, const float *a, size_t ld_a,
                            const float *b, size_t panel_floats, const float *init, size_t ld_init,
                            float *c, size_t ld_c)
{
    assert(m >= 1 && m <= IOLK_SIDE_MR && panels >= 1 && m * panels <= IOLK_MR);
    struct work w = {.k = k,
                     .ld_a = ld_a,
                     .panel_floats = panel_floats,
                     .ld_init = ld_init,
                     .ld_c = ld_c,
                     .a = a,
                     .b = b,
                     .init = init,
                     .c = c};
    while (panels) {
        const int e = 63 - __builtin_clzll(panels);
        const size_t taken = (size_t)1 << e;
        bodies[m - 1][e](&w);
        w.b += taken * panel_floats;
        w.init += w.init ? taken * IOLK_NR : 0;
        w.c += taken * IOLK_NR;
        panels -= taken;
    }
}
