/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis journal against a real redis-server: what it remembers and who owns what. Takes some seconds: keys have to
 * run out. */
#include "journal_bench.h"

static void test_remembers(void **state)
{
    static const char first[] = "pa\0id\xff";
    struct bench b;
    struct journal *one, *two;
    struct asked *a;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 2000);
    two = ready_journal(&b, "2", 2000);
    one->ops->announce(one, "1");
    expect_claim(&b, one, 7, 1, CLAIM_OURS, 1, 0);
    record(one, 7, "answer:0:0:0:0", 2, true, first, sizeof(first));
    record(one, 7, "answer:1:0:0:0", 1, false, "timeout", 7);
    record(one, 7, "answer:1:0:0:0", 2, false, "", 0);
    one->ops->decide(one, at(7), TEXT_LIT("decided"));
    two->ops->decide(two, at(7), TEXT_LIT("late"));
    record(two, 7, "answer:0:0:0:0", 1, true, "late", 4); /* the first writer wins, whoever it is */
    expect_claim(&b, two, 7, 1, CLAIM_OWNER_ALIVE, 0, 0);
    expect_claim(&b, two, 8, 1, CLAIM_OURS, 1, 0);
    stop(&b, one, true);
    a = claim(&b, two, 7, 1); /* it withdrew: no waiting */
    assert_int_equal(a->c.result, CLAIM_OURS);
    assert_int_equal(a->c.deliveries, 1); /* progress was made */
    assert_int_equal(a->c.n_recalls, 3);
    assert_non_null(find(a, "answer:0:0:0:0", true, 2));
    assert_memory_equal(find(a, "answer:0:0:0:0", true, 2)->bytes.p, first, sizeof(first));
    assert_int_equal(find(a, "answer:0:0:0:0", true, 2)->bytes.len, sizeof(first));
    assert_non_null(find(a, "answer:1:0:0:0", false, 1));
    assert_int_equal(find(a, "answer:1:0:0:0", false, 2)->bytes.len, 0);
    assert_true(text_is(a->c.decision, "decided"));
    ask_done(a);
    stop(&b, two, true);
    bench_close(&b);
}

static void test_big_values(void **state)
{
    enum { BIG = 1024 * 1024 };
    struct bench b;
    struct journal *j;
    struct asked *a;
    char *soft = mem_alloc(BIG), *hard = mem_alloc(BIG);
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (int i = 0; i < BIG; i++) {
        soft[i] = (char)('a' + i / 7 % 13);
        hard[i] = (char)rng_u64(&rng);
    }
    bench_open(&b);
    j = ready_journal(&b, "1", 2000);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    record(j, 1, "soft", 1, true, soft, 131072);
    record(j, 1, "huge", 1, true, soft, BIG);
    record(j, 1, "hard", 1, true, hard, BIG);
    record(j, 1, "edge", 1, true, soft, 16384);
    record(j, 1, "over", 1, true, soft, 16385);
    a = claim(&b, j, 1, 1);
    assert_int_equal(a->c.n_recalls, 5);
    assert_memory_equal(find(a, "soft", true, 1)->bytes.p, soft, 131072);
    assert_memory_equal(find(a, "huge", true, 1)->bytes.p, soft, BIG);
    assert_memory_equal(find(a, "hard", true, 1)->bytes.p, hard, BIG);
    assert_int_equal(find(a, "edge", true, 1)->bytes.len, 16384);
    assert_int_equal(find(a, "over", true, 1)->bytes.len, 16385);
    ask_done(a);
    assert_true(rig_ask(&b.rig, "HSTRLEN tutti:j:{g/tutti.jobs/3/1} Dsoft").i < 20000);
    assert_int_equal(rig_ask(&b.rig, "HSTRLEN tutti:j:{g/tutti.jobs/3/1} Dhuge").i, BIG + 9);
    assert_int_equal(rig_ask(&b.rig, "HSTRLEN tutti:j:{g/tutti.jobs/3/1} Dhard").i, BIG + 9);
    stop(&b, j, true);
    bench_close(&b);
    mem_free(soft);
    mem_free(hard);
}

