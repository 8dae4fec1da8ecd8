/* SPDX-License-Identifier: Apache-2.0 */
/* The limiter in memory on virtual time: the seam's contract. The queue and its rhythm are those of the limiter over
 * Redis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "impl/limiter_mem.h"
#include "loop.h"

#define SECOND INT64_C(1000000)

enum { N_MAX = 2 };

static struct loop *loop;
static struct rng rng;
static struct limiter_store *store;
static struct limiter *limiters[N_MAX];
static int n_done;
static int order[16];

static int setup(void **state)
{
    (void)state;
    loop = loop_new_sim(0);
    rng_seed(&rng, 7);
    store = limiter_store_new();
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
    limiter_store_free(store);
    loop_free(loop);
    return 0;
}

static struct limiter *open_limiter(int i, const struct pool_conf *conf)
{
    limiters[i] = limiter_mem_new(loop, &rng, conf, 1, 0, store);
    return limiters[i];
}

static void on_permit(struct permit *p, void *arg)
{
    (void)p;
    if (n_done < (int)ARRAY_LEN(order))
        order[n_done] = (int)(intptr_t)arg;
    n_done++;
}

static void ask(struct limiter *l, struct permit *p, int pool, int64_t tokens, int id)
{
    *p = (struct permit){.pool = pool, .tokens = tokens, .done = on_permit, .arg = (void *)(intptr_t)id};
    l->ops->request(l, p);
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

static void test_no_pool_and_over_pool(void **state)
{
    const struct pool_conf conf = {.id = "a", .tokens_per_minute = 10000, .largest_call = 500};
    struct limiter *l = open_limiter(0, &conf);
    struct permit free_one, big, taken;

    (void)state;
    ask(l, &free_one, -1, 1000000, 1);
    ask(l, &big, 0, 501, 2);
    ask(l, &taken, -1, 0, 3);
    l->ops->cancel(l, &taken);
    assert_int_equal(n_done, 0); /* never from inside */
    loop_run(loop);
    assert_int_equal(n_done, 2);
    assert_false(free_one.is_over_pool);
    assert_true(big.is_over_pool);
    l->ops->settle(l, &free_one, 10, true);
}

static void test_created_empty_then_at_once(void **state)
{
    const struct pool_conf conf = {.id = "a", .requests_per_minute = 600};
    struct limiter *l = open_limiter(0, &conf);
    struct permit p[3];
    int64_t began_us = loop_now_us(loop);

    (void)state;
    ask(l, &p[0], 0, 0, 0);
    loop_run(loop);
    assert_int_equal(n_done, 1);
    assert_in_range(p[0].granted_us - began_us, 102000, 110000); /* 60.5 s / 588 */
    assert_int_equal(p[0].throttle, THROTTLE_RPM);
    assert_int_equal(p[0].send_before_us - p[0].granted_us, 500000);
    run_for(10 * SECOND);
    ask(l, &p[1], 0, 0, 0);
    ask(l, &p[2], 0, 0, 0);
    loop_run(loop);
    assert_int_equal(n_done, 3);
    assert_int_equal(p[2].granted_us, p[2].asked_us); /* unsaturated: no wait but the round trip */
    assert_int_equal(p[2].throttle, THROTTLE_NONE);
}

static void test_order_and_cancel(void **state)
{
    const struct pool_conf conf = {.id = "a", .requests_per_minute = 600};
    struct limiter *l = open_limiter(0, &conf);
    struct permit p[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        p[i] = (struct permit){.pool = 0, .is_retry = i == 3, .done = on_permit, .arg = (void *)(intptr_t)i};
        l->ops->request(l, &p[i]);
    }
    run_for(1000); /* they are in a tick, refused */
    l->ops->cancel(l, &p[1]);
    loop_run(loop);
    assert_int_equal(n_done, 4);
    assert_int_equal(order[0], 3); /* the retry */
    assert_int_equal(order[1], 0);
    assert_int_equal(order[2], 2);
    assert_int_equal(order[3], 4);
}

static void test_unused_tokens_come_back(void **state)
{
    const struct pool_conf conf = {.id = "a", .tokens_per_minute = 6000, .largest_call = 600};
    struct limiter *l = open_limiter(0, &conf);
    struct permit p[3];

    (void)state;
    ask(l, &p[0], 0, 1, 0);
    run_for(30 * SECOND); /* the bucket is full */
    l->ops->settle(l, &p[0], 1, true);
    ask(l, &p[1], 0, 300, 0);
    run_for(1000);
    l->ops->settle(l, &p[1], 50, true);
    ask(l, &p[2], 0, 540, 0);
    run_for(5 * SECOND); /* a grant in flight is kept alive by ticks: the loop never becomes idle */
    assert_true(p[2].granted_us - p[2].asked_us < SECOND); /* 600 - 50 are there at once; without them 2.7 s */
    l->ops->settle(l, &p[2], 5400, true);                  /* debt */
    ask(l, &p[0], 0, 10, 0);
    run_for(100 * SECOND);
    assert_int_equal(n_done, 4);
    assert_true(p[0].granted_us - p[0].asked_us > 45 * SECOND);
    assert_int_equal(p[0].throttle, THROTTLE_TPM);
}

