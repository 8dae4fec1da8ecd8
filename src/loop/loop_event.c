/* SPDX-License-Identifier: Apache-2.0 */
/* A loop that waits with libevent, and the watches of descriptors. libevent only waits: timers are ours, and one
 * timerfd stands for the earliest of them, set only when that changes (libevent's own timers run on a coarse clock and
 * would wake us early). Adapters that use the event_base run their callbacks inside event_wait(). Loop thread only,
 * except event_interrupt(). */
#include "loop.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop_internal.h"

/* Wake-ups for timers fall on whole milliseconds, so that neighbours share one. */
enum { TIMER_GRAIN_US = 1000 };

#define ARMED_NOT INT64_MAX /* the timerfd is off */

struct watch {
    struct loop *loop;
    struct event *event; /* added while `what` != 0 and not is_stale */
    int fd;
    watch_fn fn;
    void *arg;
    bool is_stale; /* the number was closed and belongs to a newer watch: never added again */
};

struct event_loop {
    int post_fd;  /* eventfd of loop_post() */
    int timer_fd; /* timerfd of the earliest timer */
    struct event *post_event;
    struct event *timer_event;
    int64_t armed_us;       /* what timer_fd was set to last, or ARMED_NOT */
    struct watch **watches; /* [n_watches], by descriptor: the newest watch of it, or NULL */
    int n_watches;
};

static int64_t read_clock_us(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts); /* cannot fail for these clocks */
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void on_post_fd(evutil_socket_t fd, short what, void *arg)
{
    uint64_t n;

    (void)what;
    (void)arg;
    (void)!read(fd, &n, sizeof(n)); /* only resets it: posts_run() comes later in the turn */
}

/* Nothing: timers_run() comes later in the turn. No read() either: what is due is run, so the next deadline differs
 * from the armed one, and setting the timerfd makes it unreadable. */