static void test_another_record_at_the_position(void **state)
{
    struct bench b;
    struct journal *old, *new;

    (void)state;
    bench_open(&b);
    old = ready_journal(&b, "1", 2000);
    new = ready_journal(&b, "2", 2000);
    expect_claim(&b, old, 1, 1, CLAIM_OURS, 1, 0);
    record(old, 1, "k", 1, true, "of the old topic", 16);
    expect_claim(&b, old, 1, 1, CLAIM_OURS, 1, 1);
    expect_claim(&b, new, 1, 2, CLAIM_OURS, 1, 0); /* whoever owned the other record */
    record(old, 1, "k", 1, true, "late, of the old topic", 22);
    run_ms(&b, 20);
    expect_claim(&b, new, 1, 2, CLAIM_OURS, 2, 0);
    stop(&b, old, true);
    stop(&b, new, true);
    bench_close(&b);
}

static void test_deliveries_count_up_without_progress(void **state)
{
    struct bench b;
    struct journal *j;

    (void)state;
    bench_open(&b);
    for (int i = 1; i <= 3; i++) { /* the record that kills the process */
        j = ready_journal(&b, "1", 2000);
        j->ops->announce(j, "1");
        expect_claim(&b, j, 1, 1, CLAIM_OURS, i, 0);
        j->ops->free(j);
    }
    j = ready_journal(&b, "1", 2000);
    j->ops->announce(j, "1");
    record(j, 1, "k", 1, false, "x", 1);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 1); /* not held by us when recorded, but known to Redis */
    stop(&b, j, true);
    bench_close(&b);
}

