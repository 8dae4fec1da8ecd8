/* SPDX-License-Identifier: Apache-2.0 */
/* How argv is read: flags before and behind the command, --flag=value or --flag value, -- ends them. A mistake is one
 * line with the nearest spelling. Main thread. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/names.h"

enum { WORDS_MAX = 64 };

static const struct cli_flag common_flags[] = {
    {"config", 'c', "FILE", "configuration file"}, {"set", 0, "KEY=VALUE", "override one option, repeatable"},
    {"json", 0, NULL, "machine-readable output"},  {"help", 'h', NULL, "this help"},
    {"version", 0, NULL, "version and build"},     {NULL, 0, NULL, NULL},
};
enum { FLAG_CONFIG, FLAG_SET, FLAG_JSON, FLAG_HELP, FLAG_VERSION };

/* argv on its way into struct cli. */
struct reader {
    struct cli *c;
    const char *const *argv;
    int argc;
    int at;
    const char **sets; /* sets[argc]: room for all */
    const char **args; /* args[argc] */
};

const char *cli_flag(const struct cli *c, const char *name)
{
    for (size_t i = c->n_given; i > 0; i--)
        if (strcmp(c->given[i - 1].flag->name, name) == 0)
            return c->given[i - 1].value;
    return NULL;
}

static void print_where(const struct cli *c)
{
    if (c->command != NULL)
        (void)fprintf(c->err, "; see 'tutti %s --help'\n", c->command->name);
    else
        (void)fprintf(c->err, "; see 'tutti help'\n");
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
    va_list ap;

    (void)fprintf(c->err, "tutti%s%s: ", c->command == NULL ? "" : " ", c->command == NULL ? "" : c->command->name);
    va_start(ap, fmt);
    (void)vfprintf(c->err, fmt, ap);
    va_end(ap);
    print_where(c);
    return CLI_USAGE;
}

int cli_unknown(const struct cli *c, const char *what, const char *word, const char *const *words, size_t n)
{
    const char *near = names_nearest(word, words, n);

    if (near != NULL)
        return cli_usage(c, "unknown %s '%s' (did you mean '%s'?)", what, word, near);
    return cli_usage(c, "unknown %s '%s'", what, word);
}

static int unknown_flag(const struct cli *c, const char *word)
{
    const struct cli_flag *tables[] = {common_flags, c->command == NULL ? NULL : c->command->flags};
    const char *words[WORDS_MAX];
    char dashed[WORDS_MAX][32];
    size_t n = 0;

    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const struct cli_flag *f = tables[t]; f != NULL && f->name != NULL && n < WORDS_MAX; f++, n++) {
            (void)snprintf(dashed[n], sizeof(dashed[n]), "--%s", f->name);
            words[n] = dashed[n];
        }
    }
    return cli_unknown(c, "flag", word, words, n);
}

static const struct cli_flag *find_flag(const struct cli_flag *flags, const char *name, size_t len, bool is_letter)
{
    for (const struct cli_flag *f = flags; f != NULL && f->name != NULL; f++)
        if (is_letter ? f->letter == *name : strlen(f->name) == len && strncmp(f->name, name, len) == 0)
            return f;
    return NULL;
}

static int take_common(struct reader *r, const struct cli_flag *flag, const char *value)
{
    switch (flag - common_flags) {
    case FLAG_CONFIG:
        r->c->config_path = value;
        break;
    case FLAG_SET:
        if (value == NULL || strchr(value, '=') == NULL)
            return cli_usage(r->c, "write --set KEY=VALUE");
        r->sets[r->c->n_sets++] = value;
        break;
    case FLAG_JSON:
        r->c->is_json = true;
        break;
    case FLAG_HELP:
        r->c->is_help = true;
        break;
    default:
        r->c->is_version = true;
        break;
    }
    return CLI_OK;
}

