/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's dialects without a socket: whose a request is, and what the readers take out of its body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/dialect.h"

static const struct dialect *const all[] = {&dialect_openai, &dialect_anthropic, &dialect_gemini};
enum { OPENAI, ANTHROPIC, GEMINI };

static void routes(void **state)
{
    static const struct {
        const char *head;
        int dialect;
        enum operation operation;
        const char *model;
    } rows[] = {
        {"POST /v1/chat/completions", OPENAI, OP_GENERATE, ""},
        {"POST /openai/deployments/d/chat/completions?api-version=1", OPENAI, OP_GENERATE, ""},
        {"POST /v1/messages", ANTHROPIC, OP_GENERATE, ""},
        {"POST /v1/messages?beta=true", ANTHROPIC, OP_GENERATE, ""},
        {"POST /v1/messages/count_tokens", ANTHROPIC, OP_COUNT, ""},
        {"POST /v1beta/models/m:generateContent", GEMINI, OP_GENERATE, "m"},
        {"POST /v1/models/sim/fast:generateContent", GEMINI, OP_GENERATE, "sim/fast"},
        {"POST /v1alpha/models/sim%2Ffast:streamGenerateContent?alt=sse", GEMINI, OP_STREAM, "sim/fast"},
        {"POST /v1beta/models/m%:countTokens", GEMINI, OP_COUNT, "m%"},
        {"GET /v1/chat/completions", OPENAI, OP_NONE, ""},
        {"GET /v1/models/sim/fast", OPENAI, OP_NONE, "sim/fast"},
        {"GET /v1/models HTTP/1.1\r\nanthropic-version: 2023-06-01", ANTHROPIC, OP_NONE, ""},
        {"GET /v1/models HTTP/1.1\r\nx-goog-api-key: k", GEMINI, OP_NONE, ""},
        {"GET /v1/models?a=b&key=k", GEMINI, OP_NONE, ""},
        {"GET /v1beta/models", GEMINI, OP_NONE, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_request r;
        struct target t;
        struct buf b;

        buf_init(&b, 0);
        buf_printf(&b, "%s%s\r\n\r\n", rows[i].head, strchr(rows[i].head, '\r') != NULL ? "" : " HTTP/1.1");
        assert_int_equal(http_read_head(b.p, b.len, &r), 1);
        target_read(&r, &t);
        assert_ptr_equal(t.dialect, all[rows[i].dialect]);
        assert_int_equal(t.operation, rows[i].operation);
        assert_string_equal(t.model, rows[i].model);
        buf_done(&b);
    }
}

static void keys_stand_where_the_dialect_has_them(void **state)
{
    static const struct {
        const char *header;
        const char *want[ARRAY_LEN(all)]; /* NULL: none */
    } rows[] = {
        {"Authorization: Bearer k", {"k", "k", NULL}},
        {"authorization: Basic k", {NULL, NULL, NULL}},
        {"api-key: k", {"k", NULL, NULL}},
        {"X-Api-Key: k", {NULL, "k", NULL}},
        {"x-goog-api-key: k", {NULL, NULL, "k"}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_request r;
        struct buf b;

        buf_init(&b, 0);
        buf_printf(&b, "GET /?xkey=1 HTTP/1.1\r\n%s\r\n\r\n", rows[i].header);
        assert_int_equal(http_read_head(b.p, b.len, &r), 1);
        for (size_t d = 0; d < ARRAY_LEN(all); d++) {
            struct text key = http_key(&r, all[d]->keys);

            assert_int_equal(key.p != NULL, rows[i].want[d] != NULL);
            assert_true(key.p == NULL || text_is(key, rows[i].want[d]));
        }
        buf_done(&b);
    }
}

/* The same request in three dialects gives the same prompt. */
static void readers(void **state)
{
    static const struct {
        int dialect;
        const char *body;
    } rows[] = {
        {OPENAI,
         "{\"model\":\"m\",\"temperature\":0.7,\"messages\":[{\"role\":\"system\",\"content\":\"be\\nkind\"},"
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"JOB:a-1.b hi\"},{\"type\":\"image_url\","
         "\"image_url\":{\"url\":\"u\"}}]}],\"max_tokens\":5,\"tools\":[{\"type\":\"function\",\"function\":"
         "{\"name\":\"f\",\"parameters\":{}}},{\"type\":\"function\",\"function\":{\"parameters\":{\"type\":"
         "\"object\"},\"name\":\"g\"}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}}"},
        {ANTHROPIC,
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"JOB:a-1.b hi\"},{\"type\":"
         "\"image\",\"source\":{\"type\":\"base64\",\"data\":\"QQ==\"}}]}],\"max_tokens\":5,\"model\":\"m\","
         "\"system\":[{\"type\":\"text\",\"text\":\"be\\nkind\"}],\"tools\":[{\"name\":\"f\",\"input_schema\":{}},"
         "{\"name\":\"g\",\"input_schema\":{\"type\":\"object\"}}],\"tool_choice\":{\"type\":\"tool\",\"name\":\"g\"}"
         "}"},
        {GEMINI,
         "{\"contents\":[{\"parts\":[{\"text\":\"JOB:a-1.b hi\"},{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":"
         "\"QQ==\"}}],\"role\":\"user\"}],\"generationConfig\":{\"maxOutputTokens\":5,\"temperature\":1},"
         "\"systemInstruction\":{\"parts\":[{\"text\":\"be\\nkind\"}]},\"tools\":[{\"functionDeclarations\":[{\"name\":"
         "\"f\",\"parameters\":{}},{\"name\":\"g\",\"parameters\":{\"type\":\"object\"}}]}],\"toolConfig\":"
         "{\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"g\",\"f\"]}}}"},
        {GEMINI, /* snake case, one object for a list */
         "{\"contents\":{\"parts\":[{\"text\":\"JOB:a-1.b hi\"},{\"file_data\":{\"file_uri\":\"u\"}}]},"
         "\"generation_config\":{\"max_output_tokens\":5},\"system_instruction\":{\"parts\":{\"text\":\"be\\nkind\"}},"
         "\"tools\":[{\"function_declarations\":[{\"name\":\"f\",\"parameters\":{}},{\"name\":\"g\","
         "\"parameters_json_schema\":{\"type\":\"object\"}}]}],\"tool_config\":{\"function_calling_config\":{\"mode\":"
         "\"ANY\",\"allowed_function_names\":[\"g\"]}}}"},
    };
    struct buf prompt;

    (void)state;
    buf_init(&prompt, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char tag[LABEL_BYTES];
        struct ask a;

        ask_init(&a, &prompt);
        if (rows[i].dialect == GEMINI)
            a.model = text_of("m");
        assert_int_equal(all[rows[i].dialect]->read(rows[i].body, strlen(rows[i].body), &a), PROBLEM_NONE);
        assert_true(text_is(a.model, "m"));
        assert_string_equal(prompt.p, "be\nkind\nJOB:a-1.b hi");
        assert_int_equal(a.max_tokens, 5);
        assert_int_equal(a.n_images, 1);
        assert_int_equal(a.n_tools, 2);
        assert_true(text_is(a.tools[1].name, "g"));
        assert_true(text_is(a.tools[1].schema, "{\"type\":\"object\"}"));
        assert_true(text_is(a.choice, "g"));
        assert_true(a.is_tool_forced);
        assert_false(a.is_stream);
        ask_job_tag(&prompt, tag);
        assert_string_equal(tag, "a-1.b");
    }
    buf_done(&prompt);
}

static void readers_say_what_is_wrong(void **state)
{
    static const struct {
        int dialect;
        const char *body;
        enum problem_kind want;
        const char *wrong;
    } rows[] = {
        {OPENAI, "", PROBLEM_NOT_JSON, NULL},
        {OPENAI, "[]", PROBLEM_NOT_JSON, NULL},
        {OPENAI, "{\"model\":", PROBLEM_NOT_JSON, NULL},
        {OPENAI, "{}", PROBLEM_NO_MODEL, NULL},
        {OPENAI, "{\"model\":\"m\"}", PROBLEM_NO_MESSAGES, NULL},
        {OPENAI, "{\"model\":\"m\",\"messages\":[]}", PROBLEM_NO_MESSAGES, NULL},
        {OPENAI, "{\"model\":\"m\",\"messages\":[{\"role\":\"model\"}]}", PROBLEM_ROLE, "model"},
        {OPENAI, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}],\"any\":1}", PROBLEM_NONE, NULL},
        {ANTHROPIC, "{", PROBLEM_NOT_JSON, NULL},
        {ANTHROPIC, "{}", PROBLEM_NO_MODEL, NULL},
        {ANTHROPIC, "{\"model\":\"m\"}", PROBLEM_NO_MESSAGES, NULL},
        {ANTHROPIC, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", PROBLEM_NO_MAX_TOKENS, NULL},
        {ANTHROPIC, "{\"model\":\"m\",\"messages\":[{\"role\":\"system\"}],\"max_tokens\":1}", PROBLEM_ROLE, "system"},
        {ANTHROPIC, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}],\"max_tokens\":1,\"seed\":1}", PROBLEM_FIELD,
         "seed"},
        {GEMINI, "{\"contents\":", PROBLEM_NOT_JSON, NULL},
        {GEMINI, "{}", PROBLEM_NO_MESSAGES, NULL},
        {GEMINI, "{\"contents\":[{\"role\":\"assistant\"}]}", PROBLEM_ROLE, "assistant"},
        {GEMINI, "{\"contents\":[{}],\"messages\":[]}", PROBLEM_FIELD, "messages"},
    };
    struct buf prompt;

    (void)state;
    buf_init(&prompt, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ask a;

        ask_init(&a, &prompt);
        assert_int_equal(all[rows[i].dialect]->read(rows[i].body, strlen(rows[i].body), &a), rows[i].want);
        if (rows[i].wrong != NULL)
            assert_true(text_is(a.wrong, rows[i].wrong));
    }
    buf_done(&prompt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes),
        cmocka_unit_test(keys_stand_where_the_dialect_has_them),
        cmocka_unit_test(readers),
        cmocka_unit_test(readers_say_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