static void on_timer_fd(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

/* Sets the timerfd for the earliest timer, if it is not so already. */
static void arm_timer(struct event_loop *ev, const struct timer *first)
{
    struct itimerspec its = {.it_value = {.tv_sec = 0}};
    int64_t want_us = ARMED_NOT;

    if (first != NULL && first->deadline_us < INT64_MAX - TIMER_GRAIN_US) {
        want_us = (first->deadline_us + TIMER_GRAIN_US - 1) / TIMER_GRAIN_US * TIMER_GRAIN_US;
        if (want_us < 1)
            want_us = 1; /* all zero would switch it off */
        its.it_value.tv_sec = want_us / 1000000;
        its.it_value.tv_nsec = want_us % 1000000 * 1000;
    }
    if (want_us == ev->armed_us)
        return;
    CHECK(timerfd_settime(ev->timer_fd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
    ev->armed_us = want_us;
}

static void event_wait(struct loop *l, bool may_block)
{
    struct event_loop *ev = l->priv;
    const struct timer *first = timers_first(&l->timers);
    int r;

    if (first != NULL && first->deadline_us <= l->now_us)
        may_block = false;
    if (!posts_prepare(&l->posts, may_block))
        may_block = false;
    if (may_block)
        arm_timer(ev, first);
    /* EVLOOP_NONBLOCK alone goes round until nothing is ready: for ever, with a level-triggered event left unread. */
    r = event_base_loop(l->base, may_block ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
    CHECK(r >= 0);
}

static void event_refresh(struct loop *l)
{
    l->now_us = read_clock_us(CLOCK_MONOTONIC);
    l->wall_us = read_clock_us(CLOCK_REALTIME);
}

static int64_t event_clock(const struct loop *l)
{
    (void)l;
    return read_clock_us(CLOCK_MONOTONIC);
}

static void event_interrupt(struct loop *l)
{
    const struct event_loop *ev = l->priv;
    const uint64_t one = 1;

    (void)!write(ev->post_fd, &one, sizeof(one)); /* fails only when it is readable anyway */
}

static void event_done(struct loop *l)
{
    struct event_loop *ev = l->priv;

    if (ev->post_event != NULL)
        event_free(ev->post_event);
    if (ev->timer_event != NULL)
        event_free(ev->timer_event);
    if (l->base != NULL)
        event_base_free(l->base);
    if (ev->post_fd >= 0)
        (void)close(ev->post_fd);
    if (ev->timer_fd >= 0)
        (void)close(ev->timer_fd);
    mem_free(ev->watches);
    mem_free(ev);
}

static const struct loop_ops event_ops = {
    .name = "event",
    .wait = event_wait,
    .refresh = event_refresh,
    .clock = event_clock,
    .interrupt = event_interrupt,
    .done = event_done,
};

static struct event_base *base_new(void)
{
    struct event_config *conf = event_config_new();
    struct event_base *base;

    if (conf == NULL)
        return NULL;
    /* One thread, so no locks. No environment: EVENT_EPOLL_USE_CHANGELIST is wrong for descriptors that are closed
     * before they are removed, as curl does. */
    (void)event_config_set_flag(conf, EVENT_BASE_FLAG_NOLOCK);
    (void)event_config_set_flag(conf, EVENT_BASE_FLAG_IGNORE_ENV);
    base = event_base_new_with_config(conf);
    event_config_free(conf);
    return base;
}

static struct event *add_reader(struct loop *l, int fd, event_callback_fn fn)
{
    struct event *event = event_new(l->base, fd, EV_READ | EV_PERSIST, fn, l->priv);

    if (event != NULL && event_add(event, NULL) < 0) {
        event_free(event);
        event = NULL;
    }
    return event;
}

struct loop *loop_new(void)
{
    struct loop *l = loop_make(&event_ops);
    struct event_loop *ev = mem_zero(sizeof(*ev));

    l->priv = ev;
    ev->armed_us = ARMED_NOT;
    ev->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ev->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    l->base = base_new();
    if (ev->post_fd < 0 || ev->timer_fd < 0 || l->base == NULL)
        goto fail;
    ev->post_event = add_reader(l, ev->post_fd, on_post_fd);
    ev->timer_event = add_reader(l, ev->timer_fd, on_timer_fd);
    if (ev->post_event == NULL || ev->timer_event == NULL)
        goto fail;
    loop_refresh(l);
    return l;
fail:
    log_event(LOG_ERROR, "loop_failed", "error=\"%s\"", strerror(errno));
    loop_free(l);
    return NULL;
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    struct loop *l = w->loop;

    if (l->is_stale)
        loop_refresh(l);
    l->last_fd = fd;
    w->fn(w->arg, fd, ((what & EV_READ) != 0 ? LOOP_READ : 0) | ((what & EV_WRITE) != 0 ? LOOP_WRITE : 0));
    /* w may be gone */
}

/* Makes `w` the watch of its number. One that still stands there lost its descriptor without being told: as long as it
 * is registered, libevent counts the number as known to epoll and would not add the new descriptor. */
static void take_number(struct event_loop *ev, struct watch *w)
{
    if (w->fd >= ev->n_watches) {
        int n = w->fd * 2 + 32;

        ev->watches = mem_resize(ev->watches, (size_t)n * sizeof(struct watch *));
        memset(ev->watches + ev->n_watches, 0, (size_t)(n - ev->n_watches) * sizeof(struct watch *));
        ev->n_watches = n;
    }
    if (ev->watches[w->fd] != NULL) {
        (void)event_del(ev->watches[w->fd]->event);
        ev->watches[w->fd]->is_stale = true;
    }
    ev->watches[w->fd] = w;
}

struct watch *watch_new(struct loop *l, int fd, int what, watch_fn fn, void *arg)
{
    struct watch *w = mem_zero(sizeof(*w));

    CHECK(!loop_is_sim(l));
    CHECK(fd >= 0 && fn != NULL);
    *w = (struct watch){.loop = l, .fd = fd, .fn = fn, .arg = arg};
    w->event = event_new(l->base, fd, EV_PERSIST, on_watch, w);
    CHECK(w->event != NULL);
    take_number(l->priv, w);
    watch_set(w, what);
    return w;
}

void watch_set(struct watch *w, int what)
{
    short events = EV_PERSIST;

    if (w->is_stale)
        return;
    if ((what & LOOP_READ) != 0)
        events |= EV_READ;
    if ((what & LOOP_WRITE) != 0)
        events |= EV_WRITE;
    /* Also when nothing changes: the number may belong to a new descriptor that epoll does not know yet. event_del() of
     * a closed one is fine, libevent ignores EBADF and ENOENT there, and it takes back an event that is already due. */
    (void)event_del(w->event);
    if (events == EV_PERSIST)
        return;
    CHECK(event_assign(w->event, w->loop->base, w->fd, events, on_watch, w) == 0);
    if (event_add(w->event, NULL) < 0)
        log_event(LOG_ERROR, "watch_failed", "fd=%d error=\"%s\"", w->fd, strerror(errno));
}

void watch_free(struct watch *w)
{
    struct event_loop *ev;

    if (w == NULL)
        return;
    ev = w->loop->priv;
    if (ev->watches[w->fd] == w)
        ev->watches[w->fd] = NULL;
    event_free(w->event); /* single-threaded: out of libevent's queue of due events too */
    mem_free(w);
}
