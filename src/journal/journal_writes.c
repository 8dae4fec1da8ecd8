/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis journal's writes: formed, retained until Redis acknowledged them, spooled while it cannot. Everything
 * written is safe to send twice. Runs on the loop's thread. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "journal/journal_redis_internal.h"
#include "journal/journal_value.h"
#include "journal/spool_set.h"

enum {
    WINDOW_BYTES = 8 * 1024 * 1024, /* sent and not acknowledged */
    VALUE_MAX = 32 * 1024 * 1024,   /* half of what the connection takes at once */
    ARGS_HEADS = 64,                /* lengths and the head of a value, in bytes */
    LOG_PERIOD_US = 60 * 1000 * 1000,
};

#define DECISION_FIELD "S"

/* ---- claims of ours ---- */

void writes_hold(struct journal_redis *j, const char *key, const char *digest, uint64_t number)
{
    size_t len = strlen(key);
    struct held *h;

    HASH_FIND(hh, j->held, key, len, h);
    if (h == NULL) {
        h = mem_zero(sizeof(*h) + len + 1);
        memcpy(h->key, key, len + 1);
        HASH_ADD_KEYPTR(hh, j->held, h->key, len, h);
    }
    h->number = number;
    (void)snprintf(h->digest, sizeof(h->digest), "%s", digest);
}

static struct held *find_held(struct journal_redis *j, const char *key, size_t len)
{
    struct held *h;

    HASH_FIND(hh, j->held, key, len, h);
    return h;
}

static void drop_held(struct journal_redis *j, struct held *h)
{
    if (h == NULL)
        return;
    HASH_DEL(j->held, h);
    mem_free(h);
}

/* ---- forming ---- */

void writes_unspooled(struct journal_redis *j)
{
    if (j->state >= SESSION_REPLAYING || retain_is_empty(&j->retain) ||
        !log_is_due(&j->unprotected_us, loop_now_us(j->loop), LOG_PERIOD_US))
        return;
    log_event(
        LOG_ERROR, "journal_unprotected",
        "group=\"%s\" bytes=%zu why=\"Redis does not take them and the spool cannot be written: these answers are in "
        "memory only, a crash loses them and they are paid for again\"",
        j->group, j->retain.bytes);
}

static void spool_one(struct journal_redis *j, struct write *w, struct buf *scratch)
{
    if (w->is_spooled || w->kind == WRITE_RELEASE)
        return;
    w->is_spooled = true;
    metric_add(METRIC_JOURNAL_SPOOLED, 1);
    if (j->spools == NULL) {
        writes_unspooled(j);
        return;
    }
    buf_clear(scratch);
    write_encode(w, scratch);
    w->spool = spool_set_own(j->spools);
    spool_append(w->spool, scratch->p, scratch->len);
}

static void spool_list(struct journal_redis *j, struct list *l, struct buf *scratch)
{
    LIST_EACH (it, l) {
        spool_one(j, LIST_ENTRY(it, struct write, link), scratch);
    }
}

void writes_spool_all(struct journal_redis *j)
{
    struct buf scratch;

    buf_init(&scratch, 0);
    spool_list(j, &j->retain.again, &scratch);
    spool_list(j, &j->retain.sent, &scratch);
    spool_list(j, &j->retain.unsent, &scratch);
    buf_done(&scratch);
}

static void add(struct journal_redis *j, struct write *w)
{
    w->owner = j;
    retain_add(&j->retain, w);
    session_update(j);
    loop_wake(j->loop, &j->pump);
    if (j->state < SESSION_REPLAYING) {
        struct buf scratch;

        buf_init(&scratch, 0);
        spool_one(j, w, &scratch);
        buf_done(&scratch);
    }
}

static void add_value(struct journal_redis *j, const struct position *pos, enum write_kind kind,
                      const struct buf *field, int attempt, struct text bytes)
{
    const struct held *h;
    struct write *w;
    struct buf b;
    size_t at;

    if (bytes.len > VALUE_MAX) {
        log_event(LOG_ERROR, "journal_too_big", "topic=\"%s\" part=%d off=%lld bytes=%zu", pos->topic, pos->partition,
                  (long long)pos->offset, bytes.len);
        return;
    }
    w = write_new(kind);
    buf_init(&b, 0);
    journal_redis_key(j, pos, &b);
    h = find_held(j, b.p, b.len);
    (void)buf_reserve(&w->args, b.len + sizeof(h->digest) + field->len + bytes.len + ARGS_HEADS); /* in one piece */
    write_add(w, b.p, b.len);
    write_add(w, h != NULL ? h->digest : "", h != NULL ? strlen(h->digest) : 0);
    write_add(w, field->p, field->len);
    at = write_open(w);
    journal_value_add(&w->args, attempt, bytes);
    write_close(w, at);
    buf_done(&b);
    add(j, w);
}

void writes_record(struct journal_redis *j, const struct position *pos, const struct recall *what)
{
    struct buf field;

    buf_init(&field, 0);
    journal_field_add(&field, what);
    add_value(j, pos, WRITE_RECORD, &field, what->attempt, what->bytes);
    buf_done(&field);
}

void writes_decide(struct journal_redis *j, const struct position *pos, struct text bytes)
{
    struct buf field;

    buf_init(&field, 0);
    buf_add_str(&field, DECISION_FIELD);
    add_value(j, pos, WRITE_DECIDE, &field, 0, bytes);
    buf_done(&field);
}

