/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of the control topic: the library's simple consumer into one queue (no group, no coordinator, nothing is
 * committed), looked after from the loop; what blocks (metadata, making the topic, destroying the handle) runs on the
 * loop's work threads, one call at a time. Loop thread, but for run_*(). */
#include "impl/broker_control.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "broker/kafka_internal.h"

enum {
    TICK_MS = 500,
    AGAIN_SECONDS = 1, /* after a failed look */
    LOOK_SECONDS = 60, /* for new partitions, or for leave to read */
    LOG_SECONDS = 60,
    MAKE_SECONDS = 5,
    RECORDS_PER_TURN = 500,
    PARTITIONS_MAX = 1024,
};

/* A look at the topic, on a work thread. */
struct look {
    struct work work;
    bool is_under_way;
    bool is_first; /* asks for the ends, too */
    int n_partitions;
    int64_t ends[PARTITIONS_MAX]; /* offset behind the last record at the first look; 0: empty, -1: not known */
    rd_kafka_resp_err_t err;
    char why[KAFKA_WHY];
};

struct kafka_control {
    struct loop *loop;
    const struct kafka_conf *conf;
    const char *topic;
    const struct kafka_control_events *events;
    void *arg;
    rd_kafka_t *rk;
    rd_kafka_topic_t *rkt;
    rd_kafka_queue_t *queue; /* of all partitions */
    int fd;
    struct watch *watch;
    struct timer tick; /* every 500 ms */
    struct wake more;  /* a turn had its share */
    struct look look;
    int64_t look_us;              /* when the topic is looked at next */
    int n_partitions;             /* being read */
    bool is_read[PARTITIONS_MAX]; /* to its end, once */
    int n_first;                  /* partitions at the first look; 0: none yet */
    int n_unread;                 /* of those, not yet read to their end */
    bool is_caught_up;            /* caught_up() was called */
    bool is_stopping;
    int64_t logged_us;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

static void caught_up(struct kafka_control *c)
{
    if (c->is_caught_up)
        return;
    c->is_caught_up = true;
    c->events->caught_up(c->arg);
}

static void failed(struct kafka_control *c, rd_kafka_resp_err_t err, const char *why)
{
    metric_add(METRIC_CONTROL_ERRORS, 1);
    if (log_is_due(&c->logged_us, loop_now_us(c->loop), LOG_SECONDS * KAFKA_SEC))
        log_event(LOG_WARN, "control_unreadable", "topic=\"%s\" code=%s why=\"%s\" effect=\"commands are not heard\"",
                  c->topic, rd_kafka_err2name(err), why);
}

/* --- looking at the topic --- */

/* Work thread. Not needed, but an idle broker tells of an end half a second late, and the workers wait for it. */
static void find_ends(struct kafka_control *c)
{
    struct look *l = &c->look;

    for (int i = 0; i < l->n_partitions && i < PARTITIONS_MAX; i++) {
        int64_t low, high;
        rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(c->rk, c->topic, i, &low, &high, 1000);

        l->ends[i] = err != RD_KAFKA_RESP_ERR_NO_ERROR ? -1 : low < high ? high : 0;
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return; /* nor do the others answer in time */
    }
}

/* Work thread. */
static void run_look(struct work *w)
{
    struct kafka_control *c = CONTAINER_OF(w, struct kafka_control, look.work);
    struct look *l = &c->look;

    l->err = kafka_topic_look_up(c->rk, c->topic, &l->n_partitions);
    (void)snprintf(l->why, sizeof(l->why), "%s", rd_kafka_err2str(l->err));
    if (l->err == RD_KAFKA_RESP_ERR_NO_ERROR && l->is_first)
        find_ends(c);
    if (l->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        l->err = kafka_topic_create(c->rk, NULL, c->topic, NULL, MAKE_SECONDS, l->why, sizeof(l->why));
        if (l->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            log_event(LOG_INFO, "kafka_topic_created", "topic=\"%s\"", c->topic);
        if (l->err == RD_KAFKA_RESP_ERR_NO_ERROR || l->err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            l->err = RD_KAFKA_RESP_ERR__WAIT_CACHE; /* the brokers tell each other: look again */
    }
}

static void on_end(struct kafka_control *c, int32_t partition)
{
    if (partition < 0 || partition >= c->n_first || c->is_read[partition])
        return;
    c->is_read[partition] = true;
    if (--c->n_unread == 0)
        caught_up(c);
}

static void read_more(struct kafka_control *c, int n)
{
    n = n < PARTITIONS_MAX ? n : PARTITIONS_MAX;
    for (; c->n_partitions < n; c->n_partitions++) {
        if (rd_kafka_consume_start_queue(c->rkt, c->n_partitions, RD_KAFKA_OFFSET_BEGINNING, c->queue) == 0)
            continue;
        failed(c, rd_kafka_last_error(), "the library does not start a partition");
        break;
    }
    if (c->n_first > 0)
        return;
    c->n_first = c->n_unread = c->n_partitions;
    for (int i = 0; i < c->n_first; i++)
        if (c->look.ends[i] == 0)
            on_end(c, i);
}

static void destroy(struct kafka_control *c);

static void on_looked(struct work *w)
{
    struct kafka_control *c = CONTAINER_OF(w, struct kafka_control, look.work);
    int64_t wait_us = AGAIN_SECONDS * KAFKA_SEC;

    c->look.is_under_way = false;
    if (c->is_stopping) {
        destroy(c);
        return;
    }
    if (c->look.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        read_more(c, c->look.n_partitions);
        if (c->n_partitions > 0)
            wait_us = LOOK_SECONDS * KAFKA_SEC;
    } else if (c->look.err == RD_KAFKA_RESP_ERR__WAIT_CACHE) {
        wait_us = 0;
    } else {
        failed(c, c->look.err, c->look.why);
        if (kafka_is_refusal(c->look.err) || c->look.err == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE) {
            wait_us = LOOK_SECONDS * KAFKA_SEC;
            caught_up(c); /* nobody need wait for what will not come */
        }
    }
    c->look_us = loop_now_us(c->loop) + wait_us;
    if (wait_us < TICK_MS * INT64_C(1000))
        timer_start(c->loop, &c->tick, loop_now_us(c->loop) + TICK_MS * INT64_C(1000) / 5);
}

static void look(struct kafka_control *c)
{
    if (c->look.is_under_way)
        return;
    c->look.is_under_way = true;
    c->look.is_first = c->n_first == 0;
    if (c->look.is_first)
        memset(c->look.ends, 0xff, sizeof(c->look.ends));
    c->look.work = (struct work){.fn = run_look, .done = on_looked};
    list_init(&c->look.work.link);
    loop_work(c->loop, &c->look.work);
}

/* --- records --- */

static void on_message(struct kafka_control *c, const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    struct message out = {.offset = m->offset,
                          .ts_ms = rd_kafka_message_timestamp(m, &type),
                          .key = m->key,
                          .key_len = m->key_len,
                          .value = m->payload,
                          .value_len = m->len};

    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        c->events->record(c->arg, m->partition, &out);
        if (m->partition < c->n_first && c->look.ends[m->partition] >= 0 && m->offset + 1 >= c->look.ends[m->partition])
            on_end(c, m->partition);
    } else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        on_end(c, m->partition);
    } else {
        failed(c, m->err, rd_kafka_message_errstr(m));
        if (kafka_is_refusal(m->err))
            caught_up(c);
    }
}

static void drain(void *arg)
{
    struct kafka_control *c = arg;
    rd_kafka_message_t *m = NULL;

    (void)rd_kafka_poll(c->rk, 0);
    for (int i = 0; i < RECORDS_PER_TURN; i++) {
        if (!c->events->has_room(c->arg))
            return; /* the tick comes back */
        m = rd_kafka_consume_queue(c->queue, 0);
        if (m == NULL)
            return;
        on_message(c, m);
        rd_kafka_message_destroy(m);
    }
    loop_wake(c->loop, &c->more);
}

static void on_readable(void *arg, int fd, int what)
{
    uint64_t n;

    (void)what;
    (void)!read(fd, &n, sizeof(n)); /* only to clear it */
    drain(arg);
}

static void on_tick(void *arg)
{
    struct kafka_control *c = arg;

    timer_start(c->loop, &c->tick, loop_now_us(c->loop) + TICK_MS * INT64_C(1000));
    drain(c); /* a lost wake-up would be a lost command */
    if (loop_now_us(c->loop) >= c->look_us)
        look(c);
}

/* --- life --- */

static bool open_reader(struct kafka_control *c)
{
    static const uint64_t ONE = 1;
    char why[KAFKA_WHY];
    rd_kafka_conf_t *conf = kafka_conf_control(c->conf, why, sizeof(why));

    if (conf != NULL)
        c->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    if (c->rk == NULL) {
        if (conf != NULL)
            rd_kafka_conf_destroy(conf);
        log_event(LOG_ERROR, "control_refused", "why=\"%s\"", why);
        return false;
    }
    c->rkt = rd_kafka_topic_new(c->rk, c->topic, NULL);
    CHECK(c->rkt != NULL);
    c->queue = rd_kafka_queue_new(c->rk);
    c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(c->fd >= 0);
    c->watch = watch_new(c->loop, c->fd, LOOP_READ, on_readable, c);
    rd_kafka_queue_io_event_enable(c->queue, c->fd, &ONE, sizeof(ONE));
    return true;
}

struct kafka_control *kafka_control_new(struct loop *loop, const struct kafka_conf *conf, const char *topic,
                                        const struct kafka_control_events *events, void *arg)
{
    struct kafka_control *c = mem_zero(sizeof(*c));

    c->loop = loop;
    c->conf = conf;
    c->topic = topic;
    c->events = events;
    c->arg = arg;
    c->fd = -1;
    timer_init(&c->tick, on_tick, c);
    wake_init(&c->more, drain, c);
    if (!open_reader(c)) {
        mem_free(c);
        return NULL;
    }
    c->look_us = INT64_MAX; /* until this one is done */
    look(c);
    timer_start(loop, &c->tick, loop_now_us(loop) + TICK_MS * INT64_C(1000));
    return c;
}

/* Work thread. */
static void run_destroy(struct work *w)
{
    struct kafka_control *c = CONTAINER_OF(w, struct kafka_control, look.work);

    for (int i = 0; i < c->n_partitions; i++)
        (void)rd_kafka_consume_stop(c->rkt, i);
    rd_kafka_queue_destroy(c->queue);
    rd_kafka_topic_destroy(c->rkt);
    rd_kafka_destroy(c->rk);
}

static void on_destroyed(struct work *w)
{
    struct kafka_control *c = CONTAINER_OF(w, struct kafka_control, look.work);

    c->rk = NULL;
    (void)close(c->fd);
    c->stopped(c->stopped_arg);
}

static void destroy(struct kafka_control *c)
{
    c->look.work = (struct work){.fn = run_destroy, .done = on_destroyed};
    list_init(&c->look.work.link);
    loop_work(c->loop, &c->look.work);
}

void kafka_control_stop(struct kafka_control *c, void (*done)(void *arg), void *arg)
{
    CHECK(!c->is_stopping);
    c->is_stopping = true;
    c->stopped = done;
    c->stopped_arg = arg;
    timer_stop(c->loop, &c->tick);
    wake_cancel(&c->more);
    watch_free(c->watch);
    c->watch = NULL;
    rd_kafka_queue_io_event_enable(c->queue, -1, NULL, 0);
    if (!c->look.is_under_way)
        destroy(c);
}

void kafka_control_free(struct kafka_control *c)
{
    if (c == NULL)
        return;
    CHECK(c->rk == NULL); /* stopped */
    mem_free(c);
}
