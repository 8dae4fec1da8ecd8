/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs taken back by a command, on virtual time: before they begin, while they wait, in flight, too late, and again
 * after a crash. */
#include "base/buf.h"
#include "base/check.h"
#include "sim/behaviour.h"

#define SECOND INT64_C(1000000)
#define DAY_MS (INT64_C(24) * 3600 * 1000)

static void command(struct world *w, const char *job_id, int64_t run)
{
    struct cancel c = {.id = job_id, .run = run, .ts_ms = loop_wall_ms(w->loop)};

    worker_cancel(w->crews[0].worker, &c);
}

static int64_t add(struct world *w, const char *id, const char *rest)
{
    return world_job(w, 0, "{\"job_id\":\"%s\",\"prompt\":\"JOB:%s\",%s}", id, id, rest);
}

static json_t *finish(struct world *w, int64_t offset)
{
    json_t *r;

    assert_true(world_run_until_done(w, 600 * SECOND));
    assert_int_equal(journal_store_count(w->store), 0);
    r = world_result(w, 0, offset);
    assert_non_null(r);
    return r;
}

static void expect_cancelled(const json_t *r)
{
    assert_string_equal(str(r, "status"), "failed");
    assert_string_equal(str(r, "error_code"), "cancelled");
    assert_true(json_is_null(json_object_get(r, "answer")));
    assert_true(json_is_false(json_object_get(r, "error_retryable")));
}

static void test_before_it_is_read(void **state)
{
    struct script s;
    int64_t offset;
    json_t *r;

    (void)state;
    setup(&s, NULL, 0);
    offset = add(&s.world, "x", "\"models\":[\"a\",\"b\"]");
    world_add_worker(&s.world, 0, 1);
    command(&s.world, "x", -1);
    r = finish(&s.world, offset);
    expect_cancelled(r);
    assert_int_equal(s.world.ledger.n, 0);
    assert_int_equal(num(r, "calls_total"), 0);
    assert_int_equal(json_array_size(json_object_get(r, "answers")), 2);
    assert_string_equal(str(answer(r, 0), "status"), "cancelled");
    assert_true(json_is_true(json_object_get(r, "cost_complete")));
    json_decref(r);
    world_done(&s.world);
}

static void test_while_it_waits_for_a_permit(void **state)
{
    struct script s;
    int64_t offset = 0;
    json_t *r;

    (void)state;
    setup(&s, NULL, 0);
    s.world.pools[0] = (struct pool_conf){.id = "p", .requests_per_minute = 6};
    s.world.n_pools = 1;
    s.world.models[0].pools[0] = 0;
    for (int i = 0; i < 3; i++)
        offset = add(&s.world, i < 2 ? "other" : "x", "\"models\":[\"a\"]");
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, 2 * SECOND);
    command(&s.world, "x", -1);
    world_run(&s.world, SECOND); /* at once, not when its turn had come */
    r = world_result(&s.world, 0, offset);
    assert_non_null(r);
    expect_cancelled(r);
    json_decref(r);
    json_decref(finish(&s.world, offset));
    assert_int_equal(ledger_count(&s.world.ledger, NULL, "x"), 0);
    assert_int_equal(ledger_count(&s.world.ledger, NULL, "other"), 2);
    world_done(&s.world);
}

static const struct line slow_b[] = {{"m-b", -1, {.act = ACT_SILENCE}}, {NULL, -1, {.latency_us = 200000}}};

static void test_in_flight(void **state)
{
    struct script s;
    int64_t offset;
    json_t *r;

    (void)state;
    setup(&s, slow_b, 2);
    offset = add(&s.world, "x", "\"models\":[\"a\",\"b\"]");
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, SECOND);
    command(&s.world, "x", 0);
    world_run(&s.world, 1000);
    assert_int_equal(s.world.ledger.in_flight, 0);
    assert_true(s.world.ledger.entries[1].is_cancelled);
    r = finish(&s.world, offset);
    expect_cancelled(r);
    assert_int_equal(s.world.ledger.n, 2);
    assert_string_equal(str(answer(r, 0), "answer"), "ANSWER m-a x"); /* paid: it is handed over */
    assert_string_equal(str(answer(r, 1), "error_code"), "cancelled");
    assert_int_equal(num(r, "calls_ok"), 1);
    assert_int_equal(num(r, "calls_cancelled"), 1);
    assert_true(json_is_false(json_object_get(r, "cost_complete"))); /* the closed one may be billed */
    assert_int_equal(json_array_size(json_object_get(r, "degraded_reasons")), 0);
    assert_int_equal(world_count(&s.world, OUT_CALLS, -1, -1), 2);
    json_decref(r);
    world_done(&s.world);
}

static void test_while_it_backs_off(void **state)
{
    static const struct line lines[] = {{"m-a", -1, {.act = ACT_500, .latency_us = 1000}}};
    struct script s;
    int64_t offset;
    json_t *r;

    (void)state;
    setup(&s, lines, 1);
    s.world.retry.base_us = 60 * SECOND;
    s.world.retry.cap_us = 60 * SECOND;
    offset = add(&s.world, "x", "\"models\":[\"a\"]");
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, SECOND);
    command(&s.world, "x", -1);
    r = finish(&s.world, offset);
    expect_cancelled(r);
    assert_int_equal(s.world.ledger.n, 1);
    json_decref(r);
    world_done(&s.world);
}

