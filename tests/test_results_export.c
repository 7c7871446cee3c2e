/* Results as text: JSON that reads back to the stored bits, CSV, the table and the bill. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store_fixture.h"

static double number_at(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    assert_non_null(v);
    return json_is_null(v) ? (double)NAN : json_number_value(v);
}

static void assert_bits(double found, double expected)
{
    if (isnan(expected) ? !isnan(found) : memcmp(&found, &expected, sizeof found) != 0) {
        fail_msg("found %.17g, expected %.17g", found, expected);
    }
}

static void check_effects(const struct sample *s, const json_t *list)
{
    assert_int_equal(json_array_size(list), SAMPLE_PROMPTS * SAMPLE_PAIRS);
    for (size_t i = 0; i < SAMPLE_PROMPTS * SAMPLE_PAIRS; i++) {
        const json_t *e = json_array_get(list, i);
        const struct iol_effect_row *row = &s->effects[i];
        assert_int_equal(json_integer_value(json_object_get(e, "prompt")), row->prompt);
        assert_int_equal(json_integer_value(json_object_get(e, "pos")), row->position);
        assert_string_equal(json_string_value(json_object_get(e, "site")),
                            s->sites[s->pairs[row->pair].site].name);
        assert_string_equal(json_string_value(json_object_get(e, "kind")),
                            s->kinds[s->pairs[row->pair].kind].name);
#define SAME(name) assert_bits(number_at(e, #name), row->name);
        SAME(delta_unembed)
        SAME(delta_ablate)
        SAME(te_clean)
        SAME(de)
        SAME(ce_attn)
        SAME(ce_mlp)
        SAME(norm_term)
        SAME(sigma_ratio)
        SAME(norm_ratio)
        SAME(de_even)
        SAME(ce_odd)
        SAME(kl)
        SAME(logp)
        SAME(margin)
        SAME(margin_closest)
#undef SAME
        assert_int_equal(json_integer_value(json_object_get(e, "argmax_changed")),
                         row->argmax_changed);
        const json_t *response = json_object_get(e, "response");
        assert_int_equal(json_array_size(response), row->response_count);
        for (size_t k = 0; k < row->response_count; k++) {
            assert_bits(json_number_value(json_array_get(response, k)), row->response[k]);
        }
        const json_t *donors = json_object_get(e, "donors");
        assert_int_equal(json_array_size(donors), row->donors ? row->runs : 0);
        for (size_t r = 0; row->donors && r < row->runs; r++) {
            assert_int_equal(json_integer_value(json_array_get(donors, r)), row->donors[r]);
        }
    }
}

static void check_prompts(const struct sample *s, const json_t *list)
{
    assert_int_equal(json_array_size(list), SAMPLE_PROMPTS);
    for (size_t p = 0; p < SAMPLE_PROMPTS; p++) {
        const json_t *e = json_array_get(list, p);
        const struct iol_clean_row *row = &s->clean[p];
        assert_int_equal(json_integer_value(json_object_get(e, "index")), p);
        assert_int_equal(json_integer_value(json_object_get(e, "line")), row->source);
        assert_int_equal(json_array_size(json_object_get(e, "tokens")),
                         s->prompts[row->source].count);
        assert_bits(number_at(e, "logit"), row->logit);
        assert_bits(number_at(e, "bias"), -0.0);
        assert_bits(number_at(e, "logit_mean"), 5e-324);
        assert_bits(json_number_value(json_array_get(json_object_get(e, "unembed"), 3)),
                    row->unembed[3]);
        const json_t *pair = json_array_get(json_object_get(e, "top10"), 9);
        assert_int_equal(json_integer_value(json_array_get(pair, 0)), row->top_ids[9]);
        assert_bits(json_number_value(json_array_get(pair, 1)), row->top_logits[9]);
        const json_t *logits = json_object_get(e, "logits");
        assert_int_equal(json_array_size(logits), p < 2 ? SAMPLE_VOCAB : 0);
        if (p < 2) {
            assert_bits(json_number_value(json_array_get(logits, 4)), (double)s->logits[4]);
        }
    }
}

static void export_reads_back(void **state)
{
    struct fixture *f = *state;
    struct sample *s = &f->sample;
    struct iol_results *results = store_all(s, f->path, 3, true);
    char *text;
    char digest[33];
    json_error_t error;
    assert_ok(iol_results_digest(results, digest));
    assert_ok(iol_results_export(results, "json", f->other));
    json_t *root = json_load_file(f->other, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        fail_msg("%s:%d: %s", f->other, error.line, error.text);
    }
    assert_string_equal(json_string_value(json_object_get(root, "schema")), "iolaus-1");
    json_t *spec = json_object_get(root, "spec");
    assert_int_equal(json_integer_value(json_object_get(spec, "n_prompts")), SAMPLE_PROMPTS);
    assert_string_equal(json_string_value(json_object_get(json_object_get(spec, "model"), "name")),
                        "a \"model\"");
    check_prompts(s, json_object_get(root, "prompts"));
    check_effects(s, json_object_get(root, "effects"));
    assert_int_equal(json_array_size(json_object_get(root, "layers")), SAMPLE_PAIRS);
    assert_string_equal(json_string_value(json_object_get(root, "digest")), digest);
    assert_ok(iol_results_text(results, "json", &text)); /* the same text */
    json_t *again = json_loads(text, 0, NULL);
    assert_true(json_equal(root, again));
    iol_text_free(text);
    json_decref(again);
    json_decref(root);
    iol_results_close(results);
}

