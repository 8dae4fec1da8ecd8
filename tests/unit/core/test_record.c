/* SPDX-License-Identifier: Apache-2.0 */
/* Results and calls: every key, the rules for null, sums and costs, headers, event ids, foreign bytes. What is cut is
 * in test_record_cut.c, dead letters in test_record_dead.c; the schemas are checked by tests/test_schemas.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "unit/core/record_rig.h"

static void test_least(void **state)
{
    struct rig r;
    json_t *json;

    (void)state;
    rig_start(&r, 1);
    r.j->ts_ms = -1;
    r.j->started_ms = 0;
    r.j->status = JOB_FAILED;
    r.j->error_code = "unknown_model";
    r.j->error_message = "none of the models is configured";
    r.j->degraded = DEGRADED_MODEL_SKIPPED;
    r.j->calls[0].model = NULL;
    rig_unsent(&r, 0, FAULT_UNKNOWN_MODEL);
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(
        json, {"schema_version", "1"}, {"job_id", "\"job-1\""}, {"run", "0"}, {"batch_id", "null"},
        {"custom_id", "null"}, {"tenant", "null"}, {"status", "\"failed\""}, {"strategy", "\"concat\""},
        {"pattern", "null"}, {"ts", "\"2026-11-22T18:00:00.123Z\""}, {"ts_ms", "1795370400123"},
        {"submitted_at_ms", "null"}, {"started_at_ms", "null"}, {"queue_ms", "null"}, {"duration_ms", "null"},
        {"answer", "null"}, {"answer_format", "null"}, {"answer_truncated", "false"}, {"winner", "null"},
        {"ultra_model", "null"}, {"agreement", "null"}, {"quorum", "1"}, {"degraded_reasons", "[\"model_skipped\"]"},
        {"models_asked", "1"}, {"models_ok", "0"}, {"calls_total", "0"}, {"calls_ok", "0"}, {"calls_failed", "0"},
        {"calls_cancelled", "0"}, {"calls_recalled", "0"}, {"retries", "0"}, {"input_tokens", "null"},
        {"output_tokens", "null"}, {"cached_input_tokens", "null"}, {"reasoning_tokens", "null"}, {"cost_usd", "null"},
        {"cost_complete", "true"}, {"error_code", "\"unknown_model\""},
        {"error_message", "\"none of the models is configured\""}, {"error_retryable", "false"},
        {"source_topic", "\"tutti.jobs\""}, {"source_partition", "3"}, {"source_offset", "42"}, {"source_key", "null"},
        {"prompt", "null"}, {"worker_id", "\"host-1\""}, {"build", "\"abc\""}, {"trace_id", "null"}, {"labels", "null"},
        {"job_metadata", "null"},
        {"answers/0",
         "{\"stage\":\"answer\",\"member\":0,\"sample\":0,\"request_model\":\"a\",\"served_model\":null,"
         "\"vendor_model\":null,\"provider\":null,\"fallback_index\":0,\"status\":\"error\",\"answer\":null,"
         "\"refusal\":null,\"reasoning\":null,\"tool_calls\":null,\"finish_reason\":null,\"attempts\":0,"
         "\"duration_ms\":null,\"input_tokens\":null,\"output_tokens\":null,\"cost_usd\":null,"
         "\"error_code\":\"unknown_model\",\"error_message\":\"why\",\"dropped_params\":[],"
         "\"score\":null,\"votes\":null,\"vote\":null,\"selected\":false}"},
        {"stages",
         "[{\"stage\":\"answer\",\"strategy\":\"concat\",\"status\":\"failed\",\"asked\":1,\"ok\":0,\"failed\":1,"
         "\"started_at_ms\":null,\"duration_ms\":null}]"});
    assert_null(rig_record(&r, OUT_CALLS, 0)); /* nothing was attempted */
    json_decref(json);
    rig_stop(&r);
}

