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

#define PARAM(n, v) \
    { \
        TEXT_LIT(n), TEXT_LIT(v), NULL \
    }

static const char *header(const struct wire *w, const char *name)
{
    for (int i = 0; i < w->n_headers; i++)
        if (strcmp(w->headers[i].name, name) == 0)
            return w->headers[i].value;
    return NULL;
}

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
        assert_string_equal(header(&w, "Content-Type"), "application/json");
        assert_string_equal(header(&w, "Idempotency-Key"), "key-1");
        assert_null(header(&w, "Authorization")); /* build() knows no secret */
        ops->sign("", 0, a, &w);
        assert_null(header(&w, "Authorization"));
        ops->sign("sk-1", 0, a, &w);
        assert_string_equal(header(&w, "Authorization"), "Bearer sk-1");
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
    assert_null(provider_find("no such"));
    assert_string_equal(provider_names()[0], "openai");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),        cmocka_unit_test(url_headers_and_signature),
        cmocka_unit_test(refuses),       cmocka_unit_test(refuses_a_huge_body),
        cmocka_unit_test(finds_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
