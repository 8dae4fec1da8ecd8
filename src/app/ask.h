/* SPDX-License-Identifier: Apache-2.0 */
/* One job, now, without Kafka: a worker over the memory broker, with the real HTTP client and the configured limits. */
#ifndef APP_ASK_H
#define APP_ASK_H

#include <stdbool.h>
#include <stddef.h>

struct config;

struct ask_answer {
    char *result; /* the result record's JSON; NULL when the job was none */
    /* else why it was none: the dead letter's words */
    char *code;
    char *pointer;
    char *message;
    bool has_local_limits; /* there are limits, and Redis did not answer: they held in this process only */
    int exit_code;         /* sysexits: 0, or why the worker ended without an answer (logged) */
};

/* Runs the job (a record's JSON) to its end.
 * wants_redis  the configured Redis keeps the limits, if it answers within a second
 * owns         ask_answer_done() it
 * thread       main; blocks */
void ask_run(const struct config *config, const char *job, size_t len, bool wants_redis, struct ask_answer *out);
void ask_answer_done(struct ask_answer *a);

#endif
