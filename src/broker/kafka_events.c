/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of the library's queues: rebalances, errors and commit answers from the consumer's queue, messages
 * from the partitions' queues. Wake-ups are edge triggered, so a queue is always read until it is empty, and looked at
 * every 500 ms in any case (that also keeps max.poll.interval.ms quiet on newer versions). Loop thread only. */
#include "broker/kafka_internal.h"

#include <string.h>
#include <sysexits.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

enum { MAX_HEADERS = 64, MAX_SKIPPED = 1000 };

/* Errors of the handle as a whole. The library repairs connections by itself; only refusals and fatal ones end the
 * process. */
static void on_error(struct kafka *k, rd_kafka_resp_err_t err, const char *text)
{
    char why[KAFKA_WHY];

    switch (err) {
    case RD_KAFKA_RESP_ERR__FATAL:
        (void)rd_kafka_fatal_error(k->consumer, why, sizeof(why));
        kafka_fail(k, EX_SOFTWARE, "consumer: %s", why);
        return;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
        atomic_store(&k->txn.is_auth_refused, true); /* judged where start-up waits for a broker */
        break;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        if (!k->has_joined) {
            kafka_fail(k, EX_NOPERM, "consumer: %s", text);
            return;
        }
        break;
    default:
        break;
    }
    if (log_is_due(&k->log_due_us, loop_now_us(k->loop), 5 * KAFKA_SEC))
        log_event(LOG_WARN, "kafka_error", "code=%s why=\"%s\"", rd_kafka_err2name(err), text);
}

/* A message that did not go to its partition's own queue cannot be put in order any more: start again from the commit.
 */
static void on_stray(struct kafka *k, rd_kafka_event_t *ev)
{
    const rd_kafka_message_t *m;

    while ((m = rd_kafka_event_message_next(ev)) != NULL) {
        if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            on_error(k, m->err, rd_kafka_message_errstr(m));
        else if (kafka_part_find(&k->parts, rd_kafka_topic_name(m->rkt), m->partition) != NULL)
            kafka_fail(k, EX_TEMPFAIL, "%s [%d]: offset %lld came through the consumer's queue",
                       rd_kafka_topic_name(m->rkt), m->partition, (long long)m->offset);
    }
}

void kafka_events_drain(struct kafka *k)
{
    rd_kafka_event_t *ev;

    while (k->queue != NULL && (ev = rd_kafka_queue_poll(k->queue, 0)) != NULL) {
        switch (rd_kafka_event_type(ev)) {
        case RD_KAFKA_EVENT_REBALANCE:
            kafka_change_add(k, ev);
            break;
        case RD_KAFKA_EVENT_ERROR:
            on_error(k, rd_kafka_event_error(ev), rd_kafka_event_error_string(ev));
            break;
        case RD_KAFKA_EVENT_FETCH:
            on_stray(k, ev);
            break;
        case RD_KAFKA_EVENT_OFFSET_COMMIT:
            kafka_alo_on_commit(k, ev);
            break;
        default:
            break;
        }
        rd_kafka_event_destroy(ev);
    }
    kafka_pump(k);
}

/* --- messages --- */

static int take_headers(const rd_kafka_message_t *m, struct message_header *out)
{
    rd_kafka_headers_t *h;
    int n = 0;

    if (rd_kafka_message_headers(m, &h) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    while (n < MAX_HEADERS) {
        const void *value;

        if (rd_kafka_header_get_all(h, (size_t)n, &out[n].name, &value, &out[n].value_len) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        out[n++].value = value;
    }
    return n;
}

static void deliver(struct kafka *k, struct kafka_part *p, const rd_kafka_message_t *m)
{
    struct message_header headers[MAX_HEADERS];
    rd_kafka_timestamp_type_t type;
    struct message out = {
        .offset = m->offset,
        .ts_ms = rd_kafka_message_timestamp(m, &type),
        .key = m->key,
        .key_len = m->key_len,
        .value = m->payload,
        .value_len = m->len,
        .headers = headers,
        .n_headers = take_headers(m, headers),
    };

    p->next = m->offset + 1;
    p->n_above = 0;
    k->ev->message(k->ev_arg, &p->pub, &out);
}

static void on_part_error(struct kafka *k, struct kafka_part *p, const rd_kafka_message_t *m)
{
    if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) { /* deleted under our reading position, most likely */
        p->state = PART_LOOKUP;                           /* which tells where it goes on */
        kafka_pump(k);
        return;
    }
    on_error(k, m->err, rd_kafka_message_errstr(m));
}

int kafka_part_poll(struct kafka *k, struct kafka_part *p)
{
    for (int i = 0; i < MAX_SKIPPED && p->state == PART_ACTIVE; i++) {
        rd_kafka_message_t *m = rd_kafka_consume_queue(p->queue, 0);
        bool is_new;

        if (m == NULL)
            return 0;
        is_new = m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->offset >= p->next;
        if (is_new)
            deliver(k, p, m);
        else if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            on_part_error(k, p, m);
        rd_kafka_message_destroy(m); /* held, it would pin its whole fetch response */
        if (is_new)
            return 1;
    }
    return 0;
}
