/* SPDX-License-Identifier: Apache-2.0 */
/* One pool's queue in this worker and the rhythm of its ticks. Unsaturated, a request goes at the end of its turn;
 * saturated, ticks leave every K grants' worth of time, so that one round trip serves K calls. Never sends and never
 * calls back: the core does. Loop thread only. source: reference/rate-limits.md 4.3 */
#include "limiter/pool_queue.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"

enum {
    CALLS_PER_TICK = 24, /* K: 1/24 = 0.042 round trips per call */
    DELTA_MIN_US = 5000,
    DELTA_MAX_US = 500000,
    IDLE_GAP_US = 2000,       /* between ticks of a pool that grants at once */
    SETTLE_DELAY_US = 250000, /* settles with nothing waiting */
    IDLE_REPORT_US = 1000000, /* the last call of a pool with nothing to give back: only for who looks at it */
    KEEP_ALIVE_US = 3000000,
    SLOT_POLL_US = 100000, /* while others hold all slots; our own settles wake us otherwise */
    SHARE_PERCENT = 105,
    AGE_MAX_US = 2000000,    /* of J: 3 % of a window's calls */
    AGE_KEEP_US = 600000000, /* J is lowered after so long without need */
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Calls per 1000 s that the pool's rates allow; 0: no rate. */
static int64_t pool_rate(const struct pool_queue *q)
{
    int64_t rate = INT64_MAX;

    if (q->limits.req_cap > 0)
        rate = q->limits.req_rate / (BUCKET_UNIT / 1000);
    if (q->limits.tok_cap > 0)
        rate = min64(rate, q->limits.tok_rate / (BUCKET_UNIT / 1000) / max64(q->mean_cost, 1));
    return rate == INT64_MAX ? 0 : max64(rate, 1);
}

/* delta: a gap between two ticks of the whole pool must never let a bucket fill up. Of the token bucket up to half may
 * be held, hence the smaller share. */
static int64_t tick_interval_us(const struct pool_queue *q)
{
    int64_t rate = pool_rate(q);
    int64_t most = DELTA_MAX_US;
    int64_t calls; /* K, or fewer when fewer wait */

    if (rate == 0)
        return DELTA_MIN_US;
    if (q->limits.req_cap > 0)
        most = min64(most, (int64_t)((__int128)q->limits.req_cap * 600000 / q->limits.req_rate));
    if (q->limits.tok_cap > 0)
        most = min64(most, (int64_t)((__int128)q->limits.tok_cap * 300000 / q->limits.tok_rate));
    most = max64(most, DELTA_MIN_US);
    calls = max64(min64(CALLS_PER_TICK, q->n_waiting), 1);
    return max64(DELTA_MIN_US, min64(most, calls * max64(q->n_busy, 1) * INT64_C(1000000000) / rate));
}

/* +-10 %, so that workers do not march in step. */
static int64_t jitter(struct rng *rng, int64_t us)
{
    return us + rng_between(rng, -us / 10, us / 10);
}

/* While others wait too each worker offers no more than its equal share: "as fast as I am served" would make the rich
 * richer, and of two that wake for the same token the first would always win. */
static bool is_sharing(const struct pool_queue *q)
{
    return q->is_scarce && q->n_busy > 1;
}

/* Micro-calls per second that are our share, and 5 % more so that together we never ask for less than there is. */
static int64_t share_rate(const struct pool_queue *q)
{
    return pool_rate(q) * (SHARE_PERCENT * 10) / max64(q->n_busy, 1);
}

static void update_allowance(struct pool_queue *q, int64_t now_us)
{
    int64_t rate = share_rate(q);
    int64_t passed_us = min64(now_us - q->allowance_us, 2 * DELTA_MAX_US + 2 * BUCKET_UNIT * 1000000 / max64(rate, 1));

    q->allowance += (int64_t)((__int128)rate * passed_us / 1000000);
    q->allowance = min64(q->allowance, max64(2 * BUCKET_UNIT, rate)); /* a second's worth */
    q->allowance_us = now_us;
}

/* How many costs the next tick offers. */
static int offer(const struct pool_queue *q)
{
    int64_t n = min64(q->n_waiting, TICK_MAX);

    return (int)(is_sharing(q) ? min64(n, q->allowance / BUCKET_UNIT) : n);
}

/* Takes the limits into use. Never while a tick is under way: the answer is read by the limits of the question. */
static void use_conf(struct pool_queue *q)
{
    pool_limits_of(&q->limits, &q->conf, q->grant_age_us);
    q->has_new_conf = false;
}

static void set_conf(struct pool_queue *q, const struct pool_conf *conf)
{
    struct pool_limits limits;

    q->conf = *conf;
    q->conf.id = q->id;
    pool_limits_of(&limits, conf, q->grant_age_us);
    q->largest = limits.tok_cap / BUCKET_UNIT;
}

void pool_queue_init(struct pool_queue *q, const struct pool_conf *conf, int64_t grant_age_us, int64_t now_us)
{
    q->id = mem_strdup(conf->id);
    q->grant_age_us = grant_age_us;
    set_conf(q, conf);
    use_conf(q);
    q->first_age_us = q->next_age_us = grant_age_us;
    q->stale_us = now_us;
    list_init(&q->retries);
    list_init(&q->waiting);
    list_init(&q->dirty);
    q->sent_us = now_us - KEEP_ALIVE_US;
}

void pool_queue_done(struct pool_queue *q)
{
    mem_free(q->id);
}

void pool_queue_add(struct pool_queue *q, struct permit *p, int64_t now_us)
{
    p->state = PERMIT_WAITING;
    p->throttle = q->pause_until_us > now_us ? THROTTLE_PAUSE : THROTTLE_NONE;
    list_add_tail(p->is_retry ? &q->retries : &q->waiting, &p->link);
    q->n_waiting++;
}

void pool_queue_remove(struct pool_queue *q, struct permit *p)
{
    list_del(&p->link);
    q->n_waiting--;
    p->state = PERMIT_IDLE;
    for (int i = 0; i < q->n_sent; i++) {
        if (q->sent[i] == p)
            q->sent[i] = NULL;
    }
}

static void note_settle(struct pool_queue *q, int64_t now_us)
{
    if (q->first_settle_us == 0)
        q->first_settle_us = now_us;
}

/* Nothing is under way and nothing has to be given back, but the pool's record of us, and what the views show, still
 * counts the last calls. */
static void note_idle(struct pool_queue *q, int64_t now_us)
{
    if (q->in_flight == 0 && q->first_settle_us == 0)
        q->idle_us = now_us;
}

bool pool_conf_is_same(const struct pool_conf *a, const struct pool_conf *b)
{
    return a->requests_per_minute == b->requests_per_minute && a->tokens_per_minute == b->tokens_per_minute &&
           a->concurrency == b->concurrency && a->largest_call == b->largest_call &&
           a->slot_return_us == b->slot_return_us;
}

void pool_queue_configure(struct pool_queue *q, const struct pool_conf *conf, int64_t now_us, struct list *refused)
{
    struct list *const lists[] = {&q->retries, &q->waiting};

    set_conf(q, conf);
    q->has_new_conf = true;
    if (!q->is_asking && !q->must_resend)
        use_conf(q);
    q->want_at_us = 0; /* what was foretold was foretold for the old limits */
    if (q->in_flight > 0)
        note_settle(q, now_us); /* a pool that had no slots to count may have some now: say what is under way */
    for (size_t i = 0; i < ARRAY_LEN(lists) && q->largest > 0; i++) {
        LIST_EACH_SAFE (it, lists[i]) {
            struct permit *p = LIST_ENTRY(it, struct permit, link);

            if (p->tokens <= q->largest)
                continue;
            pool_queue_remove(q, p);
            list_add_tail(refused, &p->link);
        }
    }
}

/* A grant grew too old before its request could be written, most likely in the handshake: with the same J that would
 * happen for ever. Those of later ticks may be old enough. No J allows what took longer than AGE_MAX_US, as a provider
 * that does not answer at all does. */
static void note_stale(struct pool_queue *q, const struct permit *p, int64_t now_us)
{
    int64_t age_us = now_us - p->tick_us;

    if (p->send_before_us == 0 || now_us <= p->send_before_us || age_us > AGE_MAX_US)
        return;
    q->stale_us = now_us;
    while (q->next_age_us < age_us)
        q->next_age_us = min64(2 * q->next_age_us, AGE_MAX_US);
}

/* Takes limits and J for a new tick. One under way keeps its own, also when it is sent again: the pool may know it
 * already. */
static void choose_age(struct pool_queue *q, int64_t now_us)
{
    if (now_us - q->stale_us >= AGE_KEEP_US && q->next_age_us > q->first_age_us) {
        q->next_age_us = max64(q->next_age_us / 2, q->first_age_us);
        q->stale_us = now_us;
    }
    if (q->has_new_conf)
        use_conf(q);
    if (q->next_age_us == q->grant_age_us)
        return;
    q->grant_age_us = q->next_age_us;
    use_conf(q);
    log_event(LOG_INFO, "limiter_grant_age", "pool=%s age_ms=%" PRId64, q->id, q->grant_age_us / 1000);
}

void pool_queue_settle(struct pool_queue *q, struct permit *p, int64_t used_tokens, bool was_sent, int64_t now_us)
{
    bool is_held = p->seq != 0 && p->seq == q->hgen;

    p->state = PERMIT_IDLE;
    q->in_flight--;
    if (!was_sent)
        note_stale(q, p, now_us);
    if (q->limits.concurrency > 0) {
        q->n_freed++;
        note_settle(q, now_us);
    }
    if (!was_sent)
        used_tokens = 0;
    if (is_held) { /* also when the pool counts no tokens any more: it may again */
        q->own_held--;
        q->released += p->tokens;
        if (used_tokens >= 0)
            q->refund += max64(p->tokens - used_tokens, 0);
        note_settle(q, now_us);
    }
    if (q->limits.tok_cap > 0 && used_tokens > p->tokens) {
        q->excess += used_tokens - p->tokens;
        note_settle(q, now_us);
    }
    note_idle(q, now_us);
}

void pool_queue_pause(struct pool_queue *q, int64_t wait_us, int64_t now_us)
{
    q->pause_until_us = max64(q->pause_until_us, now_us + wait_us);
    q->pause_ask_until_us = max64(q->pause_ask_until_us, now_us + wait_us);
    LIST_EACH (it, &q->retries)
        LIST_ENTRY(it, struct permit, link)->throttle = THROTTLE_PAUSE;
    LIST_EACH (it, &q->waiting)
        LIST_ENTRY(it, struct permit, link)->throttle = THROTTLE_PAUSE;
}

/* Freed slots that others, or we, wait for are reported once they are a twentieth of what we may hope for. */
static int64_t settle_due_us(const struct pool_queue *q, int64_t now_us)
{
    bool is_contested = q->others_want_slots || (q->n_waiting > 0 && q->blocked == THROTTLE_CONCURRENCY);
    int64_t enough = min64(CALLS_PER_TICK, q->limits.concurrency / (20 * max64(q->n_busy, 1)));

    if (is_contested && q->n_freed >= max64(enough, 1))
        return now_us;
    return q->first_settle_us + (q->others_want_slots ? SETTLE_DELAY_US : DELTA_MAX_US);
}

int64_t pool_queue_due_us(const struct pool_queue *q, int64_t now_us)
{
    int64_t due_us = INT64_MAX;

    if (q->is_asking)
        return INT64_MAX;
    if (q->must_resend)
        return q->not_before_us;
    if (q->is_stopping)
        return q->is_drained ? INT64_MAX : now_us;
    if (q->pause_ask_until_us > now_us)
        return now_us;
    if (q->n_waiting > 0)
        due_us = max64(q->want_at_us, q->pause_until_us);
    if (q->first_settle_us != 0) {
        int64_t settle_us = settle_due_us(q, now_us);

        /* with permits waiting their tick takes the settles along, unless that is far away */
        if (q->n_waiting == 0)
            settle_us = min64(settle_us, q->first_settle_us + SETTLE_DELAY_US);
        due_us = min64(due_us, settle_us);
    }
    if (q->idle_us != 0 && q->in_flight == 0 && q->n_waiting == 0)
        due_us = min64(due_us, q->idle_us + IDLE_REPORT_US);
    if (q->in_flight > 0 && (q->limits.concurrency > 0 || q->own_held > 0))
        due_us = min64(due_us, q->sent_us + KEEP_ALIVE_US);
    return due_us;
}

/* Puts the first n waiting permits into the tick. */
static void offer_permits(struct pool_queue *q, int n)
{
    struct list *const lists[] = {&q->retries, &q->waiting};
    int64_t sum = 0;

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        LIST_EACH (it, lists[i]) {
            struct permit *p = LIST_ENTRY(it, struct permit, link);

            if (q->ask.n == n)
                break;
            q->sent[q->ask.n] = p;
            q->ask.cost[q->ask.n] = p->tokens;
            q->ask.n++;
            sum += p->tokens;
        }
    }
    if (n > 0)
        q->mean_cost = q->mean_cost == 0 ? sum / n : (3 * q->mean_cost + sum / n) / 4;
}

