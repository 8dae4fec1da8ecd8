/* SPDX-License-Identifier: Apache-2.0 */
/* Google Gemini generateContent. Sends no limit headers and no retry-after: what a 429 has to say stands in its body.
 * No state; any thread. source  reference/providers.md 4.5; wire-oddities.md 8, 11, 14, 17, 26, 34, 36, 38, 39, 41;
 * ai.google.dev */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sim/dialect.h"

/* --- answer --- */

static const char *finish_of(const struct exchange *x)
{
    if (x->finish[0] != '\0')
        return x->finish;
    if (x->decision.fault == SIM_FILTER)
        return "SAFETY";
    return x->is_cut ? "MAX_TOKENS" : "STOP"; /* also behind a call: wire-oddities 11 */
}

static void add_usage(struct json_write *w, const struct exchange *x)
{
    int64_t answer = x->completion_tokens - x->reasoning_tokens;

    jw_key(w, "usageMetadata");
    jw_open(w, '{');
    jw_kv_int(w, "promptTokenCount", x->prompt_tokens);
    if (answer > 0) /* absent when there is nothing but thoughts: wire-oddities 17 */
        jw_kv_int(w, "candidatesTokenCount", answer);
    jw_kv_int(w, "totalTokenCount", x->prompt_tokens + x->completion_tokens);
    if (x->cached_tokens > 0)
        jw_kv_int(w, "cachedContentTokenCount", x->cached_tokens);
    jw_key(w, "promptTokensDetails");
    jw_open(w, '[');
    jw_open(w, '{');
    jw_kv_str(w, "modality", "TEXT");
    jw_kv_int(w, "tokenCount", x->prompt_tokens);
    jw_close(w, '}');
    jw_close(w, ']');
    if (x->reasoning_tokens > 0)
        jw_kv_int(w, "thoughtsTokenCount", x->reasoning_tokens);
    jw_close(w, '}');
}

static void add_text_part(struct json_write *w, struct text text, bool is_thought)
{
    jw_open(w, '{');
    jw_kv_text(w, "text", text);
    if (is_thought)
        jw_kv_bool(w, "thought", true);
    jw_close(w, '}');
}

static void add_call(struct json_write *w, const struct exchange *x)
{
    jw_open(w, '{');
    jw_key(w, "functionCall");
    jw_open(w, '{');
    jw_kv_str(w, "name", x->tool);
    jw_kv_raw(w, "args", answer_arguments(x));
    jw_close(w, '}');
    jw_close(w, '}');
}

/* One fragment: is_first has the thoughts, is_last the finish reason and the call. */
static void add_candidate(struct json_write *w, const struct exchange *x, struct text text, bool is_first, bool is_last)
{
    bool is_blocked = x->decision.fault == SIM_FILTER;

    jw_key(w, "candidates");
    jw_open(w, '[');
    jw_open(w, '{');
    if (!is_blocked) {
        jw_key(w, "content");
        jw_open(w, '{');
        if (text.len > 0 || x->tool[0] != '\0' || x->decision.fault == SIM_EMPTY ||
            (is_first && x->reasoning_tokens > 0)) {
            jw_key(w, "parts");
            jw_open(w, '[');
            if (is_first && x->reasoning_tokens > 0)
                add_text_part(w, TEXT_LIT("**Thinking** about it."), true);
            if (x->tool[0] != '\0')
                add_call(w, x);
            else if (text.len > 0 || x->decision.fault == SIM_EMPTY)
                add_text_part(w, text, false);
            jw_close(w, ']');
        }
        jw_kv_str(w, "role", "model");
        jw_close(w, '}');
    }
    if (is_last)
        jw_kv_str(w, "finishReason", finish_of(x));
    jw_kv_int(w, "index", 0);
    if (is_blocked)
        jw_kv_raw(
            w, "safetyRatings",
            TEXT_LIT("[{\"category\":\"HARM_CATEGORY_DANGEROUS_CONTENT\",\"probability\":\"HIGH\",\"blocked\":true}]"));
    jw_close(w, '}');
    jw_close(w, ']');
}

static void add_response(struct buf *body, const struct exchange *x, struct text text, bool is_first, bool is_last)
{
    struct json_write w;
    char id[64];

    answer_id(id, "", x);
    jw_init(&w, body);
    jw_open(&w, '{');
    if (x->decision.fault == SIM_REFUSAL)
        jw_kv_raw(&w, "promptFeedback", TEXT_LIT("{\"blockReason\":\"PROHIBITED_CONTENT\"}"));
    else
        add_candidate(&w, x, text, is_first, is_last);
    add_usage(&w, x);
    jw_kv_str(&w, "modelVersion", x->model->name);
    jw_kv_str(&w, "responseId", id);
    jw_close(&w, '}');
}

