/* SPDX-License-Identifier: Apache-2.0 */
/* What a fault means: the table of classes, the schedule inside its bands, the provider's hint as a floor, the bounds
 * by attempts and time left, and when a pool is paused. */
#include "core/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/rng.h"
#include "core/outcome.h"

#define MS     INT64_C(1000)
#define SECOND INT64_C(1000000)

static const struct retry_conf conf = {.attempts = 6, .base_us = 500 * MS, .cap_us = 4 * SECOND};

static struct outcome outcome_of(enum fault f)
{
    struct outcome o;

    outcome_init(&o);
    outcome_fail(&o, f, NULL, "why");
    return o;
}

static const struct {
    enum fault fault;
    int tries; /* in all, of conf.attempts */
} classes[] = {
    {FAULT_RATE_LIMITED, 6},     {FAULT_OVERLOADED, 6},          {FAULT_TIMEOUT, 6},
    {FAULT_NETWORK, 6},          {FAULT_PROVIDER_ERROR, 6},      {FAULT_BAD_RESPONSE, 2},
    {FAULT_EMPTY_ANSWER, 2},     {FAULT_QUOTA_EXHAUSTED, 1},     {FAULT_AUTH, 1},
    {FAULT_INVALID_REQUEST, 1},  {FAULT_MODEL_NOT_FOUND, 1},     {FAULT_CONTEXT_LENGTH, 1},
    {FAULT_CONTENT_FILTERED, 1}, {FAULT_CANCELLED, 1},           {FAULT_DEADLINE_EXCEEDED, 1},
    {FAULT_CIRCUIT_OPEN, 1},     {FAULT_LIMITER_UNAVAILABLE, 1}, {FAULT_BUDGET_EXCEEDED, 1},
    {FAULT_OVER_POOL, 1},        {FAULT_UNKNOWN_MODEL, 1},
};

static void test_classes(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    assert_int_equal(ARRAY_LEN(classes), FAULT_MAX - 1);
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        struct outcome o = outcome_of(classes[i].fault);
        int tries = 1;

        while (tries < 100 && retry_judge(&conf, &o, tries, INT64_MAX, &rng).is_again)
            tries++;
        if (tries != classes[i].tries)
            fail_msg("%s: %d tries", fault_code(o.fault), tries);
    }
}

static void test_provider_decides(void **state)
{
    struct outcome no = outcome_of(FAULT_PROVIDER_ERROR);
    struct outcome yes = outcome_of(FAULT_AUTH);
    struct outcome bad = outcome_of(FAULT_EMPTY_ANSWER);
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    no.hint = RETRY_HINT_NO;
    assert_false(retry_judge(&conf, &no, 1, INT64_MAX, &rng).is_again);
    yes.hint = RETRY_HINT_YES;
    assert_false(retry_judge(&conf, &yes, 1, INT64_MAX, &rng).is_again); /* no status: it was no provider who said so */
    yes.http_status = 401;
    assert_true(retry_judge(&conf, &yes, 1, INT64_MAX, &rng).is_again);
    assert_false(retry_judge(&conf, &yes, conf.attempts, INT64_MAX, &rng).is_again);
    bad.hint = RETRY_HINT_YES; /* paid output stays bounded */
    bad.http_status = 200;
    assert_true(retry_judge(&conf, &bad, 1, INT64_MAX, &rng).is_again);
    assert_false(retry_judge(&conf, &bad, 2, INT64_MAX, &rng).is_again);
}

/* D-18: 1000 whole schedules: every wait within [step / 2, step], and they spread. */
static void test_d18_schedule(void **state)
{
    static const int64_t bands[] = {500 * MS, SECOND, 2 * SECOND, 4 * SECOND, 4 * SECOND};
    struct outcome o = outcome_of(FAULT_PROVIDER_ERROR);
    int64_t low[ARRAY_LEN(bands)], high[ARRAY_LEN(bands)] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bands); i++)
        low[i] = INT64_MAX;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct rng rng;

        rng_seed(&rng, seed);
        for (size_t i = 0; i < ARRAY_LEN(bands); i++) {
            struct retry_verdict v = retry_judge(&conf, &o, (int)i + 1, INT64_MAX, &rng);

            assert_true(v.is_again);
            assert_int_equal(v.pause_us, 0);
            assert_in_range(v.delay_us, bands[i] / 2, bands[i]);
            low[i] = v.delay_us < low[i] ? v.delay_us : low[i];
            high[i] = v.delay_us > high[i] ? v.delay_us : high[i];
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(bands); i++) { /* the whole band is used */
        assert_true(low[i] < bands[i] / 2 + bands[i] / 50);
        assert_true(high[i] > bands[i] - bands[i] / 50);
    }
}

static void test_hint_is_floor(void **state)
{
    static const int64_t hints[] = {1, 7, 20 * MS, SECOND, 60 * SECOND, 86400 * SECOND};
    static const enum fault faults[] = {FAULT_RATE_LIMITED, FAULT_OVERLOADED, FAULT_PROVIDER_ERROR};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (size_t f = 0; f < ARRAY_LEN(faults); f++)
        for (size_t i = 0; i < ARRAY_LEN(hints); i++)
            for (int n = 0; n < 200; n++) {
                struct outcome o = outcome_of(faults[f]);
                struct retry_verdict v;

                o.retry_after_us = hints[i];
                v = retry_judge(&conf, &o, 1 + n % 3, INT64_MAX, &rng);
                assert_true(v.is_again);
                assert_in_range(v.delay_us, hints[i], hints[i] + hints[i] / 4);
                assert_int_equal(v.pause_us, faults[f] == FAULT_PROVIDER_ERROR ? 0 : hints[i]);
            }
}

