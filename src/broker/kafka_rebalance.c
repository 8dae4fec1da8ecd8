/* SPDX-License-Identifier: Apache-2.0 */
/* Assignments. Rebalance events are applied strictly in order. An ASSIGN is answered at once with an empty incremental
 * assign, so that the group and our other partitions go on, and each partition starts to fetch when its start offset is
 * known (lookup); the library takes incremental assigns at any time. A REVOKE is answered when the engine has released
 * its partitions and their last batch is committed, 20 s later at most; one that is lost, or whose membership ends
 * meanwhile, is answered at once. After every answer, and when a REVOKE begins, the group metadata is taken anew: its
 * generation is the one the broker will accept. Loop thread only. source: reference/kafka.md 4.11, 5.5 */
#include "broker/kafka_internal.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum { RELEASE_SECONDS = 20, COMMIT_SECONDS = 20, LOOK_MS = 500 };

void kafka_snapshot_renew(struct kafka *k)
{
    kafka_snapshot_unref(k->snapshot);
    k->snapshot = kafka_snapshot_take(k->consumer);
    k->not_before_us = 0; /* whatever was refused, was refused under the old one */
}

struct kafka_part *kafka_part_find(struct list *parts, const char *topic, int32_t partition)
{
    LIST_EACH (it, parts) {
        struct kafka_part *p = LIST_ENTRY(it, struct kafka_part, link);

        if (p->pub.partition == partition && strcmp(p->topic, topic) == 0)
            return p;
    }
    return NULL;
}

static void part_new(struct kafka *k, const char *topic, int32_t partition)
{
    struct kafka_part *p = mem_zero(sizeof(*p));

    p->k = k;
    p->topic = mem_strdup(topic);
    p->pub.topic = p->topic;
    p->pub.partition = partition;
    p->pub.epoch = ++k->epoch;
    p->state = PART_LOOKUP;
    p->fd = -1;
    list_add_tail(&k->parts, &p->link);
}

void kafka_part_free(struct kafka_part *p)
{
    mem_free(p->topic);
    mem_free(p);
}

/* Its queue goes back. The library cannot be destroyed while a message of it is held. */
static void stop_fetching(struct kafka_part *p)
{
    rd_kafka_message_t *m;

    watch_free(p->watch);
    p->watch = NULL;
    if (p->queue != NULL) {
        rd_kafka_queue_io_event_enable(p->queue, -1, NULL, 0); /* before its descriptor is closed and reused */
        while ((m = rd_kafka_consume_queue(p->queue, 0)) != NULL)
            rd_kafka_message_destroy(m);
        rd_kafka_queue_destroy(p->queue);
        p->queue = NULL;
    }
    if (p->fd >= 0)
        (void)close(p->fd);
    p->fd = -1;
}

void kafka_part_lose(struct kafka *k, struct kafka_part *p)
{
    list_del(&p->link);
    stop_fetching(p);
    p->state = PART_GONE;
    if (k->alo != NULL)
        kafka_alo_drop(k, p);
    else
        kafka_gather_drop(k, p);
    if (p->is_announced) {
        metric_add(METRIC_PARTITIONS, -1);
        log_event(LOG_INFO, "partition_lost", "topic=\"%s\" part=%d epoch=%llu", p->topic, p->pub.partition,
                  (unsigned long long)p->pub.epoch);
        k->ev->lost(k->ev_arg, &p->pub);
    }
    if (p->n_in_flight > 0)
        list_add_tail(&k->gone, &p->link);
    else
        kafka_part_free(p);
}

void kafka_gone_sweep(struct kafka *k)
{
    LIST_EACH_SAFE (it, &k->gone) {
        struct kafka_part *p = LIST_ENTRY(it, struct kafka_part, link);

        if (p->n_in_flight == 0) {
            list_del(it);
            kafka_part_free(p);
        }
    }
}

/* Frees the library's answer to an assignment call. */
static void note(const char *call, rd_kafka_error_t *error)
{
    if (error == NULL)
        return;
    log_event(LOG_WARN, "kafka_assignment_refused", "call=%s why=\"%s\"", call, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
}

static void apply_assign(struct kafka *k, const struct kafka_change *c)
{
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(0);

    for (int i = 0; i < c->list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &c->list->elems[i];

        if (kafka_part_find(&k->parts, e->topic, e->partition) == NULL)
            part_new(k, e->topic, e->partition);
    }
    note("incremental_assign", rd_kafka_incremental_assign(k->consumer, none));
    rd_kafka_topic_partition_list_destroy(none);
    kafka_snapshot_renew(k);
    metric_add(METRIC_REBALANCES, 1);
    log_event(LOG_INFO, "kafka_assigned", "partitions=%d generation=%d", c->list->cnt,
              k->snapshot != NULL ? k->snapshot->generation : -1);
    kafka_lookup_start(k);
}

void kafka_part_take_back(struct kafka *k, struct kafka_part *p)
{
    rd_kafka_topic_partition_list_t *list;

    if (p->queue == NULL)
        return;
    list = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(list, p->topic, p->pub.partition);
    note("incremental_unassign", rd_kafka_incremental_unassign(k->consumer, list));
    rd_kafka_topic_partition_list_destroy(list);
    stop_fetching(p);
}

/* Takes the partitions of a REVOKE away: from the library first, then from the engine. */
static void apply_revoke(struct kafka *k, const struct kafka_change *c)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(c->list->cnt);

    for (int i = 0; i < c->list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &c->list->elems[i];
        const struct kafka_part *p = kafka_part_find(&k->parts, e->topic, e->partition);

        if (p != NULL && p->queue != NULL) /* one without was never given to the library */
            (void)rd_kafka_topic_partition_list_add(list, e->topic, e->partition);
    }
    note("incremental_unassign", rd_kafka_incremental_unassign(k->consumer, list));
    rd_kafka_topic_partition_list_destroy(list);
    kafka_snapshot_renew(k);
    metric_add(METRIC_REBALANCES, 1);
    log_event(LOG_INFO, "kafka_revoked", "partitions=%d generation=%d", c->list->cnt,
              k->snapshot != NULL ? k->snapshot->generation : -1);
    for (int i = 0; i < c->list->cnt; i++) {
        struct kafka_part *p = kafka_part_find(&k->parts, c->list->elems[i].topic, c->list->elems[i].partition);

        if (p != NULL)
            kafka_part_lose(k, p);
    }
}