static void write_answer(struct buf *body, const struct exchange *x)
{
    struct buf scratch;

    buf_init(&scratch, 0);
    add_response(body, x, x->tool[0] != '\0' ? TEXT_NONE : answer_words(&scratch, x), true, true);
    buf_done(&scratch);
}

static void write_stream(struct buf *body, const struct exchange *x)
{
    bool is_first = true;
    struct buf scratch;
    struct text rest;
    struct text piece = TEXT_NONE;

    buf_init(&scratch, 0);
    rest = x->tool[0] != '\0' ? TEXT_NONE : answer_words(&scratch, x);
    do {
        (void)answer_next(&rest, 100, &piece);
        buf_add_str(body, !x->is_array ? "data: " : is_first ? "[" : ",\r\n");
        add_response(body, x, piece, is_first, rest.len == 0);
        if (!x->is_array)
            buf_add_str(body, "\r\n\r\n"); /* wire-oddities 26 */
        is_first = false;
    } while (rest.len > 0);
    if (x->is_array)
        buf_add_char(body, ']');
    buf_done(&scratch);
}

/* --- errors --- */

#define INVALID "INVALID_ARGUMENT"
#define QUOTA \
    "You exceeded your current quota, please check your plan and billing details. For more information on this " \
    "error, " \
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
static const struct problem_row problems[PROBLEM_MAX] = {
    [PROBLEM_NOT_JSON] = {400, INVALID, .message = "Invalid JSON payload received. Unexpected token."},
    [PROBLEM_NO_MESSAGES] = {400, INVALID, .message = "* GenerateContentRequest.contents: contents is not specified\n"},
    [PROBLEM_FIELD] = {400, INVALID,
                       .message = "Invalid JSON payload received. Unknown name \"{detail}\": Cannot find field."},
    [PROBLEM_ROLE] = {400, INVALID, .message = "Please use a valid role: user, model."},
    [PROBLEM_NO_KEY] = {403, "PERMISSION_DENIED",
                        .message = "Method doesn't allow unregistered callers (callers without established identity). "
                                   "Please use API Key or other form of API consumer identity to call this API."},
    [PROBLEM_BAD_KEY] = {400, INVALID, .message = "API key not valid. Please pass a valid API key."},
    [PROBLEM_FORBIDDEN] = {403, "PERMISSION_DENIED", .message = "The caller does not have permission"},
    [PROBLEM_MODEL] = {404, "NOT_FOUND",
                       .message = "models/{model} is not found for API version v1beta, or is not supported for "
                                  "generateContent. Call ListModels to see the list of available models and their "
                                  "supported methods."},
    [PROBLEM_ROUTE] = {404, "NOT_FOUND", .message = "Requested entity was not found."},
    [PROBLEM_TOO_LARGE] = {400, INVALID, .message = "Request payload size exceeds the limit: {limit} bytes."},
    [PROBLEM_CONTEXT] = {400, INVALID,
                         .message = "The input token count ({tokens}) exceeds the maximum number of tokens allowed "
                                    "({limit})."},
    [PROBLEM_FILTER] = {200, NULL, .message = ""}, /* an answer: a candidate without content */
    [PROBLEM_RATE] = {429, "RESOURCE_EXHAUSTED",
                      .message = QUOTA "\n* Quota exceeded for metric: {unit}, limit: {limit}, model: {model}\nPlease "
                                       "retry in {wait}."},
    [PROBLEM_NEVER] = {429, "RESOURCE_EXHAUSTED",
                       .message = QUOTA "\n* Quota exceeded for metric: {unit}, limit: {limit}, model: {model}"},
    [PROBLEM_CONCURRENCY] = {429, "RESOURCE_EXHAUSTED", .message = "Resource has been exhausted (e.g. check quota)."},
    [PROBLEM_QUOTA] = {429, "RESOURCE_EXHAUSTED", "GenerateRequestsPerDayPerProjectPerModel",
                       .message = QUOTA "\n* Quota exceeded for metric: "
                                        "generativelanguage.googleapis.com/generate_requests_per_model_per_day, "
                                        "limit: 0, model: {model}"},
    [PROBLEM_SERVER] = {500, "INTERNAL",
                        .message = "An internal error has occurred. Please retry or report in "
                                   "https://developers.generativeai.google/guide/troubleshooting"},
    [PROBLEM_UNAVAILABLE] = {503, "UNAVAILABLE", .message = "The service is currently unavailable."},
    [PROBLEM_OVERLOADED] = {503, "UNAVAILABLE", .message = "The model is overloaded. Please try again later."},
    [PROBLEM_INSIDE_200] = {200, "UNAVAILABLE", .message = "The model is overloaded. Please try again later."},
    [PROBLEM_STATUS] = {0, NULL, .message = "This status was ordered."},
};
#undef INVALID
#undef QUOTA