/* The statistics of the export recomputed by the schema's own script. */
static void statistics_agree_with_the_oracle(void **state)
{
    struct fixture *f = *state;
    const char *shared = getenv("IOL_SHARED");
    if (!shared) {
        print_message("skipped: IOL_SHARED is not set\n");
        skip();
    }
    struct iol_results *results = store_all(&f->sample, f->path, 8, false);
    assert_ok(iol_results_export(results, "json", f->other));
    iol_results_close(results);
    char *command =
        iol_format("python3 -c \"import sys, json; sys.path.insert(0, '%s/oracle'); import stats\n"
                   "d = json.load(open('%s'))\n"
                   "last = [len(p['tokens']) - 1 for p in d['prompts']]\n"
                   "floors = {(r['site'], r['class']): r['noise_floor'] for r in d['layers']}\n"
                   "again = stats.layer_rows(d['effects'], last, d['spec']['seed'], True, floors)\n"
                   "for a, b in zip(again, d['layers'], strict=True):\n"
                   "    for k in a: assert a[k] == b[k], (a['site'], a['kind'], k, a[k], b[k])\n\"",
                   shared, f->other);
    assert_non_null(command);
    int code = system(command);
    iol_free(command);
    assert_int_equal(code, 0);
}

static void csv_has_a_line_per_effect(void **state)
{
    struct fixture *f = *state;
    struct iol_results *results = store_all(&f->sample, NULL, 8, false);
    char *text;
    size_t lines = 0, commas = 0, expected = 0;
    assert_ok(iol_results_text(results, "csv", &text));
    assert_int_equal(strncmp(text, "prompt,line,target,site,pos,kind,donors,delta_unembed,", 54),
                     0);
    for (const char *c = text; *c; c++) {
        commas += *c == ',';
        if (*c == '\n') {
            assert_true(c[-1] == '\r');
            expected = lines == 0 ? commas : expected;
            assert_int_equal(commas, expected);
            commas = 0;
            lines++;
        }
    }
    assert_int_equal(lines, 1 + SAMPLE_PROMPTS * SAMPLE_PAIRS);
    iol_text_free(text);
    assert_sentence(iol_results_text(results, "xml", &text), IOL_E_INVAL, "'xml'");
    assert_sentence(iol_results_export(results, "table", f->other), IOL_E_INVAL, "'table'");
    iol_results_close(results);
}

static void assert_columns(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (length > 80) {
            fail_msg("%zu columns: %.*s", length, (int)length, text);
        }
        text += length + (text[length] == '\n');
    }
}

