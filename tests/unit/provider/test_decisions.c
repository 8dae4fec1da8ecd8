/* SPDX-License-Identifier: Apache-2.0 */
/* Every error code of the three dialects with its decision: the fault that the dialect names, and what core/retry.c
 * makes of it. source  reference/providers.md 4.1, 4.4, 4.5, 4.11; reference/wire-oddities.md 31-41 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "core/retry.h"
#include "unit/provider/reply.h"

/* NEVER, ONCE: one more try (what was answered was paid for), AGAIN: until the attempts are used up; the _PAUSE ones
 * also stop the whole pool for a while. */
enum decision { NEVER, ONCE, AGAIN, AGAIN_PAUSE, NEVER_PAUSE };

static enum decision decide(const struct outcome *o)
{
    static const struct retry_conf conf = {.attempts = 5, .base_us = 1000, .cap_us = 10000};
    struct rng rng;
    struct retry_verdict first;
    struct retry_verdict second;

    rng_seed(&rng, 1);
    first = retry_judge(&conf, o, 1, INT64_MAX, &rng);
    second = retry_judge(&conf, o, 2, INT64_MAX, &rng);
    if (!first.is_again)
        return first.pause_us > 0 ? NEVER_PAUSE : NEVER;
    if (!second.is_again)
        return ONCE;
    return first.pause_us > 0 ? AGAIN_PAUSE : AGAIN;
}

struct row {
    int status;
    const char *head;
    const char *body;
    enum fault fault;
    const char *detail; /* NULL: none */
    enum decision decision;
    int64_t wait_us; /* the provider's hint, -1: none */
};

static void check(const char *api, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *want = rows[i].detail != NULL ? rows[i].detail : "-";
        const char *got;
        enum decision decision;
        struct reply r;

        reply_read_as(&r, api, rows[i].status, rows[i].head, rows[i].body);
        got = r.o.detail != NULL ? r.o.detail : "-";
        decision = r.o.fault != FAULT_NONE ? decide(&r.o) : AGAIN;
        if (r.o.fault != rows[i].fault || strcmp(want, got) != 0 || decision != rows[i].decision ||
            r.o.retry_after_us != rows[i].wait_us)
            print_error("%s row %zu: %d %s: %s %s decision %d wait %ld (%s)\n", api, i, rows[i].status, rows[i].body,
                        r.o.fault != FAULT_NONE ? fault_code(r.o.fault) : "ok", got, decision, (long)r.o.retry_after_us,
                        r.o.why);
        assert_int_equal(r.o.fault, rows[i].fault);
        assert_string_equal(got, want);
        assert_int_equal(decision, rows[i].decision);
        assert_true(r.o.retry_after_us == rows[i].wait_us);
        assert_true(r.o.why[0] != '\0');
        assert_null(r.o.answer.p);
        reply_done(&r);
    }
}

#define CODE(status, code, fault, decision) \
    { \
        status, NULL, "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"" code "\"}}", fault, code, decision, \
            -1 \
    }
#define NUMBER(status, code, fault, decision) \
    { \
        status, NULL, "{\"object\":\"error\",\"message\":\"m\",\"code\":\"" code "\"}", fault, NULL, decision, -1 \
    }
#define SAYS(status, message, fault, detail, decision) \
    { \
        status, NULL, "{\"error\":{\"message\":\"" message "\",\"type\":\"t\",\"code\":null}}", fault, detail, \
            decision, -1 \
    }
#define BARE(status, fault, detail, decision) \
    { \
        status, NULL, "", fault, detail, decision, -1 \
    }

