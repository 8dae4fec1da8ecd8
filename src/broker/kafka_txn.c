/* SPDX-License-Identifier: Apache-2.0 */
/* Exactly-once commits: one transaction per batch, with its records, offsets and metadata. Every error takes one of
 * four ways: call again; abort and give the batch back; make a new producer with the same id (which ends the old
 * transaction); or, when a commit's outcome is unknown, read the group's offsets and compare. Committer thread only; it
 * never touches a partition. source: reference/kafka.md 4.6, 4.11, 5.4 */
#include "broker/kafka_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"

enum verdict { VERDICT_OK, VERDICT_AGAIN, VERDICT_ABORT, VERDICT_REBUILD, VERDICT_QUIT };

/* A transaction younger than YOUNG_SECONDS cannot have run into transaction.timeout.ms (10 s, kafka_conf.c). */
enum { CALL_MS = 5000, AGAIN_MS = 50, YOUNG_SECONDS = 9, FOREIGN_SECONDS = 60 };

/* What an attempt leaves behind. */
struct attempt {
    struct kafka_txn *x;
    struct kafka_batch *b;
    rd_kafka_resp_err_t err; /* of the error that decided */
    bool is_unknown;         /* the commit was asked for, and no answer says how it ended */
};

rd_kafka_resp_err_t kafka_produce(rd_kafka_t *producer, const char *topic, const struct record *r, void *opaque)
{
    rd_kafka_headers_t *h = r->n_headers > 0 ? rd_kafka_headers_new((size_t)r->n_headers) : NULL;
    rd_kafka_resp_err_t err;

    for (int i = 0; i < r->n_headers; i++) {
        const struct message_header *m = &r->headers[i];

        (void)rd_kafka_header_add(h, m->name, -1, m->value, m->value != NULL ? (ssize_t)m->value_len : 0);
    }
    /* Copied: after an abort or a lost partition the library may hold the bytes longer than the job's arena lives. */
    err = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(r->key, r->key_len),
                            RD_KAFKA_V_VALUE((void *)(uintptr_t)r->value, r->value_len), RD_KAFKA_V_HEADERS(h),
                            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR && h != NULL)
        rd_kafka_headers_destroy(h);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR && err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
        metrics_add_produce_errors(topic, 1);
    return err;
}

/* Only failures come here (delivery.report.only.error). Called by the library inside our own calls, on this thread. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_txn *x = opaque;

    (void)rk;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR || m->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        m->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        return;
    metrics_add_produce_errors(rd_kafka_topic_name(m->rkt), 1);
    /* One record above the limit fails its neighbours' too; the first of them speaks for the produce batch. */
    if (x->failed == NULL || (m->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && x->failed_err != m->err)) {
        x->failed = m->_private;
        x->failed_err = m->err;
    }
}

void kafka_txn_limits(const struct kafka_txn *x, size_t *out_min, size_t *out_max)
{
    *out_min = SIZE_MAX;
    *out_max = 0;
    for (int o = 0; o < OUT_MAX; o++) {
        size_t v = atomic_load(&((struct kafka_txn *)(uintptr_t)x)->limits[o]);

        if (x->conf->outputs[o] == NULL)
            continue;
        *out_min = v < *out_min ? v : *out_min;
        *out_max = v > *out_max ? v : *out_max;
    }
    if (*out_max == 0)
        *out_min = *out_max = KAFKA_DEFAULT_LIMIT;
}

static bool is_refusal(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED || err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR__AUTHENTICATION || err == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
}

static bool is_fenced(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR__FENCED || err == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH ||
           err == RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
}

/* The coordinator no longer takes our membership: a rebalance event is on its way. */
static bool is_stale(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION || err == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
           err == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;
}

static rd_kafka_t *producer_new(struct kafka_txn *x, bool is_careful, char *out_why, size_t size)
{
    size_t low, high;
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;

    kafka_txn_limits(x, &low, &high);
    conf = kafka_conf_producer(x->conf, low, high, is_careful, out_why, size);
    if (conf == NULL)
        return NULL;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, x);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, out_why, size);
    if (rk == NULL)
        rd_kafka_conf_destroy(conf);
    x->batch_bytes = low;
    x->is_careful = is_careful;
    return rk;
}

