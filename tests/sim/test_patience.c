/* SPDX-License-Identifier: Apache-2.0 */
/* How long things may take, one behaviour each, on virtual time: deadlines, waiting for permits and hints, retries.
 * Names carry the number of the defect register (D-nn) where one exists. */
#include "sim/behaviour.h"

static void test_d02_the_job_deadline_ends_a_silent_provider(void **state)
{
    static const struct line lines[] = {{NULL, -1, {ACT_SILENCE, 0, 0, NULL}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 1);
    s.world.deadline_us = 3000000;
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(r, "status"), "failed");
    assert_string_equal(str(r, "error_code"), "deadline_exceeded");
    assert_in_range(num(r, "duration_ms"), 3000, 3300);
    assert_string_equal(str(answer(r, 0), "error_code"), "deadline_exceeded");
    assert_true(s.world.ledger.entries[0].is_cancelled);
    assert_int_equal(s.world.ledger.in_flight, 0);
    json_decref(r);
    world_done(&s.world);
}

static void test_d05_expired_calls_are_closed(void **state)
{
    static const struct line lines[] = {{NULL, -1, {ACT_SILENCE, 0, 0, NULL}}};
    struct script s;

    (void)state;
    setup(&s, lines, 1);
    for (int i = 0; i < 200; i++)
        world_job(&s.world, 0, "{\"prompt\":\"JOB:%d\",\"models\":[\"a\"],\"deadline_ms\":5000}", i);
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, 4900000);
    assert_int_equal(s.world.ledger.in_flight, 200);
    world_run(&s.world, 1100000);
    assert_int_equal(s.world.ledger.in_flight, 0);
    assert_true(world_run_until_done(&s.world, 10000000));
    world_run(&s.world, 1000000);
    assert_int_equal(worker_jobs(s.world.crews[0].worker), 0);
    assert_int_equal(world_count(&s.world, OUT_RESULTS, -1, -1), 200);
    world_done(&s.world);
}

static void test_d06_finished_answers_survive_a_timeout(void **state)
{
    static const struct line lines[] = {{"m-c", -1, {ACT_SILENCE, 0, 0, NULL}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 1);
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\",\"c\"],\"deadline_ms\":3000}");
    assert_string_equal(str(r, "status"), "partial");
    assert_true(has_reason(r, "stage_timeout"));
    assert_true(has_reason(r, "model_failed"));
    assert_string_equal(str(r, "answer"), "## a\n\nANSWER m-a x\n\n## b\n\nANSWER m-b x");
    assert_string_equal(str(answer(r, 2), "error_code"), "deadline_exceeded");
    assert_true(json_is_null(json_object_get(answer(r, 2), "answer")));
    json_decref(r);
    world_done(&s.world);
}

static void test_d08_an_empty_bucket_delays_only_its_own_model(void **state)
{
    struct script s;

    (void)state;
    setup(&s, NULL, 0);
    s.world.pools[0] = (struct pool_conf){.id = "slow", .requests_per_minute = 6};
    s.world.n_pools = 1;
    s.world.models[0].pools[0] = 0;
    for (int i = 0; i < 100; i++) {
        world_job(&s.world, 0, "{\"prompt\":\"JOB:a%d\",\"models\":[\"a\"]}", i);
        world_job(&s.world, 0, "{\"prompt\":\"JOB:b%d\",\"models\":[\"b\"]}", i);
    }
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, 2000000);
    assert_int_equal(ledger_count(&s.world.ledger, "m-b", NULL), 100);
    assert_in_range(ledger_count(&s.world.ledger, "m-a", NULL), 0, 1);
    world_done(&s.world);
}

static void test_d14_each_attempt_takes_a_permit(void **state)
{
    static const struct line lines[] = {{NULL, 0, {ACT_500, 1000, 0, NULL}}, {NULL, 1, {ACT_500, 1000, 0, NULL}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 2);
    s.world.pools[0] = (struct pool_conf){.id = "p", .requests_per_minute = 6};
    s.world.n_pools = 1;
    s.world.models[0].pools[0] = 0;
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(r, "status"), "ok");
    assert_int_equal(num(r, "calls_total"), 3);
    /* created empty, one permit each 12 s: three of them need at least 24 s between first and last */
    assert_int_equal(s.world.ledger.n, 3);
    assert_true(s.world.ledger.entries[2].at_us - s.world.ledger.entries[0].at_us >= 20000000);
    json_decref(r);
    world_done(&s.world);
}

