/* SPDX-License-Identifier: Apache-2.0 */
/* At-least-once (for `dev` and old clusters): an idempotent producer takes records in the turn they are handed over; only offsets
 * wait. A batch is what was handed over when its positions were asked for; its offsets are committed when each of its records is
 * acknowledged, one batch at a time. Commits also wait while a JoinGroup is under way: one that the coordinator handles behind it
 * costs the whole assignment (librdkafka #4059). Loop thread; the gate alone is written by the library's threads.
 * source: reference/kafka.md 4.4, 5.4 */
#include "broker/kafka_internal.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum { JOIN_GROUP = 11, SYNC_GROUP = 14, REDO_MS = 20, GATE_SECONDS = 60 };

/* A publication on its way. Outlives it while records are under way. */
struct sent {
    struct list link;         /* alo.gather, or alo.batch.sents, or nowhere when dropped */
    struct publication *pub;  /* NULL: dropped */
    struct kafka_part *part;
    struct sent_batch *batch; /* NULL: gathered */
    int n_unacked;
};

struct sent_record {
    struct list link;         /* alo.redo, or nowhere while the library has it */
    struct sent *sent;
    const struct record *record;
};

struct sent_batch {
    struct list sents;
    struct kafka_offset *offsets;
    int n_offsets;
    int n_unacked;            /* sents with records under way */
    int n_records;
    bool is_committing;
};

struct kafka_alo {
    struct kafka *k;
    rd_kafka_t *producer;
    rd_kafka_queue_t *queue; /* its delivery reports wake the loop */
    int fd;
    struct watch *watch;
    bool is_careful;         /* one record per produce batch */
    struct list gather;      /* struct sent */
    struct list redo;        /* struct sent_record to be produced again */
    struct timer redo_timer;
    struct sent_batch *batch;
    bool wants_careful;      /* a produce batch was too large */
    bool is_rebuilding;      /* reports of the purge are not judged */
};

/* --- the gate (library threads) ------------------------------------------------------------------------------------------------- */

/* When a JoinGroup was sent and its SyncGroup not yet answered, else 0. */
static rd_kafka_resp_err_t on_request(rd_kafka_t *rk, int fd, const char *name, int32_t id, int16_t api, int16_t version,
                                      int32_t corr, size_t size, void *arg)
{
    (void)rk, (void)fd, (void)name, (void)id, (void)version, (void)corr, (void)size;
    if (api == JOIN_GROUP)
        atomic_store((_Atomic int64_t *)arg, kafka_clock_us());
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_response(rd_kafka_t *rk, int fd, const char *name, int32_t id, int16_t api, int16_t version,
                                       int32_t corr, size_t size, int64_t rtt, rd_kafka_resp_err_t err, void *arg)
{
    (void)rk, (void)fd, (void)name, (void)id, (void)version, (void)corr, (void)size, (void)rtt;
    if (api == SYNC_GROUP || (api == JOIN_GROUP && err != RD_KAFKA_RESP_ERR_NO_ERROR))
        atomic_store((_Atomic int64_t *)arg, 0);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg, char *err, size_t size)
{
    (void)conf, (void)err, (void)size;
    (void)rd_kafka_interceptor_add_on_request_sent(rk, "tutti", on_request, arg);
    (void)rd_kafka_interceptor_add_on_response_received(rk, "tutti", on_response, arg);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void kafka_alo_watch(rd_kafka_conf_t *consumer_conf, struct kafka *k)
{
    (void)rd_kafka_conf_interceptor_add_on_new(consumer_conf, "tutti", on_new, &k->joining_us);
}

static bool is_gate_open(struct kafka *k)
{
    int64_t since = atomic_load(&k->joining_us);

    return since == 0 || kafka_clock_us() - since > GATE_SECONDS * KAFKA_SEC;
}

/* --- producing ------------------------------------------------------------------------------------------------------------------ */

static void sent_free(struct sent *s)
{
    CHECK(s->n_unacked == 0);
    mem_free(s);
}

static void on_acked(struct sent_record *r)
{
    struct sent *s = r->sent;

    mem_free(r);
    if (--s->n_unacked > 0)
        return;
    if (s->pub == NULL)
        sent_free(s);
    else if (s->batch != NULL)
        s->batch->n_unacked--;
}

static void redo_later(struct kafka_alo *a, struct sent_record *r)
{
    list_add_tail(&a->redo, &r->link);
    if (!timer_is_running(&a->redo_timer))
        timer_start(a->k->loop, &a->redo_timer, loop_now_us(a->k->loop) + REDO_MS * INT64_C(1000));
}

static void produce(struct kafka_alo *a, struct sent_record *r)
{
    struct kafka *k = a->k;
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__STATE;

    if (a->producer != NULL)
        err = kafka_produce(a->producer, k->conf->outputs[r->record->output], r->record, r);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        kafka_fail(k, EX_SOFTWARE, "a record of %zu bytes is above the limit of topic %s", r->record->value_len,
                   k->conf->outputs[r->record->output]);
    redo_later(a, r);
}

/* Loop thread: called inside rd_kafka_poll(). */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_alo *a = opaque;
    struct sent_record *r = m->_private;
    struct kafka *k = a->k;

    (void)rk;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR || r->sent->pub == NULL) {
        on_acked(r);
        return;
    }
    if (m->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && !a->is_rebuilding) {
        if (a->is_careful)
            kafka_fail(k, EX_SOFTWARE, "a record of %zu bytes is above the limit of topic %s", r->record->value_len,
                       k->conf->outputs[r->record->output]);
        a->wants_careful = true;
    } else if (m->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        kafka_fail(k, EX_NOPERM, "producing to %s: %s", k->conf->outputs[r->record->output], rd_kafka_err2str(m->err));
    }
    redo_later(a, r);
}