/* "Retry-After: 0" must not make a tight loop. */
static void test_hint_of_nothing(void **state)
{
    struct outcome o = outcome_of(FAULT_RATE_LIMITED);
    struct rng rng;
    struct retry_verdict v;

    (void)state;
    rng_seed(&rng, 1);
    o.retry_after_us = 0;
    v = retry_judge(&conf, &o, 1, INT64_MAX, &rng);
    assert_in_range(v.delay_us, 250 * MS, 500 * MS);
    assert_int_equal(v.pause_us, v.delay_us);
}

/* The others of the pool must know of a 429 even when this call gives up. */
static void test_pause_when_giving_up(void **state)
{
    struct outcome o = outcome_of(FAULT_RATE_LIMITED);
    struct rng rng;
    struct retry_verdict v;

    (void)state;
    rng_seed(&rng, 1);
    o.retry_after_us = 3 * SECOND;
    v = retry_judge(&conf, &o, conf.attempts, INT64_MAX, &rng);
    assert_false(v.is_again);
    assert_int_equal(v.pause_us, 3 * SECOND);
    v = retry_judge(&conf, &o, 1, SECOND, &rng); /* does not fit */
    assert_false(v.is_again);
    assert_int_equal(v.pause_us, 3 * SECOND);
    o.is_recalled = true; /* the journal's: that pause is over */
    assert_int_equal(retry_judge(&conf, &o, 1, INT64_MAX, &rng).pause_us, 0);
    o = outcome_of(FAULT_OVERLOADED);
    assert_int_equal(retry_judge(&conf, &o, 1, INT64_MAX, &rng).pause_us, 0);
}

/* Where else a call may go with a fault, and what the fault says of the model. */
static void test_elsewhere(void **state)
{
    static const struct {
        enum fault fault;
        bool another_key, another_model;
        enum sign sign;
    } rows[] = {
        {FAULT_RATE_LIMITED, true, true, SIGN_NONE},
        {FAULT_OVERLOADED, false, true, SIGN_BAD},
        {FAULT_QUOTA_EXHAUSTED, true, true, SIGN_NONE},
        {FAULT_TIMEOUT, false, true, SIGN_BAD},
        {FAULT_NETWORK, false, true, SIGN_BAD},
        {FAULT_PROVIDER_ERROR, false, true, SIGN_BAD},
        {FAULT_AUTH, true, true, SIGN_NONE},
        {FAULT_INVALID_REQUEST, false, false, SIGN_NONE},
        {FAULT_MODEL_NOT_FOUND, false, true, SIGN_NONE},
        {FAULT_CONTEXT_LENGTH, false, true, SIGN_NONE},
        {FAULT_CONTENT_FILTERED, false, true, SIGN_NONE},
        {FAULT_BAD_RESPONSE, false, true, SIGN_BAD},
        {FAULT_EMPTY_ANSWER, false, true, SIGN_GOOD},
        {FAULT_CANCELLED, false, false, SIGN_UNKNOWN},
        {FAULT_DEADLINE_EXCEEDED, false, false, SIGN_SILENT},
        {FAULT_CIRCUIT_OPEN, false, true, SIGN_UNKNOWN},
        {FAULT_LIMITER_UNAVAILABLE, false, false, SIGN_UNKNOWN},
        {FAULT_BUDGET_EXCEEDED, false, false, SIGN_UNKNOWN},
        {FAULT_OVER_POOL, false, true, SIGN_UNKNOWN},
        {FAULT_UNKNOWN_MODEL, false, false, SIGN_UNKNOWN},
    };
    struct outcome o;

    (void)state;
    assert_int_equal(ARRAY_LEN(rows), FAULT_MAX - 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        o = outcome_of(rows[i].fault);
        assert_int_equal(retry_may_change_key(&o), rows[i].another_key);
        assert_int_equal(retry_may_fall_back(&o), rows[i].another_model);
        assert_int_equal(retry_sign(&o), rows[i].sign);
    }
    outcome_init(&o);
    assert_int_equal(retry_sign(&o), SIGN_GOOD);
    outcome_fail(&o, FAULT_NETWORK, "local", "no descriptor"); /* our own trouble */
    assert_int_equal(retry_sign(&o), SIGN_UNKNOWN);
}

static void test_time_left(void **state)
{
    static const struct {
        int64_t left_us;
        int64_t hint_us;
        bool is_again;
    } rows[] = {
        {INT64_MAX, -1, true},
        {10 * SECOND, -1, true},
        {100 * MS, -1, true},
        {10, -1, true},
        {1, -1, true},
        {0, -1, false},
        {-1, -1, false},
        {INT64_MIN, -1, false},
        {2 * SECOND, SECOND, true},
        {SECOND + 200 * MS, SECOND, true},
        {SECOND, SECOND, false},
        {SECOND - 1, SECOND, false},
    };
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int n = 0; n < 100; n++) {
            struct outcome o = outcome_of(FAULT_TIMEOUT);
            struct retry_verdict v;

            o.retry_after_us = rows[i].hint_us;
            v = retry_judge(&conf, &o, 4, rows[i].left_us, &rng);
            if (v.is_again != rows[i].is_again)
                fail_msg("row %zu", i);
            assert_true(v.delay_us >= 0);
            if (v.is_again && rows[i].hint_us < 0 && rows[i].left_us != INT64_MAX)
                assert_true(v.delay_us <= rows[i].left_us / 2);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),         cmocka_unit_test(test_provider_decides),
        cmocka_unit_test(test_d18_schedule),    cmocka_unit_test(test_hint_is_floor),
        cmocka_unit_test(test_hint_of_nothing), cmocka_unit_test(test_pause_when_giving_up),
        cmocka_unit_test(test_time_left),       cmocka_unit_test(test_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