void pool_queue_begin(struct pool_queue *q, int64_t now_us)
{
    if (q->must_resend) {
        /* If the pool has not seen it, grants made now would be void on arrival: ask for none. */
        if (now_us - q->sent_us > q->grant_age_us || q->pause_until_us > now_us) {
            q->ask.backlog += q->ask.n;
            q->ask.n = 0; /* n_sent stays: what it granted the first time has to be given up */
        }
        q->ask.pause_us = max64(q->asked_pause_until_us - now_us, 0);
    } else {
        choose_age(q, now_us);
        q->ask = (struct tick_ask){
            .seq = ++q->seq,
            .hgen = q->hgen,
            .released = q->released,
            .refund = q->refund,
            .excess = q->excess,
            .in_flight = q->in_flight,
            .pause_us = max64(q->pause_ask_until_us - now_us, 0),
            .is_drain = q->is_stopping,
            .is_known = q->is_known,
        };
        q->asked_pause_until_us = q->pause_ask_until_us;
        update_allowance(q, now_us);
        if (!q->is_stopping && q->pause_until_us <= now_us)
            offer_permits(q, offer(q));
        q->n_sent = q->ask.n;
        q->ask.backlog = q->n_waiting - q->ask.n;
        q->released = q->refund = q->excess = 0;
        q->first_settle_us = 0;
        q->idle_us = 0;
        q->n_freed = 0;
        q->pause_ask_until_us = 0;
        q->sent_us = now_us;
    }
    q->must_resend = false;
    q->is_asking = true;
    metric_add(METRIC_LIMITER_TICKS, 1);
}

