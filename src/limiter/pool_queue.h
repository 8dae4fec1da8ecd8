/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's side of one pool: the permits that wait, what has to be reported, when the next tick is due, and what an
 * answer means. Knows neither transport nor loop; limiter_core.c drives it. Loop thread only.
 *
 * Between calls: a permit is in `retries` or `waiting` (PERMIT_WAITING), in the core's ready list (PERMIT_READY) or
 * granted (PERMIT_GRANTED); in_flight counts the last two; sent[] names the permits whose costs are in `ask`, NULL when
 * taken back. */
#ifndef LIMITER_POOL_QUEUE_H
#define LIMITER_POOL_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "limiter/bucket.h"
#include "limiter/meter.h"
#include "loop.h"
#include "seam/limiter.h"

struct rng;
struct limiter_core;

enum permit_state { PERMIT_IDLE, PERMIT_WAITING, PERMIT_READY, PERMIT_GRANTED };

struct pool_queue {
    struct limiter_core *core;
    int index; /* in the core's list */
    char *id;
    struct pool_limits limits; /* of the tick under way, else of the next one */
    struct pool_conf conf;     /* what is wanted; its id is ours */
    bool has_new_conf;         /* `limits` are not made for it yet, since a tick is under way */
    int64_t largest;           /* tokens a call may have by `conf`, 0: any */
    int64_t first_age_us;      /* J of the beginning */
    int64_t grant_age_us;      /* J of the last tick; `limits` are made for it */
    int64_t next_age_us;       /* J of the next one */
    int64_t stale_us;          /* when a grant last grew too old, or J was lowered */
    struct list retries;
    struct list waiting;
    int n_waiting; /* both lists */

    /* the tick */
    struct tick_ask ask;
    struct permit *sent[TICK_MAX]; /* sent[n_sent], with the costs in `ask` */
    int n_sent;
    bool is_asking;   /* one is under way */
    bool must_resend; /* it got no answer: the same seq goes first */
    bool is_known;    /* has been answered */
    bool is_stopping;
    bool is_drained;
    int64_t seq;                  /* of the last ask */
    int64_t sent_us;              /* when it was first sent: the age of its grants */
    int64_t not_before_us;        /* back-off of a re-send after an error reply */
    int64_t asked_pause_until_us; /* of the ask under way */

    /* to report with the next tick */
    int64_t released, refund, excess;
    int64_t first_settle_us; /* 0: nothing to report */
    int64_t idle_us;         /* since when nothing is under way and the pool was not told, 0: it was */
    int64_t n_freed;         /* slots freed since the last tick */
    int64_t in_flight;
    int64_t hgen;
    int64_t own_held;           /* grants in flight that may give tokens back: they want to be kept alive */
    int64_t pause_ask_until_us; /* 0: nothing to ask */

    /* schedule */
    int64_t want_at_us; /* no tick for waiting permits before this */
    int64_t pause_until_us;
    int64_t mean_cost;     /* tokens, over the last ticks */
    enum throttle blocked; /* why the last answer did not grant more */
    int64_t n_busy;        /* workers that wait, from the last answer */
    bool is_scarce;        /* the last answer left a bucket less than half full */
    int64_t allowance;     /* our share while it is scarce and others wait too, micro-calls */
    int64_t allowance_us;  /* when it was brought up to date */
    bool others_want_slots;

    struct timer timer;
    struct list dirty; /* in the core's list: a tick is due */
};

void pool_queue_init(struct pool_queue *q, const struct pool_conf *conf, int64_t grant_age_us, int64_t now_us);
void pool_queue_done(struct pool_queue *q);
/* Other limits from the next tick on. Waiting permits that are now too large are moved to `refused`. */
void pool_queue_configure(struct pool_queue *q, const struct pool_conf *conf, int64_t now_us, struct list *refused);
/* All but the id. */
bool pool_conf_is_same(const struct pool_conf *a, const struct pool_conf *b);

void pool_queue_add(struct pool_queue *q, struct permit *p, int64_t now_us);
/* Forgets a waiting permit. */
void pool_queue_remove(struct pool_queue *q, struct permit *p);
void pool_queue_settle(struct pool_queue *q, struct permit *p, int64_t used_tokens, bool was_sent, int64_t now_us);
void pool_queue_pause(struct pool_queue *q, int64_t wait_us, int64_t now_us);

/* When the next tick should leave; INT64_MAX: none is wanted. */
int64_t pool_queue_due_us(const struct pool_queue *q, int64_t now_us);
/* Fills q->ask for sending now: a new tick, or the unanswered one. */
void pool_queue_begin(struct pool_queue *q, int64_t now_us);
/* Takes the answer to q->ask; granted permits are appended to `ready`. */
void pool_queue_answer(struct pool_queue *q, const struct tick_answer *a, struct rng *rng, int64_t now_us,
                       struct list *ready);
/* No answer came, or an error: the same seq goes again, not before `delay_us` from now. */
void pool_queue_lost(struct pool_queue *q, int64_t delay_us, int64_t now_us);

#endif
