/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet's one try, over memory on virtual time and over a real Redis: one of all workers may, the others hear how
 * it went, every word ends, and a worker that is alone may always. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "impl/limiter_mem.h"
#include "impl/limiter_redis.h"
#include "loop.h"
#include "redis.h"
#include "unit/limiter/resp_client.h"
#include "unit/redis/redis_server.h"

#define SECOND INT64_C(1000000)
#define MS     INT64_C(1000)

enum { N = 3 };

static struct loop *loop;
static struct rng rng;
static struct limiter_store *store;
static struct limiter *limiters[N];
static struct redis_server server;
static struct probe probes[N];
static int n_done, n_wrong;

static void on_done(struct probe *p, void *arg)
{
    n_wrong += p != arg;
    n_done++;
}

static void ask(int i, const char *name, int64_t ttl_us)
{
    int before = n_done;

    probes[i] = (struct probe){.word = PROBE_ASK, .name = name, .ttl_us = ttl_us, .done = on_done, .arg = &probes[i]};
    limiters[i]->ops->probe(limiters[i], &probes[i]);
    assert_int_equal(n_done, before); /* never from inside */
}

static void say(int i, const char *name, enum probe_word word, int64_t ttl_us)
{
    struct probe p = {.word = word, .name = name, .ttl_us = ttl_us};

    limiters[i]->ops->probe(limiters[i], &p);
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

/* Until `n` answers have come; not longer than 5 s. */
static void wait_for(int n)
{
    for (int i = 0; i < 2500 && n_done < n; i++)
        run_for(2 * MS);
    assert_int_equal(n_done, n);
    assert_int_equal(n_wrong, 0);
}

static int done(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) {
        if (limiters[i] != NULL)
            limiters[i]->ops->free(limiters[i]);
        limiters[i] = NULL;
    }
    limiter_store_free(store);
    store = NULL;
    loop_free(loop);
    return 0;
}

static int start_mem(void **state)
{
    (void)state;
    n_done = 0;
    loop = loop_new_sim(0);
    rng_seed(&rng, 7);
    store = limiter_store_new();
    for (int i = 0; i < N; i++)
        limiters[i] = limiter_mem_new(loop, &rng, NULL, 0, 0, store);
    return 0;
}

/* With a pool, since it does not connect without. */
static void open_redis(int i)
{
    static const struct pool_conf pool = {.id = "a", .requests_per_minute = 600};
    struct redis_conf redis;
    struct limiter_redis_conf conf = {.redis = &redis, .pools = &pool, .n_pools = 1, .tick_timeout_us = 5 * SECOND};
    char url[64];
    const char *why;

    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d/0", server.port);
    CHECK(redis_conf_parse(url, &redis, &why) == 0);
    redis.name = "limiter";
    limiters[i] = limiter_redis_new(loop, &rng, &conf);
    redis_conf_done(&redis);
}

static int start_redis(void **state)
{
    struct resp admin;

    (void)state;
    log_configure(LOG_ERROR, LOG_FORMAT_LOGFMT);
    n_done = 0;
    loop = loop_new();
    rng_seed(&rng, 7);
    server_init(&server);
    server_start(&server, NULL);
    resp_open(&admin, server.port); /* it listens */
    resp_close(&admin);
    for (int i = 0; i < N; i++)
        open_redis(i);
    return 0;
}

static int done_redis(void **state)
{
    (void)done(state);
    server_done(&server);
    return 0;
}

/* Connections come up by themselves; a question before that is answered as by a worker alone. */
static void wait_until_shared(void)
{
    for (int i = 0; i < N; i++) {
        static const char *const names[N] = {"up-0", "up-1", "up-2"};

        probes[i].answer = PROBE_YOURS;
        for (int n = 0; n < 500 && probes[i].answer == PROBE_YOURS; n++) {
            ask(i, names[i], 30 * SECOND); /* the second one finds what the first one left */
            wait_for(n_done + 1);
            run_for(2 * MS);
        }
        assert_int_equal(probes[i].answer, PROBE_OTHERS);
    }
    n_done = 0;
}

/* Words of other workers travel on other connections: asks until the answer is this one, at most 5 s. */
static void ask_until(int i, const char *name, enum probe_answer wanted)
{
    for (int n = 0; n < 500; n++) {
        ask(i, name, 60 * SECOND);
        wait_for(n_done + 1);
        if (probes[i].answer == wanted)
            return;
        run_for(10 * MS);
    }
    fail_msg("%s: the answer stays %d", name, (int)probes[i].answer);
}

static void one_of_the_fleet(void)
{
    ask_until(0, "m", PROBE_YOURS);
    ask_until(1, "m", PROBE_OTHERS);
    ask_until(2, "other", PROBE_YOURS);
    say(0, "m", PROBE_BAD, 60 * SECOND);
    ask_until(1, "m", PROBE_WAS_BAD);
    say(0, "m", PROBE_GOOD, 60 * SECOND);
    ask_until(1, "m", PROBE_WAS_GOOD);
    ask_until(2, "m", PROBE_WAS_GOOD);
    say(0, "m", PROBE_GOOD, 200 * MS);
    ask_until(1, "m", PROBE_YOURS); /* every word ends */
}

static void test_memory(void **state)
{
    (void)state;
    one_of_the_fleet();
}

static void test_redis(void **state)
{
    (void)state;
    wait_until_shared();
    one_of_the_fleet();
}

static void test_alone_while_redis_is_away(void **state)
{
    (void)state;
    wait_until_shared();
    server_kill(&server);
    run_for(50 * MS);
    ask(0, "m", 10 * SECOND);
    ask(1, "m", 10 * SECOND);
    say(0, "m", PROBE_GOOD, 10 * SECOND);
    wait_for(2);
    assert_int_equal(probes[0].answer, PROBE_YOURS);
    assert_int_equal(probes[1].answer, PROBE_YOURS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_memory, start_mem, done),
        cmocka_unit_test_setup_teardown(test_redis, start_redis, done_redis),
        cmocka_unit_test_setup_teardown(test_alone_while_redis_is_away, start_redis, done_redis),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
