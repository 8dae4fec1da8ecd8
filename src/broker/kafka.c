/* SPDX-License-Identifier: Apache-2.0 */
/* The Kafka adapter's life: start (topics, limits and init_transactions on the committer, then subscribe), the pump
 * that moves rebalances, batches and stopping on, and the stop: commit what was handed over, leave the group, destroy
 * on the committer, each bounded in time. Loop thread only; nothing here blocks. */
#include "broker/kafka_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum {
    TICK_MS = 500,
    REFRESH_SECONDS = 3600,
    FLUSH_SECONDS = 10,
    CLOSE_SECONDS = 5,
    DESTROY_SECONDS = 5,
    SLOW_BATCH_SECONDS = 15
};

static struct kafka *kafka_of(struct broker *b)
{
    return CONTAINER_OF(b, struct kafka, base);
}

void kafka_pump(struct kafka *k)
{
    loop_wake(k->loop, &k->pump);
}

void kafka_fail(struct kafka *k, int exit_code, const char *fmt, ...)
{
    va_list ap;

    if (k->fail_code != 0)
        return; /* the first one explains the others */
    k->fail_code = exit_code;
    va_start(ap, fmt);
    (void)vsnprintf(k->fail_why, sizeof(k->fail_why), fmt, ap);
    va_end(ap);
    kafka_pump(k);
}

/* --- start --- */

/* Committer thread. */
static void run_init(struct kafka_task *t)
{
    struct kafka *k = CONTAINER_OF(t, struct kafka, init);

    k->init_code = kafka_topics_prepare(&k->txn, k->init_why, sizeof(k->init_why));
    if (k->init_code == 0 && k->conf->delivery == KAFKA_EXACTLY_ONCE)
        k->init_code = kafka_txn_open(&k->txn, false, 30 * KAFKA_SEC, k->init_why, sizeof(k->init_why));
}

static int subscribe(struct kafka *k)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(k->conf->n_topics);
    rd_kafka_resp_err_t err;

    for (int i = 0; i < k->conf->n_topics; i++)
        (void)rd_kafka_topic_partition_list_add(list, k->conf->topics[i], RD_KAFKA_PARTITION_UA);
    k->is_subscribed = true;
    err = rd_kafka_subscribe(k->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        kafka_fail(k, EX_SOFTWARE, "subscribe: %s", rd_kafka_err2str(err));
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : -EIO;
}

static void on_init_done(struct kafka_task *t)
{
    struct kafka *k = CONTAINER_OF(t, struct kafka, init);

    k->is_initialising = false;
    if (k->state != KAFKA_STARTING) { /* stopped meanwhile */
        kafka_pump(k);
        return;
    }
    if (k->init_code == 0 && k->conf->delivery == KAFKA_AT_LEAST_ONCE && kafka_alo_new(k) < 0)
        k->init_code = EX_CONFIG;
    if (k->init_code != 0) {
        kafka_fail(k, k->init_code, "%s", k->init_why);
        return;
    }
    k->state = KAFKA_RUNNING;
    k->refresh_us = loop_now_us(k->loop) + REFRESH_SECONDS * KAFKA_SEC;
    k->ev->ready(k->ev_arg);
    (void)subscribe(k);
}

static void on_readable(void *arg, int fd, int what)
{
    uint64_t n;

    (void)what;
    (void)!read(fd, &n, sizeof(n)); /* only to clear it */
    kafka_events_drain(arg);
}

static int open_consumer(struct kafka *k)
{
    static const uint64_t ONE = 1;
    char why[KAFKA_WHY];
    rd_kafka_conf_t *conf = kafka_conf_consumer(k->conf, why, sizeof(why));

    if (conf != NULL && k->conf->delivery == KAFKA_AT_LEAST_ONCE)
        kafka_alo_watch(conf, k);
    if (conf != NULL)
        k->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    if (k->consumer == NULL) {
        if (conf != NULL)
            rd_kafka_conf_destroy(conf);
        log_event(LOG_ERROR, "kafka_consumer_refused", "why=\"%s\"", why);
        return -EINVAL;
    }
    (void)rd_kafka_poll_set_consumer(k->consumer);
    k->queue = rd_kafka_queue_get_consumer(k->consumer);
    k->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(k->fd >= 0);
    k->watch = watch_new(k->loop, k->fd, LOOP_READ, on_readable, k);
    rd_kafka_queue_io_event_enable(k->queue, k->fd, &ONE, sizeof(ONE));
    return 0;
}

