/* SPDX-License-Identifier: Apache-2.0 */
/* Breakers: who may ask a model, who has to wait, who tries it again for the whole fleet. Never sends anything and
 * never judges an outcome (retry.c does); tells calls only from the wake queue. Loop thread. */
#include "core/health.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "core/health_internal.h"
#include "core/outcome.h"
#include "core/retry.h"

enum {
    POLL_US = 1000000,         /* how often the fleet's store is asked while another worker tries */
    PROBE_SLACK_US = 10000000, /* beside the model's total timeout: waiting for its permit */
    RETURN_US = 1000,          /* how long the word stands that gives a try back */
    TOLD_PER_TURN = 256,       /* calls; a breaker may have let thousands wait */
};

static const char *const state_names[] = {
    [BREAKER_CLOSED] = "closed",
    [BREAKER_OPEN] = "open",
    [BREAKER_HALF_OPEN] = "half_open",
};
static_assert(ARRAY_LEN(state_names) == BREAKER_STATE_MAX, "a name for every state");

const char *breaker_state_name(enum breaker_state s)
{
    CHECK((unsigned)s < BREAKER_STATE_MAX);
    return state_names[s];
}

void gate_init(struct gate *g, void (*moved)(void *arg), void *arg)
{
    memset(g, 0, sizeof(*g));
    g->moved = moved;
    g->arg = arg;
    list_init(&g->link);
}

struct breaker *health_breaker_of(const struct health *h, const struct model *m)
{
    if (h == NULL || m->index < 0)
        return NULL;
    if (m->index < h->n_models && strcmp(h->by_index[m->index]->model_id, m->id) == 0)
        return h->by_index[m->index];
    LIST_EACH (it, &h->breakers) { /* a call that began under another configuration */
        struct breaker *b = LIST_ENTRY(it, struct breaker, link);

        if (strcmp(b->model_id, m->id) == 0)
            return b;
    }
    return NULL;
}

static int64_t now_us(const struct breaker *b)
{
    return loop_now_us(b->health->loop);
}

void health_tell(struct breaker *b, struct gate *g)
{
    list_del(&g->link);
    g->state = GATE_TOLD;
    list_add_tail(&b->health->told, &g->link);
    loop_wake(b->health->loop, &b->health->wake);
}

static void tell_all(struct breaker *b, struct list *gates)
{
    LIST_EACH_SAFE (it, gates)
        health_tell(b, LIST_ENTRY(it, struct gate, link));
}

static void on_wake(void *arg)
{
    struct health *h = arg;

    for (int i = 0; i < TOLD_PER_TURN && !list_is_empty(&h->told); i++) {
        struct gate *g = LIST_ENTRY(list_take_first(&h->told), struct gate, link);

        g->moved(g->arg);
    }
    if (!list_is_empty(&h->told))
        loop_wake(h->loop, &h->wake);
}

static void set_state(struct breaker *b, enum breaker_state state)
{
    metrics_move_breaker(b->metrics, (int)b->state, (int)state);
    b->state = state;
}

/* Open, and somebody waits: the timer finds the next probe. */
static void schedule(struct breaker *b)
{
    if (b->state == BREAKER_OPEN && !b->is_asking && b->prober == NULL && !list_is_empty(&b->waiting))
        timer_start(b->health->loop, &b->timer, b->until_us);
    else
        timer_stop(b->health->loop, &b->timer);
}

static void open_breaker(struct breaker *b, const struct outcome *o)
{
    log_event(LOG_WARN, "breaker_open", "model=\"%s\" failures=%d open_ms=%lld fault=%s detail=%s", b->model_id,
              b->failures, (long long)(b->health->conf.open_us / 1000), fault_code(o->fault),
              o->detail != NULL ? o->detail : "none");
    metric_add(METRIC_BREAKER_OPENED, 1);
    set_state(b, BREAKER_OPEN);
    b->until_us = now_us(b) + b->health->conf.open_us;
    b->prober = NULL;
    b->has_leave = false;
    tell_all(b, &b->passed);
    tell_all(b, &b->waiting); /* the wait has become longer: it may not fit any more */
}