static void test_full(void **state)
{
    struct rig r;
    struct outcome *o;
    json_t *json;

    (void)state;
    rig_start(&r, 3);
    r.j->spec.run = 2;
    r.j->spec.batch_id = TEXT_LIT("b");
    r.j->spec.custom_id = (struct text){.p = "c\\u00e9", .len = 7, .is_escaped = true};
    r.j->spec.labels = TEXT_LIT("{\"team\":\"x\"}");
    r.j->spec.metadata = TEXT_LIT("{\"n\":[1,null]}");
    r.j->source_key = "key";
    r.j->source_key_len = 3;
    r.j->status = JOB_PARTIAL;
    r.j->degraded = DEGRADED_MODEL_FAILED | DEGRADED_STAGE_TIMEOUT;
    rig_attempt(&r, 0, FAULT_OVERLOADED, NULL)->cost_nusd = 1000000000;
    rig_full_attempt(&r, 0);
    rig_attempt(&r, 1, FAULT_NETWORK, NULL)->is_ambiguous = true;
    rig_attempt(&r, 2, FAULT_CANCELLED, NULL);
    o = rig_full_attempt(&r, 2); /* by hand: what a recalled answer looks like */
    o->is_recalled = true;
    o->finish = FINISH_TOOL_CALLS;
    o->answer = TEXT_NONE;
    o->tool_calls = TEXT_LIT("[{\"id\":\"t1\"}]");
    r.j->merged = (struct merged){.answer = TEXT_LIT("Because."), .winner = 0, .selected = {true}};
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(
        json, {"run", "2"}, {"batch_id", "\"b\""}, {"custom_id", "\"c\\u00E9\""}, {"status", "\"partial\""},
        {"submitted_at_ms", "1795370395000"}, {"started_at_ms", "1795370398000"}, {"queue_ms", "3000"},
        {"duration_ms", "2123"}, {"answer", "\"Because.\""}, {"answer_format", "\"markdown\""}, {"winner", "\"a\""},
        {"degraded_reasons", "[\"model_failed\",\"stage_timeout\"]"}, {"models_asked", "3"}, {"models_ok", "2"},
        {"calls_total", "5"}, {"calls_ok", "2"}, {"calls_failed", "2"}, {"calls_cancelled", "1"},
        {"calls_recalled", "1"}, {"retries", "2"}, {"input_tokens", "200"}, {"output_tokens", "40"},
        {"cached_input_tokens", "60"}, {"reasoning_tokens", "10"}, {"cost_usd", "1.002469134"},
        {"cost_complete", "false"}, {"error_code", "null"}, {"error_retryable", "false"}, {"source_key", "\"key\""},
        {"labels", "{\"team\":\"x\"}"}, {"job_metadata", "{\"n\":[1,null]}"},
        {"prompt_sha256", "\"5d8a995a6fa7cf7c577cc9d49ca9e00d4aee4d0bcd5e2ad5caff27e2a8097276\""}, /* of Why? */
        {"answers/0/request_model", "\"a\""}, {"answers/0/served_model", "\"a\""},
        {"answers/0/vendor_model", "\"gpt\""}, {"answers/0/provider", "\"openai\""}, {"answers/0/status", "\"ok\""},
        {"answers/0/answer", "\"Because.\""}, {"answers/0/reasoning", "\"hm\""},
        {"answers/0/finish_reason", "\"stop\""}, {"answers/0/attempts", "2"}, {"answers/0/duration_ms", "1000"},
        {"answers/0/input_tokens", "100"}, {"answers/0/output_tokens", "20"}, {"answers/0/cost_usd", "0.001234567"},
        {"answers/0/error_code", "null"}, {"answers/0/error_message", "null"}, {"answers/0/selected", "true"},
        {"answers/1/status", "\"error\""}, {"answers/1/served_model", "null"}, {"answers/1/error_code", "\"network\""},
        {"answers/1/error_message", "\"it went wrong\""}, {"answers/1/selected", "false"},
        {"answers/2/tool_calls", "[{\"id\":\"t1\"}]"}, {"answers/2/answer", "null"},
        {"answers/2/finish_reason", "\"tool_calls\""}, {"stages/0/ok", "2"}, {"stages/0/failed", "1"},
        {"stages/0/started_at_ms", "1795370398000"}, {"stages/0/duration_ms", "2123"});
    json_decref(json);
    rig_stop(&r);
}

