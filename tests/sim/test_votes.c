/* SPDX-License-Identifier: Apache-2.0 */
/* Several samples of a model, votes, and input that is not only a prompt, on virtual time and through crashes. Names
 * carry the number of the defect register (D-nn) where one exists. */
#include "sim/behaviour.h"

#include <stdio.h>

#include "base/check.h"

#define VOTE "\"merge\":{\"strategy\":\"vote\",\"extract\":\"number\"}"

/* Each model says these numbers to its requests, one after the other; each takes a second more than the one before. */
static struct play count_up(const struct entry *e, int nth, void *arg)
{
    static const char *const answers[] = {"so it is 7", "I say 8", "**7**", "it is 7.0"};
    const struct world *w = arg;
    int n = ledger_count(&w->ledger, e->model, e->tag) - 1;

    (void)nth;
    return (struct play){.act = ACT_OK, .latency_us = (n + 1) * INT64_C(1000000), .answer = answers[n % 4]};
}

static void start(struct world *w)
{
    world_init(w, 7, 1);
    w->ledger.decide = count_up;
    w->ledger.arg = w;
}

static json_t *finish(struct world *w)
{
    json_t *r;

    assert_true(world_run_until_done(w, INT64_C(1200000000)));
    r = world_result(w, 0, w->appended[0].offset);
    assert_non_null(r);
    return r;
}

static void assert_voted(const json_t *r)
{
    static const struct {
        int member, sample;
        const char *vote;
        double votes;
    } wanted[] = {{0, 0, "7", 5}, {0, 1, "8", 1}, {0, 2, "7", 5}, {1, 0, "7", 5}};

    assert_string_equal(str(r, "status"), "ok");
    assert_string_equal(str(r, "strategy"), "vote");
    assert_string_equal(str(r, "winner"), "b"); /* the heaviest of those that agree */
    assert_string_equal(str(r, "answer"), "so it is 7");
    assert_true(json_real_value(json_object_get(r, "agreement")) > 0.83);
    assert_int_equal(num(r, "models_asked"), 2);
    assert_int_equal(json_array_size(json_object_get(r, "answers")), ARRAY_LEN(wanted));
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        assert_int_equal(num(answer(r, i), "member"), wanted[i].member);
        assert_int_equal(num(answer(r, i), "sample"), wanted[i].sample);
        assert_string_equal(str(answer(r, i), "vote"), wanted[i].vote);
        assert_true(json_number_value(json_object_get(answer(r, i), "votes")) > wanted[i].votes - 0.1);
        assert_true(json_number_value(json_object_get(answer(r, i), "votes")) < wanted[i].votes + 0.1);
    }
}

static const char job[] = "{\"prompt\":\"JOB:x\"," VOTE ",\"models\":[{\"model\":\"a\",\"samples\":3},"
                          "{\"model\":\"b\",\"weight\":3}]}";

static void test_samples_are_asked_and_voted(void **state)
{
    struct world w;
    json_t *r;

    (void)state;
    start(&w);
    world_job(&w, 0, "%s", job);
    world_add_worker(&w, 0, 1);
    r = finish(&w);
    assert_voted(r);
    assert_int_equal(w.ledger.n, 4);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(w.ledger.entries[i].key, w.ledger.entries[k].key);
    assert_int_equal(world_count(&w, OUT_CALLS, -1, -1), 4);
    json_decref(r);
    world_done(&w);
}

/* At every half second of the job: before, between and after its answers, and before its commit. */
static void test_a_kill_pays_no_sample_again(void **state)
{
    (void)state;
    for (int64_t at = 500000; at <= 4000000; at += 500000) {
        struct world w;
        json_t *r;
        int answered = 0;

        start(&w);
        world_job(&w, 0, "%s", job);
        world_add_worker(&w, 0, 1);
        world_run(&w, at);
        world_crash(&w.crews[0]);
        for (int i = 0; i < w.ledger.n; i++)
            answered += w.ledger.entries[i].is_paid;
        world_add_worker(&w, 0, 1);
        r = finish(&w);
        assert_int_equal(ledger_paid_again(&w.ledger), 0);
        assert_int_equal(w.ledger.paid_twice, 0);
        assert_int_equal(w.ledger.n, 4 + (4 - answered));
        if (at < 3000000)
            assert_int_equal(num(r, "calls_recalled"), answered);
        assert_int_equal(json_array_size(json_object_get(r, "answers")), 4);
        assert_int_equal(world_tally(&w).doubled + world_tally(&w).missing, 0);
        json_decref(r);
        world_done(&w);
    }
}

/* Killed between the decision and the commit: the successor publishes what was decided, sample for sample. */
static void test_a_decision_stands_with_its_samples(void **state)
{
    struct world w;
    json_t *r;

    (void)state;
    start(&w);
    world_job(&w, 0, "%s", job);
    world_add_worker(&w, 0, 1);
    for (int i = 0; i < 1000 && (w.ledger.n < 4 || !w.ledger.entries[2].is_paid); i++)
        world_run(&w, 10000);
    assert_true(w.ledger.n == 4 && w.ledger.entries[2].is_paid);
    world_run(&w, 20000); /* decided; the batch is not committed yet */
    world_crash(&w.crews[0]);
    assert_int_equal(world_count(&w, OUT_RESULTS, 0, w.appended[0].offset), 0);
    w.registry.n_default_models = 1;
    world_add_worker(&w, 0, 1);
    r = finish(&w);
    assert_voted(r);
    assert_int_equal(num(r, "calls_recalled"), 4);
    assert_int_equal(w.ledger.n, 4);
    json_decref(r);
    world_done(&w);
}

