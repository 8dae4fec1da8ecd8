/* SPDX-License-Identifier: Apache-2.0 */
/* Slot leases against a real redis-server: lowest free number, renewal, giving back, losing it, Redis away. */
#include "slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/redis/redis_rig.h"
#include "unit/redis/redis_server.h"

struct bench {
    struct redis_server server;
    struct rig rig;
};

struct holder {
    struct bench *b;
    struct slot *slot;
    int n_leased, n_lost, n_released;
    char number[16];
};

static void bench_open(struct bench *b)
{
    char url[64];

    server_init(&b->server);
    server_start(&b->server, NULL);
    rig_init(&b->rig);
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", b->server.port);
    rig_open(&b->rig, url);
}

static void bench_close(struct bench *b)
{
    rig_done(&b->rig);
    server_done(&b->server);
}

static void run_ms(struct bench *b, int ms)
{
    int never = 0;

    (void)rig_wait(&b->rig, &never, 1, ms);
}

static void on_leased(void *arg, const char *slot)
{
    struct holder *h = arg;

    h->n_leased++;
    (void)snprintf(h->number, sizeof(h->number), "%s", slot);
    loop_stop(h->b->rig.loop);
}

static void on_lost(void *arg)
{
    struct holder *h = arg;

    h->n_lost++;
    loop_stop(h->b->rig.loop);
}

static void on_released(void *arg)
{
    struct holder *h = arg;

    h->n_released++;
    loop_stop(h->b->rig.loop);
}

static void start(struct bench *b, struct holder *h, const char *owner, int64_t lease_ms)
{
    *h = (struct holder){.b = b};
    h->slot = slot_lease(b->rig.loop, b->rig.redis, "g", owner, lease_ms, on_leased, on_lost, h);
    assert_int_equal(h->n_leased, 0);
}

static void expect_number(struct holder *h, const char *number)
{
    assert_true(rig_wait(&h->b->rig, &h->n_leased, 1, 10000));
    assert_string_equal(h->number, number);
}

static void release(struct holder *h)
{
    slot_release(h->slot, on_released, h);
    assert_int_equal(h->n_released, 0);
    assert_true(rig_wait(&h->b->rig, &h->n_released, 1, 5000));
    assert_int_equal(h->n_released, 1);
}

static void test_lowest_free(void **state)
{
    struct bench b;
    struct holder h[4];

    (void)state;
    bench_open(&b); /* it need not be up */
    start(&b, &h[0], "a", 0);
    expect_number(&h[0], "1");
    start(&b, &h[1], "b", 0);
    expect_number(&h[1], "2");
    start(&b, &h[2], "c", 0);
    expect_number(&h[2], "3");
    release(&h[1]);
    start(&b, &h[3], "d", 0);
    expect_number(&h[3], "2");
    assert_string_equal(rig_ask(&b.rig, "GET tutti:slot:g:2").s, "d");
    release(&h[0]);
    release(&h[2]);
    release(&h[3]);
    assert_int_equal(rig_ask(&b.rig, "KEYS tutti:slot:*").elements, 0);
    start(&b, &h[0], "e", 0); /* given up before it began */
    release(&h[0]);
    assert_int_equal(h[0].n_leased, 0);
    bench_close(&b);
}

static void test_kept_by_renewing(void **state)
{
    struct bench b;
    struct holder h, other;

    (void)state;
    bench_open(&b);
    start(&b, &h, "a", 400);
    expect_number(&h, "1");
    run_ms(&b, 900);
    start(&b, &other, "b", 400);
    expect_number(&other, "2");
    assert_int_equal(rig_ask(&b.rig, "FLUSHALL").error, 0); /* comes back by itself */
    run_ms(&b, 250);
    assert_string_equal(rig_ask(&b.rig, "GET tutti:slot:g:1").s, "a");
    assert_int_equal(h.n_lost + other.n_lost, 0);
    assert_int_equal(h.n_leased, 1);
    release(&h);
    release(&other);
    bench_close(&b);
}

static void test_lost_to_another(void **state)
{
    struct bench b;
    struct holder h;

    (void)state;
    bench_open(&b);
    start(&b, &h, "a", 400);
    expect_number(&h, "1");
    assert_int_equal(rig_ask(&b.rig, "SET tutti:slot:g:1 b").error, 0);
    assert_true(rig_wait(&b.rig, &h.n_lost, 1, 5000));
    run_ms(&b, 300);
    assert_int_equal(h.n_lost, 1);
    release(&h);
    assert_string_equal(rig_ask(&b.rig, "GET tutti:slot:g:1").s, "b");
    bench_close(&b);
}

static void test_redis_away(void **state)
{
    struct bench b;
    struct holder h, waiting;

    (void)state;
    bench_open(&b);
    start(&b, &h, "a", 400);
    expect_number(&h, "1");
    server_kill(&b.server);
    assert_true(rig_wait(&b.rig, &b.rig.n_down, 1, 5000));
    start(&b, &waiting, "b", 400);
    run_ms(&b, 100);
    assert_int_equal(waiting.n_leased, 0);
    assert_int_equal(h.n_lost, 0);
    release(&h); /* does not wait for Redis */
    server_start(&b.server, NULL);
    expect_number(&waiting, "1");
    release(&waiting);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lowest_free),
        cmocka_unit_test(test_kept_by_renewing),
        cmocka_unit_test(test_lost_to_another),
        cmocka_unit_test(test_redis_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