static void test_pause_is_seen_by_others(void **state)
{
    const struct pool_conf conf = {.id = "a", .requests_per_minute = 6000};
    struct limiter *a = open_limiter(0, &conf), *b = open_limiter(1, &conf);
    struct permit p[2];
    int64_t began_us;

    (void)state;
    ask(a, &p[0], 0, 0, 0);
    run_for(10 * SECOND);
    began_us = loop_now_us(loop);
    a->ops->pause(a, 0, 4 * SECOND);
    run_for(1000);
    ask(a, &p[0], 0, 0, 0);
    ask(b, &p[1], 0, 0, 0);
    loop_run(loop);
    for (int i = 0; i < 2; i++) {
        assert_true(p[i].granted_us - began_us >= 4 * SECOND);
        assert_true(p[i].granted_us - began_us < 4 * SECOND + 20000);
        assert_int_equal(p[i].throttle, THROTTLE_PAUSE);
    }
}

static void test_slots_and_stop(void **state)
{
    const struct pool_conf conf = {.id = "a", .concurrency = 4};
    struct limiter *a = open_limiter(0, &conf), *b = open_limiter(1, &conf);
    struct permit p[8];
    int64_t began_us;

    (void)state;
    for (int i = 0; i < 4; i++)
        ask(a, &p[i], 0, 0, 0);
    run_for(10 * SECOND); /* kept alive by its ticks */
    assert_int_equal(n_done, 4);
    for (int i = 4; i < 8; i++)
        ask(b, &p[i], 0, 0, 0);
    run_for(SECOND);
    assert_int_equal(n_done, 4);
    assert_int_equal(p[4].throttle, THROTTLE_CONCURRENCY);
    a->ops->settle(a, &p[0], -1, true);
    run_for(SECOND);
    assert_int_equal(n_done, 5);
    began_us = loop_now_us(loop);
    a->ops->stop(a, on_stop, NULL); /* the others are still under way, but this worker gives up its slots */
    loop_run(loop);
    assert_true(loop_now_us(loop) - began_us < 1000);
    run_for(SECOND);
    assert_int_equal(n_done, 8);
}

/* One call of worker 0 whose request could be written `took_us` after the grant; true when that was in time. */
static bool try_to_send(struct permit *p, int64_t took_us)
{
    int n = n_done;

    ask(limiters[0], p, 0, 0, 0);
    while (n_done == n)
        run_for(SECOND / 100);
    run_for(p->granted_us + took_us - loop_now_us(loop));
    limiters[0]->ops->settle(limiters[0], p, -1, p->send_before_us == 0 || loop_now_us(loop) <= p->send_before_us);
    return p->send_before_us == 0 || loop_now_us(loop) <= p->send_before_us;
}

static void test_slow_handshake_is_reached(void **state)
{
    static const struct {
        int64_t took_us, age_us; /* J after it */
    } rows[] = {
        {SECOND / 2, SECOND / 2},       {3 * SECOND, SECOND / 2}, /* in time; so late that no J would do */
        {SECOND * 7 / 10, SECOND},      {SECOND * 6 / 10, SECOND},      {SECOND * 15 / 10, 2 * SECOND},
        {SECOND * 19 / 10, 2 * SECOND}, {SECOND * 21 / 10, 2 * SECOND},
    };
    const struct pool_conf conf = {.id = "a", .requests_per_minute = 600};
    struct permit p;

    (void)state;
    open_limiter(0, &conf);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)try_to_send(&p, rows[i].took_us);
        assert_true(try_to_send(&p, 0));
        assert_int_equal(p.send_before_us - p.tick_us, rows[i].age_us);
    }
    for (int i = 0; i < 700; i++) /* no longer needed */
        assert_true(try_to_send(&p, SECOND));
    assert_true(try_to_send(&p, 0));
    assert_int_equal(p.send_before_us - p.tick_us, SECOND);
    for (int i = 0; i < 1300; i++)
        (void)try_to_send(&p, SECOND * 4 / 10);
    assert_int_equal(p.send_before_us - p.tick_us, SECOND / 2);
}

