/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over attempts and jobs, their records, and event ids against the published vectors. The schemas are checked by
 * tests/test_schemas.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/record_stats.h"
#include "unit/core/record_rig.h"

#define WINDOW (T0 - T0 % STATS_WINDOW_MS)

static struct stats_origin origin_of(struct rig *r)
{
    return (struct stats_origin){.env = &r->env, .incarnation = "00c0ffee00c0ffee", .number = 42, .arena = r->j->arena};
}

static const struct model_stats_head head = {.window_ms = WINDOW,
                                             .provider = "openai",
                                             .request_model = "a",
                                             .vendor_model = "gpt",
                                             .inflight_max = 3,
                                             .limit_rpm = 500,
                                             .breaker_state = "half_open"};

static struct model_stats fold(const struct rig *r)
{
    struct model_stats s;

    model_stats_init(&s);
    for (int i = 0; i < r->j->n_calls; i++)
        LIST_EACH (it, &r->j->calls[i].attempts)
            model_stats_add(&s, LIST_ENTRY(it, struct attempt, link));
    return s;
}

static json_t *encode(struct rig *r, const struct model_stats_head *h, const struct model_stats *s)
{
    struct stats_origin o = origin_of(r);

    return rig_parse(record_model_stats(&o, h, s));
}

static json_t *vectors(const char *kind)
{
    json_error_t why;
    json_t *file = json_load_file(TESTS_DIR "/../docs/schemas/event_id.json", 0, &why), *found;

    if (file == NULL)
        fail_msg("%s", why.text);
    found = json_incref(json_object_get(json_object_get(file, kind), "vectors"));
    json_decref(file);
    assert_true(json_array_size(found) >= 2);
    return found;
}

static const char *or_null(const char *s)
{
    return *s != '\0' ? s : NULL;
}

static void test_event_ids_of_statistics(void **state)
{
    json_t *all = vectors("model_stats"), *row;
    size_t i;

    (void)state;
    json_array_foreach(all, i, row)
    {
        const char *f[8], *wanted;
        char id[37];
        struct rig r;
        struct stats_origin o;
        struct model_stats_head h;

        assert_int_equal(json_unpack(row, "{s:s, s:[ssssssss!]!}", "event_id", &wanted, "fields", &f[0], &f[1], &f[2],
                                     &f[3], &f[4], &f[5], &f[6], &f[7]),
                         0);
        assert_string_equal(f[3], "model-stats");
        rig_start(&r, 0);
        r.env.worker_id = f[0];
        o = (struct stats_origin){.env = &r.env, .incarnation = f[1], .number = strtoull(f[2], NULL, 10)};
        h = (struct model_stats_head){.window_ms = strtoll(f[4], NULL, 10),
                                      .provider = or_null(f[5]),
                                      .request_model = f[6],
                                      .vendor_model = or_null(f[7])};
        model_stats_event_id(&o, &h, id);
        assert_string_equal(id, wanted);
        rig_stop(&r);
    }
    json_decref(all);
}

static void test_event_ids_of_batches(void **state)
{
    json_t *all = vectors("batches"), *row;
    size_t i;

    (void)state;
    json_array_foreach(all, i, row)
    {
        const char *f[8], *wanted;
        char id[37];
        struct rig r;
        struct stats_origin o;
        struct batch_head h;

        assert_int_equal(json_unpack(row, "{s:s, s:[ssssssss!]!}", "event_id", &wanted, "fields", &f[0], &f[1], &f[2],
                                     &f[3], &f[4], &f[5], &f[6], &f[7]),
                         0);
        assert_string_equal(f[3], "batch");
        rig_start(&r, 0);
        r.env.worker_id = f[0];
        o = (struct stats_origin){.env = &r.env, .incarnation = f[1], .number = strtoull(f[2], NULL, 10)};
        h = (struct batch_head){
            .topic = f[4], .partition = (int32_t)strtol(f[5], NULL, 10), .assignment = f[6], .batch_id = f[7]};
        batch_event_id(&o, &h, id);
        assert_string_equal(id, wanted);
        rig_stop(&r);
    }
    json_decref(all);
}

static void test_nothing_known(void **state)
{
    struct rig r;
    struct model_stats s;
    struct model_stats_head gone = {.window_ms = WINDOW, .request_model = "gone", .breaker_state = "closed"};
    json_t *json;

    (void)state;
    rig_start(&r, 1);
    rig_attempt(&r, 0, FAULT_RATE_LIMITED, NULL);
    s = fold(&r);
    json = encode(&r, &gone, &s);
    CHECK_ROWS(json, {"calls_total", "1"}, {"calls_failed", "1"}, {"rate_limited", "1"}, {"calls_unpriced", "0"},
               {"provider", "null"}, {"vendor_model", "null"}, {"input_tokens", "null"}, {"output_tokens", "null"},
               {"cached_input_tokens", "null"}, {"reasoning_tokens", "null"}, {"cost_usd", "null"},
               {"throttle_ms", "0"}, {"duration_ms_sum", "0"}, {"duration_ms_max", "0"}, {"inflight_max", "0"},
               {"limit_rpm", "null"}, {"limit_tpm", "null"}, {"limit_input_tpm", "null"}, {"limit_output_tpm", "null"},
               {"duration_bucket_counts", "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"});
    json_decref(json);
    rig_stop(&r);
}

