/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of commands (cli.c), flags read once for all of them. Answers go to `out`, everything
 * else to `err`. Main thread. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct config;
struct config_input;

/* source  sysexits.h; CONTRACTS 10 */
enum cli_exit {
    CLI_OK = 0,          /* done, or drained */
    CLI_SOME_FAILED = 1, /* finished, some items failed */
    CLI_USAGE = 64,
    CLI_BAD_DATA = 65,
    CLI_NO_INPUT = 66,
    CLI_UNAVAILABLE = 69, /* Kafka, Redis or all providers unreachable at start */
    CLI_INTERNAL = 70,
    CLI_CANNOT_CREATE = 73,
    CLI_IO = 74,
    CLI_STOPPED = 75, /* stopped early, resumable */
    CLI_REFUSED = 77, /* keys, ACL, TLS */
    CLI_CONFIG = 78,
};

/* A flag of one command; every command also has -c, --set, --json and -h. */
struct cli_flag {
    const char *name;  /* without dashes; NULL ends the array */
    char letter;       /* 0: none */
    const char *value; /* what stands for its value in the help ("PORT"); NULL: a switch */
    const char *help;
};

struct cli;

struct cli_command {
    const char *name;
    const char *help;             /* one line, for the list of commands */
    const char *usage;            /* behind "tutti NAME ": "check [-c FILE] [--json]" */
    const char *examples;         /* lines, each "tutti ... # why", for the top of --help */
    const char *details;          /* further lines of --help; NULL: none */
    const struct cli_flag *flags; /* NULL: none of its own */
    int (*run)(struct cli *c);    /* returns enum cli_exit */
};

enum { CLI_FLAGS_MAX = 32 };

/* One invocation, read from argv. */
struct cli {
    const struct cli_command *command;
    const char *config_path; /* -c; NULL: not given */
    const char *const *sets; /* sets[n_sets]: KEY=VALUE of each --set */
    size_t n_sets;
    bool is_json;
    bool is_help;
    bool is_version;
    const char *const *args; /* args[n_args]: what is no flag, behind the command's name */
    size_t n_args;
    const char *const *env; /* NULL at the end */
    FILE *out;
    FILE *err;
    struct {
        const struct cli_flag *flag;
        const char *value;
    } given[CLI_FLAGS_MAX]; /* the command's own, in the order given */
    size_t n_given;
};

/* Runs the program; returns the exit code. env: environ. */
int cli_main(int argc, const char *const *argv, const char *const *env, FILE *out, FILE *err);
/* All commands, name NULL at the end. */
const struct cli_command *cli_commands(void);
const struct cli_command *cli_find_command(const char *name);
/* Value of a flag of this command (the last one given; "" for a switch), NULL when it was not given. */
const char *cli_flag(const struct cli *c, const char *name);
/* Prints one line about wrong usage and where to read on; returns CLI_USAGE. */
int cli_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Complains about an unknown word with the nearest of words[n]; returns CLI_USAGE. */
int cli_unknown(const struct cli *c, const char *what, const char *word, const char *const *words, size_t n);
/* --help of one command. */
void cli_print_help(const struct cli_command *command, FILE *out);
/* Loads the configuration the flags and the environment name, and prints its problems to err. CLI_OK, CLI_NO_INPUT or
 * CLI_CONFIG; *out_config only with CLI_OK: config_free() it. */
int cli_load_config(const struct cli *c, struct config **out_config);
/* Where cli_load_config() reads, for those who read again; what it points at is the cli's. */
void cli_config_input(const struct cli *c, struct config_input *out);
/* The same, with `text` (NUL-terminated YAML) where no file is named and none is found; *out_is_built_in says so. */
int cli_load_config_or(const struct cli *c, const char *text, struct config **out_config, bool *out_is_built_in);
/* Reads exactly this text, with --set over it: no file, no TUTTI_* variables. */
int cli_parse_config(const struct cli *c, const char *text, struct config **out_config);

int cmd_ask(struct cli *c);
int cmd_cancel(struct cli *c);
int cmd_config(struct cli *c);
int cmd_dev(struct cli *c);
int cmd_doctor(struct cli *c);
int cmd_help(struct cli *c);
int cmd_init(struct cli *c);
int cmd_limits(struct cli *c);
int cmd_models(struct cli *c);
int cmd_run(struct cli *c);
int cmd_schema(struct cli *c);
int cmd_sim(struct cli *c);
int cmd_status(struct cli *c);
int cmd_submit(struct cli *c);
int cmd_tail(struct cli *c);
int cmd_version(struct cli *c);

#endif