static const struct row openai_rows[] = {
    CODE(429, "rate_limit_exceeded", FAULT_RATE_LIMITED, AGAIN_PAUSE),
    CODE(429, "rate_limit_error", FAULT_RATE_LIMITED, AGAIN_PAUSE),
    CODE(429, "rate_limited", FAULT_RATE_LIMITED, AGAIN_PAUSE),
    CODE(429, "too_many_requests", FAULT_RATE_LIMITED, AGAIN_PAUSE),
    CODE(429, "credit_limit", FAULT_RATE_LIMITED, AGAIN_PAUSE),
    CODE(498, "capacity_exceeded", FAULT_RATE_LIMITED, AGAIN_PAUSE),
    NUMBER(429, "1300", FAULT_RATE_LIMITED, AGAIN_PAUSE),
    CODE(503, "slow_down", FAULT_OVERLOADED, AGAIN),
    CODE(503, "server_is_overloaded", FAULT_OVERLOADED, AGAIN),
    CODE(503, "overloaded", FAULT_OVERLOADED, AGAIN),
    CODE(503, "overloaded_error", FAULT_OVERLOADED, AGAIN),
    CODE(429, "engine_overloaded_error", FAULT_OVERLOADED, AGAIN),
    CODE(429, "service_tier_capacity_exceeded", FAULT_OVERLOADED, AGAIN),
    CODE(503, "unavailable", FAULT_OVERLOADED, AGAIN),
    NUMBER(429, "3505", FAULT_OVERLOADED, AGAIN),
    NUMBER(429, "1305", FAULT_OVERLOADED, AGAIN),
    CODE(429, "insufficient_quota", FAULT_QUOTA_EXHAUSTED, NEVER),
    CODE(429, "credit_balance_exhausted", FAULT_QUOTA_EXHAUSTED, NEVER),
    CODE(429, "billing_hard_limit_reached", FAULT_QUOTA_EXHAUSTED, NEVER),
    CODE(403, "billing_not_active", FAULT_QUOTA_EXHAUSTED, NEVER),
    CODE(402, "insufficient_balance", FAULT_QUOTA_EXHAUSTED, NEVER),
    CODE(429, "exceeded_current_quota_error", FAULT_QUOTA_EXHAUSTED, NEVER),
    CODE(402, "payment_required", FAULT_QUOTA_EXHAUSTED, NEVER),
    CODE(401, "invalid_api_key", FAULT_AUTH, NEVER),
    CODE(400, "incorrect_api_key", FAULT_AUTH, NEVER),
    CODE(401, "wrong_api_key", FAULT_AUTH, NEVER),
    CODE(401, "authentication_error", FAULT_AUTH, NEVER),
    CODE(401, "invalid_authentication_error", FAULT_AUTH, NEVER),
    CODE(403, "permission_error", FAULT_AUTH, NEVER),
    CODE(403, "permission_denied", FAULT_AUTH, NEVER),
    CODE(401, "account_deactivated", FAULT_AUTH, NEVER),
    CODE(401, "unauthorized", FAULT_AUTH, NEVER),
    CODE(401, "unauthenticated", FAULT_AUTH, NEVER),
    CODE(404, "model_not_found", FAULT_MODEL_NOT_FOUND, NEVER),
    CODE(400, "model_decommissioned", FAULT_MODEL_NOT_FOUND, NEVER),
    CODE(400, "unknown_model", FAULT_MODEL_NOT_FOUND, NEVER),
    CODE(400, "invalid_model", FAULT_MODEL_NOT_FOUND, NEVER),
    CODE(404, "deploymentnotfound", FAULT_MODEL_NOT_FOUND, NEVER),
    CODE(400, "context_length_exceeded", FAULT_CONTEXT_LENGTH, NEVER),
    CODE(400, "too_many_prompt_tokens", FAULT_CONTEXT_LENGTH, NEVER),
    CODE(400, "too_many_tokens", FAULT_CONTEXT_LENGTH, NEVER),
    NUMBER(400, "3051", FAULT_CONTEXT_LENGTH, NEVER),
    CODE(400, "content_filter", FAULT_CONTENT_FILTERED, NEVER),
    CODE(400, "content_policy_violation", FAULT_CONTENT_FILTERED, NEVER),
    CODE(400, "responsibleaipolicyviolation", FAULT_CONTENT_FILTERED, NEVER),
    CODE(400, "data_inspection_failed", FAULT_CONTENT_FILTERED, NEVER),
    CODE(400, "moderation_blocked", FAULT_CONTENT_FILTERED, NEVER),
    CODE(400, "tool_use_failed", FAULT_BAD_RESPONSE, ONCE),
    /* no word of their own: only the message tells */
    SAYS(400, "This request exceeds the model's context window.", FAULT_CONTEXT_LENGTH, "context_length", NEVER),
    SAYS(402, "Insufficient credits. Add more to go on", FAULT_QUOTA_EXHAUSTED, "insufficient_balance", NEVER),
    SAYS(429, "Your team has used all available credits", FAULT_QUOTA_EXHAUSTED, "insufficient_balance", NEVER),
    SAYS(403, "The spend cap of this key is reached", FAULT_QUOTA_EXHAUSTED, "spend_limit_reached", NEVER),
    SAYS(400, "The response was filtered: it triggers Azure OpenAI's content management policy", FAULT_CONTENT_FILTERED,
         "content_filter", NEVER),
    SAYS(403, "m/x requires moderation on this host. Your input was flagged", FAULT_CONTENT_FILTERED, "content_filter",
         NEVER),
    SAYS(400, "Your request was rejected by our safety system", FAULT_CONTENT_FILTERED, "content_filter", NEVER),
    SAYS(400, "Model not found: x", FAULT_MODEL_NOT_FOUND, "model_not_found", NEVER),
    SAYS(400, "x/y is not a valid model ID", FAULT_MODEL_NOT_FOUND, "model_not_found", NEVER),
    /* 37: above the whole limit */
    {429, NULL, "{\"error\":{\"message\":\"Request too large for x\",\"code\":\"rate_limit_exceeded\"}}",
     FAULT_OVER_POOL, "request_too_large", NEVER, -1},
    /* 41: OpenRouter's day, told by the words and the body's headers */
    {429, NULL,
     "{\"error\":{\"message\":\"Rate limit exceeded: free-models-per-day. Add 10 credits\",\"code\":429,\"metadata\":"
     "{\"headers\":{\"X-RateLimit-Limit\":\"50\",\"X-RateLimit-Reset\":\"1763816400000\"}}}}",
     FAULT_QUOTA_EXHAUSTED, "quota_per_day", NEVER, INT64_C(3600000000)},
    /* x-should-retry wins, both ways */
    {429, "x-should-retry: false\r\nretry-after: 2\r\n", "", FAULT_RATE_LIMITED, NULL, NEVER_PAUSE, 2000000},
    {500, "x-should-retry: false\r\n", "", FAULT_PROVIDER_ERROR, NULL, NEVER, -1},
    {400, "x-should-retry: true\r\n", "", FAULT_INVALID_REQUEST, NULL, AGAIN, -1},
    {503, "retry-after: 3\r\n", "", FAULT_PROVIDER_ERROR, NULL, AGAIN, 3000000},
    /* statuses without a word */
    BARE(400, FAULT_INVALID_REQUEST, NULL, NEVER),
    BARE(401, FAULT_AUTH, NULL, NEVER),
    BARE(402, FAULT_QUOTA_EXHAUSTED, "payment_required", NEVER),
    BARE(403, FAULT_AUTH, "forbidden", NEVER),
    BARE(404, FAULT_MODEL_NOT_FOUND, NULL, NEVER),
    BARE(408, FAULT_TIMEOUT, "request_timeout", AGAIN),
    BARE(409, FAULT_PROVIDER_ERROR, "conflict", AGAIN),
    BARE(413, FAULT_INVALID_REQUEST, "request_too_large", NEVER),
    BARE(422, FAULT_INVALID_REQUEST, NULL, NEVER),
    BARE(424, FAULT_PROVIDER_ERROR, "failed_dependency", AGAIN),
    BARE(425, FAULT_PROVIDER_ERROR, "too_early", AGAIN),
    BARE(429, FAULT_RATE_LIMITED, NULL, AGAIN_PAUSE),
    BARE(500, FAULT_PROVIDER_ERROR, NULL, AGAIN),
    BARE(502, FAULT_PROVIDER_ERROR, NULL, AGAIN),
    BARE(503, FAULT_PROVIDER_ERROR, NULL, AGAIN),
    BARE(504, FAULT_PROVIDER_ERROR, "gateway_timeout", AGAIN),
    BARE(524, FAULT_PROVIDER_ERROR, "gateway_timeout", AGAIN),
    BARE(529, FAULT_OVERLOADED, NULL, AGAIN),
    BARE(200, FAULT_BAD_RESPONSE, "empty_body", ONCE),
    {200, NULL, "{\"choices\":[]}", FAULT_EMPTY_ANSWER, "empty_choices", ONCE, -1},
    {200, NULL, "{\"choices\":[{\"finish_reason\":\"error\"}]}", FAULT_BAD_RESPONSE, "finish_error", ONCE, -1},
    {200, NULL, "{\"choices\":[{\"finish_reason\":\"timeout\"}]}", FAULT_BAD_RESPONSE, "finish_error", ONCE, -1},
    {200, NULL, "{\"choices\":[{\"finish_reason\":\"insufficient_system_resource\"}]}", FAULT_OVERLOADED,
     "finish_error", AGAIN, -1},
    /* 32 in a 200: what it names, else a broken answer */
    {200, NULL, "{\"object\":\"error\",\"message\":\"m\"}", FAULT_BAD_RESPONSE, "no_choices", ONCE, -1},
    {200, NULL, "{\"object\":\"error\",\"message\":\"m\",\"code\":50001}", FAULT_BAD_RESPONSE, "no_choices", ONCE, -1},
    {200, NULL, "{\"object\":\"error\",\"message\":\"m\",\"type\":\"invalid_request_error\"}", FAULT_INVALID_REQUEST,
     NULL, NEVER, -1},
    {200, NULL, "{\"object\":\"error\",\"message\":\"the maximum context length is 9\",\"code\":40303}",
     FAULT_CONTEXT_LENGTH, "context_length", NEVER, -1},
    {200, NULL, "{\"code\":401,\"msg\":\"token expired\",\"success\":false}", FAULT_AUTH, NULL, NEVER, -1}, /* z.ai */
    {200, NULL, "{\"code\":500,\"msg\":\"m\",\"success\":false}", FAULT_PROVIDER_ERROR, NULL, AGAIN, -1},
    {200, NULL, "{\"message\":\"m\"}", FAULT_BAD_RESPONSE, "no_choices", ONCE, -1},
};

