/* SPDX-License-Identifier: Apache-2.0 */
/* Fallback models on virtual time: when a call goes on with the next one, what the records say of it, and that nothing
 * is paid again when a worker dies in between. */
#include "sim/route_script.h"

#include <stdio.h>

#include "core/health.h"

static const char job[] = "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}";

static void test_a_fallback_answers(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result, *c;

    (void)state;
    route_fallbacks(&r);
    w->models[1].price = (struct price){1000000000, 1000000000, -1};
    route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_500, 1000, 0, NULL}});
    result = run_job(&r.script, job);
    assert_string_equal(str(result, "status"), "ok"); /* all that was asked was answered */
    assert_true(has_reason(result, "stage_fallback"));
    assert_int_equal(json_array_size(json_object_get(result, "degraded_reasons")), 1);
    assert_string_equal(str(result, "answer"), "ANSWER m-b x");
    assert_string_equal(str(answer(result, 0), "request_model"), "a");
    assert_string_equal(str(answer(result, 0), "served_model"), "b");
    assert_string_equal(str(answer(result, 0), "vendor_model"), "m-b");
    assert_int_equal(num(answer(result, 0), "fallback_index"), 1);
    assert_int_equal(num(answer(result, 0), "attempts"), w->retry.attempts + 1);
    assert_string_equal(str(result, "winner"), "a");
    /* 123 + 45 tokens at the price of b */
    assert_true(json_real_value(json_object_get(result, "cost_usd")) > 0.000167999 &&
                json_real_value(json_object_get(result, "cost_usd")) < 0.000168001);
    json_decref(result);
    c = call_record(w, 0);
    assert_string_equal(str(c, "served_model"), "a");
    assert_int_equal(num(c, "fallback_index"), 0);
    json_decref(c);
    c = call_record(w, w->retry.attempts);
    assert_string_equal(str(c, "request_model"), "a");
    assert_string_equal(str(c, "served_model"), "b");
    assert_string_equal(str(c, "vendor_model"), "m-b");
    assert_int_equal(num(c, "fallback_index"), 1);
    assert_int_equal(num(c, "attempt"), 1);
    assert_true(json_is_true(json_object_get(c, "is_final")));
    json_decref(c);
    world_done(w);
}

/* Every record has an id of its own although both models begin with attempt 1. */
static void test_event_ids_differ(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    char ids[16][40];
    int n = 0;

    (void)state;
    route_fallbacks(&r);
    route_rule(&r, (struct rule){.play = {ACT_500, 1000, 0, NULL}});
    json_decref(run_job(&r.script, job));
    while (n < 3 * w->retry.attempts) {
        json_t *c = call_record(w, n);

        snprintf(ids[n], sizeof(ids[n]), "%s", str(c, "event_id"));
        for (int i = 0; i < n; i++)
            assert_string_not_equal(ids[i], ids[n]);
        n++;
        json_decref(c);
    }
    assert_int_equal(world_count(w, OUT_CALLS, -1, -1), n);
    world_done(w);
}

