/* SPDX-License-Identifier: Apache-2.0 */
/* One behaviour each, on virtual time: merges, quorum, what is no answer, crashes, drains. Names carry the number of
 * the defect register (D-nn) where one exists. */
#include "sim/behaviour.h"

#include <stdio.h>

#include "base/check.h"

static void test_d01_models_are_asked_in_parallel(void **state)
{
    static const struct line lines[] = {{NULL, -1, {ACT_OK, 2000000, 0, NULL}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 1);
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\",\"c\"]}");
    assert_string_equal(str(r, "status"), "ok");
    assert_in_range(num(r, "duration_ms"), 2000, 2499);
    assert_int_equal(s.world.ledger.in_flight_max, 3);
    assert_string_equal(str(r, "answer"), "## a\n\nANSWER m-a x\n\n## b\n\nANSWER m-b x\n\n## c\n\nANSWER m-c x");
    json_decref(r);
    world_done(&s.world);
}

static void test_d15_without_the_journal_nothing_new_is_paid(void **state)
{
    struct script s;

    (void)state;
    setup(&s, NULL, 0);
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, 100000);
    journal_mem_set_down(s.world.crews[0].journal, true);
    for (int i = 0; i < 20; i++)
        world_job(&s.world, 0, "{\"prompt\":\"JOB:%d\",\"models\":[\"a\"]}", i);
    broker_mem_revoke(s.world.crews[0].broker, 0, true);
    broker_mem_assign(s.world.crews[0].broker, 0);
    world_run(&s.world, 60000000);
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 0);
    journal_mem_set_down(s.world.crews[0].journal, false);
    assert_true(world_run_until_done(&s.world, 10000000));
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 20);
    world_done(&s.world);
}

static void test_d25_empty_answers_are_a_failure(void **state)
{
    static const struct line lines[] = {{NULL, -1, {ACT_EMPTY, 1000, 0, NULL}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 1);
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\"]}");
    assert_string_equal(str(r, "status"), "failed");
    assert_string_equal(str(r, "error_code"), "quorum_not_met");
    assert_true(json_is_null(json_object_get(r, "answer")));
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(str(answer(r, i), "error_code"), "empty_answer");
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 4); /* paid answers: one bounded re-ask each */
    json_decref(r);
    world_done(&s.world);
}

static void test_d26_errors_never_become_answers(void **state)
{
    static const struct line lines[] = {{"m-a", -1, {ACT_500, 1000, 0, NULL}},
                                        {"m-b", -1, {ACT_OK, 1000, 0, "Error: is a word like any other"}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 2);
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\",\"c\"]}");
    assert_string_equal(str(r, "status"), "partial");
    assert_null(strstr(str(r, "answer"), "SECRET-ERROR-TEXT"));
    assert_non_null(strstr(str(r, "answer"), "Error: is a word like any other"));
    assert_true(json_is_null(json_object_get(answer(r, 0), "answer")));
    assert_string_equal(str(answer(r, 0), "error_code"), "provider_error");
    json_decref(r);
    world_done(&s.world);
}

static void test_first_takes_the_quickest_and_cancels_the_others(void **state)
{
    static const struct line lines[] = {{"m-b", -1, {ACT_OK, 100000, 0, NULL}}, {NULL, -1, {ACT_OK, 5000000, 0, NULL}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 2);
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\",\"c\"],\"merge\":\"first\"}");
    assert_string_equal(str(r, "status"), "ok");
    assert_string_equal(str(r, "winner"), "b");
    assert_string_equal(str(r, "answer"), "ANSWER m-b x");
    assert_int_equal(num(r, "calls_cancelled"), 2);
    assert_true(json_is_false(json_object_get(r, "cost_complete")));
    assert_in_range(num(r, "duration_ms"), 100, 200);
    json_decref(r);
    world_done(&s.world);
}