static void on_readable(void *arg, int fd, int what)
{
    struct kafka_alo *a = arg;
    uint64_t n;

    (void)what;
    (void)!read(fd, &n, sizeof(n)); /* only to clear it */
    (void)rd_kafka_poll(a->producer, 0);
    kafka_pump(a->k);
}

static int open_producer(struct kafka_alo *a, bool is_careful, char *out_why, size_t size)
{
    static const uint64_t ONE = 1;
    size_t low, high;
    rd_kafka_conf_t *conf;

    kafka_txn_limits(&a->k->txn, &low, &high);
    conf = kafka_conf_producer(a->k->conf, low, high, is_careful, out_why, size);
    if (conf == NULL)
        return -1;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, a);
    a->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, out_why, size);
    if (a->producer == NULL) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    a->is_careful = is_careful;
    a->queue = rd_kafka_queue_get_main(a->producer);
    a->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(a->fd >= 0);
    a->watch = watch_new(a->k->loop, a->fd, LOOP_READ, on_readable, a);
    rd_kafka_queue_io_event_enable(a->queue, a->fd, &ONE, sizeof(ONE));
    return 0;
}

struct burial {
    struct kafka_task task;
    rd_kafka_t *producer;
};

/* Committer thread. */
static void bury(struct kafka_task *t)
{
    rd_kafka_destroy(CONTAINER_OF(t, struct burial, task)->producer);
}

static void on_buried(struct kafka_task *t)
{
    mem_free(CONTAINER_OF(t, struct burial, task));
}

