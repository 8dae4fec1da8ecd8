/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's dialects without a socket: what they write of one answer, one problem, one limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/dialect.h"

static const struct dialect *const all[] = {&dialect_openai, &dialect_anthropic, &dialect_gemini};
enum { OPENAI, ANTHROPIC, GEMINI };

/* A value of a document by its path: keys and indexes, parted by dots. */
static json_t *at(json_t *root, const char *path)
{
    char copy[128];
    char *save = NULL;

    (void)snprintf(copy, sizeof(copy), "%s", path);
    for (char *word = strtok_r(copy, ".", &save); word != NULL && root != NULL; word = strtok_r(NULL, ".", &save))
        root = json_is_array(root) ? json_array_get(root, strtoul(word, NULL, 10)) : json_object_get(root, word);
    return root;
}

/* Compares with the value as JSON; "-": absent. */
static void assert_at(json_t *root, const char *path, const char *want)
{
    json_t *found = at(root, path);
    char *text = found == NULL ? NULL : json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT);

    assert_string_equal(text == NULL ? "-" : text, want);
    free(text);
}

/* What is written of one exchange, by path. */
struct written {
    int dialect;
    struct {
        const char *path;
        const char *want;
    } values[8];
};

static void assert_written(const struct exchange *x, const struct written *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct buf body;
        json_t *root;

        buf_init(&body, 0);
        all[rows[i].dialect]->write_answer(&body, x);
        root = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(root);
        for (size_t v = 0; v < ARRAY_LEN(rows[i].values) && rows[i].values[v].path != NULL; v++)
            assert_at(root, rows[i].values[v].path, rows[i].values[v].want);
        json_decref(root);
        buf_done(&body);
    }
}

static struct sim_model model = {.name = (char *)"m"};

static struct exchange answer_of(char *text)
{
    return (struct exchange){.model = &model,
                             .prompt_tokens = 100,
                             .completion_tokens = 50,
                             .answer = text,
                             .answer_bytes = text != NULL ? (int64_t)strlen(text) : 0,
                             .attempt = 1,
                             .prompt_hash = "0123456789abcdef"};
}

static void writers_text_and_usage(void **state)
{
    static const struct written rows[] = {
        {OPENAI,
         {{"choices.0.message.content", "\"a \\\"b\\\"\""},
          {"choices.0.finish_reason", "\"length\""},
          {"choices.0.message.tool_calls", "-"},
          {"usage.prompt_tokens", "100"},
          {"usage.completion_tokens", "50"},
          {"usage.total_tokens", "150"},
          {"usage.prompt_tokens_details.cached_tokens", "30"},
          {"usage.completion_tokens_details.reasoning_tokens", "20"}}},
        {ANTHROPIC,
         {{"content.1", "{\"type\":\"text\",\"text\":\"a \\\"b\\\"\"}"},
          {"content.0.type", "\"thinking\""},
          {"stop_reason", "\"max_tokens\""},
          {"usage.input_tokens", "70"}, /* without what the cache gave */
          {"usage.cache_read_input_tokens", "30"},
          {"usage.output_tokens", "50"}}},
        {GEMINI,
         {{"candidates.0.content.parts.1", "{\"text\":\"a \\\"b\\\"\"}"},
          {"candidates.0.content.parts.0.thought", "true"},
          {"candidates.0.finishReason", "\"MAX_TOKENS\""},
          {"usageMetadata.promptTokenCount", "100"},
          {"usageMetadata.cachedContentTokenCount", "30"},
          {"usageMetadata.candidatesTokenCount", "30"}, /* without the thoughts */
          {"usageMetadata.thoughtsTokenCount", "20"},
          {"usageMetadata.totalTokenCount", "150"}}},
    };
    char text[] = "a \"b\"";
    struct exchange x = answer_of(text);

    (void)state;
    x.is_cut = true;
    x.cached_tokens = 30;
    x.reasoning_tokens = 20;
    assert_written(&x, rows, ARRAY_LEN(rows));
}

