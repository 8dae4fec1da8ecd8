/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets and meters as arithmetic: B and r of a limit, the any-window bound under random schedules, all-or-nothing,
 * idempotence, held tokens, the gauge over workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "limiter/bucket.h"
#include "limiter/meter.h"
#include "seam/limiter.h"
#include "unit/limiter/spend_log.h"

#define J_US   INT64_C(500000)
#define SECOND INT64_C(1000000)

static struct pool_limits limits(int64_t rpm, int64_t tpm, int64_t largest, int64_t concurrency)
{
    struct pool_conf conf = {.id = "p",
                             .requests_per_minute = rpm,
                             .tokens_per_minute = tpm,
                             .largest_call = largest,
                             .concurrency = concurrency,
                             .slot_return_us = 20 * SECOND};
    struct pool_limits lim;

    pool_limits_of(&lim, &conf, J_US);
    return lim;
}

static void test_limits(void **state)
{
    static const int64_t per_minute[] = {1, 2, 3, 50, 60, 600, 6000, 60000, 1000000000};
    struct pool_limits lim;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(per_minute); i++) {
        double window = 60.5;

        lim = limits(per_minute[i], per_minute[i] * 100, per_minute[i] * 5, 0);
        assert_true(lim.req_cap >= BUCKET_UNIT && lim.req_rate > 0);
        if (per_minute[i] > 1) /* B + r (W + J) <= L */
            assert_true((double)lim.req_cap + (double)lim.req_rate * window <= (double)per_minute[i] * 1e6);
        else /* whole calls: less than two */
            assert_true((double)lim.req_cap + (double)lim.req_rate * window < 2e6);
        assert_true((double)lim.tok_cap + (double)lim.tok_rate * window <= (double)per_minute[i] * 1e8);
    }
    lim = limits(6000, 0, 0, 7);
    assert_int_equal(lim.req_cap, 120 * BUCKET_UNIT);
    assert_int_equal(lim.req_rate, (int64_t)(5880e6 / 60.5));
    assert_int_equal(lim.tok_cap, 0);
    lim = limits(0, 1000, 5000, 0); /* larger than the limit itself: some rate must remain */
    assert_int_equal(lim.tok_cap, 900 * BUCKET_UNIT);
}

static void test_refill_keeps_fractions(void **state)
{
    struct bucket b = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        bucket_refill(&b, 10 * BUCKET_UNIT, 333, 1000); /* 0.333 micro-units each */
    assert_int_equal(b.level, 333);
    assert_int_equal(bucket_wait_us(&b, 333, 333), SECOND);
    bucket_refill(&b, 10 * BUCKET_UNIT, 333, INT64_C(1) << 55);
    assert_int_equal(b.level, 10 * BUCKET_UNIT);
    b.held = 4 * BUCKET_UNIT;
    b.level = 0;
    bucket_refill(&b, 10 * BUCKET_UNIT, 5 * BUCKET_UNIT, 100 * SECOND);
    assert_int_equal(b.level, 6 * BUCKET_UNIT); /* level + held <= cap */
    b.level = 0;
    bucket_release(&b, 10 * BUCKET_UNIT, 4 * BUCKET_UNIT, 3 * BUCKET_UNIT);
    assert_int_equal(b.level, 3 * BUCKET_UNIT);
    assert_int_equal(b.held, 0);
}

/* A granted call of the random schedule. */
struct call {
    int worker;
    int64_t hgen, cost, used;
    bool is_held;
};

enum { WORKERS = 3, CALLS_MAX = 4096 };

struct world {
    struct rng rng;
    struct meter meter;
    struct pool_limits lim;
    int64_t now_us;
    int64_t woke_us; /* end of the last silence of all workers that made them count as dead */
    struct call calls[CALLS_MAX];
    int n_calls;
    int64_t seq[WORKERS], in_flight[WORKERS];
    int64_t released[WORKERS], refund[WORKERS], excess[WORKERS], hgen[WORKERS];
    struct spend_log requests, tokens;
    bool has_excess;
    double total_excess; /* the bound is weaker by this */
    int64_t n_granted;
};