static void test_stale_grants_of_one_tick_count_once(void **state)
{
    const struct pool_conf conf = {.id = "a", .requests_per_minute = 6000};
    struct limiter *l = open_limiter(0, &conf);
    struct permit p[8];

    (void)state;
    ask(l, &p[0], 0, 0, 0);
    run_for(10 * SECOND);
    l->ops->settle(l, &p[0], -1, false); /* an unsent one of which nobody knows why: far too late */
    for (int i = 0; i < 8; i++)
        ask(l, &p[i], 0, 0, 0);
    run_for(SECOND * 7 / 10);
    assert_int_equal(n_done, 9);
    for (int i = 0; i < 8; i++)
        l->ops->settle(l, &p[i], -1, false);
    assert_true(try_to_send(&p[0], 0));
    assert_int_equal(p[0].send_before_us - p[0].tick_us, SECOND);
}

static void test_slots_alone_need_no_age(void **state)
{
    const struct pool_conf conf = {.id = "a", .concurrency = 2};
    struct permit p;

    (void)state;
    open_limiter(0, &conf);
    assert_true(try_to_send(&p, SECOND));
    assert_int_equal(p.send_before_us, 0);
}

/* --- configure() --- */

static void test_configure_raises_a_limit_at_once(void **state)
{
    struct pool_conf conf = {.id = "a", .requests_per_minute = 2};
    struct limiter *l = open_limiter(0, &conf);
    struct permit p[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        ask(l, &p[i], 0, 0, i);
    run_for(70 * SECOND); /* one has come; the next one is foretold for a minute later */
    assert_int_equal(n_done, 1);
    conf.requests_per_minute = 6000;
    l->ops->configure(l, &conf, 1);
    assert_int_equal(l->views[0].req_cap, 120);
    run_for(SECOND);
    assert_int_equal(n_done, 3);
}

/* Two workers that never have enough; the second one is told later. */
static void test_configure_lowers_a_limit(void **state)
{
    struct pool_conf conf = {.id = "a", .requests_per_minute = 1200};
    struct limiter *l[N_MAX] = {open_limiter(0, &conf), open_limiter(1, &conf)};
    static struct permit p[N_MAX][1000];

    (void)state;
    for (int w = 0; w < N_MAX; w++)
        for (int i = 0; i < 1000; i++)
            ask(l[w], &p[w][i], 0, 0, 0);
    run_for(10 * SECOND);
    assert_in_range(n_done, 180, 225);
    conf.requests_per_minute = 600;
    l[0]->ops->configure(l[0], &conf, 1);
    run_for(SECOND);
    l[1]->ops->configure(l[1], &conf, 1);
    run_for(SECOND);
    n_done = 0;
    run_for(30 * SECOND);
    assert_in_range(n_done, 270, 300); /* r = 588 / 60.5 s */
}

static void test_configure_finds_calls_that_are_too_large_now(void **state)
{
    struct pool_conf conf = {.id = "a", .tokens_per_minute = 1000000, .largest_call = 5000};
    struct limiter *l = open_limiter(0, &conf);
    struct permit big, small, late, later;

    (void)state;
    ask(l, &big, 0, 5000, 0);
    ask(l, &small, 0, 500, 1);
    conf.largest_call = 1000;
    l->ops->configure(l, &conf, 1);
    run_for(2 * SECOND);
    assert_int_equal(n_done, 2);
    assert_true(big.is_over_pool);
    assert_false(small.is_over_pool); /* it did not stand behind the other for ever */
    l->ops->settle(l, &big, 0, false);
    l->ops->settle(l, &small, -1, true);
    ask(l, &late, 0, 1001, 2);
    run_for(SECOND);
    assert_true(late.is_over_pool);
    conf.largest_call = 2000;
    l->ops->configure(l, &conf, 1);
    ask(l, &later, 0, 2000, 3);
    run_for(SECOND);
    assert_int_equal(n_done, 4);
    assert_false(later.is_over_pool);
}

/* A tick that is under way is read by the limits it was sent with; its grants are given back by the new ones. */
static void test_configure_while_a_tick_is_under_way(void **state)
{
    struct pool_conf conf = {.id = "a", .tokens_per_minute = 600000, .largest_call = 50000};
    struct limiter *l = open_limiter(0, &conf);
    struct permit p;
    int64_t ticks;

    (void)state;
    ask(l, &p, 0, 1, 0);
    run_for(20 * SECOND);
    l->ops->settle(l, &p, 1, true);
    run_for(20 * SECOND);
    ticks = metric_get(METRIC_LIMITER_TICKS);
    ask(l, &p, 0, 10000, 0);
    run_for(0);
    assert_int_equal(metric_get(METRIC_LIMITER_TICKS), ticks + 1); /* it has left, its answer comes in the next turn */
    assert_int_equal(n_done, 1);
    conf = (struct pool_conf){.id = "a", .concurrency = 1};
    l->ops->configure(l, &conf, 1);
    run_for(4 * SECOND); /* the next tick is one by the new limits */
    assert_int_equal(n_done, 2);
    l->ops->settle(l, &p, 0, true);
    conf = (struct pool_conf){.id = "a", .tokens_per_minute = 600000, .largest_call = 50000};
    l->ops->configure(l, &conf, 1);
    run_for(SECOND);
    run_for(10 * SECOND);
    ask(l, &p, 0, 1, 0);
    run_for(SECOND);
    assert_int_equal(n_done, 3);
    assert_true(l->views[0].tok_level >= 49000); /* nothing of the bucket is held by a call that is over */
}

static void test_configure_adds_pools_and_counts_what_is_under_way(void **state)
{
    struct pool_conf conf[2] = {{.id = "a"}, {.id = "b", .requests_per_minute = 600}};
    struct limiter *l = open_limiter(0, conf), *other = open_limiter(1, conf);
    struct permit p[4];

    (void)state;
    ask(l, &p[0], 0, 0, 0);
    ask(l, &p[1], 0, 0, 1);
    run_for(SECOND);
    assert_int_equal(n_done, 2);
    conf[0].concurrency = 2;
    l->ops->configure(l, conf, 2);
    other->ops->configure(other, conf, 2);
    assert_int_equal(l->n_views, 2);
    run_for(SECOND);
    ask(other, &p[2], 0, 0, 2); /* both slots are the first worker's */
    ask(other, &p[3], 1, 0, 3);
    run_for(SECOND);
    assert_int_equal(n_done, 3);
    assert_int_equal(order[2], 3);
    l->ops->settle(l, &p[0], -1, true);
    run_for(SECOND);
    assert_int_equal(n_done, 4);
}

/* The views of a service that has nothing to do show nothing, soon, and for one tick at most. */
static void test_an_idle_pool_shows_nothing_under_way(void **state)
{
    static const struct pool_conf confs[] = {{.id = "r", .requests_per_minute = 6000},
                                             {.id = "t", .tokens_per_minute = 600000, .largest_call = 50000},
                                             {.id = "c", .concurrency = 4}};
    struct permit p[2];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(confs); i++) {
        struct limiter *l = open_limiter(0, &confs[i]);
        int64_t ticks;

        n_done = 0;
        for (int k = 0; k < 2; k++)
            ask(l, &p[k], 0, 100, k);
        run_for(10 * SECOND);
        assert_int_equal(n_done, 2);
        assert_int_equal(l->views[0].fleet_in_flight, 2);
        ticks = metric_get(METRIC_LIMITER_TICKS);
        for (int k = 0; k < 2; k++)
            l->ops->settle(l, &p[k], 100, true);
        run_for(SECOND + SECOND / 5);
        assert_int_equal(l->views[0].fleet_in_flight, 0);
        run_for(60 * SECOND);
        assert_int_equal(metric_get(METRIC_LIMITER_TICKS) - ticks, 1);
        l->ops->free(l);
    }
    limiters[0] = NULL;
}

