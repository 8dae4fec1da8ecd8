/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at pools in a real Redis: what limiters have left there is read, and left as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/rng.h"
#include "impl/limiter_look.h"
#include "impl/limiter_redis.h"
#include "loop.h"
#include "redis.h"
#include "unit/limiter/resp_client.h"
#include "unit/redis/redis_server.h"

#define SECOND INT64_C(1000000)

enum { POOLS = 3, PERMITS = 6 };

static const struct pool_conf pools[POOLS] = {
    {.id = "both", .requests_per_minute = 60000, .tokens_per_minute = 60000, .largest_call = 3000},
    {.id = "slots", .concurrency = 2},
    {.id = "unused", .requests_per_minute = 600},
};

static struct redis_server server;
static struct resp admin;
static char url[64];
static int n_done;

static int start_redis(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_FORMAT_LOGFMT);
    server_init(&server);
    server_start(&server, NULL);
    resp_open(&admin, server.port);
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d/0", server.port);
    return 0;
}

static int stop_redis(void **state)
{
    (void)state;
    resp_close(&admin);
    server_done(&server);
    return 0;
}

static void on_permit(struct permit *p, void *arg)
{
    (void)p;
    (void)arg;
    n_done++;
}

static void on_stop(void *arg)
{
    loop_stop(arg);
}

static void run_for(struct loop *loop, int64_t us)
{
    struct timer t;

    timer_init(&t, on_stop, loop);
    timer_start(loop, &t, loop_now_us(loop) + us);
    loop_run(loop);
    timer_stop(loop, &t);
}

static struct limiter *open_limiter(struct loop *loop, struct rng *rng)
{
    struct redis_conf redis;
    struct limiter_redis_conf conf = {
        .redis = &redis, .pools = pools, .n_pools = POOLS, .grant_age_us = 5 * SECOND, .tick_timeout_us = 5 * SECOND};
    struct limiter *l;
    const char *why;

    CHECK(redis_conf_parse(url, &redis, &why) == 0);
    redis.name = "limiter";
    l = limiter_redis_new(loop, rng, &conf);
    redis_conf_done(&redis);
    return l;
}

/* Everything the server holds, as one text. */
static void dump(char *out, size_t size)
{
    static const char *const script[] = {
        "EVAL",
        "local out = {} for _, k in ipairs({'both','slots','unused'}) do for _, e in ipairs({'s','i'}) do "
        "local all = redis.call('HGETALL', 'tutti:{' .. k .. '}:' .. e) table.sort(all) "
        "out[#out+1] = table.concat(all, ' ') end end return table.concat(out, '|')",
        "0"};

    resp_call(&admin, 3, script);
    (void)snprintf(out, size, "%s", admin.error);
}

static void test_what_limiters_left_is_read(void **state)
{
    static char before[8192], after[8192];
    struct loop *loop = loop_new();
    struct permit p[PERMITS];
    struct pool_look looks[POOLS];
    struct limiter *l;
    struct rng rng;
    char why[128];

    (void)state;
    rng_seed(&rng, 7);
    n_done = 0;
    l = open_limiter(loop, &rng);
    for (int i = 0; i < PERMITS; i++) {
        p[i] = (struct permit){.pool = i < 3 ? 0 : 1, .tokens = i < 3 ? 500 : 0, .done = on_permit};
        l->ops->request(l, &p[i]);
    }
    for (int i = 0; i < 5000 && n_done < 5; i++) /* the last one finds both slots taken */
        run_for(loop, 2000);
    l->ops->pause(l, 1, 600 * SECOND);
    run_for(loop, SECOND / 5);
    dump(before, sizeof(before));
    assert_int_equal(limiter_look(url, NULL, pools, POOLS, looks, why, sizeof(why)), 0);
    dump(after, sizeof(after));
    assert_string_equal(before, after);
    assert_true(looks[0].is_known && looks[1].is_known && !looks[2].is_known);
    assert_int_equal(looks[0].req_bucket, 1200);
    assert_in_range(looks[0].req_level, 1, 1200);
    assert_int_equal(looks[0].tok_bucket, 3000);
    assert_true(looks[0].tok_level + looks[0].tok_held <= 3000);
    assert_int_equal(looks[0].tok_held, 1500);
    assert_int_equal(looks[0].in_flight, 3);
    assert_int_equal(looks[0].workers, 1);
    assert_int_equal(looks[1].in_flight, 2);
    assert_in_range(looks[1].pause_us, 500 * SECOND, 600 * SECOND);
    assert_int_equal(looks[2].req_bucket, 12);
    assert_int_equal(looks[2].workers, 0);
    l->ops->free(l);
    loop_free(loop);
}

static void test_nobody_there(void **state)
{
    struct pool_look looks[POOLS];
    char why[128];

    (void)state;
    assert_true(limiter_look("redis://", NULL, pools, POOLS, looks, why, sizeof(why)) < 0);
    assert_true(*why != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_limiters_left_is_read),
        cmocka_unit_test(test_nobody_there),
    };

    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