static void table_and_bill_fit(void **state)
{
    struct fixture *f = *state;
    struct iol_results *results = store_all(&f->sample, NULL, 8, false);
    char *text;
    assert_ok(iol_results_text(results, "table", &text));
    assert_columns(text);
    assert_non_null(strstr(text, "resample:5, 5 runs of each of 8 prompts"));
    assert_non_null(strstr(text, "head.1.0"));
    if (getenv("IOL_SHOW")) {
        puts(text);
    }
    iol_text_free(text);
    assert_ok(iol_results_text(results, "bill", &text));
    assert_columns(text);
    assert_non_null(strstr(text, "without any reuse"));
    assert_non_null(strstr(text, "energy: 41.5 J of all processor packages in 2.0 s, 167 mJ an"));
    if (getenv("IOL_SHOW")) {
        puts(text);
    }
    iol_text_free(text);
    struct iol_bill_numbers bill = {.struct_size = sizeof bill};
    assert_ok(iol_results_bill(results, &bill));
    assert_int_equal(bill.interventions, SAMPLE_PROMPTS * (5 * (1 + 5) + 1));
    assert_true(bill.joules == 41.5);
    assert_true(fabs(bill.peak_share - 67.203e9 / (1.76 * 1e11)) < 1e-12);
    struct iol_layer_numbers layer = {.struct_size = sizeof layer};
    assert_int_equal(iol_results_layer_count(results), SAMPLE_PAIRS);
    assert_ok(iol_results_layer(results, 1, &layer));
    assert_string_equal(layer.site, "attn_out.0");
    assert_string_equal(layer.kind, "resample:5");
    assert_int_equal(layer.n, SAMPLE_PROMPTS);
    assert_true(layer.restoration == -layer.slope);
    assert_true(layer.restoration_low <= layer.restoration_high);
    assert_true(layer.flops == 2000000.0 / (SAMPLE_PROMPTS * 5));
    layer.struct_size = 0;
    assert_sentence(iol_results_layer(results, 1, &layer), IOL_E_INVAL, "struct_size");
    layer.struct_size = sizeof layer;
    assert_sentence(iol_results_layer(results, SAMPLE_PAIRS, &layer), IOL_E_INVAL, "of 11");
    iol_results_close(results);
}

static void a_comma_locale_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8"};
    struct iol_results *results = store_all(&f->sample, NULL, 8, false);
    char *plain, *text;
    assert_ok(iol_results_text(results, "json", &plain));
    for (size_t i = 0; i < 4 && !setlocale(LC_ALL, names[i]); i++) {
    }
    bool comma = strcmp(localeconv()->decimal_point, ",") == 0;
    assert_ok(iol_results_text(results, "json", &text));
    setlocale(LC_ALL, "C");
    assert_string_equal(text, plain);
    iol_text_free(text);
    iol_text_free(plain);
    iol_results_close(results);
    if (!comma) {
        print_message("skipped: no locale with a decimal comma is installed\n");
        skip();
    }
}

static void a_full_disk_leaves_no_half_export(void **state)
{
    struct fixture *f = *state;
    struct iol_results *results = store_all(&f->sample, NULL, 8, false);
    assert_sentence(iol_results_export(results, "json", "/dev/full"), IOL_E_IO, "/dev/full");
    struct stat info;
    assert_int_equal(stat("/dev/full", &info), 0);
    assert_true(S_ISCHR(info.st_mode)); /* still the device */
    assert_sentence(iol_results_export(results, "json", f->folder), IOL_E_IO, "folder");
    char nowhere[160];
    snprintf(nowhere, sizeof nowhere, "%s/none/x.json", f->folder);
    assert_sentence(iol_results_export(results, "json", nowhere), IOL_E_IO, "none/x.json");

    pid_t child = fork();
    if (child == 0) { /* files end at 4 KiB here */
        const struct rlimit limit = {4096, 4096};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
            _exit(77);
        }
        enum iol_status status = iol_results_export(results, "json", f->other);
        _exit(status == IOL_E_IO && strstr(iol_error(), f->other) ? 0 : 1);
    }
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    assert_false(iol_file_exists(f->other)); /* teardown finds the temporary file, if any */
    iol_results_close(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(export_reads_back),
        TEST(statistics_agree_with_the_oracle),
        TEST(csv_has_a_line_per_effect),
        TEST(table_and_bill_fit),
        TEST(a_comma_locale_changes_nothing),
        TEST(a_full_disk_leaves_no_half_export),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
