/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the OpenAI-compatible family: content, finish and usage in the shapes of reference/wire-oddities.md 1-25.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "unit/provider/reply.h"

#define MSG(m) \
    "{\"id\":\"c1\",\"model\":\"m-1\",\"choices\":[{\"index\":0,\"message\":{" m "},\"finish_reason\":\"stop\"}]}"
#define MSG_END(m, f) "{\"choices\":[{\"message\":{" m "},\"finish_reason\":" f "}]}"

static const struct content_row {
    const char *body;
    const char *answer; /* decoded; NULL: none */
    enum fault fault;
    enum finish finish;
    const char *detail;
} content_rows[] = {
    {MSG("\"role\":\"assistant\",\"content\":\"a\\n\\u00e9\\\"\""), "a\n\xc3\xa9\"", FAULT_NONE, FINISH_STOP, NULL},
    /* 10: keep-alive white space before the document */
    {"\n         \n   " MSG("\"content\":\"4\""), "4", FAULT_NONE, FINISH_STOP, NULL},
    /* 2: parts */
    {MSG("\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}],\"closed\":true},"
         "{\"type\":\"text\",\"text\":\"4\"}]"),
     "4", FAULT_NONE, FINISH_STOP, NULL},
    {MSG("\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"text\":\"\\n\",\"type\":\"text\"},\"c\","
         "{\"type\":\"image_url\",\"text\":\"no\"},7]"),
     "a\nc", FAULT_NONE, FINISH_STOP, NULL},
    {MSG("\"content\":[]"), NULL, FAULT_EMPTY_ANSWER, FINISH_STOP, "empty_text"},
    /* 3: an object */
    {MSG("\"content\":{\"title\":\"T\"}"), "{\"title\":\"T\"}", FAULT_NONE, FINISH_STOP, NULL},
    /* lone surrogate and NUL */
    {MSG("\"content\":\"a\\ud800b\\u0000\""),
     "a\xef\xbf\xbd"
     "b\xef\xbf\xbd",
     FAULT_NONE, FINISH_STOP, NULL},
    /* 4: think tags are text */
    {MSG("\"content\":\"<think>x</think>y\""), "<think>x</think>y", FAULT_NONE, FINISH_STOP, NULL},
    /* 9: audio */
    {MSG("\"content\":null,\"audio\":{\"data\":\"\",\"transcript\":\"said\"}"), "said", FAULT_NONE, FINISH_STOP, NULL},
    /* 1, 5: nothing */
    {MSG("\"content\":null"), NULL, FAULT_EMPTY_ANSWER, FINISH_STOP, "empty_text"},
    {MSG("\"content\":\"\""), NULL, FAULT_EMPTY_ANSWER, FINISH_STOP, "empty_text"},
    {MSG("\"content\":\" \\n\\t\""), NULL, FAULT_EMPTY_ANSWER, FINISH_STOP, "empty_text"},
    {MSG_END("\"content\":\"\"", "\"length\""), NULL, FAULT_EMPTY_ANSWER, FINISH_LENGTH, "empty_length"},
    {"{\"choices\":[]}", NULL, FAULT_EMPTY_ANSWER, FINISH_UNKNOWN, "empty_choices"},
    {"{\"choices\":[null]}", NULL, FAULT_EMPTY_ANSWER, FINISH_UNKNOWN, "empty_choices"},
    {"{\"choices\":null}", NULL, FAULT_BAD_RESPONSE, FINISH_UNKNOWN, "no_choices"},
    {"{}", NULL, FAULT_BAD_RESPONSE, FINISH_UNKNOWN, "no_choices"},
    /* 1: Azure's filter without a message */
    {"{\"choices\":[{\"content_filter_results\":{\"a\":{\"filtered\":true}},\"finish_reason\":\"content_filter\","
     "\"index\":0,\"logprobs\":null}]}",
     NULL, FAULT_CONTENT_FILTERED, FINISH_CONTENT_FILTER, "content_filter"},
    {MSG_END("\"content\":\"half\"", "\"content_filter\""), "half", FAULT_NONE, FINISH_CONTENT_FILTER, NULL},
    /* 12: other words */
    {MSG_END("\"content\":\"x\"", "\"eos\""), "x", FAULT_NONE, FINISH_STOP, NULL},
    {MSG_END("\"content\":\"x\"", "\"MAX_TOKENS\""), "x", FAULT_NONE, FINISH_LENGTH, NULL},
    {MSG_END("\"content\":\"x\"", "\"model_length\""), "x", FAULT_NONE, FINISH_LENGTH, NULL},
    {MSG_END("\"content\":\"x\"", "\"\""), "x", FAULT_NONE, FINISH_UNKNOWN, NULL},
    {MSG_END("\"content\":\"x\"", "null"), "x", FAULT_NONE, FINISH_UNKNOWN, NULL},
    {MSG_END("\"content\":\"x\"", "1"), "x", FAULT_NONE, FINISH_UNKNOWN, NULL},
    {"{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_details\":{\"type\":\"max_tokens\"}}]}", "x", FAULT_NONE,
     FINISH_LENGTH, NULL},
    {MSG_END("\"content\":\"half\"", "\"insufficient_system_resource\""), NULL, FAULT_OVERLOADED, FINISH_ERROR,
     "finish_error"},
    {MSG_END("\"content\":\"half\"", "\"error\""), NULL, FAULT_BAD_RESPONSE, FINISH_ERROR, "finish_error"},
    {MSG_END("\"content\":\"x\"", "\"stop_sequence\""), "x", FAULT_NONE, FINISH_STOP, NULL},
    {MSG_END("\"content\":\"x\"", "\"tool_call\""), "x", FAULT_NONE, FINISH_TOOL_CALLS, NULL},
    {MSG_END("\"content\":null", "\"content_filtered\""), NULL, FAULT_CONTENT_FILTERED, FINISH_CONTENT_FILTER,
     "content_filter"},
    {MSG_END("\"content\":\"x\"", "\"COMPLETE\""), "x", FAULT_NONE, FINISH_STOP, NULL},
    {MSG_END("\"content\":\"x\"", "\"load\""), "x", FAULT_NONE, FINISH_UNKNOWN, NULL},
    {MSG_END("\"content\":\"\"", "\"RECITATION\""), NULL, FAULT_CONTENT_FILTERED, FINISH_CONTENT_FILTER,
     "content_filter"},
    {MSG_END("\"content\":null", "\"guardrail_intervened\""), NULL, FAULT_CONTENT_FILTERED, FINISH_CONTENT_FILTER,
     "content_filter"},
    {MSG_END("\"content\":\"half\"", "\"TIMEOUT\""), NULL, FAULT_BAD_RESPONSE, FINISH_ERROR, "finish_error"},
    {MSG_END("\"content\":null", "\"MALFORMED_FUNCTION_CALL\""), NULL, FAULT_BAD_RESPONSE, FINISH_ERROR,
     "finish_malformed"},
    {MSG_END("\"content\":null", "\"UNEXPECTED_TOOL_CALL\""), NULL, FAULT_BAD_RESPONSE, FINISH_ERROR,
     "finish_unusable"},
    /* 1: null without a tool call, message absent; 5: reasoning alone */
    {"{\"choices\":[{\"finish_reason\":\"stop\"}]}", NULL, FAULT_EMPTY_ANSWER, FINISH_STOP, "empty_text"},
    {MSG_END("\"content\":\"\",\"reasoning_content\":\"hm\"", "\"length\""), NULL, FAULT_EMPTY_ANSWER, FINISH_LENGTH,
     "empty_length"},
    /* 24, 25, 29: usage absent, fields to be passed over, floats where integers are usual */
    {"{\"created\":1.7e9,\"p\":\"abc\",\"queue_time\":0.01,\"x_groq\":{\"usage\":{\"a\":1}},\"choices\":[{\"message\":"
     "{\"content\":\"x\"}}]}",
     "x", FAULT_NONE, FINISH_UNKNOWN, NULL},
    {"{\"big\":9223372036854767616123456789,\"choices\":[{\"message\":{\"content\":\"x\"}}],\"nan\":1e999}", "x",
     FAULT_NONE, FINISH_UNKNOWN, NULL},
    {"{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":{\"total_tokens\":NaN}}", NULL, FAULT_BAD_RESPONSE,
     FINISH_UNKNOWN, "bad_json"},
    /* only the first choice counts */
    {"{\"choices\":[{\"message\":{\"content\":\"1\"}},{\"message\":{\"content\":\"2\"}}]}", "1", FAULT_NONE,
     FINISH_UNKNOWN, NULL},
    /* not a document */
    {"", NULL, FAULT_BAD_RESPONSE, FINISH_UNKNOWN, "empty_body"},
    {"<html>", NULL, FAULT_BAD_RESPONSE, FINISH_UNKNOWN, "bad_json"},
    {"data: {\"choices\":[]}\n\ndata: [DONE]\n\n", NULL, FAULT_BAD_RESPONSE, FINISH_UNKNOWN, "bad_json"},
    {"{\"choices\":[{\"message\":{\"content\":\"hel", NULL, FAULT_BAD_RESPONSE, FINISH_UNKNOWN, "bad_json"},
    {MSG("\"content\":\"x\"") "}", NULL, FAULT_BAD_RESPONSE, FINISH_UNKNOWN, "bad_json"},
    {MSG("\"content\":\"\xff\""), NULL, FAULT_BAD_RESPONSE, FINISH_UNKNOWN, "bad_json"},
    {"[]", NULL, FAULT_BAD_RESPONSE, FINISH_UNKNOWN, "bad_json"},
};

static void contents(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(content_rows); i++) {
        const struct content_row *row = &content_rows[i];
        struct reply r;

        reply_read(&r, 200, NULL, row->body);
        if (r.o.fault != row->fault || (row->answer != NULL && !text_is(r.o.answer, row->answer)))
            print_error("row %zu: %s: %d %s %.*s\n", i, row->body, r.o.fault, r.o.why, (int)r.o.answer.len,
                        r.o.answer.p);
        assert_int_equal(r.o.fault, row->fault);
        assert_int_equal(r.o.http_status, 200);
        if (row->answer == NULL)
            assert_null(r.o.answer.p);
        else
            assert_true(text_is(r.o.answer, row->answer));
        if (r.o.fault != FAULT_BAD_RESPONSE || row->finish == FINISH_ERROR)
            assert_int_equal(r.o.finish, row->finish);
        else
            assert_true(r.o.is_ambiguous);
        if (row->detail != NULL)
            assert_string_equal(r.o.detail, row->detail);
        assert_int_equal(r.o.retry_after_us, -1);
        assert_int_equal(outcome_is_ok(&r.o), r.o.fault == FAULT_NONE);
        reply_done(&r);
    }
}