static void test_successor_in_the_slot(void **state)
{
    struct bench b;
    struct journal *zombie, *next;

    (void)state;
    bench_open(&b);
    zombie = ready_journal(&b, "host/a", 2000);
    zombie->ops->announce(zombie, "host/a");
    expect_claim(&b, zombie, 1, 1, CLAIM_OURS, 1, 0);
    expect_claim(&b, zombie, 2, 1, CLAIM_OURS, 1, 0);
    next = ready_journal(&b, "host/a", 2000);
    assert_string_not_equal(journal_redis_incarnation(zombie), journal_redis_incarnation(next));
    expect_claim(&b, next, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    next->ops->announce(next, "host/a");
    expect_claim(&b, next, 1, 1, CLAIM_OURS, 2, 0);
    expect_claim(&b, zombie, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    record(zombie, 2, "k", 1, true, "paid", 4); /* it may add what it paid for */
    zombie->ops->announce(zombie, "host/a");    /* and not come back by saying it again */
    run_ms(&b, 20);
    expect_claim(&b, next, 2, 1, CLAIM_OURS, 1, 1);
    /* nor by reconnecting */
    next->ops->free(next);
    assert_int_equal(rig_ask(&b.rig, "CLIENT KILL TYPE normal SKIPME yes").error, 0);
    assert_true(wait_down(&b, zombie, true, 1000));
    assert_true(wait_down(&b, zombie, false, 10000));
    expect_claim(&b, zombie, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    zombie->ops->free(zombie);
    bench_close(&b);
}

static void test_dead_owner(void **state)
{
    struct bench b;
    struct journal *one, *two;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 400);
    two = ready_journal(&b, "2", 400);
    run_ms(&b, 450); /* past the server's own grace */
    one->ops->announce(one, "1");
    expect_claim(&b, one, 1, 1, CLAIM_OURS, 1, 0);
    run_ms(&b, 900); /* renewed */
    expect_claim(&b, two, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    one->ops->free(one);
    expect_claim(&b, two, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    run_ms(&b, 500);
    expect_claim(&b, two, 1, 1, CLAIM_OURS, 2, 0);
    stop(&b, two, true);
    bench_close(&b);
}

static void test_release_cancel_forget(void **state)
{
    struct bench b;
    struct journal *one, *two;
    struct asked a;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 2000);
    two = ready_journal(&b, "2", 2000);
    expect_claim(&b, one, 1, 1, CLAIM_OURS, 1, 0);
    record(one, 1, "k", 1, true, "v", 1);
    one->ops->release(one, at(1));
    run_ms(&b, 20);
    expect_claim(&b, two, 1, 1, CLAIM_OURS, 1, 1);
    one->ops->release(one, at(1)); /* not ours any more: nothing */
    run_ms(&b, 20);
    expect_claim(&b, one, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);

    ask(&b, one, 2, 1, &a);
    one->ops->cancel(one, &a.c); /* not sent yet */
    ask_done(&a);
    ask(&b, one, 3, 1, &a);
    (void)kill(b.server.pid, SIGSTOP);
    run_ms(&b, 20);
    one->ops->cancel(one, &a.c); /* on its way */
    ask_done(&a);
    (void)kill(b.server.pid, SIGCONT);
    run_ms(&b, 50);
    assert_int_equal(a.n, 0);
    expect_claim(&b, two, 2, 1, CLAIM_OURS, 1, 0);
    expect_claim(&b, two, 3, 1, CLAIM_OURS, 1, 0); /* a claim given back is no crash */

    for (int i = 10; i < 1010; i++) {
        expect_claim(&b, two, i, 1, CLAIM_OURS, 1, 0);
    }
    for (int i = 1; i < 1010; i++)
        two->ops->forget(two, at(i));
    record(two, 5, "late", 1, true, "v", 1); /* of a job that is over: leaves nothing behind */
    run_ms(&b, 50);
    assert_int_equal(rig_ask(&b.rig, "KEYS tutti:j:*").elements, 0);
    expect_claim(&b, two, 1, 1, CLAIM_OURS, 1, 0);
    stop(&b, one, true);
    stop(&b, two, false);
    assert_int_equal(rig_ask(&b.rig, "KEYS tutti:inc:g:2/*").elements, 1);
    assert_int_equal(rig_ask(&b.rig, "KEYS tutti:inc:g:1/*").elements, 1); /* a sign that it has left */
    bench_close(&b);
}

static void test_many_claims_at_once(void **state)
{
    enum { N = 6000 };
    struct bench b;
    struct journal *j;
    struct asked *a = mem_zero(N * sizeof(*a));
    int n = 0;

    (void)state;
    bench_open(&b);
    j = open_journal(&b, "1", 2000, NULL); /* they wait until it is ready */
    for (int i = 0; i < N; i++)
        ask(&b, j, i, 1, &a[i]);
    for (int ms = 0; ms < 10000 && n < N; ms += 20) {
        run_ms(&b, 20);
        n = 0;
        for (int i = 0; i < N; i++)
            n += a[i].n;
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(a[i].n, 1);
        assert_int_equal(a[i].c.deliveries, 1);
        ask_done(&a[i]);
    }
    j->ops->free(j);
    bench_close(&b);
    mem_free(a);
}

static void test_strange_contents(void **state)
{
    static const char *const commands[] = {
        "HSET tutti:j:{g/tutti.jobs/3/1} d 01010101010101010101010101010101 Dk short",
        "HSET tutti:j:{g/tutti.jobs/3/1} Dk2 zAAAABBBBnotzlib",
        "HSET tutti:j:{g/tutti.jobs/3/1} Fnocolon pAAAA",
        "HSET tutti:j:{g/tutti.jobs/3/1} S x",
        "HSET tutti:j:{g/tutti.jobs/3/1} o nonsense",
        "HSET tutti:j:{g/tutti.jobs/3/1} D x X y",
        "HSET tutti:slots:g 1 nonsense",
    };
    struct bench b;
    struct journal *j;

    (void)state;
    bench_open(&b);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        assert_int_equal(rig_ask(&b.rig, commands[i]).type, REDIS_INT);
    j = ready_journal(&b, "1", 200);
    j->ops->announce(j, "1");
    run_ms(&b, 1200); /* past the grace in which even a nonsense owner may be alive */
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    stop(&b, j, true);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembers),
        cmocka_unit_test(test_big_values),
        cmocka_unit_test(test_another_record_at_the_position),
        cmocka_unit_test(test_deliveries_count_up_without_progress),
        cmocka_unit_test(test_successor_in_the_slot),
        cmocka_unit_test(test_dead_owner),
        cmocka_unit_test(test_release_cancel_forget),
        cmocka_unit_test(test_many_claims_at_once),
        cmocka_unit_test(test_strange_contents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