/* Tells the engine. False: nothing is to be waited for, because the partitions are gone already. */
static bool begin_revoke(struct kafka *k, struct kafka_change *c)
{
    bool is_lost = rd_kafka_assignment_lost(k->consumer) != 0;

    c->is_begun = true;
    c->deadline_us = loop_now_us(k->loop) + RELEASE_SECONDS * KAFKA_SEC;
    c->look_us = loop_now_us(k->loop) + LOOK_MS * INT64_C(1000);
    kafka_snapshot_renew(k); /* the broker is a generation ahead of the last answer */
    if (k->snapshot == NULL)
        is_lost = true; /* the flag can be missing (librdkafka PR 5604); without membership nothing can be committed */
    if (is_lost) {
        log_event(LOG_WARN, "kafka_assignment_lost", "partitions=%d", c->list->cnt);
        return false;
    }
    if (k->state == KAFKA_CLOSING)
        return false;
    for (int i = 0; i < c->list->cnt; i++) {
        struct kafka_part *p = kafka_part_find(&k->parts, c->list->elems[i].topic, c->list->elems[i].partition);

        if (p == NULL || p->state == PART_REVOKING)
            continue;
        p->is_released = !p->is_announced || k->state == KAFKA_FLUSHING;
        p->state = PART_REVOKING;
        if (p->is_announced)
            k->ev->revoking(k->ev_arg, &p->pub);
    }
    return true;
}

/* Whether the membership is gone since the revoke began, so that nothing can be committed any more. No event tells: a
 * loss during a rebalance is not flagged, and the library waits for our answer. */
static bool is_membership_gone(struct kafka *k, struct kafka_change *c)
{
    int64_t now = loop_now_us(k->loop);
    struct kafka_snapshot *s;
    bool is_gone;

    if (now < c->look_us)
        return false;
    c->look_us = now + LOOK_MS * INT64_C(1000);
    s = kafka_snapshot_take(k->consumer);
    is_gone = s == NULL || rd_kafka_assignment_lost(k->consumer) != 0;
    kafka_snapshot_unref(s);
    if (is_gone)
        log_event(LOG_WARN, "kafka_assignment_lost", "partitions=%d", c->list->cnt);
    return is_gone;
}

/* True when the engine has let go and every hand-over is committed, or nobody can wait any longer. */
static bool is_revoke_over(struct kafka *k, struct kafka_change *c)
{
    int64_t now = loop_now_us(k->loop);
    bool is_late = now >= c->deadline_us;
    bool is_over = true;

    if (now >= c->deadline_us + COMMIT_SECONDS * KAFKA_SEC || k->snapshot == NULL || is_membership_gone(k, c))
        return true;
    for (int i = 0; i < c->list->cnt; i++) {
        struct kafka_part *p = kafka_part_find(&k->parts, c->list->elems[i].topic, c->list->elems[i].partition);

        if (p == NULL)
            continue;
        if (!p->is_released && is_late) {
            log_event(LOG_WARN, "kafka_release_late", "topic=\"%s\" part=%d", p->topic, p->pub.partition);
            p->is_released = true;
        }
        is_over = is_over && p->is_released && p->n_gathered == 0 && p->n_in_flight == 0;
    }
    return is_over;
}

bool kafka_is_revoking(const struct kafka *k)
{
    const struct kafka_change *c = LIST_ENTRY(k->changes.next, struct kafka_change, link);

    if (list_is_empty(&k->changes) || c->is_assign || !c->is_begun)
        return false;
    LIST_EACH (it, &k->parts) {
        const struct kafka_part *p = LIST_ENTRY(it, struct kafka_part, link);

        if (p->is_released && p->n_gathered > 0)
            return true;
    }
    return false;
}

void kafka_change_add(struct kafka *k, rd_kafka_event_t *ev)
{
    const rd_kafka_topic_partition_list_t *from = rd_kafka_event_topic_partition_list(ev);
    struct kafka_change *c = mem_zero(sizeof(*c));

    c->is_assign = rd_kafka_event_error(ev) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    /* Not list_copy(): a copy holds references into the library, and its destroy then never returns. */
    c->list = rd_kafka_topic_partition_list_new(from != NULL ? from->cnt : 0);
    for (int i = 0; from != NULL && i < from->cnt; i++)
        (void)rd_kafka_topic_partition_list_add(c->list, from->elems[i].topic, from->elems[i].partition);
    k->has_joined = true;
    list_add_tail(&k->changes, &c->link);
}

void kafka_changes_run(struct kafka *k)
{
    while (!list_is_empty(&k->changes)) {
        struct kafka_change *c = LIST_ENTRY(k->changes.next, struct kafka_change, link);

        if (c->is_assign) {
            apply_assign(k, c);
        } else {
            bool is_waiting = c->is_begun || begin_revoke(k, c);

            if (is_waiting && !is_revoke_over(k, c))
                return;
            apply_revoke(k, c);
        }
        list_del(&c->link);
        rd_kafka_topic_partition_list_destroy(c->list);
        mem_free(c);
    }
}
