/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit: gathers finished publications and closes a batch every commit interval, or when it is large, or when a
 * partition or the process wants to leave; one batch is in flight. A batch takes everything gathered, because
 * position() covers everything finished. What an aborted batch held goes back in front of newer ones. Loop thread; the
 * batch in flight is the committer's. */
#include "broker/kafka_internal.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum { ABOUT_BYTES = 16384 }; /* room for the statistics of a few models without a second block */

/* Its pointer may dangle: it is only compared. */
struct kafka_part *kafka_owner_of(struct kafka *k, const struct publication *pub)
{
    LIST_EACH (it, &k->parts) {
        struct kafka_part *p = LIST_ENTRY(it, struct kafka_part, link);

        if (&p->pub == pub->part)
            return p->pub.epoch == pub->epoch ? p : NULL;
    }
    return NULL;
}

static bool is_large(const struct kafka *k)
{
    return k->n_gathered >= KAFKA_BATCH_PUBLICATIONS || k->gathered_bytes >= KAFKA_BATCH_BYTES;
}

/* Keeps the batch timer at the next moment something may happen. */
static void arm(struct kafka *k)
{
    int64_t at = k->due_us > k->not_before_us ? k->due_us : k->not_before_us;

    if (k->n_gathered == 0 || k->batch != NULL)
        timer_stop(k->loop, &k->close_timer);
    else
        timer_start(k->loop, &k->close_timer, at);
}

static void count_in(struct kafka *k, struct kafka_part *p, const struct publication *pub)
{
    p->n_gathered++;
    k->n_gathered++;
    k->gathered_bytes += pub->bytes;
    if (k->due_us == 0)
        k->due_us = loop_now_us(k->loop) + k->conf->commit_interval_us;
}

void kafka_gather(struct kafka *k, struct publication *pub)
{
    struct kafka_part *p = kafka_owner_of(k, pub);

    if (p == NULL) {
        list_add_tail(&k->stale, &pub->link);
        kafka_pump(k);
        return;
    }
    list_add_tail(&k->gather, &pub->link);
    count_in(k, p, pub);
    if (is_large(k) || p->is_released)
        kafka_pump(k);
    else if (k->n_gathered == 1)
        arm(k);
}

void kafka_gather_drop(struct kafka *k, struct kafka_part *p)
{
    LIST_EACH_SAFE (it, &k->gather) {
        struct publication *pub = LIST_ENTRY(it, struct publication, link);

        if (pub->part != &p->pub)
            continue;
        list_del(it);
        list_add_tail(&k->stale, it);
        k->n_gathered--;
        k->gathered_bytes -= pub->bytes;
    }
    p->n_gathered = 0;
    if (k->n_gathered == 0)
        k->due_us = 0;
    if (!list_is_empty(&k->stale))
        kafka_pump(k);
}

/* --- closing --- */

/* Asks for the partition's position, once per batch. */
static void touch(struct kafka *k, struct kafka_batch *b, struct kafka_part *p)
{
    struct kafka_offset *o;
    struct buf metadata;

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

struct record *kafka_closing(struct kafka *k, const struct list *pubs, struct arena **out_arena)
{
    if (k->ev->closing == NULL)
        return NULL;
    *out_arena = arena_new(ABOUT_BYTES);
    return k->ev->closing(k->ev_arg, pubs, k->batch_number, *out_arena);
}

static void on_committer(struct kafka_task *t)
{
    struct kafka_batch *b = CONTAINER_OF(t, struct kafka_batch, task);

    kafka_txn_run(&b->k->txn, b);
}

void kafka_offset_add(rd_kafka_topic_partition_list_t *list, const struct kafka_offset *o)
{
    rd_kafka_topic_partition_t *e = rd_kafka_topic_partition_list_add(list, o->part->topic, o->part->pub.partition);

    e->offset = o->base;
    if (o->metadata_len > 0) { /* freed with the list, by the library's free() */
        e->metadata = rd_kafka_mem_malloc(NULL, o->metadata_len);
        memcpy(e->metadata, o->metadata, o->metadata_len);
        e->metadata_size = o->metadata_len;
    }
}

rd_kafka_topic_partition_list_t *kafka_batch_list(const struct kafka_batch *b)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(b->n_offsets);

    for (int i = 0; i < b->n_offsets; i++)
        kafka_offset_add(list, &b->offsets[i]);
    return list;
}

static void batch_free(struct kafka_batch *b)
{
    for (int i = 0; i < b->n_offsets; i++)
        mem_free(b->offsets[i].metadata);
    mem_free(b->offsets);
    arena_free(b->arena);
    kafka_snapshot_unref(b->snapshot);
    mem_free(b);
}

/* --- its end --- */

/* Puts back what must be sent again, in the old order and before what came later. */
static void give_back(struct kafka *k, struct list *pubs)
{
    list_move_all(pubs, &k->gather);
    list_move_all(&k->gather, pubs);
}

