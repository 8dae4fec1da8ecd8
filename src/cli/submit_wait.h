/* SPDX-License-Identifier: Apache-2.0 */
/* Follows the jobs that `tutti submit` sent until each has its result or dead letter. */
#ifndef CLI_SUBMIT_WAIT_H
#define CLI_SUBMIT_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct kafka_read;

/* Where a job was written. */
struct submitted {
    int32_t partition;
    int64_t offset;
    bool is_over;
};

struct submit_wait {
    const char *jobs_topic;
    struct submitted *jobs; /* jobs[n]; sorted by submit_wait_begin() */
    size_t n;
    size_t n_over;
    size_t ok, partial, failed, dead;
    double cost_usd;
    bool is_cost_complete; /* every result so far said its whole cost */
    int64_t begun_ms, told_ms;
    int width; /* of the terminal that stderr is; 0: none, a plain line now and then */
    FILE *err;
};

/* now_ms: epoch ms, as in the others. */
void submit_wait_begin(struct submit_wait *w, int64_t now_ms);
/* One record of results or dead letters; others' are ignored. */
void submit_wait_take(struct submit_wait *w, const struct kafka_read *r, bool is_dead_letter);
/* Tells how it stands, when it is time. */
void submit_wait_tell(struct submit_wait *w, int64_t now_ms);
/* The last line. */
void submit_wait_end(struct submit_wait *w, int64_t now_ms);

#endif
