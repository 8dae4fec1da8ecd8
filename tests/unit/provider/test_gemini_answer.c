/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the Gemini dialect: parts, finish reasons, blocked prompts and usage in the shapes of
 * reference/providers.md 4.5, 4.9, 4.10 and reference/wire-oddities.md 4, 8, 11-14, 17, 25, 31. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "unit/provider/reply.h"

#define CAND_END(parts, end) \
    "{\"candidates\":[{\"content\":{\"parts\":[" parts "],\"role\":\"model\"},\"finishReason\":" end ",\"index\":0}]," \
    "\"modelVersion\":\"gemini-x\",\"responseId\":\"r1\"}"
#define CAND(parts)    CAND_END(parts, "\"STOP\"")
#define TEXT_OF(t)     "{\"text\":\"" t "\"}"
#define USAGE_OF(json) "{\"candidates\":[{\"content\":{\"parts\":[" TEXT_OF("x") "]}}],\"usageMetadata\":" json "}"
#define UNKNOWN \
    { \
        -1, -1, -1, -1 \
    }
#define BARE(end) "{\"candidates\":[{\"finishReason\":\"" end "\",\"index\":0}]}"
#define FILTERED(end) \
    { \
        BARE(end), NULL, NULL, NULL, NULL, FAULT_CONTENT_FILTERED, "content_filter", FINISH_CONTENT_FILTER, end, \
            UNKNOWN \
    }
#define FAILED(end) \
    { \
        BARE(end), NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "finish_error", FINISH_ERROR, end, UNKNOWN \
    }
/* what the model made is at fault, not the service */
#define UNUSABLE(end) \
    { \
        BARE(end), NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "finish_unusable", FINISH_ERROR, end, UNKNOWN \
    }
#define NUMBERED(n, end, f) \
    { \
        CAND_END(TEXT_OF("x"), n), "x", NULL, NULL, NULL, FAULT_NONE, NULL, f, end, UNKNOWN \
    }

