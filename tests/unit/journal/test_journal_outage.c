/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis journal when its redis-server dies, stands still, forgets or is full, and when the process restarts then.
 * Takes some seconds: keys have to run out and servers to stand still. */
#include "journal_bench.h"

#include "base/metrics.h"

static void test_outage(void **state)
{
    struct bench b;
    struct journal *j;
    struct asked a;
    int64_t spooled = metric_get(METRIC_JOURNAL_SPOOLED);

    (void)state;
    bench_open(&b);
    j = ready_journal(&b, "1", 2000);
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 0);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    expect_claim(&b, j, 2, 1, CLAIM_OURS, 1, 0);
    server_kill(&b.server);
    record(j, 1, "a", 1, true, "before it is noticed", 20);
    assert_true(wait_down(&b, j, true, 5000));
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 1);
    record(j, 1, "b", 1, true, "while it is away", 16);
    j->ops->decide(j, at(1), TEXT_LIT("decided"));
    record(j, 2, "c", 1, true, "x", 1);
    j->ops->forget(j, at(2));
    ask(&b, j, 3, 1, &a);
    run_ms(&b, 100);
    assert_int_equal(a.n, 0);
    server_start(&b.server, NULL); /* empty, without our functions */
    assert_true(rig_wait(&b.rig, &a.n, 1, 15000));
    assert_int_equal(a.c.result, CLAIM_OURS);
    ask_done(&a);
    assert_false(j->is_down);
    assert_int_equal(metric_get(METRIC_JOURNAL_SPOOLED), spooled + 5);
    a = *claim(&b, j, 1, 1);
    assert_int_equal(a.c.n_recalls, 2);
    assert_true(text_is(a.c.decision, "decided"));
    ask_done(&a);
    expect_claim(&b, j, 2, 1, CLAIM_OURS, 1, 0);
    stop(&b, j, true);
    bench_close(&b);
}

/* A claim whose answer was lost is asked again, and counted once. */
static void test_lost_answer(void **state)
{
    struct bench b;
    struct journal *j;
    struct asked a;

    (void)state;
    bench_open(&b);
    j = ready_journal(&b, "1", 8000);
    (void)kill(b.server.pid, SIGSTOP);
    ask(&b, j, 1, 1, &a);
    assert_true(wait_down(&b, j, true, 5000));
    (void)kill(b.server.pid, SIGCONT); /* reads the claim from the dead connection, too */
    assert_true(rig_wait(&b.rig, &a.n, 1, 15000));
    assert_int_equal(a.n, 1);
    assert_int_equal(a.c.deliveries, 1);
    ask_done(&a);
    stop(&b, j, true);
    bench_close(&b);
}

/* While a server stood still the keys of the living ran out with those of the dead: nobody is dead for a while. */
static void test_grace_after_an_outage(void **state)
{
    struct bench b;
    struct journal *one, *two;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 1500);
    two = ready_journal(&b, "2", 1500);
    run_ms(&b, 2000); /* past the server's own grace */
    expect_claim(&b, one, 1, 1, CLAIM_OURS, 1, 0);
    one->ops->free(one); /* or cut off: nobody can tell */
    (void)kill(b.server.pid, SIGSTOP);
    assert_true(wait_down(&b, two, true, 5000)); /* its renewal is not answered for 2 s */
    run_ms(&b, 400);
    (void)kill(b.server.pid, SIGCONT);
    assert_true(wait_down(&b, two, false, 10000));
    assert_int_equal(rig_ask(&b.rig, "PING").error == 0, redis_is_up(b.rig.redis));
    expect_claim(&b, two, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    run_ms(&b, 1700);
    expect_claim(&b, two, 1, 1, CLAIM_OURS, 2, 0);
    stop(&b, two, true);
    bench_close(&b);
}

static void test_restart_with_a_spool(void **state)
{
    struct bench b;
    struct journal *j;
    struct asked *a;

    (void)state;
    bench_open(&b);
    j = open_journal(&b, "1", 2000, b.server.dir);
    assert_true(wait_down(&b, j, false, 10000));
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    server_kill(&b.server);
    assert_true(wait_down(&b, j, true, 5000));
    record(j, 1, "a", 3, true, "paid\0for", 8);
    j->ops->decide(j, at(1), TEXT_LIT("decided"));
    run_ms(&b, 50);
    assert_true(spool_bytes(&b, NULL) > 0);
    j->ops->free(j); /* killed */
    server_start(&b.server, NULL);
    j = open_journal(&b, "1", 2000, b.server.dir);
    a = claim(&b, j, 1, 1);
    assert_int_equal(a->c.n_recalls, 1);
    assert_int_equal(find(a, "a", true, 3)->bytes.len, 8);
    assert_true(text_is(a->c.decision, "decided"));
    ask_done(a);
    run_ms(&b, 50);
    assert_int_equal(spool_bytes(&b, NULL), 0);
    stop(&b, j, true);
    bench_close(&b);
}

static void test_stop_while_away(void **state)
{
    struct bench b;
    struct journal *j;
    struct asked *a;
    int64_t began_us;

    (void)state;
    bench_open(&b);
    j = open_journal(&b, "1", 2000, b.server.dir);
    assert_true(wait_down(&b, j, false, 10000));
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    (void)kill(b.server.pid, SIGSTOP);
    record(j, 1, "a", 1, true, "paid", 4);
    began_us = loop_clock_us(b.rig.loop);
    stop(&b, j, true);
    assert_true(loop_clock_us(b.rig.loop) - began_us < 3000000);
    assert_true(spool_bytes(&b, NULL) > 0);
    server_kill(&b.server);
    server_start(&b.server, NULL);
    j = open_journal(&b, "1", 2000, b.server.dir);
    a = claim(&b, j, 1, 1);
    assert_int_equal(a->c.n_recalls, 1);
    ask_done(a);
    stop(&b, j, true);
    bench_close(&b);
}

static void test_functions_flushed_and_memory_full(void **state)
{
    struct bench b;
    struct journal *j;

    (void)state;
    bench_open(&b);
    j = ready_journal(&b, "1", 2000);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    assert_int_equal(rig_ask(&b.rig, "FUNCTION FLUSH").type, REDIS_STATUS);
    record(j, 1, "a", 1, true, "x", 1);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 1);
    assert_int_equal(rig_ask(&b.rig, "CONFIG SET maxmemory 1").type, REDIS_STATUS);
    record(j, 1, "b", 1, true, "y", 1);
    assert_true(wait_down(&b, j, true, 5000));
    assert_int_equal(rig_ask(&b.rig, "CONFIG SET maxmemory 0").type, REDIS_STATUS);
    assert_true(wait_down(&b, j, false, 5000));
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 2);
    stop(&b, j, true);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outage),
        cmocka_unit_test(test_lost_answer),
        cmocka_unit_test(test_grace_after_an_outage),
        cmocka_unit_test(test_restart_with_a_spool),
        cmocka_unit_test(test_stop_while_away),
        cmocka_unit_test(test_functions_flushed_and_memory_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
