/* SPDX-License-Identifier: Apache-2.0 */
/* Meters whose workers' grants live for different times (J): the rate follows the largest, and the any-window bound
 * holds while they change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "limiter/bucket.h"
#include "limiter/meter.h"
#include "seam/limiter.h"
#include "unit/limiter/spend_log.h"

#define J_US   INT64_C(500000)
#define SECOND INT64_C(1000000)

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

enum { WORKERS = 3, AGE_STEPS = 12000, AGE_CYCLE_S = 67 };

/* Writes of one run in which the workers' grant ages change. Every cycle the pool fills up, then calls are kept as long
 * as their grants allow so that they meet at one moment, and from then on all are written at once: the worst window
 * begins there. Returns the most calls in 60 s. */
static int64_t most_with_changing_ages(uint64_t seed, const struct pool_conf *conf)
{
    static int64_t written_us[AGE_STEPS * 4];
    static struct spend_log log;
    struct rng rng;
    struct meter meter = {0};
    struct pool_limits lims[3];
    int64_t seq = 0, now_us = 1000 * SECOND, age_us[WORKERS] = {J_US, J_US, J_US};
    int n = 0;

    rng_seed(&rng, seed);
    for (int i = 0; i < AGE_STEPS; i++) {
        int worker = (int)rng_below(&rng, WORKERS);
        int64_t phase_us = now_us % (AGE_CYCLE_S * SECOND);
        int64_t meet_us = now_us - phase_us + 7 * SECOND;
        struct tick_ask ask = {.seq = ++seq};
        struct tick_answer a;

        now_us += rng_between(&rng, 0, 200000);
        if (rng_below(&rng, 200) == 0)
            age_us[worker] = J_US << rng_below(&rng, 3);
        if (now_us > meet_us - age_us[worker] && (phase_us > 5 * SECOND))
            ask.n = 30;
        pool_limits_of(&lims[worker], conf, age_us[worker]);
        CHECK(meter_tick(&meter, &lims[worker], (uint64_t)worker + 1, &ask, now_us, &a) == 0);
        for (int k = 0; k < a.granted && n < (int)ARRAY_LEN(written_us); k++)
            written_us[n++] = now_us < meet_us ? meet_us : now_us;
        if (phase_us > 5 * SECOND && phase_us < 7 * SECOND && rng_below(&rng, 8) == 0)
            age_us[worker] = J_US; /* the grants just given live on */
    }
    meter_done(&meter);
    qsort(written_us, (size_t)n, sizeof(written_us[0]), by_time);
    log.n = 0;
    for (int i = 0; i < n; i++)
        spend_add(&log, written_us[i], 1);
    return spend_max(&log, BUCKET_WINDOW_US);
}

static void test_any_window_while_ages_change(void **state)
{
    const struct pool_conf conf = {.id = "p", .requests_per_minute = 600};
    int64_t most = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        int64_t n = most_with_changing_ages(seed, &conf);

        most = n > most ? n : most;
    }
    assert_in_range(most, 590, 600);
}

static void test_rate_follows_the_largest_age(void **state)
{
    const struct pool_conf conf = {.id = "p", .requests_per_minute = 600};
    static const struct {
        int64_t at_s;    /* of the tick */
        int64_t age_us;  /* given */
        int64_t rate_us; /* J for which the rate since the last tick was */
    } rows[] = {
        {0, J_US, J_US},        {1, J_US, J_US},     {2, 2 * SECOND, 2 * SECOND}, {3, J_US, 2 * SECOND},
        {63, J_US, 2 * SECOND}, /* 60 s + J have not passed */
        {64, J_US, 2 * SECOND}, /* now they have: lowered by half for the next */
        {65, J_US, SECOND},     {124, J_US, SECOND}, {125, J_US, SECOND},         {126, J_US, J_US},
    };
    struct meter meter = {0};
    struct tick_answer a;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tick_ask ask = {.seq = (int64_t)i + 1};
        struct pool_limits lim, want;

        pool_limits_of(&lim, &conf, rows[i].age_us);
        pool_limits_of(&want, &conf, rows[i].rate_us);
        meter.t_us = (rows[i].at_s + 99) * SECOND; /* a second of refill from nothing */
        meter.req = (struct bucket){0};
        CHECK(meter_tick(&meter, &lim, 1 + i % 2, &ask, (rows[i].at_s + 100) * SECOND, &a) == 0);
        if (i > 0)
            assert_in_range(a.req_level, want.req_rate - 1, want.req_rate);
    }
    meter_done(&meter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_window_while_ages_change),
        cmocka_unit_test(test_rate_follows_the_largest_age),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
