/* tail: sixteen columns at a time. The chains of the rows are short and independent. Four rows of a
 * triangle (step 1, the same keys) share the loads of v: what all four see, then its corner. */
void IOLK_NAME(size_t m, size_t n, size_t first, size_t step, const float *restrict e, size_t ld_e,
               const float *restrict v, size_t ld_row, size_t ld_key, const float *restrict factor,
               float *restrict y, size_t ld_y)
{
    for (size_t c = 0; c < n; c += IOLK_LANES) {
        const size_t width = n - c;
        for (size_t r = 0; r < m; r++) {
            const size_t keys = first + r * step;
            const float *weight = e + r * ld_e, *value = v + r * ld_row + c;
            float *to = y + r * ld_y + c;
            if (width < IOLK_LANES) {
                f32x16 sum = f32x16_load_n(to, width);
                for (size_t j = 0; j < keys; j++) {
                    f32x16 x = f32x16_load_n(value + j * ld_key, width);
                    sum = f32x16_fma(f32x16_set1(weight[j]), x, sum);
                }
                f32x16_store_n(to, f32x16_mul(f32x16_set1(factor[r]), sum), width);
                continue;
            }
            f32x16 sum = f32x16_load(to), x;
            if (step != 1 || ld_row != 0 || m - r < 4) {
                for (size_t j = 0; j < keys; j++) {
                    x = f32x16_load(value + j * ld_key);
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
            for (size_t j = 0; j < keys; j++) {
                x = f32x16_load(value + j * ld_key);
                ADD(sum, weight + j);
                ADD(sum1, weight1 + j);
                ADD(sum2, weight2 + j);
                ADD(sum3, weight3 + j);
            }
            x = f32x16_load(value + keys * ld_key);
            ADD(sum1, weight1 + keys);
            ADD(sum2, weight2 + keys);
            ADD(sum3, weight3 + keys);
            x = f32x16_load(value + (keys + 1) * ld_key);
            ADD(sum2, weight2 + keys + 1);
            ADD(sum3, weight3 + keys + 1);
            x = f32x16_load(value + (keys + 2) * ld_key);
            ADD(sum3, weight3 + keys + 2);
#undef ADD
            f32x16_store(to, f32x16_mul(f32x16_set1(factor[r]), sum));
            f32x16_store(to + ld_y, f32x16_mul(f32x16_set1(factor[r + 1]), sum1));
            f32x16_store(to + 2 * ld_y, f32x16_mul(f32x16_set1(factor[r + 2]), sum2));
            f32x16_store(to + 3 * ld_y, f32x16_mul(f32x16_set1(factor[r + 3]), sum3));
            r += 3;
        }
    }
}