/* What goes to the fallback, and after how many requests; what ends the call. */
static void test_what_goes_to_the_fallback(void **state)
{
    static const struct {
        enum act act;
        int asked; /* requests to the first model */
        bool is_elsewhere;
    } cases[] = {
        {ACT_500, 4, true},      {ACT_529, 4, true},      {ACT_RESET, 4, true}, {ACT_REFUSE, 4, true},
        {ACT_429, 4, true},      {ACT_TRUNCATE, 2, true}, {ACT_EMPTY, 2, true}, {ACT_BAD_JSON, 2, true},
        {ACT_401, 1, true},      {ACT_403, 1, true},      {ACT_404, 1, true},   {ACT_QUOTA, 1, true},
        {ACT_FILTERED, 1, true}, {ACT_TOO_LONG, 1, true}, {ACT_400, 1, false},  {ACT_STALE, 10, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route r;
        struct world *w = route_setup(&r, 1);
        json_t *result;

        route_fallbacks(&r);
        route_rule(&r, (struct rule){.model = "m-a", .play = {cases[i].act, 1000, 0, NULL}});
        result = run_job(&r.script, job);
        assert_string_equal(str(result, "status"), cases[i].is_elsewhere ? "ok" : "failed");
        assert_int_equal(ledger_count(&w->ledger, "m-a", NULL), cases[i].asked);
        assert_int_equal(ledger_count(&w->ledger, "m-b", NULL), cases[i].is_elsewhere);
        json_decref(result);
        world_done(w);
    }
}

/* The whole chain fails: the last one's word counts; nobody is asked twice, b's own fallbacks are not used. */
static void test_a_chain_has_an_end(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;

    (void)state;
    route_fallbacks(&r);
    for (int i = 1; i < 3; i++) {
        w->models[i].fallbacks[0] = &w->models[0];
        w->models[i].fallbacks[1] = &w->models[3];
        w->models[i].n_fallbacks = 2;
    }
    route_rule(&r, (struct rule){.model = "m-c", .play = {ACT_401, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.play = {ACT_500, 1000, 0, NULL}});
    result = run_job(&r.script, job);
    assert_string_equal(str(result, "status"), "failed");
    assert_string_equal(str(answer(result, 0), "error_code"), "auth");
    assert_int_equal(num(answer(result, 0), "fallback_index"), 2);
    assert_string_equal(str(answer(result, 0), "request_model"), "a");
    assert_string_equal(str(answer(result, 0), "vendor_model"), "m-c");
    assert_false(has_reason(result, "stage_fallback"));
    assert_int_equal(ledger_count(&w->ledger, "m-a", NULL), 4);
    assert_int_equal(ledger_count(&w->ledger, "m-b", NULL), 4);
    assert_int_equal(ledger_count(&w->ledger, "m-c", NULL), 1);
    assert_int_equal(ledger_count(&w->ledger, "m-d", NULL), 0);
    json_decref(result);
    world_done(w);
}

/* A larger call goes elsewhere, without a request. */
static void test_what_is_over_the_pool_goes_elsewhere(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;

    (void)state;
    route_fallbacks(&r);
    w->pools[0] = (struct pool_conf){.id = "p", .tokens_per_minute = 1000, .largest_call = 50};
    w->n_pools = 1;
    w->models[0].pools[0] = 0;
    result = run_job(&r.script, job);
    assert_string_equal(str(answer(result, 0), "served_model"), "b");
    assert_int_equal(w->ledger.n, 1);
    json_decref(result);
    world_done(w);
}

/* The deadline is the job's, whoever is asked. */
static void test_no_fallback_after_the_deadline(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;

    (void)state;
    route_fallbacks(&r);
    route_rule(&r, (struct rule){.play = {ACT_SILENCE, 0, 0, NULL}});
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"],\"deadline_ms\":3000}");
    assert_string_equal(str(result, "error_code"), "deadline_exceeded");
    assert_int_equal(w->ledger.n, 1);
    assert_in_range(num(result, "duration_ms"), 2500, 3100);
    json_decref(result);
    world_done(w);
}

/* While the breaker of the first model is open the fallback is asked at once; afterwards the first one again. */
static void test_an_open_breaker_goes_to_the_fallback_at_once(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;

    (void)state;
    route_fallbacks(&r);
    w->breaker = (struct health_conf){.failures = 5, .open_us = 30 * SECOND};
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    json_decref(run_job(&r.script, job));
    json_decref(run_job(&r.script, job));
    assert_int_equal(ledger_count(&w->ledger, "m-a", NULL), 5); /* it opened during the second call, which went on */
    for (int i = 0; i < 10; i++) {
        result = run_job(&r.script, job);
        assert_string_equal(str(answer(result, 0), "served_model"), "b");
        assert_in_range(num(result, "duration_ms"), 0, 300);
        json_decref(result);
    }
    assert_int_equal(ledger_count(&w->ledger, "m-a", NULL), 5);
    world_run(w, 40 * SECOND);
    result = run_job(&r.script, job);
    assert_string_equal(str(answer(result, 0), "served_model"), "a");
    assert_false(has_reason(result, "stage_fallback"));
    json_decref(result);
    world_done(w);
}

/* All of the chain are down: the job waits, and whoever comes back first answers. */
static void test_all_breakers_open_waits_for_the_first(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;

    (void)state;
    w->models[0].fallbacks[0] = &w->models[1];
    w->models[0].n_fallbacks = 1;
    w->breaker = (struct health_conf){.failures = 1, .open_us = 30 * SECOND};
    w->retry.attempts = 1;
    route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_500, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-b", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    json_decref(run_job(&r.script, job));
    assert_int_equal(w->ledger.n, 2);
    world_job(w, 0, "{\"prompt\":\"JOB:b\",\"models\":[\"b\"]}"); /* who finds out that b is well again */
    result = run_job(&r.script, job);
    assert_string_equal(str(result, "status"), "ok");
    assert_string_equal(str(answer(result, 0), "served_model"), "b");
    json_decref(result);
    world_done(w);
}

/* Left only because its breaker was open: a call goes back to a model that is well again, with its next attempt, rather
 * than to fail, or to wait for as long as its fallback is down. */
static void test_a_call_goes_back_to_a_model_that_is_well(void **state)
{
    static const int places[] = {0, 1, 1, 0}, attempts[] = {1, 1, 2, 2};
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result, *records[4];

    (void)state;
    w->models[0].fallbacks[0] = &w->models[1];
    w->models[0].n_fallbacks = 1;
    w->breaker = (struct health_conf){.failures = 1, .open_us = 30 * SECOND};
    w->retry.attempts = 2;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-b", .play = {ACT_500, 1000, 0, NULL}});
    result = run_job(&r.script, job);
    assert_string_equal(str(result, "status"), "ok");
    assert_string_equal(str(answer(result, 0), "served_model"), "a");
    assert_int_equal(num(answer(result, 0), "attempts"), 4);
    assert_false(has_reason(result, "stage_fallback"));
    json_decref(result);
    assert_int_equal(w->ledger.n, 4);
    assert_string_equal(w->ledger.entries[0].key, w->ledger.entries[3].key);
    assert_string_equal(w->ledger.entries[1].key, w->ledger.entries[2].key);
    for (int i = 0; i < 4; i++) {
        records[i] = call_record(w, i);
        assert_int_equal(num(records[i], "fallback_index"), places[i]);
        assert_int_equal(num(records[i], "attempt"), attempts[i]);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(str(records[k], "event_id"), str(records[i], "event_id"));
    }
    for (int i = 0; i < 4; i++)
        json_decref(records[i]);
    world_done(w);
}

/* Many of them, and the fallback stays down for hours. */
static void test_nobody_waits_before_a_dead_fallback(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);

    (void)state;
    w->models[0].fallbacks[0] = &w->models[1];
    w->models[0].n_fallbacks = 1;
    w->breaker = (struct health_conf){.failures = 5, .open_us = 30 * SECOND};
    w->retry.attempts = 8;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-b", .play = {ACT_500, 1000, 0, NULL}});
    for (int i = 0; i < 50; i++)
        world_job(w, 0, "%s", job);
    world_add_worker(w, 0, 1);
    assert_true(world_run_until_done(w, 100 * SECOND));
    assert_int_equal(world_tally(w).ok, 50);
    world_done(w);
}

