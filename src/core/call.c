/* SPDX-License-Identifier: Apache-2.0 */
/* One member of a stage through all its attempts: breaker -> permit -> transfer -> outcome -> again, elsewhere or over.
 * Never decides what a fault means (retry.c does) nor whom to ask (route.c does) and never touches a socket. Loop
 * thread. */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "core/attempt.h"
#include "core/count.h"
#include "core/inflight.h"
#include "core/job.h"
#include "core/registry.h"
#include "core/request.h"
#include "core/route.h"

enum { JOURNAL_POLL_US = 200000, LIMITER_SILENT_US = 1000000, STALE_MAX = 10 };

static void ask(struct call *c);

/* The breaker has opened before the request was sent, or a call that waits there may look again. */
static void on_gate(void *arg)
{
    struct call *c = arg;

    CHECK(c->magic == CALL_MAGIC && (c->state == CALL_ASKING || c->state == CALL_GATED));
    if (c->state == CALL_ASKING)
        c->job->env->limiter->ops->cancel(c->job->env->limiter, &c->permit);
    c->state = CALL_IDLE;
    ask(c);
}

void call_init(struct call *c, struct job *j, int member, int sample, struct text name, const struct model *model)
{
    char a[BUF_I64_BYTES], b[BUF_I64_BYTES];

    memset(c, 0, sizeof(*c));
    c->magic = CALL_MAGIC;
    c->job = j;
    c->member = member;
    c->sample = sample;
    c->name = name;
    c->asked = c->model = model;
    /* stage:member:sample:round:ordinal; rounds come with plans of several stages */
    c->key = arena_join(j->arena, "answer:", buf_i64(a, member), ":", buf_i64(b, sample), ":0:0", NULL);
    c->attempt = 1;
    list_init(&c->attempts);
    list_init(&c->permit.link);
    gate_init(&c->gate, on_gate, c);
    timer_init(&c->backoff, NULL, c);
}

/* While a call waits for admission the job's relative clock stands still. */
static void set_waiting(struct call *c, bool is_waiting)
{
    if (c->is_waiting == is_waiting)
        return;
    c->is_waiting = is_waiting;
    if (is_waiting)
        job_clock_stop(c->job);
    else
        job_clock_go(c->job);
}

static void over(struct call *c, const struct outcome *o)
{
    CHECK(c->state != CALL_OVER);
    health_leave(c->job->env->health, &c->gate);
    c->state = CALL_OVER;
    c->outcome = o;
    c->job->n_over++;
    set_waiting(c, false);
    job_call_over(c->job);
}

static const struct outcome *make_unsent(struct call *c, enum fault fault, const char *detail, const char *why)
{
    outcome_init(&c->unsent);
    outcome_fail(&c->unsent, fault, detail, "%s", why);
    c->unsent.started_ms = c->unsent.ended_ms = loop_wall_ms(c->job->env->loop);
    c->unsent.fallback_index = c->fallback_index;
    if (c->fallback_index > 0)
        c->unsent.served_model = text_of(c->model->id);
    return &c->unsent;
}

void call_end_unsent(struct call *c, enum fault fault, const char *detail, const char *why)
{
    over(c, make_unsent(c, fault, detail, why));
}

/* The model's last word on this call; a fallback may have another. */
static void give_up(struct call *c, const struct outcome *o)
{
    c->state = CALL_IDLE;
    health_leave(c->job->env->health, &c->gate);
    if (retry_may_fall_back(o) && route_fall_back(c)) {
        c->asked_us = 0;
        ask(c);
    } else {
        over(c, o);
    }
}

static void on_backoff(void *arg)
{
    struct call *c = arg;

    CHECK(c->magic == CALL_MAGIC && c->state == CALL_BACKING_OFF);
    c->state = CALL_IDLE;
    ask(c);
}

static void back_off(struct call *c, int64_t delay_us)
{
    struct loop *loop = c->job->env->loop;

    c->state = CALL_BACKING_OFF;
    timer_init(&c->backoff, on_backoff, c);
    timer_start(loop, &c->backoff, loop_now_us(loop) + delay_us);
}