static void test_kills_at_random_lose_and_double_nothing(void **state)
{
    enum { JOBS = 40 };
    struct world w;

    (void)state;
    start(&w);
    for (int i = 0; i < JOBS; i++)
        world_job(&w, 0, "{\"prompt\":\"JOB:j%d\"," VOTE ",\"models\":[{\"model\":\"a\",\"samples\":%d},\"b\"]}", i,
                  1 + i % 3);
    world_add_worker(&w, 0, 1);
    for (int i = 0; i < 6; i++) {
        world_run(&w, 100000 + (int64_t)rng_below(&w.rng, 2500000));
        world_crash(&w.crews[0]);
        world_add_worker(&w, 0, 1);
    }
    assert_true(world_run_until_done(&w, INT64_C(1200000000)));
    assert_int_equal(world_tally(&w).ok, JOBS);
    assert_int_equal(world_tally(&w).doubled + world_tally(&w).missing + world_tally(&w).strays, 0);
    assert_int_equal(ledger_paid_again(&w.ledger), 0);
    world_done(&w);
}

static void test_no_vote_at_all_fails_the_job(void **state)
{
    static const struct line lines[] = {{NULL, -1, {ACT_OK, 1000, 0, "I do not know"}}};
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, lines, 1);
    r = run_job(&s, "{\"prompt\":\"JOB:x\"," VOTE ",\"models\":[\"a\",\"b\"]}");
    assert_string_equal(str(r, "status"), "failed");
    assert_string_equal(str(r, "error_code"), "merge_failed");
    assert_true(json_is_null(json_object_get(r, "answer")));
    assert_string_equal(str(answer(r, 0), "answer"), "I do not know"); /* paid for: kept */
    assert_int_equal(ledger_count(&s.world.ledger, NULL, NULL), 2);
    json_decref(r);
    world_done(&s.world);
}

static void test_d24_an_unknown_model_is_an_entry_of_its_own(void **state)
{
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, NULL, 0);
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",{\"model\":\"nobody\",\"samples\":2},\"b\"]}");
    assert_string_equal(str(r, "status"), "partial");
    assert_true(has_reason(r, "model_skipped"));
    assert_int_equal(json_array_size(json_object_get(r, "answers")), 4);
    for (size_t i = 1; i <= 2; i++) {
        assert_string_equal(str(answer(r, i), "request_model"), "nobody");
        assert_string_equal(str(answer(r, i), "status"), "error");
        assert_string_equal(str(answer(r, i), "error_code"), "unknown_model");
    }
    json_decref(r);
    r = run_job(&s, "{\"prompt\":\"JOB:x\",\"models\":[\"nobody\"]}");
    assert_string_equal(str(r, "status"), "failed");
    assert_string_equal(str(r, "error_code"), "unknown_model");
    json_decref(r);
    world_done(&s.world);
}

/* What the dialect has no word for is told, and the job is as good as without it. */
static void test_a_dropped_parameter_leaves_the_status_ok(void **state)
{
    struct script s;
    json_t *r;

    (void)state;
    setup(&s, NULL, 0);
    r = run_job(&s,
                "{\"custom_id\":\"1\",\"params\":{\"model\":\"a\",\"max_tokens\":9,\"thinking\":{\"type\":\"enabled\"},"
                "\"messages\":[{\"role\":\"user\",\"content\":\"JOB:x\"}]}}");
    assert_string_equal(str(r, "status"), "ok");
    assert_string_equal(str(r, "custom_id"), "1");
    assert_true(has_reason(r, "param_dropped"));
    assert_int_equal(json_array_size(json_object_get(answer(r, 0), "dropped_params")), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(answer(r, 0), "dropped_params"), 0)),
                        "thinking");
    json_decref(r);
    world_done(&s.world);
}

static void test_a_cut_attachment_makes_the_job_partial(void **state)
{
    static char text[9001], value[9200];
    struct message m = {.ts_ms = -1, .value = value};
    struct script s;
    json_t *r;

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    m.value_len = (size_t)snprintf(
        value, sizeof(value),
        "{\"prompt\":\"JOB:x\",\"models\":[\"a\"],\"attachments\":[{\"name\":\"n\",\"text\":\"%s\"}]}", text);
    setup(&s, NULL, 0);
    world_append(&s.world, 0, &m);
    world_add_worker(&s.world, 0, 1);
    r = finish(&s.world);
    assert_string_equal(str(r, "status"), "partial");
    assert_true(has_reason(r, "input_truncated"));
    json_decref(r);
    world_done(&s.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_are_asked_and_voted),
        cmocka_unit_test(test_a_kill_pays_no_sample_again),
        cmocka_unit_test(test_a_decision_stands_with_its_samples),
        cmocka_unit_test(test_kills_at_random_lose_and_double_nothing),
        cmocka_unit_test(test_no_vote_at_all_fails_the_job),
        cmocka_unit_test(test_d24_an_unknown_model_is_an_entry_of_its_own),
        cmocka_unit_test(test_a_dropped_parameter_leaves_the_status_ok),
        cmocka_unit_test(test_a_cut_attachment_makes_the_job_partial),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
