/* The results file: what is stored comes back, whatever the order of waves, and only for the same
 * experiment. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#include "store_fixture.h"

static void same_digest_whatever_the_waves(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    char first[33], again[33];
    digest_of(s, 8, false, first);
    for (size_t size = 1; size <= 3; size++) {
        digest_of(s, size, true, again);
        assert_string_equal(again, first);
    }
    /* a file, reopened; other threads, reuse, group, memory, model name, times, bill */
    s->experiment.reuse = 0;
    s->experiment.group = 3;
    s->experiment.memory_bytes = 1;
    s->model.info.name = "another";
    s->bill.wall_seconds = 99;
    s->pair_costs[0].flops = 1;
    strcpy(s->sites_text, "attn_out.*,*"); /* the same sites, said otherwise */
    iol_results_close(store_all(s, f->path, 5, false));
    struct iol_results *results;
    assert_ok(iol_results_open(f->path, &results));
    assert_ok(iol_results_digest(results, again));
    assert_string_equal(again, first);
    iol_results_close(results);
}

static void another_digest_for_another_value(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    enum { CASES = 17 };
    char digests[CASES][33];
    for (size_t c = 0; c < CASES; c++) {
        sample_fill(s);
        switch (c) {
        case 1:
            s->effects[3].de = nextafter(s->effects[3].de, 9);
            break;
        case 2:
            s->runs[7][0].de = 0.0; /* was -0.0 */
            break;
        case 3:
            s->response[5][0] = -s->response[5][0];
            break;
        case 4:
            s->noise[4].floor = 1e-9;
            break;
        case 5:
            s->clean[2].margin += 1;
            break;
        case 6:
            s->unembed[1][1] += 1;
            break;
        case 7:
            s->experiment.seed = 1;
            break;
        case 8:
            s->experiment.bos = IOL_BOS_NO;
            break;
        case 9:
            s->tokens[3][0] = 9; /* the line that the filter dropped */
            break;
        case 10:
            s->model.info.weights_hash[5] = 'f';
            break;
        case 11:
            s->architecture[12] = '3';
            break;
        case 12:
            s->effects[9].argmax_changed++;
            break;
        case 13:
            s->donors[2][1] = 7;
            break;
        case 14:
            s->logits[10] += 1;
            break;
        case 15:
            s->clean[0].top_ids[9]++;
            break;
        case 16:
            s->effects[0].norm_ratio = (double)NAN;
            break;
        default:
            break;
        }
        digest_of(s, 8, false, digests[c]);
        for (size_t d = 0; d < c; d++) {
            if (strcmp(digests[c], digests[d]) == 0) {
                fail_msg("cases %zu and %zu have the same digest", c, d);
            }
        }
    }
}

static void no_digest_of_an_unfinished_run(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    struct iol_store *store;
    struct iol_results *results;
    char digest[33];
    char *text = NULL;
    assert_ok(iol_store_open(f->path, &s->experiment, &store));
    assert_ok(iol_results_open(f->path, &results));
    assert_sentence(iol_results_digest(results, digest), IOL_E_INVAL, "0 of 9 prompts");
    iol_results_close(results);
    assert_ok(iol_store_put_clean(store, s->clean, SAMPLE_PROMPTS));
    assert_ok(sample_wave(s, store, 2, 5));
    assert_sentence(iol_store_finish(store, &s->bill), IOL_E_INVAL, "3 of 8 prompts");
    assert_ok(iol_results_open(f->path, &results)); /* while the writer has it open */
    assert_sentence(iol_results_digest(results, digest), IOL_E_INVAL, "3 of 8 prompts");
    assert_int_equal(iol_results_layer_count(results), 0);
    assert_ok(iol_results_text(results, "table", &text));
    assert_non_null(strstr(text, "not finished: 3 of 8"));
    iol_text_free(text);
    assert_ok(iol_results_text(results, "json", &text));
    json_t *root = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(root, "effects")), 3 * SAMPLE_PAIRS);
    json_decref(root);
    iol_text_free(text);
    iol_results_close(results);
    iol_store_close(store);
}

/* --- resume ------------------------------------------------------------------------------------
 */