static void test_too_late(void **state)
{
    struct script s;
    int64_t offset;
    json_t *r;

    (void)state;
    setup(&s, NULL, 0);
    offset = add(&s.world, "x", "\"models\":[\"a\",\"b\"]");
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, 210000); /* merged; the commit is under way */
    assert_int_equal(world_count(&s.world, OUT_RESULTS, -1, -1), 0);
    command(&s.world, "x", -1);
    r = finish(&s.world, offset);
    assert_string_equal(str(r, "status"), "ok");
    json_decref(r);
    command(&s.world, "x", -1); /* nobody has it any more */
    world_run(&s.world, SECOND);
    world_done(&s.world);
}

/* The answer of b that a dead process still got into the journal. */
static void journal_late_answer(struct world *w, int64_t offset)
{
    struct journal *zombie = journal_mem_new(w->loop, w->store, "zombie", 500);
    struct position pos = {.topic = "tutti.jobs", .offset = offset};
    struct recall late = {.call_key = "answer:1:0:0:0", .attempt = 1, .is_done = true};
    struct outcome o;
    struct buf b;

    outcome_init(&o);
    o.answer = text_of("LATE");
    o.request_model = text_of("b");
    buf_init(&b, 0);
    outcome_encode(&o, &b);
    late.bytes = text_slice(b.p, b.len);
    zombie->ops->record(zombie, &pos, &late);
    zombie->ops->free(zombie);
    buf_done(&b);
}

/* All answers were journaled before a crash, but no decision: they are paid, the job is as good as done. */
static void test_too_late_for_what_is_recalled(void **state)
{
    struct script s;
    int64_t offset;
    json_t *r;

    (void)state;
    setup(&s, slow_b, 2);
    offset = add(&s.world, "x", "\"models\":[\"a\",\"b\"]");
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, SECOND);
    world_crash(&s.world.crews[0]);
    journal_late_answer(&s.world, offset);
    world_add_worker(&s.world, 0, 1);
    command(&s.world, "x", -1);
    r = finish(&s.world, offset);
    assert_string_equal(str(r, "status"), "ok");
    assert_int_equal(num(r, "calls_recalled"), 2);
    json_decref(r);
    world_done(&s.world);
}

/* With the command read again, and without: the decision is journaled. */
static void test_a_crash_does_not_bring_it_back(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        struct script s;
        int64_t offset;
        json_t *r;

        setup(&s, slow_b, 2);
        offset = add(&s.world, "x", "\"models\":[\"a\",\"b\"]");
        world_add_worker(&s.world, 0, 1);
        world_run(&s.world, SECOND);
        command(&s.world, "x", -1);
        world_run(&s.world, 1000);
        world_crash(&s.world.crews[0]);
        assert_int_equal(world_count(&s.world, OUT_RESULTS, -1, -1), 0);
        world_add_worker(&s.world, 0, 1);
        if (again == 1)
            command(&s.world, "x", -1);
        r = finish(&s.world, offset);
        expect_cancelled(r);
        assert_int_equal(s.world.ledger.n, 2);
        assert_int_equal(num(r, "calls_recalled"), 2);
        assert_string_equal(str(answer(r, 0), "answer"), "ANSWER m-a x");
        json_decref(r);
        world_done(&s.world);
    }
}

/* The command was read by another process than the one that had the calls in flight when it died. */
static void test_a_recalled_job_asks_nothing_more(void **state)
{
    struct script s;
    int64_t offset;
    json_t *r;

    (void)state;
    setup(&s, slow_b, 2);
    offset = add(&s.world, "x", "\"models\":[\"a\",\"b\"]");
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, SECOND);
    world_crash(&s.world.crews[0]);
    world_add_worker(&s.world, 0, 1);
    command(&s.world, "x", -1);
    r = finish(&s.world, offset);
    expect_cancelled(r);
    assert_int_equal(s.world.ledger.n, 2);
    assert_string_equal(str(answer(r, 0), "answer"), "ANSWER m-a x");
    json_decref(r);
    world_done(&s.world);
}

