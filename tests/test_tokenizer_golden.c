/* Text to ids: every line of the reference's goldens, {"text", "ids"}, exactly.
 * IOL_SHARED holds oracle/goldens and models; IOL_MODELS the folders stories15M and stories260K in
 * Hugging Face form. What is not there is skipped by name. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/base.h"
#include "iolaus/tokenizer.h"

static void assert_golden_line(const struct iol_tokenizer *tokenizer, const char *path, size_t line,
                               const json_t *row)
{
    const json_t *text = json_object_get(row, "text"), *wanted = json_object_get(row, "ids");
    int32_t *ids = NULL;
    size_t count = 0;
    assert_int_equal(iol_tokenizer_encode(tokenizer, json_string_value(text),
                                          json_string_length(text), IOL_BOS_AUTO, &ids, &count),
                     IOL_OK);
    if (count != json_array_size(wanted)) {
        fail_msg("%s:%zu: %zu ids, expected %zu", path, line, count, json_array_size(wanted));
    }
    for (size_t i = 0; i < count; i++) {
        if (ids[i] != json_integer_value(json_array_get(wanted, i))) {
            fail_msg("%s:%zu: id %d at %zu, expected %lld", path, line, ids[i], i,
                     (long long)json_integer_value(json_array_get(wanted, i)));
        }
    }
    iol_ids_free(ids);
}

static void run_goldens(const char *name, const char *models, const char *model)
{
    const char *shared = getenv("IOL_SHARED");
    struct iol_tokenizer *tokenizer = NULL;
    if (!shared || !models) {
        print_message("goldens of %s: skipped (IOL_SHARED%s not set)\n", name,
                      models ? "" : " or IOL_MODELS");
        skip();
    }
    char *path = iol_format("%s/oracle/goldens/tokenizer-%s.jsonl", shared, name);
    char *where = iol_format("%s/%s", models, model);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    if (iol_tokenizer_open(where, &tokenizer) != IOL_OK) {
        fail_msg("%s", iol_error());
    }
    char *text = NULL;
    size_t capacity = 0, lines = 0;
    while (getline(&text, &capacity, file) > 0) {
        json_t *row = json_loads(text, JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        assert_golden_line(tokenizer, path, ++lines, row);
        json_decref(row);
    }
    assert_true(lines >= 100);
    free(text);
    fclose(file);
    iol_tokenizer_close(tokenizer);
    iol_free(path);
    iol_free(where);
}

static void test_goldens_stories15M(void **state)
{
    (void)state;
    run_goldens("stories15M", getenv("IOL_MODELS"), "stories15M");
}

static void test_goldens_stories260K(void **state)
{
    (void)state;
    run_goldens("stories260K", getenv("IOL_MODELS"), "stories260K");
}

static void run_shared_goldens(const char *name, const char *model)
{
    const char *shared = getenv("IOL_SHARED");
    char *models = shared ? iol_path_join(shared, "models") : NULL;
    run_goldens(name, models ? models : "", model);
    iol_free(models);
}

static void test_goldens_gpt2(void **state)
{
    (void)state;
    run_shared_goldens("gpt2", "gpt2-tokenizer");
}

static void test_goldens_smollm2(void **state)
{
    (void)state;
    run_shared_goldens("smollm2", "smollm2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens_stories15M),
        cmocka_unit_test(test_goldens_stories260K),
        cmocka_unit_test(test_goldens_gpt2),
        cmocka_unit_test(test_goldens_smollm2),
    };
    return cmocka_run_group_tests_name("tokenizer goldens", tests, NULL, NULL);
}
