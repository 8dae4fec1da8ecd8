/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of src/loop share: the loop itself and the small interface that a way of waiting (libevent or virtual
 * time) fills in. Nothing outside src/loop includes it. */
#ifndef LOOP_INTERNAL_H
#define LOOP_INTERNAL_H

#include <pthread.h>

#include "loop.h"

struct work_pool;

/* A way of waiting. Both run the same turn (loop.c). */
struct loop_ops {
    const char *name;
    /* Waits for descriptors, posts or the earliest timer and runs descriptor callbacks; only polls unless may_block. */
    void (*wait)(struct loop *l, bool may_block);
    /* Brings now_us and wall_us up to date. */
    void (*refresh)(struct loop *l);
    int64_t (*clock)(const struct loop *l);
    /* Wakes a wait() on the loop's thread. thread  any */
    void (*interrupt)(struct loop *l);
    void (*done)(struct loop *l);
};

/* Running timers. A timer started during a turn for a time not after that turn's `now` waits in fresh[] until the next
 * turn begins; all others are in the heap. timer.index: i in the heap, TIMER_FRESH + i in fresh[], -1 not running. */
struct timers {
    struct timer **heap;  /* [n_heap], 4-ary, smallest (deadline_us, seq) first */
    struct timer **fresh; /* [n_fresh], no order */
    int n_heap, cap_heap;
    int n_fresh, cap_fresh;
    uint64_t next_seq;
};

/* Functions from other threads, under `lock`. */
struct posts {
    pthread_mutex_t lock;
    struct list queue; /* struct post, oldest first */
    pthread_t owner;   /* thread inside loop_run(), valid while is_owned */
    bool is_owned;
    bool is_waiting; /* the loop may be blocked: the next post must interrupt() it, once */
};

struct loop {
    const struct loop_ops *ops;
    int64_t now_us;
    int64_t wall_us;
    bool is_stale;   /* the wait may have returned since now_us was read: the next reader refreshes it */
    bool is_running; /* inside loop_run() */
    bool is_stopping;
    uint64_t turn; /* number of the turn under way, from 1 */
    int last_fd;   /* descriptor whose callback ran last in this turn, -1: none */
    int64_t slow_logged_us;
    struct timers timers;
    struct list wakes;
    struct list hooks;
    struct posts posts;
    struct work_pool *pool; /* NULL until the first loop_work() */
    struct list works_done; /* simulation: works that have run, their done not yet */
    struct wake works_wake;
    struct event_base *base; /* NULL in simulation */
    void *priv;              /* of ops */
};

/* loop.c: a loop without a way of waiting; loop_free() ends it. */
struct loop *loop_make(const struct loop_ops *ops);
/* Reads the clocks when they may be out of date. */
void loop_refresh(struct loop *l);

/* timer.c */
void timers_done(struct timers *ts);
/* Puts what was started last turn with a past time into the heap; once, before waiting. */
void timers_admit(struct timers *ts);
/* Runs what is due at l->now_us; returns how many ran. */
int timers_run(struct loop *l);
/* The earliest timer of the heap, NULL when there is none. */
const struct timer *timers_first(const struct timers *ts);

/* post.c */
void posts_init(struct posts *p);
void posts_done(struct posts *p);
/* From now on (until set to false) a post of this thread runs in the next turn, not in the one under way. */
void posts_set_owner(struct posts *p, bool is_owned);
/* True when nothing is posted; then, with will_block, the next post interrupts the wait. */
bool posts_prepare(struct posts *p, bool will_block);
/* Runs what was posted, except by this thread in this turn; returns how many ran. */
int posts_run(struct loop *l);
/* At the loop's end, when no other thread posts any more: runs those of `fn`, the rest is dropped by posts_done(). */
void posts_run_last(struct loop *l, void (*fn)(void *arg));

/* work.c: waits for work under way, drops what has not begun. NULL is fine. */
void work_pool_free(struct loop *l);
/* Simulation: runs the done of all works that ran inline. */
void works_run_done(void *loop);

#endif
