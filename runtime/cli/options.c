#include "options.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum option_type { OPT_FLAG, OPT_TEXT, OPT_LIST, OPT_COUNT, OPT_NUMBER, OPT_SIZE };

struct option_row {
    const char *name;
    char letter; /* "-o"; 0: none */
    const char *argument;
    enum option_type type;
    unsigned commands;
    size_t field;      /* in struct cli_options */
    const char *unset; /* what happens without it, where the default is 0 or NULL */
    const char *text;
};

#define FIELD(name) offsetof(struct cli_options, name)

/* Defaults that are not 0 or NULL come from iol_run_settings_default. */
static const struct option_row rows[] = {
    {"model", 0, "MODEL", OPT_TEXT, CLI_RUN, FIELD(model), "required",
     "Hugging Face folder: config.json, model.safetensors, tokenizer.json"},
    {"prompts", 0, "FILE", OPT_TEXT, CLI_RUN, FIELD(run.prompts), "required",
     "JSONL objects with `prompt` (text) or `tokens` (ids); other fields may be there"},
    {"limit", 0, "N", OPT_COUNT, CLI_RUN, FIELD(run.limit), "all", "first N prompts of the file"},
    {"do", 0, "SITES=KINDS", OPT_LIST, CLI_RUN, FIELD(run.does), NULL,
     "interventions: site types or globs = kinds, both comma lists; may be repeated"},
    {"metrics", 0, "LIST", OPT_TEXT, CLI_RUN, FIELD(run.metrics), NULL, "groups of metrics"},
    {"positions", 0, "P", OPT_TEXT, CLI_RUN, FIELD(run.positions), NULL,
     "positions to intervene at"},
    {"filter", 0, "F", OPT_TEXT, CLI_RUN, FIELD(run.filter), NULL,
     "none, or correct: keep prompts whose arg-max is the first token of `answer` (with `tokens`: "
     "`answer_id`)"},
    {"bos", 0, "B", OPT_TEXT, CLI_RUN | CLI_TOKENIZE, FIELD(run.bos), NULL,
     "auto: as the tokenizer files say; yes: the BOS id is first; no: no special tokens"},
    {"seed", 0, "S", OPT_NUMBER, CLI_RUN, FIELD(run.seed), "0",
     "of donors, bootstrap and permutations"},
    {"reuse", 0, "LIST", OPT_TEXT, CLI_RUN, FIELD(run.reuse), NULL,
     "none, all, or a list of the reuse axes; results have the same bits"},
    {"threads", 0, "N", OPT_COUNT, CLI_RUN | CLI_INSPECT | CLI_INFO, FIELD(ctx.threads),
     "all that the process may use", "threads; results have the same bits"},
    {"isa", 0, "LIST", OPT_TEXT, CLI_RUN | CLI_INSPECT | CLI_INFO, FIELD(ctx.isa),
     "IOL_ISA of the environment, else auto",
     "instruction sets that kernels may use; results have the same bits"},
    {"arithmetic", 0, "MODE", OPT_TEXT, CLI_RUN | CLI_INFO, FIELD(ctx.arithmetic), "exact",
     "exact; bf16, bf16x32 or int8: weight products by dot products of operands rounded so, where "
     "they are "
     "faster; fast: the first of these that is (see info); another experiment than exact, named in "
     "its results with its error"},
    {"memory", 0, "SIZE", OPT_SIZE, CLI_RUN, FIELD(run.memory_bytes), "half of what is available",
     "budget for capture, rows and workspaces (weights apart): bytes, or with K, M, G"},
    {"group", 0, "N", OPT_COUNT, CLI_RUN, FIELD(run.group), "from the budget",
     "prompts of one capture group and of one wave"},
    {"spill", 0, "DIR", OPT_TEXT, CLI_RUN, FIELD(run.spill_folder),
     "beside --out, else the temporary folder", "where a capture over the budget goes"},
    {"out", 0, "FILE", OPT_TEXT, CLI_RUN, FIELD(run.out), "results are printed, not kept",
     "SQLite results file; an unfinished run of the same experiment is resumed"},
    {"plan", 0, NULL, OPT_FLAG, CLI_RUN, FIELD(plan), "off",
     "print branches, FLOPs, peak memory, spill and predicted time, and stop"},
    {"measure-none", 0, NULL, OPT_FLAG, CLI_RUN, FIELD(run.measure_none), "off",
     "also run the sweep without any reuse and put its seconds in the bill"},
    {"quiet", 0, NULL, OPT_FLAG, CLI_RUN, FIELD(quiet), "off", "no progress on standard error"},
    {"format", 0, "FORMAT", OPT_TEXT, CLI_EXPORT, FIELD(format), NULL,
     "json (schema iolaus-1) or csv (one row per effect)"},
    {"output", 'o', "FILE", OPT_TEXT, CLI_EXPORT, FIELD(output), "standard output",
     "where the export goes; written under a temporary name and renamed"},
    {"jsonl", 0, "FILE", OPT_TEXT, CLI_TOKENIZE, FIELD(jsonl), "TEXT, else lines of standard input",
     "texts from JSONL objects with `text` or `prompt`"},
    {"help", 'h', NULL, OPT_FLAG, CLI_EVERY, FIELD(help), NULL, "print this"},
    {"version", 0, NULL, OPT_FLAG, CLI_EVERY, FIELD(version), NULL, "print the version"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void options_default(struct cli_options *options)
{
    *options = (struct cli_options){.format = "json"};
    iol_run_settings_default(&options->run);
    iol_ctx_settings_default(&options->ctx);
}

/* --- reading values --- */

/* Decimal digits into *out_value; with `sized` a last K, M or G multiplies by powers of 1024. */
static bool parse_number(const char *text, bool sized, uint64_t most, uint64_t *out_value)
{
    uint64_t value = 0;
    size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; i < digits; i++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value)) {
            return false;
        }
    }
    const char *suffix = text + digits;
    if (sized && suffix[0] && !suffix[1]) {
        const char *units = "KMGkmg";
        const char *unit = strchr(units, suffix[0]);
        unsigned power = unit ? (unsigned)((unit - units) % 3 + 1) : 0;
        if (power == 0 || __builtin_mul_overflow(value, UINT64_C(1) << (10 * power), &value)) {
            return false;
        }
        suffix++;
    }
    *out_value = value;
    return digits > 0 && !suffix[0] && value <= most;
}

