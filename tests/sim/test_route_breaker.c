/* SPDX-License-Identifier: Apache-2.0 */
/* Breakers on virtual time: what opens one, what waits meanwhile, who probes, and that every penalty ends. Names carry
 * the number of the defect register (D-nn) where one exists. */
#include "sim/route_script.h"

#include <stdio.h>

#include "core/health.h"

enum { FAILURES = 5 };

#define OPEN_US (30 * SECOND)

static struct world *setup_breaker(struct route *r, int n_partitions)
{
    struct world *w = route_setup(r, n_partitions);

    w->breaker = (struct health_conf){.failures = FAILURES, .open_us = OPEN_US};
    w->retry.attempts = 1;
    return w;
}

static enum breaker_state state_of(const struct world *w, int crew, int model)
{
    return health_breaker_state(w->crews[crew].health, model);
}

/* Jobs one after the other, so that failures come in a row. */
static void fail_in_a_row(struct route *r, int n)
{
    for (int i = 0; i < n; i++) {
        json_t *result = run_job(&r->script, "{\"prompt\":\"JOB:fails\",\"models\":[\"a\"]}");

        assert_string_equal(str(result, "status"), "failed");
        json_decref(result);
    }
}

static void add_waiting(struct world *w, int partition, int n)
{
    for (int i = 0; i < n; i++)
        world_job(w, partition, "{\"prompt\":\"JOB:w%d\",\"models\":[\"a\"]}", i);
}

/* D-20: five failures, then no request; after the cool-down exactly one probe although twenty calls wait. */
static void test_d20_an_open_breaker_sends_nothing_then_one_probe(void **state)
{
    struct route r;
    struct world *w = setup_breaker(&r, 1);
    int64_t opened_us;

    (void)state;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_OK, 3 * SECOND, 0, NULL}});
    fail_in_a_row(&r, FAILURES);
    assert_int_equal(state_of(w, 0, 0), BREAKER_OPEN);
    assert_int_equal(w->ledger.n, FAILURES);
    opened_us = w->ledger.entries[FAILURES - 1].ended_us;
    add_waiting(w, 0, 20);
    world_run(w, opened_us + OPEN_US - loop_now_us(w->loop) - 1000);
    assert_int_equal(w->ledger.n, FAILURES);
    world_run(w, 2 * SECOND);
    assert_int_equal(w->ledger.n, FAILURES + 1); /* the probe, under way */
    assert_int_equal(state_of(w, 0, 0), BREAKER_HALF_OPEN);
    assert_true(world_run_until_done(w, 60 * SECOND));
    assert_int_equal(w->ledger.n, FAILURES + 20);
    assert_int_equal(state_of(w, 0, 0), BREAKER_CLOSED);
    assert_int_equal(world_tally(w).ok, 20); /* an outage is lag, no failed result */
    world_done(w);
}

/* The state when an attempt was sent is in its record, and what its wait was for. */
static void test_records_tell_the_breaker(void **state)
{
    struct route r;
    struct world *w = setup_breaker(&r, 1);
    json_t *result, *c;

    (void)state;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    fail_in_a_row(&r, FAILURES);
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
    assert_string_equal(str(result, "status"), "ok");
    json_decref(result);
    c = call_record(w, 0);
    assert_string_equal(str(c, "breaker_state"), "closed");
    json_decref(c);
    c = call_record(w, FAILURES);
    assert_string_equal(str(c, "breaker_state"), "half_open");
    assert_string_equal(str(c, "throttle_reason"), "breaker");
    assert_in_range(num(c, "throttle_ms"), 29000, 30500);
    json_decref(c);
    world_done(w);
}

/* A failed probe opens it again for the whole time: one request each time. */
static void test_a_failed_probe_opens_again(void **state)
{
    struct route r;
    struct world *w = setup_breaker(&r, 1);

    (void)state;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 100 * SECOND, .play = {ACT_SILENCE, 0, 0, NULL}});
    w->models[0].limits.first_byte_us = SECOND;
    fail_in_a_row(&r, FAILURES);
    add_waiting(w, 0, 20);
    world_run(w, 4 * (OPEN_US + SECOND) + 15 * SECOND);
    /* each probe's own job ends with its failure; nobody else is asked */
    for (int i = FAILURES; i < w->ledger.n && w->ledger.entries[i].at_us < 100 * SECOND; i++)
        assert_true(w->ledger.entries[i].at_us - w->ledger.entries[i - 1].at_us >= OPEN_US);
    assert_true(world_run_until_done(w, 300 * SECOND));
    assert_int_equal(state_of(w, 0, 0), BREAKER_CLOSED); /* D-22: it ends */
    assert_in_range(world_tally(w).ok, 15, 18);
    world_done(w);
}