static void crash_and_restart(struct world *w)
{
    world_crash(&w->crews[0]);
    world_add_worker(w, 0, 1);
}

/* A kill between the fallback's answer and the commit: what was paid is recalled, nobody is asked again. */
static void test_a_fallbacks_answer_is_recalled(void **state)
{
    static const char *const refused[] = {"temperature"};
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result, *c;
    int64_t offset;

    (void)state;
    route_fallbacks(&r);
    route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_401, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-d", .to_us = 5 * SECOND, .play = {ACT_SILENCE, 0, 0, NULL}});
    w->models[1].drop_params = refused;
    w->models[1].n_drop_params = 1;
    /* d keeps the job from its end */
    offset = world_job(w, 0, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"d\"],\"params\":{\"temperature\":0.5}}");
    world_add_worker(w, 0, 1);
    world_run(w, 3 * SECOND);
    assert_int_equal(w->ledger.n, 3);
    crash_and_restart(w);
    world_run(w, SECOND);
    crash_and_restart(w);
    world_run(w, 5 * SECOND);
    crash_and_restart(w);
    assert_true(world_run_until_done(w, 60 * SECOND));
    result = world_result(w, 0, offset);
    assert_string_equal(str(result, "status"), "ok");
    assert_string_equal(str(answer(result, 0), "served_model"), "b");
    assert_int_equal(num(answer(result, 0), "fallback_index"), 1);
    assert_true(has_reason(result, "stage_fallback"));
    assert_true(has_reason(result, "param_dropped")); /* by b, not by a */
    assert_int_equal(ledger_count(&w->ledger, "m-a", NULL), 1);
    assert_int_equal(ledger_count(&w->ledger, "m-b", NULL), 1);
    assert_int_equal(w->ledger.paid_twice, 0);
    json_decref(result);
    c = call_record(w, 1);
    assert_string_equal(str(c, "served_model"), "b");
    assert_string_equal(str(c, "key_id"), "k1");
    assert_true(json_is_true(json_object_get(c, "recalled")));
    assert_true(num(c, "input_tokens") > 0);
    json_decref(c);
    world_done(w);
}

/* Killed while the fallback is asked: the first model, which gave up, is not asked again, and the fallback's request
 * has the same idempotency key. */