static int start(struct broker *b, const struct broker_events *ev, void *arg)
{
    struct kafka *k = kafka_of(b);
    int r;

    CHECK(k->state == KAFKA_IDLE);
    k->ev = ev;
    k->ev_arg = arg;
    r = open_consumer(k);
    if (r < 0)
        return r;
    k->committer = kafka_committer_new(k->loop);
    k->txn.consumer = k->consumer;
    k->txn.committer = k->committer;
    k->state = KAFKA_STARTING;
    k->is_initialising = true;
    k->init.fn = run_init;
    k->init.done = on_init_done;
    kafka_committer_submit(k->committer, &k->init);
    timer_start(k->loop, &k->tick, loop_now_us(k->loop) + TICK_MS * INT64_C(1000));
    return 0;
}

/* --- stop --- */

/* Committer thread. */
static void run_end(struct kafka_task *t)
{
    struct kafka *k = CONTAINER_OF(t, struct kafka, end);

    kafka_txn_close(&k->txn);
    /* A cooperative member that joined but got no assignment yet aborts in its assignor (librdkafka #4381, fixed
     * in 2.3.0): it has left the group, its memory is given up. */
    if (k->is_subscribed && !k->has_joined && rd_kafka_version() < 0x02030000)
        return;
    rd_kafka_destroy_flags(k->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE); /* it is closed */
}

static void stopped(struct kafka *k, bool is_clean)
{
    k->state = KAFKA_STOPPED;
    k->is_clean = is_clean;
    timer_stop(k->loop, &k->tick);
    if (k->stopped != NULL)
        k->stopped(k->stopped_arg);
}

static void on_end_done(struct kafka_task *t)
{
    struct kafka *k = CONTAINER_OF(t, struct kafka, end);

    k->consumer = NULL;
    if (k->state == KAFKA_DESTROYING)
        stopped(k, true);
}

static bool is_flushed(const struct kafka *k)
{
    bool is_idle = k->alo != NULL ? kafka_alo_is_idle(k) : k->n_gathered == 0 && k->batch == NULL;

    return (is_idle || k->fail_code != 0) && list_is_empty(&k->stale);
}

static void close_group(struct kafka *k)
{
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(k->consumer, k->queue);

    k->state = KAFKA_CLOSING;
    k->stop_deadline_us = loop_now_us(k->loop) + CLOSE_SECONDS * KAFKA_SEC;
    if (error != NULL)
        rd_kafka_error_destroy(error); /* then it does not close, and the deadline decides */
    kafka_events_drain(k);
}

static void destroy(struct kafka *k)
{
    LIST_EACH_SAFE (it, &k->parts) {
        kafka_part_lose(k, LIST_ENTRY(it, struct kafka_part, link));
    }
    kafka_alo_free(k);
    watch_free(k->watch);
    k->watch = NULL;
    rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(k->queue);
    k->queue = NULL;
    k->state = KAFKA_DESTROYING;
    k->stop_deadline_us = loop_now_us(k->loop) + DESTROY_SECONDS * KAFKA_SEC;
    kafka_committer_quit(k->committer);
    k->end.fn = run_end;
    k->end.done = on_end_done;
    kafka_committer_submit(k->committer, &k->end);
}

/* Moves a stop on as far as it can go now. */
static void stop_pump(struct kafka *k)
{
    bool is_late = loop_now_us(k->loop) >= k->stop_deadline_us;

    if (k->state == KAFKA_FLUSHING && is_late)
        kafka_committer_quit(k->committer); /* the batch in flight ends without an answer */
    /* The handle must outlive whoever is inside a call of it. */
    if (k->state == KAFKA_FLUSHING && (is_flushed(k) || is_late) && !k->is_initialising && k->lookup == NULL &&
        k->batch == NULL)
        close_group(k);
    else if (k->state == KAFKA_CLOSING && (rd_kafka_consumer_closed(k->consumer) || is_late))
        destroy(k);
    else if ((k->state == KAFKA_DESTROYING || k->state == KAFKA_FLUSHING) &&
             loop_now_us(k->loop) >= k->stop_deadline_us + DESTROY_SECONDS * KAFKA_SEC)
        stopped(k, false);
}