static void test_calls(void **state)
{
    struct rig r;
    struct outcome *o;
    json_t *json;

    (void)state;
    rig_start(&r, 2);
    r.j->spec.labels = TEXT_LIT("{\"team\":\"x\"}");
    o = rig_attempt(&r, 0, FAULT_RATE_LIMITED, "half an answer");
    o->http_status = 429;
    o->retry_after_us = 1500999;
    rig_full_attempt(&r, 0);
    o = rig_attempt(&r, 1, FAULT_CANCELLED, NULL);
    o->detail = "not_needed";
    json = rig_encode(&r, OUT_CALLS, 0);
    CHECK_ROWS(json, {"attempt", "1"}, {"is_final", "false"}, {"status", "\"error\""},
               {"error_code", "\"rate_limited\""}, {"error_detail", "\"connect_refused\""}, {"error_retryable", "true"},
               {"http_status", "429"}, {"retry_after_ms", "1500"}, {"input_tokens", "null"}, {"cost_usd", "null"},
               {"connect_ms", "null"}, {"finish_reason", "null"}, {"labels", "{\"team\":\"x\"}"});
    json_decref(json);
    json = rig_encode(&r, OUT_CALLS, 1);
    CHECK_ROWS(json, {"schema_version", "1"}, {"job_id", "\"job-1\""}, {"ts", "\"2026-11-22T18:00:00.000Z\""},
               {"ts_ms", "1795370400000"}, {"stage", "\"answer\""}, {"member", "0"}, {"sample", "0"},
               {"provider", "\"openai\""}, {"request_model", "\"a\""}, {"served_model", "\"a\""},
               {"vendor_model", "\"gpt\""}, {"response_model", "\"gpt-2026-01-01\""}, {"operation", "\"answer\""},
               {"status", "\"ok\""}, {"error_code", "null"}, {"error_detail", "null"}, {"error_retryable", "false"},
               {"http_status", "200"}, {"retry_after_ms", "null"}, {"attempt", "2"}, {"fallback_index", "0"},
               {"hedge", "false"}, {"is_final", "true"}, {"recalled", "false"}, {"cache_hit", "false"},
               {"streamed", "false"}, {"queue_ms", "2000"}, {"throttle_ms", "1"}, {"throttle_reason", "\"tpm\""},
               {"connect_ms", "0"}, {"ttft_ms", "400"}, {"duration_ms", "1000"}, {"input_tokens", "100"},
               {"output_tokens", "20"}, {"cached_input_tokens", "30"}, {"reasoning_tokens", "5"},
               {"reserved_tokens", "150"}, {"usage_estimated", "false"}, {"cost_usd", "0.001234567"},
               {"price_version", "null"}, {"breaker_state", "\"closed\""}, {"finish_reason", "\"stop\""},
               {"raw_finish_reason", "\"stop\""}, {"provider_request_id", "\"req_1\""},
               {"endpoint", "\"https://api.example/v1\""}, {"key_id", "\"k1\""}, {"bytes_out", "500"},
               {"bytes_in", "700"}, {"worker_id", "\"host-1\""}, {"build", "\"abc\""});
    json_decref(json);
    json = rig_encode(&r, OUT_CALLS, 2);
    CHECK_ROWS(json, {"member", "1"}, {"status", "\"cancelled\""}, {"error_code", "\"cancelled\""},
               {"error_detail", "\"not_needed\""}, {"is_final", "true"});
    json_decref(json);
    assert_null(rig_record(&r, OUT_CALLS, 3));
    /* no text of prompt or answer, and no key, in any of them */
    for (int i = 0; i < 3; i++) {
        const struct record *at = rig_record(&r, OUT_CALLS, i);

        assert_null(memmem(at->value, at->value_len, "Why", 3));
        assert_null(memmem(at->value, at->value_len, "Because", 7));
        assert_null(memmem(at->value, at->value_len, "half", 4));
        assert_null(memmem(at->value, at->value_len, "sk-secret", 9));
    }
    rig_stop(&r);
}

/* Bytes of the job record that are no text stand as U+FFFD: the record stays JSON. */
static void test_foreign_bytes(void **state)
{
    struct rig r;
    json_t *json;

    (void)state;
    rig_start(&r, 1);
    r.j->source_key = "a\x00\xff\"\n";
    r.j->source_key_len = 5;
    snprintf(rig_attempt(&r, 0, FAULT_AUTH, NULL)->why, 10, "bad \xc3\x28 \xe2");
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"source_key", "\"a\\uFFFD\\uFFFD\\\"\\n\""},
               {"answers/0/error_message", "\"bad \\uFFFD( \\uFFFD\""});
    json_decref(json);
    rig_stop(&r);
    rig_start(&r, 0);
    r.j->source_key = ""; /* there, and empty */
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"source_key", "\"\""});
    json_decref(json);
    rig_stop(&r);
}