/* When the waiting permits' next tick should leave. */
static void schedule(struct pool_queue *q, const struct tick_answer *a, struct rng *rng, int64_t now_us)
{
    int64_t next_us = q->sent_us + jitter(rng, tick_interval_us(q));

    switch (q->blocked) {
    case THROTTLE_RPM:
    case THROTTLE_TPM:
        q->want_at_us = max64(now_us + a->retry_us, next_us);
        break;
    case THROTTLE_CONCURRENCY:
        q->want_at_us =
            now_us + (a->retry_us > 0 ? a->retry_us : jitter(rng, q->in_flight > 0 ? DELTA_MAX_US : SLOT_POLL_US));
        break;
    default:
        q->want_at_us = is_sharing(q) ? next_us : q->sent_us + IDLE_GAP_US;
        break;
    }
    if (is_sharing(q) && q->allowance < BUCKET_UNIT)
        q->want_at_us = max64(q->want_at_us, now_us + (BUCKET_UNIT - q->allowance) * 1000000 / max64(share_rate(q), 1));
}

/* Takes what the answer says about the pool's load. */
static void note_load(struct pool_queue *q, const struct tick_answer *a)
{
    q->blocked = (enum throttle)a->why;
    q->n_busy = a->busy;
    q->others_want_slots = a->slots > 0;
    q->is_scarce = (q->limits.req_cap > 0 && a->req_level < q->limits.req_cap / 2) ||
                   (q->limits.tok_cap > 0 && a->tok_level < q->limits.tok_cap / 2);
    q->allowance = max64(q->allowance - a->granted * BUCKET_UNIT, 0);
}

