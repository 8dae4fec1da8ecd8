/* SPDX-License-Identifier: Apache-2.0 */
/* The limiter over a real Redis, several workers in one process: the shared limit and its round trips, pauses and slots
 * seen by others, lost and late answers, a lost function, a killed server. Real time, some seconds in all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "impl/limiter_redis.h"
#include "limiter/bucket.h"
#include "loop.h"
#include "redis.h"
#include "unit/limiter/resp_client.h"
#include "unit/limiter/spend_log.h"
#include "unit/redis/redis_server.h"

#define SECOND INT64_C(1000000)
#define MS     INT64_C(1000)

enum { N_MAX = 4, BACKLOG = 150, PERMITS = 16 };

static struct redis_server server;
static struct resp admin;
static struct loop *loop;
static struct rng rng;
static struct limiter *limiters[N_MAX];
static int n_done;

static int start_redis(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_FORMAT_LOGFMT);
    server_init(&server);
    server_start(&server, NULL);
    resp_open(&admin, server.port);
    return 0;
}

static int stop_redis(void **state)
{
    (void)state;
    resp_close(&admin);
    server_done(&server);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    loop = loop_new();
    rng_seed(&rng, 7);
    n_done = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < N_MAX; i++) {
        if (limiters[i] != NULL)
            limiters[i]->ops->free(limiters[i]);
        limiters[i] = NULL;
    }
    loop_free(loop);
    return 0;
}

static struct limiter *open_pools(int i, const struct pool_conf *pools, int n_pools, int64_t grant_age_us)
{
    struct redis_conf redis;
    struct limiter_redis_conf conf = {
        .redis = &redis, .pools = pools, .n_pools = n_pools, .grant_age_us = grant_age_us};
    char url[64];
    const char *why;

    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d/0", server.port);
    CHECK(redis_conf_parse(url, &redis, &why) == 0);
    redis.name = "limiter";
    limiters[i] = limiter_redis_new(loop, &rng, &conf);
    redis_conf_done(&redis);
    return limiters[i];
}

static void on_stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void run_for(int64_t us)
{
    struct timer t;

    timer_init(&t, on_stop, NULL);
    timer_start(loop, &t, loop_now_us(loop) + us);
    loop_run(loop);
    timer_stop(loop, &t);
}

/* Runs until n_done is `n`, at most `us`. */
static bool run_until(int n, int64_t us)
{
    int64_t end_us = loop_clock_us(loop) + us;

    while (n_done < n && loop_clock_us(loop) < end_us)
        run_for(2 * MS);
    return n_done >= n;
}

static void on_permit(struct permit *p, void *arg)
{
    (void)p;
    (void)arg;
    n_done++;
}

static void ask(struct limiter *l, struct permit *p, int pool, int64_t tokens)
{
    *p = (struct permit){.pool = pool, .tokens = tokens, .done = on_permit};
    l->ops->request(l, p);
}

/* A worker with always something waiting. */
struct hungry {
    struct limiter *l;
    struct permit permits[BACKLOG];
    int64_t granted;
};

static struct hungry hungry[N_MAX];
static struct spend_log spends;
static int64_t latest_us; /* by which a grant was older than its tick when it came */

static void on_hungry(struct permit *p, void *arg)
{
    struct hungry *h = arg;
    int64_t age_us = loop_now_us(loop) - (p->send_before_us - 500 * MS);

    h->granted++;
    latest_us = age_us > latest_us ? age_us : latest_us;
    spend_add(&spends, loop_now_us(loop), BUCKET_UNIT);
    h->l->ops->settle(h->l, p, -1, true);
    *p = (struct permit){.pool = 0, .done = on_hungry, .arg = h};
    h->l->ops->request(h->l, p);
}

static void feed(int i, const struct pool_conf *pool)
{
    hungry[i] = (struct hungry){.l = open_pools(i, pool, 1, 0)};
    for (int k = 0; k < BACKLOG; k++) {
        hungry[i].permits[k] = (struct permit){.pool = 0, .done = on_hungry, .arg = &hungry[i]};
        hungry[i].l->ops->request(hungry[i].l, &hungry[i].permits[k]);
    }
}