/* The forgets of a commit come together: one command for many keys. */
static struct write *open_forget(struct journal_redis *j)
{
    struct write *last;

    if (list_is_empty(&j->retain.unsent) || j->state < SESSION_REPLAYING) /* not what is in the spool already */
        return NULL;
    last = LIST_ENTRY(j->retain.unsent.prev, struct write, link);
    return last->kind == WRITE_FORGET && !last->is_spooled && last->n_args < WRITE_ARGS_MAX ? last : NULL;
}

void writes_forget(struct journal_redis *j, const struct position *pos)
{
    struct write *w = open_forget(j);
    struct buf key;

    buf_init(&key, 0);
    journal_redis_key(j, pos, &key);
    drop_held(j, find_held(j, key.p, key.len));
    if (w != NULL) {
        size_t before = w->args.len;

        write_add(w, key.p, key.len);
        retain_grew(&j->retain, w->args.len - before);
    } else {
        w = write_new(WRITE_FORGET);
        write_add(w, key.p, key.len);
        add(j, w);
    }
    buf_done(&key);
}

void writes_release_claim(struct journal_redis *j, const char *key, uint64_t number)
{
    struct write *w = write_new(WRITE_RELEASE);
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, number);
    write_add(w, key, strlen(key));
    write_add(w, text, strlen(text));
    add(j, w);
}

/* The digest is forgotten with the claim: answers that arrive later are taken by Redis if it knows the job. */
void writes_release(struct journal_redis *j, const struct position *pos)
{
    struct held *h;
    struct buf key;

    buf_init(&key, 0);
    journal_redis_key(j, pos, &key);
    h = find_held(j, key.p, key.len);
    if (h != NULL)
        writes_release_claim(j, key.p, h->number);
    drop_held(j, h);
    buf_done(&key);
}

void writes_restore(struct journal_redis *j, struct spool *from, const char *bytes, size_t len)
{
    struct write *w = write_decode(bytes, len);

    if (w == NULL) {
        log_event(LOG_WARN, "spool_record_unknown", "group=\"%s\" bytes=%zu", j->group, len);
        spool_settle(from);
        return;
    }
    w->owner = j;
    w->is_spooled = true;
    w->spool = from;
    retain_add(&j->retain, w);
    session_update(j);
    loop_wake(j->loop, &j->pump);
}

/* ---- sending ---- */

static void on_written(void *arg, const struct redis_reply *reply, int error)
{
    struct write *w = arg;
    struct journal_redis *j = w->owner;

    if (error != 0) {
        retain_failed(&j->retain, w); /* the session's next begin sends it again */
        return;
    }
    if (reply->type == REDIS_ERROR && session_refused(j, "write", reply->s)) {
        retain_failed(&j->retain, w);
        return;
    }
    if (w->spool != NULL)
        spool_settle(w->spool);
    retain_over(&j->retain, w);
    if (retain_is_empty(&j->retain))
        journal_redis_check_stop(j);
    session_update(j);
    if (!list_is_empty(&j->retain.unsent) || !list_is_empty(&j->waiting) || !list_is_empty(&j->identities.waiting))
        loop_wake(j->loop, &j->pump);
}

static int send_forget(struct journal_redis *j, struct write *w)
{
    const char *argv[WRITE_ARGS_MAX + 1] = {"UNLINK"};
    size_t len[WRITE_ARGS_MAX + 1] = {strlen("UNLINK")};
    int n = write_args(w, argv + 1, len + 1);

    return redis_send(j->redis, n + 1, argv, len, COMMAND_US, on_written, w);
}

static int send_one(struct journal_redis *j, struct write *w)
{
    const char *argv[6];
    size_t len[6];
    const char *number;
    size_t number_len;

    if (w->kind == WRITE_FORGET)
        return send_forget(j, w);
    (void)write_args(w, argv, len);
    if (w->kind == WRITE_RELEASE) {
        number = argv[1];
        number_len = len[1];
        argv[1] = j->incarnation;
        len[1] = strlen(j->incarnation);
        argv[2] = number;
        len[2] = number_len;
        return session_call(j, "tutti_j1_release", 1, 3, argv, len, on_written, w);
    }
    argv[4] = j->ttl_text;
    len[4] = strlen(j->ttl_text);
    return session_call(j, w->kind == WRITE_RECORD ? "tutti_j1_record" : "tutti_j1_decide", 1, 5, argv, len, on_written,
                        w);
}

bool writes_send(struct journal_redis *j)
{
    while (!list_is_empty(&j->retain.unsent)) {
        struct write *w = LIST_ENTRY(j->retain.unsent.next, struct write, link);

        if (j->retain.sent_bytes > WINDOW_BYTES || send_one(j, w) < 0)
            return false; /* goes on with the next acknowledgement, or with the next session */
        retain_sent(&j->retain, w);
    }
    return true;
}

void writes_init(struct journal_redis *j)
{
    retain_init(&j->retain);
}

void writes_done(struct journal_redis *j)
{
    struct held *h, *next;

    retain_done(&j->retain);
    HASH_ITER(hh, j->held, h, next)
    {
        drop_held(j, h);
    }
}
