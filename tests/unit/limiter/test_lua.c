/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis function against its model: the same random ticks on the same clock must get the same answers as meter.c in
 * every figure, and the any-window bound must hold. Then what only the function has: server ids, contract, test clock,
 * expiry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>

#include "base/rng.h"
#include "limiter/meter.h"
#include "limiter/tick_lua.h"
#include "seam/limiter.h"
#include "unit/limiter/resp_client.h"
#include "unit/limiter/spend_log.h"
#include "unit/redis/redis_server.h"

#define SECOND INT64_C(1000000)

enum { FIXED = 27, WORKERS = 3, CALLS_MAX = 512 };

static struct redis_server server;
static struct resp redis;

static int start_redis(void **state)
{
    (void)state;
    server_init(&server);
    server_start(&server, NULL);
    resp_open(&redis, server.port);
    resp_call(&redis, 3, (const char *[]){"FUNCTION", "LOAD", TICK_LUA});
    if (strcmp(redis.error, TICK_LIBRARY) != 0)
        print_message("FUNCTION LOAD: %s\n", redis.error);
    return strcmp(redis.error, TICK_LIBRARY) != 0;
}

static int stop_redis(void **state)
{
    (void)state;
    resp_close(&redis);
    server_done(&server);
    return 0;
}

static struct pool_conf conf_of(int64_t rpm, int64_t tpm, int64_t largest, int64_t concurrency)
{
    return (struct pool_conf){.id = "p",
                              .requests_per_minute = rpm,
                              .tokens_per_minute = tpm,
                              .largest_call = largest,
                              .concurrency = concurrency,
                              .slot_return_us = 20 * SECOND};
}

static struct pool_limits limits(int64_t rpm, int64_t tpm, int64_t largest, int64_t concurrency)
{
    const struct pool_conf conf = conf_of(rpm, tpm, largest, concurrency);
    struct pool_limits lim;

    pool_limits_of(&lim, &conf, 500000);
    return lim;
}

/* clock_us 0: the server's clock, and no test pool. */
static bool call(const char *pool, const struct pool_limits *lim, int worker, const struct tick_ask *ask,
                 int64_t clock_us, const char *server_id, const char *contract)
{
    char text[FIXED + TICK_MAX][64];
    const char *argv[FIXED + TICK_MAX];
    const int64_t figures[] = {ask->seq,      ask->is_drain, ask->is_known,    lim->req_cap,        lim->req_rate,
                               lim->tok_cap,  lim->tok_rate, lim->concurrency, lim->slot_return_us, ask->hgen,
                               ask->released, ask->refund,   ask->excess,      ask->in_flight,      ask->pause_us,
                               ask->backlog,  clock_us != 0, lim->grant_age_us};
    int n = 9;

    (void)snprintf(text[3], sizeof(text[3]), "tutti:{%s}:s", pool);
    (void)snprintf(text[4], sizeof(text[4]), "tutti:{%s}:i", pool);
    (void)snprintf(text[7], sizeof(text[7]), "%d", worker);
    (void)snprintf(text[6], sizeof(text[6]), "%" PRId64, clock_us);
    argv[0] = "FCALL";
    argv[1] = TICK_FUNCTION;
    argv[2] = "2";
    argv[3] = text[3];
    argv[4] = text[4];
    argv[5] = contract;
    argv[6] = clock_us != 0 ? text[6] : "";
    argv[7] = text[7];
    argv[8] = server_id;
    for (size_t i = 0; i < ARRAY_LEN(figures); i++, n++) {
        (void)snprintf(text[n], sizeof(text[n]), "%" PRId64, figures[i]);
        argv[n] = text[n];
    }
    for (int i = 0; i < ask->n; i++, n++) {
        (void)snprintf(text[n], sizeof(text[n]), "%" PRId64, ask->cost[i]);
        argv[n] = text[n];
    }
    resp_call(&redis, n, argv);
    return redis.n == TICK_ANSWER_LEN;
}

struct granted {
    int worker;
    int64_t hgen, cost, used;
    bool is_held;
};

struct world {
    struct rng rng;
    struct meter meter;
    struct pool_limits lim;
    struct pool_conf conf;   /* of tick_both() */
    int64_t age_us[WORKERS]; /* J */
    char pool[16];
    int64_t now_us;
    struct tick_ask asks[WORKERS];
    struct granted calls[CALLS_MAX];
    int n_calls;
    struct spend_log requests, tokens;
    double excess;
};

