/* SPDX-License-Identifier: Apache-2.0 */
/* Saturated fleets on virtual time, each worker a limiter in memory with its own queue: overshoot, utilisation,
 * fairness and round trips. The queue and its rhythm are those of the limiter over Redis. */
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

static int setup(void **state)
{
    (void)state;
    loop = loop_new_sim(0);
    rng_seed(&rng, 7);
    store = limiter_store_new();
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

/* A worker that always has `BACKLOG` calls waiting and keeps each grant for `hold_us`. */
struct hungry {
    struct limiter *l;
    struct permit permits[BACKLOG];
    int64_t tokens;
    int64_t hold_us;
    bool is_handshake; /* the request is written at the end of that time, if the grant is not too old */
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

    bool was_sent = !h->is_handshake || loop_now_us(loop) <= p->send_before_us;

    if (h->is_handshake && was_sent)
        spend_add(&spends, loop_now_us(loop), BUCKET_UNIT);
    h->l->ops->settle(h->l, p, p->tokens * 2 / 3, was_sent);
    hungry_ask(h, (int)(p - h->permits));
}

static void on_hungry(struct permit *p, void *arg)
{
    struct hungry *h = arg;
    int i = (int)(p - h->permits);

    h->granted++;
    if (!h->is_handshake)
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

/* Only one worker's handshakes are slow; the rate of both follows its grants. */
static void test_fleet_with_slow_handshakes(void **state)
{
    const struct pool_conf conf = {.id = "a", .requests_per_minute = 6000};
    struct pool_limits lim;
    int64_t n;

    (void)state;
    pool_limits_of(&lim, &conf, 2 * SECOND);
    spends.n = token_spends.n = 0;
    for (int i = 0; i < 2; i++) {
        hungry[i] = (struct hungry){
            .l = open_limiter(i, &conf), .tokens = 1, .hold_us = i == 0 ? SECOND * 3 / 2 : 0, .is_handshake = true};
        for (int k = 0; k < BACKLOG; k++)
            hungry_ask(&hungry[i], k);
    }
    run_for(10 * SECOND);
    n = spends.n;
    run_for(120 * SECOND);
    n = spends.n - n;
    assert_true(spend_max(&spends, BUCKET_WINDOW_US) <= conf.requests_per_minute * BUCKET_UNIT);
    assert_in_range(n, lim.req_rate * 119 / BUCKET_UNIT, lim.req_rate * 121 / BUCKET_UNIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fleet_of_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_of_two, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_of_eight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_with_tiny_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_with_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_with_slow_handshakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fleet_with_slots, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
