/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a limiter over its pool queues: permits in, ticks out at the end of the turn, grants delivered from
 * the wake queue. Never does I/O itself. Loop thread only. */
#include "limiter/limiter_core.h"

#include <string.h>

#include "base/mem.h"
#include "base/metrics.h"

enum { STOP_WAIT_US = 1000000 };

static void stop_if_drained(struct limiter_core *c)
{
    void (*done)(void *arg) = c->stop_done;

    for (int i = 0; i < c->n_pools && c->is_up; i++) {
        if (!c->pools[i]->is_drained)
            return;
    }
    c->stop_done = NULL;
    timer_stop(c->loop, &c->stop_timer);
    if (done != NULL)
        done(c->stop_arg);
}

static void on_stop_timer(void *arg)
{
    struct limiter_core *c = arg;
    void (*done)(void *arg) = c->stop_done;

    c->stop_done = NULL;
    if (done != NULL)
        done(c->stop_arg);
}

static void on_wake(void *arg)
{
    struct limiter_core *c = arg;
    struct list *node;

    while ((node = list_take_first(&c->ready)) != NULL) {
        struct permit *p = LIST_ENTRY(node, struct permit, link);

        p->state = PERMIT_GRANTED;
        p->granted_us = loop_now_us(c->loop);
        p->done(p, p->arg);
    }
    while ((node = list_take_first(&c->probed)) != NULL) {
        struct probe *p = LIST_ENTRY(node, struct probe, link);

        p->done(p, p->arg);
    }
    if (c->stop_done != NULL)
        stop_if_drained(c);
}

static void on_turn_end(void *arg)
{
    struct limiter_core *c = arg;
    int64_t now_us = loop_now_us(c->loop);
    struct list *node;

    if (!c->is_up)
        return;
    while ((node = list_take_first(&c->dirty)) != NULL) {
        struct pool_queue *q = LIST_ENTRY(node, struct pool_queue, dirty);

        if (pool_queue_due_us(q, now_us) > now_us) {
            limiter_core_kick(c, q); /* what was due has been taken back */
            continue;
        }
        pool_queue_begin(q, now_us);
        if (c->send(c, q) < 0) {
            pool_queue_lost(q, 0, now_us);
            return; /* limiter_core_set_up() looks at every pool again */
        }
    }
}

/* Every change of a queue comes by here. */
static void note_view(struct limiter_core *c, const struct pool_queue *q)
{
    struct pool_view *v = &c->views[q->index];

    v->in_flight = q->in_flight;
    v->waiting = q->n_waiting;
    v->pause_until_us = q->pause_until_us;
    v->blocked = q->n_waiting > 0 ? q->blocked : THROTTLE_NONE;
}

static void note_answer(struct limiter_core *c, const struct pool_queue *q, const struct tick_answer *a, int64_t now_us)
{
    struct pool_view *v = &c->views[q->index];

    v->req_level = a->req_level / BUCKET_UNIT;
    v->tok_level = a->tok_level / BUCKET_UNIT;
    v->fleet_in_flight = a->in_flight;
    v->fleet_workers = a->live;
    v->seen_us = now_us;
}

void limiter_core_kick(struct limiter_core *c, struct pool_queue *q)
{
    int64_t now_us = loop_now_us(c->loop);
    int64_t due_us = pool_queue_due_us(q, now_us);

    note_view(c, q);
    timer_stop(c->loop, &q->timer);
    if (!c->is_up || due_us == INT64_MAX)
        return;
    if (due_us > now_us) {
        timer_start(c->loop, &q->timer, due_us);
        return;
    }
    if (!list_is_linked(&q->dirty))
        list_add_tail(&c->dirty, &q->dirty);
    loop_wake(c->loop, &c->wake); /* there will be an end of turn */
}

static void on_pool_timer(void *arg)
{
    struct pool_queue *q = arg;

    limiter_core_kick(q->core, q);
}

static void make_ready(struct limiter_core *c, struct permit *p)
{
    p->state = PERMIT_READY;
    list_add_tail(&c->ready, &p->link);
    loop_wake(c->loop, &c->wake);
}