static void test_a_call_goes_on_where_its_chain_was(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;
    int64_t offset;

    (void)state;
    route_fallbacks(&r);
    route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_401, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-b", .to_us = 5 * SECOND, .play = {ACT_SILENCE, 0, 0, NULL}});
    offset = world_job(w, 0, "%s", job);
    world_add_worker(w, 0, 1);
    world_run(w, 3 * SECOND);
    crash_and_restart(w);
    world_run(w, 5 * SECOND);
    crash_and_restart(w);
    assert_true(world_run_until_done(w, 90 * SECOND));
    assert_int_equal(ledger_count(&w->ledger, "m-a", NULL), 1);
    assert_int_equal(w->ledger.n, 4);
    for (int i = 1; i < 4; i++)
        assert_string_equal(w->ledger.entries[i].key, w->ledger.entries[1].key);
    assert_string_not_equal(w->ledger.entries[0].key, w->ledger.entries[1].key);
    result = world_result(w, 0, offset);
    assert_string_equal(str(answer(result, 0), "served_model"), "b");
    json_decref(result);
    world_done(w);
}

/* Killed between two attempts at the fallback: it goes on there, with the next attempt. */
static void test_a_fallback_goes_on_with_its_attempts(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *c;

    (void)state;
    route_fallbacks(&r);
    w->retry = (struct retry_conf){.attempts = 2, .base_us = 4 * SECOND, .cap_us = 4 * SECOND};
    route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_404, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-b", .play = {ACT_500, 1000, 0, NULL}});
    world_job(w, 0, "%s", job);
    world_add_worker(w, 0, 1);
    world_run(w, SECOND);
    assert_int_equal(w->ledger.n, 2);
    crash_and_restart(w);
    assert_true(world_run_until_done(w, 60 * SECOND));
    assert_int_equal(ledger_count(&w->ledger, "m-a", NULL), 1);
    assert_int_equal(ledger_count(&w->ledger, "m-b", NULL), 2);
    assert_int_equal(ledger_count(&w->ledger, "m-c", NULL), 1);
    for (int i = 0; i < 4; i++) {
        static const int places[] = {0, 1, 1, 2}, attempts[] = {1, 1, 2, 1};

        c = call_record(w, i);
        assert_int_equal(num(c, "fallback_index"), places[i]);
        assert_int_equal(num(c, "attempt"), attempts[i]);
        assert_int_equal(json_is_true(json_object_get(c, "recalled")), i < 2);
        json_decref(c);
    }
    world_done(w);
}

/* The configuration changed between the answer and the recall: the answer stays with the model that was asked for. */
static void test_an_answer_outlives_its_fallback_list(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;
    int64_t offset;

    (void)state;
    route_fallbacks(&r);
    route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_401, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-d", .to_us = 5 * SECOND, .play = {ACT_SILENCE, 0, 0, NULL}});
    offset = world_job(w, 0, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"d\"]}");
    world_add_worker(w, 0, 1);
    world_run(w, 3 * SECOND);
    world_crash(&w->crews[0]);
    w->models[0].n_fallbacks = 0;
    world_run(w, 5 * SECOND);
    world_add_worker(w, 0, 1);
    assert_true(world_run_until_done(w, 60 * SECOND));
    result = world_result(w, 0, offset);
    assert_string_equal(str(answer(result, 0), "answer"), "ANSWER m-b x");
    assert_string_equal(str(answer(result, 0), "served_model"), "b");
    assert_int_equal(ledger_count(&w->ledger, "m-a", NULL), 1);
    assert_int_equal(ledger_count(&w->ledger, "m-b", NULL), 1);
    json_decref(result);
    world_done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fallback_answers),
        cmocka_unit_test(test_event_ids_differ),
        cmocka_unit_test(test_what_goes_to_the_fallback),
        cmocka_unit_test(test_a_chain_has_an_end),
        cmocka_unit_test(test_what_is_over_the_pool_goes_elsewhere),
        cmocka_unit_test(test_no_fallback_after_the_deadline),
        cmocka_unit_test(test_an_open_breaker_goes_to_the_fallback_at_once),
        cmocka_unit_test(test_all_breakers_open_waits_for_the_first),
        cmocka_unit_test(test_a_call_goes_back_to_a_model_that_is_well),
        cmocka_unit_test(test_nobody_waits_before_a_dead_fallback),
        cmocka_unit_test(test_a_fallbacks_answer_is_recalled),
        cmocka_unit_test(test_a_call_goes_on_where_its_chain_was),
        cmocka_unit_test(test_a_fallback_goes_on_with_its_attempts),
        cmocka_unit_test(test_an_answer_outlives_its_fallback_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
