/* chains: a serial chain cannot be split, but FMA has a latency of 4-5 cycles at two a cycle: eight
 * rows advance together in eight named scalars. Rows beyond m repeat the last one and are dropped.
 */
#define ROWS8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

void IOLK_NAME(size_t m, size_t n, const float *restrict q, size_t ld_q, const float *restrict k,
               size_t ld_k, float *restrict out)
{
    assert(m <= 1 || (ld_q >= n && (ld_k >= n || ld_k == 0)));
    for (size_t i = 0; i < m; i += 8) {
        const size_t last = m - i - 1;
#define START(r)                                                                                   \
    const float *q##r = q + (i + (r < last ? r : last)) * ld_q;                                    \
    const float *k##r = k + (i + (r < last ? r : last)) * ld_k;                                    \
    float chain##r = 0.0f;
#define STEP(r) chain##r = __builtin_fmaf(q##r[j], k##r[j], chain##r);
#define FINISH(r)                                                                                  \
    if (r < last + 1) {                                                                            \
        out[i + r] = chain##r;                                                                     \
    }
        ROWS8(START)
        for (size_t j = 0; j < n; j++) {
            ROWS8(STEP)
        }
        ROWS8(FINISH)
#undef START
#undef STEP
#undef FINISH
    }
}

#undef ROWS8