/* Buckets as they are wanted; a tick under way may still be of older ones. */
static void show_limits(struct limiter_core *c, const struct pool_queue *q)
{
    struct pool_view *v = &c->views[q->index];
    struct pool_limits limits;

    pool_limits_of(&limits, &q->conf, q->grant_age_us);
    v->req_cap = limits.req_cap / BUCKET_UNIT;
    v->tok_cap = limits.tok_cap / BUCKET_UNIT;
    v->req_rate = (double)limits.req_rate / BUCKET_UNIT;
    v->tok_rate = (double)limits.tok_rate / BUCKET_UNIT;
}

static void add_pools(struct limiter_core *c, const struct pool_conf *pools, int n_pools)
{
    size_t room = (size_t)(n_pools > 0 ? n_pools : 1);

    c->pools = mem_resize(c->pools, room * sizeof(struct pool_queue *));
    c->views = mem_resize(c->views, room * sizeof(*c->views));
    for (int i = c->n_pools; i < n_pools; i++) {
        struct pool_queue *q = mem_zero(sizeof(*q));

        pool_queue_init(q, &pools[i], c->grant_age_us, loop_now_us(c->loop));
        q->core = c;
        q->index = i;
        timer_init(&q->timer, on_pool_timer, q);
        c->pools[i] = q;
        c->views[i] = (struct pool_view){0};
        show_limits(c, q);
    }
    c->n_pools = n_pools;
    c->api.views = c->views;
    c->api.n_views = n_pools;
}

void limiter_core_init(struct limiter_core *c, const struct limiter_ops *ops, struct loop *loop, struct rng *rng,
                       const struct pool_conf *pools, int n_pools, int64_t grant_age_us)
{
    c->api.ops = ops;
    c->loop = loop;
    c->rng = rng;
    c->grant_age_us = grant_age_us > 0 ? grant_age_us : LIMITER_GRANT_AGE_US;
    c->api.is_down = true; /* until set_up() */
    list_init(&c->ready);
    list_init(&c->probed);
    list_init(&c->dirty);
    wake_init(&c->wake, on_wake, c);
    timer_init(&c->stop_timer, on_stop_timer, c);
    add_pools(c, pools, n_pools);
    c->hook = (struct hook){.fn = on_turn_end, .arg = c};
    loop_add_hook(loop, &c->hook);
}

void limiter_core_done(struct limiter_core *c)
{
    loop_del_hook(&c->hook);
    wake_cancel(&c->wake);
    timer_stop(c->loop, &c->stop_timer);
    for (int i = 0; i < c->n_pools; i++) {
        timer_stop(c->loop, &c->pools[i]->timer);
        pool_queue_done(c->pools[i]);
        mem_free(c->pools[i]);
    }
    mem_free(c->pools);
    mem_free(c->views);
}

static void reconfigure(struct limiter_core *c, struct pool_queue *q, const struct pool_conf *conf)
{
    struct list refused;
    struct list *node;

    list_init(&refused);
    pool_queue_configure(q, conf, loop_now_us(c->loop), &refused);
    while ((node = list_take_first(&refused)) != NULL) {
        struct permit *p = LIST_ENTRY(node, struct permit, link);

        p->is_over_pool = true;
        make_ready(c, p);
    }
    show_limits(c, q);
    limiter_core_kick(c, q);
}

void limiter_core_configure(struct limiter *l, const struct pool_conf *pools, int n_pools)
{
    struct limiter_core *c = (struct limiter_core *)l;
    int n_known = c->n_pools;

    if (c->is_stopping)
        return;
    CHECK(n_pools >= n_known);
    for (int i = 0; i < n_known; i++) {
        CHECK(strcmp(pools[i].id, c->pools[i]->id) == 0);
        if (!pool_conf_is_same(&pools[i], &c->pools[i]->conf))
            reconfigure(c, c->pools[i], &pools[i]);
    }
    add_pools(c, pools, n_pools);
}

void limiter_core_answer(struct limiter_core *c, struct pool_queue *q, const struct tick_answer *a)
{
    int64_t now_us = loop_now_us(c->loop);

    pool_queue_answer(q, a, c->rng, now_us, &c->ready);
    note_answer(c, q, a, now_us);
    if (!list_is_empty(&c->ready) || q->is_drained)
        loop_wake(c->loop, &c->wake);
    limiter_core_kick(c, q);
}

