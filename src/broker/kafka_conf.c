/* SPDX-License-Identifier: Apache-2.0 */
/* Turns struct kafka_conf into librdkafka's configuration, and checks it. Properties the delivery guarantees rest on
 * are ours and refused. Library log lines go to log_event(), rare ones at most; values of secret properties never do.
 * Any thread. */
#include "broker/kafka_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/log.h"

static const struct {
    const char *name;
    const char *why;
} OURS[] = {
    {"bootstrap.servers", "use kafka.brokers"},
    {"metadata.broker.list", "use kafka.brokers"},
    {"group.id", "use kafka.group"},
    {"group.instance.id", "it follows kafka.slot"},
    {"transactional.id", "it follows group, slot and worker"},
    {"transaction.timeout.ms", "fixed at 10 s"},
    {"enable.idempotence", "always on"},
    {"enable.auto.commit", "offsets are committed with the records"},
    {"enable.auto.offset.store", "offsets are committed with the records"},
    {"auto.commit.interval.ms", "use kafka.commit_interval"},
    {"auto.offset.reset", "use kafka.start and kafka.on_gap"},
    {"isolation.level", "always read_committed"},
    {"partition.assignment.strategy", "always cooperative-sticky"},
    {"enable.partition.eof", "not supported"},
    {"queued.max.messages.kbytes", "use kafka.prefetch_bytes"},
    {"queued.min.messages", "use kafka.prefetch_bytes"},
    {"message.max.bytes", "read from the output topics"},
    {"batch.size", "read from the output topics"},
    {"batch.num.messages", "fixed"},
    {"message.timeout.ms", "fixed"},
    {"delivery.timeout.ms", "fixed"},
    {"message.send.max.retries", "fixed"},
    {"retries", "fixed"},
    {"acks", "always all"},
    {"request.required.acks", "always all"},
    {"max.in.flight", "fixed"},
    {"max.in.flight.requests.per.connection", "fixed"},
    {"log.queue", "not supported"},
    {"delivery.report.only.error", "fixed"},
    {"test.mock.num.brokers", "not supported"},
};

/* Whether an error text about this property may quote its value. */
static bool is_secret(const char *name)
{
    static const char *const PARTS[] = {"password", "secret", "token", "oauth", "jaas", "pem", "username", "config"};

    for (size_t i = 0; i < ARRAY_LEN(PARTS); i++) {
        if (strcasestr(name, PARTS[i]) != NULL)
            return true;
    }
    return false;
}

static const char *why_ours(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(OURS); i++) {
        if (strcmp(OURS[i].name, name) == 0)
            return OURS[i].why;
    }
    return NULL;
}

/* --- the library's log lines --- */

enum { LOG_SLOTS = 64 };

/* True at most once per 5 s for lines of this kind: lost brokers repeat theirs for ever. */
static bool line_is_due(const char *fac, bool is_producer)
{
    static _Atomic int64_t last[LOG_SLOTS];
    unsigned hash = is_producer;
    int64_t now = kafka_clock_us(), before;

    for (; *fac != '\0'; fac++)
        hash = hash * 31 + (unsigned char)*fac;
    before = atomic_load(&last[hash % LOG_SLOTS]);
    return (before == 0 || now - before >= 5 * KAFKA_SEC) &&
           atomic_compare_exchange_strong(&last[hash % LOG_SLOTS], &before, now);
}

static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *line)
{
    bool is_producer = rk != NULL && rd_kafka_type(rk) == RD_KAFKA_PRODUCER;
    /* syslog levels: 4 warning, 6 info. The library's errors (3) are transient unless an API call fails. */
    enum log_level to = level <= 4 ? LOG_WARN : level <= 6 ? LOG_INFO : LOG_DEBUG;

    /* Our properties go to both clients; that the other kind ignores some is no news. */
    if (strcmp(fac, "CONFWARN") == 0 || !log_is_on(to))
        return;
    if (to != LOG_DEBUG && !line_is_due(fac, is_producer))
        return;
    log_event(to, "kafka_log", "client=%s fac=%s line=\"%s\"", is_producer ? "producer" : "consumer", fac, line);
}

/* --- building --- */

struct builder {
    rd_kafka_conf_t *conf;
    char *why;
    size_t size;
    bool is_failed;
};

static void set(struct builder *b, const char *name, const char *value)
{
    char err[200];

    if (b->is_failed)
        return;
    if (rd_kafka_conf_set(b->conf, name, value, err, sizeof(err)) == RD_KAFKA_CONF_OK)
        return;
    b->is_failed = true;
    if (is_secret(name))
        (void)snprintf(b->why, b->size, "property %s: bad value", name);
    else
        (void)snprintf(b->why, b->size, "property %s: %s", name, err);
}

static void set_int(struct builder *b, const char *name, int64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRId64, value);
    set(b, name, text);
}

/* For properties that this version of the library may not have. */
static void set_if_known(struct builder *b, const char *name, const char *value)
{
    char err[200];

    if (!b->is_failed)
        (void)rd_kafka_conf_set(b->conf, name, value, err, sizeof(err));
}