void kafka_txn_close(struct kafka_txn *x)
{
    if (x->producer == NULL)
        return;
    (void)rd_kafka_purge(x->producer,
                         RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_destroy(x->producer);
    x->producer = NULL;
}

int kafka_txn_open(struct kafka_txn *x, bool is_careful, int64_t wait_us, char *out_why, size_t size)
{
    int64_t deadline_us = kafka_clock_us() + wait_us;

    for (;;) {
        rd_kafka_error_t *error;
        rd_kafka_resp_err_t err;
        bool is_again;

        if (x->producer == NULL)
            x->producer = producer_new(x, is_careful, out_why, size);
        if (x->producer == NULL)
            return EX_CONFIG;
        error = rd_kafka_init_transactions(x->producer, CALL_MS);
        if (error == NULL)
            return 0;
        err = rd_kafka_error_code(error);
        is_again = rd_kafka_error_is_retriable(error);
        (void)snprintf(out_why, size, "init_transactions at %s: %s", x->conf->brokers, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        if (!is_again)
            kafka_txn_close(x);
        if (is_refusal(err))
            return EX_NOPERM;
        if (kafka_clock_us() >= deadline_us || kafka_committer_is_quitting(x->committer))
            return EX_UNAVAILABLE;
        kafka_committer_pause(x->committer, AGAIN_MS);
    }
}

/* Takes the error apart and frees it. */
static enum verdict judge(struct attempt *a, const char *call, rd_kafka_error_t *error)
{
    enum verdict v;

    if (error == NULL)
        return VERDICT_OK;
    a->err = rd_kafka_error_code(error);
    if (rd_kafka_error_is_fatal(error))
        v = VERDICT_REBUILD;
    else if (rd_kafka_error_txn_requires_abort(error))
        v = VERDICT_ABORT;
    else if (rd_kafka_error_is_retriable(error))
        v = VERDICT_AGAIN;
    else
        v = VERDICT_REBUILD; /* CONCURRENT_TRANSACTIONS came without any flag */
    if (v != VERDICT_AGAIN)
        (void)snprintf(a->b->why, sizeof(a->b->why), "%s: %s", call, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return v;
}

/* After an AGAIN: true when it should be called again. */
static bool may_repeat(struct attempt *a, enum verdict *v)
{
    if (*v != VERDICT_AGAIN)
        return false;
    if (kafka_committer_is_quitting(a->x->committer)) {
        *v = VERDICT_QUIT;
        return false;
    }
    kafka_committer_pause(a->x->committer, AGAIN_MS);
    return true;
}

static enum verdict produce_one(struct attempt *a, const struct record *r)
{
    struct kafka_txn *x = a->x;
    const char *topic = x->conf->outputs[r->output];

    if (topic == NULL)
        return VERDICT_OK;
    for (;;) {
        a->err = kafka_produce(x->producer, topic, r, (void *)(uintptr_t)r);
        switch (a->err) {
        case RD_KAFKA_RESP_ERR_NO_ERROR:
            a->b->n_records++;
            return VERDICT_OK;
        case RD_KAFKA_RESP_ERR__QUEUE_FULL:
            if (kafka_committer_is_quitting(x->committer))
                return VERDICT_QUIT;
            (void)rd_kafka_poll(x->producer, 100);
            continue;
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
            x->failed = r;
            x->failed_err = a->err;
            return VERDICT_ABORT;
        case RD_KAFKA_RESP_ERR__FATAL:
        case RD_KAFKA_RESP_ERR__FENCED:
            (void)snprintf(a->b->why, sizeof(a->b->why), "produce: %s", rd_kafka_err2str(a->err));
            return VERDICT_REBUILD;
        default:
            (void)snprintf(a->b->why, sizeof(a->b->why), "produce to %s: %s", topic, rd_kafka_err2str(a->err));
            return VERDICT_ABORT;
        }
    }
}

static enum verdict produce_chain(struct attempt *a, const struct record *first)
{
    for (const struct record *r = first; r != NULL; r = r->next) {
        enum verdict v = produce_one(a, r);

        if (v != VERDICT_OK)
            return v;
    }
    (void)rd_kafka_poll(a->x->producer, 0);
    return VERDICT_OK;
}

static enum verdict produce_all(struct attempt *a)
{
    a->b->n_records = 0;
    LIST_EACH (it, &a->b->pubs) {
        enum verdict v = produce_chain(a, LIST_ENTRY(it, struct publication, link)->first);

        if (v != VERDICT_OK)
            return v;
    }
    return produce_chain(a, a->b->about);
}

static enum verdict send_offsets(struct attempt *a)
{
    rd_kafka_topic_partition_list_t *list = kafka_batch_list(a->b);
    enum verdict v;

    do {
        v = judge(a, "send_offsets_to_transaction",
                  rd_kafka_send_offsets_to_transaction(a->x->producer, list, a->b->snapshot->group, CALL_MS));
    } while (may_repeat(a, &v));
    rd_kafka_topic_partition_list_destroy(list);
    return v;
}

static enum verdict commit(struct attempt *a)
{
    enum verdict v;

    if (a->x->conf->before_commit != NULL)
        a->x->conf->before_commit(a->x->conf->before_commit_arg);
    do {
        v = judge(a, "commit_transaction", rd_kafka_commit_transaction(a->x->producer, CALL_MS));
    } while (may_repeat(a, &v));
    a->is_unknown = v == VERDICT_REBUILD || v == VERDICT_QUIT;
    return v;
}

static enum verdict abort_all(struct attempt *a)
{
    rd_kafka_resp_err_t err = a->err; /* what led here matters, not how the abort goes */
    char why[KAFKA_WHY];
    enum verdict v;

    memcpy(why, a->b->why, sizeof(why));
    do {
        v = judge(a, "abort_transaction", rd_kafka_abort_transaction(a->x->producer, CALL_MS));
    } while (may_repeat(a, &v));
    if (v == VERDICT_OK) {
        a->err = err;
        memcpy(a->b->why, why, sizeof(why));
        return VERDICT_ABORT;
    }
    return v == VERDICT_QUIT ? v : VERDICT_REBUILD;
}

static enum verdict attempt(struct attempt *a)
{
    enum verdict v;

    a->x->failed = NULL;
    a->x->failed_err = RD_KAFKA_RESP_ERR_NO_ERROR;
    a->x->begun_us = kafka_clock_us();
    v = judge(a, "begin_transaction", rd_kafka_begin_transaction(a->x->producer));
    if (v == VERDICT_AGAIN)
        v = VERDICT_REBUILD; /* it does not block: this state is not ours */
    if (v == VERDICT_OK)
        v = produce_all(a);
    if (v == VERDICT_OK)
        v = send_offsets(a);
    if (v == VERDICT_OK)
        v = commit(a);
    if (v == VERDICT_ABORT)
        v = abort_all(a);
    return v;
}

/* Which of the batch's positions are the group's now. The new producer's init_transactions() has ended the old
 * transaction. */
static bool reconcile(struct attempt *a)
{
    rd_kafka_topic_partition_list_t *list = kafka_batch_list(a->b);
    rd_kafka_resp_err_t err;

    for (;;) {
        err = rd_kafka_committed(a->x->consumer, list, 1000);
        for (int i = 0; i < list->cnt && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
            err = list->elems[i].err;
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR || kafka_committer_is_quitting(a->x->committer))
            break;
        kafka_committer_pause(a->x->committer, AGAIN_MS);
    }
    for (int i = 0; i < list->cnt && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        const rd_kafka_topic_partition_t *e = &list->elems[i];
        struct kafka_offset *o = &a->b->offsets[i];

        o->is_committed = e->offset == o->base && e->metadata_size == o->metadata_len &&
                          (o->metadata_len == 0 || memcmp(e->metadata, o->metadata, o->metadata_len) == 0);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void fail(struct kafka_batch *b, int exit_code)
{
    b->result = RESULT_FAILED;
    b->exit_code = exit_code;
}

/* A new producer with the same id, for as long as it takes. False: the batch has its result. */
static bool rebuild(struct attempt *a, bool is_careful)
{
    struct kafka_txn *x = a->x;
    struct kafka_batch *b = a->b;
    int r;

    kafka_txn_close(x);
    do {
        char why[KAFKA_WHY];

        r = kafka_txn_open(x, is_careful, 30 * KAFKA_SEC, why, sizeof(why));
        if (r != 0 && r != EX_UNAVAILABLE) {
            memcpy(b->why, why, sizeof(why));
            fail(b, r);
            return false;
        }
    } while (r != 0 && !kafka_committer_is_quitting(x->committer));
    if (r != 0)
        b->result = RESULT_QUIT;
    return r == 0;
}

static void on_rebuild_needed(struct attempt *a)
{
    struct kafka_txn *x = a->x;
    int64_t now = kafka_clock_us();

    log_event(LOG_WARN, "kafka_producer_rebuilt", "why=\"%s\"", a->b->why);
    /* The coordinator fences a transaction that took too long as it does one whose id somebody else has taken: only a
     * young one says that somebody is there. */
    if (is_fenced(a->err) && now - x->begun_us < YOUNG_SECONDS * KAFKA_SEC) {
        if (x->fenced_us != 0 && now - x->fenced_us < FOREIGN_SECONDS * KAFKA_SEC) {
            (void)snprintf(a->b->why, sizeof(a->b->why), "another process uses slot %s of group %s",
                           x->conf->slot != NULL ? x->conf->slot : "0", x->conf->group);
            fail(a->b, EX_SOFTWARE);
            return;
        }
        x->fenced_us = now; /* once may be a process that is just being replaced */
    }
    if (!rebuild(a, false))
        return;
    a->b->result = !a->is_unknown ? RESULT_RETRY : reconcile(a) ? RESULT_RECONCILED : RESULT_QUIT;
}

/* The transaction was aborted. True: try again at once with one record per produce batch. */
static bool on_aborted(struct attempt *a)
{
    struct kafka_txn *x = a->x;
    struct kafka_batch *b = a->b;

    if (x->failed != NULL && x->failed_err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        if (x->is_careful) {
            (void)snprintf(b->why, sizeof(b->why), "a record of %zu bytes (key %.*s) is above the limit of topic %s",
                           x->failed->value_len, (int)(x->failed->key_len < 80 ? x->failed->key_len : 80),
                           x->failed->key != NULL ? x->failed->key : "", x->conf->outputs[x->failed->output]);
            fail(b, EX_SOFTWARE);
            return false;
        }
        log_event(LOG_WARN, "kafka_batch_too_large", "topic=\"%s\" records=%d", x->conf->outputs[x->failed->output],
                  b->n_records);
        kafka_topics_refresh(x);
        return rebuild(a, true);
    }
    if (is_refusal(a->err) || (x->failed != NULL && is_refusal(x->failed_err)))
        fail(b, EX_NOPERM);
    else if (a->err == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE)
        fail(b, EX_SOFTWARE);
    else
        b->result = is_stale(a->err) ? RESULT_STALE : RESULT_RETRY;
    return false;
}

void kafka_txn_run(struct kafka_txn *x, struct kafka_batch *b)
{
    struct attempt a = {.x = x, .b = b};
    size_t low, high;

    kafka_txn_limits(x, &low, &high);
    if ((x->producer == NULL || x->is_careful || low < x->batch_bytes) && !rebuild(&a, false))
        return;
    for (;;) {
        switch (attempt(&a)) {
        case VERDICT_OK:
            b->result = RESULT_COMMITTED;
            return;
        case VERDICT_ABORT:
            if (on_aborted(&a))
                continue;
            return;
        case VERDICT_QUIT:
            b->result = RESULT_QUIT;
            return;
        default:
            on_rebuild_needed(&a);
            return;
        }
    }
}
