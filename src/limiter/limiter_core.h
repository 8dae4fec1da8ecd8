/* SPDX-License-Identifier: Apache-2.0 */
/* What limiters have in common: pools, the permits that are ready, and when ticks leave. A limiter embeds it as its
 * first member and adds how a tick travels. Loop thread only. */
#ifndef LIMITER_CORE_H
#define LIMITER_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "limiter/pool_queue.h"
#include "loop.h"
#include "seam/limiter.h"

#define LIMITER_GRANT_AGE_US INT64_C(500000) /* J at first */

struct limiter_core {
    struct limiter api; /* first: struct limiter * is this */
    struct loop *loop;
    struct rng *rng;
    struct pool_queue **pools; /* pools[n_pools]; their addresses are held by timers and by commands under way */
    struct pool_view *views;   /* views[n_pools], lent to api */
    int n_pools;
    int64_t grant_age_us; /* J of a new pool */
    /* Sends q->ask; limiter_core_answer() or limiter_core_lost() follows later, never from inside. <0: not sent. */
    int (*send)(struct limiter_core *c, struct pool_queue *q);
    bool is_up; /* ticks can travel */

    struct list ready;  /* permits whose done() is due */
    struct list probed; /* probes whose done() is due */
    struct list dirty;  /* pools whose tick is due: sent at the end of the turn, all in one write */
    struct wake wake;   /* delivers `ready` and `probed` */
    struct hook hook;   /* sends for `dirty` */

    void (*stop_done)(void *arg);
    void *stop_arg;
    struct timer stop_timer;
    bool is_stopping;
};

void limiter_core_init(struct limiter_core *c, const struct limiter_ops *ops, struct loop *loop, struct rng *rng,
                       const struct pool_conf *pools, int n_pools, int64_t grant_age_us);
void limiter_core_done(struct limiter_core *c);

void limiter_core_answer(struct limiter_core *c, struct pool_queue *q, const struct tick_answer *a);
void limiter_core_lost(struct limiter_core *c, struct pool_queue *q, int64_t delay_us);
/* The way to the store is open, or closed: nothing is sent while closed. */
void limiter_core_set_up(struct limiter_core *c, bool is_up);
/* Looks anew when this pool's tick is due. */
void limiter_core_kick(struct limiter_core *c, struct pool_queue *q);

/* Answers a PROBE_ASK: its done() comes from the wake queue. */
void limiter_core_answer_probe(struct limiter_core *c, struct probe *p, enum probe_answer answer);

/* Six of the eight operations; configure() is theirs to complete. */
void limiter_core_request(struct limiter *l, struct permit *p);
void limiter_core_cancel(struct limiter *l, struct permit *p);
void limiter_core_settle(struct limiter *l, struct permit *p, int64_t used_tokens, bool was_sent);
void limiter_core_pause(struct limiter *l, int pool, int64_t wait_us);
void limiter_core_configure(struct limiter *l, const struct pool_conf *pools, int n_pools);
void limiter_core_stop(struct limiter *l, void (*done)(void *arg), void *arg);

#endif