static void settle_some(struct world *w, int worker, int percent)
{
    struct tick_ask *ask = &w->asks[worker];

    for (int i = 0; i < w->n_calls; i++) {
        struct granted c = w->calls[i];

        if (c.worker != worker || (int)rng_below(&w->rng, 100) >= percent)
            continue;
        w->calls[i--] = w->calls[--w->n_calls];
        ask->in_flight--;
        if (c.used > c.cost)
            ask->excess += c.used - c.cost;
        if (c.is_held && c.hgen == ask->hgen) {
            ask->released += c.cost;
            ask->refund += c.used < c.cost ? c.cost - c.used : 0;
        }
    }
}

static void take_grants(struct world *w, int worker, const struct tick_answer *a)
{
    struct tick_ask *ask = &w->asks[worker];

    ask->released = ask->refund = ask->excess = 0;
    ask->hgen = a->hgen;
    for (int i = 0; i < a->granted; i++) {
        struct granted c = {.worker = worker, .hgen = a->hgen, .cost = ask->cost[i], .is_held = i < a->held};

        c.used = rng_between(&w->rng, 0, c.cost + (rng_below(&w->rng, 40) == 0 ? 20 : 0));
        w->excess += c.used > c.cost ? (double)(c.used - c.cost) * 1e6 : 0;
        spend_add(&w->requests, w->now_us, BUCKET_UNIT);
        spend_add(&w->tokens, w->now_us, c.used * BUCKET_UNIT);
        if (w->n_calls < CALLS_MAX) {
            w->calls[w->n_calls++] = c;
            ask->in_flight++;
        }
    }
}

/* One random tick to both; true when all figures agree. */
static bool tick_both(struct world *w)
{
    int worker = (int)rng_below(&w->rng, WORKERS);
    struct tick_ask *ask = &w->asks[worker];
    struct pool_limits lim;
    struct tick_answer a;
    int r;

    /* pauses after which silent workers' grants are not counted, or they are forgotten with calls under way */
    w->now_us += rng_below(&w->rng, 100) == 0 ? rng_between(&w->rng, 0, 25 * SECOND) : rng_between(&w->rng, 0, 60000);
    settle_some(w, worker, 20);
    ask->seq += rng_below(&w->rng, 50) != 0; /* else the same tick once more */
    ask->is_drain = rng_below(&w->rng, 300) == 0;
    ask->is_known = rng_below(&w->rng, 4) != 0;
    ask->pause_us = rng_below(&w->rng, 300) == 0 ? rng_between(&w->rng, 1, SECOND) : 0;
    if (rng_below(&w->rng, 300) == 0)
        w->now_us += 65 * SECOND; /* the rates forget a large J */
    if (rng_below(&w->rng, 50) == 0)
        w->age_us[worker] = INT64_C(500000) << rng_below(&w->rng, 3);
    pool_limits_of(&lim, &w->conf, w->age_us[worker]);
    ask->n = (int)rng_below(&w->rng, 7);
    ask->backlog = (int64_t)rng_below(&w->rng, 3);
    for (int i = 0; i < ask->n; i++)
        ask->cost[i] = rng_between(&w->rng, 1, rng_below(&w->rng, 8) == 0 ? 3000 : 300);
    r = meter_tick(&w->meter, &lim, (uint64_t)worker + 1, ask, w->now_us, &a);
    if (!call(w->pool, &lim, worker + 1, ask, w->now_us, "", "1"))
        return r == -ESTALE && strncmp(redis.error, "ESTALE", 6) == 0;
    if (r != 0 || memcmp(redis.figures, &a, sizeof(a)) != 0) {
        for (int i = 0; i < TICK_ANSWER_LEN; i++)
            print_message("figure %d: redis %lld model %lld\n", i, (long long)redis.figures[i],
                          (long long)((const int64_t *)&a)[i]);
        return false;
    }
    if (ask->n >= a.granted && !ask->is_drain)
        take_grants(w, worker, &a);
    return true;
}

static void lose_state(struct world *w)
{
    char state[64], workers[64];

    (void)snprintf(state, sizeof(state), "tutti:{%s}:s", w->pool);
    (void)snprintf(workers, sizeof(workers), "tutti:{%s}:i", w->pool);
    resp_call(&redis, 3, (const char *[]){"DEL", state, workers});
    meter_done(&w->meter);
}

static void test_same_as_model(void **state)
{
    static struct world w;

    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        memset(&w, 0, sizeof(w));
        rng_seed(&w.rng, seed);
        (void)snprintf(w.pool, sizeof(w.pool), "model-%d", (int)seed);
        w.conf = conf_of(seed == 3 ? 0 : 3000, seed == 4 ? 0 : 60000, 3000, seed >= 2 ? 12 : 0);
        for (int i = 0; i < WORKERS; i++)
            w.age_us[i] = INT64_C(500000);
        w.now_us = INT64_C(1763800000000000);
        for (int i = 0; i < 2000; i++) {
            if (i % 500 == 499) /* the state is lost while calls are under way */
                lose_state(&w);
            assert_true(tick_both(&w));
        }
        meter_done(&w.meter);
        assert_true(w.requests.n > 200);
    }
}