static void test_who_is_meant(void **state)
{
    static const struct {
        struct cancel c;
        int64_t age_ms; /* of the command, when the record is appended */
        bool is_meant;
    } cases[] = {
        {{.id = "x", .run = -1}, 0, true},
        {{.id = "x", .run = 3}, 0, true},
        {{.id = "x", .run = 0}, 0, false},
        {{.id = "y", .run = -1}, 0, false},
        {{.id = "x", .run = -1}, 1, false}, /* used again after the command */
        {{.id = "x", .run = -1}, -5000, true},
        {{.is_batch = true, .id = "b\"1"}, 0, true},
        {{.is_batch = true, .id = "b\"1"}, 1, false},
        {{.is_batch = true, .id = "b"}, 0, false},
        {{.is_batch = true, .id = "x"}, 0, false},
        {{.id = "b\"1", .run = -1}, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases) * 2; i++) {
        struct cancel c = cases[i / 2].c;
        struct script s;
        int64_t offset;
        json_t *r;

        setup(&s, slow_b, 2);
        world_add_worker(&s.world, 0, 1);
        c.ts_ms = loop_wall_ms(s.world.loop) - cases[i / 2].age_ms;
        if (i % 2 == 0) /* known before */
            worker_cancel(s.world.crews[0].worker, &c);
        offset = add(&s.world, "x", "\"run\":3,\"batch_id\":\"b\\\"1\",\"models\":[\"a\",\"b\"],\"merge\":\"first\"");
        if (i % 2 == 1) { /* when it is in hand */
            world_run(&s.world, 100000);
            worker_cancel(s.world.crews[0].worker, &c);
        }
        r = finish(&s.world, offset);
        assert_string_equal(str(r, "status"), cases[i / 2].is_meant ? "failed" : "ok");
        json_decref(r);
        world_done(&s.world);
    }
}

/* A producer may write any time into its record: far ahead is after every job, long ago (or none) is forgotten. */
static void test_commands_of_wild_times(void **state)
{
    static const struct {
        int64_t ts_ms;
        const char *status;
    } cases[] = {{INT64_MAX, "failed"}, {INT64_MIN, "ok"}, {-1, "ok"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cancel c = {.id = "x", .run = -1, .ts_ms = cases[i].ts_ms};
        struct script s;
        int64_t offset;
        json_t *r;

        setup(&s, NULL, 0);
        offset = add(&s.world, "x", "\"models\":[\"a\"]");
        world_add_worker(&s.world, 0, 1);
        worker_cancel(s.world.crews[0].worker, &c);
        command(&s.world, "other", -1);
        r = finish(&s.world, offset);
        assert_string_equal(str(r, "status"), cases[i].status);
        json_decref(r);
        world_done(&s.world);
    }
}

static void test_what_is_remembered_is_bounded(void **state)
{
    struct script s;
    struct cancel old = {.id = "old", .run = -1}, mass = {.run = -1};
    int64_t offsets[3];
    static const char *const ids[] = {"old", "first", "n-100000"}, *const ends[] = {"ok", "ok", "failed"};
    char id[32];

    (void)state;
    setup(&s, NULL, 0);
    world_add_worker(&s.world, 0, 1);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct message m = {.ts_ms = 1, .value_len = 0};
        char value[128];

        m.value_len =
            (size_t)snprintf(value, sizeof(value), "{\"job_id\":\"%s\",\"prompt\":\"p\",\"models\":[\"a\"]}", ids[i]);
        m.value = value;
        offsets[i] = world_append(&s.world, 0, &m);
    }
    old.ts_ms = loop_wall_ms(s.world.loop) - 8 * DAY_MS;
    worker_cancel(s.world.crews[0].worker, &old);
    command(&s.world, "first", -1);
    mass.ts_ms = loop_wall_ms(s.world.loop);
    mass.id = id;
    for (int i = 1; i <= 100000; i++) {
        snprintf(id, sizeof(id), "n-%d", i);
        worker_cancel(s.world.crews[0].worker, &mass);
    }
    assert_true(world_run_until_done(&s.world, 60 * SECOND));
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        json_t *r = world_result(&s.world, 0, offsets[i]);

        assert_string_equal(str(r, "status"), ends[i]);
        json_decref(r);
    }
    world_done(&s.world);
}

/* Its partition is gone: the next owner cancels it, what is paid here is still journaled. */
static void test_an_orphan_is_left_to_its_successor(void **state)
{
    struct script s;
    int64_t offset;
    json_t *r;

    (void)state;
    setup(&s, slow_b, 2);
    offset = add(&s.world, "x", "\"models\":[\"a\",\"b\"]");
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, SECOND);
    assert_true(world_take_away(&s.world.crews[0], 0, true));
    command(&s.world, "x", -1);
    world_add_worker(&s.world, 0, 1);
    {
        struct cancel c = {.id = "x", .run = -1, .ts_ms = loop_wall_ms(s.world.loop)};

        worker_cancel(s.world.crews[1].worker, &c);
    }
    assert_true(world_run_until_done(&s.world, 600 * SECOND));
    r = world_result(&s.world, 0, offset);
    expect_cancelled(r);
    assert_int_equal(ledger_count(&s.world.ledger, "m-a", NULL), 1);
    json_decref(r);
    world_done(&s.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_it_is_read),
        cmocka_unit_test(test_while_it_waits_for_a_permit),
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_while_it_backs_off),
        cmocka_unit_test(test_too_late),
        cmocka_unit_test(test_too_late_for_what_is_recalled),
        cmocka_unit_test(test_a_crash_does_not_bring_it_back),
        cmocka_unit_test(test_a_recalled_job_asks_nothing_more),
        cmocka_unit_test(test_who_is_meant),
        cmocka_unit_test(test_commands_of_wild_times),
        cmocka_unit_test(test_what_is_remembered_is_bounded),
        cmocka_unit_test(test_an_orphan_is_left_to_its_successor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