static void test_all_kinds_of_attempts(void **state)
{
    struct rig r;
    struct model_stats s;
    struct outcome *o;
    struct stats_origin origin;
    const struct record *at;
    json_t *json;

    (void)state;
    rig_start(&r, 3);
    rig_attempt(&r, 0, FAULT_RATE_LIMITED, NULL);
    o = rig_full_attempt(&r, 0); /* 1,000 ms, first byte after 400 ms, waited 1 ms */
    o->is_recalled = true;
    o = rig_full_attempt(&r, 1);
    o->cost_nusd = -1; /* has no price */
    o->ended_ms = T0 + 77;
    o = rig_attempt(&r, 2, FAULT_EMPTY_ANSWER, NULL);
    o->usage.input_tokens = 7; /* metered, and not priced */
    o->duration_us = 90000000;
    o = rig_attempt(&r, 2, FAULT_CANCELLED, NULL);
    o->duration_us = 10999;                    /* 10 ms in the record: in the first bucket */
    o->usage.output_tokens = INT64_C(1) << 53; /* from outside; no record can say that */
    s = fold(&r);
    json = encode(&r, &head, &s);
    CHECK_ROWS(json, {"schema_version", "1"}, {"ts", "\"2026-11-22T18:00:00.077Z\""}, {"ts_ms", "1795370400077"},
               {"window_start_at_ms", "1795370400000"}, {"window_end_at_ms", "1795370410000"},
               {"worker_id", "\"host-1\""}, {"build", "\"abc\""}, {"provider", "\"openai\""},
               {"request_model", "\"a\""}, {"vendor_model", "\"gpt\""}, {"calls_total", "5"}, {"calls_ok", "2"},
               {"calls_failed", "2"}, {"cancelled", "1"}, {"rate_limited", "1"}, {"retries", "2"}, {"cache_hits", "0"},
               {"recalled", "1"}, {"calls_unpriced", "2"}, {"input_tokens", "207"}, {"output_tokens", "40"},
               {"cached_input_tokens", "60"}, {"reasoning_tokens", "10"}, {"cost_usd", "0.001234567"},
               {"throttle_ms", "2"}, {"inflight_max", "3"}, {"duration_ms_sum", "92010"}, {"duration_ms_max", "90000"},
               {"duration_bucket_counts", "[1,0,0,0,0,0,0,2,0,0,0,0,0,0,1]"},
               {"ttft_bucket_counts", "[0,0,0,0,0,0,2,0,0,0,0,0,0,0,0]"}, {"limit_rpm", "500"}, {"limit_tpm", "null"},
               {"breaker_state", "\"half_open\""});
    json_decref(json);
    origin = origin_of(&r);
    at = record_model_stats(&origin, &head, &s);
    assert_int_equal(at->output, OUT_MODEL_STATS);
    assert_int_equal(at->key_len, 8);
    assert_memory_equal(at->key, "openai/a", 8);
    rig_check_header(at, "ce_type", "tutti.model-stats.v1");
    rig_check_header(at, "ce_subject", "openai/a");
    rig_check_header(at, "ce_time", "2026-11-22T18:00:00.077Z");
    rig_check_header(at, "ce_source", "/tutti/tutti/host-1");
    r.limits[OUT_MODEL_STATS] = at->value_len;
    assert_non_null(record_model_stats(&origin, &head, &s));
    r.limits[OUT_MODEL_STATS]--;
    assert_null(record_model_stats(&origin, &head, &s)); /* would fail its neighbours in the transaction */
    rig_stop(&r);
}

static void test_bucket_edges(void **state)
{
    static const struct {
        int64_t ms;
        int bucket;
    } cases[] = {{0, 0},    {10, 0},   {11, 1},     {20, 1},     {21, 2},
                 {1280, 7}, {1281, 8}, {81920, 13}, {81921, 14}, {9999999, 14}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;
        struct model_stats s;

        rig_start(&r, 1);
        rig_attempt(&r, 0, FAULT_NONE, "x")->duration_us = cases[i].ms * 1000;
        s = fold(&r);
        for (int b = 0; b < STATS_BUCKETS; b++)
            assert_int_equal(s.duration_buckets[b], b == cases[i].bucket);
        rig_stop(&r);
    }
}

