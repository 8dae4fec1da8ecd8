/* SPDX-License-Identifier: Apache-2.0 */
/* The tick: the one operation between a worker and a pool's shared state, as plain data, and the state machine that
 * answers it. tick_lua.h is the same machine as a Redis function; a test drives both with the same ticks and compares
 * every answer. source: reference/rate-limits.md 4.3, 4.4 */
#ifndef LIMITER_METER_H
#define LIMITER_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "limiter/bucket.h"

enum {
    TICK_MAX = 64,            /* costs in one tick */
    METER_LIVE_US = 10000000, /* a worker silent for longer does not count as live; what it held is taken as spent */
    METER_SCAN_US = 1000000,  /* how often sums over workers are made anew */
    METER_WAIT_US = 2000000,  /* a waiting worker silent for longer is not waited for */
    METER_GRACE_US = 6000000, /* after lost state no slot is given for so long: every live worker reports within 3 s */
};

/* What a worker says. Token figures in tokens. */
struct tick_ask {
    int64_t seq;       /* rising; the same seq again gets the stored answer and changes nothing */
    int64_t hgen;      /* the next three belong to this generation of held grants */
    int64_t released;  /* held tokens of grants that ended */
    int64_t refund;    /* of those, not used */
    int64_t excess;    /* used above the estimates: makes debt; any generation */
    int64_t in_flight; /* grants not settled */
    int64_t pause_us;  /* stop the pool for so long; 0: no */
    int64_t backlog;   /* permits waiting beyond cost[] */
    bool is_drain;     /* the worker leaves: forget it */
    bool is_known;     /* this worker has been answered before: missing state means lost state */
    int n;
    int64_t cost[TICK_MAX]; /* tokens, FIFO order; each also one request and one slot */
};

/* What the pool says; nothing but int64_t, in the order of the function's reply. */
struct tick_answer {
    int64_t granted;   /* the first so many of cost[] */
    int64_t held;      /* the first so many of those may get tokens back */
    int64_t why;       /* enum throttle of the next one */
    int64_t retry_us;  /* time until that one could be granted; 0: unknown */
    int64_t pause_us;  /* rest of the pause */
    int64_t live;      /* workers, this one included */
    int64_t busy;      /* workers with something waiting, this one included */
    int64_t slots;     /* other workers that wait for a slot */
    int64_t in_flight; /* whole fleet, these grants included */
    int64_t req_level; /* micro-units */
    int64_t tok_level;
    int64_t hgen;
};
enum { TICK_ANSWER_LEN = sizeof(struct tick_answer) / sizeof(int64_t) };

/* One worker as the pool knows it. */
struct meter_worker {
    uint64_t id; /* 0: free entry */
    int64_t seq;
    int64_t seen_us;
    int64_t in_flight;
    int64_t held; /* micro-units, of generation hgen */
    int64_t hgen;
    int wait; /* 0 nothing, 1 something, 2 a slot */
    struct tick_answer answer;
};

/* One pool's state. Zeroed is the created state, apart from hgen, which meter_tick() sets. */
struct meter {
    bool is_created;
    int64_t t_us; /* of the levels */
    struct bucket req;
    struct bucket tok;
    int64_t hgen; /* held grants of older generations are taken as spent */
    int64_t pause_until_us;
    int64_t slots_from_us; /* no slot before this */
    int64_t age_us;        /* J of the rates: the largest one of grants that a window still open may hold */
    int64_t age_until_us;  /* not lowered before this */
    int64_t scanned_us;
    /* sums over workers as of their last ticks: live ones, those with something waiting, those waiting for a slot,
     * those that hold or want a slot, and slots in use */
    int64_t live, busy, slots, holders, in_flight;
    uint64_t jumbo_id;  /* the worker for whose large call the token level is left to rise; 0: none */
    int64_t jumbo_need; /* micro-units */
    int64_t jumbo_until_us;
    int64_t jumbo_next_us; /* no new one before this, so that small calls get their half */
    struct meter_worker *workers;
    int n_workers;
};

/* Answers one tick. -ESTALE: an older seq than the last one of this worker; nothing changed. */
int meter_tick(struct meter *m, const struct pool_limits *given, uint64_t id, const struct tick_ask *ask,
               int64_t now_us, struct tick_answer *out);
void meter_done(struct meter *m);

#endif
