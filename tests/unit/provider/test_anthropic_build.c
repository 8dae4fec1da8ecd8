/* SPDX-License-Identifier: Apache-2.0 */
/* What the Anthropic Messages dialect sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "unit/provider/building.h"

#define HI       "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]"
#define HEAD(m)  "{\"model\":\"" m "\",\"max_tokens\":64," HI
#define BASE(m)  .base_url = "https://api.anthropic.com", .vendor_model = m, .max_output_tokens = 64
#define CALLS(a) "[{\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":" a "}}]"
#define TOOLS    "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define CHOSEN   "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}],\"tool_choice\":"

static void messages(void **state)
{
    const struct build_row rows[] = {
        {"plain, no limit named",
         {.base_url = "http://h", .vendor_model = "m", MESSAGES(USER("hi"))},
         "{\"model\":\"m\",\"max_tokens\":4096," HI "}",
         NULL},
        {"system texts are joined",
         {BASE("m"), .system = TEXT_LIT("be \"kind\""),
          MESSAGES({.role = ROLE_SYSTEM, PARTS(TEXT_PART("and short"), TEXT_PART(" "))}, USER("hi"),
                   {.role = ROLE_SYSTEM, PARTS(TEXT_PART("now"))})},
         "{\"model\":\"m\",\"max_tokens\":64,\"system\":\"be \\\"kind\\\"\\n\\nand short\\n\\nnow\"," HI "}",
         NULL},
        {"neighbours of one role become one turn, blank texts vanish",
         {BASE("m"), MESSAGES(USER("a"), USER("b"), {.role = ROLE_ASSISTANT, PARTS(TEXT_PART("c"))},
                              {.role = ROLE_ASSISTANT, PARTS(TEXT_PART("\n "))}, USER("d"))},
         "{\"model\":\"m\",\"max_tokens\":64,\"messages\":["
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},"
         "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"c\"}]},"
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"d\"}]}]}",
         NULL},
        {"images",
         {BASE("m"),
          MESSAGES(
              {.role = ROLE_USER,
               PARTS(TEXT_PART("hi"), IMAGE_PART("data:image/png;base64,AA=="), IMAGE_PART("https://x/y.png"),
                     {PART_IMAGE, {.p = "data:image\\/webp;charset=x;BASE64,BB==", .len = 38, .is_escaped = true}})})},
         "{\"model\":\"m\",\"max_tokens\":64,\"messages\":[{\"role\":\"user\",\"content\":["
         "{\"type\":\"text\",\"text\":\"hi\"},"
         "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AA==\"}},"
         "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/y.png\"}},"
         "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/webp\",\"data\":\"BB==\"}}]}]}",
         NULL},
        {"tool calls and their results",
         {BASE("m"),
          .tools = TEXT_LIT("[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":"
                            "{\"type\":\"object\"},\"strict\":true}},{\"type\":\"web_search_20250305\"}]"),
          MESSAGES(USER("hi"),
                   {.role = ROLE_ASSISTANT,
                    .tool_calls = TEXT_LIT(CALLS("\"{\\\"a\\\": \\\"\\\\u00e9\\\"}\"")),
                    PARTS(TEXT_PART("so"))},
                   {.role = ROLE_TOOL, .tool_call_id = TEXT_LIT("t1"), PARTS(TEXT_PART("42"))},
                   {.role = ROLE_TOOL, .tool_call_id = TEXT_LIT("t2"), PARTS(TEXT_PART(""))}, USER("well"))},
         "{\"model\":\"m\",\"max_tokens\":64,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
         "\"hi\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"so\"},{\"type\":\"tool_use\","
         "\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\": \"\\u00e9\"}}]},{\"role\":\"user\",\"content\":["
         "{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":[{\"type\":\"text\",\"text\":\"42\"}]},"
         "{\"type\":\"tool_result\",\"tool_use_id\":\"t2\"},{\"type\":\"text\",\"text\":\"well\"}]}],"
         "\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"},\"strict\":true},"
         "{\"type\":\"web_search_20250305\"}]}",
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("anthropic", &rows[i]));
}

static void odd_messages(void **state)
{
    const struct build_row rows[] = {
        {"arguments of nothing",
         {BASE("m"), MESSAGES(USER("hi"), {.role = ROLE_ASSISTANT, .tool_calls = TEXT_LIT(CALLS("\"\""))})},
         "{\"model\":\"m\",\"max_tokens\":64,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
         "\"hi\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\","
         "\"input\":{}}]}]}",
         NULL},
        {"a lone surrogate inside of the arguments, and image/jpg",
         {BASE("m"),
          MESSAGES({.role = ROLE_USER, PARTS(IMAGE_PART("data:image/jpg;base64,AA=="))},
                   {.role = ROLE_ASSISTANT,
                    .tool_calls = TEXT_LIT(CALLS("\"{\\\"a\\\":\\\"\\\\ud800\\\\u0000\\\\ud83d\\\\ude00\\\"}\""))})},
         "{\"model\":\"m\",\"max_tokens\":64,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\","
         "\"source\":{\"type\":\"base64\",\"media_type\":\"image/jpeg\",\"data\":\"AA==\"}}]},{\"role\":\"assistant\","
         "\"content\":[{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\","
         "\"input\":{\"a\":\"\\ufffd\\ufffd\\ud83d\\ude00\"}}]}]}",
         NULL},
        {"assistant first, system between, a turn of blanks alone",
         {BASE("m"),
          MESSAGES({.role = ROLE_ASSISTANT, PARTS(TEXT_PART("a"))}, {.role = ROLE_USER, PARTS(TEXT_PART(" \n"))},
                   {.role = ROLE_SYSTEM, PARTS(TEXT_PART("s"))}, {.role = ROLE_ASSISTANT, PARTS(TEXT_PART("b"))})},
         "{\"model\":\"m\",\"max_tokens\":64,\"system\":\"s\",\"messages\":[{\"role\":\"assistant\",\"content\":["
         "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]}",
         NULL},
        {"arguments that are no object",
         {BASE("m"), MESSAGES(USER("hi"), {.role = ROLE_ASSISTANT, .tool_calls = TEXT_LIT(CALLS("\"[1]\""))})},
         NULL,
         NULL},
        {"arguments that break off",
         {BASE("m"), MESSAGES(USER("hi"), {.role = ROLE_ASSISTANT, .tool_calls = TEXT_LIT(CALLS("\"{\""))})},
         NULL,
         NULL},
        {"an image that is not base64",
         {BASE("m"), MESSAGES({.role = ROLE_USER, PARTS(IMAGE_PART("data:image/svg+xml,<svg/>"))})},
         NULL,
         NULL},
        {"an image without a type",
         {BASE("m"), MESSAGES({.role = ROLE_USER, PARTS(IMAGE_PART("data:;base64,AA=="))})},
         NULL,
         NULL},
        {"system alone", {BASE("m"), MESSAGES({.role = ROLE_SYSTEM, PARTS(TEXT_PART("x"))})}, NULL, NULL},
        {"nothing", {BASE("m")}, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("anthropic", &rows[i]));
}

static void tool_choices(void **state)
{
    const struct build_row rows[] = {
        {"auto",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("\"auto\""), MESSAGES(USER("hi"))},
         HEAD("m") "," CHOSEN "{\"type\":\"auto\"}}",
         NULL},
        {"required",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("\"required\""), MESSAGES(USER("hi"))},
         HEAD("m") "," CHOSEN "{\"type\":\"any\"}}",
         NULL},
        {"none",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("\"none\""), MESSAGES(USER("hi"))},
         HEAD("m") "," CHOSEN "{\"type\":\"none\"}}",
         NULL},
        {"function",
         {BASE("m"), .tools = TEXT_LIT(TOOLS),
          .tool_choice = TEXT_LIT("{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"), MESSAGES(USER("hi"))},
         HEAD("m") "," CHOSEN "{\"type\":\"tool\",\"name\":\"f\"}}",
         NULL},
        {"its own words",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("{\"type\":\"any\"}"), MESSAGES(USER("hi"))},
         HEAD("m") "," CHOSEN "{\"type\":\"any\"}}",
         NULL},
        {"words of others",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("{\"type\":\"allowed_tools\",\"tools\":[]}"),
          MESSAGES(USER("hi"))},
         HEAD("m") ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}]}",
         "tool_choice "},
        {"Mistral's word",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("\"any\""), MESSAGES(USER("hi"))},
         HEAD("m") "," CHOSEN "{\"type\":\"any\"}}",
         NULL},
        {"of nothing",
         {BASE("m"), .tool_choice = TEXT_LIT("\"auto\""), MESSAGES(USER("hi"))},
         HEAD("m") "}",
         "tool_choice "},
        {"of tools in its own words",
         {BASE("m"), .tool_choice = TEXT_LIT("\"auto\""),
          PARAMS(PARAM_OF("anthropic", "tools", "[{\"type\":\"web_search\"}]")), MESSAGES(USER("hi"))},
         HEAD("m") ",\"tool_choice\":{\"type\":\"auto\"},\"tools\":[{\"type\":\"web_search\"}]}",
         NULL},
        {"refused",
         {BASE("m"), .tools = TEXT_LIT(TOOLS), .tool_choice = TEXT_LIT("\"auto\""), DROP_PARAMS("tools"),
          MESSAGES(USER("hi"))},
         HEAD("m") "}",
         "tools tool_choice "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("anthropic", &rows[i]));
}

static void params(void **state)
{
    const struct build_row rows[] = {
        {"ours",
         {BASE("claude-3-5-sonnet-20241022"),
          PARAMS(PARAM("temperature", "0.70"), PARAM("top_p", "0.9"), PARAM("top_k", "5"), PARAM("stop", "\"END\""),
                 PARAM("seed", "1"), PARAM("presence_penalty", "1"), PARAM("frequency_penalty", "1"),
                 PARAM("logit_bias", "{}"), PARAM("verbosity", "\"low\""), PARAM("min_p", "0.1"),
                 PARAM("repetition_penalty", "1"), PARAM("parallel_tool_calls", "true"), PARAM("user", "\"u\"")),
          MESSAGES(USER("hi"))},
         HEAD("claude-3-5-sonnet-20241022") ",\"temperature\":0.70,\"top_p\":0.9,\"top_k\":5,"
                                            "\"stop_sequences\":[\"END\"]}",
         "seed presence_penalty frequency_penalty logit_bias verbosity min_p repetition_penalty parallel_tool_calls "
         "user "},
        {"a list of stops",
         {BASE("m"), PARAMS(PARAM("stop", " [\"a\",\"b\"]")), MESSAGES(USER("hi"))},
         HEAD("m") ",\"stop_sequences\":[\"a\",\"b\"]}",
         NULL},
        {"blank stops are refused there",
         {BASE("m"), PARAMS(PARAM("stop", "[\"\\n\\n\",\"b\\u00e9\"]")), MESSAGES(USER("hi"))},
         HEAD("m") ",\"stop_sequences\":[\"b\\u00e9\"]}",
         "stop "},
        {"an operator's words give way to the job's",
         {BASE("m"), PARAMS(PARAM("stop_sequences", "[\"x\"]"), PARAM("stop", "\"y\"")), MESSAGES(USER("hi"))},
         HEAD("m") ",\"stop_sequences\":[\"y\"]}",
         NULL},
        {"temperature ends at 1",
         {BASE("m"), PARAMS(PARAM("temperature", "1.5")), MESSAGES(USER("hi"))},
         HEAD("m") "}",
         "temperature "},
        {"and 1 is in it",
         {BASE("m"), PARAMS(PARAM("temperature", "1")), MESSAGES(USER("hi"))},
         HEAD("m") ",\"temperature\":1}",
         NULL},
        {"sampling is gone after Opus 4.6",
         {BASE("claude-opus-4-7"),
          PARAMS(PARAM("temperature", "0.7"), PARAM("top_p", "1"), PARAM("top_k", "5"), PARAM("stop", "[]")),
          MESSAGES(USER("hi"))},
         HEAD("claude-opus-4-7") ",\"stop_sequences\":[]}",
         "temperature top_p top_k "},
        {"and in the fifth generation",
         {BASE("claude-sonnet-5"), PARAMS(PARAM("temperature", "0.7")), MESSAGES(USER("hi"))},
         HEAD("claude-sonnet-5") "}",
         "temperature "},
        {"4.6 still has it, one of the two",
         {BASE("claude-opus-4-6"), PARAMS(PARAM("top_p", "1"), PARAM("temperature", "0.7")), MESSAGES(USER("hi"))},
         HEAD("claude-opus-4-6") ",\"temperature\":0.7}",
         "top_p "},
        {"a date is no version",
         {BASE("claude-sonnet-4-20250514"), PARAMS(PARAM("temperature", "0.7"), PARAM("top_p", "1")),
          MESSAGES(USER("hi"))},
         HEAD("claude-sonnet-4-20250514") ",\"temperature\":0.7,\"top_p\":1}",
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("anthropic", &rows[i]));
}

static void efforts(void **state)
{
    const struct build_row rows[] = {
        {"effort",
         {BASE("claude-opus-4-7"), PARAMS(PARAM("reasoning_effort", "\"xhigh\"")), MESSAGES(USER("hi"))},
         HEAD("claude-opus-4-7") ",\"output_config\":{\"effort\":\"xhigh\"}}",
         NULL},
        {"effort of 4.5: Opus only",
         {BASE("claude-opus-4-5-20251101"), PARAMS(PARAM("reasoning_effort", "\"low\"")), MESSAGES(USER("hi"))},
         HEAD("claude-opus-4-5-20251101") ",\"output_config\":{\"effort\":\"low\"}}",
         NULL},
        {"not Sonnet",
         {BASE("claude-sonnet-4-5"), PARAMS(PARAM("reasoning_effort", "\"low\"")), MESSAGES(USER("hi"))},
         HEAD("claude-sonnet-4-5") "}",
         "reasoning_effort "},
        {"a word it does not have",
         {BASE("claude-opus-4-6"), PARAMS(PARAM("reasoning_effort", "\"minimal\"")), MESSAGES(USER("hi"))},
         HEAD("claude-opus-4-6") "}",
         "reasoning_effort "},
        {"a word it does not have yet",
         {BASE("claude-opus-4-6"), PARAMS(PARAM("reasoning_effort", "\"xhigh\"")), MESSAGES(USER("hi"))},
         HEAD("claude-opus-4-6") "}",
         "reasoning_effort "},
        {"its own words, and those of others",
         {BASE("m"),
          PARAMS(PARAM_OF("anthropic", "thinking", "{\"type\":\"adaptive\"}"), PARAM_OF("anthropic", "stream", "true"),
                 PARAM_OF("anthropic", "max_tokens", "9"), PARAM_OF("anthropic", "model", "\"x\""),
                 PARAM_OF("openai", "logprobs", "true"), PARAM("metadata", "{\"user_id\":\"u\"}"),
                 PARAM_OF("anthropic", "stop_sequences", "[\"x\"]"), PARAM("stop", "\"y\""),
                 PARAM_OF("anthropic", "output_config", "{\"format\":{}}"), PARAM("reasoning_effort", "\"low\"")),
          MESSAGES(USER("hi"))},
         HEAD("m") ",\"thinking\":{\"type\":\"adaptive\"},\"metadata\":{\"user_id\":\"u\"},\"stop_sequences\":[\"x\"],"
                   "\"output_config\":{\"format\":{}}}",
         "logprobs reasoning_effort "},
        {"what the operator says it refuses",
         {BASE("claude-3-haiku"), DROP_PARAMS("temperature", "images"),
          PARAMS(PARAM("temperature", "0.7"), PARAM("top_p", "1")),
          MESSAGES({.role = ROLE_USER, PARTS(TEXT_PART("hi"), IMAGE_PART("https://x/y.png"))})},
         HEAD("claude-3-haiku") ",\"top_p\":1}",
         "images temperature "},
        {"model in params", {BASE("m"), PARAMS(PARAM("model", "\"x\"")), MESSAGES(USER("hi"))}, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("anthropic", &rows[i]));
}

static void url_headers_and_signature(void **state)
{
    static const struct {
        const char *base;
        const char *url;
    } rows[] = {
        {"https://api.anthropic.com", "https://api.anthropic.com/v1/messages"},
        {"https://api.anthropic.com/", "https://api.anthropic.com/v1/messages"},
        {"https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"},
        {"https://v2.example", "https://v2.example/v1/messages"},
        {"https://h/v1/a/anthropic", "https://h/v1/a/anthropic/v1/messages"},
        {"https://h/anthropic?x=1", "https://h/anthropic/v1/messages?x=1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct request q = {
            .base_url = rows[i].base, .vendor_model = "m", .idempotency_key = "k-1", MESSAGES(USER("hi"))};
        struct arena *a = arena_new(1024);
        const char *why;
        struct wire w;

        assert_int_equal(provider_find("anthropic")->build(&q, a, &w, &why), 0);
        assert_string_equal(w.url, rows[i].url);
        assert_string_equal(header_of(&w, "anthropic-version"), "2023-06-01");
        assert_string_equal(header_of(&w, "Content-Type"), "application/json");
        assert_string_equal(header_of(&w, "Idempotency-Key"), "k-1");
        assert_null(header_of(&w, "x-api-key")); /* build() knows no secret */
        provider_find("anthropic")->sign(NULL, 0, a, &w);
        assert_null(header_of(&w, "x-api-key"));
        provider_find("anthropic")->sign("sk-ant-1", 0, a, &w);
        assert_string_equal(header_of(&w, "x-api-key"), "sk-ant-1");
        assert_null(header_of(&w, "Authorization"));
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages), cmocka_unit_test(odd_messages), cmocka_unit_test(tool_choices),
        cmocka_unit_test(params),   cmocka_unit_test(efforts),      cmocka_unit_test(url_headers_and_signature),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
