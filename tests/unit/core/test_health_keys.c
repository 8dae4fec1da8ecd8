/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a provider alone, on virtual time: their turn, what puts one aside and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "core/health.h"
#include "core/outcome.h"
#include "core/registry.h"
#include "loop.h"

#define SECOND INT64_C(1000000)

static struct loop *loop;
static struct health *health;
static struct provider_key keys[3] = {{"s1", "k1"}, {"s2", "k2"}, {"s3", "k3"}};
static struct provider provider = {.id = "p", .base_url = "http://p", .keys = keys, .n_keys = 3};
static struct model models[2] = {
    {.id = "a", .index = 0, .provider = &provider, .vendor_model = "m-a", .limits = {.total_us = 20 * SECOND}},
    {.id = "b", .index = 1, .provider = &provider, .vendor_model = "m-b", .limits = {.total_us = 20 * SECOND}},
};
static struct registry registry = {.providers = &provider, .n_providers = 1, .models = models, .n_models = 2};

static int setup(void **state)
{
    static const struct health_conf conf = {.failures = 3, .open_us = 30 * SECOND};

    (void)state;
    log_configure(LOG_ERROR, LOG_FORMAT_LOGFMT);
    loop = loop_new_sim(0);
    health = health_new(loop, NULL, &registry, &conf); /* no breaker opens: nobody is asked */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    health_free(health);
    loop_free(loop);
    return 0;
}

static void on_stop(void *arg)
{
    loop_stop(arg);
}

static void run_for(int64_t us)
{
    struct timer t;

    timer_init(&t, on_stop, loop);
    timer_start(loop, &t, loop_now_us(loop) + us);
    loop_run(loop);
    timer_stop(loop, &t);
}

static struct outcome outcome_of(enum fault fault)
{
    struct outcome o;

    outcome_init(&o);
    outcome_fail(&o, fault, NULL, "why");
    return o;
}

static void test_keys_take_turns(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++) /* each model its own */
        for (int m = 0; m < 2; m++)
            assert_int_equal(health_pick_key(health, &models[m], 0), i % 3);
    assert_int_equal(health_pick_key(health, &models[0], 1), 1);
    assert_int_equal(health_pick_key(health, &models[0], 3), 2);
    assert_int_equal(health_pick_key(health, &models[0], 7), -1);
}

static void test_d22_keys_rest_and_come_back(void **state)
{
    struct outcome refused = outcome_of(FAULT_AUTH), used_up = outcome_of(FAULT_QUOTA_EXHAUSTED);

    (void)state;
    used_up.retry_after_us = 60 * SECOND;
    health_note_key(health, &models[0], 0, &refused, 0);
    health_note_key(health, &models[0], 1, &used_up, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(health_pick_key(health, &models[1], 0), 2); /* a key is the provider's, not one model's */
    assert_int_equal(health_key_wait_us(health, &models[0], 4), -1);
    assert_int_equal(health_pick_key(health, &models[0], 4), 1); /* all rest: who comes back first */
    run_for(61 * SECOND);
    assert_true(health_key_is_ready(health, &models[0], 1));
    assert_false(health_key_is_ready(health, &models[0], 0));
    run_for(540 * SECOND);
    assert_true(health_key_is_ready(health, &models[0], 0));
}

/* A pause is one key's with one model. */
static void test_paused_pools(void **state)
{
    struct outcome limited = outcome_of(FAULT_RATE_LIMITED);

    (void)state;
    health_note_key(health, &models[0], 0, &limited, 10 * SECOND);
    health_note_key(health, &models[0], 1, &limited, 20 * SECOND);
    assert_false(health_key_is_ready(health, &models[0], 0));
    assert_true(health_key_is_ready(health, &models[1], 0));
    assert_int_equal(health_key_wait_us(health, &models[0], 0), 0);
    assert_int_equal(health_key_wait_us(health, &models[0], 4), 10 * SECOND);
    assert_int_equal(health_pick_key(health, &models[0], 0), 2);
    assert_int_equal(health_pick_key(health, &models[0], 4), 0);
    run_for(11 * SECOND);
    assert_true(health_key_is_ready(health, &models[0], 0));
}

/* With a single key there is nothing to choose: nothing is put aside. */
static void test_a_single_key_never_rests(void **state)
{
    struct outcome refused = outcome_of(FAULT_AUTH);

    (void)state;
    provider.n_keys = 1;
    health_note_key(health, &models[0], 0, &refused, 0);
    assert_true(health_key_is_ready(health, &models[0], 0));
    provider.n_keys = 3;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_d22_keys_rest_and_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paused_pools, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_single_key_never_rests, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