/* Two workers that share a store: one probe of the fleet, and both go on when it went well. */
static void test_d20_a_fleet_probes_once(void **state)
{
    struct route r;
    struct world *w = setup_breaker(&r, 2);
    int n_failed;

    (void)state;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_OK, 5 * SECOND, 0, NULL}});
    for (int p = 0; p < 2; p++) {
        world_add_worker(w, p, 1);
        add_waiting(w, p, FAILURES);
    }
    world_run(w, 5 * SECOND);
    assert_int_equal(state_of(w, 0, 0), BREAKER_OPEN);
    assert_int_equal(state_of(w, 1, 0), BREAKER_OPEN);
    n_failed = w->ledger.n;
    for (int p = 0; p < 2; p++)
        add_waiting(w, p, 20);
    world_run(w, OPEN_US);
    assert_int_equal(w->ledger.n, n_failed + 1);
    assert_int_equal(w->ledger.in_flight, 1);
    assert_true(world_run_until_done(w, 60 * SECOND));
    assert_int_equal(w->ledger.n, n_failed + 40);
    assert_int_equal(state_of(w, 0, 0), BREAKER_CLOSED);
    assert_int_equal(state_of(w, 1, 0), BREAKER_CLOSED);
    world_done(w);
}

/* A worker that dies with the probe: another one makes it once the lease is over. */
static void test_a_probe_that_died_is_made_by_another(void **state)
{
    struct route r;
    struct world *w = setup_breaker(&r, 1);

    (void)state;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 60 * SECOND, .play = {ACT_SILENCE, 0, 0, NULL}});
    fail_in_a_row(&r, FAILURES);
    add_waiting(w, 0, 3);
    world_run(w, OPEN_US + 10 * SECOND);
    assert_int_equal(w->ledger.n, FAILURES + 1);
    world_crash(&w->crews[0]);
    world_run(w, 30 * SECOND);
    world_add_worker(w, 0, 1); /* it knows nothing of the breaker, and asks */
    assert_true(world_run_until_done(w, 300 * SECOND));
    assert_int_equal(world_tally(w).ok, 3);
    world_done(w);
}

/* A job that names its deadline does not wait for what cannot come in time. */
static void test_a_deadline_before_the_cool_down_ends_at_once(void **state)
{
    struct route r;
    struct world *w = setup_breaker(&r, 1);
    json_t *result;

    (void)state;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    fail_in_a_row(&r, FAILURES);
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\"],\"deadline_ms\":10000}");
    assert_string_equal(str(answer(result, 0), "error_code"), "circuit_open");
    assert_string_equal(str(answer(result, 1), "status"), "ok");
    assert_int_equal(w->ledger.n, FAILURES + 1);
    assert_in_range(num(result, "duration_ms"), 0, 500);
    json_decref(result);
    /* the wait fits this one */
    result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"],\"deadline_ms\":60000}");
    assert_string_equal(str(result, "status"), "ok");
    json_decref(result);
    world_done(w);
}

/* A probe under way has no known end: the deadline comes first. */
static void test_a_deadline_behind_a_probe_is_circuit_open(void **state)
{
    struct route r;
    struct world *w = setup_breaker(&r, 1);
    int64_t offset;
    json_t *result;

    (void)state;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, 1000, 0, NULL}});
    route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_OK, 50 * SECOND, 0, NULL}});
    fail_in_a_row(&r, FAILURES);
    add_waiting(w, 0, 1);
    world_run(w, OPEN_US + SECOND);
    assert_int_equal(w->ledger.in_flight, 1);
    offset = world_job(w, 0, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"],\"deadline_ms\":5000}");
    assert_true(world_run_until_done(w, 120 * SECOND));
    result = world_result(w, 0, offset);
    assert_string_equal(str(result, "error_code"), "deadline_exceeded");
    assert_string_equal(str(answer(result, 0), "error_code"), "circuit_open");
    json_decref(result);
    assert_int_equal(w->ledger.n, FAILURES + 1);
    world_done(w);
}

