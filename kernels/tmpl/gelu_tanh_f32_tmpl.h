/* gelu_tanh: the tanh approximation of GELU (Hendrycks and Gimpel, 2016) as x * sigmoid(2 u), u its
 * argument of tanh: exp is four times cheaper than tanh. p = fma(0.044715, x * x, 1);
 * y = x / (1 + exp((x * p) * -1.5957691216)); the last constant is -2 sqrt(2 / pi). */
static inline f32x16 gelu_tanh(f32x16 x)
{
    const f32x16 one = f32x16_set1(1.0f);
    f32x16 p = f32x16_fma(f32x16_set1(0.044715f), f32x16_mul(x, x), one);
    f32x16 w = f32x16_mul(f32x16_mul(x, p), f32x16_set1(-1.5957691216f));
    return f32x16_div(x, f32x16_add(one, f32x16_exp(w)));
}

void IOLK_NAME(size_t n, const float *x, float *y)
{
    size_t i = 0;
    for (; n - i >= IOLK_LANES; i += IOLK_LANES) {
        f32x16_store(y + i, gelu_tanh(f32x16_load(x + i)));
    }
    const size_t rest = n - i;
    if (rest) {
        f32x16_store_n(y + i, gelu_tanh(f32x16_load_n(x + i, rest)), rest);
    }
}