static void run_fleet(const char *id, int n, int64_t rpm, int64_t us, double most_trips)
{
    const struct pool_conf pool = {.id = id, .requests_per_minute = rpm};
    struct pool_limits lim;
    int64_t ticks, granted = 0, began_us = loop_now_us(loop);

    pool_limits_of(&lim, &pool, 500 * MS);
    spends.n = 0;
    latest_us = 0;
    for (int i = 0; i < n; i++)
        feed(i, &pool);
    run_for(400 * MS);
    ticks = metric_get(METRIC_LIMITER_TICKS);
    granted -= spends.n;
    run_for(us);
    granted += spends.n;
    ticks = metric_get(METRIC_LIMITER_TICKS) - ticks;
    print_message("n=%d granted=%lld of %.0f, trips %.4f, oldest grant %lld us\n", n, (long long)granted,
                  (double)lim.req_rate / 1e6 * (double)us / 1e6, (double)ticks / (double)granted, (long long)latest_us);
    /* created empty: never more than the refill since; and the bound of any window, grants being up to latest_us old */
    assert_true((double)spends.n * 1e6 <= (double)lim.req_rate * (double)(loop_clock_us(loop) - began_us) / 1e6 + 1e6);
    assert_true(spend_worst(&spends, (double)lim.req_cap + (double)lim.req_rate * (double)latest_us / 1e6,
                            (double)lim.req_rate) <= 1.0);
    assert_true((double)granted * 1e6 >= 0.8 * (double)lim.req_rate * (double)us / 1e6);
    assert_true((double)ticks <= most_trips * (double)granted);
}

/* Short runs, so with some slack: over minutes it is 0.042 (test_mem). */
static void test_one_worker_saturated(void **state)
{
    (void)state;
    run_fleet("one", 1, 12000, 800 * MS, 0.06);
}

static void test_three_workers_saturated(void **state)
{
    (void)state;
    run_fleet("three", 3, 12000, 1000 * MS, 0.08);
}

static void test_pause_is_seen_by_others(void **state)
{
    const struct pool_conf pool = {.id = "pause", .requests_per_minute = 600000};
    struct limiter *a = open_pools(0, &pool, 1, 0), *b = open_pools(1, &pool, 1, 0);
    struct permit p[3];
    int64_t began_us;

    (void)state;
    ask(a, &p[0], 0, 0);
    ask(b, &p[1], 0, 0);
    assert_true(run_until(2, 2 * SECOND));
    began_us = loop_now_us(loop);
    a->ops->pause(a, 0, 300 * MS);
    run_for(20 * MS);
    ask(a, &p[0], 0, 0);
    ask(b, &p[1], 0, 0);
    assert_true(run_until(4, 2 * SECOND));
    for (int i = 0; i < 2; i++) {
        assert_true(p[i].granted_us - began_us >= 300 * MS);
        assert_int_equal(p[i].throttle, THROTTLE_PAUSE);
    }
}

static void test_slots_of_a_dead_worker(void **state)
{
    const struct pool_conf pool = {.id = "slots", .concurrency = 3, .slot_return_us = 500 * MS};
    struct limiter *a = open_pools(0, &pool, 1, 0), *b = open_pools(1, &pool, 1, 0);
    struct permit p[6];
    int64_t began_us;

    (void)state;
    for (int i = 0; i < 3; i++)
        ask(a, &p[i], 0, 0);
    assert_true(run_until(3, 2 * SECOND));
    for (int i = 3; i < 6; i++)
        ask(b, &p[i], 0, 0);
    run_for(200 * MS);
    assert_int_equal(n_done, 3);
    assert_int_equal(p[3].throttle, THROTTLE_CONCURRENCY);
    a->ops->settle(a, &p[0], -1, true);
    assert_true(run_until(4, SECOND));
    began_us = loop_now_us(loop);
    a->ops->free(a); /* dies with two */
    limiters[0] = NULL;
    assert_true(run_until(6, 4 * SECOND));
    assert_true(loop_now_us(loop) - began_us > 300 * MS);
}

static void test_stop_gives_slots_back(void **state)
{
    const struct pool_conf pools[2] = {{.id = "stop", .concurrency = 2, .slot_return_us = 60 * SECOND},
                                       {.id = "unused"}};
    struct limiter *a = open_pools(0, pools, 2, 0), *b = open_pools(1, pools, 1, 0);
    struct permit p[4];

    (void)state;
    ask(a, &p[0], 0, 0);
    ask(a, &p[1], 0, 0);
    assert_true(run_until(2, 2 * SECOND));
    a->ops->stop(a, on_stop, NULL);
    loop_run(loop); /* at most 1 s, else the test's timeout */
    ask(b, &p[2], 0, 0);
    ask(b, &p[3], 0, 0);
    assert_true(run_until(4, SECOND));
}