/* Without repeats and drains every answer is a grant: the bound must hold for what Redis granted. */
static void test_any_window(void **state)
{
    static struct world w;

    (void)state;
    memset(&w, 0, sizeof(w));
    rng_seed(&w.rng, 99);
    (void)snprintf(w.pool, sizeof(w.pool), "window");
    w.lim = limits(3000, 60000, 3000, 0);
    w.now_us = INT64_C(1763800000000000);
    for (int i = 0; i < 3000; i++) {
        int worker = (int)rng_below(&w.rng, WORKERS);
        struct tick_ask *ask = &w.asks[worker];
        struct tick_answer a;

        w.now_us += rng_below(&w.rng, 100) == 0 ? rng_between(&w.rng, 0, 15 * SECOND) : rng_between(&w.rng, 0, 60000);
        settle_some(&w, worker, i % 1000 < 500 ? 50 : 4);
        ask->is_known = ask->seq++ > 0;
        ask->n = (int)rng_below(&w.rng, 7);
        for (int k = 0; k < ask->n; k++)
            ask->cost[k] = rng_between(&w.rng, 1, rng_below(&w.rng, 8) == 0 ? 3000 : 100);
        assert_true(call(w.pool, &w.lim, worker + 1, ask, w.now_us, "", "1"));
        memcpy(&a, redis.figures, sizeof(a));
        take_grants(&w, worker, &a);
    }
    assert_true(w.requests.n > 1000);
    assert_true(spend_worst(&w.requests, (double)w.lim.req_cap, (double)w.lim.req_rate) <= 1.0);
    assert_true(spend_worst(&w.tokens, (double)w.lim.tok_cap + w.excess, (double)w.lim.tok_rate) <= 1.0);
}

static void test_other_server(void **state)
{
    struct pool_limits lim = limits(6000, 60000, 3000, 5);
    struct tick_ask ask = {.seq = 1};
    const struct tick_answer *a = (const struct tick_answer *)redis.figures;
    int64_t now_us = INT64_C(1763800000000000);

    (void)state;
    assert_true(call("moved", &lim, 1, &ask, now_us, "aaaa", "1"));
    now_us += 60 * SECOND;
    ask.seq++;
    assert_true(call("moved", &lim, 1, &ask, now_us, "aaaa", "1"));
    assert_int_equal(a->req_level, 120 * BUCKET_UNIT);
    ask = (struct tick_ask){.seq = 3, .hgen = 1, .n = 1, .cost = {1}};
    assert_true(call("moved", &lim, 1, &ask, now_us, "bbbb", "1")); /* promoted: it may have missed grants */
    assert_int_equal(a->granted, 0);
    assert_int_equal(a->req_level, 0);
    assert_int_equal(a->tok_level, 0);
    assert_int_equal(a->hgen, 2);
    now_us += SECOND;
    ask.seq = 4;
    assert_true(call("moved", &lim, 1, &ask, now_us, "bbbb", "1"));
    assert_int_equal(a->why, THROTTLE_CONCURRENCY); /* until all have reported what they have in flight */
    now_us += METER_GRACE_US;
    ask.seq = 5;
    assert_true(call("moved", &lim, 1, &ask, now_us, "bbbb", "1"));
    assert_int_equal(a->granted, 1);
}

static void test_contract_and_clock(void **state)
{
    struct pool_limits lim = limits(6000, 0, 0, 0);
    struct tick_ask ask = {.seq = 1};
    const struct tick_answer *a = (const struct tick_answer *)redis.figures;

    (void)state;
    assert_false(call("clock", &lim, 1, &ask, 0, "", "2"));
    assert_memory_equal(redis.error, "EVERSION", 8);
    assert_true(call("clock", &lim, 1, &ask, 0, "", "1"));
    ask.seq = 2;
    assert_true(call("clock", &lim, 1, &ask, INT64_C(4000000000000000), "", "1")); /* no test's pool: not believed */
    assert_true(a->req_level < 100 * BUCKET_UNIT);
    ask.seq = 1;
    assert_false(call("clock", &lim, 1, &ask, 0, "", "1"));
    assert_memory_equal(redis.error, "ESTALE", 6);
    resp_call(&redis, 2, (const char *[]){"PTTL", "tutti:{clock}:s"});
    assert_true(redis.figures[0] > INT64_C(172000000));
    resp_call(&redis, 2, (const char *[]){"PTTL", "tutti:{clock}:i"});
    assert_true(redis.figures[0] > INT64_C(172000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_model),
        cmocka_unit_test(test_any_window),
        cmocka_unit_test(test_other_server),
        cmocka_unit_test(test_contract_and_clock),
    };

    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
