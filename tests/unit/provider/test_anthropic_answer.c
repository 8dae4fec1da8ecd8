/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the Anthropic dialect: content, stop reasons and usage in the shapes of reference/providers.md 4.4, 4.9,
 * 4.10 and reference/wire-oddities.md 4, 7, 12, 19, 25, 31. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "unit/provider/reply.h"

#define MSG_END(content, end) \
    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[" content \
    "],\"stop_reason\":" end ",\"stop_sequence\":null}"
#define MSG(content)   MSG_END(content, "\"end_turn\"")
#define TEXT_BLOCK(t)  "{\"type\":\"text\",\"text\":\"" t "\"}"
#define USAGE_OF(json) "{\"content\":[" TEXT_BLOCK("x") "],\"stop_reason\":\"end_turn\",\"usage\":" json "}"
#define UNKNOWN \
    { \
        -1, -1, -1, -1 \
    }
#define CALL_A \
    "[{\"id\":\"toolu_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":" \
    "\"{\\\"a\\\": \\\"\\\\u00e9\\\"}\"}}"

static const struct answer_row answers_rows[] = {
    {MSG(TEXT_BLOCK("a\\n\\u00e9")), "a\n\xc3\xa9", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_STOP, "end_turn",
     UNKNOWN},
    {"\n\n  " MSG(TEXT_BLOCK("4")), "4", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_STOP, "end_turn", UNKNOWN},
    /* 7: several texts without a separator; blocks of unknown types; type behind text */
    {MSG(TEXT_BLOCK("a") "," TEXT_BLOCK("\\n") ",{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\","
                                               "\"input\":{}},{\"type\":\"web_search_tool_result\",\"content\":[{"
                                               "\"text\":\"no\"}]},{\"text\":\"c\",\"type\":\"text\"},"
                                               "{\"type\":\"compaction\",\"content\":\"no\"},7,null,"
                                               "{\"type\":\"fallback\",\"text\":\"no\"}"),
     "a\nc", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_STOP, "end_turn", UNKNOWN},
    /* 4: thinking is never part of the text */
    {MSG("{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},{\"type\":\"redacted_thinking\","
         "\"data\":\"zz\"},{\"type\":\"thinking\",\"thinking\":\" so\"}," TEXT_BLOCK("4")),
     "4", NULL, "hm so", NULL, FAULT_NONE, NULL, FINISH_STOP, "end_turn", UNKNOWN},
    /* tool calls, in OpenAI's shape */
    {MSG_END(TEXT_BLOCK("let me") ",{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{\"a\": "
                                  "\"\\u00e9\"}},{\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"g\"}",
             "\"tool_use\""),
     "let me", NULL, NULL,
     CALL_A ",{\"id\":\"toolu_2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]",
     FAULT_NONE, NULL, FINISH_TOOL_CALLS, "tool_use", UNKNOWN},
    {MSG("{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{\"a\": \"\\u00e9\"}}"), NULL, NULL, NULL,
     CALL_A "]", FAULT_NONE, NULL, FINISH_TOOL_CALLS, "end_turn", UNKNOWN},
    /* stop reasons */
    {MSG_END(TEXT_BLOCK("x"), "\"max_tokens\""), "x", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_LENGTH, "max_tokens",
     UNKNOWN},
    {MSG_END(TEXT_BLOCK("x"), "\"stop_sequence\""), "x", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_STOP,
     "stop_sequence", UNKNOWN},
    {MSG_END(TEXT_BLOCK("x"), "\"pause_turn\""), "x", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_UNKNOWN, "pause_turn",
     UNKNOWN},
    {MSG_END(TEXT_BLOCK("x"), "\"model_context_window_exceeded\""), "x", NULL, NULL, NULL, FAULT_NONE, NULL,
     FINISH_LENGTH, "model_context_window_exceeded", UNKNOWN},
    {MSG_END(TEXT_BLOCK("x"), "null"), "x", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_UNKNOWN, NULL, UNKNOWN},
    /* 12: refusal, with words of its own or without any */
    {MSG_END(TEXT_BLOCK("I cannot"), "\"refusal\""), NULL, "I cannot", NULL, NULL, FAULT_NONE, NULL,
     FINISH_CONTENT_FILTER, "refusal", UNKNOWN},
    {"{\"content\":[],\"stop_reason\":\"refusal\",\"stop_details\":{\"type\":\"refusal\",\"category\":\"cyber\","
     "\"explanation\":\"because\"}}",
     NULL, NULL, NULL, NULL, FAULT_CONTENT_FILTERED, "content_filter", FINISH_CONTENT_FILTER, "refusal", UNKNOWN},
    /* 7: nothing */
    {MSG(""), NULL, NULL, NULL, NULL, FAULT_EMPTY_ANSWER, "empty_content", FINISH_STOP, "end_turn", UNKNOWN},
    {MSG(TEXT_BLOCK(" \\n")), NULL, NULL, NULL, NULL, FAULT_EMPTY_ANSWER, "empty_text", FINISH_STOP, "end_turn",
     UNKNOWN},
    {MSG_END("{\"type\":\"thinking\",\"thinking\":\"hm\"}", "\"max_tokens\""), NULL, NULL, "hm", NULL,
     FAULT_EMPTY_ANSWER, "empty_length", FINISH_LENGTH, "max_tokens", UNKNOWN},
    {"{\"content\":null,\"stop_reason\":\"end_turn\"}", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "no_content",
     FINISH_STOP, "end_turn", UNKNOWN},
    {"{\"content\":\"x\"}", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "no_content", FINISH_UNKNOWN, NULL, UNKNOWN},
    {"{}", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "no_content", FINISH_UNKNOWN, NULL, UNKNOWN},
    /* not a document */
    {"", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "empty_body", FINISH_UNKNOWN, NULL, UNKNOWN},
    {"event: message_start\ndata: {}\n\n", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "bad_json", FINISH_UNKNOWN, NULL,
     UNKNOWN},
    {"{\"content\":[{\"type\":\"text\",\"text\":\"hel", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "bad_json",
     FINISH_UNKNOWN, NULL, UNKNOWN},
    {"{\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{\"a\":", NULL, NULL, NULL, NULL,
     FAULT_BAD_RESPONSE, "bad_json", FINISH_UNKNOWN, NULL, UNKNOWN},
    /* 31: an error inside of 200 */
    {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}", NULL, NULL, NULL,
     NULL, FAULT_OVERLOADED, "overloaded_error", FINISH_UNKNOWN, NULL, UNKNOWN},
};