/* Will retry.c pause the pool for this? Then the clock stands still meanwhile, and the wait never makes the job late.
 */
static bool is_pausing(const struct call *c, const struct outcome *o)
{
    return c->model->pools[c->key_slot] >= 0 && !c->job->is_deadline_absolute &&
           (o->fault == FAULT_RATE_LIMITED || (o->fault == FAULT_OVERLOADED && o->retry_after_us > 0));
}

static void try_again(struct call *c, int64_t delay_us, bool is_waiting)
{
    count_retry(c);
    c->attempt++;
    c->asked_us = 0;
    c->was_gated = false;
    set_waiting(c, is_waiting);
    back_off(c, delay_us);
}

static void judge(struct call *c, const struct outcome *o)
{
    struct env *env = c->job->env;
    int64_t left = is_pausing(c, o) ? INT64_MAX : job_time_left_us(c->job);
    struct retry_verdict v = retry_judge(&env->retry, o, c->attempt, left, env->rng);
    int64_t wait_us = -1;

    if (v.pause_us > 0 && c->model->pools[c->key_slot] >= 0)
        env->limiter->ops->pause(env->limiter, c->model->pools[c->key_slot], v.pause_us);
    if (!o->is_recalled)
        health_note_key(env->health, c->model, c->key_slot, o, v.pause_us);
    if (c->attempt < env->retry.attempts)
        wait_us = route_change_key(c, o, v.is_again ? v.delay_us : -1);
    if (wait_us >= 0 && (c->job->is_deadline_absolute ? wait_us < left : left > 0))
        try_again(c, wait_us, !c->job->is_deadline_absolute);
    else if (v.is_again)
        try_again(c, v.delay_us, is_pausing(c, o));
    else
        give_up(c, o);
}

static void settle(struct call *c, int64_t used_tokens, bool was_sent)
{
    struct limiter *l = c->job->env->limiter;

    if (!c->has_permit)
        return;
    c->has_permit = false;
    l->ops->settle(l, &c->permit, used_tokens, was_sent);
}

/* How many calls are under way: for the metric, and per model for the statistics. */
static void count_in_flight(struct call *c, bool is_begun)
{
    const struct model *m = c->model;
    int64_t now_ms = loop_wall_ms(c->job->env->loop);

    count_under_way(c, is_begun ? 1 : -1);
    if (is_begun)
        c->under_way = inflight_begin(c->job->env->inflight, m->provider->id, c->asked->id, m->vendor_model, now_ms);
    else
        inflight_end(c->under_way, now_ms);
}

static void note(struct call *c, struct attempt *a)
{
    list_add_tail(&c->attempts, &a->link);
    health_report(c->job->env->health, &c->gate, &a->outcome);
    attempt_journal(c, a);
    count_attempt(c, &a->outcome);
}

static void on_transfer(struct transfer *t, void *arg)
{
    struct call *c = arg;
    struct attempt *a;
    int64_t used = -1;

    CHECK(c->magic == CALL_MAGIC && c->state == CALL_SENDING);
    count_in_flight(c, false);
    c->state = CALL_IDLE;
    if (t->end == TRANSFER_GRANT_STALE) {
        transfer_release(t);
        metric_add(METRIC_GRANTS_BURNED, 1);
        settle(c, -1, false);
        health_leave(c->job->env->health, &c->gate);
        if (++c->n_stale < STALE_MAX || c->job->is_abandoned)
            ask(c);
        else
            give_up(c, make_unsent(c, FAULT_TIMEOUT, "connection_too_slow",
                                   "each permit had grown too old when a connection was ready"));
        return;
    }
    c->n_stale = 0;
    a = attempt_of_transfer(c, t);
    transfer_release(t);
    if (a->outcome.usage.input_tokens >= 0 && a->outcome.usage.output_tokens >= 0)
        used = a->outcome.usage.input_tokens + a->outcome.usage.output_tokens;
    settle(c, used, t->was_sent);
    note(c, a);
    if (c->job->is_abandoned)
        job_call_over(c->job); /* journaled; another owner goes on from here */
    else if (a->outcome.fault == FAULT_NONE)
        over(c, &a->outcome);
    else
        judge(c, &a->outcome);
}

