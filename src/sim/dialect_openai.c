/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI chat completions, also under any other base path, as the many compatible services offer them. No state; any
 * thread.  source  reference/providers.md 4.1, 4.8; wire-oddities.md 6, 11, 31, 32, 36, 37, 42 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sim/dialect.h"

#define REFUSAL "I'm sorry, but I can't assist with that request."

/* --- answer --- */

static void add_usage(struct json_write *w, const struct exchange *x)
{
    jw_key(w, "usage");
    jw_open(w, '{');
    jw_kv_int(w, "prompt_tokens", x->prompt_tokens);
    jw_kv_int(w, "completion_tokens", x->completion_tokens);
    jw_kv_int(w, "total_tokens", x->prompt_tokens + x->completion_tokens);
    jw_key(w, "prompt_tokens_details");
    jw_open(w, '{');
    jw_kv_int(w, "cached_tokens", x->cached_tokens);
    jw_kv_int(w, "audio_tokens", 0);
    jw_close(w, '}');
    jw_key(w, "completion_tokens_details");
    jw_open(w, '{');
    jw_kv_int(w, "reasoning_tokens", x->reasoning_tokens);
    jw_kv_int(w, "audio_tokens", 0);
    jw_kv_int(w, "accepted_prediction_tokens", 0);
    jw_kv_int(w, "rejected_prediction_tokens", 0);
    jw_close(w, '}');
    jw_close(w, '}');
}

static const char *finish_of(const struct exchange *x)
{
    if (x->finish[0] != '\0')
        return x->finish;
    if (x->tool[0] != '\0' && !x->is_tool_named) /* a named one ends with "stop": wire-oddities 11 */
        return "tool_calls";
    return x->is_cut ? "length" : "stop";
}

/* is_delta: in a stream the calls have an index. */
static void add_tool_calls(struct json_write *w, const struct exchange *x, bool is_delta)
{
    char id[64];

    answer_id(id, "call_", x);
    jw_key(w, "tool_calls");
    jw_open(w, '[');
    jw_open(w, '{');
    if (is_delta)
        jw_kv_int(w, "index", 0);
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "type", "function");
    jw_key(w, "function");
    jw_open(w, '{');
    jw_kv_str(w, "name", x->tool);
    jw_kv_text(w, "arguments", answer_arguments(x));
    jw_close(w, '}');
    jw_close(w, '}');
    jw_close(w, ']');
}

static void add_message(struct json_write *w, const struct exchange *x)
{
    struct buf scratch;

    buf_init(&scratch, 0);
    jw_key(w, "message");
    jw_open(w, '{');
    jw_kv_str(w, "role", "assistant");
    if (x->tool[0] != '\0') {
        jw_kv_null(w, "content");
        add_tool_calls(w, x, false);
        jw_kv_null(w, "refusal");
    } else if (x->decision.fault == SIM_REFUSAL) {
        jw_kv_null(w, "content");
        jw_kv_str(w, "refusal", REFUSAL);
    } else {
        jw_kv_text(w, "content", answer_words(&scratch, x));
        jw_kv_null(w, "refusal");
    }
    jw_close(w, '}');
    buf_done(&scratch);
}

static void add_frame(struct json_write *w, const struct exchange *x, const char *object)
{
    char id[64];

    answer_id(id, "chatcmpl-", x);
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "object", object);
    jw_kv_int(w, "created", x->arrived_ms / 1000);
    jw_kv_str(w, "model", x->model->name);
}

static void write_answer(struct buf *body, const struct exchange *x)
{
    struct json_write w;

    jw_init(&w, body);
    jw_open(&w, '{');
    add_frame(&w, x, "chat.completion");
    jw_key(&w, "choices");
    jw_open(&w, '[');
    jw_open(&w, '{');
    jw_kv_int(&w, "index", 0);
    add_message(&w, x);
    jw_kv_null(&w, "logprobs");
    jw_kv_str(&w, "finish_reason", finish_of(x));
    jw_close(&w, '}');
    jw_close(&w, ']');
    add_usage(&w, x);
    jw_kv_str(&w, "service_tier", "default");
    jw_kv_str(&w, "system_fingerprint", "fp_simulated");
    jw_close(&w, '}');
}