static bool is_offset_committed(const struct kafka_batch *b, const struct kafka_part *p)
{
    if (b->result != RESULT_RECONCILED)
        return b->result == RESULT_COMMITTED;
    for (int i = 0; i < b->n_offsets; i++) {
        if (b->offsets[i].part == p)
            return b->offsets[i].is_committed;
    }
    return false;
}

/* Sorts the batch's publications: committed ones to published(), those of partitions given up to `stale`, the rest
 * back. After a reconciliation each partition speaks for itself: equal means committed, by us or by its next owner, who
 * wrote the same. */
static void settle(struct kafka *k, struct kafka_batch *b)
{
    struct list done, again;
    struct list *it;

    list_init(&done);
    list_init(&again);
    while ((it = list_take_first(&b->pubs)) != NULL) {
        struct publication *pub = LIST_ENTRY(it, struct publication, link);
        struct kafka_part *p = CONTAINER_OF(pub->part, struct kafka_part, pub);

        p->n_in_flight--;
        if (is_offset_committed(b, p)) {
            list_add_tail(&done, it);
        } else if (p->state == PART_GONE) {
            list_add_tail(&k->stale, it);
        } else {
            list_add_tail(&again, it);
            count_in(k, p, pub);
        }
    }
    give_back(k, &again);
    while ((it = list_take_first(&done)) != NULL)
        k->ev->published(k->ev_arg, LIST_ENTRY(it, struct publication, link));
}

void kafka_batch_back_off(struct kafka *k)
{
    int shift = k->n_failed < 5 ? k->n_failed : 5;

    k->n_failed++;
    metric_add(METRIC_BATCHES_ABORTED, 1);
    k->not_before_us = loop_now_us(k->loop) + (INT64_C(50000) << shift);
}

static void on_done(struct kafka_task *t)
{
    struct kafka_batch *b = CONTAINER_OF(t, struct kafka_batch, task);
    struct kafka *k = b->k;

    k->batch = NULL;
    k->due_us = k->n_gathered > 0 ? k->due_us : 0;
    if (b->result == RESULT_COMMITTED || b->result == RESULT_RECONCILED) {
        k->n_failed = 0;
        metric_add(METRIC_BATCHES_COMMITTED, 1);
        metric_add(METRIC_RECORDS_PUBLISHED, b->n_records);
    } else {
        /* A rebalance that overtook the batch is nothing unusual. */
        log_event(b->result == RESULT_STALE ? LOG_INFO : LOG_WARN, "kafka_batch_aborted",
                  "records=%d offsets=%d why=\"%s\"", b->n_records, b->n_offsets, b->why);
        kafka_batch_back_off(k);
    }
    /* A refused membership comes with a rebalance event, and only its answer brings metadata that is taken. */
    if (b->result == RESULT_STALE && b->snapshot == k->snapshot)
        k->not_before_us = loop_now_us(k->loop) + 2 * KAFKA_SEC;
    settle(k, b);
    if (b->result == RESULT_FAILED)
        kafka_fail(k, b->exit_code, "%s", b->why);
    batch_free(b);
    arm(k);
    kafka_pump(k);
}

static void close_batch(struct kafka *k)
{
    struct kafka_batch *b = mem_zero(sizeof(*b));

    b->k = k;
    b->closed_us = loop_now_us(k->loop);
    k->batch_number++;
    list_init(&b->pubs);
    list_move_all(&b->pubs, &k->gather);
    LIST_EACH (it, &b->pubs) {
        struct kafka_part *p = CONTAINER_OF(LIST_ENTRY(it, struct publication, link)->part, struct kafka_part, pub);

        p->n_gathered--;
        p->n_in_flight++;
        b->n_pubs++;
        touch(k, b, p);
    }
    k->n_gathered = 0;
    k->gathered_bytes = 0;
    k->due_us = 0;
    b->about = kafka_closing(k, &b->pubs, &b->arena);
    b->snapshot = k->snapshot;
    b->snapshot->refs++;
    b->task.fn = on_committer;
    b->task.done = on_done;
    k->batch = b;
    arm(k);
    kafka_committer_submit(k->committer, &b->task);
}

void kafka_batch_pump(struct kafka *k)
{
    int64_t now = loop_now_us(k->loop);
    bool is_urgent = k->state == KAFKA_FLUSHING || kafka_is_revoking(k);

    if (k->n_gathered == 0 || k->batch != NULL || k->snapshot == NULL || k->fail_code != 0)
        return;
    if (k->state != KAFKA_RUNNING && k->state != KAFKA_FLUSHING)
        return;
    if (now < k->not_before_us || (now < k->due_us && !is_large(k) && !is_urgent)) {
        arm(k);
        return;
    }
    close_batch(k);
}