static void test_late_grants_are_burned(void **state)
{
    const struct pool_conf pool = {.id = "late", .requests_per_minute = 600000};
    struct limiter *a = open_pools(0, &pool, 1, 40 * MS);
    struct permit p;
    int64_t burned = metric_get(METRIC_GRANTS_BURNED), began_us;

    (void)state;
    ask(a, &p, 0, 0);
    assert_true(run_until(1, 2 * SECOND));
    a->ops->settle(a, &p, -1, true);
    run_for(20 * MS);
    began_us = loop_now_us(loop);
    resp_call(&admin, 3, (const char *[]){"CLIENT", "PAUSE", "120"}); /* longer than J, shorter than the deadline */
    ask(a, &p, 0, 0);
    assert_true(run_until(2, 2 * SECOND));
    assert_true(p.granted_us - began_us >= 100 * MS);
    assert_true(p.send_before_us > p.granted_us);
    assert_int_equal(metric_get(METRIC_GRANTS_BURNED) - burned, 1);
}

static int64_t state_field(const char *key, const char *field)
{
    resp_call(&admin, 3, (const char *[]){"HGET", key, field});
    CHECK(admin.n == 1);
    return admin.figures[0];
}

/* The server stands still beyond the tick's deadline and then runs what it had been sent: the same tick comes again
 * over a new connection, and its three calls are charged once. */
static void test_missed_deadline_is_not_charged_twice(void **state)
{
    const struct pool_conf pool = {.id = "missed", .tokens_per_minute = 60000, .largest_call = 6000};
    struct limiter *a = open_pools(0, &pool, 1, 2 * SECOND);
    struct permit p[3];
    struct pool_limits lim;
    int64_t t_us, worth, reconnects = metric_get(METRIC_REDIS_RECONNECTS);

    (void)state;
    pool_limits_of(&lim, &pool, 2 * SECOND);
    ask(a, &p[0], 0, 300);
    while (p[0].throttle == THROTTLE_NONE)
        run_for(2 * MS);
    t_us = state_field("tutti:{missed}:s", "t"); /* when it was created, empty */
    assert_true(run_until(1, 2 * SECOND));
    run_for(SECOND);
    (void)kill(server.pid, SIGSTOP);
    ask(a, &p[1], 0, 300);
    ask(a, &p[2], 0, 300);
    run_for(350 * MS);
    (void)kill(server.pid, SIGCONT);
    assert_true(run_until(3, 3 * SECOND));
    assert_true(metric_get(METRIC_REDIS_RECONNECTS) > reconnects);
    worth = (state_field("tutti:{missed}:s", "t") - t_us) * lim.tok_rate / 1000000;
    assert_true(worth < lim.tok_cap - 900 * BUCKET_UNIT); /* it was never full */
    assert_in_range(state_field("tutti:{missed}:s", "tok"), worth - 900 * BUCKET_UNIT - 10, worth - 900 * BUCKET_UNIT);
    assert_int_equal(state_field("tutti:{missed}:s", "held"), 900 * BUCKET_UNIT);
    assert_int_equal(state_field("tutti:{missed}:s", "age"), 2 * SECOND); /* J: the last argument but costs */
}

static void test_lost_function_and_killed_server(void **state)
{
    const struct pool_conf pool = {.id = "kill", .requests_per_minute = 600000};
    struct limiter *a = open_pools(0, &pool, 1, 0);
    struct permit p;

    (void)state;
    ask(a, &p, 0, 0);
    assert_true(run_until(1, 2 * SECOND));
    assert_int_equal(metric_get(METRIC_LIMITER_DOWN), 0);
    a->ops->settle(a, &p, -1, true);
    resp_call(&admin, 2, (const char *[]){"FUNCTION", "FLUSH"});
    ask(a, &p, 0, 0);
    assert_true(run_until(2, 2 * SECOND));
    a->ops->settle(a, &p, -1, true);
    resp_close(&admin);
    server_kill(&server);
    run_for(50 * MS);
    ask(a, &p, 0, 0);
    run_for(100 * MS);
    assert_int_equal(n_done, 2);
    assert_int_equal(metric_get(METRIC_LIMITER_DOWN), 1);
    server_start(&server, NULL);
    assert_true(run_until(3, 5 * SECOND));
    assert_int_equal(metric_get(METRIC_LIMITER_DOWN), 0);
    resp_open(&admin, server.port);
}

