/* SPDX-License-Identifier: Apache-2.0 */
/* One pool's state in this process: buckets, pause, and the gauge of concurrent calls over workers. The same steps in
 * the same order as tick_lua.h; change both. Never does I/O, never reads a clock. One thread at a time.
 *
 * Held tokens. A grant takes its estimate from the level; when it uses less, the rest may only come back if it was
 * counted as held all the time (level + held <= cap), else any window could see B + r*w + all refunds in flight. But
 * held tokens stop the refill, so a pool of slow calls would stand still if everything were held: at most half the cap
 * is ever held, later grants are spent at once and get nothing back, and a call too large for cap - held takes all held
 * ones as spent (next hgen). So does a worker that comes back after its calls had ceased to be counted. */
#include "limiter/meter.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "seam/limiter.h"

enum { WAIT_NOTHING, WAIT_SOMETHING, WAIT_SLOT };

static struct meter_worker *find_worker(struct meter *m, uint64_t id)
{
    for (int i = 0; i < m->n_workers; i++) {
        if (m->workers[i].id == id)
            return &m->workers[i];
    }
    return NULL;
}

static void store_worker(struct meter *m, const struct meter_worker *w)
{
    struct meter_worker *place = find_worker(m, w->id);

    if (place == NULL)
        place = find_worker(m, 0);
    if (place == NULL) {
        m->workers = mem_resize(m->workers, (size_t)(m->n_workers + 1) * sizeof(*m->workers));
        place = &m->workers[m->n_workers++];
    }
    *place = *w;
}

static bool is_holder(const struct meter_worker *w)
{
    return w->in_flight > 0 || w->wait == WAIT_SLOT;
}

/* Makes the sums over the other workers anew and forgets the dead. */
static void scan(struct meter *m, const struct pool_limits *lim, const struct meter_worker *own, int64_t now_us)
{
    m->live = m->busy = m->slots = m->holders = m->in_flight = 0;
    m->tok.held = own->hgen == m->hgen ? own->held : 0;
    for (int i = 0; i < m->n_workers; i++) {
        struct meter_worker *w = &m->workers[i];
        int64_t age_us = now_us - w->seen_us;

        if (w->id == 0 || w->id == own->id)
            continue;
        if (age_us > lim->slot_return_us || (age_us > METER_LIVE_US && w->in_flight == 0)) {
            w->id = 0;
            continue;
        }
        m->in_flight += w->in_flight;
        if (age_us > METER_LIVE_US) {
            w->held = 0;
            continue;
        }
        m->live++;
        if (w->hgen == m->hgen)
            m->tok.held += w->held;
        if (age_us > METER_WAIT_US)
            w->wait = WAIT_NOTHING;
        m->busy += w->wait != WAIT_NOTHING;
        m->slots += w->wait == WAIT_SLOT;
        m->holders += is_holder(w);
    }
    m->scanned_us = now_us;
}

/* What a worker held is not counted while it is silent for long, nor after its record is lost: then its calls' refunds
 * must not come back either. Without a record its slots were not counted, and others may be in the same position. */
static void note_return(struct meter *m, const struct tick_ask *ask, struct meter_worker *own, bool is_new,
                        int64_t now_us)
{
    bool is_forgotten = is_new && ask->is_known && ask->in_flight > 0;

    if (is_forgotten && m->slots_from_us < now_us + METER_GRACE_US)
        m->slots_from_us = now_us + METER_GRACE_US;
    if (is_forgotten || (own->in_flight > 0 && now_us - own->seen_us > METER_LIVE_US)) {
        m->hgen = (m->hgen > ask->hgen ? m->hgen : ask->hgen) + 1;
        m->tok.held = 0;
        own->held = 0;
    }
}

/* Leaves the sums as those of the other workers. */
static void take_out(struct meter *m, const struct pool_limits *lim, const struct meter_worker *own, bool is_new,
                     int64_t now_us)
{
    int64_t age_us = now_us - own->seen_us;

    if (is_new || age_us > METER_WAIT_US || now_us - m->scanned_us >= METER_SCAN_US || now_us < m->scanned_us) {
        scan(m, lim, own, now_us);
        return;
    }
    m->live--;
    m->busy -= own->wait != WAIT_NOTHING;
    m->slots -= own->wait == WAIT_SLOT;
    m->holders -= is_holder(own);
    m->in_flight -= own->in_flight;
}

/* In doubles as the function computes it. */
static int64_t rate_for_age(int64_t rate, int64_t from_us, int64_t to_us)
{
    return (int64_t)((double)rate * (double)(BUCKET_WINDOW_US + from_us) / (double)(BUCKET_WINDOW_US + to_us));
}