static void openai(void **state)
{
    (void)state;
    check("openai", openai_rows, ARRAY_LEN(openai_rows));
}

#define CLAUDE(type, message) \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"},\"request_id\":\"req_1\"}"
#define CLAUDE_CODE(code) \
    "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\",\"details\":{\"error_code\":" \
    "\"" code "\"}}}"
#define LIMITS \
    "anthropic-ratelimit-requests-remaining: 0\r\nanthropic-ratelimit-requests-reset: 2025-11-22T12:00:04Z\r\n" \
    "anthropic-ratelimit-tokens-remaining: 9\r\nanthropic-ratelimit-tokens-reset: 2025-11-22T12:00:30Z\r\n"

static const struct row anthropic_rows[] = {
    {400, NULL, CLAUDE("invalid_request_error", "m"), FAULT_INVALID_REQUEST, NULL, NEVER, -1},
    {400, NULL, CLAUDE("invalid_request_error", "`temperature` is deprecated for this model."), FAULT_INVALID_REQUEST,
     NULL, NEVER, -1},
    {400, NULL, CLAUDE("invalid_request_error", "prompt is too long: 3333404 tokens > 200000 maximum"),
     FAULT_CONTEXT_LENGTH, "context_length", NEVER, -1},
    {400, NULL, CLAUDE("invalid_request_error", "input length and `max_tokens` exceed context limit: 199 + 64 > 200"),
     FAULT_CONTEXT_LENGTH, "context_length", NEVER, -1},
    {400, NULL, CLAUDE("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
     FAULT_QUOTA_EXHAUSTED, "insufficient_balance", NEVER, -1},
    {400, NULL,
     CLAUDE("invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2026-01-01 at 00:00 UTC."),
     FAULT_QUOTA_EXHAUSTED, "spend_limit_reached", NEVER, -1},
    {400, NULL, CLAUDE("invalid_request_error", "This organization has been disabled."), FAULT_AUTH,
     "organization_disabled", NEVER, -1},
    {400, NULL, CLAUDE("invalid_request_error", "Output blocked by content filtering policy"), FAULT_CONTENT_FILTERED,
     "content_filter", NEVER, -1},
    {401, NULL, CLAUDE("authentication_error", "invalid x-api-key"), FAULT_AUTH, "authentication_error", NEVER, -1},
    {402, NULL, CLAUDE("billing_error", "m"), FAULT_QUOTA_EXHAUSTED, "billing_error", NEVER, -1},
    {403, NULL, CLAUDE("permission_error", "m"), FAULT_AUTH, "permission_error", NEVER, -1},
    {404, NULL, CLAUDE("not_found_error", "model: claude-x"), FAULT_MODEL_NOT_FOUND, "not_found_error", NEVER, -1},
    {409, NULL, CLAUDE("conflict_error", "m"), FAULT_PROVIDER_ERROR, "conflict_error", AGAIN, -1},
    {413, NULL, CLAUDE("request_too_large", "Request exceeds the maximum size"), FAULT_INVALID_REQUEST,
     "request_too_large", NEVER, -1},
    {429, "retry-after: 7\r\n", CLAUDE("rate_limit_error", "would exceed your organization's rate limit"),
     FAULT_RATE_LIMITED, "rate_limit_error", AGAIN_PAUSE, 7000000},
    {429, NULL, CLAUDE("rate_limit_error", "m"), FAULT_RATE_LIMITED, "rate_limit_error", AGAIN_PAUSE, -1},
    {429, LIMITS, CLAUDE("rate_limit_error", "m"), FAULT_RATE_LIMITED, "rate_limit_error", AGAIN_PAUSE, 4000000},
    {429, LIMITS "retry-after: 2\r\n", CLAUDE("rate_limit_error", "m"), FAULT_RATE_LIMITED, "rate_limit_error",
     AGAIN_PAUSE, 2000000},
    /* 37: no wait cures it */
    {429,
     "x-should-retry: false\r\nanthropic-ratelimit-input-tokens-remaining: 30000\r\n"
     "anthropic-ratelimit-input-tokens-reset: 1970-01-01T00:00:00Z\r\n",
     CLAUDE("rate_limit_error", "This request would exceed your organization's rate limit of 30,000 input tokens"),
     FAULT_OVER_POOL, "request_too_large", NEVER, -1},
    {429, "x-should-retry: false\r\n" LIMITS,
     CLAUDE("rate_limit_error", "This request would exceed your organization's rate limit of 30,000 input tokens"),
     FAULT_OVER_POOL, "request_too_large", NEVER, -1},
    {429, "x-should-retry: false\r\nretry-after: 7\r\n",
     CLAUDE("rate_limit_error", "This request would exceed your account's rate limit."), FAULT_RATE_LIMITED,
     "rate_limit_error", NEVER_PAUSE, 7000000},
    {429, LIMITS, CLAUDE("rate_limit_error", "Usage credits are required for long context requests."), FAULT_OVER_POOL,
     "long_context", NEVER, -1},
    {429, "x-should-retry: true\r\nretry-after: 1\r\n",
     CLAUDE("rate_limit_error", "Extra usage is required for long context requests."), FAULT_OVER_POOL, "long_context",
     NEVER, -1},
    {429, NULL, CLAUDE_CODE("enforced_spend_limit_reached"), FAULT_QUOTA_EXHAUSTED, "spend_limit_reached", NEVER, -1},
    {429, NULL, CLAUDE_CODE("contract_spend_limit_reached"), FAULT_QUOTA_EXHAUSTED, "spend_limit_reached", NEVER, -1},
    {429, "retry-after: 1\r\n", CLAUDE_CODE("ramp_limit_exceeded"), FAULT_RATE_LIMITED, "ramp_limit_exceeded",
     AGAIN_PAUSE, 1000000},
    {500, NULL, CLAUDE("api_error", "Internal server error"), FAULT_PROVIDER_ERROR, "api_error", AGAIN, -1},
    {504, NULL, CLAUDE("timeout_error", "m"), FAULT_PROVIDER_ERROR, "timeout_error", AGAIN, -1},
    {529, NULL, CLAUDE("overloaded_error", "Overloaded"), FAULT_OVERLOADED, "overloaded_error", AGAIN, -1},
    {529, "retry-after: 5\r\n", CLAUDE("overloaded_error", "Overloaded"), FAULT_OVERLOADED, "overloaded_error",
     AGAIN_PAUSE, 5000000},
    {529, "x-should-retry: false\r\n", CLAUDE("overloaded_error", "m"), FAULT_OVERLOADED, "overloaded_error", NEVER,
     -1},
    {400, "x-should-retry: true\r\n", CLAUDE("invalid_request_error", "m"), FAULT_INVALID_REQUEST, NULL, AGAIN, -1},
    /* 33: not JSON */
    {503, NULL, "upstream connect error or disconnect/reset before headers", FAULT_PROVIDER_ERROR, NULL, AGAIN, -1},
    {502, NULL, "<html>", FAULT_PROVIDER_ERROR, NULL, AGAIN, -1},
    {401, NULL, "", FAULT_AUTH, NULL, NEVER, -1},
    {404, NULL, "Not Found", FAULT_MODEL_NOT_FOUND, NULL, NEVER, -1},
    /* answers that are none */
    {200, NULL, "{\"content\":[],\"stop_reason\":\"refusal\"}", FAULT_CONTENT_FILTERED, "content_filter", NEVER, -1},
    {200, NULL, "{\"content\":[],\"stop_reason\":\"end_turn\"}", FAULT_EMPTY_ANSWER, "empty_content", ONCE, -1},
    {200, NULL, "{\"content\":", FAULT_BAD_RESPONSE, "bad_json", ONCE, -1},
    {200, NULL, CLAUDE("api_error", "m"), FAULT_PROVIDER_ERROR, "api_error", AGAIN, -1},
    {200, NULL, "{\"type\":\"error\",\"message\":\"m\"}", FAULT_BAD_RESPONSE, "no_content", ONCE, -1},
};

static void anthropic(void **state)
{
    (void)state;
    check("anthropic", anthropic_rows, ARRAY_LEN(anthropic_rows));
}

#define GOOGLE(code, status, message) \
    "{\"error\":{\"code\":" code ",\"message\":\"" message "\",\"status\":\"" status "\"}}"
#define GOOGLE_WITH(code, status, details) \
    "{\"error\":{\"code\":" code ",\"message\":\"You exceeded your current quota, please check your plan and billing " \
    "details\",\"status\":\"" status "\",\"details\":[" details "]}}"
#define RETRY_INFO(delay) "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"" delay "\"}"
#define QUOTA(id) \
    "{\"@type\":\"type.googleapis.com/" \
    "google.rpc.QuotaFailure\",\"violations\":[{\"quotaMetric\":\"m\",\"quotaId\":\"" id "\",\"quotaValue\":\"20\"}]}"
#define REASON(reason) \
    "{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"" reason "\",\"domain\":\"d\"}"
#define PER_MINUTE "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
#define PER_DAY    "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
#define PLAIN(status, word, fault, detail, decision) \
    { \
        status, NULL, GOOGLE(#status, word, "m"), fault, detail, decision, -1 \
    }

static const struct row gemini_rows[] = {
    PLAIN(400, "INVALID_ARGUMENT", FAULT_INVALID_REQUEST, NULL, NEVER),
    PLAIN(400, "FAILED_PRECONDITION", FAULT_INVALID_REQUEST, "failed_precondition", NEVER),
    PLAIN(400, "OUT_OF_RANGE", FAULT_INVALID_REQUEST, "out_of_range", NEVER),
    PLAIN(401, "UNAUTHENTICATED", FAULT_AUTH, "unauthenticated", NEVER),
    PLAIN(402, "FAILED_PRECONDITION", FAULT_QUOTA_EXHAUSTED, "payment_required", NEVER),
    PLAIN(402, "PAYMENT_REQUIRED", FAULT_QUOTA_EXHAUSTED, "payment_required", NEVER),
    PLAIN(403, "PERMISSION_DENIED", FAULT_AUTH, "permission_denied", NEVER),
    PLAIN(404, "NOT_FOUND", FAULT_MODEL_NOT_FOUND, "not_found", NEVER),
    PLAIN(409, "ABORTED", FAULT_PROVIDER_ERROR, "aborted", AGAIN),
    PLAIN(429, "RESOURCE_EXHAUSTED", FAULT_RATE_LIMITED, "resource_exhausted", AGAIN_PAUSE),
    PLAIN(499, "CANCELLED", FAULT_PROVIDER_ERROR, "cancelled", AGAIN),
    PLAIN(500, "INTERNAL", FAULT_PROVIDER_ERROR, "internal", AGAIN),
    PLAIN(501, "UNIMPLEMENTED", FAULT_INVALID_REQUEST, "unimplemented", NEVER),
    PLAIN(503, "UNAVAILABLE", FAULT_OVERLOADED, "unavailable", AGAIN),
    PLAIN(504, "DEADLINE_EXCEEDED", FAULT_PROVIDER_ERROR, "deadline_exceeded", AGAIN),
    {503, NULL, GOOGLE("503", "UNAVAILABLE", "The model is overloaded. Please try again later."), FAULT_OVERLOADED,
     "unavailable", AGAIN, -1},
    /* 34: a wrong key is 400 */
    {400, NULL, GOOGLE_WITH("400", "INVALID_ARGUMENT", REASON("API_KEY_INVALID")), FAULT_AUTH, "api_key_invalid", NEVER,
     -1},
    {400, NULL, GOOGLE("400", "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), FAULT_AUTH,
     "invalid_api_key", NEVER, -1},
    {403, NULL, GOOGLE_WITH("403", "PERMISSION_DENIED", REASON("SERVICE_DISABLED")), FAULT_AUTH, "service_disabled",
     NEVER, -1},
    {403, NULL, GOOGLE_WITH("403", "PERMISSION_DENIED", REASON("API_KEY_SERVICE_BLOCKED")), FAULT_AUTH,
     "api_key_service_blocked", NEVER, -1},
    {403, NULL, GOOGLE_WITH("403", "PERMISSION_DENIED", REASON("API_KEY_HTTP_REFERRER_BLOCKED")), FAULT_AUTH,
     "api_key_http_referrer_blocked", NEVER, -1},
    {403, NULL, GOOGLE_WITH("403", "PERMISSION_DENIED", REASON("API_KEY_IP_ADDRESS_BLOCKED")), FAULT_AUTH,
     "api_key_ip_address_blocked", NEVER, -1},
    {403, NULL, GOOGLE_WITH("403", "PERMISSION_DENIED", REASON("CONSUMER_SUSPENDED")), FAULT_AUTH, "consumer_suspended",
     NEVER, -1},
    {403, NULL, GOOGLE_WITH("403", "PERMISSION_DENIED", REASON("USER_PROJECT_DENIED")), FAULT_AUTH,
     "user_project_denied", NEVER, -1},
    {403, NULL, GOOGLE_WITH("403", "PERMISSION_DENIED", REASON("BILLING_DISABLED")), FAULT_QUOTA_EXHAUSTED,
     "billing_disabled", NEVER, -1},
    {401, NULL, GOOGLE_WITH("401", "UNAUTHENTICATED", REASON("ACCESS_TOKEN_EXPIRED")), FAULT_AUTH,
     "access_token_expired", NEVER, -1},
    {429, NULL, GOOGLE_WITH("429", "RESOURCE_EXHAUSTED", REASON("RATE_LIMIT_EXCEEDED")), FAULT_RATE_LIMITED,
     "rate_limit_exceeded", AGAIN_PAUSE, -1},
    /* 38: only the quota's name and RetryInfo tell */
    {429, NULL, GOOGLE_WITH("429", "RESOURCE_EXHAUSTED", QUOTA(PER_MINUTE) "," RETRY_INFO("38s")), FAULT_RATE_LIMITED,
     "resource_exhausted", AGAIN_PAUSE, 38000000},
    {429, NULL, GOOGLE_WITH("429", "RESOURCE_EXHAUSTED", RETRY_INFO("38.614529013s") "," QUOTA(PER_MINUTE)),
     FAULT_RATE_LIMITED, "resource_exhausted", AGAIN_PAUSE, 38614529},
    {429, NULL, GOOGLE_WITH("429", "RESOURCE_EXHAUSTED", QUOTA(PER_MINUTE) "," QUOTA(PER_DAY) "," RETRY_INFO("38s")),
     FAULT_QUOTA_EXHAUSTED, "quota_per_day", NEVER, -1},
    {429, NULL, "[" GOOGLE_WITH("429", "RESOURCE_EXHAUSTED", QUOTA(PER_DAY)) "]", FAULT_QUOTA_EXHAUSTED,
     "quota_per_day", NEVER, -1},
    {429, NULL, GOOGLE_WITH("429", "RESOURCE_EXHAUSTED", RETRY_INFO("soon") ",7,null"), FAULT_RATE_LIMITED,
     "resource_exhausted", AGAIN_PAUSE, -1},
    {429, NULL, GOOGLE_WITH("429", "RESOURCE_EXHAUSTED", RETRY_INFO("99999999999999999999s")), FAULT_RATE_LIMITED,
     "resource_exhausted", AGAIN_PAUSE, INT64_C(86400000000)},
    {503, NULL, GOOGLE_WITH("503", "UNAVAILABLE", RETRY_INFO("2s")), FAULT_OVERLOADED, "unavailable", AGAIN_PAUSE,
     2000000},
    /* 41: the message, when there are no details */
    {429, NULL, GOOGLE("429", "RESOURCE_EXHAUSTED", "Quota exceeded.\\nPlease retry in 38.614529013s."),
     FAULT_RATE_LIMITED, "resource_exhausted", AGAIN_PAUSE, 38614529},
    {429, NULL, GOOGLE("429", "RESOURCE_EXHAUSTED", "Please retry in a while"), FAULT_RATE_LIMITED,
     "resource_exhausted", AGAIN_PAUSE, -1},
    {429, NULL, GOOGLE("429", "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap."),
     FAULT_QUOTA_EXHAUSTED, "spend_limit_reached", NEVER, -1},
    /* 36 */
    {400, NULL,
     GOOGLE("400", "INVALID_ARGUMENT",
            "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576)."),
     FAULT_CONTEXT_LENGTH, "context_length", NEVER, -1},
    {429, "x-should-retry: false\r\n", GOOGLE("429", "RESOURCE_EXHAUSTED", "m"), FAULT_RATE_LIMITED,
     "resource_exhausted", NEVER_PAUSE, -1},
    {500, "x-should-retry: false\r\n", GOOGLE("500", "INTERNAL", "m"), FAULT_PROVIDER_ERROR, "internal", NEVER, -1},
    {502, NULL, "<html>", FAULT_PROVIDER_ERROR, NULL, AGAIN, -1},
    {404, NULL, "", FAULT_MODEL_NOT_FOUND, NULL, NEVER, -1},
    /* answers that are none */
    {200, NULL, "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}", FAULT_CONTENT_FILTERED, "prompt_blocked", NEVER,
     -1},
    {200, NULL, "{\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\"}]}", FAULT_BAD_RESPONSE,
     "finish_malformed", ONCE, -1},
    {200, NULL, "{\"candidates\":[{\"finishReason\":\"UNEXPECTED_TOOL_CALL\"}]}", FAULT_BAD_RESPONSE, "finish_unusable",
     ONCE, -1},
    {200, NULL, "{\"candidates\":[{\"finishReason\":\"OTHER\"}]}", FAULT_BAD_RESPONSE, "finish_error", ONCE, -1},
    {200, NULL, "{\"candidates\":[{\"finishReason\":\"STOP\"}]}", FAULT_EMPTY_ANSWER, "empty_text", ONCE, -1},
    {200, NULL, "{\"object\":\"error\",\"message\":\"m\"}", FAULT_BAD_RESPONSE, "no_candidates", ONCE, -1},
    {200, NULL, "{", FAULT_BAD_RESPONSE, "bad_json", ONCE, -1},
};

static void gemini(void **state)
{
    (void)state;
    check("gemini", gemini_rows, ARRAY_LEN(gemini_rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai),
        cmocka_unit_test(anthropic),
        cmocka_unit_test(gemini),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
