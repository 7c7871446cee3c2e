/* round_int8: IOLK_NAME over round_block(x, out), a whole block, and round_some(lead, n, x, out),
 * `lead` zeros, n values, zeros. */
void IOLK_NAME(size_t lead, size_t n, const float *restrict x, uint32_t *restrict out)
{
    assert(lead < BLOCK);
    if (lead) {
        const size_t first = n < BLOCK - lead ? n : BLOCK - lead;
        round_some(lead, first, x, out);
        n -= first;
        x += first;
        out += A_WORDS;
    }
    for (; n >= BLOCK; n -= BLOCK, x += BLOCK, out += A_WORDS) {
        round_block(x, out);
    }
    if (n) {
        round_some(0, n, x, out);
    }
}