/* Each worker has its own J. The rates follow the largest, at once when it grows; when it falls, only after a window
 * that begins with the oldest grant has ended, for that window counts calls of both. */
static void follow_age(struct meter *m, struct pool_limits *lim, int64_t now_us)
{
    int64_t age_us = lim->grant_age_us;

    if (age_us < m->age_us) {
        lim->req_rate = rate_for_age(lim->req_rate, age_us, m->age_us);
        lim->tok_rate = rate_for_age(lim->tok_rate, age_us, m->age_us);
        if (now_us < m->age_until_us)
            return;
        if (age_us < m->age_us / 2)
            age_us = m->age_us / 2; /* in steps: another worker's may lie between */
    }
    m->age_us = age_us;
    m->age_until_us = now_us + BUCKET_WINDOW_US + age_us;
}

static void refill(struct meter *m, const struct pool_limits *lim, int64_t now_us)
{
    int64_t dt_us = now_us > m->t_us ? now_us - m->t_us : 0;

    m->t_us = now_us;
    if (lim->req_cap > 0)
        bucket_refill(&m->req, lim->req_cap, lim->req_rate, dt_us);
    if (lim->tok_cap > 0)
        bucket_refill(&m->tok, lim->tok_cap, lim->tok_rate, dt_us);
}

static void apply_settles(struct meter *m, const struct pool_limits *lim, struct meter_worker *own,
                          const struct tick_ask *ask)
{
    int64_t released = ask->released * BUCKET_UNIT;
    int64_t refund = ask->refund * BUCKET_UNIT;

    if (own->hgen != m->hgen) {
        own->held = 0;
        own->hgen = m->hgen;
    }
    if (ask->hgen != m->hgen)
        released = 0;
    released = released < own->held ? released : own->held;
    refund = refund < released ? refund : released;
    own->held -= released;
    bucket_release(&m->tok, lim->tok_cap, released, refund);
    m->tok.level -= ask->excess * BUCKET_UNIT;
}

/* True when no slot is free for this worker, which holds `mine`. While others wait for one, a worker at its equal share
 * leaves one free slot to each of them; where there are fewer slots than workers, one that has just freed a slot lets
 * others ask first. */
static bool is_slot_refused(const struct meter *m, const struct pool_limits *lim, int64_t mine, bool has_freed)
{
    int64_t wanting = m->holders + 1;

    if (m->in_flight + mine >= lim->concurrency)
        return true;
    if (m->slots == 0)
        return false;
    if (lim->concurrency < wanting && has_freed)
        return true;
    if (mine * wanting < lim->concurrency)
        return false;
    return m->in_flight + mine + m->slots >= lim->concurrency;
}

/* Why a call of `cost` micro-units cannot be granted now, and when it could. */
static enum throttle judge(const struct meter *m, const struct pool_limits *lim, int64_t cost, int64_t reserved,
                           int64_t *out_retry_us)
{
    enum throttle why = THROTTLE_NONE;
    int64_t missing = cost - (m->tok.level - reserved);

    *out_retry_us = 0;
    if (lim->req_cap > 0 && m->req.level < BUCKET_UNIT) {
        why = THROTTLE_RPM;
        *out_retry_us = bucket_wait_us(&m->req, lim->req_rate, BUCKET_UNIT - m->req.level);
    }
    if (lim->tok_cap > 0 && missing > 0) {
        int64_t wait_us = bucket_wait_us(&m->tok, lim->tok_rate, missing);

        if (wait_us > *out_retry_us) {
            why = THROTTLE_TPM;
            *out_retry_us = wait_us;
        }
    }
    return why;
}

/* A call too large for what held tokens leave room for takes them as spent; a large one at the head is saved for. */
static void help_large_call(struct meter *m, const struct pool_limits *lim, struct meter_worker *own, int64_t cost,
                            int64_t now_us, struct tick_answer *out)
{
    if (cost > lim->tok_cap - m->tok.held) {
        m->tok.held = 0;
        m->hgen++;
        own->held = 0;
        own->hgen = m->hgen;
        out->held = 0;
    }
    if (cost > lim->tok_cap / 4 && m->jumbo_id == 0 && now_us >= m->jumbo_next_us) {
        m->jumbo_id = own->id;
        m->jumbo_need = cost;
        m->jumbo_until_us = now_us + 2 * out->retry_us + METER_WAIT_US;
    }
}

