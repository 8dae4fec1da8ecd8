/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration that needs no file: what `tutti dev` runs, and what `ask`, `submit` and `tail` use where there is
 * none. Simulated models behind a server that `tutti dev` or `tutti sim` runs; nothing is simulated in this process. */
#ifndef APP_BUILTIN_H
#define APP_BUILTIN_H

struct buf;

/* One simulated model. */
struct builtin_model {
    const char *name;  /* registry id and the simulator's name */
    const char *words; /* for the simulator: "latency=120ms,..." */
    const char *shown; /* for people */
    const char *more;  /* further lines of its entry in the configuration */
};

enum { BUILTIN_MODELS = 3 };
extern const struct builtin_model builtin_models[BUILTIN_MODELS];

#define BUILTIN_SIM     "127.0.0.1:8089"
#define BUILTIN_BROKERS "localhost:9092"

struct builtin {
    const char *brokers;
    const char *sim;        /* host:port of the simulated providers */
    const char *const *env; /* NAME=value, NULL at the end: providers whose key is set are added; NULL: none */
};

/* The variable that must be set before a model called PROVIDER/NAME can be asked.
 * returns  NULL: none is missing, or the provider is none of the built-in ones */
const char *builtin_missing_key(const struct builtin *b, const char *model);
/* Writes it as YAML. */
void builtin_write(const struct builtin *b, struct buf *out);

#endif