static void settle_some(struct world *w, int worker, int percent)
{
    for (int i = 0; i < w->n_calls; i++) {
        struct call c = w->calls[i];

        if (c.worker != worker || (int)rng_below(&w->rng, 100) >= percent)
            continue;
        w->calls[i--] = w->calls[--w->n_calls];
        w->in_flight[worker]--;
        if (c.used > c.cost)
            w->excess[worker] += c.used - c.cost;
        if (c.is_held && c.hgen == w->hgen[worker]) {
            w->released[worker] += c.cost;
            w->refund[worker] += c.used < c.cost ? c.cost - c.used : 0;
        }
    }
}

static void tick(struct world *w, int worker, int max_want, int64_t max_cost)
{
    struct tick_ask ask = {.seq = ++w->seq[worker],
                           .hgen = w->hgen[worker],
                           .released = w->released[worker],
                           .refund = w->refund[worker],
                           .excess = w->excess[worker],
                           .in_flight = w->in_flight[worker],
                           .is_known = w->seq[worker] > 1};
    struct tick_answer a;

    ask.n = (int)rng_below(&w->rng, (uint64_t)max_want + 1);
    for (int i = 0; i < ask.n; i++)
        ask.cost[i] = rng_between(&w->rng, 1, rng_below(&w->rng, 8) == 0 ? max_cost : max_cost / 10);
    CHECK(meter_tick(&w->meter, &w->lim, (uint64_t)worker + 1, &ask, w->now_us, &a) == 0);
    w->released[worker] = w->refund[worker] = w->excess[worker] = 0;
    w->hgen[worker] = a.hgen;
    for (int i = 0; i < a.granted && w->n_calls < CALLS_MAX; i++) {
        struct call *c = &w->calls[w->n_calls++];

        *c = (struct call){.worker = worker, .hgen = a.hgen, .cost = ask.cost[i], .is_held = i < a.held};
        /* after a silence new calls use all they asked for: only refunds of old ones could make room for more */
        c->used = w->now_us - w->woke_us < SECOND ? c->cost : rng_between(&w->rng, 0, c->cost);
        if (w->has_excess && rng_below(&w->rng, 40) == 0)
            c->used = c->cost + rng_between(&w->rng, 1, 20);
        w->total_excess += c->used > c->cost ? (double)(c->used - c->cost) * 1e6 : 0;
        spend_add(&w->requests, w->now_us, BUCKET_UNIT);
        spend_add(&w->tokens, w->now_us, c->used * BUCKET_UNIT); /* the provider counts what is used */
        w->in_flight[worker]++;
        w->n_granted++;
    }
    CHECK(w->meter.tok.level + w->meter.tok.held <= w->lim.tok_cap);
    CHECK(w->meter.req.level >= 0 && w->meter.req.level <= w->lim.req_cap);
    CHECK(w->meter.tok.held >= 0 && w->meter.tok.held <= w->lim.tok_cap / 2);
}

static void test_any_window(void **state)
{
    static struct world w;

    (void)state;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        memset(&w, 0, sizeof(w));
        rng_seed(&w.rng, seed);
        w.has_excess = seed <= 8;
        w.lim = limits(3000, 60000, 3000, seed % 3 == 0 ? 40 : 0);
        w.now_us = 1000 * SECOND;
        for (int i = 0; i < 8000; i++) {
            int worker = (int)rng_below(&w.rng, WORKERS);
            int64_t step_us =
                rng_below(&w.rng, 200) == 0 ? rng_between(&w.rng, 0, 15 * SECOND) : rng_between(&w.rng, 0, 40000);

            /* long pauses let levels fill, short steps drain them; slow and quick settles */
            w.now_us += step_us;
            if (step_us > METER_LIVE_US)
                w.woke_us = w.now_us;
            settle_some(&w, worker, seed % 2 == 0 || w.now_us - w.woke_us < SECOND ? 50 : 3);
            if (rng_below(&w.rng, 2000) == 0) { /* a worker dies and comes back as new */
                settle_some(&w, worker, 100);
                w.released[worker] = w.refund[worker] = 0;
            }
            tick(&w, worker, 6, seed > 8 ? 700 : 3000); /* large calls change generations all the time */
        }
        assert_true(w.n_granted > 1000);
        assert_true(spend_worst(&w.requests, (double)w.lim.req_cap, (double)w.lim.req_rate) <= 1.0);
        assert_true(spend_worst(&w.tokens, (double)w.lim.tok_cap + w.total_excess, (double)w.lim.tok_rate) <= 1.0);
        assert_true(spend_max(&w.requests, 60 * SECOND) <= 3000 * BUCKET_UNIT);
        meter_done(&w.meter);
    }
}

