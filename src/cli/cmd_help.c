/* SPDX-License-Identifier: Apache-2.0 */
/* tutti help: what there is, help on one command, and the topics that belong to no command. Main thread. */
#include <string.h>

#include "base/check.h"
#include "cli/cli.h"

enum { WORDS_MAX = 64 };

static const struct {
    const char *name;
    const char *text;
} topics[] = {
    {"exit-codes", "Exit codes (sysexits). A supervisor restarts on 69, 70 and 75, never on 64, 65, 66, 77 and 78.\n"
                   "\n"
                   "   0  done, or a clean drain after SIGTERM or SIGINT\n"
                   "   1  finished, but some items failed\n"
                   "  64  wrong usage of the command line\n"
                   "  65  bad input data\n"
                   "  66  input not found\n"
                   "  69  Kafka, Redis or all providers unreachable at start\n"
                   "  70  internal error\n"
                   "  73  output cannot be created\n"
                   "  74  input or output error\n"
                   "  75  stopped early, resumable\n"
                   "  77  refused: API key, SASL, ACL, TLS\n"
                   "  78  configuration error\n"},
    {"env", "Environment\n"
            "\n"
            "  TUTTI_CONFIG              configuration file, when -c is not given\n"
            "  TUTTI_KAFKA__BROKERS ...  an option: its key in upper case, dots as two underscores\n"
            "  ${env:NAME} in the file   any variable, for keys and passwords\n"
            "\n"
            "An option is taken from --set, else from its variable, else from the file, else it has its default.\n"},
};

static void print_overview(FILE *out)
{
    (void)fprintf(out, "tutti turns a Kafka topic of LLM jobs into a Kafka topic of answers.\n"
                       "  tutti dev                                          # try it: no key, nothing installed\n"
                       "  tutti ask \"Name three colours\" -m sim/fast        # in another terminal\n"
                       "  tutti config check -c tutti.yaml                   # is the configuration right?\n"
                       "commands (more: tutti help COMMAND; flags of all: -c FILE, --set KEY=VALUE, --json, -h):\n");
    for (const struct cli_command *m = cli_commands(); m->name != NULL; m++)
        (void)fprintf(out, "  %-10s %s\n", m->name, m->help);
}

int cmd_help(struct cli *c)
{
    const char *words[WORDS_MAX];
    size_t n = 0;

    if (c->n_args == 0) {
        print_overview(c->out);
        return CLI_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
        words[n++] = topics[i].name;
        if (strcmp(c->args[0], topics[i].name) == 0) {
            (void)fputs(topics[i].text, c->out);
            return CLI_OK;
        }
    }
    for (const struct cli_command *m = cli_commands(); m->name != NULL && n < WORDS_MAX; m++) {
        words[n++] = m->name;
        if (strcmp(c->args[0], m->name) == 0) {
            cli_print_help(m, c->out);
            return CLI_OK;
        }
    }
    return cli_unknown(c, "topic", c->args[0], words, n);
}