static void stop(struct broker *b, void (*done)(void *arg), void *arg)
{
    struct kafka *k = kafka_of(b);

    CHECK(k->state != KAFKA_FLUSHING && k->state != KAFKA_CLOSING && k->state != KAFKA_DESTROYING);
    if (k->state == KAFKA_IDLE || k->state == KAFKA_STOPPED) {
        loop_post(k->loop, done, arg);
        return;
    }
    if (k->state == KAFKA_STARTING)
        kafka_committer_quit(k->committer);
    k->stopped = done;
    k->stopped_arg = arg;
    k->state = KAFKA_FLUSHING;
    k->stop_deadline_us = loop_now_us(k->loop) + FLUSH_SECONDS * KAFKA_SEC;
    timer_stop(k->loop, &k->lookup_again);
    LIST_EACH (it, &k->parts) {
        LIST_ENTRY(it, struct kafka_part, link)->is_released = true; /* the engine has handed over all it will */
    }
    kafka_pump(k);
}

/* --- running --- */

static void drop_stale(struct kafka *k)
{
    struct list *it;

    while ((it = list_take_first(&k->stale)) != NULL)
        k->ev->dropped(k->ev_arg, LIST_ENTRY(it, struct publication, link));
}

static void on_pump(void *arg)
{
    struct kafka *k = arg;

    if (k->state == KAFKA_STOPPED || k->state == KAFKA_IDLE)
        return;
    if (k->state != KAFKA_DESTROYING) { /* the consumer is the committer's then */
        kafka_changes_run(k);
        if (k->alo != NULL)
            kafka_alo_pump(k);
        else
            kafka_batch_pump(k);
    }
    drop_stale(k);
    kafka_gone_sweep(k);
    kafka_lookup_start(k);
    if (k->fail_code != 0 && !k->is_failed && (k->state == KAFKA_STARTING || k->state == KAFKA_RUNNING)) {
        k->is_failed = true;
        k->ev->failed(k->ev_arg, k->fail_code, k->fail_why);
    }
    stop_pump(k);
}

static void on_close_timer(void *arg)
{
    kafka_pump(arg);
}

/* Committer thread. */
static void run_refresh(struct kafka_task *t)
{
    kafka_topics_refresh(&CONTAINER_OF(t, struct kafka, refresh)->txn);
}

static void on_refreshed(struct kafka_task *t)
{
    struct kafka *k = CONTAINER_OF(t, struct kafka, refresh);

    k->refresh_us = loop_now_us(k->loop) + REFRESH_SECONDS * KAFKA_SEC;
}

/* What the last fetch said about the partition's end; no network. */
static void note_end(struct kafka *k, struct kafka_part *p)
{
    int64_t low, high;

    if (rd_kafka_get_watermark_offsets(k->consumer, p->topic, p->pub.partition, &low, &high) ==
            RD_KAFKA_RESP_ERR_NO_ERROR &&
        high > p->pub.high)
        p->pub.high = high;
}

static void on_tick(void *arg)
{
    struct kafka *k = arg;

    timer_start(k->loop, &k->tick, loop_now_us(k->loop) + TICK_MS * INT64_C(1000));
    kafka_events_drain(k);
    if (k->batch != NULL && loop_now_us(k->loop) - k->batch->closed_us > SLOW_BATCH_SECONDS * KAFKA_SEC &&
        log_is_due(&k->log_slow_us, loop_now_us(k->loop), 10 * KAFKA_SEC))
        log_event(LOG_WARN, "kafka_batch_slow", "age_s=%lld",
                  (long long)((loop_now_us(k->loop) - k->batch->closed_us) / KAFKA_SEC));
    /* A wake-up that got lost would stall a partition for ever. */
    LIST_EACH_SAFE (it, &k->parts) {
        struct kafka_part *p = LIST_ENTRY(it, struct kafka_part, link);

        if (p->state == PART_ACTIVE && k->state == KAFKA_RUNNING) {
            note_end(k, p);
            k->ev->readable(k->ev_arg, &p->pub);
        }
    }
    if (k->state == KAFKA_RUNNING && loop_now_us(k->loop) >= k->refresh_us) {
        k->refresh_us = INT64_MAX; /* until it is done */
        k->refresh.fn = run_refresh;
        k->refresh.done = on_refreshed;
        kafka_committer_submit(k->committer, &k->refresh);
    }
}