static void answers(void **state)
{
    static const struct answer_row rows[] = {
        {CAND(TEXT_OF("a\\n\\u00e9")), "a\n\xc3\xa9", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_STOP, "STOP", UNKNOWN},
        {"\n\n  " CAND(TEXT_OF("4")), "4", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_STOP, "STOP", UNKNOWN},
        /* 8: text in many parts; parts that are no text */
        {CAND(TEXT_OF("a") "," TEXT_OF("\\n") ",{\"executableCode\":{\"language\":\"PYTHON\",\"code\":\"1\"}},"
                                              "{\"codeExecutionResult\":{\"output\":\"no\"}},{\"inlineData\":"
                                              "{\"mimeType\":\"image/png\",\"data\":\"AA==\"}},{\"toolCall\":{}},7,"
                                              "null," TEXT_OF("c")),
         "a\nc", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_STOP, "STOP", UNKNOWN},
        /* 4: thoughts */
        {CAND("{\"thought\":true,\"text\":\"hm\"},{\"text\":\" so\",\"thought\":true},{\"text\":\"4\","
              "\"thought\":false,\"thoughtSignature\":\"s\"}"),
         "4", NULL, "hm so", NULL, FAULT_NONE, NULL, FINISH_STOP, "STOP", UNKNOWN},
        /* 11: function calls end with STOP; no id, args absent, signature kept */
        {CAND("{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\": \"\\u00e9\"}},\"thoughtSignature\":\"sig\"},"
              "{\"functionCall\":{\"id\":\"i2\",\"name\":\"g\"}}"),
         NULL, NULL, NULL,
         "[{\"id\":\"call_0\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
         "\"{\\\"a\\\": \\\"\\\\u00e9\\\"}\"},\"extra_content\":{\"google\":{\"thought_signature\":\"sig\"}}},"
         "{\"id\":\"i2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]",
         FAULT_NONE, NULL, FINISH_TOOL_CALLS, "STOP", UNKNOWN},
        /* only the first candidate counts */
        {"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"1\"}]}},{\"content\":{\"parts\":[{\"text\":\"2\"}]}}]}",
         "1", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_UNKNOWN, NULL, UNKNOWN},
        /* 8: no content at all */
        {"{\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\",\"finishMessage\":\"Malformed function call: "
         "print(default_\"}]}",
         NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "finish_malformed", FINISH_ERROR, "MALFORMED_FUNCTION_CALL",
         UNKNOWN},
        {"{\"candidates\":[{\"content\":{},\"finishReason\":\"STOP\"}]}", NULL, NULL, NULL, NULL, FAULT_EMPTY_ANSWER,
         "empty_text", FINISH_STOP, "STOP", UNKNOWN},
        {"{\"candidates\":[{\"content\":{\"role\":\"model\"},\"finishReason\":\"MAX_TOKENS\"}]}", NULL, NULL, NULL,
         NULL, FAULT_EMPTY_ANSWER, "empty_length", FINISH_LENGTH, "MAX_TOKENS", UNKNOWN},
        {"{\"candidates\":[{\"content\":null}]}", NULL, NULL, NULL, NULL, FAULT_EMPTY_ANSWER, "empty_text",
         FINISH_UNKNOWN, NULL, UNKNOWN},
        {"{\"candidates\":[]}", NULL, NULL, NULL, NULL, FAULT_EMPTY_ANSWER, "empty_candidates", FINISH_UNKNOWN, NULL,
         UNKNOWN},
        {"{\"usageMetadata\":{\"promptTokenCount\":9}}",
         NULL,
         NULL,
         NULL,
         NULL,
         FAULT_BAD_RESPONSE,
         "no_candidates",
         FINISH_UNKNOWN,
         NULL,
         {9, -1, -1, -1}},
        /* 14: the prompt was blocked */
        {"{\"promptFeedback\":{\"blockReason\":\"MODEL_ARMOR\",\"blockReasonMessage\":\"no\"},\"usageMetadata\":"
         "{\"trafficType\":\"ON_DEMAND\"}}",
         NULL, NULL, NULL, NULL, FAULT_CONTENT_FILTERED, "prompt_blocked", FINISH_CONTENT_FILTER, "MODEL_ARMOR",
         UNKNOWN},
        {"{\"candidates\":[],\"promptFeedback\":{\"blockReason\":1}}", NULL, NULL, NULL, NULL, FAULT_CONTENT_FILTERED,
         "prompt_blocked", FINISH_CONTENT_FILTER, "SAFETY", UNKNOWN},
        {"{\"promptFeedback\":{\"blockReason\":\"JAILBREAK\"}}", NULL, NULL, NULL, NULL, FAULT_CONTENT_FILTERED,
         "prompt_blocked", FINISH_CONTENT_FILTER, "JAILBREAK", UNKNOWN},
        {"{\"promptFeedback\":{\"blockReason\":6}}", NULL, NULL, NULL, NULL, FAULT_CONTENT_FILTERED, "prompt_blocked",
         FINISH_CONTENT_FILTER, "6", UNKNOWN},
        {"{\"promptFeedback\":{\"blockReason\":0}}", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "no_candidates",
         FINISH_UNKNOWN, NULL, UNKNOWN},
        {"{\"promptFeedback\":{\"blockReason\":\"OTHER\"}}", NULL, NULL, NULL, NULL, FAULT_CONTENT_FILTERED,
         "prompt_blocked", FINISH_CONTENT_FILTER, "OTHER", UNKNOWN},
        {"{\"promptFeedback\":{\"safetyRatings\":[]},\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},"
         "\"finishReason\":\"STOP\"}]}",
         "x", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_STOP, "STOP", UNKNOWN},
        /* not a document; 28: a list is a stream */
        {"[{\"candidates\":[]}]", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "bad_json", FINISH_UNKNOWN, NULL,
         UNKNOWN},
        {"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hel", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE,
         "bad_json", FINISH_UNKNOWN, NULL, UNKNOWN},
        {"", NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "empty_body", FINISH_UNKNOWN, NULL, UNKNOWN},
        /* 31: an error inside of 200 */
        {"{\"error\":{\"code\":503,\"message\":\"x\",\"status\":\"UNAVAILABLE\"}}", NULL, NULL, NULL, NULL,
         FAULT_OVERLOADED, "unavailable", FINISH_UNKNOWN, NULL, UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(reads("gemini", &rows[i]));
}

static void finish_reasons(void **state)
{
    static const struct answer_row rows[] = {
        FILTERED("SAFETY"),
        FILTERED("RECITATION"),
        FILTERED("LANGUAGE"),
        FILTERED("BLOCKLIST"),
        FILTERED("PROHIBITED_CONTENT"),
        FILTERED("SPII"),
        FILTERED("IMAGE_SAFETY"),
        FILTERED("IMAGE_PROHIBITED_CONTENT"),
        FILTERED("IMAGE_RECITATION"),
        FILTERED("MODEL_ARMOR"),
        FAILED("OTHER"),
        UNUSABLE("UNEXPECTED_TOOL_CALL"),
        UNUSABLE("TOO_MANY_TOOL_CALLS"),
        UNUSABLE("MISSING_THOUGHT_SIGNATURE"),
        UNUSABLE("NO_IMAGE"),
        UNUSABLE("IMAGE_OTHER"),
        {CAND_END(TEXT_OF("half"), "\"SAFETY\""), "half", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_CONTENT_FILTER,
         "SAFETY", UNKNOWN},
        {CAND_END(TEXT_OF("half"), "\"OTHER\""), NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "finish_error",
         FINISH_ERROR, "OTHER", UNKNOWN},
        {CAND_END(TEXT_OF("half"), "\"MAX_TOKENS\""), "half", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_LENGTH,
         "MAX_TOKENS", UNKNOWN},
        {CAND_END(TEXT_OF("x"), "\"FINISH_REASON_UNSPECIFIED\""), "x", NULL, NULL, NULL, FAULT_NONE, NULL,
         FINISH_UNKNOWN, "FINISH_REASON_UNSPECIFIED", UNKNOWN},
        {CAND_END(TEXT_OF("x"), "\"SOMETHING_NEW\""), "x", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_UNKNOWN,
         "SOMETHING_NEW", UNKNOWN},
        /* 13: numbers */
        NUMBERED("0", "FINISH_REASON_UNSPECIFIED", FINISH_UNKNOWN),
        NUMBERED("1", "STOP", FINISH_STOP),
        NUMBERED("2", "MAX_TOKENS", FINISH_LENGTH),
        NUMBERED("3", "SAFETY", FINISH_CONTENT_FILTER),
        NUMBERED("4", "RECITATION", FINISH_CONTENT_FILTER),
        NUMBERED("6", "LANGUAGE", FINISH_CONTENT_FILTER),
        NUMBERED("7", "BLOCKLIST", FINISH_CONTENT_FILTER),
        NUMBERED("8", "PROHIBITED_CONTENT", FINISH_CONTENT_FILTER),
        NUMBERED("9", "SPII", FINISH_CONTENT_FILTER),
        NUMBERED("11", "IMAGE_SAFETY", FINISH_CONTENT_FILTER),
        NUMBERED("99", "99", FINISH_UNKNOWN),
        NUMBERED("-1", "-1", FINISH_UNKNOWN),
        {CAND_END(TEXT_OF("x"), "5"), NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "finish_error", FINISH_ERROR, "OTHER",
         UNKNOWN},
        {CAND_END("", "10"), NULL, NULL, NULL, NULL, FAULT_BAD_RESPONSE, "finish_malformed", FINISH_ERROR,
         "MALFORMED_FUNCTION_CALL", UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(reads("gemini", &rows[i]));
}

#define COUNTED(json, ...) \
    { \
        USAGE_OF(json), "x", NULL, NULL, NULL, FAULT_NONE, NULL, FINISH_UNKNOWN, NULL, \
        { \
            __VA_ARGS__ \
        } \
    }

static void usages(void **state)
{
    static const struct answer_row rows[] = {
        COUNTED("null", -1, -1, -1, -1),
        COUNTED("{\"trafficType\":1}", -1, -1, -1, -1),
        COUNTED("{\"promptTokenCount\":8,\"candidatesTokenCount\":5,\"totalTokenCount\":13,\"promptTokensDetails\":"
                "[{\"modality\":\"TEXT\",\"tokenCount\":8}]}",
                8, 5, -1, -1),
        /* 17: thoughts beside, cached inside */
        COUNTED("{\"promptTokenCount\":3797,\"candidatesTokenCount\":656,\"thoughtsTokenCount\":1549,"
                "\"cachedContentTokenCount\":3055,\"totalTokenCount\":6002}",
                3797, 2205, 3055, 1549),
        /* 17: nothing but thoughts */
        COUNTED("{\"promptTokenCount\":10,\"thoughtsTokenCount\":120,\"totalTokenCount\":130}", 10, 120, -1, 120),
        /* 17: the tools' prompt beside the prompt; total absent */
        COUNTED("{\"promptTokenCount\":10,\"toolUsePromptTokenCount\":90,\"candidatesTokenCount\":5}", 100, 5, -1, -1),
        COUNTED("{\"promptTokenCount\":10,\"totalTokenCount\":10}", 10, 0, -1, -1),
        COUNTED("{\"promptTokenCount\":10,\"totalTokenCount\":35}", 10, 25, -1, -1),
        /* the total says that the thoughts are inside */
        COUNTED(
            "{\"promptTokenCount\":10,\"candidatesTokenCount\":50,\"thoughtsTokenCount\":20,\"totalTokenCount\":60}",
            10, 50, -1, 20),
        /* 25: numbers that are none */
        COUNTED("{\"promptTokenCount\":9223372036854767616,\"candidatesTokenCount\":1.5,\"totalTokenCount\":-3}", -1,
                -1, -1, -1),
        COUNTED("{\"promptTokenCount\":5,\"candidatesTokenCount\":\"5\",\"cachedContentTokenCount\":1e999}", 5, -1, -1,
                -1),
        COUNTED("{\"promptTokenCount\":9007199254740991,\"candidatesTokenCount\":9007199254740991,"
                "\"thoughtsTokenCount\":9007199254740991,\"toolUsePromptTokenCount\":9007199254740991}",
                INT64_C(9007199254740992), INT64_C(9007199254740992), -1, INT64_C(9007199254740991)),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(reads("gemini", &rows[i]));
}

static void answer_is_a_slice_of_the_body(void **state)
{
    struct reply r;

    (void)state;
    reply_read_as(&r, "gemini", 200, NULL, CAND(TEXT_OF("a \\\"b\\\"")));
    assert_true(r.o.answer.is_escaped);
    assert_true(r.o.answer.p > r.t.body_in.p && r.o.answer.p < r.t.body_in.p + r.t.body_in.len);
    assert_true(text_is(r.o.response_model, "gemini-x"));
    assert_true(text_is(r.o.request_id, "r1"));
    reply_done(&r);

    reply_read_as(&r, "gemini", 200, NULL, CAND(TEXT_OF("a \\\"") "," TEXT_OF("b\\\"")));
    assert_true(r.o.answer.is_escaped);
    assert_true(text_is(r.o.answer, "a \"b\""));
    reply_done(&r);
}

static void why_of_a_blocked_prompt(void **state)
{
    struct reply r;

    (void)state;
    reply_read_as(&r, "gemini", 200, NULL,
                  "{\"promptFeedback\":{\"blockReasonMessage\":\"bad words\",\"blockReason\":\"BLOCKLIST\"}}");
    assert_string_equal(r.o.why, "the provider's filter refused the prompt: bad words");
    reply_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(finish_reasons),
        cmocka_unit_test(usages),
        cmocka_unit_test(answer_is_a_slice_of_the_body),
        cmocka_unit_test(why_of_a_blocked_prompt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