/* --- stream --- */

enum piece { PIECE_ROLE, PIECE_TEXT, PIECE_TOOL, PIECE_REFUSAL, PIECE_END };

static void add_chunk(struct buf *body, const struct exchange *x, enum piece piece, struct text text)
{
    struct json_write w;

    buf_add_str(body, "data: ");
    jw_init(&w, body);
    jw_open(&w, '{');
    add_frame(&w, x, "chat.completion.chunk");
    jw_key(&w, "choices");
    jw_open(&w, '[');
    jw_open(&w, '{');
    jw_kv_int(&w, "index", 0);
    jw_key(&w, "delta");
    jw_open(&w, '{');
    if (piece == PIECE_ROLE) {
        jw_kv_str(&w, "role", "assistant");
        jw_kv_str(&w, "content", "");
    } else if (piece == PIECE_TEXT) {
        jw_kv_text(&w, "content", text);
    } else if (piece == PIECE_TOOL) {
        add_tool_calls(&w, x, true);
    } else if (piece == PIECE_REFUSAL) {
        jw_kv_str(&w, "refusal", REFUSAL);
    }
    jw_close(&w, '}');
    jw_kv_null(&w, "logprobs");
    jw_kv_str(&w, "finish_reason", piece == PIECE_END ? finish_of(x) : NULL);
    jw_close(&w, '}');
    jw_close(&w, ']');
    jw_close(&w, '}');
    buf_add_str(body, "\n\n");
}

static void write_stream(struct buf *body, const struct exchange *x)
{
    struct buf scratch;
    struct text rest;
    struct text piece;

    buf_init(&scratch, 0);
    rest = answer_words(&scratch, x);
    add_chunk(body, x, PIECE_ROLE, TEXT_NONE);
    if (x->tool[0] != '\0')
        add_chunk(body, x, PIECE_TOOL, TEXT_NONE);
    else if (x->decision.fault == SIM_REFUSAL)
        add_chunk(body, x, PIECE_REFUSAL, TEXT_NONE);
    else
        while (answer_next(&rest, 100, &piece))
            add_chunk(body, x, PIECE_TEXT, piece);
    add_chunk(body, x, PIECE_END, TEXT_NONE);
    if (x->includes_usage) {
        struct json_write w;

        buf_add_str(body, "data: ");
        jw_init(&w, body);
        jw_open(&w, '{');
        add_frame(&w, x, "chat.completion.chunk");
        jw_key(&w, "choices");
        jw_open(&w, '[');
        jw_close(&w, ']');
        add_usage(&w, x);
        jw_close(&w, '}');
        buf_add_str(body, "\n\n");
    }
    buf_add_str(body, "data: [DONE]\n\n");
    buf_done(&scratch);
}

/* --- errors --- */

