/* SPDX-License-Identifier: Apache-2.0 */
/* The sums that tutti publishes agree with the records they are about: model statistics with the call records, progress
 * of batches with the results, through crashes, rebalances and aborted commits. Whoever adds up one topic gets the
 * other. SIM_SEED=s replays another run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "sim/sums.h"

enum { PARTITIONS = 4, JOBS = 3000, OUTCOMES = 10000 };

static const char *str(const json_t *r, const char *key)
{
    const char *s = json_string_value(json_object_get(r, key));

    return s != NULL ? s : "-";
}

/* --- the storm --- */

static struct play decide(const struct entry *e, int nth, void *arg)
{
    static const enum act acts[] = {ACT_429,      ACT_500, ACT_RESET,  ACT_TRUNCATE, ACT_EMPTY,
                                    ACT_BAD_JSON, ACT_401, ACT_REFUSE, ACT_529,      ACT_STALE};
    struct world *w = arg;
    struct play p = {.latency_us = rng_between(&w->rng, 1000, 3000000)};
    uint64_t dice = rng_below(&w->rng, 1000);

    (void)e;
    (void)nth;
    if (dice < 150)
        p.act = acts[dice % 10];
    else if (dice < 160)
        p.latency_us = 100000000; /* runs into its limit, or the last bucket */
    if (p.act == ACT_429)
        p.retry_after_s = (int64_t)rng_below(&w->rng, 2);
    return p;
}

static void add_job(struct world *w, int i)
{
    static const char *const merges[] = {"concat", "first", "none"};
    char batch[32] = "";

    if (rng_below(&w->rng, 4) > 0)
        snprintf(batch, sizeof(batch), ",\"batch_id\":\"b%d\"", (int)rng_below(&w->rng, SUMS_BATCHES));
    if (rng_below(&w->rng, 40) == 0)
        world_job(w, i % PARTITIONS, "{\"prompt\":\"JOB:%d\",\"modles\":[]%s}", i, batch);
    else if (rng_below(&w->rng, 20) == 0)
        world_job(w, i % PARTITIONS, "{\"prompt\":\"JOB:%d\",\"models\":[\"a\",\"nobody\",\"d\"]%s}", i, batch);
    else
        world_job(w, i % PARTITIONS, "{\"prompt\":\"JOB:%d\",\"models\":[\"a\",\"b\",\"c\",\"d\"],\"merge\":\"%s\"%s}",
                  i, merges[rng_below(&w->rng, 3)], batch);
}

static void disturb(struct world *w)
{
    struct crew *c = &w->crews[rng_below(&w->rng, 2)];
    int first = c->index * 2;

    if (rng_below(&w->rng, 2) == 0) {
        world_crash(c);
        world_run(w, rng_between(&w->rng, 0, 2000000));
        CHECK(world_add_worker(w, first, 2) == c);
    } else if (broker_mem_owns(c->broker, first) && world_take_away(c, first, rng_below(&w->rng, 2) == 0)) {
        broker_mem_assign(c->broker, first);
    }
}

static bool is_null(const json_t *r, const char *key)
{
    return json_is_null(json_object_get(r, key));
}

/* Is the status one of the three words? Each is counted. */
static void count_status(const json_t *r, const char *const words[3], int counts[3])
{
    int i = 0;

    while (i < 3 && strcmp(str(r, "status"), words[i]) != 0)
        i++;
    if (i == 3)
        fail_msg("status %s", str(r, "status"));
    counts[i]++;
}

/* A code where something failed and nowhere else; what failed has no text that could be taken for an answer. */
static void check_failure(const json_t *r, bool has_failed)
{
    static const char *const texts[] = {"answer", "reasoning", "tool_calls"}; /* a refusal is the failure's own text */

    assert_non_null(json_object_get(r, "answer"));
    if (is_null(r, "error_code") == has_failed)
        fail_msg("status %s with error_code %s", str(r, "status"), str(r, "error_code"));
    for (size_t i = 0; has_failed && i < ARRAY_LEN(texts); i++)
        if (json_object_get(r, texts[i]) != NULL && !is_null(r, texts[i]))
            fail_msg("status %s with %s", str(r, "status"), texts[i]);
}

static void check_statuses(const struct world *w)
{
    static const char *const of_job[3] = {"ok", "partial", "failed"}, *const of_call[3] = {"ok", "error", "cancelled"};
    int results[3] = {0}, answers[3] = {0}, calls[3] = {0}, n;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    for (int i = 0; i < n; i++) {
        enum output o = records[i].output;
        json_t *r = o == OUT_RESULTS || o == OUT_CALLS ? sums_parse(&records[i]) : NULL, *answer;
        size_t k;

        if (o == OUT_RESULTS) {
            count_status(r, of_job, results);
            check_failure(r, strcmp(str(r, "status"), "failed") == 0);
            json_array_foreach(json_object_get(r, "answers"), k, answer)
            {
                count_status(answer, of_call, answers);
                check_failure(answer, strcmp(str(answer, "status"), "ok") != 0);
            }
        } else if (o == OUT_CALLS) {
            count_status(r, of_call, calls);
            assert_int_equal(is_null(r, "error_code"), strcmp(str(r, "status"), "ok") == 0);
        }
        json_decref(r);
    }
    for (int i = 0; i < 3; i++) /* all of them were seen */
        assert_true(results[i] > 0 && answers[i] > 0 && calls[i] > 0);
}

