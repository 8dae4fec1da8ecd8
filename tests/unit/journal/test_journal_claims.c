/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis journal's answers that got lost: claims cancelled then, announcements repeated then, decisions written
 * twice. Takes some seconds: servers have to be missed. */
#include "journal_bench.h"

#include "base/metrics.h"
#include "journal/journal_redis_internal.h"

/* Cancels a claim between two tries to send it. */
struct canceller {
    struct hook hook;
    struct journal_redis *j;
    struct asked *victim;
    int n;
};

static void on_turn(void *arg)
{
    struct canceller *c = arg;

    if (c->n > 0 || c->j->state != SESSION_REPLAYING || list_is_empty(&c->j->waiting))
        return;
    c->j->base.ops->cancel(&c->j->base, &c->victim->c);
    c->n++;
}

/* One worker's return says nothing of another's. */
static void test_counts_workers_that_are_down(void **state)
{
    struct bench b;
    struct journal *one, *two;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 2000);
    two = open_journal(&b, "2", 2000, NULL);
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 1);
    assert_true(wait_down(&b, two, false, 10000));
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 0);
    server_kill(&b.server);
    assert_true(wait_down(&b, one, true, 5000));
    assert_true(wait_down(&b, two, true, 5000));
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 2);
    one->ops->free(one);
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 1);
    two->ops->free(two);
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 0);
    bench_close(&b);
}

/* Redis gave it to us although we never heard so: unless it is given back, others wait as long as we live. */
static void test_cancelled_after_a_lost_answer(void **state)
{
    struct bench b;
    struct journal *one, *two;
    struct asked a;
    struct canceller c = {.victim = &a};

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 60000);
    two = ready_journal(&b, "2", 60000);
    (void)kill(b.server.pid, SIGSTOP);
    ask(&b, one, 7, 1, &a);
    assert_true(wait_down(&b, one, true, 5000));
    c.j = journal_redis_of(one);
    c.hook = (struct hook){.fn = on_turn, .arg = &c};
    loop_add_hook(b.rig.loop, &c.hook);
    (void)kill(b.server.pid, SIGCONT);
    assert_true(wait_down(&b, one, false, 10000));
    run_ms(&b, 100);
    assert_int_equal(c.n, 1);
    assert_int_equal(a.n, 0);
    ask_done(&a);
    expect_claim(&b, two, 7, 1, CLAIM_OURS, 1, 0); /* and no crash */
    loop_del_hook(&c.hook);
    stop(&b, one, true);
    stop(&b, two, true);
    bench_close(&b);
}

/* Redis takes our announcement when we have given up waiting for the reply, then a successor's. Said again after
 * reconnecting, ours must not win. */
static void test_repeated_first_announcement(void **state)
{
    static const char *const successor[] = {"HSET", "tutti:slots:g", "1", "1/ffffffffffffffff 99999999999999"};
    struct bench b;
    struct journal *j;
    struct answer set = {.rig = &b.rig};

    (void)state;
    bench_open(&b);
    j = ready_journal(&b, "1", 60000);
    (void)kill(b.server.pid, SIGSTOP);
    j->ops->announce(j, "1");
    assert_true(wait_down(&b, j, true, 5000));
    assert_int_equal(redis_send(b.rig.redis, 4, successor, NULL, 5000000, rig_answer, &set), 0);
    run_ms(&b, 20);
    (void)kill(b.server.pid, SIGCONT);
    assert_true(rig_wait(&b.rig, &set.n, 1, 5000));
    assert_int_equal(set.type, REDIS_INT);
    assert_int_equal(set.i, 0); /* ours was there */
    assert_true(wait_down(&b, j, false, 10000));
    run_ms(&b, 50);
    assert_string_equal(rig_ask(&b.rig, "HGET tutti:slots:g 1").s, "1/ffffffffffffffff 99999999999999");
    stop(&b, j, true);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_workers_that_are_down),
        cmocka_unit_test(test_cancelled_after_a_lost_answer),
        cmocka_unit_test(test_repeated_first_announcement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
