/* SPDX-License-Identifier: Apache-2.0 */
/* Where new partitions start: reads the committed offset, its metadata and the partition's range, off the loop
 * (loop_work, calls of at most a second), until they are answered; then gives the partition to the library with an
 * explicit offset and its own queue. The library is never left to choose: it can restart a partition at 0. An open
 * transaction of a dead owner holds the answer back for up to 20 s; after one time-out partitions are asked one by one,
 * so that only those concerned wait. A partition whose reading position retention has overtaken comes here again and
 * goes on behind the gap, its jobs untouched. Loop thread but for the work itself. source: reference/kafka.md 4.11 */
#include "broker/kafka_internal.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum { LOOKUP_MS = 1000, SINGLE_MS = 300, AGAIN_MS = 50, ABOVE_TIMES = 3 };

struct place {
    uint64_t epoch;
    int64_t low;
    int64_t high;
    bool has_range;
};

struct kafka_lookup {
    struct work work;
    struct kafka *k;
    rd_kafka_t *consumer;
    rd_kafka_topic_partition_list_t *list;
    struct place *places; /* places[list->cnt] */
    int timeout_ms;
    rd_kafka_resp_err_t err;
};

/* Work thread. */
static void run(struct work *w)
{
    struct kafka_lookup *l = CONTAINER_OF(w, struct kafka_lookup, work);
    int64_t deadline_us = kafka_clock_us() + l->timeout_ms * INT64_C(1000);

    l->err = rd_kafka_committed(l->consumer, l->list, l->timeout_ms);
    if (l->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    /* A partition that fails does not keep those behind it from starting; after a time-out they are asked singly. */
    for (int i = 0; i < l->list->cnt && l->err != RD_KAFKA_RESP_ERR__TIMED_OUT; i++) {
        const rd_kafka_topic_partition_t *e = &l->list->elems[i];
        int64_t left_ms = (deadline_us - kafka_clock_us()) / 1000;
        rd_kafka_resp_err_t err;

        if (e->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        err = rd_kafka_query_watermark_offsets(l->consumer, e->topic, e->partition, &l->places[i].low,
                                               &l->places[i].high, left_ms < 100 ? 100 : (int)left_ms);
        l->places[i].has_range = err == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
            l->err = err;
    }
}

/* Opens the partition's own queue before it is assigned: messages never pass through the consumer's. */
static void on_part_readable(void *arg, int fd, int what)
{
    struct kafka_part *p = arg;
    uint64_t n;

    (void)what;
    (void)!read(fd, &n, sizeof(n)); /* only to clear it */
    if (p->state == PART_ACTIVE)
        p->k->ev->readable(p->k->ev_arg, &p->pub);
}

static void open_queue(struct kafka *k, struct kafka_part *p)
{
    static const uint64_t ONE = 1;

    p->queue = rd_kafka_queue_get_partition(k->consumer, p->topic, p->pub.partition);
    CHECK(p->queue != NULL);
    rd_kafka_queue_forward(p->queue, NULL);
    p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(p->fd >= 0);
    p->watch = watch_new(k->loop, p->fd, LOOP_READ, on_part_readable, p);
    rd_kafka_queue_io_event_enable(p->queue, p->fd, &ONE, sizeof(ONE));
}

static void log_start(const struct kafka_part *p, const struct kafka_start_at *at, int64_t committed)
{
    static const char *const NAMES[] = {
        [START_FIRST] = "first", [START_RESUME] = "resume", [START_GAP] = "gap", [START_RECREATED] = "recreated"};
    bool is_odd = at->verdict == START_GAP || at->verdict == START_RECREATED;

    log_event(is_odd ? LOG_WARN : LOG_INFO, "partition_assigned",
              "topic=\"%s\" part=%d epoch=%llu off=%lld committed=%lld how=%s", p->topic, p->pub.partition,
              (unsigned long long)p->pub.epoch, (long long)at->fetch, (long long)committed, NAMES[at->verdict]);
}

/* True: the start is decided. A commit above the end is believed only when it stays so: a new leader may lag for a
 * moment. */
static bool decide(struct kafka *k, struct kafka_part *p, int64_t committed, const struct place *at,
                   struct kafka_start_at *out)
{
    *out = kafka_start_decide(committed, at->low, at->high, k->conf->start);
    if (out->verdict == START_RECREATED && ++p->n_above < ABOVE_TIMES)
        return false;
    if (out->verdict == START_GAP) {
        metric_add(METRIC_OFFSET_GAPS, 1);
        if (k->conf->on_gap == KAFKA_GAP_STOP) {
            kafka_fail(k, EX_DATAERR,
                       "%s [%d]: the committed offset %lld was deleted, the first is %lld (kafka.on_gap: stop)",
                       p->topic, p->pub.partition, (long long)committed, (long long)at->low);
            return false;
        }
    }
    return true;
}

/* The library gave up at our reading position, with jobs of the partition under way. True: it goes on at p->next, which
 * is moved over what retention deleted. */
static bool decide_again(struct kafka *k, struct kafka_part *p, const struct place *at)
{
    if (p->next >= at->low) {
        if (++p->n_above >= ABOVE_TIMES) /* a recreated topic: the next start sorts it out */
            kafka_fail(k, EX_TEMPFAIL, "%s [%d]: offset %lld cannot be read, there is [%lld, %lld)", p->topic,
                       p->pub.partition, (long long)p->next, (long long)at->low, (long long)at->high);
        return p->next <= at->high && k->fail_code == 0;
    }
    metric_add(METRIC_OFFSET_GAPS, 1);
    if (k->conf->on_gap == KAFKA_GAP_STOP) {
        kafka_fail(k, EX_DATAERR,
                   "%s [%d]: offset %lld was deleted before it was read, the first is %lld "
                   "(kafka.on_gap: stop)",
                   p->topic, p->pub.partition, (long long)p->next, (long long)at->low);
        return false;
    }
    log_event(LOG_WARN, "partition_overtaken", "topic=\"%s\" part=%d off=%lld first=%lld", p->topic, p->pub.partition,
              (long long)p->next, (long long)at->low);
    p->next = at->low;
    return true;
}

/* Gives one partition to the library, which fetches from p->next on. */
static bool fetch(struct kafka *k, struct kafka_part *p)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *error;

    open_queue(k, p);
    rd_kafka_topic_partition_list_add(list, p->topic, p->pub.partition)->offset = p->next;
    error = rd_kafka_incremental_assign(k->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (error != NULL) {
        kafka_fail(k, EX_SOFTWARE, "assigning %s [%d]: %s", p->topic, p->pub.partition, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        return false;
    }
    p->state = PART_ACTIVE;
    return true;
}

/* Gives one partition to the library and to the engine. */
static void start(struct kafka *k, struct kafka_part *p, const rd_kafka_topic_partition_t *e,
                  const struct kafka_start_at *at, int64_t high)
{
    char *metadata = NULL;

    log_start(p, at, e->offset);
    p->pub.start = at->base;
    p->pub.high = high;
    p->next = at->fetch;
    p->n_above = 0;
    if (!fetch(k, p))
        return;
    p->is_announced = true;
    metric_add(METRIC_PARTITIONS, 1);
    if (at->has_metadata && e->metadata_size > 0)
        metadata = mem_strndup(e->metadata, e->metadata_size);
    k->ev->assigned(k->ev_arg, &p->pub, metadata);
    mem_free(metadata);
}

static void lookup_free(struct kafka_lookup *l)
{
    rd_kafka_topic_partition_list_destroy(l->list);
    mem_free(l->places);
    mem_free(l);
}

static void note_error(struct kafka *k, rd_kafka_resp_err_t err)
{
    if (err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED || err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        kafka_fail(k, EX_NOPERM, "reading committed offsets: %s", rd_kafka_err2str(err));
    else if (log_is_due(&k->log_due_us, loop_now_us(k->loop), 5 * KAFKA_SEC))
        log_event(LOG_INFO, "kafka_partition_waits", "why=\"%s\"", rd_kafka_err2str(err));
}

/* False: the partition has to be asked again. */
static bool settle(struct kafka *k, struct kafka_part *p, const rd_kafka_topic_partition_t *e, const struct place *at)
{
    struct kafka_start_at start_at;

    if (e->err != RD_KAFKA_RESP_ERR_NO_ERROR || !at->has_range || k->fail_code != 0)
        return false;
    if (p->is_announced)
        return decide_again(k, p, at) && fetch(k, p);
    if (!decide(k, p, e->offset, at, &start_at))
        return false;
    start(k, p, e, &start_at, at->high);
    return true;
}

static void on_done(struct work *w)
{
    struct kafka_lookup *l = CONTAINER_OF(w, struct kafka_lookup, work);
    struct kafka *k = l->k;
    bool is_any_open = false;

    k->lookup = NULL;
    for (int i = 0; i < l->list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &l->list->elems[i];
        struct kafka_part *p = kafka_part_find(&k->parts, e->topic, e->partition);

        /* It may have been revoked meanwhile, and even be assigned again. */
        if (p == NULL || p->state != PART_LOOKUP || p->pub.epoch != l->places[i].epoch || k->state != KAFKA_RUNNING)
            continue;
        if (settle(k, p, e, &l->places[i]))
            continue;
        is_any_open = true;
        list_del(&p->link); /* the next one first */
        list_add_tail(&k->parts, &p->link);
    }
    k->is_lookup_single = is_any_open && (k->is_lookup_single || l->err == RD_KAFKA_RESP_ERR__TIMED_OUT);
    if (is_any_open) {
        if (l->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            note_error(k, l->err);
        timer_start(k->loop, &k->lookup_again, loop_now_us(k->loop) + AGAIN_MS * INT64_C(1000));
    } else {
        kafka_lookup_start(k);
    }
    lookup_free(l);
    kafka_pump(k);
}

/* Its last owner was this process, and the batch with its offsets is still under way. */
static bool is_held_by_batch(struct kafka *k, const struct kafka_part *p)
{
    return kafka_part_find(&k->gone, p->topic, p->pub.partition) != NULL;
}

static bool is_any_waiting(struct kafka *k)
{
    LIST_EACH (it, &k->parts) {
        if (LIST_ENTRY(it, struct kafka_part, link)->state == PART_LOOKUP)
            return true;
    }
    return false;
}

void kafka_lookup_start(struct kafka *k)
{
    struct kafka_lookup *l;

    if (!is_any_waiting(k) || k->lookup != NULL || k->state != KAFKA_RUNNING || k->fail_code != 0 ||
        timer_is_running(&k->lookup_again))
        return;
    l = mem_zero(sizeof(*l));
    l->list = rd_kafka_topic_partition_list_new(8);
    LIST_EACH (it, &k->parts) {
        struct kafka_part *p = LIST_ENTRY(it, struct kafka_part, link);

        if (p->state != PART_LOOKUP || is_held_by_batch(k, p) || (k->is_lookup_single && l->list->cnt > 0))
            continue;
        kafka_part_take_back(k, p);
        l->places = mem_resize(l->places, (size_t)(l->list->cnt + 1) * sizeof(*l->places));
        l->places[l->list->cnt] = (struct place){.epoch = p->pub.epoch};
        (void)rd_kafka_topic_partition_list_add(l->list, p->topic, p->pub.partition);
    }
    if (l->list->cnt == 0) {
        lookup_free(l);
        k->is_lookup_single = false;
        return;
    }
    l->k = k;
    l->consumer = k->consumer;
    l->timeout_ms = k->is_lookup_single ? SINGLE_MS : LOOKUP_MS;
    l->work.fn = run;
    l->work.done = on_done;
    k->lookup = l;
    loop_work(k->loop, &l->work);
}

static void on_again(void *arg)
{
    kafka_lookup_start(arg);
}

void kafka_lookup_init(struct kafka *k)
{
    timer_init(&k->lookup_again, on_again, k);
}