/* A pool that is asked again within the second tells of its settles in the tick it needs anyway. */
static void test_a_busy_pool_is_not_asked_more_often(void **state)
{
    const struct pool_conf conf = {.id = "r", .requests_per_minute = 6000};
    struct limiter *l = open_limiter(0, &conf);
    struct permit p;
    int64_t ticks;

    (void)state;
    ticks = metric_get(METRIC_LIMITER_TICKS);
    for (int i = 0; i < 20; i++) {
        ask(l, &p, 0, 0, i);
        run_for(SECOND / 2);
        assert_int_equal(n_done, i + 1);
        l->ops->settle(l, &p, 0, true);
        run_for(SECOND / 4);
    }
    assert_in_range(metric_get(METRIC_LIMITER_TICKS) - ticks, 20, 24); /* a new pool's bucket is empty */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_pool_and_over_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_created_empty_then_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_and_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unused_tokens_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause_is_seen_by_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots_and_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_handshake_is_reached, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_grants_of_one_tick_count_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots_alone_need_no_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configure_raises_a_limit_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configure_lowers_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configure_finds_calls_that_are_too_large_now, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configure_while_a_tick_is_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configure_adds_pools_and_counts_what_is_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_idle_pool_shows_nothing_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_busy_pool_is_not_asked_more_often, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