/* No integer above 2^53, whatever a producer or a provider says. */
static void test_large_numbers(void **state)
{
    struct rig r;
    struct outcome *o;
    json_t *json;

    (void)state;
    rig_start(&r, 2);
    r.j->ts_ms = INT64_MAX;
    for (int i = 0; i < 2; i++) {
        o = rig_full_attempt(&r, i);
        o->usage = (struct usage){INT64_MAX, INT64_C(1) << 53, (INT64_C(1) << 53) - 1, 1};
        o->cost_nusd = INT64_MAX;
        o->ended_ms = INT64_MAX; /* a damaged journal */
    }
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"submitted_at_ms", "null"}, {"queue_ms", "null"}, {"input_tokens", "null"},
               {"output_tokens", "null"}, {"cached_input_tokens", "null"}, {"reasoning_tokens", "2"},
               {"answers/0/input_tokens", "null"});
    json_decref(json);
    assert_int_equal(rig_record(&r, OUT_CALLS, 0)->n_headers, 7);
    rig_check_header(rig_record(&r, OUT_CALLS, 0), "ce_time", "9999-12-31T23:59:59.999Z");
    json = json_loadb(rig_record(&r, OUT_CALLS, 0)->value, rig_record(&r, OUT_CALLS, 0)->value_len, 0, NULL);
    CHECK_ROWS(json, {"input_tokens", "null"}, {"output_tokens", "null"}, {"cached_input_tokens", "9007199254740991"});
    json_decref(json);
    rig_stop(&r);
}

static void test_timestamps(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},         {999, "1970-01-01T00:00:00.999Z"},
        {T0, "2026-11-22T18:00:00.000Z"},        {INT64_C(1709164800001), "2024-02-29T00:00:00.001Z"},
        {-1, "1970-01-01T00:00:00.000Z"},        {INT64_MIN, "1970-01-01T00:00:00.000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
    };
    char out[TIMESTAMP_CHARS + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        record_timestamp(rows[i].ms, out);
        assert_string_equal(out, rows[i].text);
    }
}

/* Every day for 400 years and more, beside the C library's calendar. */
static void test_timestamps_of_all_days(void **state)
{
    char out[TIMESTAMP_CHARS + 1], date[32], expected[TIMESTAMP_CHARS + 32];

    (void)state;
    for (int64_t day = 0; day < 150000; day++) {
        int64_t second_of_day = day * 7919 % 86400, ms = day % 1000;
        time_t s = (time_t)(day * 86400 + second_of_day);
        struct tm tm;

        gmtime_r(&s, &tm);
        (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(expected, sizeof(expected), "%s.%03dZ", date, (int)ms);
        record_timestamp(s * 1000 + ms, out);
        assert_string_equal(out, expected);
    }
}

static const struct {
    const char *code;
    enum fault fault;
    const char *retryable;
} retryable[] = {
    {"quorum_not_met", FAULT_NETWORK, "true"}, {"quorum_not_met", FAULT_AUTH, "false"},
    {"deadline_exceeded", FAULT_AUTH, "true"}, {"unknown_model", FAULT_UNKNOWN_MODEL, "false"},
    {"merge_failed", FAULT_NETWORK, "false"},  {"quorum_not_met", FAULT_NONE, "false"},
};

static void test_retryable(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(retryable); i++) {
        struct rig r;
        json_t *json;

        rig_start(&r, 1);
        rig_attempt(&r, 0, retryable[i].fault, retryable[i].fault == FAULT_NONE ? "x" : NULL);
        r.j->status = JOB_FAILED;
        r.j->error_code = retryable[i].code;
        r.j->error_message = "why";
        r.j->merged.answer = TEXT_LIT("not of a failed job");
        json = rig_encode(&r, OUT_RESULTS, 0);
        CHECK_ROWS(json, {"error_retryable", retryable[i].retryable}, {"answer", "null"});
        json_decref(json);
        rig_stop(&r);
    }
}

