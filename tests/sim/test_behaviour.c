/* SPDX-License-Identifier: Apache-2.0 */
/* One behaviour each, on virtual time; names carry the number of the defect register (D-nn) where one exists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "sim/world.h"

/* A script: for the nth request of a call to this model. */
struct line {
    const char *model; /* NULL: any */
    int nth;           /* -1: any */
    struct play play;
};

struct script {
    struct world world;
    const struct line *lines;
    int n;
};

static struct play follow(const struct entry *e, int nth, void *arg)
{
    const struct script *s = arg;

    for (int i = 0; i < s->n; i++)
        if ((s->lines[i].model == NULL || strcmp(s->lines[i].model, e->model) == 0) &&
            (s->lines[i].nth < 0 || s->lines[i].nth == nth))
            return s->lines[i].play;
    return (struct play){.act = ACT_OK, .latency_us = 200000};
}

static void setup(struct script *s, const struct line *lines, int n)
{
    world_init(&s->world, 7, 1);
    s->lines = lines;
    s->n = n;
    s->world.ledger.decide = follow;
    s->world.ledger.arg = s;
}

/* Runs one job to its end and returns its result. */
static json_t *run_job(struct script *s, const char *job)
{
    int64_t offset = world_job(&s->world, 0, "%s", job);
    json_t *r;

    if (s->world.crews[0].worker == NULL)
        world_add_worker(&s->world, 0, 1);
    assert_true(world_run_until_done(&s->world, INT64_C(1200000000)));
    r = world_result(&s->world, 0, offset);
    assert_non_null(r);
    return r;
}

static const char *str(const json_t *r, const char *key)
{
    const char *s = json_string_value(json_object_get(r, key));

    return s != NULL ? s : "(null)";
}

static long long num(const json_t *r, const char *key)
{
    return json_integer_value(json_object_get(r, key));
}

static const json_t *answer(const json_t *r, size_t i)
{
    return json_array_get(json_object_get(r, "answers"), i);
}

static bool has_reason(const json_t *r, const char *reason)
{
    size_t i;
    json_t *v;

    json_array_foreach(json_object_get(r, "degraded_reasons"), i,
                       v) if (strcmp(json_string_value(v), reason) == 0) return true;
    return false;
}

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
    s.world.models[0].pool = 0;
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
    s.world.models[0].pool = 0;
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
    s.world.models[0].pool = 0;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d01_models_are_asked_in_parallel),
        cmocka_unit_test(test_d02_the_job_deadline_ends_a_silent_provider),
        cmocka_unit_test(test_d05_expired_calls_are_closed),
        cmocka_unit_test(test_d06_finished_answers_survive_a_timeout),
        cmocka_unit_test(test_d08_an_empty_bucket_delays_only_its_own_model),
        cmocka_unit_test(test_d14_each_attempt_takes_a_permit),
        cmocka_unit_test(test_d15_without_the_journal_nothing_new_is_paid),
        cmocka_unit_test(test_d16_transient_faults_are_tried_again),
        cmocka_unit_test(test_d17_a_hint_pauses_the_pool_for_all_workers),
        cmocka_unit_test(test_d25_empty_answers_are_a_failure),
        cmocka_unit_test(test_d26_errors_never_become_answers),
        cmocka_unit_test(test_first_takes_the_quickest_and_cancels_the_others),
        cmocka_unit_test(test_quorum_decides_between_partial_and_failed),
        cmocka_unit_test(test_old_jobs_do_not_expire),
        cmocka_unit_test(test_an_absolute_deadline_in_the_past_makes_no_call),
        cmocka_unit_test(test_paid_answers_are_recalled_after_a_crash),
        cmocka_unit_test(test_a_drain_finishes_what_has_begun),
        cmocka_unit_test(test_a_record_that_never_makes_progress_is_a_dead_letter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