static void resume_gives_back_what_was_stored(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    struct iol_store *store;
    bool stored, done[SAMPLE_PROMPTS];
    size_t count, sources[SAMPLE_PROMPTS];
    int32_t targets[SAMPLE_PROMPTS];
    static float y[SAMPLE_PROMPTS][SAMPLE_K * SAMPLE_D], z[SAMPLE_PROMPTS][2 * SAMPLE_D];
    struct iol_cost costs[SAMPLE_PAIRS];
    struct iol_bill bill = {.pairs = costs};
    char whole[33], resumed[33];
    digest_of(s, 8, false, whole);

    assert_ok(iol_store_open(f->path, &s->experiment, &store));
    assert_ok(iol_store_clean_count(store, &stored, &count));
    assert_false(stored);
    assert_ok(iol_store_get_bill(store, &bill));
    assert_int_equal(bill.waves.flops, 0);
    assert_ok(iol_store_put_clean(store, s->clean, SAMPLE_PROMPTS));
    assert_ok(sample_wave(s, store, 0, 3));
    iol_store_close(store);

    assert_ok(iol_store_open(f->path, &s->experiment, &store));
    assert_ok(iol_store_clean_count(store, &stored, &count));
    assert_true(stored);
    assert_int_equal(count, SAMPLE_PROMPTS);
    assert_ok(iol_store_get_clean(store, count, sources, targets, y[0], z[0]));
    assert_memory_equal(y, s->y, sizeof y);
    assert_memory_equal(z, s->z, sizeof z);
    assert_int_equal(sources[2], 2);
    assert_int_equal(sources[3], 4);
    assert_int_equal(targets[7], 7);
    assert_ok(iol_store_get_clean(store, count, sources, targets, y[0], NULL));
    assert_ok(iol_store_get_done(store, count, done));
    for (size_t p = 0; p < count; p++) {
        assert_int_equal(done[p], p < 3);
    }
    assert_ok(iol_store_get_bill(store, &bill));
    assert_int_equal(bill.waves.flops, s->bill.waves.flops);
    assert_int_equal(bill.without[2].flops, s->bill.without[2].flops);
    assert_int_equal(bill.threads, 2);
    assert_true(bill.wall_seconds == 2.5 && bill.none.seconds == 20.5);
    assert_memory_equal(costs, s->pair_costs, sizeof costs);
    /* a wave that is there already is refused whole */
    assert_sentence(sample_wave(s, store, 2, 5), IOL_E_IO, "another process");
    assert_ok(sample_wave(s, store, 3, 8));
    assert_ok(iol_store_finish(store, &s->bill));
    assert_ok(iol_store_finish(store, &s->bill)); /* a finished run, run again */
    struct iol_results *results;
    assert_ok(iol_store_into_results(store, &results));
    assert_ok(iol_results_digest(results, resumed));
    assert_string_equal(resumed, whole);
    iol_results_close(results);
}

static void another_experiment_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    struct iol_store *store = NULL;
    static const char *const parts[] = {
        "seed: found 0, expected 7",
        "weights: found 00112233445566778899aabbccddeeff, expected 10112233445566778899",
        "the first that differs: found \"eps\":1e-05, expected \"eps\":1e-06",
        "sites: found attn_out.0,mlp_out.0,head.1.0,attn_out.1,mlp_out.1, expected attn_out.0",
        "kinds: found zero,mean,resample:5, expected zero,mean,resample:6",
        "pairs: found 11, expected 10; only one has mlp_out.1=resample:5",
        "metrics: found hydra,dist, expected hydra",
        "bos: found auto, expected yes",
        "filter: found correct, expected none",
        "prompts: found 9, expected 8",
        "prompts: line 5: token 1: found 9, expected 10",
        "prompts: line 3: found 5 tokens, expected 4",
        "prompts: line 9: answer: found id 8, expected -1",
    };
    iol_results_close(store_all(s, f->path, 8, false));
    for (size_t c = 0; c < sizeof parts / sizeof *parts; c++) {
        sample_fill(s);
        switch (c) {
        case 0:
            s->experiment.seed = 7;
            break;
        case 1:
            s->model.info.weights_hash[0] = '1';
            break;
        case 2:
            *strstr(s->architecture, "05") = '0';
            strstr(s->architecture, "1e-0")[4] = '6';
            break;
        case 3:
            s->experiment.site_count--;
            break;
        case 4:
            strcpy(s->kinds[2].name, "resample:6");
            break;
        case 5:
            s->experiment.pair_count--;
            break;
        case 6:
            s->experiment.dist = false;
            break;
        case 7:
            s->experiment.bos = IOL_BOS_YES;
            break;
        case 8:
            s->experiment.filter_correct = false;
            break;
        case 9:
            s->experiment.prompt_count = 8;
            break;
        case 10:
            s->tokens[4][1] = 10;
            break;
        case 11:
            s->prompts[2].count = 4;
            break;
        default:
            s->prompts[8].answer_id = -1;
            break;
        }
        assert_sentence(iol_store_open(f->path, &s->experiment, &store), IOL_E_MISMATCH, parts[c]);
        assert_sentence(IOL_E_MISMATCH, IOL_E_MISMATCH, f->path);
        assert_null(store);
    }
    sample_fill(s);
    s->experiment.reuse = 0; /* what does not determine the bits may differ */
    s->model.info.name = "elsewhere";
    assert_ok(iol_store_open(f->path, &s->experiment, &store));
    iol_store_close(store);
}

/* The caller's floating-point mode that flushes denormals: the store must not notice. */
static bool flush_denormals(bool on)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(on ? 0x9FC0 : 0x1F80);
    return true;
#elif defined(__aarch64__)
    uint64_t mode = on ? UINT64_C(1) << 24 : 0;
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
    return true;
#else
    (void)on;
    return false;
#endif
}

static void a_caller_that_flushes_denormals(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    char plain[33], flushed[33], *text, *again;
    s->effects[1].ce_attn = 5e-324;
    s->response[1][0] = 5e-324;
    struct iol_results *results = store_all(s, NULL, 8, false);
    assert_ok(iol_results_digest(results, plain));
    assert_ok(iol_results_text(results, "json", &text));
    iol_results_close(results);
    if (!flush_denormals(true)) {
        print_message("skipped: no such mode on this processor\n");
        skip();
    }
    results = store_all(s, NULL, 8, false);
    assert_ok(iol_results_digest(results, flushed));
    assert_ok(iol_results_text(results, "json", &again));
    iol_results_close(results);
    flush_denormals(false);
    assert_string_equal(flushed, plain);
    assert_string_equal(again, text);
    iol_text_free(again);
    iol_text_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(same_digest_whatever_the_waves), TEST(another_digest_for_another_value),
        TEST(no_digest_of_an_unfinished_run), TEST(resume_gives_back_what_was_stored),
        TEST(another_experiment_is_refused),  TEST(a_caller_that_flushes_denormals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