void limiter_core_lost(struct limiter_core *c, struct pool_queue *q, int64_t delay_us)
{
    pool_queue_lost(q, delay_us, loop_now_us(c->loop));
    limiter_core_kick(c, q);
}

void limiter_core_set_up(struct limiter_core *c, bool is_up)
{
    c->is_up = is_up;
    c->api.is_down = !is_up;
    for (int i = 0; i < c->n_pools; i++) {
        struct pool_queue *q = c->pools[i];

        if (!is_up)
            list_del(&q->dirty);
        limiter_core_kick(c, q);
    }
    if (c->stop_done != NULL)
        loop_wake(c->loop, &c->wake);
}

void limiter_core_answer_probe(struct limiter_core *c, struct probe *p, enum probe_answer answer)
{
    p->answer = answer;
    list_add_tail(&c->probed, &p->link);
    loop_wake(c->loop, &c->wake);
}

static struct pool_queue *pool_of(struct limiter_core *c, const struct permit *p)
{
    CHECK(p->pool < c->n_pools);
    return p->pool < 0 || p->is_over_pool ? NULL : c->pools[p->pool];
}

void limiter_core_request(struct limiter *l, struct permit *p)
{
    struct limiter_core *c = (struct limiter_core *)l;
    struct pool_queue *q;

    CHECK(p->tokens >= 0 && p->done != NULL && !c->is_stopping);
    list_init(&p->link);
    p->is_over_pool = false;
    p->asked_us = loop_now_us(c->loop);
    p->granted_us = 0;
    p->send_before_us = 0;
    p->throttle = THROTTLE_NONE;
    p->seq = 0;
    p->tick_us = 0;
    q = pool_of(c, p);
    if (q != NULL && q->largest > 0 && p->tokens > q->largest)
        p->is_over_pool = true;
    if (q == NULL || p->is_over_pool) {
        make_ready(c, p);
        return;
    }
    pool_queue_add(q, p, p->asked_us);
    limiter_core_kick(c, q);
}

void limiter_core_settle(struct limiter *l, struct permit *p, int64_t used_tokens, bool was_sent)
{
    struct limiter_core *c = (struct limiter_core *)l;
    struct pool_queue *q = pool_of(c, p);

    CHECK(p->state == PERMIT_GRANTED);
    p->state = PERMIT_IDLE;
    if (q == NULL)
        return;
    /* an unsent one may have become too old within this turn */
    pool_queue_settle(q, p, used_tokens, was_sent, was_sent ? loop_now_us(c->loop) : loop_clock_us(c->loop));
    limiter_core_kick(c, q);
}

void limiter_core_cancel(struct limiter *l, struct permit *p)
{
    struct limiter_core *c = (struct limiter_core *)l;
    struct pool_queue *q = pool_of(c, p);

    CHECK(p->state == PERMIT_WAITING || p->state == PERMIT_READY);
    if (p->state == PERMIT_READY) { /* granted, not told */
        list_del(&p->link);
        p->state = PERMIT_GRANTED;
        limiter_core_settle(l, p, 0, false);
        return;
    }
    pool_queue_remove(q, p);
    limiter_core_kick(c, q);
}

void limiter_core_pause(struct limiter *l, int pool, int64_t wait_us)
{
    struct limiter_core *c = (struct limiter_core *)l;

    CHECK(pool < c->n_pools);
    if (pool < 0 || wait_us <= 0)
        return;
    metric_add(METRIC_POOL_PAUSES, 1);
    pool_queue_pause(c->pools[pool], wait_us, loop_now_us(c->loop));
    limiter_core_kick(c, c->pools[pool]);
}

void limiter_core_stop(struct limiter *l, void (*done)(void *arg), void *arg)
{
    struct limiter_core *c = (struct limiter_core *)l;

    CHECK(!c->is_stopping);
    c->is_stopping = true;
    c->stop_done = done;
    c->stop_arg = arg;
    timer_start(c->loop, &c->stop_timer, loop_now_us(c->loop) + STOP_WAIT_US);
    for (int i = 0; i < c->n_pools; i++) {
        struct pool_queue *q = c->pools[i];

        q->is_stopping = true;
        q->is_drained = q->seq == 0; /* never seen there */
        limiter_core_kick(c, q);
    }
    loop_wake(c->loop, &c->wake);
}