static void send_request(struct call *c)
{
    struct env *env = c->job->env;
    const struct model *m = c->model;

    memset(&c->transfer, 0, sizeof(c->transfer));
    c->transfer = (struct transfer){
        .url = c->wire.url,
        .headers = c->wire.headers,
        .n_headers = c->wire.n_headers,
        .body = c->wire.body,
        .ca_file = m->provider->ca_file,
        .connect_us = m->limits.connect_us,
        .first_byte_us = m->limits.first_byte_us,
        .idle_us = m->limits.idle_us,
        .total_us = m->limits.total_us,
        .deadline_us = c->job->is_deadline_absolute ? c->job->deadline_us : 0,
        .send_before_us = c->permit.send_before_us,
        .max_body_bytes = m->max_answer_bytes,
        .done = on_transfer,
        .arg = c,
        .connect_took_us = -1,
        .first_byte_took_us = -1,
    };
    c->state = CALL_SENDING;
    count_in_flight(c, true);
    env->http->ops->start(env->http, &c->transfer);
}

static bool is_journal_away(const struct env *env)
{
    return env->journal != NULL && env->journal->is_down;
}

static void on_permit(struct permit *p, void *arg)
{
    struct call *c = arg;
    struct health *h = c->job->env->health;

    CHECK(c->magic == CALL_MAGIC && c->state == CALL_ASKING);
    c->state = CALL_IDLE;
    if (p->is_over_pool) {
        give_up(c, make_unsent(c, FAULT_OVER_POOL, "largest_call", "the call is larger than the pool's largest_call"));
        return;
    }
    c->has_permit = true;
    if (is_journal_away(c->job->env)) { /* nothing new is paid that could not be remembered */
        settle(c, -1, false);
        health_leave(h, &c->gate);
        back_off(c, JOURNAL_POLL_US);
        return;
    }
    if (!health_send(h, &c->gate, &c->breaker_state)) { /* it opened just now: on_gate() comes */
        settle(c, -1, false);
        c->state = CALL_GATED;
        return;
    }
    job_first_permit(c->job);
    set_waiting(c, false);
    send_request(c);
}

/* It cannot be asked in time: what the last attempt met says more than "no time left". */
static void end_waiting(struct call *c, enum fault fault, const char *detail, const char *why)
{
    if (fault != FAULT_CANCELLED && !list_is_empty(&c->attempts))
        over(c, &LIST_ENTRY(c->attempts.prev, struct attempt, link)->outcome);
    else
        call_end_unsent(c, fault, detail, why);
}

static void request_permit(struct call *c)
{
    struct limiter *l = c->job->env->limiter;

    c->permit = (struct permit){
        .pool = c->model->pools[c->key_slot],
        .tokens = c->estimate_tokens,
        .is_retry = c->attempt > 1,
        .done = on_permit,
        .arg = c,
    };
    c->state = CALL_ASKING;
    l->ops->request(l, &c->permit);
}

static void ask(struct call *c)
{
    struct env *env = c->job->env;
    enum route_next next;

    if (c->job->is_abandoned) {
        job_call_over(c->job);
        return;
    }
    set_waiting(c, true);
    if (is_journal_away(env)) {
        back_off(c, JOURNAL_POLL_US);
        return;
    }
    if (c->asked_us == 0) {
        c->asked_us = loop_now_us(env->loop);
        c->was_gated = false;
        if (c->job->asked_ms == 0)
            c->job->asked_ms = loop_wall_ms(env->loop);
    }
    next = route_enter(c);
    if (next == ROUTE_NONE) {
        end_waiting(c, FAULT_CIRCUIT_OPEN, "breaker", "the model keeps failing and is not asked before the deadline");
        return;
    }
    if (next == ROUTE_WAIT) {
        c->state = CALL_GATED;
        return;
    }
    route_take_key(c);
    if (c->is_built || call_build_request(c) == 0) /* else it is over */
        request_permit(c);
}

