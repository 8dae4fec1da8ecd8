/* SPDX-License-Identifier: Apache-2.0 */
/* What the OpenAI-compatible dialect sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "impl/provider.h"
#include "unit/provider/building.h"

static const struct message_part hi_part[] = {{PART_TEXT, {.p = "hi", .len = 2}}};
static const struct chat_message hi[] = {{.role = ROLE_USER, .parts = hi_part, .n_parts = 1}};

static const struct request plain = {
    .base_url = "https://api.openai.com/v1",
    .vendor_model = "gpt-4o",
    .messages = hi,
    .n_messages = 1,
    .max_output_tokens = 64,
    .idempotency_key = "key-1",
};

static void bodies(void **state)
{
    static const struct request_param params[] = {
        PARAM("temperature", "0.70"), PARAM("max_output_tokens", "5"),      PARAM("stream", "true"),
        PARAM("stop", "[\"a\"]"),     PARAM("stream_options", "{\"x\":1}"), PARAM("odd \"name", "{\"k\":null}"),
    };
    static const struct request_param old_limit[] = {PARAM("max_tokens", "5")};
    static const struct request_param new_limit[] = {PARAM("max_completion_tokens", "5")};
    static const struct message_part escaped_part[] = {
        {PART_TEXT, {.p = "a\\nb\\u00e9", .len = 10, .is_escaped = true}}};
    static const struct chat_message escaped[] = {{.role = ROLE_USER, .parts = escaped_part, .n_parts = 1}};
    struct request rows[8] = {plain, plain, plain, plain, plain, plain, plain, plain};
    static const char *const want[8] = {
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_completion_tokens\":64}",
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"system\",\"content\":\"be \\\"kind\\\"\"},{\"role\":\"user\","
        "\"content\":\"a\\nb\\u00e9\"}],\"max_tokens\":64}",
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":64,"
        "\"temperature\":0.70,\"stop\":[\"a\"],\"odd \\\"name\":{\"k\":null}}",
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":64}",
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_completion_tokens\":64}",
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_completion_tokens\":64}",
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":64}",
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
    };

    (void)state;
    rows[1].base_url = "http://localhost:11434/v1";
    rows[1].system = TEXT_LIT("be \"kind\"");
    rows[1].messages = escaped;
    rows[2].base_url = "http://api.openai.com.evil.example/v1";
    rows[2].params = params;
    rows[2].n_params = ARRAY_LEN(params);
    rows[3].params = old_limit;
    rows[3].n_params = 1;
    rows[0].base_url = "https://api.openai.com:443/v1";
    rows[4].base_url = "http://localhost/v1";
    rows[4].params = new_limit;
    rows[4].n_params = 1;
    rows[5].base_url = "https://x.openai.azure.com/openai/deployments/d?api-version=1";
    rows[6].base_url = "https://api.openai.com@other.example:443/v1";
    rows[7].max_output_tokens = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *a = arena_new(1024);
        const char *why = NULL;
        struct wire w;

        assert_int_equal(provider_find("openai")->build(&rows[i], a, &w, &why), 0);
        assert_int_equal(w.body.len, strlen(want[i]));
        assert_memory_equal(w.body.p, want[i], w.body.len);
        assert_false(w.body.is_escaped);
        arena_free(a);
    }
}

#define CALLS "[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"
#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define HI    "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void messages(void **state)
{
    const struct build_row rows[] = {
        {"roles and tools",
         {.base_url = "http://h/v1",
          .vendor_model = "m",
          .system = TEXT_LIT("be kind"),
          .tools = TEXT_LIT(TOOLS),
          .tool_choice = TEXT_LIT("\"auto\""),
          MESSAGES({.role = ROLE_SYSTEM, PARTS(TEXT_PART("and short"))}, USER("go"),
                   {.role = ROLE_ASSISTANT, .tool_calls = TEXT_LIT(CALLS)},
                   {.role = ROLE_TOOL, .tool_call_id = TEXT_LIT("c1"), PARTS(TEXT_PART("42"))},
                   {.role = ROLE_ASSISTANT, PARTS(TEXT_PART("so"))})},
         "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},"
         "{\"role\":\"system\",\"content\":\"and short\"},{\"role\":\"user\",\"content\":\"go\"},"
         "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":" CALLS "},"
         "{\"role\":\"tool\",\"content\":\"42\",\"tool_call_id\":\"c1\"},"
         "{\"role\":\"assistant\",\"content\":\"so\"}],\"tools\":" TOOLS ",\"tool_choice\":\"auto\"}",
         NULL},
        {"parts",
         {.base_url = "http://h/v1",
          .vendor_model = "m",
          MESSAGES({.role = ROLE_USER,
                    PARTS(TEXT_PART("what"), IMAGE_PART("https://x/y.png"), IMAGE_PART("data:image/png;base64,AA=="))},
                   {.role = ROLE_USER, PARTS(IMAGE_PART("https://x/z"))})},
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what\"},"
         "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y.png\"}},"
         "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA==\"}}]},"
         "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/z\"}}]}]}",
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("openai", &rows[i]));
}

static void params(void **state)
{
    const struct build_row rows[] = {
        {"batch line of this dialect",
         {.base_url = "http://h/v1",
          .vendor_model = "m",
          .max_output_tokens = 7,
          PARAMS(PARAM_OF("openai", "logprobs", "true"), PARAM_OF("openai", "model", "\"other\""),
                 PARAM_OF("openai", "messages", "[]"), PARAM_OF("openai", "max_tokens", "9"),
                 PARAM_OF("openai", "stream", "true"), PARAM_OF("openai", "stream_options", "{}"),
                 PARAM_OF("openai", "n", "3"), PARAM_OF("openai", "response_format", "{\"type\":\"json_object\"}")),
          MESSAGES(USER("hi"))},
         "{\"model\":\"m\"," HI ",\"max_tokens\":7,\"logprobs\":true,"
         "\"response_format\":{\"type\":\"json_object\"}}",
         "n "},
        {"one answer is what n says",
         {.base_url = "http://h/v1", .vendor_model = "m", PARAMS(PARAM_OF("openai", "n", "1")), MESSAGES(USER("hi"))},
         "{\"model\":\"m\"," HI "}",
         NULL},
        {"batch lines of others",
         {.base_url = "http://h/v1",
          .vendor_model = "m",
          PARAMS(PARAM_OF("anthropic", "thinking", "{}"), PARAM_OF("gemini", "safetySettings", "[]"),
                 PARAM_OF("gemini", "safetySettings", "[]"), PARAM("temperature", "0.5")),
          MESSAGES(USER("hi"))},
         "{\"model\":\"m\"," HI ",\"temperature\":0.5}",
         "thinking safetySettings "},
        {"what the model refuses",
         {.base_url = "http://h/v1",
          .vendor_model = "m",
          .max_output_tokens = 7,
          .tools = TEXT_LIT(TOOLS),
          .tool_choice = TEXT_LIT("\"auto\""),
          DROP_PARAMS("temperature", "tools", "images", "max_output_tokens"),
          PARAMS(PARAM("temperature", "0.5"), PARAM("top_k", "3")),
          MESSAGES({.role = ROLE_USER, PARTS(TEXT_PART("hi"), IMAGE_PART("https://x/y.png"))},
                   {.role = ROLE_USER, PARTS(IMAGE_PART("https://x/y.png"))})},
         "{\"model\":\"m\"," HI ",\"top_k\":3}",
         "images max_output_tokens tools tool_choice temperature "},
        {"OpenAI itself knows no top_k",
         {.base_url = "https://api.openai.com/v1",
          .vendor_model = "gpt-4o",
          PARAMS(PARAM("top_k", "3"), PARAM("temperature", "0.5")),
          MESSAGES(USER("hi"))},
         "{\"model\":\"gpt-4o\"," HI ",\"temperature\":0.5}",
         "top_k "},
        {"reasoning models refuse sampling",
         {.base_url = "https://api.openai.com/v1",
          .vendor_model = "gpt-5-mini-2025-08-07",
          PARAMS(PARAM("temperature", "0.5"), PARAM("reasoning_effort", "\"low\""), PARAM("verbosity", "\"low\"")),
          MESSAGES(USER("hi"))},
         "{\"model\":\"gpt-5-mini-2025-08-07\"," HI ",\"reasoning_effort\":\"low\",\"verbosity\":\"low\"}",
         "temperature "},
        {"newer ones do not",
         {.base_url = "https://api.openai.com/v1",
          .vendor_model = "gpt-5.2",
          PARAMS(PARAM("temperature", "0.5")),
          MESSAGES(USER("hi"))},
         "{\"model\":\"gpt-5.2\"," HI ",\"temperature\":0.5}",
         NULL},
        {"nothing but images, and those refused",
         {.base_url = "http://h/v1",
          .vendor_model = "m",
          DROP_PARAMS("images"),
          MESSAGES({.role = ROLE_USER, PARTS(IMAGE_PART("https://x/y.png"))})},
         NULL,
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(builds("openai", &rows[i]));
}

static void url_headers_and_signature(void **state)
{
    static const struct {
        const char *base;
        const char *url;
    } rows[] = {
        {"https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"},
        {"https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"},
        {"https://h/openai/deployments/d?api-version=1",
         "https://h/openai/deployments/d/chat/completions?api-version=1"},
    };
    const struct provider_ops *ops = provider_find("openai");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *a = arena_new(1024);
        struct request q = plain;
        const char *why;
        struct wire w;

        q.base_url = rows[i].base;
        assert_int_equal(ops->build(&q, a, &w, &why), 0);
        assert_string_equal(w.url, rows[i].url);
        assert_string_equal(header_of(&w, "Content-Type"), "application/json");
        assert_string_equal(header_of(&w, "Idempotency-Key"), "key-1");
        assert_null(header_of(&w, "Authorization")); /* build() knows no secret */
        ops->sign("", 0, a, &w);
        assert_null(header_of(&w, "Authorization"));
        ops->sign("sk-1", 0, a, &w);
        assert_string_equal(header_of(&w, "Authorization"), "Bearer sk-1");
        assert_null(strstr(w.url, "sk-1"));
        arena_free(a);
    }
}