#define INVALID "invalid_request_error"
static const struct problem_row problems[PROBLEM_MAX] = {
    [PROBLEM_NOT_JSON] = {400, INVALID, NULL, NULL,
                          "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
                          "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was "
                          "not valid JSON.)"},
    [PROBLEM_NO_MODEL] = {400, INVALID, NULL, NULL, "you must provide a model parameter"},
    [PROBLEM_NO_MESSAGES] = {400, INVALID, "missing_required_parameter", "messages",
                             "Missing required parameter: 'messages'."},
    [PROBLEM_ROLE] = {400, INVALID, "invalid_value", "messages",
                      "Invalid value: '{detail}'. Supported values are: 'system', 'assistant', 'user', 'function', "
                      "'tool', and 'developer'."},
    [PROBLEM_NO_KEY] = {401, INVALID, NULL, NULL,
                        "You didn't provide an API key. You need to provide your API key in an Authorization header "
                        "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."},
    [PROBLEM_BAD_KEY] = {401, INVALID, "invalid_api_key", NULL,
                         "Incorrect API key provided: {detail}*****. You can find your API key at "
                         "https://platform.openai.com/account/api-keys."},
    [PROBLEM_FORBIDDEN] = {403, INVALID, "unsupported_country_region_territory", NULL,
                           "Country, region, or territory not supported"},
    [PROBLEM_MODEL] = {404, INVALID, "model_not_found", NULL,
                       "The model `{model}` does not exist or you do not have access to it."},
    [PROBLEM_ROUTE] = {404, INVALID, NULL, NULL, "Invalid URL ({detail})"},
    [PROBLEM_TOO_LARGE] = {413, INVALID, NULL, NULL, "Maximum content size limit ({limit}) exceeded: too large"},
    [PROBLEM_CONTEXT] = {400, INVALID, "context_length_exceeded", "messages",
                         "This model's maximum context length is {limit} tokens. However, your messages resulted in "
                         "{tokens} tokens. Please reduce the length of the messages."},
    [PROBLEM_FILTER] = {400, NULL, "content_filter", "prompt",
                        "The response was filtered due to the prompt triggering Azure OpenAI's content management "
                        "policy. Please modify your prompt and retry."},
    [PROBLEM_RATE] = {429, NULL, "rate_limit_exceeded", NULL,
                      "Rate limit reached for {model} in organization org-simulated on {unit}: Limit {limit}, Used "
                      "{used}, Requested {requested}. Please try again in {wait}. Visit "
                      "https://platform.openai.com/account/rate-limits to learn more."},
    [PROBLEM_NEVER] = {429, NULL, "rate_limit_exceeded", NULL,
                       "Request too large for {model} in organization org-simulated on {unit}: Limit {limit}, "
                       "Requested {requested}. The input or output tokens must be reduced in order to run "
                       "successfully. Visit https://platform.openai.com/account/rate-limits to learn more."},
    [PROBLEM_CONCURRENCY] = {429, NULL, "rate_limit_exceeded", NULL,
                             "Rate limit reached for {model} in organization org-simulated on {unit}: Limit {limit}, "
                             "Used {used}, Requested {requested}. Please try again in {wait}."},
    [PROBLEM_QUOTA] = {429, "insufficient_quota", "insufficient_quota", NULL,
                       "You exceeded your current quota, please check your plan and billing details. For more "
                       "information on this error, read the docs: "
                       "https://platform.openai.com/docs/guides/error-codes/api-errors."},
    [PROBLEM_SERVER] = {500, "server_error", NULL, NULL,
                        "The server had an error while processing your request. Sorry about that! You can retry your "
                        "request, or contact us through our help center at help.openai.com if you keep seeing this "
                        "error."},
    [PROBLEM_UNAVAILABLE] = {503, "server_error", "server_is_overloaded", NULL,
                             "That model is currently overloaded with other requests. You can retry your request."},
    [PROBLEM_OVERLOADED] = {503, "service_unavailable_error", "slow_down", NULL,
                            "Our servers are currently overloaded. Please slow down and try again later."},
    [PROBLEM_INSIDE_200] = {200, NULL, NULL, NULL, "Upstream error from the simulated provider"},
    [PROBLEM_STATUS] = {0, NULL, NULL, NULL, "This status was ordered."},
};
#undef INVALID

static const char *type_of(const struct problem *p)
{
    const char *type = problems[p->kind].type;
    bool is_requests =
        p->over == NULL || p->over->dimension == METER_REQUESTS || p->over->dimension == METER_CONCURRENCY;

    if (type != NULL || p->kind == PROBLEM_FILTER)
        return type;
    if (p->kind == PROBLEM_STATUS)
        return p->status < 500 ? "invalid_request_error" : "server_error";
    return is_requests ? "requests" : "tokens";
}

/* As OpenRouter puts an error of its upstream into a 200: wire-oddities 31. */
static void write_inside(struct buf *body)
{
    buf_add_str(body,
                "{\"error\":{\"message\":\"Upstream error from the simulated provider\",\"code\":502,\"metadata\":"
                "{\"provider_name\":\"Simulated\"}},\"user_id\":\"user_simulated\"}");
}

