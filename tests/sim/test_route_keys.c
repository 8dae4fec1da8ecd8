/* SPDX-License-Identifier: Apache-2.0 */
/* Several API keys of one provider on virtual time: used in turn, each within its own limits, put aside when refused or
 * used up, and taken up again. Names carry the number of the defect register (D-nn) where one exists. */
#include "sim/route_script.h"

#include <stdio.h>

#include "base/log.h"
#include "core/health.h"

static const char one[] = "sk-one-0123456789", two[] = "sk-two-0123456789", three[] = "sk-three-0123456789";

static void add_jobs(struct world *w, int n)
{
    for (int i = 0; i < n; i++)
        world_job(w, 0, "{\"prompt\":\"JOB:%d\",\"models\":[\"a\"]}", i);
}

static int most_in_a_minute(const struct world *w, const char *api_key)
{
    const struct ledger *g = &w->ledger;
    int most = 0;

    for (int from = 0; from < g->n; from++) {
        int n = 0;

        for (int i = from; i < g->n && g->entries[i].at_us < g->entries[from].at_us + 60 * SECOND; i++)
            n += strcmp(g->entries[i].api_key, api_key) == 0;
        most = n > most ? n : most;
    }
    return most;
}

static void test_keys_take_turns_within_their_limits(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);

    (void)state;
    route_keys(&r, 60);
    add_jobs(w, 300);
    world_add_worker(w, 0, 1);
    assert_true(world_run_until_done(w, 200 * SECOND)); /* one key alone would need 300 s */
    for (int i = 0; i < KEYS; i++) {
        assert_in_range(requests_with_key(w, r.keys[i].secret), 95, 105);
        assert_in_range(most_in_a_minute(w, r.keys[i].secret), 50, 60);
    }
    assert_int_equal(world_tally(w).ok, 300);
    world_done(w);
}

/* One key is refused, one has nothing left: each is found out once, and every job gets its answer. */
static void test_refused_and_used_up_keys_are_put_aside(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *c;

    (void)state;
    route_keys(&r, 6000);
    route_rule(&r, (struct rule){.api_key = one, .play = {ACT_401, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.api_key = two, .play = {ACT_QUOTA, 1000, 0, NULL}});
    for (int i = 0; i < 30; i++)
        json_decref(run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}"));
    assert_int_equal(world_tally(w).ok, 30);
    assert_int_equal(requests_with_key(w, one), 1);
    assert_int_equal(requests_with_key(w, two), 1);
    assert_int_equal(requests_with_key(w, three), 30);
    c = call_record(w, 0);
    assert_string_equal(str(c, "key_id"), "id-1");
    assert_string_equal(str(c, "error_code"), "auth");
    assert_int_equal(num(c, "attempt"), 1);
    assert_true(json_is_false(json_object_get(c, "is_final")));
    json_decref(c);
    c = call_record(w, 2);
    assert_string_equal(str(c, "key_id"), "id-3");
    assert_string_equal(str(c, "status"), "ok");
    assert_int_equal(num(c, "attempt"), 3);
    json_decref(c);
    world_done(w);
}

/* D-22: ten minutes later a refused key is tried again, a used up one after what the provider said. */
static void test_d22_keys_are_taken_up_again(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);

    (void)state;
    route_keys(&r, 6000);
    route_rule(&r, (struct rule){.api_key = one, .to_us = 100 * SECOND, .play = {ACT_401, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.api_key = two, .to_us = 100 * SECOND, .play = {ACT_QUOTA, 1000, 120, NULL}});
    for (int i = 0; i < 10; i++)
        json_decref(run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}"));
    world_run(w, 130 * SECOND);
    for (int i = 0; i < 10; i++)
        json_decref(run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}"));
    assert_int_equal(requests_with_key(w, one), 1);
    assert_int_equal(requests_with_key(w, two), 1 + 5);
    world_run(w, 600 * SECOND);
    for (int i = 0; i < 9; i++)
        json_decref(run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}"));
    assert_int_equal(requests_with_key(w, one), 1 + 3);
    assert_int_equal(world_tally(w).ok, 29);
    world_done(w);
}

/* A 429 stops one key's pool; the call goes on with the next key at once, and the others do without it. */
static void test_a_limited_key_is_left_to_its_pause(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;

    (void)state;
    route_keys(&r, 6000);
    route_rule(&r, (struct rule){.api_key = one, .to_us = 10 * SECOND, .play = {ACT_429, 1000, 60, NULL}});
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(result, "status"), "ok");
    assert_in_range(num(result, "duration_ms"), 0, 1000);
    json_decref(result);
    for (int i = 0; i < 20; i++)
        json_decref(run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}"));
    assert_int_equal(requests_with_key(w, one), 1);
    world_run(w, 60 * SECOND);
    for (int i = 0; i < 6; i++)
        json_decref(run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}"));
    assert_int_equal(requests_with_key(w, one), 1 + 2);
    world_done(w);
}

