/* SPDX-License-Identifier: Apache-2.0 */
/* Reads topics from outside any group, each partition from a place that is fixed at the start. One thread; calls block.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "broker/client_internal.h"

enum { ASK_MS = 5000, HEADERS_MAX = 64 };

/* A timestamp that no record has and that is no likely offset: asks whether the broker can search by time at all. */
#define PROBE_MS INT64_C(86399999)

struct span {
    char *topic;
    int32_t partition;
    int64_t low;
    int64_t high;  /* the end at the start */
    int64_t begin; /* first offset to read */
    bool is_over;  /* read up to the end it had at the start */
};

struct kafka_reader {
    rd_kafka_t *rk;
    struct client_state state;
    const struct kafka_reader_conf *conf; /* during kafka_reader_new() only */
    int64_t from_ms;                      /* older records are left out; 0: none */
    struct span *spans;                   /* spans[n_spans] */
    int n_spans;
    int n_over;
    rd_kafka_message_t *message; /* the one handed out */
    struct message_header headers[HEADERS_MAX];
};

static void add_spans(struct kafka_reader *r, const char *topic, int n)
{
    r->spans = mem_resize(r->spans, sizeof(*r->spans) * (size_t)(r->n_spans + n));
    for (int i = 0; i < n; i++)
        r->spans[r->n_spans++] = (struct span){.topic = mem_strdup(topic), .partition = i};
}

static int find_topics(struct kafka_reader *r, char *why, size_t size)
{
    for (int i = 0; i < r->conf->n_topics; i++) {
        int n = client_look_up(r->rk, &r->conf->client, &r->state, r->conf->topics[i], why, size);

        if (n < 0)
            return n;
        add_spans(r, r->conf->topics[i], n);
    }
    return 0;
}

/* First offset at or behind a time, -1: none, -2: no answer. */
static int64_t search(struct kafka_reader *r, const struct span *s, int64_t ms)
{
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t err;
    int64_t offset = -2;

    rd_kafka_topic_partition_list_add(one, s->topic, s->partition)->offset = ms;
    err = rd_kafka_offsets_for_times(r->rk, one, ASK_MS);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR && one->elems[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
        offset = one->elems[0].offset < 0 ? -1 : one->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(one);
    return offset;
}

/* Brokers that cannot search by time (the mock cluster of `tutti dev`) answer nonsense: then everything is read, and
 * what is too old left out. */
static int64_t begin_at_time(struct kafka_reader *r, const struct span *s)
{
    int64_t found, probe;

    if (s->low == s->high)
        return s->high;
    found = search(r, s, r->conf->from_ms);
    if (found >= s->low && found <= s->high)
        return found;
    if (found != -1)
        return s->low;
    probe = search(r, s, PROBE_MS);
    return probe >= s->low && probe <= s->high ? s->high : s->low;
}

static int64_t begin_of(struct kafka_reader *r, const struct span *s)
{
    int64_t back;

    switch (r->conf->from) {
    case KAFKA_FROM_START:
        return s->low;
    case KAFKA_FROM_TIME:
        return begin_at_time(r, s);
    case KAFKA_FROM_LAST:
        back = 2 * r->conf->from_last + 2; /* a commit marker may stand behind each record */
        return s->high - back > s->low ? s->high - back : s->low;
    default:
        return s->high;
    }
}

static int place(struct kafka_reader *r, char *why, size_t size)
{
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(r->n_spans);
    int result = 0;

    for (int i = 0; i < r->n_spans && result == 0; i++) {
        struct span *s = &r->spans[i];
        rd_kafka_resp_err_t err =
            rd_kafka_query_watermark_offsets(r->rk, s->topic, s->partition, &s->low, &s->high, ASK_MS);

        if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            (void)snprintf(why, size, "topic %s, partition %d: %s", s->topic, s->partition, rd_kafka_err2str(err));
            result = -EHOSTUNREACH;
            break;
        }
        s->begin = begin_of(r, s);
        s->is_over = s->begin >= s->high;
        r->n_over += s->is_over;
        rd_kafka_topic_partition_list_add(all, s->topic, s->partition)->offset = s->begin;
    }
    if (result == 0) {
        rd_kafka_poll_set_consumer(r->rk);
        rd_kafka_assign(r->rk, all);
    }
    rd_kafka_topic_partition_list_destroy(all);
    return result;
}