static long reads_processed(void)
{
    const char *at;

    resp_call(&admin, 2, (const char *[]){"INFO", "stats"});
    at = strstr(admin.error, "total_reads_processed:");
    CHECK(at != NULL);
    return strtol(at + strlen("total_reads_processed:"), NULL, 10);
}

static void test_pools_of_one_turn_share_a_write(void **state)
{
    static const char *const ids[8] = {"w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7"};
    struct pool_conf pools[8];
    struct permit p[8];
    struct limiter *a;
    long before;

    (void)state;
    for (int i = 0; i < 8; i++)
        pools[i] = (struct pool_conf){.id = ids[i], .requests_per_minute = 6000000};
    a = open_pools(0, pools, 8, 0);
    for (int i = 0; i < 8; i++)
        ask(a, &p[i], i, 0);
    assert_true(run_until(8, 2 * SECOND));
    run_for(20 * MS);
    before = reads_processed();
    for (int i = 0; i < 8; i++)
        ask(a, &p[i], i, 0);
    assert_true(run_until(16, SECOND));
    assert_in_range(reads_processed() - before, 2, 3); /* the eight, and ours */
}

/* A service that began without limits is given some, and later others. */
static void test_limits_come_and_change(void **state)
{
    struct pool_conf conf = {.id = "later", .requests_per_minute = 6000};
    struct limiter *l = open_pools(0, NULL, 0, 0);
    int64_t downs = metric_get(METRIC_LIMITER_DOWN), ticks;
    struct permit p[3];

    (void)state;
    ask(l, &p[0], -1, 0);
    assert_true(run_until(1, SECOND));
    assert_int_equal(metric_get(METRIC_LIMITER_DOWN), downs); /* nobody misses a server that is not needed */
    l->ops->configure(l, &conf, 1);
    ask(l, &p[1], 0, 0);
    assert_true(run_until(2, 3 * SECOND));
    l->ops->settle(l, &p[1], -1, true);
    conf.requests_per_minute = 2; /* one in thirty seconds, and the bucket of one is empty */
    l->ops->configure(l, &conf, 1);
    run_for(50 * MS);
    ask(l, &p[1], 0, 0);
    ask(l, &p[2], 0, 0);
    run_for(300 * MS);
    assert_in_range(n_done, 2, 3);
    conf.requests_per_minute = 60000;
    ticks = metric_get(METRIC_LIMITER_TICKS);
    l->ops->configure(l, &conf, 1);
    assert_true(run_until(4, 3 * SECOND));
    assert_true(metric_get(METRIC_LIMITER_TICKS) > ticks);
}

/* The answer to a tick is read by the limits that it was sent with. */
static void test_limits_change_under_a_tick(void **state)
{
    static const char *const held[] = {"HGET", "tutti:{under}:s", "held"};
    struct pool_conf conf = {.id = "under", .tokens_per_minute = 6000000, .largest_call = 50000};
    struct limiter *l = open_pools(0, &conf, 1, 5 * SECOND);
    struct permit p;

    (void)state;
    ask(l, &p, 0, 1);
    assert_true(run_until(1, 5 * SECOND));
    l->ops->settle(l, &p, 1, true);
    run_for(700 * MS);
    ask(l, &p, 0, 10000);
    run_for(0); /* the tick leaves */
    assert_int_equal(n_done, 1);
    conf = (struct pool_conf){.id = "under", .concurrency = 5};
    l->ops->configure(l, &conf, 1);
    assert_true(run_until(2, 5 * SECOND));
    resp_call(&admin, 3, held);
    assert_true(admin.figures[0] == INT64_C(10000) * BUCKET_UNIT);
    l->ops->settle(l, &p, 0, true);
    for (int i = 0; i < 100 && admin.figures[0] != 0; i++) {
        run_for(50 * MS);
        resp_call(&admin, 3, held);
    }
    assert_true(admin.figures[0] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_worker_saturated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits_come_and_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits_change_under_a_tick, setup, teardown),
        cmocka_unit_test_setup_teardown(test_three_workers_saturated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause_is_seen_by_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots_of_a_dead_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_gives_slots_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_grants_are_burned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missed_deadline_is_not_charged_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pools_of_one_turn_share_a_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_function_and_killed_server, setup, teardown),
    };

    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