static void close_breaker(struct breaker *b, const char *why)
{
    log_event(LOG_INFO, "breaker_closed", "model=\"%s\" why=%s", b->model_id, why);
    set_state(b, BREAKER_CLOSED);
    b->failures = 0;
    if (b->prober != NULL && b->prober->state == GATE_CHOSEN) /* it holds for an answer that will not come to it */
        health_tell(b, b->prober);
    b->prober = NULL;
    b->has_leave = false;
    timer_stop(b->health->loop, &b->timer);
    tell_all(b, &b->waiting);
    LIST_EACH (it, &b->health->breakers) {
        struct breaker *other = LIST_ENTRY(it, struct breaker, link);

        LIST_EACH_SAFE (at, &other->waiting) {
            struct gate *g = LIST_ENTRY(at, struct gate, link);

            if (g->has_choice)
                health_tell(other, g);
        }
    }
}

/* --- the probe --- */

static void choose(struct breaker *b, struct gate *g)
{
    list_del(&g->link);
    g->state = GATE_CHOSEN;
    b->prober = g;
}

static void tell_fleet(struct breaker *b, enum probe_word word, int64_t ttl_us)
{
    struct probe p = {.word = word, .name = b->name, .ttl_us = ttl_us};

    b->health->limiter->ops->probe(b->health->limiter, &p);
}

/* Nobody here makes the try that is ours (the worker drains, say): another worker need not wait for its end. */
static void give_back(struct breaker *b)
{
    set_state(b, BREAKER_OPEN);
    b->has_leave = false;
    b->until_us = now_us(b) + 2 * RETURN_US;
    if (now_us(b) < b->leave_until_us)
        tell_fleet(b, PROBE_BAD, RETURN_US);
}

/* The try is ours: the one who waits longest makes it. */
static void hand_on(struct breaker *b)
{
    if (b->prober == NULL && !list_is_empty(&b->waiting))
        choose(b, LIST_ENTRY(b->waiting.next, struct gate, link));
    if (b->prober != NULL)
        health_tell(b, b->prober);
    else
        give_back(b);
}

static void on_probe(struct probe *p, void *arg)
{
    struct breaker *b = arg;
    struct gate *g = b->prober;

    b->is_asking = false;
    if (b->state == BREAKER_CLOSED) /* a new configuration without breakers came meanwhile */
        return;
    if (p->answer == PROBE_YOURS) {
        set_state(b, BREAKER_HALF_OPEN);
        b->has_leave = true;
        b->leave_until_us = now_us(b) + b->probe_us;
        hand_on(b);
        return;
    }
    b->prober = NULL;
    if (g != NULL)
        health_tell(b, g);
    if (p->answer == PROBE_WAS_GOOD) {
        close_breaker(b, "another_worker");
        return;
    }
    b->until_us = now_us(b) + (b->health->conf.open_us < POLL_US ? b->health->conf.open_us : POLL_US);
    schedule(b);
}

static void ask_leave(struct breaker *b)
{
    b->is_asking = true;
    b->probe = (struct probe){.word = PROBE_ASK, .name = b->name, .ttl_us = b->probe_us, .done = on_probe, .arg = b};
    b->health->limiter->ops->probe(b->health->limiter, &b->probe);
}

static void on_timer(void *arg)
{
    struct breaker *b = arg;

    if (b->state != BREAKER_OPEN || b->is_asking || b->prober != NULL || list_is_empty(&b->waiting))
        return;
    choose(b, LIST_ENTRY(b->waiting.next, struct gate, link));
    ask_leave(b);
}

/* --- the calls' side --- */

static enum gate_answer pass(struct breaker *b, struct gate *g)
{
    g->state = GATE_PASSED;
    list_add_tail(&b->passed, &g->link);
    return GATE_GO;
}