static void grant(struct meter *m, const struct pool_limits *lim, struct meter_worker *own, const struct tick_ask *ask,
                  bool has_freed, struct tick_answer *out)
{
    bool can_hold = true;
    int64_t reserved = 0;
    int64_t now_us = m->t_us;

    if (m->jumbo_id != 0 && (now_us >= m->jumbo_until_us ||
                             (m->jumbo_id == own->id && (ask->n == 0 || ask->cost[0] * BUCKET_UNIT < m->jumbo_need))))
        m->jumbo_id = 0;
    if (m->jumbo_id != 0 && m->jumbo_id != own->id)
        reserved = m->jumbo_need;
    for (int i = 0; i < ask->n; i++) {
        int64_t cost = lim->tok_cap > 0 ? ask->cost[i] * BUCKET_UNIT : 0;

        if (m->pause_until_us > now_us) {
            out->why = THROTTLE_PAUSE;
            out->retry_us = m->pause_until_us - now_us;
            return;
        }
        if (lim->concurrency > 0 && (m->slots_from_us > now_us || is_slot_refused(m, lim, own->in_flight, has_freed))) {
            out->why = THROTTLE_CONCURRENCY;
            out->retry_us = m->slots_from_us > now_us ? m->slots_from_us - now_us : 0;
            return;
        }
        out->why = judge(m, lim, cost, reserved, &out->retry_us);
        if (out->why != THROTTLE_NONE) {
            if (out->why == THROTTLE_TPM)
                help_large_call(m, lim, own, cost, now_us, out);
            return;
        }
        if (i == 0 && m->jumbo_id == own->id) {
            m->jumbo_id = 0;
            m->jumbo_next_us = now_us + bucket_wait_us(&m->tok, lim->tok_rate, m->jumbo_need);
        }
        m->req.level -= lim->req_cap > 0 ? BUCKET_UNIT : 0;
        m->tok.level -= cost;
        can_hold = can_hold && m->tok.held + cost <= lim->tok_cap / 2;
        if (can_hold) {
            m->tok.held += cost;
            own->held += cost;
            out->held++;
        }
        own->in_flight++;
        out->granted++;
    }
}

static void create(struct meter *m, bool is_known, int64_t now_us)
{
    m->is_created = true;
    m->t_us = now_us;
    m->hgen = 1;
    m->slots_from_us = is_known ? now_us + METER_GRACE_US : 0;
}

int meter_tick(struct meter *m, const struct pool_limits *given, uint64_t id, const struct tick_ask *ask,
               int64_t now_us, struct tick_answer *out)
{
    struct pool_limits limits = *given;
    const struct pool_limits *lim = &limits;
    struct meter_worker own = {.id = id};
    const struct meter_worker *old = find_worker(m, id);
    bool has_freed;

    CHECK(id != 0 && ask->n >= 0 && ask->n <= TICK_MAX);
    if (old != NULL && old->seq == ask->seq) {
        *out = old->answer;
        return 0;
    }
    if (old != NULL && old->seq > ask->seq)
        return -ESTALE;
    if (old != NULL)
        own = *old;
    if (!m->is_created)
        create(m, ask->is_known, now_us);
    follow_age(m, &limits, now_us);
    note_return(m, ask, &own, old == NULL, now_us);
    take_out(m, lim, &own, old == NULL, now_us);
    refill(m, lim, now_us);
    apply_settles(m, lim, &own, ask);
    if (ask->pause_us > 0 && now_us + ask->pause_us > m->pause_until_us)
        m->pause_until_us = now_us + ask->pause_us;

    *out = (struct tick_answer){0};
    has_freed = ask->in_flight < own.in_flight;
    own.in_flight = ask->in_flight;
    own.seq = ask->seq;
    own.seen_us = now_us;
    if (ask->is_drain) {
        m->tok.held -= own.held;
        if (old != NULL)
            find_worker(m, id)->id = 0;
        return 0;
    }
    grant(m, lim, &own, ask, has_freed, out);
    own.wait = out->why == THROTTLE_CONCURRENCY                ? WAIT_SLOT
               : out->why != THROTTLE_NONE || ask->backlog > 0 ? WAIT_SOMETHING
                                                               : WAIT_NOTHING;
    out->slots = m->slots;
    m->live++;
    m->busy += own.wait != WAIT_NOTHING;
    m->slots += own.wait == WAIT_SLOT;
    m->holders += is_holder(&own);
    m->in_flight += own.in_flight;
    out->pause_us = m->pause_until_us > now_us ? m->pause_until_us - now_us : 0;
    out->live = m->live;
    out->busy = m->busy;
    out->in_flight = m->in_flight;
    out->req_level = m->req.level;
    out->tok_level = m->tok.level;
    out->hgen = m->hgen;
    own.answer = *out;
    store_worker(m, &own);
    return 0;
}

void meter_done(struct meter *m)
{
    mem_free(m->workers);
    *m = (struct meter){0};
}
