/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of the OpenAI-compatible family: reference/providers.md 4.11 and wire-oddities.md 31-43 as a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"
#include "unit/provider/reply.h"

#define ERR(code, type, message) \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"param\":null,\"code\":" code "}}"

static const struct row {
    int status;
    const char *body;
    enum fault fault;
    const char *detail; /* NULL: none */
} rows[] = {
    /* 429 */
    {429, ERR("\"rate_limit_exceeded\"", "requests", "Rate limit reached"), FAULT_RATE_LIMITED, "rate_limit_exceeded"},
    {429, ERR("\"slow_down\"", "server_error", "x"), FAULT_OVERLOADED, "slow_down"},
    {429, ERR("\"insufficient_quota\"", "insufficient_quota", "You exceeded your current quota"), FAULT_QUOTA_EXHAUSTED,
     "insufficient_quota"},
    {429, ERR("null", "insufficient_quota", "x"), FAULT_QUOTA_EXHAUSTED, "insufficient_quota"},
    {429, ERR("\"project_spend_limit_reached\"", "x", "x"), FAULT_QUOTA_EXHAUSTED, "spend_limit_reached"},
    {429,
     "[{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota, please check your plan and billing "
     "details\",\"status\":\"RESOURCE_EXHAUSTED\"}}]",
     FAULT_RATE_LIMITED, NULL}, /* 38: Gemini's everyday words */
    {429,
     ERR("\"rate_limit_exceeded\"", "tokens",
         "Request too large for gpt-5-nano in organization x on tokens per min (TPM): Limit 200000, Requested "
         "2500013."),
     FAULT_OVER_POOL, "request_too_large"}, /* 37 */
    {413, ERR("\"rate_limit_exceeded\"", "tokens", "Request too large for model `x` (TPM): Limit 6000, Requested 7000"),
     FAULT_OVER_POOL, "request_too_large"}, /* Groq */
    {429,
     "{\"object\":\"error\",\"message\":\"Requests rate limit exceeded\",\"type\":\"rate_limited\",\"param\":null,"
     "\"code\":\"1300\"}",
     FAULT_RATE_LIMITED, NULL},
    {429,
     "{\"object\":\"error\",\"message\":\"Service tier capacity exceeded\",\"type\":\"service_tier_capacity_exceeded\","
     "\"code\":\"3505\"}",
     FAULT_OVERLOADED, NULL},
    {429, ERR("\"1305\"", "x", "The model may be temporarily overloaded"), FAULT_OVERLOADED, NULL},
    {429, "Too many requests. For more on scraping GitHub", FAULT_RATE_LIMITED, NULL}, /* 33 */
    {429, "", FAULT_RATE_LIMITED, NULL},
    {498, ERR("\"capacity_exceeded\"", "x", "x"), FAULT_RATE_LIMITED, "capacity_exceeded"},
    /* keys */
    {401, ERR("\"invalid_api_key\"", "invalid_request_error", "Incorrect API key provided: sk-x."), FAULT_AUTH,
     "invalid_api_key"},
    {401, "<html><head><title>401 Authorization Required</title></head></html>", FAULT_AUTH, NULL},
    {401, "", FAULT_AUTH, NULL},
    {401, "{\"detail\":\"Invalid API Key\"}", FAULT_AUTH, NULL},
    {401, "{\"error\":{\"message\":\"No auth credentials found\",\"code\":401}}", FAULT_AUTH, NULL},
    {400, "{\"code\":\"invalid-argument\",\"error\":\"Incorrect API key provided: xa***z. You can obtain one\"}",
     FAULT_AUTH, "invalid_api_key"}, /* 34: xAI */
    {400,
     "[{\"error\":{\"code\":400,\"message\":\"API key not valid. Please pass a valid API key.\",\"status\":"
     "\"INVALID_ARGUMENT\"}}]",
     FAULT_AUTH, "invalid_api_key"},
    {403, "{\"error\":{\"message\":\"x\",\"code\":403}}", FAULT_AUTH, "forbidden"},
    /* money */
    {402,
     "{\"error\":{\"message\":\"Insufficient Balance\",\"type\":\"unknown_error\",\"code\":\"invalid_request_error\"}}",
     FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    {402, "", FAULT_QUOTA_EXHAUSTED, "payment_required"},
    {400, ERR("null", "invalid_request_error", "Your credit balance is too low to access the API"),
     FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    /* model */
    {404, ERR("\"model_not_found\"", "invalid_request_error", "The model `x` does not exist"), FAULT_MODEL_NOT_FOUND,
     "model_not_found"},
    {400, ERR("\"model_not_found\"", "invalid_request_error", "x"), FAULT_MODEL_NOT_FOUND, "model_not_found"},
    {400, ERR("\"model_decommissioned\"", "invalid_request_error", "x"), FAULT_MODEL_NOT_FOUND, "model_decommissioned"},
    {404, "{\"error\":\"model 'x' not found\"}", FAULT_MODEL_NOT_FOUND, NULL}, /* Ollama */
    {404, "Not Found", FAULT_MODEL_NOT_FOUND, NULL},
    {404, "{\"error\":{\"code\":\"404\",\"message\":\"Resource not found\"}}", FAULT_MODEL_NOT_FOUND, NULL},
    {404, ERR("null", "invalid_request_error", "This is not a chat model and thus not supported"),
     FAULT_INVALID_REQUEST, "not_a_chat_model"}, /* 35 */
    {404, "{\"error\":{\"message\":\"No endpoints found that support tool use.\",\"code\":404}}", FAULT_INVALID_REQUEST,
     "no_endpoints"},
    /* 36: context length */
    {400, ERR("\"context_length_exceeded\"", "invalid_request_error", "x"), FAULT_CONTEXT_LENGTH,
     "context_length_exceeded"},
    {400,
     ERR("\"invalid_request_error\"", "invalid_request_error",
         "This model's maximum context length is 1048565 tokens. However, you requested"),
     FAULT_CONTEXT_LENGTH, "context_length"},
    {400,
     "{\"object\":\"error\",\"message\":\"Prompt contains x tokens, too large for model with 131072 maximum context "
     "length\",\"type\":\"invalid_request_invalid_args\",\"code\":\"3051\"}",
     FAULT_CONTEXT_LENGTH, NULL},
    {400, ERR("400", "BadRequestError", "the model's context length is only 4096 tokens"), FAULT_CONTEXT_LENGTH,
     "context_length"}, /* vLLM */
    {400, "{\"error\":{\"message\":\"x\",\"type\":\"too_many_prompt_tokens\",\"code\":400}}", FAULT_CONTEXT_LENGTH,
     "too_many_prompt_tokens"},
    {400,
     "[{\"error\":{\"code\":400,\"message\":\"The input token count (1250074) exceeds the maximum number of tokens "
     "allowed (1048576).\",\"status\":\"INVALID_ARGUMENT\"}}]",
     FAULT_CONTEXT_LENGTH, "context_length"},
    /* 40: filter */
    {400,
     "{\"error\":{\"message\":\"The response was filtered\",\"type\":null,\"param\":\"prompt\",\"code\":"
     "\"content_filter\",\"status\":400,\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\"}}}",
     FAULT_CONTENT_FILTERED, "content_filter"},
    {403,
     "{\"error\":{\"message\":\"Provider returned error\",\"code\":403,\"metadata\":{\"raw\":\"{\\\"error\\\":"
     "\\\"Content violates usage guidelines.\\\"}\",\"provider_name\":\"xAI\"}}}",
     FAULT_CONTENT_FILTERED, "content_filter"},
    /* 32: envelopes not yet seen above */
    {401, "{\"message\":\"Unauthorized\",\"request_id\":\"r\"}", FAULT_AUTH, NULL},
    {401,
     "{\"message\":\"Wrong API "
     "Key\",\"type\":\"invalid_request_error\",\"param\":\"api_key\",\"code\":\"wrong_api_key\"}",
     FAULT_AUTH, "wrong_api_key"},                                                                      /* Cerebras */
    {400, "{\"error_code\":401,\"message\":\"Credential was not sent\"}", FAULT_INVALID_REQUEST, NULL}, /* Databricks */
    {401, "{\"error_code\":401,\"message\":\"Credential was not sent\"}", FAULT_AUTH, NULL},
    {400, "{\"error_type\":\"TOO_MANY_TOKENS\",\"id\":\"x\",\"message\":\"too many tokens: size limit exceeded by 9\"}",
     FAULT_CONTEXT_LENGTH, "too_many_tokens"}, /* Cohere */
    {400, "{\"__type\":\"com.amazon#ValidationException\",\"message\":\"The provided model identifier is invalid.\"}",
     FAULT_MODEL_NOT_FOUND, "model_not_found"}, /* Bedrock */
    {503, "{\"message\":\"Model is getting throttled. Please retry later\"}", FAULT_OVERLOADED, "overloaded"},
    {500, "{\"html-message\":\"x\"}", FAULT_PROVIDER_ERROR, NULL}, /* Portkey */
    {403, "{\"detail\":\"Forbidden\"}", FAULT_AUTH, "forbidden"},  /* AI21 */
    /* 33 */
    {408, "upstream request timeout", FAULT_TIMEOUT, "request_timeout"},
    {429, "Too many requests", FAULT_RATE_LIMITED, NULL},
    /* 35: and the model is 400 */
    {400, "{\"error\":{\"code\":\"unknown_model\",\"message\":\"Unknown model: x\"}}", FAULT_MODEL_NOT_FOUND,
     "unknown_model"},
    {404, "{\"error\":{\"message\":\"No endpoints found matching your data policy\",\"code\":404}}",
     FAULT_INVALID_REQUEST, "no_endpoints"},
    /* 36 */
    {400, "{\"error\":\"prompt too long; exceeded max context length by 4 tokens\"}", FAULT_CONTEXT_LENGTH,
     "context_length"},
    {400, "{\"message\":\"Input is too long for requested model.\"}", FAULT_CONTEXT_LENGTH, "context_length"},
    {400,
     "{\"code\":\"invalid-argument\",\"error\":\"This model's maximum prompt length is 131072 but the request contains "
     "537812 tokens.\"}",
     FAULT_CONTEXT_LENGTH, "context_length"}, /* xAI */
    {400, ERR("null", "invalid_request_error", "Your request exceeded model token limit: 8192"), FAULT_CONTEXT_LENGTH,
     "context_length"},                                                                               /* Moonshot */
    {400, ERR("\"1261\"", "x", "Prompt exceeds max length"), FAULT_CONTEXT_LENGTH, "context_length"}, /* z.ai */
    {400, ERR("400", "exceed_context_size_error", "the request exceeds the available context size, try increasing it"),
     FAULT_CONTEXT_LENGTH, "context_length"}, /* llama.cpp */
    {422, ERR("null", "x", "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 4000"), FAULT_CONTEXT_LENGTH,
     "context_length"}, /* TGI, Together */
    {400, ERR("null", "x", "The number of tokens is greater than the context length"), FAULT_CONTEXT_LENGTH,
     "context_length"}, /* LM Studio */
    {400, ERR("\"invalid_request_error\"", "invalid_request_error", "Model Not Exist"), FAULT_MODEL_NOT_FOUND,
     "model_not_found"}, /* DeepSeek */
    {400, ERR("\"invalid_request_error\"", "invalid_request_error", "Content Exists Risk"), FAULT_CONTENT_FILTERED,
     "content_filter"}, /* DeepSeek */
    {400,
     ERR("\"invalid_prompt\"", "invalid_request_error",
         "Invalid prompt: your prompt was flagged as potentially violating our usage policy."),
     FAULT_CONTENT_FILTERED, "content_filter"}, /* OpenAI's reasoning models */
    {400, "{\"message\":\"Input Tokens Exceeded: x\"}", FAULT_CONTEXT_LENGTH, "context_length"},
    {400, ERR("null", "invalid_request_error", "prompt is too long: 3333404 tokens > 200000 maximum"),
     FAULT_CONTEXT_LENGTH, "context_length"},
    /* 38: Google's details on its OpenAI surface */
    {429,
     "[{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota\",\"status\":\"RESOURCE_EXHAUSTED\","
     "\"details\":[{\"violations\":[{\"quotaId\":\"GenerateRequestsPerDayPerProjectPerModel-FreeTier\"}]}]}}]",
     FAULT_QUOTA_EXHAUSTED, "quota_per_day"},
    /* ours */
    {400, ERR("null", "invalid_request_error", "Unsupported parameter"), FAULT_INVALID_REQUEST, NULL},
    {400, "", FAULT_INVALID_REQUEST, NULL},
    {422, "{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\"}]}", FAULT_INVALID_REQUEST,
     NULL},
    {413, "Request Entity Too Large", FAULT_INVALID_REQUEST, "request_too_large"},
    {415, "{}", FAULT_INVALID_REQUEST, NULL},
    {301, "<html>", FAULT_INVALID_REQUEST, "redirect"},
    /* theirs */
    {408, "Request Timeout", FAULT_TIMEOUT, "request_timeout"},
    {409, "{}", FAULT_PROVIDER_ERROR, "conflict"},
    {425, "", FAULT_PROVIDER_ERROR, "too_early"},
    {500, ERR("null", "server_error", "The server had an error"), FAULT_PROVIDER_ERROR, NULL},
    {502, "<html>bad gateway</html>", FAULT_PROVIDER_ERROR, NULL},
    {503, "upstream connect error or disconnect/reset before headers", FAULT_PROVIDER_ERROR, NULL},
    {503, ERR("\"server_is_overloaded\"", "server_error", "x"), FAULT_OVERLOADED, "server_is_overloaded"},
    {503, "[{\"error\":{\"code\":503,\"message\":\"The model is overloaded.\",\"status\":\"UNAVAILABLE\"}}]",
     FAULT_OVERLOADED, "unavailable"},
    {503, "{\"error\":\"The service is currently at capacity\"}", FAULT_OVERLOADED, "overloaded"},
    {529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}", FAULT_OVERLOADED,
     "overloaded_error"},
    {529, "", FAULT_OVERLOADED, NULL},
    {504, "", FAULT_PROVIDER_ERROR, "gateway_timeout"},
    {599, "{\"error\":{\"message\":\"cut of", FAULT_PROVIDER_ERROR, NULL},
    /* 31: errors inside of 200 */
    {200,
     "{\"error\":{\"code\":502,\"message\":\"Upstream error\",\"metadata\":{\"provider_name\":\"DeepInfra\"}},"
     "\"user_id\":\"u\"}",
     FAULT_PROVIDER_ERROR, NULL},
    {200, "{\"error\":{\"code\":429,\"message\":\"busy\"}}", FAULT_RATE_LIMITED, NULL},
    {200,
     "{\"id\":\"x\",\"choices\":[{\"message\":{\"content\":\"half\"},\"finish_reason\":\"error\",\"error\":{\"code\":"
     "502,"
     "\"message\":\"Network connection lost.\"}}]}",
     FAULT_PROVIDER_ERROR, NULL},
    {200, "{\"error\":{\"code\":\"content_filter\",\"status\":400,\"innererror\":{\"code\":\"X\"}}}",
     FAULT_CONTENT_FILTERED, "content_filter"},
    {200, ERR("\"tool_use_failed\"", "invalid_request_error", "Failed to call a function"), FAULT_BAD_RESPONSE,
     "tool_use_failed"},
    {200, ERR("null", "invalid_request_error", "x"), FAULT_INVALID_REQUEST, NULL},
    {200, "{\"error\":\"something\"}", FAULT_PROVIDER_ERROR, NULL},
    {200, "{\"error\":null,\"choices\":[{\"message\":{\"content\":\"x\"}}]}", FAULT_NONE, NULL},
    {200, "{\"error\":{},\"choices\":[{\"message\":{\"content\":\"x\"}}]}", FAULT_NONE, NULL},
};

static void classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *want = rows[i].detail != NULL ? rows[i].detail : "-";
        const char *got;
        struct reply r;

        reply_read(&r, rows[i].status, NULL, rows[i].body);
        got = r.o.detail != NULL ? r.o.detail : "-";
        if (r.o.fault != rows[i].fault || strcmp(want, got) != 0)
            print_error("row %zu: %d %s: %s %s (%s)\n", i, rows[i].status, rows[i].body, fault_code(r.o.fault), got,
                        r.o.why);
        assert_int_equal(r.o.fault, rows[i].fault);
        assert_string_equal(got, want);
        assert_int_equal(r.o.http_status, rows[i].status);
        if (rows[i].fault != FAULT_NONE) {
            assert_null(r.o.answer.p);
            assert_true(r.o.why[0] != '\0');
        }
        assert_int_equal(r.o.retry_after_us, -1);
        reply_done(&r);
    }
}

