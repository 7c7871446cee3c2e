#define _GNU_SOURCE
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "commands.h"
#include "iolaus/tokenizer.h"
#include "report_line.h"

static bool parse_bos(const char *text, enum iol_bos *out_bos)
{
    static const struct {
        const char *name;
        enum iol_bos bos;
    } names[] = {{"auto", IOL_BOS_AUTO}, {"yes", IOL_BOS_YES}, {"no", IOL_BOS_NO}};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text, names[i].name) == 0) {
            *out_bos = names[i].bos;
            return true;
        }
    }
    return false;
}

/* One line of ids. false: the sentence is printed. place: "file:line: " or "". */
static bool print_ids(const struct iol_tokenizer *tokenizer, const char *place, const char *text,
                      size_t length, enum iol_bos bos)
{
    int32_t *ids = NULL;
    size_t count = 0;
    enum iol_status status = iol_tokenizer_encode(tokenizer, text, length, bos, &ids, &count);
    if (status != IOL_OK) {
        fprintf(stderr, "iolaus: %s%s\n", place, iol_error());
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        printf("%s%ld", i ? " " : "", (long)ids[i]);
    }
    putchar('\n');
    iol_ids_free(ids);
    return true;
}

static bool print_json_line(const struct iol_tokenizer *tokenizer, const char *place,
                            const char *line, size_t length, enum iol_bos bos)
{
    json_error_t error;
    json_t *object = json_loadb(line, length, JSON_ALLOW_NUL, &error);
    const json_t *value = json_object_get(object, "text");
    value = value ? value : json_object_get(object, "prompt");
    bool fine = false;
    if (!object) {
        fprintf(stderr, "iolaus: %scolumn %d: %s; expected one JSON object\n", place, error.column,
                error.text);
    } else if (!json_is_string(value)) {
        fprintf(stderr, "iolaus: %sfound no string `text` or `prompt`, expected one of them\n",
                place);
    } else {
        fine =
            print_ids(tokenizer, place, json_string_value(value), json_string_length(value), bos);
    }
    json_decref(object);
    return fine;
}

/* Every line of `file` is a text, or (json) an object with one. */
static bool print_lines(const struct iol_tokenizer *tokenizer, FILE *file, const char *name,
                        bool json, enum iol_bos bos)
{
    char *line = NULL, place[300];
    size_t capacity = 0, number = 0;
    ssize_t length;
    bool fine = true;
    while (fine && (length = getline(&line, &capacity, file)) >= 0) {
        size_t used = (size_t)length;
        used -= used > 0 && line[used - 1] == '\n' ? 1 : 0;
        number++;
        snprintf(place, sizeof place, "%s:%zu: ", name, number);
        if (!json) {
            fine = print_ids(tokenizer, place, line, used, bos);
        } else if (strspn(line, " \t\r\n") < (size_t)length) {
            fine = print_json_line(tokenizer, place, line, used, bos);
        }
    }
    if (fine && ferror(file)) {
        fprintf(stderr, "iolaus: %s: cannot read: %s\n", name, strerror(errno));
        fine = false;
    }
    free(line);
    return fine;
}

int cmd_tokenize(const struct cli_options *options)
{
    const char *text = options->argument_count > 1 ? options->arguments[1] : NULL;
    struct iol_tokenizer *tokenizer = NULL;
    FILE *file = NULL;
    enum iol_bos bos;
    bool fine = false;
    if (!parse_bos(options->run.bos, &bos)) {
        fprintf(stderr, "iolaus: --bos: found '%s', expected auto, yes or no\n", options->run.bos);
        return EXIT_USAGE;
    }
    if (text && options->jsonl) {
        fprintf(stderr, "iolaus: found both TEXT and --jsonl, expected one of them\n");
        return EXIT_USAGE;
    }
    enum iol_status status = iol_tokenizer_open(options->arguments[0], &tokenizer);
    if (status != IOL_OK) {
        cli_fail(status);
        goto out;
    }
    if (text) {
        fine = print_ids(tokenizer, "", text, strlen(text), bos);
    } else if (!options->jsonl || strcmp(options->jsonl, "-") == 0) {
        fine = print_lines(tokenizer, stdin, "standard input", options->jsonl, bos);
    } else if (!(file = fopen(options->jsonl, "r"))) {
        fprintf(stderr, "iolaus: %s: cannot open: %s\n", options->jsonl, strerror(errno));
    } else {
        fine = print_lines(tokenizer, file, options->jsonl, true, bos);
    }
out:
    if (file) {
        fclose(file);
    }
    iol_tokenizer_close(tokenizer);
    return fine ? EXIT_OK : EXIT_FAILED;
}