/* Every cost stands in some sum. */
static void check_costs(const struct world *w)
{
    int n;
    const struct mem_record *records = mem_topics_records(w->topics, &n);
    int64_t results = 0, calls = 0, stats = 0;

    for (int i = 0; i < n; i++) {
        json_t *r = records[i].output != OUT_DEAD_LETTERS ? sums_parse(&records[i]) : NULL;
        bool has_cost = json_is_number(json_object_get(r, "cost_usd"));

        results += has_cost && records[i].output == OUT_RESULTS ? sums_nano_usd(r) : 0;
        calls += has_cost && records[i].output == OUT_CALLS ? sums_nano_usd(r) : 0;
        stats += has_cost && records[i].output == OUT_MODEL_STATS ? sums_nano_usd(r) : 0;
        json_decref(r);
    }
    assert_true(calls > 0);
    assert_int_equal(results, calls);
    assert_int_equal(stats, calls);
}

/* Is c served by d in some statistics? */
static bool has_fallback(const struct world *w)
{
    int n, found = 0;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    for (int i = 0; i < n && found == 0; i++) {
        json_t *r = records[i].output == OUT_MODEL_STATS ? sums_parse(&records[i]) : NULL;

        found += strcmp(str(r, "request_model"), "c") == 0 && strcmp(str(r, "vendor_model"), "m-d") == 0;
        json_decref(r);
    }
    return found > 0;
}

static void test_d52_d57_d59_sums_agree_over_10000_outcomes(void **state)
{
    const char *seed = getenv("SIM_SEED");
    struct world w;
    struct tally t;

    (void)state;
    world_init(&w, seed != NULL ? strtoull(seed, NULL, 10) : 54, PARTITIONS);
    printf("seed %llu\n", (unsigned long long)w.seed);
    w.ledger.decide = decide;
    w.ledger.arg = &w;
    w.abort_per_mille = 200;
    w.models[1].price = (struct price){-1, -1, -1}; /* calls_unpriced */
    w.models[2].fallbacks[0] = &w.models[3];        /* c's attempts stand under two vendor models then */
    w.models[2].n_fallbacks = 1;
    w.breaker = (struct health_conf){.failures = 4, .open_us = 5000000};
    w.pools[0] = (struct pool_conf){.id = "pa", .requests_per_minute = 1200};
    w.n_pools = 1;
    w.models[0].pools[0] = 0;
    for (int i = 0; i < JOBS; i++)
        add_job(&w, i);
    world_add_worker(&w, 0, 2);
    world_add_worker(&w, 2, 2);
    for (int i = 0; i < 20; i++) {
        world_run(&w, rng_between(&w.rng, 500000, 8000000));
        disturb(&w);
    }
    assert_true(world_run_until_done(&w, INT64_C(3600000000)));
    t = world_tally(&w);
    assert_int_equal(t.missing + t.doubled + t.strays, 0);
    assert_in_range(sums_check_models(&w), OUTCOMES, INT32_MAX);
    assert_true(has_fallback(&w));
    assert_in_range(sums_check_batches(&w), SUMS_BATCHES * PARTITIONS + 1, INT32_MAX); /* several assignments each */
    check_statuses(&w);
    check_costs(&w);
    world_done(&w);
}

/* --- single behaviours --- */

static const struct play *script; /* by number of the request, the last one for the rest */
static int n_script;

static struct play follow(const struct entry *e, int nth, void *arg)
{
    const struct world *w = arg;
    int i = w->ledger.n - 1;

    (void)e;
    (void)nth;
    return script[i < n_script ? i : n_script - 1];
}

static void setup(struct world *w, const struct play *plays, int n)
{
    world_init(w, 7, 1);
    script = plays;
    n_script = n;
    w->ledger.decide = follow;
    w->ledger.arg = w;
}

/* The nth record of an output. */
static json_t *nth_record(const struct world *w, enum output o, int nth)
{
    int n;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    for (int i = 0; i < n; i++)
        if (records[i].output == o && nth-- == 0)
            return sums_parse(&records[i]);
    return NULL;
}

static long long num(const json_t *r, const char *key)
{
    const json_t *v = json_object_get(r, key);

    CHECK(v != NULL);
    return json_is_integer(v) ? json_integer_value(v) : -1;
}