enum gate_answer health_enter(struct health *h, const struct model *m, struct gate *g)
{
    struct breaker *b = health_breaker_of(h, m);

    if (g->breaker != b)
        health_leave(h, g);
    list_del(&g->link);
    g->breaker = b;
    g->model = m;
    if (b == NULL) {
        g->state = GATE_PASSED;
        return GATE_GO;
    }
    if (b->state == BREAKER_CLOSED || (b->prober == g && b->has_leave))
        return pass(b, g);
    if (b->prober == NULL && !b->is_asking && now_us(b) >= b->until_us) {
        choose(b, g);
        ask_leave(b);
    }
    if (b->prober == g) {
        g->state = GATE_CHOSEN;
        return GATE_HOLD;
    }
    g->state = GATE_WAITING;
    list_add_tail(&b->waiting, &g->link);
    schedule(b);
    return GATE_SHUT;
}

bool health_send(struct health *h, struct gate *g, enum breaker_state *out)
{
    (void)h;
    if (g->state != GATE_PASSED)
        return false;
    list_del(&g->link);
    g->state = GATE_SENT;
    *out = g->breaker != NULL ? g->breaker->state : BREAKER_CLOSED;
    return true;
}

void health_leave(struct health *h, struct gate *g)
{
    struct breaker *b = g->breaker;

    (void)h;
    list_del(&g->link);
    g->state = GATE_OUTSIDE;
    g->breaker = NULL;
    if (b == NULL)
        return;
    if (b->prober == g) {
        b->prober = NULL;
        if (b->has_leave)
            hand_on(b);
    }
    schedule(b);
}

static void end_probe(struct breaker *b, const struct outcome *o)
{
    enum sign sign = retry_sign(o);

    if (sign == SIGN_BAD || sign == SIGN_SILENT) {
        b->failures = 1;
        open_breaker(b, o);
        tell_fleet(b, PROBE_BAD, b->health->conf.open_us);
    } else {
        close_breaker(b, "probe");
        tell_fleet(b, PROBE_GOOD, b->health->conf.open_us);
    }
}

void health_report(struct health *h, struct gate *g, const struct outcome *o)
{
    struct breaker *b = g->breaker;
    enum sign sign = retry_sign(o);

    if (b != NULL && b->prober == g && sign != SIGN_UNKNOWN) {
        end_probe(b, o);
    } else if (b != NULL && b->state == BREAKER_CLOSED && h->conf.failures > 0) {
        if (sign == SIGN_GOOD)
            b->failures = 0;
        else if (sign == SIGN_BAD && ++b->failures >= h->conf.failures)
            open_breaker(b, o);
    }
    health_leave(h, g);
}

bool health_is_passable(const struct health *h, const struct model *m)
{
    const struct breaker *b = health_breaker_of(h, m);

    if (b == NULL || b->state == BREAKER_CLOSED)
        return true;
    return b->prober == NULL && !b->is_asking && now_us(b) >= b->until_us;
}

int64_t health_opens_at_us(const struct health *h, const struct model *m)
{
    const struct breaker *b = health_breaker_of(h, m);

    if (b == NULL)
        return INT64_MIN;
    return b->state == BREAKER_OPEN && b->until_us > now_us(b) ? b->until_us : now_us(b);
}

enum breaker_state health_breaker_state(const struct health *h, int model_index)
{
    return h != NULL && model_index >= 0 && model_index < h->n_models ? h->by_index[model_index]->state
                                                                      : BREAKER_CLOSED;
}

enum breaker_state health_state_of(const struct health *h, const struct model *m)
{
    const struct breaker *b = health_breaker_of(h, m);

    return b != NULL ? b->state : BREAKER_CLOSED;
}

/* --- life --- */