/* source  google.rpc.Code and its HTTP mapping */
static const char *word_of_status(int status)
{
    static const struct {
        int status;
        const char *word;
    } rows[] = {{401, "UNAUTHENTICATED"}, {403, "PERMISSION_DENIED"},  {404, "NOT_FOUND"},
                {409, "ABORTED"},         {429, "RESOURCE_EXHAUSTED"}, {499, "CANCELLED"},
                {501, "UNIMPLEMENTED"},   {503, "UNAVAILABLE"},        {504, "DEADLINE_EXCEEDED"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].word;
    return status < 500 ? "FAILED_PRECONDITION" : "INTERNAL";
}

#define METRIC "generativelanguage.googleapis.com/"
static const struct quota {
    const char *metric;
    const char *id;
} quotas[] = {
    [METER_REQUESTS] = {METRIC "generate_requests_per_model", "GenerateRequestsPerMinutePerProjectPerModel"},
    [METER_TOKENS] = {METRIC "generate_content_paid_tier_token_count",
                      "GenerateContentPaidTierTokensPerModelPerMinute"},
    [METER_INPUT] = {METRIC "generate_content_paid_tier_input_token_count",
                     "GenerateContentPaidTierInputTokensPerModelPerMinute"},
    [METER_OUTPUT] = {METRIC "generate_content_paid_tier_output_token_count",
                      "GenerateContentPaidTierOutputTokensPerModelPerMinute"},
    [METER_CONCURRENCY] = {METRIC "concurrent_requests", "ConcurrentRequestsPerProjectPerModel"},
};
static const struct quota daily = {METRIC "generate_requests_per_model_per_day",
                                   "GenerateRequestsPerDayPerProjectPerModel"};
#undef METRIC

static void open_detail(struct json_write *w, const char *type)
{
    char url[80];

    (void)snprintf(url, sizeof(url), "type.googleapis.com/google.rpc.%s", type);
    jw_open(w, '{');
    jw_kv_str(w, "@type", url);
}

static void add_quota_failure(struct json_write *w, const struct problem *p, const struct quota *quota)
{
    char value[24];

    (void)snprintf(value, sizeof(value), "%lld", (long long)p->limit);
    open_detail(w, "QuotaFailure");
    jw_key(w, "violations");
    jw_open(w, '[');
    jw_open(w, '{');
    jw_kv_str(w, "quotaMetric", quota->metric);
    jw_kv_str(w, "quotaId", quota->id);
    jw_key(w, "quotaDimensions");
    jw_open(w, '{');
    jw_kv_str(w, "location", "global");
    jw_kv_str(w, "model", p->model);
    jw_close(w, '}');
    jw_kv_str(w, "quotaValue", value);
    jw_close(w, '}');
    jw_close(w, ']');
    jw_close(w, '}');
}

/* "38s", "0.250s": a protobuf duration */
static void add_retry_info(struct json_write *w, int64_t wait_us)
{
    int64_t ms = (wait_us + 999) / 1000;
    char delay[32];

    if (ms % 1000 == 0)
        (void)snprintf(delay, sizeof(delay), "%llds", (long long)(ms / 1000));
    else
        (void)snprintf(delay, sizeof(delay), "%lld.%03llds", (long long)(ms / 1000), (long long)(ms % 1000));
    open_detail(w, "RetryInfo");
    jw_kv_str(w, "retryDelay", delay);
    jw_close(w, '}');
}

static void add_key_info(struct json_write *w)
{
    open_detail(w, "ErrorInfo");
    jw_kv_str(w, "reason", "API_KEY_INVALID");
    jw_kv_str(w, "domain", "googleapis.com");
    jw_kv_raw(w, "metadata", TEXT_LIT("{\"service\":\"generativelanguage.googleapis.com\"}"));
    jw_close(w, '}');
    open_detail(w, "LocalizedMessage");
    jw_kv_str(w, "locale", "en-US");
    jw_kv_str(w, "message", "API key not valid. Please pass a valid API key.");
    jw_close(w, '}');
}

static void add_details(struct json_write *w, const struct problem *p, struct text message)
{
    bool has_wait = p->wait_us >= 0 && (p->status == 429 || p->status == 503);
    bool is_field = p->kind == PROBLEM_FIELD || p->kind == PROBLEM_NOT_JSON;

    if (p->over == NULL && p->kind != PROBLEM_QUOTA && p->kind != PROBLEM_BAD_KEY && !has_wait && !is_field)
        return;
    jw_key(w, "details");
    jw_open(w, '[');
    if (p->kind == PROBLEM_QUOTA)
        add_quota_failure(w, p, &daily);
    else if (p->over != NULL)
        add_quota_failure(w, p, &quotas[p->over->dimension]);
    if (p->kind == PROBLEM_BAD_KEY)
        add_key_info(w);
    if (is_field) {
        open_detail(w, "BadRequest");
        jw_key(w, "fieldViolations");
        jw_open(w, '[');
        jw_open(w, '{');
        jw_kv_text(w, "description", message);
        jw_close(w, '}');
        jw_close(w, ']');
        jw_close(w, '}');
    }
    if (p->status == 429)
        jw_raw(w,
               TEXT_LIT("{\"@type\":\"type.googleapis.com/google.rpc.Help\",\"links\":[{\"description\":\"Learn more "
                        "about Gemini API quotas\",\"url\":\"https://ai.google.dev/gemini-api/docs/rate-limits\"}]}"));
    if (has_wait)
        add_retry_info(w, p->wait_us);
    jw_close(w, ']');
}

static void write_error(struct buf *body, const struct problem *problem)
{
    const struct problem_row *row = &problems[problem->kind];
    struct problem p = *problem;
    const char *message = row->message;
    struct buf buf;
    struct text text;
    struct json_write w;

    if (p.over != NULL)
        p.unit = quotas[p.over->dimension].metric;
    else if (p.kind == PROBLEM_RATE) /* although no limit was reached */
        message = "Resource exhausted. Please try again later.";
    if (p.kind == PROBLEM_STATUS && p.detail.p != NULL)
        message = "{detail}";
    buf_init(&buf, 0);
    problem_say(&buf, message, &p);
    text = text_slice(buf.p, buf.len);
    jw_init(&w, body);
    jw_open(&w, '{');
    jw_key(&w, "error");
    jw_open(&w, '{');
    jw_kv_int(&w, "code", p.kind == PROBLEM_INSIDE_200 ? 503 : p.status);
    jw_kv_text(&w, "message", text);
    jw_kv_str(&w, "status", row->type != NULL ? row->type : word_of_status(p.status));
    add_details(&w, &p, text);
    jw_close(&w, '}');
    jw_close(&w, '}');
    buf_done(&buf);
}

/* --- lists --- */

static void add_model(struct json_write *w, const struct sim_model *m)
{
    char name[ASK_MODEL_BYTES + 8];

    (void)snprintf(name, sizeof(name), "models/%s", m->name);
    jw_open(w, '{');
    jw_kv_str(w, "name", name);
    jw_kv_str(w, "version", "001");
    jw_kv_str(w, "displayName", m->name);
    jw_kv_str(w, "description", "Simulated");
    jw_kv_int(w, "inputTokenLimit", m->context_tokens > 0 ? m->context_tokens : 1048576);
    jw_kv_int(w, "outputTokenLimit", 65536);
    jw_kv_raw(w, "supportedGenerationMethods", TEXT_LIT("[\"generateContent\",\"countTokens\"]"));
    jw_close(w, '}');
}

static void write_models(struct buf *body, const struct sim_conf *conf, const struct sim_model *only)
{
    struct json_write w;

    jw_init(&w, body);
    if (only != NULL) {
        add_model(&w, only);
        return;
    }
    jw_open(&w, '{');
    jw_key(&w, "models");
    jw_open(&w, '[');
    for (size_t i = 0; i < conf->n_models; i++)
        add_model(&w, &conf->models[i]);
    jw_close(&w, ']');
    jw_close(&w, '}');
}

static void write_count(struct buf *body, int64_t tokens)
{
    buf_printf(body, "{\"totalTokens\":%lld,\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":%lld}]}",
               (long long)tokens, (long long)tokens);
}

static const struct route routes[] = {{":generateContent", OP_GENERATE},
                                      {":streamGenerateContent", OP_STREAM},
                                      {":countTokens", OP_COUNT},
                                      {NULL, OP_NONE}};

const struct dialect dialect_gemini = {
    .name = "gemini",
    .routes = routes,
    .problems = problems,
    .time_header = "server-timing: gfet4t7; dur=",
    .keys = 1U << KEY_GOOGLE | 1U << KEY_QUERY,
    .image_tokens = 258,
    .refusal_tokens = 0,
    .read = gemini_read,
    .write_answer = write_answer,
    .write_stream = write_stream,
    .write_error = write_error,
    .write_models = write_models,
    .write_count = write_count,
};
