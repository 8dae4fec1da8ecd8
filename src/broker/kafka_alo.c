/* SPDX-License-Identifier: Apache-2.0 */
/* At-least-once, the producing half (the mode is for `dev` and old clusters): an idempotent producer takes records in
 * the turn they are handed over and never gives one up; what fails is produced again, by a new producer if need be.
 * Loop thread. source: reference/kafka.md 5.4 */
#include "broker/kafka_alo.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum { REDO_MS = 20, PURGE_MS = 2 };

void kafka_sent_free(struct sent *s)
{
    CHECK(s->n_unacked == 0);
    mem_free(s);
}

void kafka_alo_acked(struct sent_record *r)
{
    struct sent *s = r->sent;

    mem_free(r);
    if (--s->n_unacked > 0)
        return;
    if (kafka_sent_is_dropped(s))
        kafka_sent_free(s);
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

    if (a->producer != NULL && !a->is_rebuilding)
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
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR || kafka_sent_is_dropped(r->sent)) {
        kafka_alo_acked(r);
        return;
    }
    if (!a->is_rebuilding)
        metrics_add_produce_errors(k->conf->outputs[r->record->output], 1);
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

/* The producer takes nothing more; every record under way comes back as a purge report, so that nothing is left of it
 * in the end. */
static void purge(struct kafka_alo *a)
{
    a->is_rebuilding = true;
    (void)rd_kafka_purge(a->producer,
                         RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

static void close_producer(struct kafka_alo *a)
{
    struct burial *b;

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

        if (kafka_sent_is_dropped(r->sent))
            kafka_alo_acked(r);
        else
            produce(a, r);
    }
}

static void on_redo(void *arg)
{
    struct kafka_alo *a = arg;
    char why[KAFKA_WHY];
    bool is_fatal;

    if (a->producer == NULL)
        return; /* failed() is on its way */
    is_fatal = rd_kafka_fatal_error(a->producer, why, sizeof(why)) != RD_KAFKA_RESP_ERR_NO_ERROR;
    if (!a->is_rebuilding && (is_fatal || a->wants_careful)) {
        log_event(LOG_WARN, "kafka_producer_rebuilt", "why=\"%s\"", is_fatal ? why : "a produce batch is too large");
        purge(a);
    }
    if (a->is_rebuilding) {
        (void)rd_kafka_poll(a->producer, 0);
        if (rd_kafka_outq_len(a->producer) > 0) {
            timer_start(a->k->loop, &a->redo_timer, loop_now_us(a->k->loop) + PURGE_MS * INT64_C(1000));
            return;
        }
        close_producer(a);
        if (open_producer(a, a->wants_careful, why, sizeof(why)) < 0)
            kafka_fail(a->k, EX_SOFTWARE, "%s", why);
        a->wants_careful = false;
    }
    if (a->k->fail_code == 0)
        redo_all(a);
    kafka_pump(a->k);
}

void kafka_alo_send(struct kafka_alo *a, struct sent *s, const struct record *first)
{
    for (const struct record *r = first; r != NULL; r = r->next) {
        struct sent_record *sr;

        if (a->k->conf->outputs[r->output] == NULL)
            continue;
        sr = mem_zero(sizeof(*sr));
        list_init(&sr->link);
        sr->sent = s;
        sr->record = r;
        s->n_unacked++;
        produce(a, sr);
    }
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
    kafka_alo_send(a, s, pub->first);
    kafka_pump(k);
}

void kafka_alo_drop_redo(struct kafka_alo *a)
{
    LIST_EACH_SAFE (it, &a->redo) {
        struct sent_record *r = LIST_ENTRY(it, struct sent_record, link);

        if (!kafka_sent_is_dropped(r->sent))
            continue;
        list_del(it);
        kafka_alo_acked(r);
    }
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
    if (a->batch != NULL)
        kafka_alo_batch_free(a);
    if (a->producer != NULL) {
        purge(a);
        for (int i = 0; i < 100 && rd_kafka_outq_len(a->producer) > 0; i++)
            (void)rd_kafka_poll(a->producer, 1); /* the loop has nothing else to do any more */
        close_producer(a);
    }
    timer_stop(k->loop, &a->redo_timer); /* the reports start it */
    kafka_alo_drop_redo(a);
    k->alo = NULL;
    mem_free(a);
}