static void answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers_rows); i++)
        assert_true(reads("anthropic", &answers_rows[i]));
}

#define COUNTED(json, ...) \
    { \
        USAGE_OF(json), "x", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_STOP, "end_turn", \
        { \
            __VA_ARGS__ \
        } \
    }

static void usages(void **state)
{
    static const struct answer_row rows[] = {
        COUNTED("null", -1, -1, -1, -1),
        /* 4.9: the plain case */
        COUNTED("{\"input_tokens\":12,\"output_tokens\":6,\"service_tier\":\"standard\"}", 12, 6, -1, -1),
        /* 19: input without cache */
        COUNTED("{\"input_tokens\":1,\"cache_creation_input_tokens\":102,\"cache_read_input_tokens\":1057,"
                "\"cache_creation\":{\"ephemeral_5m_input_tokens\":102},\"output_tokens\":22}",
                1160, 22, 1057, -1),
        /* 19: thinking */
        COUNTED("{\"input_tokens\":1,\"output_tokens\":22,\"output_tokens_details\":{\"thinking_tokens\":20}}", 1, 22,
                -1, 20),
        /* 19: what was billed stands in the iterations */
        COUNTED("{\"input_tokens\":162,\"output_tokens\":30,\"cache_read_input_tokens\":0,\"iterations\":["
                "{\"type\":\"compaction\",\"input_tokens\":99195,\"output_tokens\":700,\"cache_read_input_tokens\":0},"
                "{\"type\":\"message\",\"input_tokens\":162,\"output_tokens\":30}]}",
                99357, 730, 0, -1),
        COUNTED("{\"input_tokens\":5,\"output_tokens\":3,\"iterations\":[]}", 5, 3, -1, -1),
        COUNTED("{\"input_tokens\":5,\"output_tokens\":3,\"iterations\":[null,{}]}", 5, 3, -1, -1),
        /* 25: numbers that are none */
        COUNTED("{\"input_tokens\":9223372036854767616,\"output_tokens\":2.0,\"cache_read_input_tokens\":null}", -1, 2,
                -1, -1),
        COUNTED("{\"input_tokens\":-1,\"output_tokens\":1e400,\"cache_read_input_tokens\":7}", -1, -1, 7, -1),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(reads("anthropic", &rows[i]));
}

static void answer_is_a_slice_of_the_body(void **state)
{
    struct reply r;

    (void)state;
    reply_read_as(
        &r, "anthropic", 200,
        "HTTP/2 200\r\nrequest-id: req_1\r\nretry-after: 19\r\nanthropic-ratelimit-requests-remaining: 0\r\n\r\n",
        MSG(TEXT_BLOCK("a \\\"b\\\"")));
    assert_true(r.o.answer.is_escaped);
    assert_true(r.o.answer.p > r.t.body_in.p && r.o.answer.p < r.t.body_in.p + r.t.body_in.len);
    assert_true(text_is(r.o.response_model, "claude-x"));
    assert_true(text_is(r.o.request_id, "req_1"));
    assert_int_equal(r.o.retry_after_us, -1); /* 41: it is sent with success, too */
    reply_done(&r);

    reply_read_as(&r, "anthropic", 200, NULL, MSG(TEXT_BLOCK("a")));
    assert_true(text_is(r.o.request_id, "msg_1"));
    reply_done(&r);

    reply_read_as(&r, "anthropic", 500, NULL,
                  "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"},\"request_id\":\"req_2\"}");
    assert_true(text_is(r.o.request_id, "req_2"));
    reply_done(&r);
}

static void why_of_a_refusal(void **state)
{
    struct reply r;

    (void)state;
    reply_read_as(&r, "anthropic", 200, NULL,
                  "{\"content\":[],\"stop_reason\":\"refusal\",\"stop_details\":{\"explanation\":\"because\"}}");
    assert_string_equal(r.o.why, "the provider's filter left no answer: because");
    reply_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(usages),
        cmocka_unit_test(answer_is_a_slice_of_the_body),
        cmocka_unit_test(why_of_a_refusal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