/* A grant that must not be used: the request stays spent, held tokens come back. */
static void burn(struct pool_queue *q, int64_t cost, bool is_held, int64_t now_us)
{
    metric_add(METRIC_GRANTS_BURNED, 1);
    if (q->limits.concurrency > 0) {
        q->n_freed++;
        note_settle(q, now_us);
    }
    if (is_held) {
        q->released += cost;
        q->refund += cost;
        note_settle(q, now_us);
    }
    note_idle(q, now_us);
}

static void take_grants(struct pool_queue *q, const struct tick_answer *a, int64_t now_us, struct list *ready)
{
    /* Late, or a pause began meanwhile: not for use. The permits never left the head of the queue. */
    bool has_rate = q->limits.req_cap > 0 || q->limits.tok_cap > 0;
    bool is_void = now_us - q->sent_us > q->grant_age_us || q->pause_until_us > now_us;

    for (int i = 0; i < q->n_sent; i++) {
        struct permit *p = q->sent[i];
        bool is_held = q->limits.tok_cap > 0 && i < a->held;

        if (i >= a->granted) {
            if (p != NULL && a->why != THROTTLE_NONE)
                p->throttle = (enum throttle)a->why;
            continue;
        }
        if (p == NULL || is_void) {
            burn(q, q->ask.cost[i], is_held, now_us);
            continue;
        }
        list_del(&p->link);
        q->n_waiting--;
        q->in_flight++;
        q->own_held += is_held;
        p->state = PERMIT_READY;
        p->seq = is_held ? a->hgen : 0;
        p->tick_us = q->sent_us;
        p->send_before_us = has_rate ? q->sent_us + q->grant_age_us : 0;
        list_add_tail(ready, &p->link);
        metric_add(METRIC_LIMITER_GRANTS, 1);
    }
}

void pool_queue_answer(struct pool_queue *q, const struct tick_answer *a, struct rng *rng, int64_t now_us,
                       struct list *ready)
{
    q->is_asking = false;
    q->is_known = true;
    if (q->ask.is_drain) {
        q->is_drained = true;
        q->n_sent = 0;
        return;
    }
    if (a->hgen != q->hgen) { /* what was held is taken as spent */
        q->hgen = a->hgen;
        q->released = q->refund = q->own_held = 0;
    }
    take_grants(q, a, now_us, ready);
    q->pause_until_us = max64(q->pause_until_us, a->pause_us > 0 ? now_us + a->pause_us : 0);
    note_load(q, a);
    schedule(q, a, rng, now_us);
    q->n_sent = 0;
}

void pool_queue_lost(struct pool_queue *q, int64_t delay_us, int64_t now_us)
{
    q->is_asking = false;
    q->must_resend = true;
    q->not_before_us = now_us + delay_us;
}