static bool set_value(struct cli_options *options, const struct option_row *row, const char *value)
{
    void *field = (char *)options + row->field;
    uint64_t number = 0;
    switch (row->type) {
    case OPT_FLAG:
        *(bool *)field = true;
        return true;
    case OPT_TEXT:
        *(const char **)field = value;
        return true;
    case OPT_LIST:
        options->run.do_count = options->does[0] ? options->run.do_count + 1 : 1;
        options->does[options->run.do_count - 1] = value;
        options->run.does = options->does;
        return true;
    case OPT_COUNT:
        if (parse_number(value, false, SIZE_MAX, &number)) {
            *(size_t *)field = (size_t)number;
            return true;
        }
        break;
    case OPT_NUMBER:
    case OPT_SIZE:
        if (parse_number(value, row->type == OPT_SIZE, UINT64_MAX, &number)) {
            *(uint64_t *)field = number;
            return true;
        }
        break;
    }
    fprintf(stderr, "iolaus: --%s: found '%s', expected a whole number%s\n", row->name, value,
            row->type == OPT_SIZE ? " of bytes, or one with K, M or G" : "");
    return false;
}

/* --- suggestions --- */

/* Edits (insert, drop, change a letter) from a to b; words over 31 letters count as far away. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32], n = strlen(a), m = strlen(b);
    if (n > 31 || m > 31) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= m; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = corner + (a[i - 1] == b[j - 1] ? 0 : 1);
            corner = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[m];
}

static bool is_near(const char *given, const char *name, size_t *best)
{
    size_t edits = distance(given, name);
    if (edits > 2 || edits >= strlen(name) || edits >= *best) {
        return false;
    }
    *best = edits;
    return true;
}

static void fail_command(const char *given)
{
    const char *near = NULL;
    size_t best = SIZE_MAX;
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        near = is_near(given, c->name, &best) ? c->name : near;
    }
    fprintf(stderr, "iolaus: unknown command '%s'; ", given);
    if (near) {
        fprintf(stderr, "did you mean '%s'?\n", near);
    } else {
        fprintf(stderr, "'iolaus --help' lists the commands\n");
    }
}

/* name: without dashes and without "=value". */
static void fail_option(const struct cli_command *command, const char *given, const char *name)
{
    const struct option_row *near = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].commands & command->bit) {
            near = is_near(name, rows[i].name, &best) ? &rows[i] : near;
        } else if (strcmp(name, rows[i].name) == 0) {
            fprintf(stderr, "iolaus: 'iolaus %s' takes no option '--%s'; ", command->name, name);
            fprintf(stderr, "'iolaus %s --help' lists what it takes\n", command->name);
            return;
        }
    }
    fprintf(stderr, "iolaus: unknown option '%s' of 'iolaus %s'; ", given, command->name);
    if (near) {
        fprintf(stderr, "did you mean '--%s'?\n", near->name);
    } else {
        fprintf(stderr, "'iolaus %s --help' lists them\n", command->name);
    }
}

/* --- parsing --- */