static void azure_signature(void **state)
{
    static const struct {
        const char *base;
        const char *key;
        const char *api_key; /* NULL: Authorization */
    } rows[] = {
        {"https://x.openai.azure.com/openai/deployments/d?api-version=1", "0a1b", "0a1b"},
        {"https://x.openai.azure.com:443/openai/v1", "0a1b", "0a1b"},
        {"https://x.services.ai.azure.com/openai/v1", "0a1b", "0a1b"},
        {"https://x.openai.azure.com/openai/v1", "eyJhbGciOi.J9.x", NULL}, /* Entra */
        {"https://x.openai.azure.com.example/v1", "0a1b", NULL},
        {"https://example/.azure.com", "0a1b", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *a = arena_new(1024);
        struct request q = plain;
        const char *why;
        struct wire w;

        q.base_url = rows[i].base;
        assert_int_equal(provider_find("openai")->build(&q, a, &w, &why), 0);
        provider_find("openai")->sign(rows[i].key, 0, a, &w);
        if (rows[i].api_key != NULL)
            assert_string_equal(header_of(&w, "api-key"), rows[i].api_key);
        else
            assert_null(header_of(&w, "api-key"));
        assert_int_equal(header_of(&w, "Authorization") == NULL, rows[i].api_key != NULL);
        arena_free(a);
    }
}

static void refuses(void **state)
{
    static const struct request_param model[] = {PARAM("model", "\"x\"")};
    static const struct request_param empty[] = {{TEXT_LIT("n"), {.p = NULL}, NULL}};
    struct request rows[] = {plain, plain, plain};

    (void)state;
    rows[0].params = model;
    rows[1].params = empty;
    rows[0].n_params = rows[1].n_params = 1;
    rows[2].n_messages = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *a = arena_new(1024);
        struct wire w = {.n_headers = 77};
        const char *why = NULL;

        assert_int_equal(provider_find("openai")->build(&rows[i], a, &w, &why), -EINVAL);
        assert_non_null(why);
        assert_int_equal(w.n_headers, 77);
        arena_free(a);
    }
}

static void refuses_a_huge_body(void **state)
{
    size_t len = 65u << 20;
    struct arena *a = arena_new(1024);
    struct message_part part = hi_part[0];
    struct chat_message message = hi[0];
    struct request q = plain;
    const char *why = NULL;
    char *big = mem_alloc(len);
    struct wire w;

    (void)state;
    memset(big, 'x', len);
    part.text = (struct text){.p = big, .len = len, .is_escaped = true};
    message.parts = &part;
    q.messages = &message;
    assert_int_equal(provider_find("openai")->build(&q, a, &w, &why), -E2BIG);
    assert_non_null(why);
    mem_free(big);
    arena_free(a);
}

static void finds_by_name(void **state)
{
    (void)state;
    assert_string_equal(provider_find("openai")->name, "openai");
    assert_string_equal(provider_find("anthropic")->name, "anthropic");
    assert_string_equal(provider_find("gemini")->name, "gemini");
    assert_null(provider_find("no such"));
    assert_string_equal(provider_names()[0], "openai");
    assert_null(provider_names()[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(messages),
        cmocka_unit_test(params),
        cmocka_unit_test(url_headers_and_signature),
        cmocka_unit_test(azure_signature),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_a_huge_body),
        cmocka_unit_test(finds_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