/* Every record under way comes back as a purge report, so that nothing of the old producer is left. */
static void close_producer(struct kafka_alo *a)
{
    struct burial *b;

    if (a->producer == NULL)
        return;
    a->is_rebuilding = true;
    (void)rd_kafka_purge(a->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    for (int i = 0; i < 100 && rd_kafka_outq_len(a->producer) > 0; i++)
        (void)rd_kafka_poll(a->producer, 1);
    a->is_rebuilding = false;
    watch_free(a->watch);
    a->watch = NULL;
    rd_kafka_queue_io_event_enable(a->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(a->queue);
    (void)close(a->fd);
    b = mem_zero(sizeof(*b)); /* destroying blocks */
    b->producer = TAKE(a->producer);
    b->task.fn = bury;
    b->task.done = on_buried;
    kafka_committer_submit(a->k->committer, &b->task);
}

static void redo_all(struct kafka_alo *a)
{
    struct list again;
    struct list *it;

    list_init(&again);
    list_move_all(&again, &a->redo);
    while ((it = list_take_first(&again)) != NULL) {
        struct sent_record *r = LIST_ENTRY(it, struct sent_record, link);

        if (r->sent->pub == NULL)
            on_acked(r);
        else
            produce(a, r);
    }
}

static void on_redo(void *arg)
{
    struct kafka_alo *a = arg;
    char why[KAFKA_WHY];
    bool is_fatal = rd_kafka_fatal_error(a->producer, why, sizeof(why)) != RD_KAFKA_RESP_ERR_NO_ERROR;

    if (is_fatal || a->wants_careful) {
        log_event(LOG_WARN, "kafka_producer_rebuilt", "why=\"%s\"", is_fatal ? why : "a produce batch is too large");
        close_producer(a);
        if (open_producer(a, a->wants_careful, why, sizeof(why)) < 0)
            kafka_fail(a->k, EX_SOFTWARE, "%s", why);
        a->wants_careful = false;
    }
    if (a->k->fail_code == 0)
        redo_all(a);
    kafka_pump(a->k);
}

void kafka_alo_publish(struct kafka *k, struct publication *pub)
{
    struct kafka_alo *a = k->alo;
    struct kafka_part *p = kafka_owner_of(k, pub);
    struct sent *s;

    if (p == NULL) {
        list_add_tail(&k->stale, &pub->link);
        kafka_pump(k);
        return;
    }
    s = mem_zero(sizeof(*s));
    s->pub = pub;
    s->part = p;
    list_add_tail(&a->gather, &s->link);
    p->n_gathered++;
    k->n_gathered++;
    if (k->due_us == 0)
        k->due_us = loop_now_us(k->loop) + k->conf->commit_interval_us;
    for (const struct record *r = pub->first; r != NULL; r = r->next) {
        struct sent_record *sr;

        if (k->conf->outputs[r->output] == NULL)
            continue;
        sr = mem_zero(sizeof(*sr));
        list_init(&sr->link);
        sr->sent = s;
        sr->record = r;
        s->n_unacked++;
        produce(a, sr);
    }
    kafka_pump(k);
}

/* --- offsets -------------------------------------------------------------------------------------------------------------------- */

static void drop_from(struct kafka *k, struct list *sents, struct kafka_part *p)
{
    LIST_EACH_SAFE (it, sents) {
        struct sent *s = LIST_ENTRY(it, struct sent, link);

        if (s->part != p)
            continue;
        list_del(it);
        list_add_tail(&k->stale, &s->pub->link);
        s->pub = NULL; /* the library has its own copies of the records */
        s->part = NULL;
        if (s->batch != NULL && s->n_unacked > 0)
            s->batch->n_unacked--;
        s->batch = NULL;
        if (s->n_unacked == 0)
            sent_free(s);
    }
}

static void drop_redo(struct kafka_alo *a)
{
    LIST_EACH_SAFE (it, &a->redo) {
        struct sent_record *r = LIST_ENTRY(it, struct sent_record, link);

        if (r->sent->pub != NULL)
            continue;
        list_del(it);
        on_acked(r);
    }
}

void kafka_alo_drop(struct kafka *k, struct kafka_part *p)
{
    struct kafka_alo *a = k->alo;

    drop_from(k, &a->gather, p);
    if (a->batch != NULL) {
        drop_from(k, &a->batch->sents, p);
        for (int i = 0; i < a->batch->n_offsets; i++) {
            if (a->batch->offsets[i].part == p)
                a->batch->offsets[i].part = NULL;
        }
    }
    drop_redo(a);
    k->n_gathered -= p->n_gathered;
    p->n_gathered = 0;
    p->n_in_flight = 0;
    kafka_pump(k);
}

static void touch(struct kafka *k, struct sent_batch *b, struct kafka_part *p)
{
    struct buf metadata;
    struct kafka_offset *o;

    if (p->mark == k->batch_number)
        return;
    p->mark = k->batch_number;
    b->offsets = mem_resize(b->offsets, (size_t)(b->n_offsets + 1) * sizeof(*b->offsets));
    o = &b->offsets[b->n_offsets++];
    *o = (struct kafka_offset){.part = p};
    buf_init(&metadata, KAFKA_FRAMING_BYTES);
    k->ev->position(k->ev_arg, &p->pub, &o->base, &metadata);
    CHECK(!metadata.is_over);
    o->metadata = buf_take(&metadata, &o->metadata_len);
}

static void close_batch(struct kafka *k)
{
    struct kafka_alo *a = k->alo;
    struct sent_batch *b = mem_zero(sizeof(*b));

    list_init(&b->sents);
    list_move_all(&b->sents, &a->gather);
    k->batch_number++;
    k->n_gathered = 0;
    k->due_us = 0;
    LIST_EACH (it, &b->sents) {
        struct sent *s = LIST_ENTRY(it, struct sent, link);

        s->batch = b;
        s->part->n_gathered--;
        s->part->n_in_flight++;
        b->n_unacked += s->n_unacked > 0;
        for (const struct record *r = s->pub->first; r != NULL; r = r->next)
            b->n_records++;
        touch(k, b, s->part);
    }
    a->batch = b;
}

static void batch_free(struct kafka_alo *a, struct sent_batch *b)
{
    for (int i = 0; i < b->n_offsets; i++)
        mem_free(b->offsets[i].metadata);
    mem_free(b->offsets);
    mem_free(b);
    a->batch = NULL;
}

/* The offsets are committed, or the batch goes back into the next one, with fresh positions. */
static void settle(struct kafka *k, bool is_committed)
{
    struct kafka_alo *a = k->alo;
    struct sent_batch *b = a->batch;
    struct list again;
    struct list *it;

    list_init(&again);
    while ((it = list_take_first(&b->sents)) != NULL) {
        struct sent *s = LIST_ENTRY(it, struct sent, link);

        s->part->n_in_flight--;
        s->batch = NULL;
        if (is_committed) {
            struct publication *pub = TAKE(s->pub);

            sent_free(s);
            k->ev->published(k->ev_arg, pub);
            continue;
        }
        s->part->n_gathered++;
        k->n_gathered++;
        list_add_tail(&again, it);
    }
    list_move_all(&again, &a->gather);
    list_move_all(&a->gather, &again);
    if (k->n_gathered > 0 && k->due_us == 0)
        k->due_us = loop_now_us(k->loop) + k->conf->commit_interval_us;
    metric_add(METRIC_BATCHES_COMMITTED, is_committed);
    metric_add(METRIC_RECORDS_PUBLISHED, is_committed ? b->n_records : 0);
    batch_free(a, b);
    kafka_pump(k);
}

void kafka_alo_on_commit(struct kafka *k, rd_kafka_event_t *ev)
{
    rd_kafka_resp_err_t err = rd_kafka_event_error(ev);
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(ev);

    if (k->alo == NULL || k->alo->batch == NULL || rd_kafka_event_opaque(ev) != k->alo->batch)
        return;
    for (int i = 0; list != NULL && i < list->cnt && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        err = list->elems[i].err;
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        log_event(LOG_WARN, "kafka_commit_failed", "why=\"%s\"", rd_kafka_err2str(err));
        kafka_batch_back_off(k);
    } else {
        k->n_failed = 0;
    }
    settle(k, err == RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void commit(struct kafka *k)
{
    struct sent_batch *b = k->alo->batch;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(b->n_offsets);
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;

    for (int i = 0; i < b->n_offsets; i++) {
        if (b->offsets[i].part != NULL)
            kafka_offset_add(list, &b->offsets[i]);
    }
    if (list->cnt > 0)
        err = rd_kafka_commit_queue(k->consumer, list, k->queue, NULL, b);
    b->is_committing = list->cnt > 0 && err == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(list);
    if (!b->is_committing) {
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
            kafka_batch_back_off(k);
        settle(k, false);
    }
}

void kafka_alo_pump(struct kafka *k)
{
    struct kafka_alo *a = k->alo;
    int64_t now = loop_now_us(k->loop);
    bool is_urgent = k->state == KAFKA_FLUSHING || kafka_is_revoking(k);

    if (a->batch == NULL && k->n_gathered > 0 && (now >= k->due_us || is_urgent))
        close_batch(k);
    /* An answer that is due (a rebalance event not applied yet) changes the generation: never commit across it. */
    if (a->batch != NULL && !a->batch->is_committing && a->batch->n_unacked == 0 && k->snapshot != NULL &&
        now >= k->not_before_us && is_gate_open(k) && k->fail_code == 0)
        commit(k);
    if (a->batch == NULL && k->n_gathered == 0)
        timer_stop(k->loop, &k->close_timer);
    else if (a->batch == NULL)
        timer_start(k->loop, &k->close_timer, k->due_us);
    else if (!a->batch->is_committing && a->batch->n_unacked == 0) /* the gate has no callback */
        timer_start(k->loop, &k->close_timer, now + REDO_MS * INT64_C(1000));
}

bool kafka_alo_is_idle(const struct kafka *k)
{
    return k->alo->batch == NULL && k->n_gathered == 0;
}

int kafka_alo_new(struct kafka *k)
{
    struct kafka_alo *a = mem_zero(sizeof(*a));

    a->k = k;
    list_init(&a->gather);
    list_init(&a->redo);
    timer_init(&a->redo_timer, on_redo, a);
    if (open_producer(a, false, k->init_why, sizeof(k->init_why)) < 0) {
        mem_free(a);
        return -1;
    }
    k->alo = a;
    return 0;
}

/* Its partitions are lost already, so that no publication is held any more. */
void kafka_alo_free(struct kafka *k)
{
    struct kafka_alo *a = k->alo;

    if (a == NULL)
        return;
    timer_stop(k->loop, &a->redo_timer);
    close_producer(a);
    drop_redo(a);
    if (a->batch != NULL)
        batch_free(a, a->batch);
    k->alo = NULL;
    mem_free(a);
}
