#include "driver/unembed.h"

#include <assert.h>
#include <math.h>

/* SLEEF's FMA variants by name: equal bits on every ISA (its header declares them only where AVX2
 * is on). */
double Sleef_expd1_u10purecfma(double x);
double Sleef_logd1_u10purecfma(double x);

static size_t chunk_size(size_t n, size_t begin)
{
    return n - begin < IOLK_CHUNK ? n - begin : IOLK_CHUNK;
}

void iol_unembed_rows(const struct iolk_ops *ops, size_t m, const float *x, size_t ld_x,
                      const struct iol_packed *w, float *logits, size_t ld, uint64_t *flops)
{
    iol_gemm_block(ops, m, x, ld_x, w, NULL, logits, ld, flops);
}

void iol_logits_reduce(const struct iolk_ops *ops, size_t n, const float *logits,
                       struct iol_logit_stats *out_stats)
{
    assert(n > 0);
    size_t argmax = 0;
    float max = logits[0];
    for (size_t i = 1; i < n; i++) {
        if (logits[i] > max) {
            max = logits[i];
            argmax = i;
        }
    }
    double total = 0, sum = 0;
    for (size_t c = 0; c < n; c += IOLK_CHUNK) {
        float chunk_max, chunk_sum;
        ops->sumexp_f32(chunk_size(n, c), logits + c, &chunk_max, &chunk_sum);
        total += (double)chunk_sum * Sleef_expd1_u10purecfma((double)chunk_max - (double)max);
        sum += ops->sum_f64(chunk_size(n, c), logits + c);
    }
    *out_stats = (struct iol_logit_stats){
        .argmax = argmax, .lse = (double)max + Sleef_logd1_u10purecfma(total), .sum = sum};
}

float iol_logits_max_but(size_t n, const float *logits, size_t skip)
{
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        best = i != skip && logits[i] > best ? logits[i] : best;
    }
    return best;
}

double iol_logits_spread(const struct iolk_ops *ops, size_t n, const float *logits, double sum)
{
    double mean = sum / (double)n, square = 0;
    for (size_t c = 0; c < n; c += IOLK_CHUNK) {
        square += ops->ssq_f64(chunk_size(n, c), logits + c, mean);
    }
    return sqrt(square / (double)n);
}

double iol_logits_kl(const struct iolk_ops *ops, size_t n, const float *p, double lse_p,
                     const float *q, double lse_q)
{
    double kl = 0;
    for (size_t c = 0; c < n; c += IOLK_CHUNK) {
        kl += ops->kl_f64(chunk_size(n, c), p + c, lse_p, q + c, lse_q);
    }
    return kl;
}

void iol_logits_top(size_t n, const float *logits, size_t count, size_t *out_index)
{
    assert(count <= n);
    size_t held = 0;
    for (size_t i = 0; i < n; i++) {
        if (held == count && !(logits[i] > logits[out_index[held - 1]])) {
            continue;
        }
        size_t at = held < count ? held++ : held - 1;
        while (at > 0 && logits[i] > logits[out_index[at - 1]]) {
            out_index[at] = out_index[at - 1];
            at--;
        }
        out_index[at] = i;
    }
}