static void set_common(struct builder *b, const struct kafka_conf *c)
{
    char id[96];

    (void)snprintf(id, sizeof(id), "tutti-%s-%d", c->slot != NULL ? c->slot : "0", c->worker);
    set(b, "client.id", id);
    set(b, "socket.nagle.disable", "true"); /* the default only from 2.10.0 on */
    set(b, "socket.keepalive.enable", "true");
    set(b, "log.connection.close", "false"); /* idle connections are closed by the broker, which is no news */
    for (int i = 0; i < c->n_properties; i++) {
        const char *why = why_ours(c->properties[i].name);

        if (why != NULL && !b->is_failed) {
            b->is_failed = true;
            (void)snprintf(b->why, b->size, "property %s cannot be set: %s", c->properties[i].name, why);
        }
        set(b, c->properties[i].name, c->properties[i].value);
    }
    set(b, "bootstrap.servers", c->brokers);
    rd_kafka_conf_set_log_cb(b->conf, on_log);
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static rd_kafka_conf_t *finish(struct builder *b)
{
    if (!b->is_failed)
        return b->conf;
    rd_kafka_conf_destroy(b->conf);
    return NULL;
}

rd_kafka_conf_t *kafka_conf_consumer(const struct kafka_conf *c, char *out_why, size_t size)
{
    struct builder b = {.conf = rd_kafka_conf_new(), .why = out_why, .size = size};

    set_if_known(&b, "fetch.queue.backoff.ms", "20"); /* from 2.2.0; before, a full queue sleeps 1 s */
    set_int(&b, "fetch.message.max.bytes", clamp(c->prefetch_bytes, 64 << 10, 64 << 20));
    set_int(&b, "session.timeout.ms", (c->session_timeout_us > 0 ? c->session_timeout_us : 20 * KAFKA_SEC) / 1000);
    set_common(&b, c); /* what stands above is a default that kafka.properties may change, what follows is not */
    set(&b, "group.id", c->group);
    set(&b, "enable.auto.commit", "false");
    set(&b, "enable.auto.offset.store", "false");
    set(&b, "auto.offset.reset", "error");
    set(&b, "isolation.level", "read_committed");
    set(&b, "partition.assignment.strategy", "cooperative-sticky");
    set(&b, "enable.partition.eof", "false");
    /* With a queue per partition both limits count per partition; small messages are counted with their overhead. */
    set_int(&b, "queued.max.messages.kbytes", clamp(c->prefetch_bytes / 1024, 1, 2097151));
    set_int(&b, "queued.min.messages", clamp(c->prefetch_bytes / 256, 64, 100000));
    rd_kafka_conf_set_events(b.conf, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_FETCH |
                                         RD_KAFKA_EVENT_OFFSET_COMMIT);
    return finish(&b);
}

rd_kafka_conf_t *kafka_conf_control(const struct kafka_conf *c, char *out_why, size_t size)
{
    struct builder b = {.conf = rd_kafka_conf_new(), .why = out_why, .size = size};

    set_common(&b, c);
    set(&b, "client.id", "tutti-control");
    set(&b, "enable.auto.commit", "false");
    set(&b, "auto.commit.enable", "false"); /* what the simple consumer calls the same */
    set(&b, "auto.offset.reset", "earliest");
    set(&b, "isolation.level", "read_committed");
    set(&b, "enable.partition.eof", "true");
    set(&b, "queued.max.messages.kbytes", "1024");
    return finish(&b);
}

rd_kafka_conf_t *kafka_conf_producer(const struct kafka_conf *c, size_t max_batch_bytes, size_t max_record_bytes,
                                     bool is_careful, char *out_why, size_t size)
{
    struct builder b = {.conf = rd_kafka_conf_new(), .why = out_why, .size = size};
    bool is_eos = c->delivery == KAFKA_EXACTLY_ONCE;
    char id[400];

    set(&b, "partitioner", "murmur2_random"); /* Java's, so that joins by key work; properties may say otherwise */
    /* A commit flushes, so nothing need go before it: what is sent earlier is in flight when the rest comes, and
     * librdkafka 2.0 polls without pause until it is answered (measured: 7 us of CPU per call). */
    if (is_eos)
        set(&b, "linger.ms", "1000");
    set_common(&b, c);
    set(&b, "enable.idempotence", "true");
    set(&b, "acks", "all");
    /* The broker holds a whole produce batch against the topic's limit, not each record. */
    set_int(&b, "batch.size", clamp((int64_t)max_batch_bytes - KAFKA_FRAMING_BYTES, 1024, 1000000));
    set_int(&b, "message.max.bytes", clamp((int64_t)max_record_bytes, 1000, 1000000000));
    set_int(&b, "batch.num.messages", is_careful ? 1 : 10000);
    set(&b, "delivery.report.only.error", is_eos ? "true" : "false");
    if (is_eos) {
        (void)snprintf(id, sizeof(id), "%s-%s-%d", c->group, c->slot != NULL ? c->slot : "0", c->worker);
        set(&b, "transactional.id", id);
        set(&b, "transaction.timeout.ms", "10000");
    } else {
        set(&b, "message.timeout.ms", "0"); /* never given up: the offset waits for it */
    }
    return finish(&b);
}

int kafka_conf_check(const struct kafka_conf *conf, char *out_why, size_t size)
{
    rd_kafka_conf_t *c;

    if (conf->brokers == NULL || conf->brokers[0] == '\0' || conf->group == NULL || conf->group[0] == '\0' ||
        conf->n_topics < 1) {
        (void)snprintf(out_why, size, "brokers, group and at least one jobs topic are needed");
        return -EINVAL;
    }
    c = kafka_conf_consumer(conf, out_why, size);
    if (c == NULL)
        return -EINVAL;
    rd_kafka_conf_destroy(c);
    c = kafka_conf_producer(conf, KAFKA_DEFAULT_LIMIT, KAFKA_DEFAULT_LIMIT, false, out_why, size);
    if (c == NULL)
        return -EINVAL;
    rd_kafka_conf_destroy(c);
    return 0;
}
