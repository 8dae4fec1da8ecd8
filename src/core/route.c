/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses model and key of a call; the health (core/health.h) knows which of them are well, retry.c what a fault means.
 * Only the list of the model that was asked for is used, so that fallbacks make no loops. Loop thread. */
#include "core/route.h"

#include <string.h>

#include "base/metrics.h"
#include "core/attempt.h"
#include "core/health.h"
#include "core/registry.h"
#include "core/retry.h"

static int last_place(const struct call *c)
{
    return c->asked != NULL ? c->asked->n_fallbacks : 0;
}

static const struct model *model_at(const struct call *c, int place)
{
    return place == 0 ? c->asked : c->asked->fallbacks[place - 1];
}

const struct model *call_served(const struct call *c, const struct outcome *o)
{
    const struct registry *r = c->job->env->registry;

    if (c->model == NULL || o->served_model.p == NULL || text_is(o->served_model, c->asked->id))
        return c->model != NULL ? c->asked : NULL;
    for (int i = 1; i <= last_place(c); i++)
        if (text_is(o->served_model, model_at(c, i)->id))
            return model_at(c, i);
    for (size_t i = 0; i < r->n_models; i++) /* it is no fallback any more */
        if (text_is(o->served_model, r->models[i].id))
            return &r->models[i];
    return NULL;
}

static int place_of(const struct call *c, const struct outcome *o)
{
    const struct model *m = call_served(c, o);

    for (int i = 0; i <= last_place(c); i++)
        if (model_at(c, i) == m)
            return i;
    return -1;
}

/* The highest number at a place; 0: none yet. */
static int attempts_at(const struct call *c, int place)
{
    int most = 0;

    LIST_EACH (it, &c->attempts) {
        const struct attempt *a = LIST_ENTRY(it, struct attempt, link);

        if (a->number > most && place_of(c, &a->outcome) == place)
            most = a->number;
    }
    return most;
}

void route_to(struct call *c, int fallback_index)
{
    c->fallback_index = fallback_index;
    c->model = model_at(c, fallback_index);
    c->attempt = attempts_at(c, fallback_index) + 1;
    c->has_key = false;
    c->keys_tried = 0;
    c->is_built = false;
    c->n_stale = 0;
    attempt_choose_key(c);
}

/* --- past the breakers --- */

static bool is_given_up(const struct call *c, int place)
{
    return c->given_up & 1U << place;
}

/* Another model that may be asked, the first in order; also one before the present, which was left for its breaker. */
static int other_place(const struct call *c, bool is_now)
{
    for (int i = 0; i <= last_place(c); i++)
        if (i != c->fallback_index && !is_given_up(c, i) &&
            (!is_now || health_is_passable(c->job->env->health, model_at(c, i))))
            return i;
    return -1;
}

/* Without a deadline of its own the job waits as long as it takes: an outage becomes lag, no failed result. */
static bool fits(const struct call *c)
{
    for (int i = 0; c->job->is_deadline_absolute && i <= last_place(c); i++)
        if (!is_given_up(c, i) && health_opens_at_us(c->job->env->health, model_at(c, i)) < c->job->deadline_us)
            return true;
    return !c->job->is_deadline_absolute;
}

static void move(struct call *c, int place)
{
    if (place > c->fallback_index)
        metric_add(METRIC_FALLBACKS, 1);
    route_to(c, place);
}

enum route_next route_enter(struct call *c)
{
    struct health *h = c->job->env->health;

    for (;;) {
        enum gate_answer answer;
        int next;

        c->gate.has_choice = other_place(c, false) >= 0;
        answer = health_enter(h, c->model, &c->gate);
        if (answer == GATE_GO)
            return ROUTE_GO;
        next = answer == GATE_SHUT ? other_place(c, true) : -1;
        if (next < 0) {
            c->was_gated = true;
            return answer == GATE_HOLD || fits(c) ? ROUTE_WAIT : ROUTE_NONE;
        }
        health_leave(h, &c->gate);
        move(c, next);
    }
}

bool route_fall_back(struct call *c)
{
    int next;

    c->given_up |= 1U << c->fallback_index;
    next = other_place(c, false);
    if (next < 0 || c->job->is_abandoned || job_time_left_us(c->job) <= 0)
        return false;
    move(c, next);
    return true;
}

/* --- keys --- */

void route_take_key(struct call *c)
{
    struct health *h = c->job->env->health;
    bool is_only_one = c->model->provider->n_keys == 1;
    int slot;

    c->gate.key_slot = c->key_slot;
    if (c->has_key && (is_only_one || health_key_is_ready(h, c->model, c->key_slot)))
        return;
    slot = is_only_one ? 0 : health_pick_key(h, c->model, c->keys_tried);
    if (slot < 0)
        slot = health_pick_key(h, c->model, 0);
    if (slot != c->key_slot)
        c->is_built = false;
    c->key_slot = c->gate.key_slot = slot;
    c->has_key = true;
}

int64_t route_change_key(struct call *c, const struct outcome *o, int64_t wait_us)
{
    struct health *h = c->job->env->health;
    bool is_limited = o->fault == FAULT_RATE_LIMITED;
    unsigned bit = c->has_key ? 1U << c->key_slot : 0; /* a recalled attempt's key may be gone */
    int64_t us;

    if (h == NULL || c->model->provider->n_keys == 1 || !retry_may_change_key(o))
        return -1;
    us = health_key_wait_us(h, c->model, c->keys_tried | bit);
    if (!is_limited || c->model->index < 0)
        c->keys_tried |= bit; /* no wait mends it; or nobody keeps in mind how long to wait */
    else if (us > 0 && wait_us >= 0 && wait_us <= us)
        us = -1;
    c->has_key &= is_limited && us < 0; /* waits for the end of its own pause */
    return us;
}

/* --- after a crash --- */

static int slot_of(const struct model *m, const char *key_id)
{
    for (int i = 0; key_id != NULL && i < m->provider->n_keys; i++)
        if (m->provider->keys[i].id != NULL && strcmp(m->provider->keys[i].id, key_id) == 0)
            return i;
    return -1;
}

struct attempt *route_resume(struct call *c)
{
    struct attempt *last = NULL;
    int place = -1;

    LIST_EACH (it, &c->attempts) {
        struct attempt *a = LIST_ENTRY(it, struct attempt, link);
        int at = place_of(c, &a->outcome);

        if (at > place || (at >= 0 && at == place && a->number >= last->number)) {
            place = at;
            last = a;
        }
    }
    if (last == NULL)
        return NULL;
    if (place > 0)
        route_to(c, place);
    c->attempt = last->number;
    LIST_EACH (it, &c->attempts) {
        const struct outcome *o = &LIST_ENTRY(it, struct attempt, link)->outcome;
        int at = place_of(c, o);
        int slot = at == place ? slot_of(c->model, o->key_id) : -1;

        if (at >= 0 && at != place)
            c->given_up |= 1U << at;
        if (slot >= 0 && retry_may_change_key(o) && o->fault != FAULT_RATE_LIMITED)
            c->keys_tried |= 1U << slot;
        if (slot >= 0 && o == &last->outcome)
            c->key_slot = slot;
    }
    c->has_key = slot_of(c->model, last->outcome.key_id) >= 0;
    return last;
}
