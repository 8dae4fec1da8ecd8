/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and partitions come and go, on virtual time: who counts as a crash loop, what a drain may still send, whom
 * a successor waits for, what happens to a record that does not fit the window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "core/window.h"
#include "sim/world.h"

enum { SECOND = 1000000 };

/* How a job's owner changes. */
enum change { KEPT, DRAINED, KILLED, REVOKED, LOST };

static struct play always(const struct entry *e, int nth, void *arg)
{
    const struct play *p = arg;

    (void)e;
    (void)nth;
    return *p;
}

static void setup(struct world *w, const struct play *play)
{
    world_init(w, 7, 1);
    w->ledger.decide = always;
    w->ledger.arg = (void *)play;
}

static void add_jobs(struct world *w, int n, const char *models)
{
    for (int i = 0; i < n; i++)
        world_job(w, 0, "{\"prompt\":\"JOB:%d\",\"models\":%s}", i, models);
}

/* The process that owns partition 0 gives way to another (or to itself, anew). */
static struct crew *change_owner(struct world *w, struct crew *c, enum change how)
{
    struct crew *next = &w->crews[1 - c->index];

    switch (how) {
    case KEPT:
        return c;
    case DRAINED:
        assert_true(world_leave(c));
        return world_add_worker(w, 0, 1);
    case KILLED:
        world_crash(c);
        return world_add_worker(w, 0, 1);
    default:
        if (next->worker == NULL) {
            assert_ptr_equal(world_add_worker(w, 0, 0), next);
            world_run(w, 10000);
        }
        assert_true(world_take_away(c, 0, how == LOST));
        broker_mem_assign(next->broker, 0);
        return next;
    }
}

static void assert_each_ended_once(const struct world *w)
{
    struct tally t = world_tally(w);

    assert_int_equal(t.missing, 0);
    assert_int_equal(t.doubled, 0);
    assert_int_equal(t.strays, 0);
}

static void test_jobs_that_wait_their_turn_are_no_crash_loop(void **state)
{
    /* more than max_deliveries; where a claim is given back, more than surviving the decoding could excuse */
    static const struct {
        enum change how;
        int times;
    } cases[] = {{DRAINED, 60}, {KILLED, 15}, {REVOKED, 60}, {LOST, 60}};
    static const struct play play = {.latency_us = 200000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct crew *c;

        setup(&w, &play);
        w.pools[0] = (struct pool_conf){.id = "p", .requests_per_minute = 1};
        w.n_pools = 1;
        w.models[0].pools[0] = 0;
        add_jobs(&w, 5, "[\"a\"]");
        c = world_add_worker(&w, 0, 1);
        for (int k = 0; k < cases[i].times; k++) {
            world_run(&w, SECOND / 2);
            c = change_owner(&w, c, cases[i].how);
        }
        assert_true(world_run_until_done(&w, INT64_C(1200) * SECOND));
        assert_each_ended_once(&w);
        assert_int_equal(world_tally(&w).ok, 5);
        assert_int_equal(w.ledger.n, 5);
        world_done(&w);
    }
}

static void test_a_live_owner_is_waited_for_a_dead_one_is_not(void **state)
{
    static const struct {
        bool dies;
        int requests, recalled;
        int64_t at_most_us;
    } cases[] = {{false, 1, 1, 11500000}, {true, 2, 0, 16500000}};
    static const struct play play = {.latency_us = 10 * SECOND};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct crew *c;
        json_t *r;

        setup(&w, &play);
        add_jobs(&w, 1, "[\"a\"]");
        c = world_add_worker(&w, 0, 1);
        world_run(&w, SECOND);
        c = change_owner(&w, c, LOST); /* the call under way goes on over there */
        world_run(&w, 4 * SECOND);
        assert_int_equal(w.ledger.n, 1);
        assert_int_equal(worker_jobs(c->worker), 1);
        if (cases[i].dies)
            world_crash(&w.crews[0]);
        assert_true(world_run_until_done(&w, 60 * SECOND));
        assert_in_range(loop_now_us(w.loop) - w.ledger.entries[0].at_us, 10 * SECOND, cases[i].at_most_us);
        r = world_result(&w, 0, w.appended[0].offset);
        assert_int_equal(json_integer_value(json_object_get(r, "calls_recalled")), cases[i].recalled);
        json_decref(r);
        assert_int_equal(w.ledger.n, cases[i].requests);
        assert_each_ended_once(&w);
        world_done(&w);
    }
}