/* All limited: the call waits for the first one that comes back, not for its own. */
static void test_all_limited_waits_for_the_first(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;

    (void)state;
    route_keys(&r, 6000);
    route_rule(&r, (struct rule){.api_key = one, .to_us = 5 * SECOND, .play = {ACT_429, 1000, 60, NULL}});
    route_rule(&r, (struct rule){.api_key = two, .to_us = 5 * SECOND, .play = {ACT_429, 1000, 8, NULL}});
    route_rule(&r, (struct rule){.api_key = three, .to_us = 5 * SECOND, .play = {ACT_429, 1000, 90, NULL}});
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(result, "status"), "ok");
    assert_int_equal(w->ledger.n, 4);
    assert_string_equal(w->ledger.entries[3].api_key, two);
    assert_in_range(w->ledger.entries[3].at_us - w->ledger.entries[1].at_us, 8 * SECOND, 10 * SECOND);
    json_decref(result);
    world_done(w);
}

/* Each model takes its own turns: two that are always asked together must not share the keys out between them, or each
 * would have the limits of its own key alone. */
static void test_models_asked_together_use_all_keys(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    int with_one = 0;

    (void)state;
    route_keys(&r, 6000);
    for (int i = 0; i < 30; i++)
        json_decref(run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\",\"c\"]}"));
    for (int i = 0; i < w->ledger.n; i++)
        with_one += strcmp(w->ledger.entries[i].api_key, one) == 0 && strcmp(w->ledger.entries[i].model, "m-a") == 0;
    assert_int_equal(with_one, 10);
    world_done(w);
}

/* Calls that wait for a permit of a key that is limited, or refused, meanwhile go on with another one: they neither
 * wait for its pause nor ask with it. */
static void test_calls_behind_a_bad_key_go_to_another(void **state)
{
    static const struct play plays[] = {{ACT_429, 1000, 3600, NULL}, {ACT_401, 1000, 0, NULL}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plays); i++) {
        struct route r;
        struct world *w = route_setup(&r, 1);

        route_keys(&r, 60);
        route_rule(&r, (struct rule){.api_key = one, .from_us = 5 * SECOND, .play = plays[i]});
        add_jobs(w, 120);
        world_add_worker(w, 0, 1);
        assert_true(world_run_until_done(w, 100 * SECOND));
        assert_in_range(requests_with_key(w, one), 1, 12); /* those of the first seconds, and what was under way */
        assert_int_equal(world_tally(w).ok, 120);
        world_done(w);
    }
}

/* One worker's 429 pauses a key's pool for the fleet: the others take the other keys, too. */
static void test_a_fleets_pause_is_seen(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 2);
    struct tally tally;

    (void)state;
    route_keys(&r, 600);
    route_rule(&r, (struct rule){.api_key = one, .play = {ACT_429, 1000, 3600, NULL}});
    for (int p = 0; p < 2; p++) {
        world_add_worker(w, p, 1);
        for (int i = 0; i < 3; i++) /* each key's first: the second worker's waits from before it could know */
            world_job(w, p, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
        world_run(w, 5 * SECOND);
    }
    for (int i = 0; i < 40; i++)
        world_job(w, 1, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    world_run(w, 20 * SECOND);
    tally = world_tally(w);
    assert_int_equal(tally.ok, 45);
    assert_int_equal(requests_with_key(w, one), 1);
    world_done(w);
}

/* A model that no configuration names has no pool that could be paused: the call itself keeps the hints. */
static void test_hints_hold_for_a_model_made_for_the_job(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    const struct entry *e;
    json_t *result;

    (void)state;
    route_keys(&r, 0);
    w->registry.ad_hoc = w->models[3];
    w->registry.ad_hoc.index = -1;
    route_rule(&r, (struct rule){.to_us = 15 * SECOND, .play = {ACT_429, 1000, 30, NULL}});
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"prov/m-x\"]}");
    assert_string_equal(str(result, "status"), "ok");
    json_decref(result);
    e = w->ledger.entries;
    assert_int_equal(w->ledger.n, 4);
    for (int i = 0; i < 3; i++)
        if (strcmp(e[i].api_key, e[3].api_key) == 0)
            assert_true(e[3].at_us - e[i].ended_us >= 30 * SECOND);
    world_done(w);
}

/* No key is any good: each is tried once, then the call fails; later calls make one request each. */
static void test_d19_without_a_good_key_the_call_fails(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;

    (void)state;
    route_keys(&r, 6000);
    route_rule(&r, (struct rule){.play = {ACT_401, 1000, 0, NULL}});
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(answer(result, 0), "error_code"), "auth");
    json_decref(result);
    assert_int_equal(w->ledger.n, 3);
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(answer(result, 0), "error_code"), "auth");
    json_decref(result);
    assert_int_equal(w->ledger.n, 4);
    world_done(w);
}