int kafka_reader_new(const struct kafka_reader_conf *conf, struct kafka_reader **out, char *why, size_t size)
{
    struct kafka_reader *r = mem_zero(sizeof(*r));
    int result = -EINVAL;

    r->conf = conf;
    r->from_ms = conf->from == KAFKA_FROM_TIME ? conf->from_ms : 0;
    r->rk = client_new(RD_KAFKA_CONSUMER, &conf->client, &r->state, why, size);
    if (r->rk != NULL)
        result = find_topics(r, why, size);
    if (result == 0)
        result = place(r, why, size);
    r->conf = NULL;
    if (result < 0) {
        kafka_reader_free(r);
        return result;
    }
    *out = r;
    return 0;
}

/* Everything below `next` of this partition was read. */
static void note(struct kafka_reader *r, const char *topic, int32_t partition, int64_t next)
{
    for (int i = 0; i < r->n_spans; i++) {
        struct span *s = &r->spans[i];

        if (s->partition != partition || strcmp(s->topic, topic) != 0)
            continue;
        if (!s->is_over && next >= s->high) {
            s->is_over = true;
            r->n_over++;
        }
        return;
    }
}

static void drop_message(struct kafka_reader *r)
{
    if (r->message != NULL)
        rd_kafka_message_destroy(TAKE(r->message));
}

static void fill(struct kafka_reader *r, struct kafka_read *out)
{
    const rd_kafka_message_t *m = r->message;
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *headers;

    *out = (struct kafka_read){.topic = rd_kafka_topic_name(m->rkt),
                               .partition = m->partition,
                               .message = {.offset = m->offset,
                                           .ts_ms = rd_kafka_message_timestamp(m, &type),
                                           .key = m->key,
                                           .key_len = m->key_len,
                                           .value = m->payload,
                                           .value_len = m->len,
                                           .headers = r->headers}};
    if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    for (int i = 0; i < HEADERS_MAX; i++) {
        struct message_header *h = &r->headers[i];
        const void *value;

        if (rd_kafka_header_get_all(headers, (size_t)i, &h->name, &value, &h->value_len) != RD_KAFKA_RESP_ERR_NO_ERROR)
            return;
        h->value = value;
        out->message.n_headers++;
    }
}

/* What the library says in place of a record. 0, or a negative errno. */
static int on_event(struct kafka_reader *r)
{
    const rd_kafka_message_t *m = r->message;

    switch (m->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: /* also in front of an open transaction */
        note(r, rd_kafka_topic_name(m->rkt), m->partition, INT64_MAX);
        return 0;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        (void)snprintf(r->state.why, sizeof(r->state.why), "%s", rd_kafka_message_errstr(m));
        return -EACCES;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        (void)snprintf(r->state.why, sizeof(r->state.why), "%s", rd_kafka_message_errstr(m));
        return -EIO;
    default:
        return 0; /* lost connections come back */
    }
}

int kafka_reader_next(struct kafka_reader *r, int timeout_ms, struct kafka_read *out, const char **out_why)
{
    int result;

    if (out_why != NULL)
        *out_why = r->state.why;
    drop_message(r);
    r->message = rd_kafka_consumer_poll(r->rk, timeout_ms);
    if (r->message == NULL)
        return r->state.is_refused ? -EACCES : 0;
    if (r->message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        result = on_event(r);
        drop_message(r);
        return result;
    }
    fill(r, out);
    note(r, out->topic, out->partition, out->message.offset + 1);
    return out->message.ts_ms >= 0 && out->message.ts_ms < r->from_ms ? 0 : 1;
}

bool kafka_reader_is_at_end(const struct kafka_reader *r)
{
    return r->n_over == r->n_spans;
}

void kafka_reader_free(struct kafka_reader *r)
{
    if (r == NULL)
        return;
    drop_message(r);
    if (r->rk != NULL) {
        rd_kafka_consumer_close(r->rk);
        rd_kafka_destroy(r->rk);
    }
    for (int i = 0; i < r->n_spans; i++)
        mem_free(r->spans[i].topic);
    mem_free(r->spans);
    mem_free(r);
}