static void test_a_partition_that_comes_back_waits_for_its_own_calls(void **state)
{
    static const struct play play = {.latency_us = 10 * SECOND};
    struct world w;
    struct crew *c;

    (void)state;
    setup(&w, &play);
    add_jobs(&w, 3, "[\"a\"]");
    c = world_add_worker(&w, 0, 1);
    for (int i = 0; i < 3; i++) {
        world_run(&w, SECOND);
        assert_true(world_take_away(c, 0, true));
        broker_mem_assign(c->broker, 0);
    }
    assert_true(world_run_until_done(&w, 60 * SECOND));
    assert_each_ended_once(&w);
    assert_int_equal(w.ledger.n, 3);
    world_run(&w, SECOND);
    assert_int_equal(worker_jobs(c->worker), 0);
    assert_int_equal(journal_store_count(w.store), 0);
    world_done(&w);
}

static void test_records_that_arrive_while_running_are_taken(void **state)
{
    static const struct play play = {.latency_us = 100000};
    struct world w;

    (void)state;
    setup(&w, &play);
    w.worker.max_in_flight = 2;
    world_add_worker(&w, 0, 1);
    world_run(&w, 5 * SECOND);
    for (int i = 0; i < 5; i++) {
        add_jobs(&w, 10, "[\"a\"]"); /* more than there is room for */
        world_run(&w, 5 * SECOND);
        assert_int_equal(world_tally(&w).ok, 10 * (i + 1));
    }
    assert_int_equal(w.ledger.in_flight_max, 2);
    world_done(&w);
}

/* The window is full behind one slow job and one more record has been read: it does not fit. */
static void fill_window(struct world *w)
{
    const char *metadata;

    w->gap = 0;
    add_jobs(w, 1, "[\"a\"]");
    for (int i = 1; i < WINDOW_SPAN - 1; i++)
        world_job(w, 0, "no job");
    w->gap = 1;
    add_jobs(w, 3, "[\"b\"]");
    world_add_worker(w, 0, 1);
    world_run(w, 5 * SECOND);
    assert_int_equal(world_count(w, OUT_DEAD_LETTERS, -1, -1), WINDOW_SPAN - 2);
    assert_int_equal(mem_topics_position(w->topics, 0, &metadata), 0);
    assert_int_equal(worker_jobs(w->crews[0].worker), 2);
    assert_int_equal(w->ledger.n, 1);
}

static void test_a_record_beyond_the_window_waits_for_room(void **state)
{
    /* a process that gives way does not take the record up in the place that its last call leaves */
    static const struct {
        enum change how;
        int64_t latency_us, at_most_us; /* of a call, of the change */
        int requests;                   /* for four jobs */
    } cases[] = {{KEPT, 15 * SECOND, 0, 4},
                 {DRAINED, 15 * SECOND, 11 * SECOND, 4},
                 {DRAINED, 40 * SECOND, 26 * SECOND, 5}, /* longer than a drain waits */
                 {KILLED, 40 * SECOND, 0, 5},
                 {REVOKED, 15 * SECOND, 11 * SECOND, 4},
                 {REVOKED, 40 * SECOND, 21 * SECOND, 4},
                 {LOST, 40 * SECOND, SECOND, 4}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct play play = {.latency_us = cases[i].latency_us};
        struct world w;
        int64_t from;

        setup(&w, &play);
        fill_window(&w);
        from = loop_now_us(w.loop);
        change_owner(&w, &w.crews[0], cases[i].how);
        assert_true(loop_now_us(w.loop) - from <= cases[i].at_most_us);
        assert_true(world_run_until_done(&w, 300 * SECOND));
        assert_each_ended_once(&w);
        assert_int_equal(world_tally(&w).ok, 4);
        assert_int_equal(w.ledger.n, cases[i].requests);
        world_run(&w, SECOND);
        assert_int_equal(journal_store_count(w.store), 0);
        world_done(&w);
    }
}