static void test_names(void **state)
{
    struct attempt_names n;
    struct rig r;

    (void)state;
    rig_start(&r, 1);
    rig_attempt(&r, 0, FAULT_NONE, "x");
    n = attempt_names(&r.j->calls[0], LIST_ENTRY(r.j->calls[0].attempts.next, struct attempt, link));
    assert_string_equal(n.provider, "openai");
    assert_string_equal(n.vendor_model, "gpt");
    assert_true(text_is(n.request_model, "a"));
    rig_stop(&r);
}

static void test_progress_of_a_batch(void **state)
{
    struct rig r;
    struct batch_counts one, sum;
    struct stats_origin o;
    struct batch_head h = {
        .batch_id = "n\"ight", .topic = "tutti.jobs", .partition = 3, .assignment = "00c0ffee00c0ffee-7"};
    const struct record *at;
    json_t *json;

    (void)state;
    rig_start(&r, 2);
    o = origin_of(&r);
    batch_counts_init(&sum);
    rig_full_attempt(&r, 0);
    rig_attempt(&r, 1, FAULT_AUTH, NULL);
    batch_counts_init(&one);
    batch_counts_add_job(&one, r.j);
    batch_counts_add(&sum, &one);
    json = rig_parse(record_batch(&o, &h, &sum));
    CHECK_ROWS(json, {"schema_version", "1"}, {"ts_ms", "1795370400123"}, {"batch_id", "\"n\\\"ight\""},
               {"source_topic", "\"tutti.jobs\""}, {"source_partition", "3"}, {"assignment", "\"00c0ffee00c0ffee-7\""},
               {"jobs_total", "1"}, {"jobs_ok", "1"}, {"jobs_partial", "0"}, {"jobs_failed", "0"}, {"calls_total", "2"},
               {"calls_ok", "1"}, {"calls_failed", "1"}, {"input_tokens", "100"}, {"output_tokens", "20"},
               {"cost_usd", "0.001234567"}, {"cost_complete", "true"}, {"first_ended_at_ms", "1795370400123"},
               {"last_ended_at_ms", "1795370400123"}, {"worker_id", "\"host-1\""}, {"build", "\"abc\""});
    json_decref(json);
    rig_attempt(&r, 1, FAULT_CANCELLED, NULL)->is_ambiguous = true;
    r.j->status = JOB_PARTIAL;
    r.j->ended_ms = T0 - 5;
    batch_counts_init(&one);
    batch_counts_add_job(&one, r.j);
    batch_counts_add(&sum, &one);
    at = record_batch(&o, &h, &sum);
    json = rig_parse(at);
    CHECK_ROWS(json, {"ts_ms", "1795370400123"}, {"jobs_total", "2"}, {"jobs_ok", "1"}, {"jobs_partial", "1"},
               {"calls_total", "5"}, {"calls_failed", "2"}, {"cost_usd", "0.002469134"}, {"cost_complete", "false"},
               {"first_ended_at_ms", "1795370399995"});
    json_decref(json);
    assert_int_equal(at->output, OUT_BATCHES);
    assert_int_equal(at->key_len, strlen("n\"ight/3/00c0ffee00c0ffee-7"));
    assert_memory_equal(at->key, "n\"ight/3/00c0ffee00c0ffee-7", at->key_len);
    rig_check_header(at, "ce_type", "tutti.batch.v1");
    batch_counts_init(&one);
    batch_counts_add(&sum, &one); /* nothing changes nothing */
    assert_int_equal(sum.first_ended_ms, T0 - 5);
    rig_stop(&r);
}

/* More records for the schema tests: each a little different. */
static void test_many_shapes(void **state)
{
    (void)state;
    for (int fault = FAULT_NONE; fault < FAULT_UNKNOWN_MODEL; fault++) {
        struct rig r;
        struct stats_origin o;
        struct model_stats s;
        struct batch_counts c;
        struct batch_head h = {
            .batch_id = "b", .topic = "t", .partition = fault, .assignment = "0123456789abcdef-1-12"};

        rig_start(&r, 1);
        o = origin_of(&r);
        rig_attempt(&r, 0, (enum fault)fault, fault == FAULT_NONE ? "x" : NULL);
        s = fold(&r);
        assert_int_equal(s.calls_total, s.calls_ok + s.calls_failed + s.cancelled);
        json_decref(encode(&r, &head, &s));
        r.j->status = fault == FAULT_NONE ? JOB_OK : JOB_FAILED;
        batch_counts_init(&c);
        batch_counts_add_job(&c, r.j);
        json_decref(rig_parse(record_batch(&o, &h, &c)));
        rig_stop(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_ids_of_statistics),
        cmocka_unit_test(test_event_ids_of_batches),
        cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_all_kinds_of_attempts),
        cmocka_unit_test(test_bucket_edges),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_progress_of_a_batch),
        cmocka_unit_test(test_many_shapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