static const struct option_row *find_row(const struct cli_command *command, const char *name,
                                         size_t length, char letter)
{
    for (size_t i = 0; i < ROWS; i++) {
        bool same = letter ? rows[i].letter == letter
                           : strlen(rows[i].name) == length && !strncmp(rows[i].name, name, length);
        if (same && (rows[i].commands & command->bit)) {
            return &rows[i];
        }
    }
    return NULL;
}

/* The option at argv[*at] and its value; *at moves to the last word used. */
static bool parse_option(int argc, char **argv, int *at, struct cli_options *options)
{
    const char *given = argv[*at];
    bool is_long = given[1] == '-';
    const char *name = given + (is_long ? 2 : 1);
    const char *equals = is_long ? strchr(name, '=') : NULL;
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const char *value = equals ? equals + 1 : NULL;
    const struct option_row *row =
        find_row(options->command, name, length, is_long ? '\0' : given[1]);
    if (row && !is_long && given[2]) {
        value = given + 2; /* -oFILE */
    }
    if (!row) {
        char word[64];
        snprintf(word, sizeof word, "%.*s", length < 63 ? (int)length : 63, name);
        fail_option(options->command, given, word);
        return false;
    }
    if (row->type == OPT_FLAG && value) {
        fprintf(stderr, "iolaus: option '--%s' takes no value, found '%s'\n", row->name, value);
        return false;
    }
    if (row->type != OPT_FLAG && !value) {
        const char *next = *at + 1 < argc ? argv[*at + 1] : NULL;
        if (!next || strncmp(next, "--", 2) == 0) {
            fprintf(stderr, "iolaus: option '--%s' needs a value (%s), found %s%s%s\n", row->name,
                    row->argument, next ? "the option '" : "nothing", next ? next : "",
                    next ? "'" : "");
            return false;
        }
        value = next;
        (*at)++;
    }
    return set_value(options, row, value);
}

static bool check_arguments(const struct cli_options *options)
{
    const struct cli_command *command = options->command;
    if (options->help || options->version ||
        (options->argument_count >= command->least && options->argument_count <= command->most)) {
        return true;
    }
    if (options->argument_count < command->least) {
        fprintf(stderr, "iolaus: 'iolaus %s' needs %s\n", command->name, command->arguments);
    } else {
        fprintf(stderr, "iolaus: unexpected argument '%s'; usage: iolaus %s %s\n",
                options->arguments[command->most], command->name, command->arguments);
    }
    return false;
}

bool cli_options_parse(int argc, char **argv, struct cli_options *out_options)
{
    options_default(out_options);
    out_options->does = calloc((size_t)argc + 1, sizeof *out_options->does);
    out_options->arguments = calloc((size_t)argc + 1, sizeof *out_options->arguments);
    if (!out_options->does || !out_options->arguments) {
        fprintf(stderr, "iolaus: out of memory\n");
        return false;
    }
    if (argc < 2) {
        fprintf(stderr, "iolaus: found no command; 'iolaus --help' lists them\n");
        return false;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        out_options->help = true;
        return true;
    }
    if (!strcmp(argv[1], "--version")) {
        out_options->version = true;
        return true;
    }
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        out_options->command = strcmp(c->name, argv[1]) == 0 ? c : out_options->command;
    }
    if (!out_options->command) {
        fail_command(argv[1]);
        return false;
    }
    bool options_end = false;
    for (int i = 2; i < argc; i++) {
        bool is_option = argv[i][0] == '-' && argv[i][1] && !options_end;
        if (is_option && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!is_option) {
            out_options->arguments[out_options->argument_count++] = argv[i];
        } else if (!parse_option(argc, argv, &i, out_options)) {
            return false;
        }
    }
    return check_arguments(out_options);
}

void cli_options_close(struct cli_options *options)
{
    free(options->does);
    free(options->arguments);
    options->does = NULL;
    options->arguments = NULL;
}

/* --- help --- */

enum { WIDTH = 80, INDENT = 24 };