/* One flag word: --name, --name=value, -x, -xvalue. */
static int take_flag(struct reader *r, const char *word)
{
    bool is_letter = word[1] != '-';
    const char *name = word + (is_letter ? 1 : 2);
    size_t len = is_letter ? 1 : strcspn(name, "=");
    const char *value = name[len] == '\0' ? NULL : is_letter ? name + len : name + len + 1;
    const struct cli_flag *common = find_flag(common_flags, name, len, is_letter);
    const struct cli_flag *own =
        common != NULL || r->c->command == NULL ? NULL : find_flag(r->c->command->flags, name, len, is_letter);
    const struct cli_flag *flag = common != NULL ? common : own;

    if (flag == NULL)
        return unknown_flag(r->c, word);
    if (flag->value == NULL && value != NULL)
        return cli_usage(r->c, "--%s takes no value", flag->name);
    if (flag->value != NULL && value == NULL) {
        if (r->at + 1 >= r->argc)
            return cli_usage(r->c, "--%s needs a value: %s", flag->name, flag->value);
        value = r->argv[++r->at];
    }
    if (common != NULL)
        return take_common(r, common, value);
    if (r->c->n_given == CLI_FLAGS_MAX)
        return cli_usage(r->c, "more than %d flags", CLI_FLAGS_MAX);
    r->c->given[r->c->n_given].flag = own;
    r->c->given[r->c->n_given++].value = value == NULL ? "" : value;
    return CLI_OK;
}

static int take_command(struct reader *r, const char *word)
{
    const char *words[WORDS_MAX];
    size_t n = 0;

    r->c->command = cli_find_command(word);
    if (r->c->command != NULL)
        return CLI_OK;
    for (const struct cli_command *m = cli_commands(); m->name != NULL && n < WORDS_MAX; m++)
        words[n++] = m->name;
    return cli_unknown(r->c, "command", word, words, n);
}

static int read_words(struct reader *r)
{
    bool is_over = false; /* "--" was seen */
    int code = CLI_OK;

    for (r->at = 1; r->at < r->argc && code == CLI_OK; r->at++) {
        const char *word = r->argv[r->at];

        if (!is_over && strcmp(word, "--") == 0)
            is_over = true;
        else if (!is_over && word[0] == '-' && word[1] != '\0')
            code = take_flag(r, word);
        else if (r->c->command == NULL)
            code = take_command(r, word);
        else
            r->args[r->c->n_args++] = word;
    }
    return code;
}

static int dispatch(struct cli *c)
{
    if (c->is_help && c->command != NULL) {
        cli_print_help(c->command, c->out);
        return CLI_OK;
    }
    if (c->is_version)
        return cmd_version(c);
    if (c->is_help) {
        c->command = cli_find_command("help");
        return cmd_help(c);
    }
    if (c->command == NULL)
        return cli_usage(c, "name a command");
    return c->command->run(c);
}

int cli_main(int argc, const char *const *argv, const char *const *env, FILE *out, FILE *err)
{
    size_t room = (argc > 0 ? (size_t)argc : 1) * sizeof(char *);
    AUTO_FREE const char **sets = mem_zero(room);
    AUTO_FREE const char **args = mem_zero(room);
    struct cli c = {.sets = sets, .args = args, .env = env, .out = out, .err = err};
    struct reader r = {.c = &c, .argv = argv, .argc = argc, .sets = sets, .args = args};
    int code = read_words(&r);

    if (code == CLI_OK)
        code = dispatch(&c);
    if ((fflush(out) != 0 || ferror(out)) && errno == EPIPE)
        return code; /* whoever read along has seen enough: | head */
    if (ferror(out)) {
        (void)fprintf(err, "tutti: cannot write the answer\n");
        return code == CLI_OK ? CLI_IO : code;
    }
    return code;
}

static void print_flags(const struct cli_flag *flags, FILE *out)
{
    for (const struct cli_flag *f = flags; f != NULL && f->name != NULL; f++) {
        char text[64];

        (void)snprintf(text, sizeof(text), "%s%c%s--%s%s%s", f->letter == 0 ? "  " : "-",
                       f->letter == 0 ? ' ' : f->letter, f->letter == 0 ? " " : ", ", f->name,
                       f->value == NULL ? "" : " ", f->value == NULL ? "" : f->value);
        (void)fprintf(out, "  %-26s %s\n", text, f->help);
    }
}

void cli_print_help(const struct cli_command *command, FILE *out)
{
    (void)fprintf(out, "%s\nusage: tutti %s %s\n%s: %s\n", command->examples, command->name, command->usage,
                  command->name, command->help);
    if (command->details != NULL)
        (void)fprintf(out, "\n%s", command->details);
    (void)fprintf(out, "\n");
    print_flags(command->flags, out);
    print_flags(common_flags, out);
}