static void test_d54_three_failures_of_ten_are_a_success_rate_of_seven_tenths(void **state)
{
    static const struct play plays[] = {{.act = ACT_401, .latency_us = 15000},
                                        {.act = ACT_401, .latency_us = 15000},
                                        {.act = ACT_401, .latency_us = 15000},
                                        {.latency_us = 15000}};
    struct world w;
    json_t *r;

    (void)state;
    setup(&w, plays, 4);
    w.models[0].limit_rpm = 500;
    for (int i = 0; i < 10; i++)
        world_job(&w, 0, "{\"prompt\":\"JOB:%d\",\"models\":[\"a\"],\"batch_id\":\"b0\"}", i);
    world_add_worker(&w, 0, 1);
    assert_true(world_run_until_done(&w, 60000000));
    r = nth_record(&w, OUT_MODEL_STATS, 0);
    assert_non_null(r);
    assert_int_equal(num(r, "calls_total"), 10);
    assert_int_equal(num(r, "calls_ok"), 7);
    assert_int_equal(num(r, "calls_failed"), 3);
    assert_int_equal(num(r, "input_tokens"), 7 * 123);
    assert_int_equal(num(r, "output_tokens"), 7 * 45);
    assert_int_equal(num(r, "inflight_max"), 10);
    assert_int_equal(num(r, "duration_ms_sum"), 150);
    assert_int_equal(num(r, "duration_ms_max"), 15);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(r, "duration_bucket_counts"), 1)), 10);
    assert_int_equal(num(r, "limit_rpm"), 500);
    assert_int_equal(num(r, "limit_tpm"), -1);
    assert_string_equal(str(r, "breaker_state"), "closed");
    json_decref(r);
    assert_null(nth_record(&w, OUT_MODEL_STATS, 1));
    assert_int_equal(world_count(&w, OUT_CALLS, -1, -1), 10);
    assert_int_equal(w.ledger.n, 10); /* one record per request */
    sums_check_models(&w);
    assert_int_equal(sums_check_batches(&w), 1);
    world_done(&w);
}

static void test_aborted_batches_leave_nothing_in_the_sums(void **state)
{
    static const struct play plays[] = {{.latency_us = 50000}};
    struct world w;
    json_t *last = NULL;
    int n;

    (void)state;
    setup(&w, plays, 1);
    w.abort_per_mille = 700;
    world_add_worker(&w, 0, 1);
    for (int i = 0; i < 40; i++) {
        world_job(&w, 0, "{\"prompt\":\"JOB:%d\",\"models\":[\"a\"],\"batch_id\":\"b%d\"}", i, i % 2);
        world_run(&w, 200000);
    }
    assert_true(world_run_until_done(&w, 600000000));
    assert_int_equal(sums_check_models(&w), 40);
    assert_int_equal(sums_check_batches(&w), 2);
    n = world_count(&w, OUT_BATCHES, -1, -1);
    assert_in_range(n, 4, 40);
    last = nth_record(&w, OUT_BATCHES, n - 1);
    assert_int_equal(num(last, "jobs_total"), 20);
    json_decref(last);
    world_done(&w);
}

/* A recalled answer is paid once and counted once: in the batch that publishes it, in the window in which it ended. */
static void test_a_recalled_answer_carries_its_cost_once(void **state)
{
    static const struct play plays[] = {{.latency_us = 50000}, {.latency_us = 20000000}};
    struct world w;
    json_t *r;

    (void)state;
    setup(&w, plays, 2);
    world_job(&w, 0, "{\"prompt\":\"JOB:x\",\"models\":[\"a\",\"b\"]}");
    world_add_worker(&w, 0, 1);
    world_run(&w, 10000000); /* a is paid; b is under way when the process dies */
    world_crash(&w.crews[0]);
    assert_int_equal(world_count(&w, OUT_MODEL_STATS, -1, -1), 0);
    world_add_worker(&w, 0, 1);
    assert_true(world_run_until_done(&w, 120000000));
    r = nth_record(&w, OUT_MODEL_STATS, 0);
    assert_string_equal(str(r, "request_model"), "a");
    assert_int_equal(num(r, "recalled"), 1);
    assert_int_equal(num(r, "calls_total"), 1);
    assert_int_equal(num(r, "window_start_at_ms"), INT64_C(1760000000000));
    assert_int_equal(num(r, "inflight_max"), 0); /* it was another process that had it under way */
    assert_int_equal(sums_nano_usd(r), 123 * 2500 + 45 * 10000);
    json_decref(r);
    r = nth_record(&w, OUT_MODEL_STATS, 1);
    assert_string_equal(str(r, "request_model"), "b");
    assert_int_equal(num(r, "recalled"), 0);
    assert_int_equal(num(r, "inflight_max"), 1);
    json_decref(r);
    sums_check_models(&w);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d54_three_failures_of_ten_are_a_success_rate_of_seven_tenths),
        cmocka_unit_test(test_aborted_batches_leave_nothing_in_the_sums),
        cmocka_unit_test(test_a_recalled_answer_carries_its_cost_once),
        cmocka_unit_test(test_d52_d57_d59_sums_agree_over_10000_outcomes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