/* Where it is asked is part of its name: a worker that was started with another address tries by itself. */
static void name_breaker(struct breaker *b, const struct model *m)
{
    const char *parts[] = {"tutti breaker", m->provider->base_url != NULL ? m->provider->base_url : "", m->vendor_model,
                           m->id};

    if (!b->is_asking) /* the question holds the name */
        digest_uuid8(parts, ARRAY_LEN(parts), b->name);
}

/* A model may have moved to another provider: the gauge goes with it. */
static void count_at(struct breaker *b, struct model_metrics *metrics)
{
    enum breaker_state state = b->state;

    if (b->metrics == metrics)
        return;
    set_state(b, BREAKER_CLOSED);
    b->metrics = metrics;
    set_state(b, state);
}

static struct breaker *breaker_new(struct health *h, const struct model *m)
{
    struct breaker *b = mem_zero(sizeof(*b));

    b->health = h;
    b->model_id = mem_strdup(m->id);
    b->metrics = m->metrics;
    list_init(&b->waiting);
    list_init(&b->passed);
    timer_init(&b->timer, on_timer, b);
    list_init(&b->link);
    list_add_tail(&h->breakers, &b->link);
    return b;
}

/* One for each model; those of models that are gone stay, since a call or a question may hold them. */
static void take_models(struct health *h, const struct registry *r)
{
    h->n_models = 0;
    h->by_index = mem_resize(h->by_index, sizeof(struct breaker *) * (r->n_models + 1));
    for (size_t i = 0; i < r->n_models; i++) {
        struct breaker *b = health_breaker_of(h, &r->models[i]);

        h->by_index[i] = b != NULL ? b : breaker_new(h, &r->models[i]);
        count_at(h->by_index[i], r->models[i].metrics);
        name_breaker(h->by_index[i], &r->models[i]);
        h->by_index[i]->probe_us = r->models[i].limits.total_us + PROBE_SLACK_US;
        memset(h->by_index[i]->paused_until_us, 0, sizeof(h->by_index[i]->paused_until_us));
    }
    h->n_models = (int)r->n_models;
}

struct health *health_new(struct loop *loop, struct limiter *limiter, const struct registry *r,
                          const struct health_conf *conf)
{
    struct health *h = mem_zero(sizeof(*h));

    h->loop = loop;
    h->limiter = limiter;
    h->conf = *conf;
    list_init(&h->breakers);
    list_init(&h->told);
    wake_init(&h->wake, on_wake, h);
    take_models(h, r);
    health_keys_init(h, r);
    return h;
}

/* The model is not configured any more. The breaker shuts nobody out then: a call that still goes there has begun. */
static bool is_gone(const struct breaker *b, const struct registry *r)
{
    for (size_t i = 0; i < r->n_models; i++)
        if (strcmp(r->models[i].id, b->model_id) == 0)
            return false;
    return true;
}

void health_reload(struct health *h, const struct registry *r, const struct health_conf *conf)
{
    if (h == NULL)
        return;
    h->conf = *conf;
    take_models(h, r);
    health_keys_done(h);
    health_keys_init(h, r);
    LIST_EACH (it, &h->breakers) {
        struct breaker *b = LIST_ENTRY(it, struct breaker, link);

        if (b->state != BREAKER_CLOSED && (conf->failures == 0 || is_gone(b, r)))
            close_breaker(b, "reload");
    }
}

void health_free(struct health *h)
{
    struct list *it;

    if (h == NULL)
        return;
    wake_cancel(&h->wake);
    while ((it = list_take_first(&h->breakers)) != NULL) {
        struct breaker *b = LIST_ENTRY(it, struct breaker, link);

        CHECK(list_is_empty(&b->waiting) && list_is_empty(&b->passed));
        set_state(b, BREAKER_CLOSED);
        timer_stop(h->loop, &b->timer);
        mem_free(b->model_id);
        mem_free(b);
    }
    health_keys_done(h);
    mem_free(h->by_index);
    mem_free(h);
}