/* One pool and what one worker says to it. */
struct one {
    struct meter meter;
    struct pool_limits lim;
    int64_t now_us;
    struct tick_ask ask;
    struct tick_answer a;
};

static void say(struct one *o, uint64_t id)
{
    assert_int_equal(meter_tick(&o->meter, &o->lim, id, &o->ask, o->now_us, &o->a), 0);
}

static void ask_for(struct one *o, uint64_t id, int64_t seq, int n, int64_t cost)
{
    o->ask.seq = seq;
    o->ask.n = n;
    o->ask.hgen = o->a.hgen;
    for (int i = 0; i < n; i++)
        o->ask.cost[i] = cost;
    say(o, id);
    o->ask.released = o->ask.refund = o->ask.excess = 0;
}

static void test_created_empty_and_all_or_nothing(void **state)
{
    struct one o = {.lim = limits(600, 6000, 300, 0), .now_us = 5 * SECOND};

    (void)state;
    ask_for(&o, 1, 1, 3, 10);
    assert_int_equal(o.a.granted, 0);
    assert_int_equal(o.a.why, THROTTLE_TPM); /* 10 tokens take longer to come than one request */
    o.now_us += 60 * SECOND;
    ask_for(&o, 1, 2, 5, 200);
    assert_int_equal(o.a.granted, 1);
    assert_int_equal(o.a.req_level, 11 * BUCKET_UNIT); /* the refused call took nothing of any dimension */
    assert_int_equal(o.a.tok_level, 100 * BUCKET_UNIT);
    assert_int_equal(o.a.why, THROTTLE_TPM);
    o.now_us += o.a.retry_us - 1;
    ask_for(&o, 1, 3, 1, 200);
    assert_int_equal(o.a.granted, 0);
    o.now_us += 1;
    ask_for(&o, 1, 4, 1, 200);
    assert_int_equal(o.a.granted, 1); /* retry_us is exact */
    meter_done(&o.meter);
}

static void test_same_seq_changes_nothing(void **state)
{
    struct one o = {.lim = limits(600, 0, 0, 0), .now_us = 5 * SECOND};
    struct tick_answer first;

    (void)state;
    ask_for(&o, 1, 1, 0, 0);
    o.now_us += 60 * SECOND;
    ask_for(&o, 1, 2, 5, 0);
    first = o.a;
    assert_int_equal(first.granted, 5);
    o.now_us += SECOND;
    ask_for(&o, 1, 2, 5, 0);
    assert_memory_equal(&o.a, &first, sizeof(first));
    assert_int_equal(o.meter.req.level, 7 * BUCKET_UNIT);
    o.ask.seq = 1;
    assert_int_equal(meter_tick(&o.meter, &o.lim, 1, &o.ask, o.now_us, &o.a), -ESTALE);
    meter_done(&o.meter);
}

static void test_held_tokens_come_back(void **state)
{
    struct one o = {.lim = limits(0, 60000, 3000, 0), .now_us = 5 * SECOND};

    (void)state;
    ask_for(&o, 1, 1, 0, 0);
    o.now_us += 60 * SECOND;
    ask_for(&o, 1, 2, 3, 1000);
    assert_int_equal(o.a.granted, 3);
    assert_int_equal(o.a.held, 1); /* at most half of B is held */
    o.ask.released = 1000;
    o.ask.refund = 900;
    ask_for(&o, 1, 3, 0, 0);
    assert_int_equal(o.a.tok_level, 900 * BUCKET_UNIT);
    o.ask.released = 1000; /* twice: it holds nothing more */
    o.ask.refund = 900;
    ask_for(&o, 1, 4, 0, 0);
    assert_int_equal(o.a.tok_level, 900 * BUCKET_UNIT);
    o.ask.excess = 2000; /* debt */
    ask_for(&o, 1, 5, 1, 1);
    assert_int_equal(o.a.granted, 0);
    assert_int_equal(o.a.tok_level, -1100 * BUCKET_UNIT);
    meter_done(&o.meter);
}