static void why_tells_and_hides(void **state)
{
    static const struct {
        int status;
        const char *body;
        const char *why;
    } cases[] = {
        {401, ERR("\"invalid_api_key\"", "t", "Incorrect API key provided: sk-proj-ab*****Cd_9. You can find"),
         "HTTP 401: Incorrect API key provided: *** You can find"},
        {401, ERR("null", "t", "key 'gsk_abcdefgh' and Bearer abc.def-ghi; task-force stays"),
         "HTTP 401: key '***' and ***; task-force stays"},
        {401, ERR("null", "t", "key dapi0123456789 or AQ.Ab8xyz, tgp_v1_abc; FAQ.html stays"),
         "HTTP 401: key *** or ***, ***; FAQ.html stays"},
        {401, ERR("null", "t", "no key xai-abcdef, pplx-abcdef, hf_abcdef, csk-abcdef, nvapi-abcdef, sk_abcdef"),
         "HTTP 401: no key ***, ***, ***, ***, ***, ***"},
        {422,
         "{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\",\"input\":\"secret\"},{}]}",
         "HTTP 422: Field required"},
        {422,
         "{\"object\":\"error\",\"message\":{\"detail\":[{\"type\":\"x\",\"msg\":\"Input should be "
         "1\"}]},\"code\":null}",
         "HTTP 422: Input should be 1"},
        {401, "  <html>401</html>", "HTTP 401: an HTML page"},
        {503, "upstream connect error", "HTTP 503: upstream connect error"},
        {503, "", "HTTP 503"},
        {500, "{\"foo\":1}", "HTTP 500"},
        {400, "{\"error\":{\"message\":\"two\\nlines \\u00e9\"}}", "HTTP 400: two lines \xc3\xa9"},
        {404, "{\"error\":\"model 'x' not found\"}", "HTTP 404: model 'x' not found"},
        {200, "{\"object\":\"error\",\"message\":\"the host is asleep, sk-abcdef\",\"code\":50001}",
         "HTTP 200: the host is asleep, ***"},
        {200, "{\"code\":500,\"msg\":\"the host is asleep\"}", "HTTP 200: the host is asleep"},
        {200, "{\"object\":\"error\"}", "the answer has no list of contents"},
        {200, "{\"object\":\"chat\",\"message\":\"an answer\"}", "the answer has no list of contents"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply r;

        reply_read(&r, cases[i].status, NULL, cases[i].body);
        assert_string_equal(r.o.why, cases[i].why);
        reply_done(&r);
    }
}

#define OPENROUTER \
    "{\"error\":{\"message\":\"Rate limit exceeded\",\"code\":429,\"metadata\":{\"headers\":{\"X-RateLimit-Limit\":" \
    "\"20\",\"X-RateLimit-Reset\":\"1763812830000\"}}}}"
static const struct {
    int status;
    const char *head;
    const char *body;
    int64_t retry_after_us;
    enum retry_hint hint;
} hint_rows[] = {
    {429, "retry-after: 2\r\n", "", 2000000, RETRY_HINT_NONE},
    {429, "HTTP/2 429\r\nRetry-After: 1.5\r\nX-Should-Retry: true\r\n\r\n", "", 1500000, RETRY_HINT_YES},
    {429, "x-should-retry: false\r\n", "", -1, RETRY_HINT_NO},
    {500, "x-should-retry: false\r\nretry-after: 9\r\n", "", -1, RETRY_HINT_NO}, /* 41: only where it means waiting */
    {503, "retry-after: 9\r\n", "", 9000000, RETRY_HINT_NONE},
    {529, "retry-after: 9\r\n", "", 9000000, RETRY_HINT_NONE},
    {429, "retry-after-ms: 660\r\n", "", 660000, RETRY_HINT_NONE},
    {429, "retry-after-ms: 660\r\nretry-after: 1\r\n", "", 660000, RETRY_HINT_NONE},
    {429, "retry-after-ms: 0\r\nretry-after: 1\r\n", "", 1000000, RETRY_HINT_NONE}, /* Azure */
    {429, "retry-after: 0\r\n", "", 0, RETRY_HINT_NONE},
    {429, "retry-after: -1\r\n", "", -1, RETRY_HINT_NONE},
    {429, "retry-after: soon\r\n", "", -1, RETRY_HINT_NONE},
    {429, "retry-after: 1e3\r\n", "", -1, RETRY_HINT_NONE},
    {429, "retry-after: 9999999999999999999999\r\n", "", 86400000000, RETRY_HINT_NONE},
    {429, "retry-after: Sat, 22 Nov 2025 12:00:07 GMT\r\n", "", 7000000, RETRY_HINT_NONE},
    {429, "retry-after: Saturday, 22-Nov-25 12:00:07 GMT\r\n", "", 7000000, RETRY_HINT_NONE},
    {429, "retry-after: Sat Nov 22 12:00:07 2025\r\n", "", 7000000, RETRY_HINT_NONE},
    {429, "retry-after: Sat, 22 Nov 2025 11:00:00 GMT\r\n", "", 0, RETRY_HINT_NONE},
    {429, "retry-after: Sat, 22 Foo 2025 11:00:00 GMT\r\n", "", -1, RETRY_HINT_NONE},
    {429, "retry-after: 1\r\nretry-after: 3\r\n", "", 3000000, RETRY_HINT_NONE}, /* the last one wins */
    /* resets: of the limit that is used up; only without Retry-After, only for 429 */
    {429, "x-ratelimit-reset-requests: 21m36.001s\r\nx-ratelimit-reset-tokens: 6ms\r\n", "", 6000, RETRY_HINT_NONE},
    {429,
     "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1m26.4s\r\n"
     "x-ratelimit-remaining-tokens: 100\r\nx-ratelimit-reset-tokens: 6ms\r\n",
     "", 86400000, RETRY_HINT_NONE},
    {429, "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 8.64s\r\nretry-after: 1\r\n", "", 1000000,
     RETRY_HINT_NONE},
    {429,
     "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6s\r\n"
     "x-ratelimit-remaining-tokens: 100\r\nx-ratelimit-reset-tokens: 60s\r\n",
     "", 6000000, RETRY_HINT_NONE},
    {503, "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 8.64s\r\n", "", -1, RETRY_HINT_NONE},
    {429, "x-ratelimit-remaining-tokens: 200000\r\nx-ratelimit-reset-tokens: 0s\r\n", "", -1, RETRY_HINT_NONE},
    {429, "x-ratelimit-reset-requests: 60\r\n", "", 60000000, RETRY_HINT_NONE}, /* Azure */
    {429, "x-ratelimit-reset: 1763812803\r\n", "", 3000000, RETRY_HINT_NONE},
    {429, "x-ratelimit-reset: 1763812804500\r\n", "", 4500000, RETRY_HINT_NONE},
    {429, "x-ratelimit-reset-requests: 2025-11-22T12:00:08Z\r\n", "", 8000000, RETRY_HINT_NONE},
    {429, "x-ratelimit-reset-requests: 1970-01-01T00:00:00Z\r\n", "", -1, RETRY_HINT_NONE},
    {429, "x-ratelimit-reset-requests: 1m2x\r\n", "", -1, RETRY_HINT_NONE},
    {429, "", OPENROUTER, 30000000, RETRY_HINT_NONE},
    /* 43: names of other vendors; Azure's -1 is no limit */
    {429, "x-ratelimit-remaining-project-tokens: 0\r\nx-ratelimit-reset-project-tokens: 2s\r\n", "", 2000000,
     RETRY_HINT_NONE},
    {429, "x-ratelimit-type: UserByModelByDay\r\nx-ratelimit-timeremaining: 77\r\n", "", 77000000, RETRY_HINT_NONE},
    {429,
     "x-ratelimit-remaining-requests: -1\r\nx-ratelimit-reset-requests: 60\r\nx-ratelimit-remaining-tokens: 0\r\n"
     "x-ratelimit-reset-tokens: 3\r\n",
     "", 3000000, RETRY_HINT_NONE},
    {429, "x-ratelimit-remaining-tokens: 9223372036854767616\r\nx-ratelimit-reset-tokens: 24m28.8s\r\n", "", 1468800000,
     RETRY_HINT_NONE},
    {429, "x-ratelimit-remaining-requests-day: 0\r\nx-ratelimit-reset-requests-day: 3554.371318101883\r\n", "",
     3554371318, RETRY_HINT_NONE},
    {429, "ratelimit-remaining: 0\r\nratelimit-reset: 1\r\n", "", 1000000, RETRY_HINT_NONE},
    {429, "anthropic-ratelimit-tokens-remaining: 0\r\nanthropic-ratelimit-tokens-reset: 2025-11-22T12:00:08Z\r\n", "",
     8000000, RETRY_HINT_NONE}, /* a proxy in front of Anthropic */
    /* a body's words are no hint */
    {429, "", ERR("null", "x", "Please try again in 1.2s"), -1, RETRY_HINT_NONE},
    {401, "retry-after: 9\r\n", "", -1, RETRY_HINT_NONE},
};

static void hints(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hint_rows); i++) {
        struct reply r;

        reply_read(&r, hint_rows[i].status, hint_rows[i].head, hint_rows[i].body);
        if (r.o.retry_after_us != hint_rows[i].retry_after_us)
            print_error("row %zu: %s", i, hint_rows[i].head);
        assert_int_equal(r.o.retry_after_us, hint_rows[i].retry_after_us);
        assert_int_equal(r.o.hint, hint_rows[i].hint);
        reply_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes),
        cmocka_unit_test(why_tells_and_hides),
        cmocka_unit_test(hints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
