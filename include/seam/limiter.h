/* SPDX-License-Identifier: Apache-2.0 */
/* Permission to start one HTTP attempt, under limits shared by the fleet (reference/rate-limits.md 4). */
#ifndef SEAM_LIMITER_H
#define SEAM_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct limiter;
struct permit;

/* One meter at a provider. 0 in a limit: not limited in that dimension. */
struct pool_conf {
    const char *id; /* stable, no secret: first 16 hex of a digest, or a name */
    int64_t requests_per_minute;
    int64_t tokens_per_minute;
    int64_t concurrency;
    int64_t largest_call;   /* tokens: B of the token bucket; > 0 when tokens_per_minute is */
    int64_t slot_return_us; /* slots of a dead worker come back after this: 10 s + the model's total timeout */
};

/* Why a permit has not been given: CONTRACTS 5 throttle_reason. */
enum throttle {
    THROTTLE_NONE,
    THROTTLE_RPM,
    THROTTLE_TPM,
    THROTTLE_CONCURRENCY,
    THROTTLE_PAUSE,
    THROTTLE_FAIRNESS,
    THROTTLE_BREAKER, /* never the limiter's: the call stood before the breaker of its model */
    THROTTLE_MAX
};
const char *throttle_name(enum throttle t); /* NULL for NONE; "rpm", "tpm", ... */

typedef void (*permit_done)(struct permit *p, void *arg);

struct permit {
    /* asked */
    int pool;       /* index into the pools given at start; -1: no limits, granted at once (by a wake-up) */
    int64_t tokens; /* estimate, >= 0 */
    bool is_retry;  /* goes to the front of the queue */
    permit_done done;
    void *arg;
    /* answered */
    bool is_over_pool;      /* tokens > largest_call (or than B): refused for ever */
    int64_t asked_us;       /* loop time of request() */
    int64_t granted_us;     /* loop time of done() */
    int64_t send_before_us; /* the grant is burned after this (tick sent + J); 0: no age limit: the pool has no rate */
    enum throttle throttle; /* what it last waited for */
    /* the implementation's; list_init()ed by request() */
    struct list link;
    int state;
    int64_t seq;
    int64_t tick_us; /* when the tick that granted it was sent */
};

/* Who of the fleet tries something that has been failing (the breaker of a model)? One does; the others wait for what
 * it says. */
enum probe_word {
    PROBE_ASK,  /* may I try? */
    PROBE_GOOD, /* it went well */
    PROBE_BAD,  /* it failed */
};

enum probe_answer {
    PROBE_YOURS,    /* nobody else tries: go on. Also said where no store is shared, or while it is away */
    PROBE_OTHERS,   /* another worker tries now: ask again later */
    PROBE_WAS_GOOD, /* another worker tried with success */
    PROBE_WAS_BAD,  /* another worker tried and failed: ask again later */
};

struct probe {
    /* said */
    enum probe_word word;
    const char *name; /* of what is tried, the same in the whole fleet: at most 64 plain characters, no secret */
    int64_t ttl_us;   /* how long the question, or the word about its end, stands; > 0 */
    void (*done)(struct probe *p, void *arg); /* of PROBE_ASK; a word about the end gets no answer */
    void *arg;
    /* answered */
    enum probe_answer answer;
    /* the implementation's */
    struct list link;
    struct limiter *limiter;
};

struct limiter_ops {
    const char *name;
    /* Asks for permission; done() comes exactly once and never from inside this call. While the backing store is away
     * the permit waits (when_down: closed). owns    `p` stays the caller's until done(); after a grant, until settle()
     */
    void (*request)(struct limiter *l, struct permit *p);
    /* Takes back a request before done(); done() never comes after it. */
    void (*cancel)(struct limiter *l, struct permit *p);
    /* Ends a granted permit: frees its concurrency slot and corrects the token bucket.
     * used_tokens   the provider's figure; -1: unknown, the estimate stays
     * was_sent      false: nothing was written, the tokens may be given back (the request dimension is burned); after
     *               send_before_us it also means that J was too short for the handshake: it grows, up to 2 s */
    void (*settle)(struct limiter *l, struct permit *p, int64_t used_tokens, bool was_sent);
    /* The provider asked to wait (429, Retry-After): stops the whole fleet's grants of the pool for `wait_us` from now.
     */
    void (*pause)(struct limiter *l, int pool, int64_t wait_us);
    /* Asks for the fleet's one try, or tells how it ended. After PROBE_ASK done() comes exactly once and never from
     * inside this call.
     * owns    with PROBE_ASK `p` and its name stay the caller's until done() or the limiter's end; else `p` is free at
     *         once */
    void (*probe)(struct limiter *l, struct probe *p);
    /* Takes new limits: `pools` begins with the pools known so far, by their ids in their order, and may have more at
     * its end; an index stays what it was. Calls under way keep their slots; permits that wait and are now larger than
     * any call may be are over the pool. No-op after stop(). (One more than a seam should have: limits change while
     * permits of the same pools are out, so that nobody else can keep the books.)
     * owns    pools[] is copied */
    void (*configure)(struct limiter *l, const struct pool_conf *pools, int n_pools);
    /* Tells the fleet that this worker's slots are free, then calls done (bounded wait: 1 s). */
    void (*stop)(struct limiter *l, void (*done)(void *arg), void *arg);
    void (*free)(struct limiter *l);
};

/* One pool as the worker knows it, for people to look at; nothing is decided by it. Requests and tokens are whole,
 * rates are per second. */
struct pool_view {
    int64_t req_cap, tok_cap;     /* bucket sizes, 0: not limited */
    int64_t req_level, tok_level; /* at seen_us, whole fleet; a token debt is negative */
    double req_rate, tok_rate;
    int64_t seen_us; /* loop time of the store's last answer, 0: none yet */
    int64_t pause_until_us;
    int64_t fleet_in_flight; /* calls of all workers at seen_us */
    int64_t fleet_workers;
    int64_t in_flight;     /* this worker's */
    int waiting;           /* this worker's permits */
    enum throttle blocked; /* why the last answer did not grant more */
};

struct limiter {
    const struct limiter_ops *ops;
    const struct pool_view *views; /* views[n_views], by pool; kept true by the limiter, moved by configure() */
    int n_views;
    bool is_down; /* the store is away: nothing is granted where there are limits */
};

#endif