static void write_error(struct buf *body, const struct problem *problem)
{
    static const char *const units[] = {"requests per min (RPM)", "tokens per min (TPM)", "input tokens per min (ITPM)",
                                        "output tokens per min (OTPM)", "concurrent requests"};
    const struct problem_row *row = &problems[problem->kind];
    struct problem p = *problem;
    const char *message = row->message;
    struct buf text;
    struct json_write w;

    if (p.kind == PROBLEM_INSIDE_200) {
        write_inside(body);
        return;
    }
    if (p.over != NULL)
        p.unit = units[p.over->dimension];
    else if (p.kind == PROBLEM_RATE) /* although no limit was reached */
        message = "Rate limit reached for {model}. Please try again later.";
    if (p.kind == PROBLEM_STATUS && p.detail.p != NULL)
        message = "{detail}";
    buf_init(&text, 0);
    problem_say(&text, message, &p);
    jw_init(&w, body);
    jw_open(&w, '{');
    jw_key(&w, "error");
    jw_open(&w, '{');
    jw_kv_text(&w, "message", text_slice(text.p, text.len));
    jw_kv_str(&w, "type", type_of(&p));
    jw_kv_str(&w, "param", row->param);
    jw_kv_str(&w, "code", row->code);
    if (p.kind == PROBLEM_FILTER) { /* Azure's: wire-oddities 40 */
        jw_kv_int(&w, "status", 400);
        jw_kv_raw(&w, "innererror",
                  TEXT_LIT("{\"code\":\"ResponsibleAIPolicyViolation\",\"content_filter_result\":{\"violence\":"
                           "{\"filtered\":true,\"severity\":\"high\"}}}"));
    }
    jw_close(&w, '}');
    jw_close(&w, '}');
    buf_done(&text);
}

/* --- limits and lists --- */

/* "1m26.4s", "8.64s", "6ms" */
static void add_duration(struct buf *b, int64_t us)
{
    int64_t ms = (us + 999) / 1000;

    if (ms >= 60000)
        buf_printf(b, "%lldm", (long long)(ms / 60000));
    if (ms >= 1000)
        buf_printf(b, "%gs", (double)(ms % 60000) / 1000);
    else
        buf_printf(b, "%lldms", (long long)ms);
}

static void write_limits(struct buf *head, struct meter *m, const struct sim_model *model, struct moment now)
{
    static const char *const names[] = {"requests", "tokens"};

    for (int d = METER_REQUESTS; d <= METER_TOKENS; d++) {
        struct level l;

        if (!meter_level(m, model, (enum dimension)d, now.now_us, &l))
            continue;
        buf_printf(head,
                   "x-ratelimit-limit-%s: %lld\r\nx-ratelimit-remaining-%s: %lld\r\nx-ratelimit-reset-%s: ", names[d],
                   (long long)l.limit, names[d], (long long)l.left, names[d]);
        add_duration(head, l.reset_us);
        buf_add_str(head, "\r\n");
    }
}

static void add_model(struct json_write *w, const struct sim_model *m)
{
    jw_open(w, '{');
    jw_kv_str(w, "id", m->name);
    jw_kv_str(w, "object", "model");
    jw_kv_int(w, "created", 1700000000);
    jw_kv_str(w, "owned_by", "simulated");
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
    jw_kv_str(&w, "object", "list");
    jw_key(&w, "data");
    jw_open(&w, '[');
    for (size_t i = 0; i < conf->n_models; i++)
        add_model(&w, &conf->models[i]);
    jw_close(&w, ']');
    jw_close(&w, '}');
}

static const struct route routes[] = {{"/chat/completions", OP_GENERATE}, {NULL, OP_NONE}};

const struct dialect dialect_openai = {
    .name = "openai",
    .routes = routes,
    .problems = problems,
    .id_header = "x-request-id",
    .time_header = "openai-processing-ms: ",
    .keys = 1U << KEY_BEARER | 1U << KEY_AZURE,
    .image_tokens = 765,
    .refusal_tokens = (sizeof(REFUSAL) + 2) / 4,
    .read = openai_read,
    .write_answer = write_answer,
    .write_stream = write_stream,
    .write_error = write_error,
    .write_limits = write_limits,
    .write_models = write_models,
};