static void answer_is_a_slice_of_the_body(void **state)
{
    struct reply r;

    (void)state;
    reply_read(&r, 200, NULL, MSG("\"content\":\"line\\none \\\"two\\\"\""));
    assert_true(r.o.answer.is_escaped);
    assert_true(r.o.answer.p > r.t.body_in.p && r.o.answer.p < r.t.body_in.p + r.t.body_in.len);
    assert_true(text_is(r.o.response_model, "m-1"));
    assert_true(text_is(r.o.request_id, "c1"));
    assert_true(text_is(r.o.raw_finish, "stop"));
    reply_done(&r);

    reply_read(&r, 200, "HTTP/1.1 200 OK\r\nretry-after: 19\r\nX-Request-ID:  req_9 \r\n\r\n",
               MSG("\"content\":\"x\""));
    assert_true(text_is(r.o.request_id, "req_9"));
    assert_int_equal(r.o.retry_after_us, -1); /* 41: Anthropic and Together send it with success */
    reply_done(&r);
}

static void tools_refusal_reasoning(void **state)
{
    static const struct {
        const char *message;
        const char *tool_calls;
        const char *refusal;
        const char *reasoning;
        enum finish finish;
        enum fault fault;
    } rows[] = {
        {"\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]",
         "[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]", NULL, NULL, FINISH_TOOL_CALLS,
         FAULT_NONE},
        {"\"tool_calls\":[ {} ]", "[ {} ]", NULL, NULL, FINISH_TOOL_CALLS, FAULT_NONE}, /* content absent */
        {"\"content\":\"\",\"tool_calls\":[ ]", NULL, NULL, NULL, FINISH_STOP, FAULT_EMPTY_ANSWER},
        {"\"content\":\"x\",\"tool_calls\":null", NULL, NULL, NULL, FINISH_STOP, FAULT_NONE},
        {"\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}",
         "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]", NULL, NULL, FINISH_TOOL_CALLS,
         FAULT_NONE},
        /* 6: refusal, and Snowflake's empty twins */
        {"\"content\":null,\"refusal\":\"I'm very sorry\"", NULL, "I'm very sorry", NULL, FINISH_STOP, FAULT_NONE},
        {"\"content\":\"ok\",\"refusal\":\"\",\"function_call\":{\"arguments\":\"\",\"name\":\"\"},"
         "\"audio\":{\"data\":\"\"},\"tool_calls\":null",
         NULL, NULL, NULL, FINISH_STOP, FAULT_NONE},
        {"\"content\":null,\"refusal\":\"\",\"function_call\":{\"arguments\":\"\",\"name\":\"\"}", NULL, NULL, NULL,
         FINISH_STOP, FAULT_EMPTY_ANSWER},
        /* 2: Mistral's and Cohere's thoughts inside of the content */
        {"\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"h\"},7,{\"text\":\"m\"}]},"
         "{\"type\":\"thinking\",\"thinking\":\"!\"},{\"type\":\"text\",\"text\":\"4\",\"thinking\":\"no\"}]",
         NULL, NULL, "hm!", FINISH_STOP, FAULT_NONE},
        /* half a surrogate in what goes into a result as it stands */
        {"\"tool_calls\":[{\"id\":\"\\udc00a\\u0000\\ud83d\\ude00\"}]", "[{\"id\":\"\\ufffda\\ufffd\\ud83d\\ude00\"}]",
         NULL, NULL, FINISH_TOOL_CALLS, FAULT_NONE},
        /* 4 */
        {"\"content\":\"4\",\"reasoning_content\":\"2+2\"", NULL, NULL, "2+2", FINISH_STOP, FAULT_NONE},
        {"\"content\":\"4\",\"reasoning\":\"r\",\"reasoning_details\":[{\"x\":1}]", NULL, NULL, "r", FINISH_STOP,
         FAULT_NONE},
        {"\"content\":\"4\",\"reasoning_content\":null,\"reasoning\":\"r\"", NULL, NULL, "r", FINISH_STOP, FAULT_NONE},
        {"\"content\":\"4\",\"reasoning\":{\"o\":1}", NULL, NULL, NULL, FINISH_STOP, FAULT_NONE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *const wants[] = {rows[i].tool_calls, rows[i].refusal, rows[i].reasoning};
        char body[512];
        struct reply r;

        snprintf(body, sizeof(body), "{\"choices\":[{\"message\":{%s},\"finish_reason\":\"stop\"}]}", rows[i].message);
        reply_read(&r, 200, NULL, body);
        const struct text got[] = {r.o.tool_calls, r.o.refusal, r.o.reasoning};
        for (size_t k = 0; k < 3; k++) {
            if (wants[k] == NULL)
                assert_null(got[k].p);
            else
                assert_true(text_is(got[k], wants[k]));
        }
        assert_int_equal(r.o.finish, rows[i].finish);
        assert_int_equal(r.o.fault, rows[i].fault);
        reply_done(&r);
    }
}

static void usages(void **state)
{
    static const struct {
        const char *usage;
        struct usage want; /* input, output, cached, reasoning */
    } rows[] = {
        {"null", {-1, -1, -1, -1}},
        {"{}", {-1, -1, -1, -1}},
        {"[1]", {-1, -1, -1, -1}},
        /* OpenAI: reasoning inside, cached inside */
        {"{\"prompt_tokens\":1117,\"completion_tokens\":346,\"total_tokens\":1463,\"prompt_tokens_details\":"
         "{\"cached_tokens\":1024,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":256,"
         "\"audio_tokens\":0,\"accepted_prediction_tokens\":0}}",
         {1117, 346, 1024, 256}},
        /* 16: xAI */
        {"{\"prompt_tokens\":496,\"completion_tokens\":77,\"total_tokens\":829,\"completion_tokens_details\":"
         "{\"reasoning_tokens\":256}}",
         {496, 333, -1, 256}},
        {"{\"prompt_tokens\":10,\"completion_tokens\":300,\"total_tokens\":360,\"completion_tokens_details\":"
         "{\"reasoning_tokens\":50}}",
         {10, 350, -1, 50}}, /* only the total tells */
        /* 18: gateways */
        {"{\"prompt_tokens\":61,\"completion_tokens\":10,\"total_tokens\":71,\"completion_tokens_details\":"
         "{\"reasoning_tokens\":96}}",
         {61, 106, -1, 96}},
        /* 17: Gemini's OpenAI surface */
        {"{\"prompt_tokens\":10,\"completion_tokens\":20,\"total_tokens\":130}", {10, 120, -1, 100}},
        {"{\"prompt_tokens\":10,\"total_tokens\":130}", {10, 120, -1, -1}},
        /* 22: cached tokens */
        {"{\"prompt_tokens\":90,\"completion_tokens\":1,\"total_tokens\":91,\"prompt_cache_hit_tokens\":64,"
         "\"prompt_cache_miss_tokens\":26,\"prompt_tokens_details\":{\"cached_tokens\":64}}",
         {90, 1, 64, -1}},
        {"{\"prompt_tokens\":90,\"completion_tokens\":1,\"cached_tokens\":7}", {90, 1, 7, -1}},
        {"{\"prompt_tokens\":90,\"completion_tokens\":1,\"num_cached_tokens\":7}", {90, 1, 7, -1}},
        {"{\"prompt_tokens\":90,\"completion_tokens\":1,\"cache_read_input_tokens\":7}", {90, 1, 7, -1}},
        {"{\"prompt_tokens\":9,\"completion_tokens\":1,\"cache_read_input_tokens\":100}", {109, 1, 100, -1}},
        {"{\"prompt_tokens\":5,\"completion_tokens\":6,\"total_tokens\":11,\"prompt_tokens_details\":null,"
         "\"completion_tokens_details\":null}",
         {5, 6, -1, -1}},
        /* 22: cached beside the prompt, as the total tells */
        {"{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":110,\"cache_read_input_tokens\":100}",
         {109, 1, 100, -1}},
        {"{\"prompt_tokens\":200,\"completion_tokens\":1,\"total_tokens\":301,\"cache_read_input_tokens\":100}",
         {300, 1, 100, -1}},
        /* 23: Mistral audio */
        {"{\"prompt_tokens\":9,\"completion_tokens\":248,\"total_tokens\":632,\"prompt_tokens_details\":"
         "{\"audio_tokens\":375}}",
         {384, 248, -1, -1}},
        /* 25: numbers that are none */
        {"{\"prompt_tokens\":12.0,\"completion_tokens\":1.5,\"total_tokens\":9223372036854767616,\"cost\":0.000678}",
         {12, -1, -1, -1}},
        {"{\"prompt_tokens\":9007199254740993,\"completion_tokens\":1e300,\"cost\":0}", {-1, -1, -1, -1}},
        /* 22: Databricks', beside null details */
        {"{\"prompt_tokens\":90,\"completion_tokens\":1,\"cache_read_input_tokens\":0,\"prompt_tokens_details\":null}",
         {90, 1, 0, -1}},
        /* DeepSeek: reasoning inside */
        {"{\"prompt_tokens\":18,\"completion_tokens\":100,\"total_tokens\":118,\"prompt_cache_hit_tokens\":0,"
         "\"prompt_cache_miss_tokens\":18,\"completion_tokens_details\":{\"reasoning_tokens\":100}}",
         {18, 100, 0, 100}},
        {"{\"prompt_tokens\":\"12\",\"completion_tokens\":-1,\"queue_time\":0.01}", {-1, -1, -1, -1}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char body[1024];
        struct reply r;

        snprintf(body, sizeof(body), "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":%s}", rows[i].usage);
        reply_read(&r, 200, NULL, body);
        if (memcmp(&r.o.usage, &rows[i].want, sizeof(struct usage)) != 0)
            print_error("row %zu: %s\n", i, rows[i].usage);
        assert_int_equal(r.o.fault, FAULT_NONE);
        assert_int_equal(r.o.usage.input_tokens, rows[i].want.input_tokens);
        assert_int_equal(r.o.usage.output_tokens, rows[i].want.output_tokens);
        assert_int_equal(r.o.usage.cached_input_tokens, rows[i].want.cached_input_tokens);
        assert_int_equal(r.o.usage.reasoning_tokens, rows[i].want.reasoning_tokens);
        reply_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents),
        cmocka_unit_test(answer_is_a_slice_of_the_body),
        cmocka_unit_test(tools_refusal_reasoning),
        cmocka_unit_test(usages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
