/* SPDX-License-Identifier: Apache-2.0 */
/* What time and money are counted, on virtual time: waiting never makes a job late, what was paid is used once and
 * under its own model's name, and a decision stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "sim/world.h"

enum { SECOND = 1000000 };

/* What a model answers to the nth request of a call. */
struct line {
    const char *model; /* NULL: any, and the end of the script */
    int nth;           /* -1: any */
    struct play play;
};

static struct play follow(const struct entry *e, int nth, void *arg)
{
    const struct line *l = arg;

    while (l->model != NULL && (strcmp(l->model, e->model) != 0 || (l->nth >= 0 && l->nth != nth)))
        l++;
    return l->play;
}

static void setup(struct world *w, const struct line *lines)
{
    world_init(w, 7, 1);
    w->ledger.decide = follow;
    w->ledger.arg = (void *)lines;
}

static void add_jobs(struct world *w, int n, const char *rest)
{
    for (int i = 0; i < n; i++)
        world_job(w, 0, "{\"prompt\":\"JOB:x%d\",%s}", i, rest);
}

static void crash_and_restart(struct world *w)
{
    world_crash(&w->crews[0]);
    world_add_worker(w, 0, 1);
}

static json_t *finish(struct world *w)
{
    json_t *r;

    assert_true(world_run_until_done(w, INT64_C(4000) * SECOND));
    r = world_result(w, 0, w->appended[0].offset);
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

static const struct line quick[] = {{.play = {.latency_us = 200000}}};

static void test_a_backlog_before_one_model_never_makes_a_job_late(void **state)
{
    struct world w;

    (void)state;
    setup(&w, quick);
    w.deadline_us = 30 * SECOND;
    w.pools[0] = (struct pool_conf){.id = "fast", .requests_per_minute = 600};
    w.pools[1] = (struct pool_conf){.id = "slow", .requests_per_minute = 60};
    w.n_pools = 2;
    w.models[0].pools[0] = 0;
    w.models[1].pools[0] = 1;
    add_jobs(&w, 200, "\"models\":[\"a\",\"b\"]");
    world_add_worker(&w, 0, 1);
    assert_true(world_run_until_done(&w, 600 * SECOND));
    assert_int_equal(world_tally(&w).ok, 200);
    assert_int_equal(w.ledger.n, 400);
    world_done(&w);
}

static void test_a_journal_outage_never_makes_a_job_late(void **state)
{
    static const struct line lines[] = {{"m-b", 0, {.act = ACT_500, .latency_us = 500000}},
                                        {.play = {.latency_us = 200000}}};
    struct world w;

    (void)state;
    setup(&w, lines);
    add_jobs(&w, 20, "\"models\":[\"a\",\"b\"]");
    world_add_worker(&w, 0, 1);
    world_run(&w, 600000); /* a is paid, b must ask again */
    journal_mem_set_down(w.crews[0].journal, true);
    world_run(&w, 2 * w.deadline_us);
    assert_int_equal(w.ledger.n, 40);
    journal_mem_set_down(w.crews[0].journal, false);
    assert_true(world_run_until_done(&w, 10 * SECOND));
    assert_int_equal(world_tally(&w).ok, 20);
    assert_int_equal(w.ledger.n, 60);
    world_done(&w);
}

static void test_a_permit_that_comes_while_the_journal_is_away_is_not_used(void **state)
{
    struct world w;
    int before;

    (void)state;
    setup(&w, quick);
    w.pools[0] = (struct pool_conf){.id = "p", .requests_per_minute = 60};
    w.n_pools = 1;
    w.models[0].pools[0] = 0;
    add_jobs(&w, 20, "\"models\":[\"a\"]");
    world_add_worker(&w, 0, 1);
    world_run(&w, 5 * SECOND);
    before = w.ledger.n;
    assert_in_range(before, 1, 10);
    journal_mem_set_down(w.crews[0].journal, true);
    world_run(&w, 30 * SECOND);
    assert_int_equal(w.ledger.n, before);
    journal_mem_set_down(w.crews[0].journal, false);
    assert_true(world_run_until_done(&w, 60 * SECOND));
    assert_int_equal(world_tally(&w).ok, 20);
    assert_int_equal(w.ledger.n, 20);
    world_done(&w);
}

static void test_the_clock_runs_between_the_waits(void **state)
{
    static const struct line lines[] = {{.play = {.act = ACT_500, .latency_us = 4 * SECOND}}};
    struct world w;
    json_t *r;

    (void)state;
    setup(&w, lines);
    w.deadline_us = 10 * SECOND;
    w.retry.attempts = 100;
    w.pools[0] = (struct pool_conf){.id = "p", .requests_per_minute = 6};
    w.n_pools = 1;
    w.models[0].pools[0] = 0;
    add_jobs(&w, 1, "\"models\":[\"a\"]");
    world_add_worker(&w, 0, 1);
    r = finish(&w);
    assert_string_equal(str(r, "status"), "failed");
    assert_int_equal(w.ledger.n, 3); /* 4 + 4 + what is left of 10 s, however long it waited for each permit */
    assert_true(num(r, "duration_ms") > 20000);
    json_decref(r);
    world_done(&w);
}

static void test_a_pause_longer_than_the_deadline_is_waited_for(void **state)
{
    static const struct {
        enum act act;
        int pool;
        const char *deadline, *status;
        int requests;
    } cases[] = {
        {ACT_429, 0, "", "ok", 2},
        {ACT_529, 0, "", "ok", 2},
        {ACT_429, -1, "", "failed", 1}, /* nobody holds the others back: the wait is the job's own */
        {ACT_529, -1, "", "failed", 1},
        {ACT_429, 0, ",\"deadline_ms\":300000", "failed", 1},
        {ACT_529, 0, ",\"deadline_ms\":300000", "failed", 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct line lines[] = {{"m-a", 0, {.act = cases[i].act, .latency_us = 1000, .retry_after_s = 400}},
                               {.play = {.latency_us = 1000}}};
        struct world w;
        json_t *r;

        setup(&w, lines);
        w.pools[0] = (struct pool_conf){.id = "p", .requests_per_minute = 600};
        w.n_pools = 1;
        w.models[0].pools[0] = cases[i].pool;
        world_job(&w, 0, "{\"prompt\":\"JOB:x\",\"models\":[\"a\"]%s}", cases[i].deadline);
        world_add_worker(&w, 0, 1);
        r = finish(&w);
        assert_string_equal(str(r, "status"), cases[i].status);
        assert_int_equal(w.ledger.n, cases[i].requests);
        if (w.ledger.n == 2)
            assert_in_range(w.ledger.entries[1].at_us - w.ledger.entries[0].at_us, 400 * SECOND, 500 * SECOND);
        else
            assert_in_range(num(r, "duration_ms"), 1, 1000); /* gives up at once */
        json_decref(r);
        world_done(&w);
    }
}

static void test_a_wild_timestamp_counts_as_none(void **state)
{
    static const int64_t stamps[] = {-1, INT64_MIN, INT64_MAX, INT64_C(1760000000000000000)};
    static const char value[] = "{\"prompt\":\"JOB:x\",\"models\":[\"a\"],\"deadline_ms\":1000}";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
        struct message m = {.ts_ms = stamps[i], .value = value, .value_len = strlen(value)};
        struct world w;
        json_t *r;

        setup(&w, quick);
        world_append(&w, 0, &m);
        world_add_worker(&w, 0, 1);
        r = finish(&w);
        assert_string_equal(str(r, "status"), "ok");
        json_decref(r);
        world_done(&w);
    }
}

/* Each answer stands under the model that gave it, and nobody else's. */
static void assert_answers_are_their_models_own(const json_t *r)
{
    size_t i;
    json_t *a;

    json_array_foreach(json_object_get(r, "answers"), i, a)
    {
        char text[80];

        snprintf(text, sizeof(text), "ANSWER m-%s x0", str(a, "request_model"));
        assert_string_equal(str(a, "answer"), text);
    }
}

static void test_answers_follow_their_model_through_a_new_configuration(void **state)
{
    static const struct {
        const char *models[3];
        size_t n;
        int asked_c, recalled;
    } cases[] = {{{"a", "b"}, 2, 0, 1},      {{"c", "a"}, 2, 1, 1}, {{"b", "a"}, 2, 0, 1},
                 {{"c", "b", "a"}, 3, 1, 1}, {{"a"}, 1, 0, 1},      {{"c", "b"}, 2, 1, 0}};
    static const struct line lines[] = {{"m-b", 0, {.act = ACT_SILENCE}}, {.play = {.latency_us = 200000}}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static const char *const before[] = {"a", "b"};
        struct world w;
        json_t *r;

        setup(&w, lines);
        w.registry.default_models = before;
        w.registry.n_default_models = 2;
        add_jobs(&w, 1, "\"merge\":\"concat\"");
        world_add_worker(&w, 0, 1);
        world_run(&w, SECOND); /* a is paid, b is under way */
        w.registry.default_models = cases[i].models;
        w.registry.n_default_models = cases[i].n;
        crash_and_restart(&w);
        r = finish(&w);
        assert_string_equal(str(r, "status"), "ok");
        assert_int_equal(json_array_size(json_object_get(r, "answers")), cases[i].n);
        assert_answers_are_their_models_own(r);
        assert_int_equal(num(r, "calls_recalled"), cases[i].recalled);
        assert_int_equal(ledger_count(&w.ledger, "m-a", NULL), 1);
        assert_int_equal(ledger_count(&w.ledger, "m-c", NULL), cases[i].asked_c);
        json_decref(r);
        world_done(&w);
    }
}

static void test_a_new_model_in_an_old_place_is_a_new_call(void **state)
{
    static const struct line lines[] = {{"m-b", -1, {.latency_us = 20 * SECOND}}, {.play = {.latency_us = 200000}}};
    static const char *const before[] = {"a", "b"}, *const after[] = {"c", "b"};
    struct world w;
    json_t *r;

    (void)state;
    setup(&w, lines);
    w.registry.default_models = before;
    w.registry.n_default_models = 2;
    add_jobs(&w, 1, "\"merge\":\"concat\"");
    world_add_worker(&w, 0, 1);
    world_run(&w, SECOND);
    w.registry.default_models = after;
    crash_and_restart(&w);
    world_run(&w, SECOND);
    crash_and_restart(&w); /* c is paid now, and remembered beside a */
    r = finish(&w);
    assert_answers_are_their_models_own(r);
    assert_int_equal(ledger_count(&w.ledger, "m-c", NULL), 1);
    /* a provider that knows the header would have served a's answer for c */
    assert_string_equal(w.ledger.entries[0].model, "m-a");
    assert_string_equal(w.ledger.entries[2].model, "m-c");
    assert_string_not_equal(w.ledger.entries[0].key, w.ledger.entries[2].key);
    json_decref(r);
    world_done(&w);
}

static void test_past_its_deadline_a_job_merges_what_was_paid(void **state)
{
    static const struct line lines[] = {{"m-b", -1, {.act = ACT_SILENCE}}, {.play = {.latency_us = 200000}}};
    struct world w;
    json_t *r;

    (void)state;
    setup(&w, lines);
    add_jobs(&w, 1, "\"models\":[\"a\",\"b\"],\"quorum\":1,\"deadline_ms\":5000");
    world_add_worker(&w, 0, 1);
    world_run(&w, SECOND);
    world_crash(&w.crews[0]);
    world_run(&w, 60 * SECOND);
    world_add_worker(&w, 0, 1);
    r = finish(&w);
    assert_string_equal(str(r, "status"), "partial");
    assert_string_equal(str(r, "answer"), "## a\n\nANSWER m-a x0");
    assert_int_equal(num(r, "calls_recalled"), 1);
    assert_int_equal(w.ledger.n, 2);
    json_decref(r);
    world_done(&w);
}

/* One job up to its decision: a answers, b fails for good. */
static void run_to_decision(struct world *w)
{
    static const struct line lines[] = {{"m-b", -1, {.act = ACT_401, .latency_us = 300000}},
                                        {.play = {.latency_us = 200000}}};

    setup(w, lines);
    add_jobs(w, 1, "\"models\":[\"a\",\"b\"],\"quorum\":1");
    world_add_worker(w, 0, 1);
    world_run(w, 400000);
    assert_int_equal(world_count(w, OUT_RESULTS, -1, -1), 0);
}

/* A process that was taken for dead writes an answer of b. */
static void write_late_answer(struct world *w)
{
    struct journal *zombie = journal_mem_new(w->loop, w->store, "zombie", 500);
    struct position pos = {.topic = "tutti.jobs", .offset = w->appended[0].offset};
    struct recall late = {.call_key = "answer:1:0:0:0", .attempt = 1, .is_done = true};
    struct outcome o;
    struct buf b;

    outcome_init(&o);
    o.answer = text_of("TOO LATE");
    o.request_model = text_of("b");
    buf_init(&b, 0);
    outcome_encode(&o, &b);
    late.bytes = text_slice(b.p, b.len);
    zombie->ops->record(zombie, &pos, &late);
    zombie->ops->free(zombie);
    buf_done(&b);
}

static void test_a_decision_stands_after_a_crash(void **state)
{
    static const char *const same[] = {"event_id", "ts",     "started_at_ms", "duration_ms",
                                       "status",   "answer", "cost_usd",      "degraded_reasons"};
    struct world untouched, crashed;
    json_t *expected, *r;

    (void)state;
    run_to_decision(&untouched);
    expected = finish(&untouched);
    assert_string_equal(str(expected, "status"), "partial");
    run_to_decision(&crashed);
    world_crash(&crashed.crews[0]);
    write_late_answer(&crashed);
    world_run(&crashed, 60 * SECOND);
    world_add_worker(&crashed, 0, 1);
    r = finish(&crashed);
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        assert_non_null(json_object_get(expected, same[i]));
        if (!json_equal(json_object_get(r, same[i]), json_object_get(expected, same[i])))
            fail_msg("%s differs", same[i]);
    }
    assert_int_equal(crashed.ledger.n, 2);
    json_decref(r);
    json_decref(expected);
    world_done(&crashed);
    world_done(&untouched);
}