/* Refusals of the request or the key say nothing about the model, nor do limits. */
static void test_what_opens_no_breaker(void **state)
{
    static const enum act acts[] = {ACT_400, ACT_401, ACT_403, ACT_404, ACT_FILTERED, ACT_TOO_LONG, ACT_QUOTA, ACT_429};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        struct route r;
        struct world *w = setup_breaker(&r, 1);

        route_rule(&r, (struct rule){.model = "m-a", .play = {acts[i], 1000, 0, NULL}});
        fail_in_a_row(&r, 2 * FAILURES);
        assert_int_equal(state_of(w, 0, 0), BREAKER_CLOSED);
        assert_int_equal(w->ledger.n, 2 * FAILURES);
        world_done(w);
    }
}

static void test_what_opens_a_breaker(void **state)
{
    static const enum act acts[] = {ACT_500, ACT_529, ACT_RESET, ACT_TRUNCATE, ACT_BAD_JSON, ACT_REFUSE, ACT_SILENCE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        struct route r;
        struct world *w = setup_breaker(&r, 1);

        route_rule(&r, (struct rule){.model = "m-a", .play = {acts[i], 1000, 0, NULL}});
        fail_in_a_row(&r, FAILURES);
        assert_int_equal(state_of(w, 0, 0), BREAKER_OPEN);
        world_done(w);
    }
}

/* An answer in between begins the row anew. */
static void test_only_failures_in_a_row_count(void **state)
{
    struct route r;
    struct world *w = setup_breaker(&r, 1);
    json_t *result;

    (void)state;
    for (int i = 0; i < 3; i++) {
        r.n_rules = 0;
        route_rule(&r, (struct rule){.model = "m-a", .play = {ACT_500, 1000, 0, NULL}});
        fail_in_a_row(&r, FAILURES - 1);
        r.n_rules = 0;
        result = run_job(&r.script, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]}");
        assert_string_equal(str(result, "status"), "ok");
        json_decref(result);
    }
    assert_int_equal(state_of(w, 0, 0), BREAKER_CLOSED);
    world_done(w);
}

/* What is under way when it opens finishes as ever; what waits for a permit is taken back. */
static void test_calls_that_wait_for_a_permit_are_held_too(void **state)
{
    struct route r;
    struct world *w = setup_breaker(&r, 1);

    (void)state;
    w->pools[0] = (struct pool_conf){.id = "p", .concurrency = FAILURES, .slot_return_us = 130 * SECOND};
    w->n_pools = 1;
    w->models[0].pools[0] = 0;
    route_rule(&r, (struct rule){.model = "m-a", .to_us = 20 * SECOND, .play = {ACT_500, SECOND, 0, NULL}});
    add_waiting(w, 0, 40);
    world_add_worker(w, 0, 1);
    world_run(w, 25 * SECOND);
    assert_int_equal(state_of(w, 0, 0), BREAKER_OPEN);
    assert_in_range(w->ledger.n, FAILURES, 2 * FAILURES - 1);
    assert_true(world_run_until_done(w, 120 * SECOND));
    assert_in_range(world_tally(w).ok, 40 - 2 * FAILURES + 1, 40 - FAILURES);
    world_done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d20_an_open_breaker_sends_nothing_then_one_probe),
        cmocka_unit_test(test_records_tell_the_breaker),
        cmocka_unit_test(test_a_failed_probe_opens_again),
        cmocka_unit_test(test_d20_a_fleet_probes_once),
        cmocka_unit_test(test_a_probe_that_died_is_made_by_another),
        cmocka_unit_test(test_a_deadline_before_the_cool_down_ends_at_once),
        cmocka_unit_test(test_a_deadline_behind_a_probe_is_circuit_open),
        cmocka_unit_test(test_what_opens_no_breaker),
        cmocka_unit_test(test_what_opens_a_breaker),
        cmocka_unit_test(test_only_failures_in_a_row_count),
        cmocka_unit_test(test_calls_that_wait_for_a_permit_are_held_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
