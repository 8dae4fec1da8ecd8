/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop behind which the core and the adapters see time, timers, descriptors and other threads. Two
 * implementations: over libevent (loop_event.c) and over virtual time (loop_sim.c).
 *
 * One turn: wait -> refresh now -> descriptor callbacks -> due timers -> posted functions -> wake queue until empty or
 * 2 ms -> end-of-turn hooks. Callbacks never nest. A turn over 5 ms is counted and logged with its cause.
 *
 * thread  all functions run on the loop's thread, except loop_post() and, inside a work's fn, nothing of the loop */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct event_base;
struct loop;

/* A loop over libevent; its two work threads start with the first loop_work(). */
struct loop *loop_new(void);
/* A loop over virtual time: time jumps to the next timer when nothing is runnable; descriptors are not supported; work
 * runs inline (fn at once, done in the same turn). wall_ms: the wall clock at virtual time 0. */
struct loop *loop_new_sim(int64_t wall_ms);
void loop_free(struct loop *l);

/* Runs until loop_stop(). In simulation it also returns when no timer, wake-up or post is left. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Monotonic time of this turn, us. */
int64_t loop_now_us(const struct loop *l);
/* Monotonic time now (a system call), for measuring inside a turn; in simulation the same as loop_now_us(). */
int64_t loop_clock_us(const struct loop *l);
/* Wall clock of this turn, epoch ms / us. */
int64_t loop_wall_ms(const struct loop *l);
int64_t loop_wall_us(const struct loop *l);
/* For adapters that drive bufferevent or evhttp on the same base; NULL in simulation. */
struct event_base *loop_event_base(struct loop *l);
bool loop_is_sim(const struct loop *l);

/* Timers: storage is the caller's. */
typedef void (*timer_fn)(void *arg);

struct timer {
    int64_t deadline_us; /* absolute; valid while index >= 0 */
    int index;           /* place in the heap, -1: not running */
    uint64_t seq;        /* starting order: equal deadlines fire in this order */
    timer_fn fn;
    void *arg;
};

void timer_init(struct timer *t, timer_fn fn, void *arg);
/* Starts or moves the timer to an absolute time; a time in the past fires in the next turn, never inside this call. */
void timer_start(struct loop *l, struct timer *t, int64_t deadline_us);
/* Stops it; fine when it is not running. It does not fire after this. */
void timer_stop(struct loop *l, struct timer *t);
static inline bool timer_is_running(const struct timer *t)
{
    return t->index >= 0;
}

/* Wake-ups: run `fn` later in this turn (or the next), once, however often it was woken before that. */
typedef void (*wake_fn)(void *arg);

struct wake {
    struct list link;
    wake_fn fn;
    void *arg;
};

void wake_init(struct wake *w, wake_fn fn, void *arg);
void loop_wake(struct loop *l, struct wake *w);
/* Takes it out of the queue; it does not run after this. */
void wake_cancel(struct wake *w);

/* End-of-turn hooks run once at the end of each turn that did something, in the order of adding. */
struct hook {
    struct list link;
    void (*fn)(void *arg);
    void *arg;
};

void loop_add_hook(struct loop *l, struct hook *h);
void loop_del_hook(struct hook *h);

/* Descriptors. */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void (*watch_fn)(void *arg, int fd, int what);
struct watch; /* heap object of the loop; a stale event of a closed or reused fd is dropped */

/* Starts watching `fd` for LOOP_READ | LOOP_WRITE, level triggered. One watch per descriptor: an older one of the same
 * number has lost its descriptor and never calls back again (watch_free() it as usual). */
struct watch *watch_new(struct loop *l, int fd, int what, watch_fn fn, void *arg);
/* Changes what is watched. */
void watch_set(struct watch *w, int what);
/* Stops at once and frees; the callback never comes again. NULL is fine. fd may be closed already. */
void watch_free(struct watch *w);

/* Runs fn(arg) on the loop's thread in a later turn. The loop must outlive the call.
 * thread  any */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/* Blocking work for the two work threads: fn on one of them, then done on the loop's thread. Not cancellable: the
 * storage must live until done. loop_free() waits for work under way and runs its done, which
 * then may only free what is its own; work not begun is dropped. */
struct work {
    struct list link;
    struct loop *loop;
    void (*fn)(struct work *w);   /* work thread: touches nothing but its own struct */
    void (*done)(struct work *w); /* loop thread */
};

void loop_work(struct loop *l, struct work *w);

#endif
