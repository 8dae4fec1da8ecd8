/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis journal seen from the seam: construction, the operations, stopping. The work is done by journal_session.c,
 * journal_writes.c, journal_claims.c, journal_identity.c and spool.c. Runs on the loop's thread. */
#include "impl/journal_redis.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/rng.h"
#include "journal/journal_redis_internal.h"
#include "journal/spool_set.h"

enum {
    LIVENESS_MS = 15 * 1000,
    STOP_US = 2 * 1000 * 1000,
};

static const int64_t TTL_MS = 8LL * 24 * 3600 * 1000;

void journal_redis_key(const struct journal_redis *j, const struct position *pos, struct buf *out)
{
    buf_add_str(out, "tutti:j:{");
    buf_add_str(out, j->group);
    buf_add_char(out, '/');
    buf_add_str(out, pos->topic);
    buf_add_char(out, '/');
    buf_add_i64(out, pos->partition);
    buf_add_char(out, '/');
    buf_add_i64(out, pos->offset);
    buf_add_char(out, '}');
}

static char *format(const char *fmt, const char *a, const char *b)
{
    struct buf out;

    buf_init(&out, 0);
    for (const char *p = fmt; *p != '\0'; p++) {
        if (*p == '1')
            buf_add_str(&out, a);
        else if (*p == '2')
            buf_add_str(&out, b);
        else
            buf_add_char(&out, *p);
    }
    return buf_take(&out, NULL);
}

/* ---- spool ---- */

static void on_spool_record(void *arg, struct spool *from, const char *bytes, size_t len)
{
    writes_restore(arg, from, bytes, len);
}

static void on_spool_loaded(void *arg)
{
    session_allow(arg);
}

static void on_spool_idle(void *arg)
{
    journal_redis_check_stop(arg);
}

static void on_spool_failed(void *arg)
{
    writes_unspooled(arg);
}

static void start_spool(struct journal_redis *j, const char *dir)
{
    static const struct spool_events events = {on_spool_record, on_spool_loaded, on_spool_idle, on_spool_failed};

    if (dir == NULL)
        j->is_spool_loaded = true;
    else
        j->spools = spool_set_new(j->loop, dir, j->group, j->slot, &events, j);
}

/* ---- stopping ---- */

static void check_stop(void *arg)
{
    struct journal_redis *j = arg;
    void (*done)(void *arg) = j->stop_done;

    if (!j->is_stopping || done == NULL)
        return;
    if (!j->is_late) {
        if (!retain_is_empty(&j->retain))
            return;
        if (j->is_leaving && !j->is_leave_sent && j->state == SESSION_READY) {
            j->is_leave_sent = true;
            session_leave(j);
        }
        if (j->is_leave_sent && !j->is_leave_over)
            return;
    }
    writes_spool_all(j);
    if (j->spools != NULL && !spool_set_is_idle(j->spools))
        return; /* an fsync, no network */
    j->stop_done = NULL;
    timer_stop(j->loop, &j->stop_timer);
    done(j->stop_arg);
}

void journal_redis_check_stop(struct journal_redis *j)
{
    if (j->is_stopping)
        loop_wake(j->loop, &j->stop_wake);
}

static void on_stop_timer(void *arg)
{
    struct journal_redis *j = arg;

    j->is_late = true;
    check_stop(j);
}

/* ---- operations ---- */

static void op_claim(struct journal *j, struct claim *c)
{
    claims_add(journal_redis_of(j), c);
}

static void op_cancel(struct journal *j, struct claim *c)
{
    claims_cancel(journal_redis_of(j), c);
}

static void op_identify(struct journal *j, struct identify *i)
{
    identities_add(journal_redis_of(j), i);
}

static void op_unidentify(struct journal *j, struct identify *i)
{
    identities_cancel(journal_redis_of(j), i);
}

static void op_record(struct journal *j, const struct position *pos, const struct recall *what)
{
    writes_record(journal_redis_of(j), pos, what);
}

static void op_decide(struct journal *j, const struct position *pos, struct text bytes)
{
    writes_decide(journal_redis_of(j), pos, bytes);
}

static void op_forget(struct journal *j, const struct position *pos)
{
    writes_forget(journal_redis_of(j), pos);
}

static void op_release(struct journal *j, const struct position *pos)
{
    writes_release(journal_redis_of(j), pos);
}

static void op_announce(struct journal *j, const char *slot)
{
    (void)slot; /* the incarnation's */
    session_announce(journal_redis_of(j));
}

static void op_stop(struct journal *j, bool is_leaving, void (*done)(void *arg), void *arg)
{
    struct journal_redis *r = journal_redis_of(j);

    CHECK(!r->is_stopping);
    r->is_stopping = true;
    r->is_leaving = is_leaving;
    r->stop_done = done;
    r->stop_arg = arg;
    timer_start(r->loop, &r->stop_timer, loop_now_us(r->loop) + STOP_US);
    loop_wake(r->loop, &r->stop_wake);
}

static void op_free(struct journal *j)
{
    struct journal_redis *r = journal_redis_of(j);

    session_done(r);
    timer_stop(r->loop, &r->stop_timer);
    wake_cancel(&r->stop_wake);
    claims_done(r);
    identities_done(r);
    writes_done(r);
    spool_set_free(r->spools);
    mem_free(r->group);
    mem_free(r->slot);
    mem_free(r->incarnation);
    mem_free(r->liveness_key);
    mem_free(r->liveness_prefix);
    mem_free(r->slots_key);
    mem_free(r);
}

static const struct journal_ops ops = {
    .name = "redis",
    .claim = op_claim,
    .cancel = op_cancel,
    .identify = op_identify,
    .unidentify = op_unidentify,
    .record = op_record,
    .decide = op_decide,
    .forget = op_forget,
    .release = op_release,
    .announce = op_announce,
    .stop = op_stop,
    .free = op_free,
};

struct journal *journal_redis_new(struct loop *l, struct rng *rng, const struct journal_redis_conf *conf)
{
    struct journal_redis *j = mem_zero(sizeof(*j));
    int64_t liveness_ms = conf->liveness_ms > 0 ? conf->liveness_ms : LIVENESS_MS;
    char random[INCARNATION_HEX + 1];

    j->base.ops = &ops;
    j->loop = l;
    j->group = mem_strdup(conf->group);
    j->slot = mem_strdup(conf->slot);
    (void)snprintf(random, sizeof(random), "%016" PRIx64, rng_entropy());
    j->incarnation = format("1/2", j->slot, random);
    j->liveness_prefix = format("tutti:inc:1:", j->group, NULL);
    j->liveness_key = format("12", j->liveness_prefix, j->incarnation);
    j->slots_key = format("tutti:slots:1", j->group, NULL);
    j->liveness_us = liveness_ms * 1000;
    (void)snprintf(j->liveness_text, sizeof(j->liveness_text), "%" PRId64, liveness_ms);
    (void)snprintf(j->ttl_text, sizeof(j->ttl_text), "%" PRId64, conf->ttl_ms > 0 ? conf->ttl_ms : TTL_MS);
    timer_init(&j->stop_timer, on_stop_timer, j);
    wake_init(&j->stop_wake, check_stop, j);
    claims_init(j);
    identities_init(j);
    writes_init(j);
    start_spool(j, conf->spool_dir);
    session_init(j, rng, &conf->redis);
    return &j->base;
}

const char *journal_redis_incarnation(const struct journal *j)
{
    return CONTAINER_OF(j, const struct journal_redis, base)->incarnation;
}