/* What was held when a worker fell silent is spent: refunds of those calls must not make room beside a full bucket. */
static void test_silence_forfeits_held_tokens(void **state)
{
    struct one o = {.lim = limits(0, 60000, 3000, 0), .now_us = 5 * SECOND};
    int64_t hgen, granted = 0;

    (void)state;
    ask_for(&o, 1, 1, 0, 0);
    o.now_us += 60 * SECOND;
    ask_for(&o, 1, 2, 3, 500);
    assert_int_equal(o.a.held, 3);
    hgen = o.a.hgen;
    o.now_us += METER_LIVE_US + 1;
    o.ask.in_flight = 3;
    ask_for(&o, 1, 3, 10, 500);
    granted += o.a.granted;
    o.ask.in_flight = 3 + o.a.granted;
    o.ask.released = o.a.hgen == hgen ? 1500 : 0; /* the worker forgets what was held when the generation is new */
    o.ask.refund = o.ask.released;
    ask_for(&o, 1, 4, 10, 500);
    granted += o.a.granted;
    assert_int_equal(granted * 500, 3000); /* B */
    meter_done(&o.meter);
}

/* The state is lost and made anew: its first generation is not the one that the worker's grants belong to. */
static void test_lost_state_forfeits_held_tokens(void **state)
{
    struct one o = {.lim = limits(0, 60000, 3000, 4), .now_us = 5 * SECOND};
    int64_t hgen;

    (void)state;
    ask_for(&o, 1, 1, 0, 0);
    o.now_us += 60 * SECOND;
    ask_for(&o, 1, 2, 3, 500);
    o.ask.in_flight = 3;
    ask_for(&o, 1, 3, 1, 3000); /* takes the held ones as spent */
    o.ask.in_flight = 0;
    hgen = o.a.hgen;
    assert_int_equal(hgen, 2);
    meter_done(&o.meter);
    /* made anew by a worker that knows nothing of it; it gets slots until another says that it has some */
    ask_for(&o, 2, 1, 0, 0);
    o.now_us += 10 * SECOND;
    ask_for(&o, 2, 2, 1, 1);
    assert_int_equal(o.a.granted, 1);
    o.a.hgen = hgen;
    o.ask.is_known = true;
    o.ask.in_flight = 3;
    ask_for(&o, 1, 4, 0, 0);
    assert_true(o.a.hgen > hgen);
    o.ask.is_known = false;
    o.ask.in_flight = 0;
    ask_for(&o, 2, 3, 1, 1);
    assert_int_equal(o.a.granted, 0);
    assert_int_equal(o.a.why, THROTTLE_CONCURRENCY);
    o.now_us += METER_GRACE_US;
    ask_for(&o, 2, 4, 1, 1);
    assert_int_equal(o.a.granted, 1);
    meter_done(&o.meter);
}

static void test_large_call_is_not_starved(void **state)
{
    struct one o = {.lim = limits(0, 60000, 3000, 0), .now_us = 5 * SECOND};
    int64_t seq = 1;
    int64_t waited_us = 0;
    bool is_granted = false;

    (void)state;
    ask_for(&o, 1, ++seq, 0, 0);
    o.now_us += 60 * SECOND;
    ask_for(&o, 1, ++seq, 64, 500); /* held tokens: a call of B must not wait for them */
    while (!is_granted && waited_us < 20 * SECOND) {
        ask_for(&o, 1, ++seq, 64, 50); /* worker 1 takes all it can get */
        ask_for(&o, 2, seq, 1, 3000);
        is_granted = o.a.granted == 1;
        o.now_us += 50000;
        waited_us += 50000;
    }
    assert_true(is_granted);
    assert_true(waited_us < 7 * SECOND); /* 2 B / r */
    assert_true(o.a.hgen > 1);
    for (int i = 0; i < 40 && o.a.granted == 0; i++) {
        o.now_us += 50000;
        ask_for(&o, 2, ++seq, 1, 3000);
        ask_for(&o, 1, seq, 1, 50);
    }
    assert_int_equal(o.a.granted, 1); /* nor do large calls starve small ones */
    meter_done(&o.meter);
}