static void test_d16_transient_faults_are_tried_again(void **state)
{
    static const struct line lines[] = {{NULL, 0, {ACT_500, 1000, 0, NULL}}, {NULL, 1, {ACT_500, 1000, 0, NULL}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 2);
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(r, "status"), "ok");
    assert_int_equal(num(answer(r, 0), "attempts"), 3);
    assert_int_equal(num(r, "retries"), 2);
    assert_int_equal(num(r, "calls_failed"), 2);
    assert_int_equal(world_count(&s.world, OUT_CALLS, -1, -1), 3);
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 3);
    json_decref(r);
    world_done(&s.world);
}

static void test_d17_a_hint_pauses_the_pool_for_all_workers(void **state)
{
    static const struct line lines[] = {{"m-a", 0, {ACT_429, 1000, 2, NULL}}};
    struct script s;
    int64_t first;

    (void)state;
    setup(&s, lines, 1);
    s.world.n_partitions = 2;
    mem_topics_free(s.world.topics);
    s.world.topics = mem_topics_new(2);
    s.world.pools[0] = (struct pool_conf){.id = "p", .requests_per_minute = 6000};
    s.world.n_pools = 1;
    s.world.models[0].pools[0] = 0;
    world_add_worker(&s.world, 0, 1);
    world_add_worker(&s.world, 1, 1);
    world_run(&s.world, 5000000);
    world_job(&s.world, 0, "{\"prompt\":\"JOB:first\",\"models\":[\"a\"]}");
    broker_mem_revoke(s.world.crews[0].broker, 0, true);
    broker_mem_assign(s.world.crews[0].broker, 0);
    world_run(&s.world, 300000);
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 1);
    first = s.world.ledger.entries[0].at_us;
    /* the other process asks while the pool is paused */
    world_job(&s.world, 1, "{\"prompt\":\"JOB:other\",\"models\":[\"a\"]}");
    broker_mem_revoke(s.world.crews[1].broker, 1, true);
    broker_mem_assign(s.world.crews[1].broker, 1);
    world_run(&s.world, 1500000);
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 1);
    assert_true(world_run_until_done(&s.world, 20000000));
    for (int i = 1; i < s.world.ledger.n; i++)
        assert_true(s.world.ledger.entries[i].at_us - first >= 2000000);
    assert_true(s.world.ledger.entries[1].at_us - first <= 2600000);
    world_done(&s.world);
}

static void test_old_jobs_do_not_expire(void **state)
{
    struct script s;

    (void)state;
    setup(&s, NULL, 0);
    for (int i = 0; i < 1000; i++)
        world_job(&s.world, 0, "{\"prompt\":\"JOB:%d\",\"models\":[\"a\"]}", i);
    world_run(&s.world, INT64_C(11) * 60 * 1000000);
    world_add_worker(&s.world, 0, 1);
    assert_true(world_run_until_done(&s.world, 120000000));
    assert_int_equal(world_count(&s.world, OUT_RESULTS, -1, -1), 1000);
    {
        int n, ok = 0;
        const struct mem_record *records = mem_topics_records(s.world.topics, &n);

        for (int i = 0; i < n; i++)
            ok +=
                records[i].output == OUT_RESULTS && strstr(records[i].value, "\"status\":\"ok\",\"strategy\"") != NULL;
        assert_int_equal(ok, 1000);
    }
    world_done(&s.world);
}

static void test_an_absolute_deadline_in_the_past_makes_no_call(void **state)
{
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, NULL, 0);
    world_job(&s.world, 0, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"],\"deadline_ms\":1000}");
    world_run(&s.world, 5000000);
    world_add_worker(&s.world, 0, 1);
    assert_true(world_run_until_done(&s.world, 10000000));
    r = world_result(&s.world, 0, mem_topics_high(s.world.topics, 0) - 1);
    assert_string_equal(str(r, "error_code"), "deadline_exceeded");
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 0);
    json_decref(r);
    world_done(&s.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d02_the_job_deadline_ends_a_silent_provider),
        cmocka_unit_test(test_d05_expired_calls_are_closed),
        cmocka_unit_test(test_d06_finished_answers_survive_a_timeout),
        cmocka_unit_test(test_d08_an_empty_bucket_delays_only_its_own_model),
        cmocka_unit_test(test_d14_each_attempt_takes_a_permit),
        cmocka_unit_test(test_d16_transient_faults_are_tried_again),
        cmocka_unit_test(test_d17_a_hint_pauses_the_pool_for_all_workers),
        cmocka_unit_test(test_old_jobs_do_not_expire),
        cmocka_unit_test(test_an_absolute_deadline_in_the_past_makes_no_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