static void writers_refusals_and_nothing(void **state)
{
    static const struct written refused[] = {
        {OPENAI,
         {{"choices.0.message.content", "null"},
          {"choices.0.message.refusal", "\"I'm sorry, but I can't assist with that request.\""},
          {"choices.0.finish_reason", "\"stop\""}}},
        {ANTHROPIC, {{"content", "[]"}, {"stop_reason", "\"refusal\""}, {"stop_details.type", "\"refusal\""}}},
        {GEMINI, {{"candidates", "-"}, {"promptFeedback.blockReason", "\"PROHIBITED_CONTENT\""}}},
    };
    static const struct written filtered[] = {
        {GEMINI, {{"candidates.0.finishReason", "\"SAFETY\""}, {"candidates.0.content", "-"}}},
    };
    static const struct written empty[] = {
        {OPENAI, {{"choices.0.message.content", "\"\""}}},
        {ANTHROPIC, {{"content.0.text", "\"\""}}},
        {GEMINI, {{"candidates.0.content.parts.0.text", "\"\""}}},
    };
    static const struct written thoughts_only[] = {
        {GEMINI, {{"usageMetadata.candidatesTokenCount", "-"}, {"candidates.0.content.parts.1", "-"}}},
        {ANTHROPIC, {{"content.1", "-"}}},
    };
    struct exchange x = answer_of(NULL);

    (void)state;
    x.decision.fault = SIM_REFUSAL;
    assert_written(&x, refused, ARRAY_LEN(refused));
    x.decision.fault = SIM_FILTER;
    assert_written(&x, filtered, ARRAY_LEN(filtered));
    x.decision.fault = SIM_EMPTY;
    assert_written(&x, empty, ARRAY_LEN(empty));
    x.decision.fault = SIM_OK;
    x.reasoning_tokens = x.completion_tokens;
    assert_written(&x, thoughts_only, ARRAY_LEN(thoughts_only));
}

static void writers_tool_calls(void **state)
{
    static const struct written rows[] = {
        {OPENAI,
         {{"choices.0.message.content", "null"},
          {"choices.0.message.tool_calls.0.function.name", "\"f\""},
          {"choices.0.message.tool_calls.0.function.arguments", "\"{\\\"a\\\":1}\""},
          {"choices.0.message.tool_calls.0.type", "\"function\""},
          {"choices.0.finish_reason", "\"tool_calls\""}}},
        {ANTHROPIC,
         {{"content.0.type", "\"tool_use\""},
          {"content.0.name", "\"f\""},
          {"content.0.input", "{\"a\":1}"},
          {"content.1", "-"},
          {"stop_reason", "\"tool_use\""}}},
        {GEMINI,
         {{"candidates.0.content.parts.0.functionCall", "{\"name\":\"f\",\"args\":{\"a\":1}}"},
          {"candidates.0.finishReason", "\"STOP\""}}},
    };
    static const struct written named[] = {{OPENAI, {{"choices.0.finish_reason", "\"stop\""}}}};
    char text[] = "{\"a\":1}";
    struct exchange x = answer_of(text);

    (void)state;
    memcpy(x.tool, "f", 2);
    assert_written(&x, rows, ARRAY_LEN(rows));
    x.is_tool_named = true;
    assert_written(&x, named, ARRAY_LEN(named));
}