static void test_only_what_the_journal_lost_is_paid_again(void **state)
{
    static const struct line lines[] = {{"m-a", -1, {.latency_us = 300000}}, {.play = {.latency_us = 390000}}};
    struct world w;

    (void)state;
    setup(&w, lines);
    w.journal_write_us = 50000;
    add_jobs(&w, 10, "\"models\":[\"a\",\"b\"]");
    world_add_worker(&w, 0, 1);
    world_run(&w, 410000); /* a's answers have reached the store, b's are on their way */
    crash_and_restart(&w);
    assert_int_equal(journal_store_lost(w.store, JOURNAL_RECORD), 10);
    assert_true(world_run_until_done(&w, 60 * SECOND));
    assert_int_equal(world_tally(&w).ok, 10);
    assert_int_equal(ledger_count(&w.ledger, "m-a", NULL), 10);
    assert_int_equal(ledger_count(&w.ledger, "m-b", NULL), 20);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_backlog_before_one_model_never_makes_a_job_late),
        cmocka_unit_test(test_a_journal_outage_never_makes_a_job_late),
        cmocka_unit_test(test_a_permit_that_comes_while_the_journal_is_away_is_not_used),
        cmocka_unit_test(test_the_clock_runs_between_the_waits),
        cmocka_unit_test(test_a_pause_longer_than_the_deadline_is_waited_for),
        cmocka_unit_test(test_a_wild_timestamp_counts_as_none),
        cmocka_unit_test(test_answers_follow_their_model_through_a_new_configuration),
        cmocka_unit_test(test_a_new_model_in_an_old_place_is_a_new_call),
        cmocka_unit_test(test_past_its_deadline_a_job_merges_what_was_paid),
        cmocka_unit_test(test_a_decision_stands_after_a_crash),
        cmocka_unit_test(test_only_what_the_journal_lost_is_paid_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