/* Words of `text` from column `column`, broken before column WIDTH, later lines indented. */
static void print_wrapped(FILE *file, const char *text, int column, int indent)
{
    bool first = true;
    while (*text) {
        int word = (int)strcspn(text, " ");
        if (!first && column + 1 + word > WIDTH) {
            fprintf(file, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', file);
            column++;
        }
        fprintf(file, "%.*s", word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
        first = false;
    }
    fputc('\n', file);
}

/* "  left          text": the text begins at INDENT, on a line of its own if left is too long. */
static void print_entry(FILE *file, const char *left, const char *text)
{
    int used = fprintf(file, "  %s", left);
    if (used >= INDENT - 1) {
        fprintf(file, "\n%*s", INDENT, "");
    } else {
        fprintf(file, "%*s", INDENT - used, "");
    }
    print_wrapped(file, text, INDENT, INDENT);
}

static void default_text(const struct option_row *row, const struct cli_options *defaults,
                         char *out_text, size_t size)
{
    const void *field = (const char *)defaults + row->field;
    const char *value = row->unset;
    if (row->type == OPT_LIST) {
        value = defaults->run.does[0];
    } else if (row->type == OPT_TEXT && *(const char *const *)field) {
        value = *(const char *const *)field;
    }
    if (value && strcmp(value, "required") == 0) {
        snprintf(out_text, size, " (required)");
    } else if (value) {
        snprintf(out_text, size, " (default: %s)", value);
    } else {
        out_text[0] = '\0';
    }
}

/* The rows of one command; `every`: those that all commands take, else the others. */
static void print_options(FILE *file, unsigned command, bool every)
{
    struct cli_options defaults;
    options_default(&defaults);
    for (size_t i = 0; i < ROWS; i++) {
        char left[64], fallback[128], text[320], letter[8] = "";
        if (!(rows[i].commands & command) || (rows[i].commands == CLI_EVERY) != every) {
            continue;
        }
        if (rows[i].letter) {
            snprintf(letter, sizeof letter, "-%c, ", rows[i].letter);
        }
        snprintf(left, sizeof left, "%s--%s%s%s", letter, rows[i].name, rows[i].argument ? " " : "",
                 rows[i].argument ? rows[i].argument : "");
        default_text(&rows[i], &defaults, fallback, sizeof fallback);
        snprintf(text, sizeof text, "%s%s", rows[i].text, fallback);
        print_entry(file, left, text);
    }
}

static void print_list(FILE *file, const char *title,
                       bool (*get)(size_t index, const char **out_name, const char **out_text))
{
    const char *name, *text;
    fprintf(file, "\n%s\n", title);
    for (size_t i = 0; get(i, &name, &text); i++) {
        print_entry(file, name, text);
    }
}

static void print_lists(FILE *file)
{
    print_list(file,
               "Sites (a bare type means all of them; globs: 'head.9.*'):", iol_site_type_get);
    print_list(file, "Kinds:", iol_kind_get);
    print_list(file, "Metrics:", iol_metric_get);
    print_list(file, "Reuse axes:", iol_reuse_axis_get);
    fprintf(file, "\nInstruction sets:\n");
    for (size_t i = 0; i < iol_isa_count(); i++) {
        char text[160];
        snprintf(text, sizeof text, "needs %s%s", iol_isa_needs(i),
                 iol_isa_available(i) ? "" : " (not on this machine)");
        print_entry(file, iol_isa_name(i), text);
    }
    fprintf(file, "\nModel families:\n ");
    for (size_t i = 0; i < iol_family_count(); i++) {
        fprintf(file, " %s", iol_family_name(i));
    }
    fputc('\n', file);
}

static void print_usage(FILE *file, const struct cli_command *command)
{
    fprintf(file, "iolaus %s%s%s [options]\n", command->name, command->arguments[0] ? " " : "",
            command->arguments);
}

void cli_help_print(FILE *file, const struct cli_command *command)
{
    if (command) {
        fprintf(file, "usage: ");
        print_usage(file, command);
        fprintf(file, "\n");
        print_wrapped(file, command->text, 0, 0);
        fprintf(file, "\nOptions:\n");
        print_options(file, command->bit, false);
        print_options(file, command->bit, true);
        if (command->bit == CLI_RUN) {
            print_lists(file);
        }
        return;
    }
    fprintf(file,
            "iolaus %s: causal interventions on language models, exactly, on CPUs\n\nusage:\n",
            iol_version());
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        fprintf(file, "  ");
        print_usage(file, c);
        fprintf(file, "      ");
        print_wrapped(file, c->text, 6, 6);
    }
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        if (c->bit != CLI_DIGEST) { /* it has none of its own */
            fprintf(file, "\nOptions of %s:\n", c->name);
            print_options(file, c->bit, false);
        }
    }
    fprintf(file, "\nOptions of every command:\n");
    print_options(file, CLI_EVERY, true);
    print_lists(file);
    fprintf(file,
            "\nExamples:\n"
            "  iolaus run --model gpt2 --prompts facts.jsonl --out hydra.db\n"
            "  iolaus run --model gpt2 --prompts facts.jsonl --plan --memory 2G\n"
            "  iolaus run --model gpt2 --prompts facts.jsonl \\\n"
            "      --do attn_out,mlp_out=zero,resample:15 --do 'head.9.*=zero'\n"
            "  iolaus export hydra.db --format csv -o effects.csv\n"
            "  iolaus tokenize gpt2 'The Eiffel Tower is in'\n"
            "\nExit status: %d success, %d failure, %d the command line is wrong, %d stopped.\n"
            "With --out, running the same command again resumes.\n",
            EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED);
}
