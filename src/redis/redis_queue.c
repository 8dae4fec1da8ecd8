/* SPDX-License-Identifier: Apache-2.0 */
/* Commands: how they are written, and the ring of those that wait for their reply. It grows by doubling and never
 * shrinks: a connection's window is bounded by its output limit. Runs on the owner's loop thread. */
#include "redis_queue.h"

#include <string.h>

#include "base/mem.h"
#include "base/metrics.h"

enum { RING_MIN = 64, HEAD_MAX = 32 /* "$", a length, two line ends */ };

static struct redis_pending *at(const struct redis_queue *q, uint64_t number)
{
    return &q->ring[number & (q->cap - 1)];
}

static void grow(struct redis_queue *q)
{
    struct redis_queue bigger = *q;

    bigger.cap = q->cap > 0 ? q->cap * 2 : RING_MIN;
    bigger.ring = mem_alloc(bigger.cap * sizeof(*bigger.ring));
    for (uint64_t i = q->n_answered; i < q->n_sent; i++)
        *at(&bigger, i) = *at(q, i);
    mem_free(q->ring);
    *q = bigger;
}

void redis_pending_count(const struct redis_pending *p, const char *name, const struct redis_reply *reply,
                         int64_t now_us)
{
    enum histogram h = HISTOGRAM_REDIS_OTHER;

    if (reply == NULL || reply->type == REDIS_ERROR)
        metric_add(METRIC_REDIS_ERRORS, 1);
    if (reply == NULL)
        return;
    if (strcmp(name, "limiter") == 0)
        h = HISTOGRAM_REDIS_LIMITER;
    else if (strcmp(name, "journal") == 0)
        h = HISTOGRAM_REDIS_JOURNAL;
    metric_observe(h, now_us - p->sent_us);
}

void redis_queue_done(struct redis_queue *q)
{
    mem_free(q->ring);
    *q = (struct redis_queue){0};
}

void redis_queue_push(struct redis_queue *q, const struct redis_pending *p)
{
    if (q->n_sent - q->n_answered == q->cap)
        grow(q);
    *at(q, q->n_sent++) = *p;
}

bool redis_queue_take(struct redis_queue *q, struct redis_pending *out, bool *out_written)
{
    if (q->n_answered == q->n_sent)
        return false;
    *out = *at(q, q->n_answered);
    *out_written = q->n_answered < q->n_written;
    q->n_answered++;
    if (q->n_written < q->n_answered)
        q->n_written = q->n_answered;
    return true;
}

int64_t redis_queue_deadline(const struct redis_queue *q)
{
    int64_t first_us = INT64_MAX;

    for (uint64_t i = q->n_answered; i < q->n_sent; i++) {
        if (at(q, i)->deadline_us < first_us)
            first_us = at(q, i)->deadline_us;
    }
    return first_us;
}

void redis_queue_clear(struct redis_queue *q)
{
    q->n_answered = q->n_written = q->n_sent;
}

static void write_size(struct buf *b, char kind, size_t n)
{
    buf_add_char(b, kind);
    buf_add_i64(b, (int64_t)n);
    buf_add(b, "\r\n", 2);
}

/* redisFormatCommandArgv() would do, but prints each length with sprintf() into a buffer that is copied once more: a
 * fifteenth of the CPU of a call. */
void redis_command_add(struct buf *b, int argc, const char *const *argv, const size_t *argv_len)
{
    size_t all = 0;

    for (int i = 0; i < argc; i++)
        all += HEAD_MAX + (argv_len != NULL ? argv_len[i] : strlen(argv[i]));
    (void)buf_reserve(b, all + HEAD_MAX); /* grown once at most: its bytes are moved when it grows */
    write_size(b, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        size_t n = argv_len != NULL ? argv_len[i] : strlen(argv[i]);

        write_size(b, '$', n);
        buf_add(b, argv[i], n);
        buf_add(b, "\r\n", 2);
    }
}
