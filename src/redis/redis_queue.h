/* SPDX-License-Identifier: Apache-2.0 */
/* A command as the wire has it, and the commands of a connection that have no reply yet, in the order sent: a ring.
 * Header and .c know no socket. */
#ifndef REDIS_QUEUE_H
#define REDIS_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "redis.h"

struct redis_pending {
    redis_done done; /* NULL: nobody asks */
    void *arg;
    int64_t deadline_us;
    int64_t sent_us; /* for the metrics */
};

/* Commands are numbered from 0: [0, n_answered) are over, [n_answered, n_written) were handed to the socket and may
 * have run, [n_written, n_sent) wait for the end of the turn. */
struct redis_queue {
    struct redis_pending *ring; /* ring[number % cap] */
    size_t cap;                 /* power of two, 0 at first */
    uint64_t n_answered;
    uint64_t n_written;
    uint64_t n_sent;
};

/* A command's end in the metrics: its time, or that there was no good answer. name: conf.name of the connection. */
void redis_pending_count(const struct redis_pending *p, const char *name, const struct redis_reply *reply,
                         int64_t now_us);

/* Appends the command in RESP; argv_len NULL: strings. */
void redis_command_add(struct buf *b, int argc, const char *const *argv, const size_t *argv_len);

void redis_queue_done(struct redis_queue *q);
void redis_queue_push(struct redis_queue *q, const struct redis_pending *p);
/* Takes the oldest; false when there is none. *out_written: it may have run. */
bool redis_queue_take(struct redis_queue *q, struct redis_pending *out, bool *out_written);
/* The earliest deadline, INT64_MAX when empty. Deadlines are in no order: looks at all of them. */
int64_t redis_queue_deadline(const struct redis_queue *q);
/* Forgets all. */
void redis_queue_clear(struct redis_queue *q);

#endif
