/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, and how argv is read: flags before and behind the command, --flag=value or --flag value, --
 * ends them. A mistake is one line with the nearest spelling. Main thread. */
#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/names.h"

enum { WORDS_MAX = 64 };

static const struct cli_flag sim_flags[] = {
    {"listen", 'l', "HOST:PORT", "where to listen [127.0.0.1:8089]; port 0: a free one"},
    {"seed", 0, "N", "seed of latencies and faults [1]"},
    {"log", 0, "FILE", "one JSON line per request, to audit with"},
    {"api-key", 0, "K1,K2", "keys that are let in [any]"},
    {"defaults", 0, "WORDS", "what the models behind it start from"},
    {"model", 'm', "NAME,WORDS", "a model: latency=50ms,p99=3,errors=5%,rpm=600 ...; repeatable"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_flag schema_flags[] = {
    {"as", 0, "FORM", "json-schema, clickhouse or duckdb [json-schema]"},
    {"brokers", 0, "HOST:PORT", "clickhouse: where it reads [localhost:9092]"},
    {"topic", 0, "TOPIC", "clickhouse: what it reads [the default name]"},
    {"file", 0, "PATH", "duckdb: JSON Lines to read [NAME.jsonl]"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_command commands[] = {
    {.name = "run",
     .help = "the service: jobs from Kafka, answers to Kafka",
     .usage = "[-c FILE] [--set KEY=VALUE]",
     .examples = "tutti run                             # ./tutti.yaml\n"
                 "tutti run -c prod.yaml --set workers=2\n",
     .details = "SIGTERM and SIGINT stop intake, finish what has begun (shutdown.grace), commit and exit 0;\n"
                "a second one stops at once (75). Exit codes: tutti help exit-codes.\n",
     .run = cmd_run},
    {.name = "sim",
     .help = "simulated providers over HTTP (OpenAI dialect)",
     .usage = "[-c FILE] [--listen HOST:PORT] [--model NAME,WORDS]...",
     .examples = "tutti sim                             # three models on 127.0.0.1:8089\n"
                 "tutti sim -m sim/a,latency=200ms,p99=4,errors=5% --log requests.jsonl\n",
     .details = "Words: latency p99 bytes errors e429 e500 e503 reset truncate silence drip stall empty bad_json\n"
                "error200 prompt_tokens completion_tokens rpm tpm concurrency window meter. Shares are \"5%\".\n",
     .flags = sim_flags,
     .run = cmd_sim},
    {.name = "config",
     .help = "check or show a configuration, explain its keys",
     .usage = "check|show|explain KEY|docs [-c FILE] [--set KEY=VALUE] [--json]",
     .examples =
         "tutti config check                    # ./tutti.yaml, every problem at once; exit 78 when there are errors\n"
         "tutti config check -c prod.yaml --json\n"
         "tutti config show                     # every option in effect and where it came from, secrets hidden\n"
         "tutti config explain kafka.delivery   # type, range, default, meaning\n",
     .details = "check prints what each limit promises: B the bucket, r the refill, U* the share that can be used.\n"
                "docs writes docs/configuration.md to stdout.\n",
     .run = cmd_config},
    {.name = "schema",
     .help = "a topic's records as JSON Schema or as tables",
     .usage = "results|calls|model-stats|batches|jobs|dlq|control [--as json-schema|clickhouse|duckdb]",
     .examples = "tutti schema calls                                  # JSON Schema\n"
                 "tutti schema calls --as duckdb --file /dev/stdin    # a view with typed columns\n"
                 "tutti schema results --as clickhouse --brokers kafka:9092\n",
     .details = "clickhouse: a Kafka table, a ReplacingMergeTree and the views between them, in the database llm.\n",
     .flags = schema_flags,
     .run = cmd_schema},
    {.name = "version",
     .help = "version and build",
     .usage = "[--json]",
     .examples = "tutti version\ntutti version --json\n",
     .run = cmd_version},
    {.name = "help",
     .help = "help on a command or a topic: exit-codes, env",
     .usage = "[COMMAND|exit-codes|env]",
     .examples = "tutti help config\ntutti help exit-codes\n",
     .run = cmd_help},
    {.name = NULL},
};

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

const struct cli_command *cli_commands(void)
{
    return commands;
}

const struct cli_command *cli_find_command(const char *name)
{
    for (const struct cli_command *m = commands; m->name != NULL; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

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
    for (const struct cli_command *m = commands; m->name != NULL && n < WORDS_MAX; m++)
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
    static const struct cli_command *const help_command = &commands[ARRAY_LEN(commands) - 2];

    if (c->is_help && c->command != NULL) {
        cli_print_help(c->command, c->out);
        return CLI_OK;
    }
    if (c->is_version)
        return cmd_version(c);
    if (c->is_help) {
        c->command = help_command;
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
    if (fflush(out) != 0 || ferror(out)) {
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