/* With one key nothing is put aside: each call finds out by itself, with one request. */
static void test_d19_a_single_key_is_asked_once_per_call(void **state)
{
    static const enum act acts[] = {ACT_400, ACT_401, ACT_403, ACT_404, ACT_FILTERED};
    static const char *const codes[] = {"invalid_request", "auth", "auth", "model_not_found", "content_filtered"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        struct route r;
        struct world *w = route_setup(&r, 1);

        route_rule(&r, (struct rule){.play = {acts[i], 1000, 0, NULL}});
        for (int n = 1; n <= 3; n++) {
            json_t *result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");

            assert_string_equal(str(answer(result, 0), "error_code"), codes[i]);
            assert_int_equal(num(answer(result, 0), "attempts"), 1);
            assert_int_equal(w->ledger.n, n);
            json_decref(result);
        }
        world_done(w);
    }
}

/* Whichever key the provider quotes: none reaches a record. */
static void test_no_key_is_quoted(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    const struct mem_record *records;
    int n;

    (void)state;
    route_keys(&r, 6000);
    route_rule(&r, (struct rule){.play = {ACT_401, 1000, 0, "sk-one-0123456789 sk-three-0123456789"}});
    json_decref(run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}"));
    records = mem_topics_records(w->topics, &n);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < KEYS; k++)
            assert_null(memmem(records[i].value, records[i].value_len, r.keys[k].secret, 10));
    world_done(w);
}

/* After a crash the call knows which keys had been refused, and the records say which were used. */
static void test_refused_keys_are_remembered_through_a_crash(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *c, *result;
    int64_t offset;

    (void)state;
    route_keys(&r, 6000);
    route_rule(&r, (struct rule){.api_key = one, .play = {ACT_401, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.api_key = two, .play = {ACT_403, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.api_key = three, .to_us = 4 * SECOND, .play = {ACT_SILENCE, 0, 0, NULL}});
    offset = world_job(w, 0, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    world_add_worker(w, 0, 1);
    world_run(w, 3 * SECOND);
    assert_int_equal(w->ledger.n, 3);
    world_crash(&w->crews[0]);
    world_run(w, 2 * SECOND);
    world_add_worker(w, 0, 1);
    assert_true(world_run_until_done(w, 60 * SECOND));
    assert_int_equal(requests_with_key(w, one), 1);
    assert_int_equal(requests_with_key(w, two), 1);
    assert_int_equal(requests_with_key(w, three), 2);
    result = world_result(w, 0, offset);
    assert_string_equal(str(result, "status"), "ok");
    json_decref(result);
    c = call_record(w, 0);
    assert_true(json_is_true(json_object_get(c, "recalled")));
    assert_string_equal(str(c, "key_id"), "id-1");
    json_decref(c);
    world_done(w);
}

/* D-09: two models of one meter that lets one through; the second ends in time, as limited. */
static void test_d09_a_limit_never_outlasts_the_deadline(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *result;
    int n_limited = 0;

    (void)state;
    w->pools[0] = (struct pool_conf){.id = "p", .requests_per_minute = 1};
    w->n_pools = 1;
    w->models[0].pools[0] = w->models[1].pools[0] = 0;
    json_decref(run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}")); /* the bucket is created empty */
    world_run(w, 70 * SECOND);
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\"],\"deadline_ms\":2000}");
    assert_int_equal(w->ledger.n, 2);
    for (size_t i = 0; i < 2; i++)
        n_limited += strcmp(str(answer(result, i), "error_code"), "rate_limited") == 0;
    assert_int_equal(n_limited, 1);
    assert_in_range(num(result, "ts_ms") - num(result, "submitted_at_ms"), 0, 2000);
    json_decref(result);
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"c\"]}"); /* all is well */
    assert_string_equal(str(result, "status"), "ok");
    json_decref(result);
    world_done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_take_turns_within_their_limits),
        cmocka_unit_test(test_refused_and_used_up_keys_are_put_aside),
        cmocka_unit_test(test_d22_keys_are_taken_up_again),
        cmocka_unit_test(test_a_limited_key_is_left_to_its_pause),
        cmocka_unit_test(test_all_limited_waits_for_the_first),
        cmocka_unit_test(test_models_asked_together_use_all_keys),
        cmocka_unit_test(test_calls_behind_a_bad_key_go_to_another),
        cmocka_unit_test(test_a_fleets_pause_is_seen),
        cmocka_unit_test(test_hints_hold_for_a_model_made_for_the_job),
        cmocka_unit_test(test_d19_without_a_good_key_the_call_fails),
        cmocka_unit_test(test_d19_a_single_key_is_asked_once_per_call),
        cmocka_unit_test(test_no_key_is_quoted),
        cmocka_unit_test(test_refused_keys_are_remembered_through_a_crash),
        cmocka_unit_test(test_d09_a_limit_never_outlasts_the_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