/* Answers without a price make the sum incomplete; refusals that cost nothing do not. */
static void test_cost_complete(void **state)
{
    static const struct {
        enum fault fault;
        bool is_ambiguous;
        int64_t cost_nusd;
        const char *complete, *cost;
    } rows[] = {
        {FAULT_NONE, false, 5, "true", "0.00000001"},           {FAULT_NONE, false, -1, "false", "0.000000005"},
        {FAULT_RATE_LIMITED, false, -1, "true", "0.000000005"}, {FAULT_TIMEOUT, true, -1, "false", "0.000000005"},
        {FAULT_NONE, false, 0, "true", "0.000000005"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;
        json_t *json;
        struct outcome *o;
        const struct record *at;

        rig_start(&r, 2);
        rig_attempt(&r, 0, FAULT_NONE, "x")->cost_nusd = 5;
        o = rig_attempt(&r, 1, rows[i].fault, rows[i].fault == FAULT_NONE ? "x" : NULL);
        o->is_ambiguous = rows[i].is_ambiguous;
        o->cost_nusd = rows[i].cost_nusd;
        json = rig_encode(&r, OUT_RESULTS, 0);
        CHECK_ROWS(json, {"cost_complete", rows[i].complete});
        json_decref(json);
        at = rig_record(&r, OUT_RESULTS, 0); /* as written, not as a double */
        assert_non_null(memmem(at->value, at->value_len, rows[i].cost, strlen(rows[i].cost)));
        rig_stop(&r);
    }
}

/* A journal may hold an attempt at a model that was since taken out of the configuration. */
static void test_model_is_gone(void **state)
{
    struct rig r;
    json_t *json;

    (void)state;
    rig_start(&r, 1);
    rig_full_attempt(&r, 0)->is_recalled = true;
    r.j->calls[0].model = NULL;
    json = rig_encode(&r, OUT_CALLS, 0);
    CHECK_ROWS(json, {"request_model", "\"a\""}, {"provider", "null"}, {"vendor_model", "null"}, {"endpoint", "null"},
               {"key_id", "null"}, {"recalled", "true"});
    json_decref(json);
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"answers/0/request_model", "\"a\""}, {"answers/0/answer", "\"Because.\""});
    json_decref(json);
    rig_stop(&r);
}

/* A text in JSON form is copied byte for byte. */
static void test_escaped_text_is_copied(void **state)
{
    static const char text[] = "\\u00E9\\/\\ud83d\\ude00 \xe2\x82\xac \\\"";
    const struct record *at;
    struct rig r;

    (void)state;
    rig_start(&r, 1);
    rig_attempt(&r, 0, FAULT_NONE, "")->answer = (struct text){.p = text, .len = sizeof(text) - 1, .is_escaped = true};
    r.j->merged.answer = (struct text){.p = text, .len = sizeof(text) - 1, .is_escaped = true};
    json_decref(rig_encode(&r, OUT_RESULTS, 0));
    at = rig_record(&r, OUT_RESULTS, 0);
    for (int i = 0; i < 2; i++) {
        char wanted[100] = "\"answer\":\"";
        const char *found;

        strncat(wanted, text, sizeof(wanted) - strlen(wanted) - 1);
        found = memmem(at->value, at->value_len, wanted, strlen(wanted));
        assert_non_null(found);
        assert_int_equal(found[strlen(wanted)], '"');
    }
    rig_stop(&r);
}

static void test_bytes_for_budgets(void **state)
{
    struct rig r;
    size_t bytes = 0;

    (void)state;
    rig_start(&r, 2);
    rig_full_attempt(&r, 0);
    rig_full_attempt(&r, 1);
    job_encode_result(r.j);
    for (const struct record *at = r.j->pub.first; at != NULL; at = at->next) {
        bytes += at->key_len + at->value_len;
        for (int i = 0; i < at->n_headers; i++)
            bytes += strlen(at->headers[i].name) + at->headers[i].value_len;
    }
    assert_int_equal(r.j->pub.bytes, bytes);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_foreign_bytes),
        cmocka_unit_test(test_large_numbers),
        cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_timestamps_of_all_days),
        cmocka_unit_test(test_retryable),
        cmocka_unit_test(test_cost_complete),
        cmocka_unit_test(test_model_is_gone),
        cmocka_unit_test(test_escaped_text_is_copied),
        cmocka_unit_test(test_bytes_for_budgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
