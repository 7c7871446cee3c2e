/* mix: the gemm of the same ISA over the keys that all rows see, then the triangle of the others,
 * sixteen columns at a time. Four rows of it share the loads of v: what all four see, then its
 * corner. */
#include <assert.h>

void IOLK_NAME(size_t m, size_t n, size_t first, const float *e, size_t ld_e, const float *v,
               size_t ld_v, const float *factor, int from_y, float *y, size_t ld_y)
{
    assert(m >= 1 && m <= IOLK_MR && n >= 1 && n <= IOLK_NR);
    IOLK_GEMM(m, n, first, e, ld_e, v, ld_v, from_y ? y : NULL, ld_y, y, ld_y, NULL);
    for (size_t c = 0; c < n; c += IOLK_LANES) {
        const size_t width = n - c;
        for (size_t r = 0; r < m; r++) {
            const float *weight = e + r * ld_e + first, *value = v + first * ld_v + c;
            float *to = y + r * ld_y + c;
            if (width < IOLK_LANES) {
                f32x16 sum = f32x16_load_n(to, width);
                for (size_t j = 0; j < r; j++) {
                    f32x16 x = f32x16_load_n(value + j * ld_v, width);
                    sum = f32x16_fma(f32x16_set1(weight[j]), x, sum);
                }
                f32x16_store_n(to, f32x16_mul(f32x16_set1(factor[r]), sum), width);
                continue;
            }
            f32x16 sum = f32x16_load(to), x;
            if (m - r < 4) {
                for (size_t j = 0; j < r; j++) {
                    x = f32x16_load(value + j * ld_v);
                    sum = f32x16_fma(f32x16_set1(weight[j]), x, sum);
                }
                f32x16_store(to, f32x16_mul(f32x16_set1(factor[r]), sum));
                continue;
            }
            const float *weight1 = weight + ld_e, *weight2 = weight1 + ld_e,
                        *weight3 = weight2 + ld_e;
            f32x16 sum1 = f32x16_load(to + ld_y), sum2 = f32x16_load(to + 2 * ld_y),
                   sum3 = f32x16_load(to + 3 * ld_y);
#define ADD(sum, weight) sum = f32x16_fma(f32x16_set1((weight)[0]), x, sum)
            for (size_t j = 0; j < r; j++) {
                x = f32x16_load(value + j * ld_v);
                ADD(sum, weight + j);
                ADD(sum1, weight1 + j);
                ADD(sum2, weight2 + j);
                ADD(sum3, weight3 + j);
            }
            x = f32x16_load(value + r * ld_v);
            ADD(sum1, weight1 + r);
            ADD(sum2, weight2 + r);
            ADD(sum3, weight3 + r);
            x = f32x16_load(value + (r + 1) * ld_v);
            ADD(sum2, weight2 + r + 1);
            ADD(sum3, weight3 + r + 1);
            x = f32x16_load(value + (r + 2) * ld_v);
            ADD(sum3, weight3 + r + 2);
#undef ADD
            f32x16_store(to, f32x16_mul(f32x16_set1(factor[r]), sum));
            f32x16_store(to + ld_y, f32x16_mul(f32x16_set1(factor[r + 1]), sum1));
            f32x16_store(to + 2 * ld_y, f32x16_mul(f32x16_set1(factor[r + 2]), sum2));
            f32x16_store(to + 3 * ld_y, f32x16_mul(f32x16_set1(factor[r + 3]), sum3));
            r += 3;
        }
    }
}
