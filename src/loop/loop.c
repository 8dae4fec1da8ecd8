/* SPDX-License-Identifier: Apache-2.0 */
/* The turn of a loop, the same over libevent and over virtual time: what runs in which order, the wake queue, the
 * hooks, and the watch on slow turns. It never waits and never reads a clock itself; that is loop_ops. Loop thread
 * only. */
#include "loop.h"

#include <assert.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop_internal.h"

enum {
    WAKE_BUDGET_US = 2000,
    WAKES_PER_TURN = 65536, /* the budget where the clock stands still */
    SLOW_TURN_US = 5000,
    SLOW_LOG_PERIOD_US = 10 * 1000 * 1000,
};

enum phase { PHASE_WATCH, PHASE_TIMER, PHASE_POST, PHASE_WAKE, PHASE_HOOK, PHASE_MAX };

static const char *const phase_names[] = {"watch", "timer", "post", "wake", "hook"};
static_assert(ARRAY_LEN(phase_names) == PHASE_MAX, "a name for each phase");

/* Where the time of one turn went. Measured per phase, and only phases that ran something: a clock reading per callback
 * would cost more than most callbacks. */
struct lap {
    int64_t last_us;
    int64_t spent_us[PHASE_MAX];
};

static void lap_end(struct loop *l, struct lap *lap, enum phase phase)
{
    int64_t now_us = l->ops->clock(l);

    lap->spent_us[phase] = now_us - lap->last_us;
    lap->last_us = now_us;
}

static void report_slow_turn(struct loop *l, const struct lap *lap)
{
    const int64_t *spent = lap->spent_us;
    int worst = 0;

    metric_add(METRIC_SLOW_TURNS, 1);
    if (!log_is_due(&l->slow_logged_us, l->now_us, SLOW_LOG_PERIOD_US))
        return;
    for (int i = 1; i < PHASE_MAX; i++) {
        if (spent[i] > spent[worst])
            worst = i;
    }
    log_event(LOG_WARN, "slow_turn",
              "cause=%s turn_us=%lld watch_us=%lld timer_us=%lld post_us=%lld wake_us=%lld hook_us=%lld last_fd=%d",
              phase_names[worst], (long long)(lap->last_us - l->now_us), (long long)spent[PHASE_WATCH],
              (long long)spent[PHASE_TIMER], (long long)spent[PHASE_POST], (long long)spent[PHASE_WAKE],
              (long long)spent[PHASE_HOOK], l->last_fd);
}

/* Until the queue is empty or the budget is used; what is left keeps the next wait from blocking. */
static int run_wakes(struct loop *l)
{
    int64_t end_us = 0;
    int n = 0;

    while (!list_is_empty(&l->wakes) && n < WAKES_PER_TURN) {
        struct wake *w;

        if (n == 0)
            end_us = l->ops->clock(l) + WAKE_BUDGET_US;
        else if (l->ops->clock(l) >= end_us)
            break;
        w = LIST_ENTRY(list_take_first(&l->wakes), struct wake, link);
        n++;
        w->fn(w->arg); /* may free w */
    }
    return n;
}

/* A cursor in the list keeps the place: a hook may remove itself, others, or add one (which then runs too). */
static int run_hooks(struct loop *l)
{
    struct list cursor;
    int n = 0;

    list_init(&cursor);
    list_add_head(&l->hooks, &cursor);
    while (cursor.next != &l->hooks) {
        struct list *node = cursor.next;
        struct hook *h = LIST_ENTRY(node, struct hook, link);

        list_del(&cursor);
        list_add_head(node, &cursor);
        n++;
        h->fn(h->arg); /* may free h */
    }
    list_del(&cursor);
    return n;
}

static void run_turn(struct loop *l)
{
    struct lap lap = {0};

    l->turn++;
    l->last_fd = -1;
    timers_admit(&l->timers);
    l->is_stale = true;
    l->ops->wait(l, list_is_empty(&l->wakes) && !l->is_stopping);

    if (l->is_stale) {
        loop_refresh(l); /* no descriptor callback asked for the time: hardly anything can have run */
        lap.last_us = l->now_us;
    } else {
        lap.last_us = l->now_us;
        lap_end(l, &lap, PHASE_WATCH);
    }
    if (timers_run(l) > 0)
        lap_end(l, &lap, PHASE_TIMER);
    if (posts_run(l) > 0)
        lap_end(l, &lap, PHASE_POST);
    if (run_wakes(l) > 0)
        lap_end(l, &lap, PHASE_WAKE);
    if (run_hooks(l) > 0)
        lap_end(l, &lap, PHASE_HOOK);
    if (lap.last_us - l->now_us > SLOW_TURN_US)
        report_slow_turn(l, &lap);
}

/* True when a turn could still do something without the outside. */
static bool has_more(struct loop *l)
{
    return !list_is_empty(&l->wakes) || l->timers.n_heap > 0 || l->timers.n_fresh > 0 ||
           !posts_prepare(&l->posts, false);
}

struct loop *loop_make(const struct loop_ops *ops)
{
    struct loop *l = mem_zero(sizeof(*l));

    l->ops = ops;
    l->is_stale = true;
    l->last_fd = -1;
    list_init(&l->wakes);
    list_init(&l->hooks);
    list_init(&l->works_done);
    wake_init(&l->works_wake, works_run_done, l);
    posts_init(&l->posts);
    return l;
}

void loop_refresh(struct loop *l)
{
    l->is_stale = false;
    l->ops->refresh(l);
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    CHECK(!l->is_running);
    work_pool_free(l); /* first: its threads post */
    l->ops->done(l);
    posts_done(&l->posts);
    timers_done(&l->timers);
    mem_free(l);
}

void loop_run(struct loop *l)
{
    CHECK(!l->is_running);
    l->is_running = true;
    posts_set_owner(&l->posts, true);
    while (!l->is_stopping && (!loop_is_sim(l) || has_more(l)))
        run_turn(l);
    posts_set_owner(&l->posts, false);
    l->is_running = false;
    l->is_stopping = false;
}

void loop_stop(struct loop *l)
{
    l->is_stopping = true;
}

int64_t loop_now_us(const struct loop *l)
{
    /* Outside of loop_run() no turn holds the time still. Every loop is made by loop_make(), none is a const object. */
    if (l->is_stale || !l->is_running)
        loop_refresh((struct loop *)l);
    return l->now_us;
}

int64_t loop_clock_us(const struct loop *l)
{
    return l->ops->clock(l);
}

int64_t loop_wall_us(const struct loop *l)
{
    (void)loop_now_us(l);
    return l->wall_us;
}

int64_t loop_wall_ms(const struct loop *l)
{
    return loop_wall_us(l) / 1000;
}

struct event_base *loop_event_base(struct loop *l)
{
    return l->base;
}

bool loop_is_sim(const struct loop *l)
{
    return l->base == NULL;
}

void wake_init(struct wake *w, wake_fn fn, void *arg)
{
    list_init(&w->link);
    w->fn = fn;
    w->arg = arg;
}

void loop_wake(struct loop *l, struct wake *w)
{
    if (!list_is_linked(&w->link))
        list_add_tail(&l->wakes, &w->link);
}

void wake_cancel(struct wake *w)
{
    list_del(&w->link);
}

void loop_add_hook(struct loop *l, struct hook *h)
{
    list_add_tail(&l->hooks, &h->link);
}

void loop_del_hook(struct hook *h)
{
    if (h->link.next != NULL) /* NULL: zeroed, never added */
        list_del(&h->link);
}
