/* SPDX-License-Identifier: Apache-2.0 */
/* What the Gemini dialect sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "unit/provider/building.h"

#define TURN(role, parts) "{\"role\":\"" role "\",\"parts\":[" parts "]}"
#define HI                "{\"contents\":[" TURN("user", "{\"text\":\"hi\"}") "]"
#define LIMIT             ",\"generationConfig\":{\"maxOutputTokens\":64"
#define BASE(m)           .base_url = "https://g", .vendor_model = m, .max_output_tokens = 64
#define TOOLS             "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define CONFIG            ",\"toolConfig\":{\"functionCallingConfig\":"
#define CHOSEN            ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}]" CONFIG
#define CALLS \
    "[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}," \
    "{\"id\":\"c2\",\"function\":{\"name\":\"g\",\"arguments\":\"\"},\"extra_content\":{\"google\":" \
    "{\"thought_signature\":\"sig\"}}}]"
#define CALLED(sig) \
    "{\"functionCall\":{\"id\":\"c1\",\"name\":\"f\",\"args\":{\"a\":1}}" sig "}," \
    "{\"functionCall\":{\"id\":\"c2\",\"name\":\"g\",\"args\":{}},\"thoughtSignature\":\"sig\"}"
#define RESULTS \
    "{\"functionResponse\":{\"id\":\"c1\",\"name\":\"f\",\"response\":{\"result\":\"42\"}}}," \
    "{\"functionResponse\":{\"id\":\"c2\",\"name\":\"g\",\"response\":{\"n\":\"\\u00e9\"}}}," \
    "{\"functionResponse\":{\"id\":\"c9\",\"name\":\"c9\",\"response\":{\"result\":\"\"}}},{\"text\":\"well\"}"
#define HISTORY \
    MESSAGES(USER("hi"), {.role = ROLE_ASSISTANT, .tool_calls = TEXT_LIT(CALLS)}, \
             {.role = ROLE_TOOL, .tool_call_id = TEXT_LIT("c1"), PARTS(TEXT_PART("42"))}, \
             {.role = ROLE_TOOL, \
              .tool_call_id = TEXT_LIT("c2"), \
              PARTS({PART_TEXT, {.p = "{\\\"n\\\":\\\"\\\\u00e9\\\"}", .len = 19, .is_escaped = true}})}, \
             {.role = ROLE_TOOL, .tool_call_id = TEXT_LIT("c9"), PARTS(TEXT_PART(""))}, USER("well"))

static void contents(void **state)
{
    const struct build_row rows[] = {
        {"plain, no limit named",
         {.base_url = "http://h", .vendor_model = "m", MESSAGES(USER("hi"))},
         HI ",\"generationConfig\":{}}",
         NULL},
        {"system and turns",
         {BASE("m"), .system = TEXT_LIT("be kind"),
          MESSAGES({.role = ROLE_SYSTEM, PARTS(TEXT_PART("and short"))}, USER("a"), USER("b"),
                   {.role = ROLE_ASSISTANT, PARTS(TEXT_PART("c"))}, USER("d"))},
         "{\"contents\":[" TURN("user", "{\"text\":\"a\"},{\"text\":\"b\"}") "," TURN(
             "model", "{\"text\":\"c\"}") "," TURN("user", "{\"text\":\"d\"}") "],\"systemInstruction\":{\"parts\":[{"
                                                                               "\"text\":\"be kind\\n\\nand "
                                                                               "short\"}]}" LIMIT "}}",
         NULL},
        {"images",
         {BASE("m"), MESSAGES({.role = ROLE_USER,
                               PARTS(TEXT_PART("hi"), IMAGE_PART("data:image/png;base64,AA=="),
                                     IMAGE_PART("https://x/y.JPG?z=1"), IMAGE_PART("https://x/y"))})},
         "{\"contents\":[" TURN(
             "user", "{\"text\":\"hi\"},{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":"
                     "\"AA==\"}},{\"fileData\":{\"mimeType\":\"image/jpeg\",\"fileUri\":"
                     "\"https://x/y.JPG?z=1\"}},{\"fileData\":{\"fileUri\":\"https://x/y\"}}") "]" LIMIT "}}",
         NULL},
        {"calls and their results",
         {BASE("gemini-2.5-flash"), HISTORY},
         "{\"contents\":[" TURN("user", "{\"text\":\"hi\"}") "," TURN("model", CALLED("")) "," TURN(
             "user", RESULTS) "]" LIMIT "}}",
         NULL},
        {"Gemini 3 wants a signature on the first call",
         {BASE("gemini-3-flash-preview"), HISTORY},
         "{\"contents\":[" TURN("user", "{\"text\":\"hi\"}") "," TURN(
             "model", CALLED(",\"thoughtSignature\":\"skip_thought_signature_validator\"")) "," TURN("user",
                                                                                                     RESULTS) "]" LIMIT
                                                                                                              "}}",
         NULL},
        {"tools",
         {BASE("m"),
          .tools = TEXT_LIT("[{\"googleSearch\":{}},{\"type\":\"function\",\"function\":{\"name\":\"f\","
                            "\"description\":\"d\",\"parameters\":{\"type\":\"object\",\"additionalProperties\":false},"
                            "\"strict\":true}},{\"function\":{\"name\":\"g\"}}]"),
          MESSAGES(USER("hi"))},
         HI ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"description\":\"d\",\"parametersJsonSchema\":"
            "{\"type\":\"object\",\"additionalProperties\":false}},{\"name\":\"g\"}]},{\"googleSearch\":{}}]" LIMIT
            "}}",
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("gemini", &rows[i]));
}

static void choices_and_refusals(void **state)
{
    const struct build_row rows[] = {
        {"choice auto",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("\"auto\""), MESSAGES(USER("hi"))},
         HI CHOSEN "{\"mode\":\"AUTO\"}}" LIMIT "}}",
         NULL},
        {"choice none",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("\"none\""), MESSAGES(USER("hi"))},
         HI CHOSEN "{\"mode\":\"NONE\"}}" LIMIT "}}",
         NULL},
        {"choice required",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("\"required\""), MESSAGES(USER("hi"))},
         HI CHOSEN "{\"mode\":\"ANY\"}}" LIMIT "}}",
         NULL},
        {"choice of a function",
         {BASE("m"), .tools = TEXT_LIT(TOOLS),
          .tool_choice = TEXT_LIT("{\"function\":{\"name\":\"f\"},\"type\":\"function\"}"), MESSAGES(USER("hi"))},
         HI CHOSEN "{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"f\"]}}" LIMIT "}}",
         NULL},
        {"choice of nothing",
         {BASE("m"), .tool_choice = TEXT_LIT("\"auto\""), MESSAGES(USER("hi"))},
         HI LIMIT "}}",
         "tool_choice "},
        {"choice in words of others",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("{\"type\":\"allowed_tools\"}"),
          MESSAGES(USER("hi"))},
         HI ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}]" LIMIT "}}",
         "tool_choice "},
        {"a result with half a surrogate in it",
         {BASE("m"),
          MESSAGES(USER("hi"),
                   {.role = ROLE_TOOL, .tool_call_id = TEXT_LIT("c"), PARTS(TEXT_PART("{\"a\":\"\\udfff\"}"))})},
         "{\"contents\":[" TURN("user",
                                "{\"text\":\"hi\"},{\"functionResponse\":{\"id\":\"c\",\"name\":\"c\",\"response\":"
                                "{\"a\":\"\\ufffd\"}}}") "]" LIMIT "}}",
         NULL},
        {"an image that is not base64",
         {BASE("m"), MESSAGES({.role = ROLE_USER, PARTS(IMAGE_PART("data:text/plain,x"))})},
         NULL,
         NULL},
        {"nothing", {BASE("m")}, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("gemini", &rows[i]));
}

static void params(void **state)
{
    const struct build_row rows[] = {
        {"ours",
         {BASE("m"),
          PARAMS(PARAM("temperature", "0.70"), PARAM("top_p", "0.9"), PARAM("top_k", "5"), PARAM("stop", "\"END\""),
                 PARAM("seed", "1"), PARAM("presence_penalty", "1"), PARAM("frequency_penalty", "2"),
                 PARAM("logit_bias", "{}"), PARAM("verbosity", "\"low\""), PARAM("min_p", "0.1"),
                 PARAM("repetition_penalty", "1"), PARAM("parallel_tool_calls", "true"), PARAM("user", "\"u\"")),
          MESSAGES(USER("hi"))},
         HI LIMIT ",\"temperature\":0.70,\"topP\":0.9,\"topK\":5,\"stopSequences\":[\"END\"],\"seed\":1,"
                  "\"presencePenalty\":1,\"frequencyPenalty\":2}}",
         "logit_bias verbosity min_p repetition_penalty parallel_tool_calls user "},
        {"a batch line of this dialect",
         {BASE("m"),
          PARAMS(
              PARAM("temperature", "0.7"), PARAM("top_k", "5"),
              PARAM_OF("gemini", "generationConfig",
                       "{\"temperature\":0.1,\"maxOutputTokens\":9,\"candidateCount\":2,\"responseMimeType\":\"x\"}"),
              PARAM_OF("gemini", "safetySettings", "[1]"), PARAM_OF("gemini", "contents", "[]"),
              PARAM_OF("openai", "logprobs", "true")),
          MESSAGES(USER("hi"))},
         HI LIMIT ",\"temperature\":0.1,\"responseMimeType\":\"x\",\"topK\":5},\"safetySettings\":[1]}",
         "candidateCount logprobs "},
        {"the operator's own words",
         {BASE("m"),
          PARAMS(PARAM("safetySettings", "[]"), PARAM("responseModalities", "[\"TEXT\"]"),
                 PARAM("generationConfig", "{\"topP\":1}")),
          MESSAGES(USER("hi"))},
         HI LIMIT ",\"topP\":1,\"responseModalities\":[\"TEXT\"]},\"safetySettings\":[]}",
         NULL},
        {"which give way to the job's, and never stand there twice",
         {BASE("m"),
          PARAMS(PARAM("generationConfig", "{\"topP\":1,\"seed\":3,\"topK\":4}"), PARAM("top_p", "0.5"),
                 PARAM("topP", "0.1"), PARAM("seed", "2"), PARAM("topK", "9"), PARAM("maxOutputTokens", "9999"),
                 PARAM("candidateCount", "2")),
          MESSAGES(USER("hi"))},
         HI LIMIT ",\"topK\":4,\"topP\":0.5,\"seed\":2}}",
         "maxOutputTokens candidateCount "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("gemini", &rows[i]));
}

static void efforts(void **state)
{
    const struct build_row rows[] = {
        {"effort as a level",
         {BASE("gemini-3-flash-preview"), PARAMS(PARAM("reasoning_effort", "\"minimal\"")), MESSAGES(USER("hi"))},
         HI LIMIT ",\"thinkingConfig\":{\"thinkingLevel\":\"minimal\"}}}",
         NULL},
        {"Pro has no minimal",
         {BASE("gemini-3.1-pro"), PARAMS(PARAM("reasoning_effort", "\"minimal\"")), MESSAGES(USER("hi"))},
         HI LIMIT ",\"thinkingConfig\":{\"thinkingLevel\":\"low\"}}}",
         NULL},
        {"effort as a budget",
         {BASE("gemini-2.5-flash"), PARAMS(PARAM("reasoning_effort", "\"medium\"")), MESSAGES(USER("hi"))},
         HI LIMIT ",\"thinkingConfig\":{\"thinkingBudget\":8192}}}",
         NULL},
        {"no thinking",
         {BASE("gemini-2.5-flash"), PARAMS(PARAM("reasoning_effort", "\"none\"")), MESSAGES(USER("hi"))},
         HI LIMIT ",\"thinkingConfig\":{\"thinkingBudget\":0}}}",
         NULL},
        {"2.5 Pro cannot but think",
         {BASE("gemini-2.5-pro"), PARAMS(PARAM("reasoning_effort", "\"none\"")), MESSAGES(USER("hi"))},
         HI LIMIT "}}",
         "reasoning_effort "},
        {"nor can 3",
         {BASE("gemini-3-flash"), PARAMS(PARAM("reasoning_effort", "\"none\"")), MESSAGES(USER("hi"))},
         HI LIMIT "}}",
         "reasoning_effort "},
        {"an unknown word",
         {BASE("gemini-3-flash"), PARAMS(PARAM("reasoning_effort", "\"xhigh\"")), MESSAGES(USER("hi"))},
         HI LIMIT "}}",
         "reasoning_effort "},
        {"2.0 does not think",
         {BASE("gemini-2.0-flash-001"), PARAMS(PARAM("reasoning_effort", "\"low\"")), MESSAGES(USER("hi"))},
         HI LIMIT "}}",
         "reasoning_effort "},
        {"a name without a version is a new one",
         {BASE("gemini-flash-latest"), PARAMS(PARAM("reasoning_effort", "\"low\"")), MESSAGES(USER("hi"))},
         HI LIMIT ",\"thinkingConfig\":{\"thinkingLevel\":\"low\"}}}",
         NULL},
        {"what the operator says it refuses",
         {BASE("m"), DROP_PARAMS("seed", "max_output_tokens", "images"), PARAMS(PARAM("seed", "1")),
          MESSAGES({.role = ROLE_USER, PARTS(TEXT_PART("hi"), IMAGE_PART("https://x/y.png"))})},
         HI ",\"generationConfig\":{}}",
         "images max_output_tokens seed "},
        {"contents in params", {BASE("m"), PARAMS(PARAM("contents", "[]")), MESSAGES(USER("hi"))}, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("gemini", &rows[i]));
}

static void url_headers_and_signature(void **state)
{
    static const struct {
        const char *base;
        const char *model;
        const char *url;
    } rows[] = {
        {"https://g", "gemini-2.5-flash", "https://g/v1beta/models/gemini-2.5-flash:generateContent"},
        {"https://g/v1beta/", "models/gemini-2.5-flash", "https://g/v1beta/models/gemini-2.5-flash:generateContent"},
        {"https://g/v1", "a/b c?d%\xc3\xa9:x", "https://g/v1/models/a%2Fb%20c%3Fd%25%C3%A9%3Ax:generateContent"},
        {"https://g", "..", "https://g/v1beta/models/..:generateContent"},
        {"https://g", "models/../../x#y", "https://g/v1beta/models/..%2F..%2Fx%23y:generateContent"},
        {"https://g", "a\r\nX: y", "https://g/v1beta/models/a%0D%0AX%3A%20y:generateContent"},
        {"https://g?k=v", "tunedModels/t-1", "https://g/v1beta/tunedModels/t-1:generateContent?k=v"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct request q = {
            .base_url = rows[i].base, .vendor_model = rows[i].model, .idempotency_key = "k-1", MESSAGES(USER("hi"))};
        struct arena *a = arena_new(1024);
        const char *why;
        struct wire w;

        assert_int_equal(provider_find("gemini")->build(&q, a, &w, &why), 0);
        assert_string_equal(w.url, rows[i].url);
        assert_string_equal(header_of(&w, "Content-Type"), "application/json");
        assert_string_equal(header_of(&w, "Idempotency-Key"), "k-1");
        assert_null(header_of(&w, "x-goog-api-key")); /* build() knows no secret */
        provider_find("gemini")->sign("", 0, a, &w);
        assert_null(header_of(&w, "x-goog-api-key"));
        provider_find("gemini")->sign("AIza-1", 0, a, &w);
        assert_string_equal(header_of(&w, "x-goog-api-key"), "AIza-1");
        assert_null(strstr(w.url, "AIza"));
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents), cmocka_unit_test(choices_and_refusals),      cmocka_unit_test(params),
        cmocka_unit_test(efforts),  cmocka_unit_test(url_headers_and_signature),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