static void errors(void **state)
{
    static const struct overrun over = {
        .decision = "over_tpm", .dimension = METER_TOKENS, .limit = 60, .used = 50, .requested = 20};
    static const struct {
        int dialect;
        struct problem p;
        const char *path;
        const char *want;
    } rows[] = {
        {OPENAI,
         {.kind = PROBLEM_RATE, .over = &over, .limit = 60, .wait_us = 250000},
         "error.message",
         "\"Rate limit reached for m in organization org-simulated on tokens per min (TPM): Limit 60, Used 50, "
         "Requested 20. Please try again in 0.25s. Visit https://platform.openai.com/account/rate-limits to learn "
         "more.\""},
        {OPENAI, {.kind = PROBLEM_RATE, .over = &over}, "error.type", "\"tokens\""},
        {OPENAI, {.kind = PROBLEM_RATE, .wait_us = -1}, "error.type", "\"requests\""},
        {OPENAI, {.kind = PROBLEM_QUOTA}, "error.code", "\"insufficient_quota\""},
        {OPENAI, {.kind = PROBLEM_CONTEXT, .tokens = 9, .limit = 8}, "error.code", "\"context_length_exceeded\""},
        {OPENAI, {.kind = PROBLEM_FILTER}, "error.innererror.code", "\"ResponsibleAIPolicyViolation\""},
        {OPENAI, {.kind = PROBLEM_INSIDE_200}, "error.code", "502"},
        {OPENAI, {.kind = PROBLEM_STATUS, .status = 418}, "error.type", "\"invalid_request_error\""},
        {ANTHROPIC, {.kind = PROBLEM_RATE, .over = &over, .limit = 60}, "error.type", "\"rate_limit_error\""},
        {ANTHROPIC, {.kind = PROBLEM_MODEL, .request_id = 7}, "request_id", "\"req_sim7\""},
        {ANTHROPIC, {.kind = PROBLEM_MODEL}, "error", "{\"type\":\"not_found_error\",\"message\":\"model: m\"}"},
        {ANTHROPIC, {.kind = PROBLEM_OVERLOADED}, "error.type", "\"overloaded_error\""},
        {ANTHROPIC,
         {.kind = PROBLEM_CONTEXT, .tokens = 9, .limit = 8},
         "error.message",
         "\"prompt is too long: 9 tokens > 8 maximum\""},
        {ANTHROPIC, {.kind = PROBLEM_STATUS, .status = 402}, "error.type", "\"billing_error\""},
        {ANTHROPIC, {.kind = PROBLEM_STATUS, .status = 504}, "error.type", "\"timeout_error\""},
        {GEMINI, {.kind = PROBLEM_BAD_KEY, .status = 400}, "error.details.0.reason", "\"API_KEY_INVALID\""},
        {GEMINI, {.kind = PROBLEM_NO_KEY, .status = 403}, "error.status", "\"PERMISSION_DENIED\""},
        {GEMINI,
         {.kind = PROBLEM_RATE, .status = 429, .over = &over, .limit = 60, .wait_us = 250000},
         "error.details.2",
         "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"0.250s\"}"},
        {GEMINI,
         {.kind = PROBLEM_RATE, .status = 429, .over = &over, .limit = 60, .wait_us = 38000000},
         "error.details.2.retryDelay",
         "\"38s\""},
        {GEMINI,
         {.kind = PROBLEM_RATE, .status = 429, .over = &over, .limit = 60, .wait_us = 1},
         "error.details.0.violations.0.quotaId",
         "\"GenerateContentPaidTierTokensPerModelPerMinute\""},
        {GEMINI,
         {.kind = PROBLEM_QUOTA, .status = 429, .wait_us = -1},
         "error.details.0.violations.0.quotaId",
         "\"GenerateRequestsPerDayPerProjectPerModel\""},
        {GEMINI, {.kind = PROBLEM_QUOTA, .status = 429, .wait_us = -1}, "error.details.2", "-"},
        {GEMINI, {.kind = PROBLEM_SERVER, .status = 500, .wait_us = -1}, "error.details", "-"},
        {GEMINI, {.kind = PROBLEM_STATUS, .status = 504}, "error.status", "\"DEADLINE_EXCEEDED\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct problem p = rows[i].p;
        struct buf body;
        json_t *root;

        p.model = "m";
        buf_init(&body, 0);
        all[rows[i].dialect]->write_error(&body, &p);
        root = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(root);
        assert_at(root, rows[i].path, rows[i].want);
        json_decref(root);
        buf_done(&body);
    }
}

/* Every problem has words in every dialect that can have it, and an ordered status finds its own. */
static void problems_are_complete(void **state)
{
    static const struct {
        int status;
        enum problem_kind want[ARRAY_LEN(all)];
    } rows[] = {
        {401, {PROBLEM_BAD_KEY, PROBLEM_BAD_KEY, PROBLEM_STATUS}},
        {402, {PROBLEM_STATUS, PROBLEM_STATUS, PROBLEM_STATUS}},
        {413, {PROBLEM_TOO_LARGE, PROBLEM_TOO_LARGE, PROBLEM_STATUS}},
        {429, {PROBLEM_RATE, PROBLEM_RATE, PROBLEM_RATE}},
        {503, {PROBLEM_UNAVAILABLE, PROBLEM_UNAVAILABLE, PROBLEM_UNAVAILABLE}},
        {529, {PROBLEM_STATUS, PROBLEM_OVERLOADED, PROBLEM_STATUS}},
    };

    (void)state;
    for (size_t d = 0; d < ARRAY_LEN(all); d++) {
        for (int k = PROBLEM_NO_KEY; k < PROBLEM_MAX; k++)
            assert_non_null(all[d]->problems[k].message);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            assert_int_equal(problem_of_status(all[d]->problems, rows[i].status), rows[i].want[d]);
    }
    for (int f = SIM_E429; f < SIM_FAULT_MAX; f++)
        assert_string_not_equal(sim_fault_name((enum sim_fault)f), "");
}

static void limit_headers(void **state)
{
    struct sim_model limited = {.name = (char *)"m",
                                .requests_per_window = 3,
                                .tokens_per_window = 1000,
                                .input_tokens_per_window = 500,
                                .window_us = 90000000};
    const struct moment now = {.now_us = 8600000, .wall_ms = 1754955951000}; /* 2025-08-11T23:45:51Z */
    struct meter *m = meter_new("m");
    struct overrun over;
    struct buf head;

    (void)state;
    assert_int_equal(meter_enter(m, &limited, 5000000, 100, 50, &over), 0);
    buf_init(&head, 0);
    dialect_openai.write_limits(&head, m, &limited, now);
    assert_string_equal(head.p, "x-ratelimit-limit-requests: 3\r\nx-ratelimit-remaining-requests: 2\r\n"
                                "x-ratelimit-reset-requests: 1m26.4s\r\n"
                                "x-ratelimit-limit-tokens: 1000\r\nx-ratelimit-remaining-tokens: 850\r\n"
                                "x-ratelimit-reset-tokens: 1m26.4s\r\n");
    buf_clear(&head);
    dialect_anthropic.write_limits(&head, m, &limited, now);
    assert_string_equal(head.p, "anthropic-ratelimit-requests-limit: 3\r\nanthropic-ratelimit-requests-remaining: 2\r\n"
                                "anthropic-ratelimit-requests-reset: 2025-08-11T23:47:18Z\r\n"
                                "anthropic-ratelimit-tokens-limit: 1000\r\n"
                                "anthropic-ratelimit-tokens-remaining: 850\r\n"
                                "anthropic-ratelimit-tokens-reset: 2025-08-11T23:47:18Z\r\n"
                                "anthropic-ratelimit-input-tokens-limit: 500\r\n"
                                "anthropic-ratelimit-input-tokens-remaining: 400\r\n"
                                "anthropic-ratelimit-input-tokens-reset: 2025-08-11T23:47:18Z\r\n");
    assert_null(dialect_gemini.write_limits);
    buf_done(&head);
    meter_leave(m);
    meter_free(m);
}

static void samples_fit_their_schema(void **state)
{
    static const struct {
        const char *schema;
        const char *want;
    } rows[] = {
        {"{}", "{}"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"array\",\"items\":"
         "{\"type\":\"string\"}},\"c\":{\"enum\":[\"x\",\"y\"]}}}",
         "{\"a\":7,\"b\":[\"simulated\"],\"c\":\"x\"}"},
        {"{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"NUMBER\"},\"b\":{\"type\":\"BOOLEAN\"}}}",
         "{\"a\":0.5,\"b\":true}"},
        {"{\"$defs\":{\"P\":{\"type\":[\"integer\",\"null\"]}},\"properties\":{\"a\":{\"$ref\":\"#/$defs/P\"},\"b\":"
         "{\"anyOf\":[{\"const\":3},{\"type\":\"null\"}]}}}",
         "{\"a\":7,\"b\":3}"},
        {"{\"$ref\":\"#\"}", "\"simulated\""},
        {"{\"$ref\":\"#/$defs/P\",\"$defs\":{\"P\":{\"$ref\":\"#/$defs/P\"}}}", "null"}, /* ends */
        {"{\"type\":\"object\",\"properties\":{\"a\":{}}}", "{\"a\":\"simulated\"}"},
    };
    struct buf out;

    (void)state;
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_clear(&out);
        sample_json(&out, text_of(rows[i].schema));
        assert_string_equal(out.p, rows[i].want);
    }
    buf_clear(&out);
    sample_json(&out, TEXT_NONE);
    assert_string_equal(out.p, "{}");
    buf_done(&out);
}

static void pieces_make_the_whole(void **state)
{
    static const char text[] = "\xe6\x97\xa5\xe6\x9c\xac abc \xf0\x9f\x98\x80";
    struct text rest = text_of(text);
    struct text piece;
    struct buf sum;

    (void)state;
    buf_init(&sum, 0);
    while (answer_next(&rest, 2, &piece)) /* smaller than a character */
        buf_add(&sum, piece.p, piece.len);
    assert_string_equal(sum.p, text);
    buf_done(&sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_text_and_usage),   cmocka_unit_test(writers_refusals_and_nothing),
        cmocka_unit_test(writers_tool_calls),       cmocka_unit_test(errors),
        cmocka_unit_test(problems_are_complete),    cmocka_unit_test(limit_headers),
        cmocka_unit_test(samples_fit_their_schema), cmocka_unit_test(pieces_make_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