static void test_gauge_and_dead_worker(void **state)
{
    struct one o = {.lim = limits(0, 0, 0, 10), .now_us = 5 * SECOND};

    (void)state;
    ask_for(&o, 1, 1, 8, 0);
    assert_int_equal(o.a.granted, 8);
    ask_for(&o, 2, 1, 8, 0);
    assert_int_equal(o.a.granted, 2);
    assert_int_equal(o.a.why, THROTTLE_CONCURRENCY);
    assert_int_equal(o.a.in_flight, 10);
    /* worker 1 frees one while worker 2 waits: above its share it leaves the slot */
    o.ask.in_flight = 7;
    ask_for(&o, 1, 2, 8, 0);
    assert_int_equal(o.a.granted, 0);
    assert_int_equal(o.a.slots, 1);
    o.ask.in_flight = 2;
    ask_for(&o, 2, 2, 8, 0);
    assert_int_equal(o.a.granted, 1);
    /* worker 1 dies: its slots come back slot_return_us after its last tick, not before */
    for (int64_t seq = 3; seq < 24; seq++) {
        o.now_us += SECOND;
        o.ask.in_flight = 3;
        ask_for(&o, 2, seq, 0, 0);
        assert_int_equal(o.a.in_flight, seq < 23 ? 10 : 3);
    }
    meter_done(&o.meter);
}

static void test_slots_rotate_where_workers_are_many(void **state)
{
    struct one o = {.lim = limits(0, 0, 0, 2), .now_us = 5 * SECOND};
    int64_t got[6] = {0}, holds[6] = {0}, seq = 0;

    (void)state;
    for (int round = 0; round < 300; round++) {
        seq++;
        o.now_us += 100000;
        for (int i = 1; i < 6; i++) {
            if (round % 3 == i % 3)
                holds[i] = 0; /* the call ended */
            o.ask.in_flight = holds[i];
            ask_for(&o, (uint64_t)i, seq, 4, 0);
            got[i] += o.a.granted;
            holds[i] += o.a.granted;
        }
        for (int i = 1, all = 0; i < 6; i++)
            assert_true((all += (int)holds[i]) <= 2);
    }
    for (int i = 1; i < 6; i++)
        assert_true(got[i] > 5);
    meter_done(&o.meter);
}

static void test_drain_pause_and_lost_state(void **state)
{
    struct one o = {.lim = limits(0, 0, 0, 4), .now_us = 5 * SECOND};

    (void)state;
    ask_for(&o, 1, 1, 4, 0);
    o.ask.is_drain = true;
    ask_for(&o, 1, 2, 0, 0);
    o.ask.is_drain = false;
    ask_for(&o, 2, 1, 4, 0);
    assert_int_equal(o.a.granted, 4);
    assert_int_equal(o.a.live, 1);
    o.ask.in_flight = 0;
    o.ask.pause_us = 3 * SECOND;
    ask_for(&o, 2, 2, 1, 0);
    assert_int_equal(o.a.why, THROTTLE_PAUSE);
    o.ask.pause_us = SECOND; /* a shorter one does not shorten it */
    ask_for(&o, 3, 1, 1, 0);
    assert_int_equal(o.a.pause_us, 3 * SECOND);
    assert_int_equal(o.a.retry_us, 3 * SECOND);
    o.ask.pause_us = 0;
    o.now_us += 3 * SECOND;
    ask_for(&o, 3, 2, 1, 0);
    assert_int_equal(o.a.granted, 1);
    meter_done(&o.meter);
    /* state lost under a worker that knows the pool: others may hold slots nobody has counted yet */
    o.ask.is_known = true;
    ask_for(&o, 3, 3, 1, 0);
    assert_int_equal(o.a.granted, 0);
    o.now_us += METER_GRACE_US;
    ask_for(&o, 3, 4, 1, 0);
    assert_int_equal(o.a.granted, 1);
    meter_done(&o.meter);
}

static void test_throttle_names(void **state)
{
    (void)state;
    assert_null(throttle_name(THROTTLE_NONE));
    assert_string_equal(throttle_name(THROTTLE_RPM), "rpm");
    assert_string_equal(throttle_name(THROTTLE_FAIRNESS), "fairness");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_refill_keeps_fractions),
        cmocka_unit_test(test_any_window),
        cmocka_unit_test(test_created_empty_and_all_or_nothing),
        cmocka_unit_test(test_same_seq_changes_nothing),
        cmocka_unit_test(test_held_tokens_come_back),
        cmocka_unit_test(test_silence_forfeits_held_tokens),
        cmocka_unit_test(test_lost_state_forfeits_held_tokens),
        cmocka_unit_test(test_large_call_is_not_starved),
        cmocka_unit_test(test_gauge_and_dead_worker),
        cmocka_unit_test(test_slots_rotate_where_workers_are_many),
        cmocka_unit_test(test_drain_pause_and_lost_state),
        cmocka_unit_test(test_throttle_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