static void test_who_gives_way_does_not_wait_for_claims(void **state)
{
    static const enum change cases[] = {DRAINED, REVOKED, LOST};
    static const struct play play = {.latency_us = 100000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct crew *c;
        int64_t from;

        setup(&w, &play);
        c = world_add_worker(&w, 0, 1);
        world_run(&w, SECOND);
        journal_mem_set_down(c->journal, true);
        add_jobs(&w, 50, "[\"a\"]");
        world_run(&w, SECOND);
        assert_int_equal(worker_jobs(c->worker), 50);
        from = loop_now_us(w.loop);
        change_owner(&w, c, cases[i]);
        assert_true(loop_now_us(w.loop) - from < SECOND);
        assert_int_equal(w.ledger.n, 0);
        journal_mem_set_down(w.crews[0].journal, false); /* it has no word for those who left */
        assert_true(world_run_until_done(&w, 10 * SECOND));
        assert_int_equal(world_tally(&w).ok, 50);
        assert_int_equal(w.ledger.n, 50);
        world_done(&w);
    }
}

static void assert_nothing_was_cut(const struct world *w, int64_t none_after_us)
{
    for (int i = 0; i < w->ledger.n; i++) {
        assert_false(w->ledger.entries[i].is_cancelled);
        assert_true(w->ledger.entries[i].at_us <= none_after_us);
    }
}

/* Half of each job waits for a slow pool. */
static void setup_slow_pool(struct world *w, const struct play *play)
{
    setup(w, play);
    w->pools[0] = (struct pool_conf){.id = "p", .requests_per_minute = 60};
    w->n_pools = 1;
    w->models[1].pools[0] = 0;
    add_jobs(w, 100, "[\"a\",\"b\"]");
}

static void test_a_drain_sends_nothing_that_its_grace_would_cut(void **state)
{
    static const struct play play = {.latency_us = 12 * SECOND};
    struct world w;
    struct crew *c;
    int64_t from;
    int before;

    (void)state;
    setup_slow_pool(&w, &play);
    c = world_add_worker(&w, 0, 1);
    world_run(&w, 3 * SECOND);
    from = loop_now_us(w.loop);
    before = w.ledger.n;
    assert_in_range(before, 100, 110);
    assert_true(world_leave(c));
    assert_true(loop_now_us(w.loop) - from <= w.worker.grace_us + SECOND);
    assert_in_range(w.ledger.n, before + 5, 150); /* what has begun goes on for half of the grace */
    assert_nothing_was_cut(&w, from + w.worker.grace_us / 2);
    world_add_worker(&w, 0, 1);
    assert_true(world_run_until_done(&w, 300 * SECOND));
    assert_each_ended_once(&w);
    assert_int_equal(world_tally(&w).ok, 100);
    assert_int_equal(w.ledger.n, 200);
    world_done(&w);
}

static void test_a_failing_broker_lets_paid_answers_arrive(void **state)
{
    static const struct play play = {.latency_us = 12 * SECOND};
    struct world w;
    struct crew *c;
    int before;

    (void)state;
    setup_slow_pool(&w, &play);
    c = world_add_worker(&w, 0, 1);
    world_run(&w, 5 * SECOND);
    before = w.ledger.n;
    assert_in_range(before, 100, 110);
    broker_mem_fail(c->broker, 77, "fenced");
    for (int i = 0; i < 150 && !c->is_stopped; i++)
        world_run(&w, SECOND / 10);
    assert_true(c->is_stopped);
    assert_int_equal(c->exit_code, 77);
    assert_int_equal(w.ledger.n, before); /* and nothing new was sent */
    assert_nothing_was_cut(&w, INT64_MAX);
    world_crash(c);
    world_add_worker(&w, 0, 1);
    assert_true(world_run_until_done(&w, 300 * SECOND));
    assert_each_ended_once(&w);
    assert_int_equal(world_tally(&w).ok, 100);
    assert_int_equal(w.ledger.n, 200);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_that_wait_their_turn_are_no_crash_loop),
        cmocka_unit_test(test_a_live_owner_is_waited_for_a_dead_one_is_not),
        cmocka_unit_test(test_a_partition_that_comes_back_waits_for_its_own_calls),
        cmocka_unit_test(test_records_that_arrive_while_running_are_taken),
        cmocka_unit_test(test_a_record_beyond_the_window_waits_for_room),
        cmocka_unit_test(test_who_gives_way_does_not_wait_for_claims),
        cmocka_unit_test(test_a_drain_sends_nothing_that_its_grace_would_cut),
        cmocka_unit_test(test_a_failing_broker_lets_paid_answers_arrive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
