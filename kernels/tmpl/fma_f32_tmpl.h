/* fma: as many chains as keep the FMA pipelines full, each in a register through all steps, group
 * after group: a pipeline of four cycles takes a step of a chain every fourth cycle, so eight
 * chains fill two, and sixteen (SIXTEEN, where there are registers for them) fill four. */
#ifdef SIXTEEN
#define EACH_CHAIN(X)                                                                              \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
enum { CHAINS = 16 };
#else
#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
enum { CHAINS = 12 };
#endif
_Static_assert(IOLK_FMA_CHAINS % (CHAINS * LANES) == 0, "whole groups");

void IOLK_NAME(size_t steps, float a, float b, float *y)
{
    const vf x = vf_set1(&a), w = vf_set1(&b);
    for (float *end = y + IOLK_FMA_CHAINS; y < end; y += CHAINS * LANES) {
#define START(c) vf chain##c = vf_load(y + (c)*LANES);
        EACH_CHAIN(START)
        for (size_t i = steps; i; i--) {
#define STEP(c) chain##c = vf_fma_in_place(chain##c, x, w);
            EACH_CHAIN(STEP)
        }
#define FINISH(c) vf_store(y + (c)*LANES, chain##c);
        EACH_CHAIN(FINISH)
    }
}
#undef EACH_CHAIN
#undef START
#undef STEP
#undef FINISH