static int poll(struct broker *b, struct broker_part *p)
{
    struct kafka *k = kafka_of(b);

    return k->state == KAFKA_RUNNING ? kafka_part_poll(k, CONTAINER_OF(p, struct kafka_part, pub)) : 0;
}

static void publish(struct broker *b, struct publication *pub)
{
    struct kafka *k = kafka_of(b);

    CHECK(k->state != KAFKA_IDLE);
    if (k->alo != NULL)
        kafka_alo_publish(k, pub);
    else
        kafka_gather(k, pub);
}

static void release(struct broker *b, struct broker_part *p)
{
    struct kafka *k = kafka_of(b);
    struct kafka_part *part = CONTAINER_OF(p, struct kafka_part, pub);

    CHECK(part->state == PART_REVOKING);
    part->is_released = true;
    kafka_pump(k);
}

static size_t limit(struct broker *b, enum output o)
{
    size_t topic = atomic_load(&kafka_of(b)->txn.limits[o]);

    /* A topic that small is a mistake; what is above its limit then fails with a message that names it. */
    return topic > 2 * KAFKA_FRAMING_BYTES ? topic - KAFKA_FRAMING_BYTES : topic / 2;
}

static void kafka_free(struct broker *b)
{
    struct kafka *k = b != NULL ? kafka_of(b) : NULL;
    bool is_clean;

    if (k == NULL)
        return;
    is_clean = k->state == KAFKA_IDLE || (k->state == KAFKA_STOPPED && k->is_clean);
    timer_stop(k->loop, &k->tick);
    timer_stop(k->loop, &k->close_timer);
    timer_stop(k->loop, &k->lookup_again);
    wake_cancel(&k->pump);
    watch_free(k->watch);
    if (!kafka_committer_free(k->committer, is_clean ? 5 * KAFKA_SEC : KAFKA_SEC) || !is_clean) {
        log_event(LOG_WARN, "kafka_left_behind", "state=%d", k->state);
        return; /* threads may still look at it; the process is about to end */
    }
    if (k->fd >= 0)
        (void)close(k->fd);
    kafka_gone_sweep(k);
    kafka_snapshot_unref(k->snapshot);
    LIST_EACH_SAFE (it, &k->changes) {
        struct kafka_change *c = LIST_ENTRY(it, struct kafka_change, link);

        rd_kafka_topic_partition_list_destroy(c->list);
        mem_free(c);
    }
    mem_free(k);
}

static const struct broker_ops OPS = {
    .name = "kafka",
    .start = start,
    .poll = poll,
    .publish = publish,
    .release = release,
    .limit = limit,
    .stop = stop,
    .free = kafka_free,
};

struct broker *broker_kafka_new(struct loop *loop, const struct kafka_conf *conf)
{
    struct kafka *k = mem_zero(sizeof(*k));

    k->base.ops = &OPS;
    k->loop = loop;
    k->conf = conf;
    k->txn.conf = conf;
    k->fd = -1;
    list_init(&k->parts);
    list_init(&k->gone);
    list_init(&k->changes);
    list_init(&k->gather);
    list_init(&k->stale);
    for (int o = 0; o < OUT_MAX; o++) {
        atomic_init(&k->txn.limits[o], KAFKA_DEFAULT_LIMIT);
        if (conf->outputs[o] != NULL)
            metrics_add_produce_errors(conf->outputs[o], 0); /* an alert wants to see the 0 before the 1 */
    }
    timer_init(&k->tick, on_tick, k);
    timer_init(&k->close_timer, on_close_timer, k);
    wake_init(&k->pump, on_pump, k);
    kafka_lookup_init(k);
    return &k->base;
}