void call_start(struct call *c)
{
    if (c->state == CALL_OVER)
        return;
    CHECK(c->state == CALL_IDLE);
    if (c->model == NULL)
        call_end_unsent(c, FAULT_UNKNOWN_MODEL, NULL, "no model of this name is configured");
    else
        ask(c);
}

bool call_is_under_way(const struct call *c)
{
    return c->state == CALL_SENDING;
}

/* Closes the socket; the provider may have served the request all the same, so the reservation stays. */
static void end_sending(struct call *c, enum fault fault, const char *detail)
{
    struct env *env = c->job->env;
    struct attempt *a;

    env->http->ops->cancel(env->http, &c->transfer);
    count_in_flight(c, false);
    c->state = CALL_IDLE;
    settle(c, -1, c->transfer.was_sent);
    if (!c->transfer.was_sent) {
        transfer_release(&c->transfer);
        call_end_unsent(c, fault, detail, "ended before the request was written");
        return;
    }
    a = attempt_of_end(c, &c->transfer, fault, detail);
    transfer_release(&c->transfer);
    note(c, a);
    over(c, &a->outcome);
}

/* Why a call that still waited for a permit did not get it in time. */
static enum fault fault_of_waiting(const struct call *c, enum fault fault, const char **detail)
{
    if (fault != FAULT_DEADLINE_EXCEEDED)
        return fault;
    if (c->permit.throttle == THROTTLE_NONE) { /* no word from the limiter: away, unless it was asked just now */
        if (loop_now_us(c->job->env->loop) - c->permit.asked_us < LIMITER_SILENT_US)
            return fault;
        *detail = "limiter_away";
        return FAULT_LIMITER_UNAVAILABLE;
    }
    *detail = "limiter";
    return FAULT_RATE_LIMITED;
}

void call_end(struct call *c, enum fault fault, const char *detail)
{
    struct env *env = c->job->env;

    switch (c->state) {
    case CALL_OVER:
        return;
    case CALL_SENDING:
        end_sending(c, fault, detail);
        return;
    case CALL_ASKING:
        env->limiter->ops->cancel(env->limiter, &c->permit);
        fault = fault_of_waiting(c, fault, &detail);
        break;
    case CALL_GATED:
        if (fault == FAULT_DEADLINE_EXCEEDED) {
            fault = FAULT_CIRCUIT_OPEN;
            detail = "breaker";
        }
        break;
    case CALL_BACKING_OFF:
        timer_stop(env->loop, &c->backoff);
        break;
    case CALL_IDLE:
        break;
    }
    c->state = CALL_IDLE;
    end_waiting(c, fault, detail, "ended while waiting");
}

void call_abandon(struct call *c)
{
    struct env *env = c->job->env;

    if (c->state == CALL_ASKING)
        env->limiter->ops->cancel(env->limiter, &c->permit);
    else if (c->state == CALL_BACKING_OFF)
        timer_stop(env->loop, &c->backoff);
    else if (c->state != CALL_GATED)
        return;
    health_leave(env->health, &c->gate);
    c->state = CALL_IDLE;
}

void call_recall(struct call *c, const struct recall *recalls, int n)
{
    struct attempt *first, *last;

    if (c->asked == NULL || attempt_recall(c, recalls, n) == 0)
        return;
    first = LIST_ENTRY(c->attempts.next, struct attempt, link);
    last = LIST_ENTRY(c->attempts.prev, struct attempt, link);
    if (c->job->started_ms == 0 || first->outcome.started_ms < c->job->started_ms)
        c->job->started_ms = first->outcome.started_ms;
    if (last->outcome.fault == FAULT_NONE) {
        metric_add(METRIC_CALLS_RECALLED, 1);
        over(c, &last->outcome);
        return;
    }
    last = route_resume(c);
    if (last != NULL)
        judge(c, &last->outcome);
}