static void test_quorum_decides_between_partial_and_failed(void **state)
{
    static const struct line lines[] = {{"m-a", -1, {ACT_401, 1000, 0, NULL}}};
    static const struct {
        const char *quorum, *status;
    } cases[] = {{"1", "partial"}, {"2", "partial"}, {"3", "failed"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s;
        char job[200];
        json_t *r;

        setup(&s, lines, 1);
        snprintf(job, sizeof(job), "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\",\"c\"],\"quorum\":%s}",
                 cases[i].quorum);
        r = run_job(&s, job);
        assert_string_equal(str(r, "status"), cases[i].status);
        assert_string_equal(str(answer(r, 0), "error_code"), "auth");
        assert_int_equal(ledger_count(&s.world.ledger, "m-a", NULL), 1); /* D-19: permanent, one request */
        json_decref(r);
        world_done(&s.world);
    }
}

static void test_paid_answers_are_recalled_after_a_crash(void **state)
{
    static const struct line lines[] = {{"m-a", -1, {ACT_OK, 100000, 0, NULL}}, {"m-b", 0, {ACT_SILENCE, 0, 0, NULL}}};
    struct script s;
    struct crew *c;
    json_t *r;

    (void)state;
    setup(&s, lines, 2);
    world_job(&s.world, 0, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\"]}");
    c = world_add_worker(&s.world, 0, 1);
    world_run(&s.world, 1000000);
    world_crash(c); /* a is paid and journaled, b is under way */
    world_add_worker(&s.world, 0, 1);
    assert_true(world_run_until_done(&s.world, 10000000));
    r = world_result(&s.world, 0, mem_topics_high(s.world.topics, 0) - 1);
    assert_string_equal(str(r, "status"), "ok");
    assert_int_equal(num(r, "calls_recalled"), 1);
    assert_int_equal(ledger_count(&s.world.ledger, "m-a", NULL), 1);
    assert_int_equal(ledger_count(&s.world.ledger, "m-b", NULL), 2);
    assert_int_equal(s.world.ledger.paid_twice, 0);
    assert_int_equal(num(r, "input_tokens"), 246);
    json_decref(r);
    world_done(&s.world);
}

static void test_a_drain_finishes_what_has_begun(void **state)
{
    static const struct line lines[] = {{NULL, -1, {ACT_OK, 3000000, 0, NULL}}};
    struct script s;
    struct crew *c;

    (void)state;
    setup(&s, lines, 1);
    s.world.worker.max_in_flight = 50;
    for (int i = 0; i < 200; i++)
        world_job(&s.world, 0, "{\"prompt\":\"JOB:%d\",\"models\":[\"a\"]}", i);
    c = world_add_worker(&s.world, 0, 1);
    world_run(&s.world, 1000000);
    assert_int_equal(s.world.ledger.in_flight, 50);
    worker_drain(c->worker);
    world_run(&s.world, 5000000);
    assert_true(c->is_stopped);
    assert_int_equal(c->exit_code, 0);
    assert_int_equal(world_count(&s.world, OUT_RESULTS, -1, -1), 50);
    world_crash(c);
    world_add_worker(&s.world, 0, 1);
    assert_true(world_run_until_done(&s.world, 60000000));
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 200); /* nothing was paid again */
    assert_int_equal(world_count(&s.world, OUT_RESULTS, -1, -1), 200);
    world_done(&s.world);
}

static void test_a_record_that_never_makes_progress_is_a_dead_letter(void **state)
{
    static const struct line lines[] = {{NULL, -1, {ACT_SILENCE, 0, 0, NULL}}};
    struct script s;

    (void)state;
    setup(&s, lines, 1);
    world_job(&s.world, 0, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    for (int i = 0; i < 60 && world_count(&s.world, OUT_DEAD_LETTERS, -1, -1) == 0; i++) {
        struct crew *c = world_add_worker(&s.world, 0, 1);

        world_run(&s.world, 1000000);
        world_crash(c);
    }
    assert_int_equal(world_count(&s.world, OUT_DEAD_LETTERS, -1, -1), 1);
    /* having been decoded counts as progress every third time, ten times over */
    assert_in_range(ledger_count(&s.world.ledger, NULL, NULL), 30, 45);
    world_done(&s.world);
}

static void test_a_quoted_key_reaches_no_record(void **state)
{
    static const char key[] = "9f8e7d6c5b4a39281706f5e4d3c2b1a0";
    static const struct line lines[] = {{NULL, -1, {ACT_401, 1000, 0, key}}};
    struct script s;
    const struct mem_record *records;
    json_t *r;
    int n;

    (void)state;
    setup(&s, lines, 1);
    s.world.key.secret = key;
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(answer(r, 0), "error_code"), "auth");
    assert_non_null(strstr(str(answer(r, 0), "error_message"), "Incorrect API key: ***"));
    records = mem_topics_records(s.world.topics, &n);
    for (int i = 0; i < n; i++)
        assert_null(memmem(records[i].value, records[i].value_len, key, 8));
    json_decref(r);
    world_done(&s.world);
}

static void test_permits_that_are_always_too_old_end_the_call(void **state)
{
    static const struct line lines[] = {{NULL, -1, {ACT_STALE, 600000, 0, NULL}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 1);
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(answer(r, 0), "error_code"), "timeout");
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 10);
    assert_int_equal(num(r, "calls_total"), 0); /* nothing was ever sent */
    json_decref(r);
    world_done(&s.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_quoted_key_reaches_no_record),
        cmocka_unit_test(test_permits_that_are_always_too_old_end_the_call),
        cmocka_unit_test(test_d01_models_are_asked_in_parallel),
        cmocka_unit_test(test_d15_without_the_journal_nothing_new_is_paid),
        cmocka_unit_test(test_d25_empty_answers_are_a_failure),
        cmocka_unit_test(test_d26_errors_never_become_answers),
        cmocka_unit_test(test_first_takes_the_quickest_and_cancels_the_others),
        cmocka_unit_test(test_quorum_decides_between_partial_and_failed),
        cmocka_unit_test(test_paid_answers_are_recalled_after_a_crash),
        cmocka_unit_test(test_a_drain_finishes_what_has_begun),
        cmocka_unit_test(test_a_record_that_never_makes_progress_is_a_dead_letter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
