/* SPDX-License-Identifier: Apache-2.0 */
/* The limiter in memory on virtual time: the seam's contract, and a saturated fleet's overshoot, utilisation, fairness
 * and round trips. The queue and its rhythm are those of the limiter over Redis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "impl/limiter_mem.h"
#include "limiter/bucket.h"
#include "loop.h"
#include "unit/limiter/spend_log.h"

#define SECOND INT64_C(1000000)

enum { N_MAX = 8, BACKLOG = 200 };

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

/* A worker that always has `BACKLOG` calls waiting and keeps each grant for `hold_us`. */
struct hungry {
    struct limiter *l;
    struct permit permits[BACKLOG];
    int64_t tokens;
    int64_t hold_us;
    int64_t granted;
    struct timer timers[BACKLOG];
};

static struct hungry hungry[N_MAX];
static struct spend_log spends;
static struct spend_log token_spends;

static void on_hungry(struct permit *p, void *arg);

static void hungry_ask(struct hungry *h, int i)
{
    h->permits[i] = (struct permit){.pool = 0,
                                    .tokens = h->tokens / 2 + (int64_t)rng_below(&rng, (uint64_t)h->tokens + 1),
                                    .done = on_hungry,
                                    .arg = h};
    h->l->ops->request(h->l, &h->permits[i]);
}

static void on_held_long_enough(void *arg)
{
    struct permit *p = arg;
    struct hungry *h = p->arg;

    h->l->ops->settle(h->l, p, p->tokens * 2 / 3, true);
    hungry_ask(h, (int)(p - h->permits));
}

static void on_hungry(struct permit *p, void *arg)
{
    struct hungry *h = arg;
    int i = (int)(p - h->permits);

    h->granted++;
    spend_add(&spends, loop_now_us(loop), BUCKET_UNIT);
    spend_add(&token_spends, loop_now_us(loop), p->tokens * 2 / 3 * BUCKET_UNIT);
    timer_init(&h->timers[i], on_held_long_enough, p);
    timer_start(loop, &h->timers[i], loop_now_us(loop) + h->hold_us);
}

struct fleet {
    int n;
    struct pool_conf conf;
    int64_t tokens, hold_us;
    double least_use;   /* of the requests limit, over the last minutes */
    double most_trips;  /* ticks per grant; 0: not asked */
    double least_share; /* least served against most */
};

static void run_fleet(const struct fleet *f)
{
    int64_t ticks, least = INT64_MAX, most = 0, sum = 0;
    struct pool_limits lim;

    spends.n = token_spends.n = 0;
    pool_limits_of(&lim, &f->conf, 500000);
    for (int i = 0; i < f->n; i++) {
        hungry[i] = (struct hungry){.l = open_limiter(i, &f->conf), .tokens = f->tokens, .hold_us = f->hold_us};
        for (int k = 0; k < BACKLOG; k++)
            hungry_ask(&hungry[i], k);
    }
    run_for(10 * SECOND);
    ticks = metric_get(METRIC_LIMITER_TICKS);
    for (int i = 0; i < f->n; i++)
        sum -= hungry[i].granted;
    run_for(180 * SECOND);
    ticks = metric_get(METRIC_LIMITER_TICKS) - ticks;
    for (int i = 0; i < f->n; i++) {
        sum += hungry[i].granted;
        least = hungry[i].granted < least ? hungry[i].granted : least;
        most = hungry[i].granted > most ? hungry[i].granted : most;
    }
    print_message("n=%d granted=%lld use=%.4f trips=%.4f share=%.3f\n", f->n, (long long)sum,
                  (double)sum / 3 / (double)f->conf.requests_per_minute, (double)ticks / (double)sum,
                  (double)least / (double)most);
    if (lim.req_cap > 0) {
        assert_true(spend_worst(&spends, (double)lim.req_cap, (double)lim.req_rate) <= 1.0);
        assert_true(spend_max(&spends, 60 * SECOND) <= f->conf.requests_per_minute * BUCKET_UNIT);
        assert_true((double)sum / 3 >= f->least_use * (double)f->conf.requests_per_minute);
    }
    if (lim.tok_cap > 0) {
        assert_true(spend_worst(&token_spends, (double)lim.tok_cap, (double)lim.tok_rate) <= 1.0);
        assert_true(spend_max(&token_spends, 60 * SECOND) <= f->conf.tokens_per_minute * BUCKET_UNIT);
    }
    assert_true(f->most_trips == 0 || (double)ticks <= f->most_trips * (double)sum);
    assert_true((double)least >= f->least_share * (double)most);
}

/* U* of requests is 0.98 * 60 / 60.5 = 0.9719. */
static void test_fleet_of_one(void **state)
{
    const struct fleet f = {.n = 1,
                            .conf = {.id = "a", .requests_per_minute = 6000},
                            .hold_us = SECOND / 2,
                            .least_use = 0.967,
                            .most_trips = 0.05,
                            .least_share = 1};

    (void)state;
    run_fleet(&f);
}

static void test_fleet_of_two(void **state)
{
    const struct fleet f = {.n = 2,
                            .conf = {.id = "a", .requests_per_minute = 7000},
                            .hold_us = SECOND / 2,
                            .least_use = 0.967,
                            .most_trips = 0.05,
                            .least_share = 0.9};

    (void)state;
    run_fleet(&f);
}

static void test_fleet_of_eight(void **state)
{
    const struct fleet f = {.n = 8,
                            .conf = {.id = "a", .requests_per_minute = 3000},
                            .hold_us = SECOND,
                            .least_use = 0.967,
                            .least_share = 0.9};

    (void)state;
    run_fleet(&f);
}

static void test_fleet_with_tiny_limit(void **state)
{
    const struct fleet f = {.n = 2,
                            .conf = {.id = "a", .requests_per_minute = 60},
                            .hold_us = SECOND,
                            .least_use = 0.96,
                            .least_share = 0.5};

    (void)state;
    run_fleet(&f);
}

static void test_fleet_with_tokens(void **state)
{
    const struct fleet f = {
        .n = 3,
        .conf = {.id = "a", .requests_per_minute = 9000, .tokens_per_minute = 1000000, .largest_call = 20000},
        .tokens = 200,
        .hold_us = 2 * SECOND,
        .least_use = 0.5,
        .least_share = 0.8};

    (void)state;
    run_fleet(&f);
}

static void test_fleet_with_slots(void **state)
{
    const struct fleet f = {.n = 3,
                            .conf = {.id = "a", .requests_per_minute = 100000, .concurrency = 90},
                            .hold_us = SECOND,
                            .least_use = 0.046,
                            .most_trips = 0.7,
                            .least_share = 0.8};

    (void)state;
    run_fleet(&f);
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
        cmocka_unit_test_setup_teardown(test_fleet_of_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_of_two, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_of_eight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_with_tiny_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_with_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_with_slots, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
