/* SPDX-License-Identifier: Apache-2.0 */
/* At-least-once, the committing half. A batch is what was handed over when its positions were asked for; its offsets
 * are committed when each of its records is acknowledged, one batch at a time. Commits wait while a JoinGroup is under
 * way: one that the coordinator handles behind it costs the whole assignment (librdkafka #4059). Loop thread; the gate
 * alone is written by the library's threads. source: reference/kafka.md 4.4 */
#include "broker/kafka_alo.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum { JOIN_GROUP = 11, SYNC_GROUP = 14, GATE_SECONDS = 60, GATE_POLL_MS = 20 };

/* --- the gate (library threads) --- */

/* When a JoinGroup was sent and its SyncGroup not yet answered, else 0. */
/* NOLINTNEXTLINE(readability-function-size): the parameters are librdkafka's */
static rd_kafka_resp_err_t on_request(rd_kafka_t *rk, int fd, const char *name, int32_t id, int16_t api,
                                      int16_t version, int32_t corr, size_t size, void *arg)
{
    (void)rk, (void)fd, (void)name, (void)id, (void)version, (void)corr, (void)size;
    if (api == JOIN_GROUP)
        atomic_store((_Atomic int64_t *)arg, kafka_clock_us());
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are librdkafka's */
static rd_kafka_resp_err_t on_response(rd_kafka_t *rk, int fd, const char *name, int32_t id, int16_t api,
                                       int16_t version, int32_t corr, size_t size, int64_t rtt, rd_kafka_resp_err_t err,
                                       void *arg)
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

bool kafka_alo_is_gate_open(struct kafka *k)
{
    int64_t since = atomic_load(&k->joining_us);

    return since == 0 || kafka_clock_us() - since > GATE_SECONDS * KAFKA_SEC;
}

/* --- offsets --- */

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
            kafka_sent_free(s);
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
    kafka_alo_drop_redo(a);
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

/* What the engine says of the batch goes out now and must have arrived before the offsets are committed. */
static void send_about(struct kafka *k, struct sent_batch *b)
{
    struct list pubs;
    const struct record *about;

    list_init(&pubs);
    LIST_EACH (it, &b->sents)
        list_add_tail(&pubs, &LIST_ENTRY(it, struct sent, link)->pub->link);
    about = kafka_closing(k, &pubs, &b->arena);
    while (list_take_first(&pubs) != NULL)
        continue;
    if (about == NULL)
        return;
    b->about = mem_zero(sizeof(*b->about));
    list_init(&b->about->link);
    b->about->batch = b;
    kafka_alo_send(k->alo, b->about, about);
    b->n_unacked += b->about->n_unacked > 0;
    for (const struct record *r = about; r != NULL; r = r->next)
        b->n_records++;
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
    send_about(k, b);
}

void kafka_alo_batch_free(struct kafka_alo *a)
{
    struct sent_batch *b = TAKE(a->batch);

    if (b->about != NULL) {
        b->about->batch = NULL;
        if (b->about->n_unacked == 0)
            kafka_sent_free(b->about);
    }
    for (int i = 0; i < b->n_offsets; i++)
        mem_free(b->offsets[i].metadata);
    mem_free(b->offsets);
    arena_free(b->arena);
    mem_free(b);
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

            kafka_sent_free(s);
            k->ev->published(k->ev_arg, pub);
            continue;
        }
        s->part->n_gathered++;
        k->n_gathered++;
        s->pub->is_counted = true;
        list_add_tail(&again, it);
    }
    list_move_all(&again, &a->gather);
    list_move_all(&a->gather, &again);
    if (k->n_gathered > 0 && k->due_us == 0)
        k->due_us = loop_now_us(k->loop) + k->conf->commit_interval_us;
    metric_add(METRIC_BATCHES_COMMITTED, is_committed);
    metric_add(METRIC_RECORDS_PUBLISHED, is_committed ? b->n_records : 0);
    kafka_alo_batch_free(a);
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
        now >= k->not_before_us && kafka_alo_is_gate_open(k) && k->fail_code == 0)
        commit(k);
    if (a->batch == NULL && k->n_gathered == 0)
        timer_stop(k->loop, &k->close_timer);
    else if (a->batch == NULL)
        timer_start(k->loop, &k->close_timer, k->due_us);
    else if (!a->batch->is_committing && a->batch->n_unacked == 0) /* the gate has no callback */
        timer_start(k->loop, &k->close_timer, now + GATE_POLL_MS * INT64_C(1000));
}

bool kafka_alo_is_idle(const struct kafka *k)
{
    return k->alo->batch == NULL && k->n_gathered == 0;
}
