/* SPDX-License-Identifier: Apache-2.0 */
/* Anthropic Messages. No state; any thread.
 * source  reference/providers.md 4.4; wire-oddities.md 7, 19, 32, 36 to 39, 41, 42; platform.claude.com API reference
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "sim/dialect.h"

/* --- answer --- */

static const char *stop_of(const struct exchange *x)
{
    if (x->finish[0] != '\0')
        return x->finish;
    if (x->decision.fault == SIM_REFUSAL)
        return "refusal";
    if (x->tool[0] != '\0')
        return "tool_use";
    return x->is_cut ? "max_tokens" : "end_turn";
}

/* output_tokens: what the moment knows. */
static void add_usage(struct json_write *w, const struct exchange *x, int64_t output_tokens)
{
    jw_key(w, "usage");
    jw_open(w, '{');
    jw_kv_int(w, "input_tokens", x->prompt_tokens - x->cached_tokens);
    jw_kv_int(w, "cache_creation_input_tokens", 0);
    jw_kv_int(w, "cache_read_input_tokens", x->cached_tokens);
    jw_kv_raw(w, "cache_creation", TEXT_LIT("{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0}"));
    jw_kv_int(w, "output_tokens", output_tokens);
    if (x->reasoning_tokens > 0) {
        jw_key(w, "output_tokens_details");
        jw_open(w, '{');
        jw_kv_int(w, "thinking_tokens", x->reasoning_tokens);
        jw_close(w, '}');
    }
    jw_kv_str(w, "service_tier", "standard");
    jw_close(w, '}');
}

static void add_stop(struct json_write *w, const struct exchange *x)
{
    jw_kv_str(w, "stop_reason", stop_of(x));
    jw_kv_null(w, "stop_sequence");
    if (x->decision.fault == SIM_REFUSAL)
        jw_kv_raw(w, "stop_details", TEXT_LIT("{\"type\":\"refusal\",\"category\":null,\"explanation\":null}"));
}

/* An open block without its text, or (text) with it. */
static void add_text_block(struct json_write *w, struct text text)
{
    jw_open(w, '{');
    jw_kv_str(w, "type", "text");
    jw_kv_text(w, "text", text);
    jw_close(w, '}');
}

static void add_tool_block(struct json_write *w, const struct exchange *x, struct text input)
{
    char id[64];

    answer_id(id, "toolu_", x);
    jw_open(w, '{');
    jw_kv_str(w, "type", "tool_use");
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "name", x->tool);
    jw_kv_raw(w, "input", input);
    jw_close(w, '}');
}

static void add_content_blocks(struct json_write *w, const struct exchange *x)
{
    struct buf scratch;
    struct text text;

    buf_init(&scratch, 0);
    text = answer_words(&scratch, x);
    jw_key(w, "content");
    jw_open(w, '[');
    if (x->reasoning_tokens > 0) {
        jw_open(w, '{');
        jw_kv_str(w, "type", "thinking");
        jw_kv_str(w, "thinking", "Let me think about it.");
        jw_kv_str(w, "signature", "c2ltdWxhdGVk");
        jw_close(w, '}');
    }
    if (x->tool[0] != '\0')
        add_tool_block(w, x, answer_arguments(x));
    else if (text.len > 0 || x->decision.fault == SIM_EMPTY)
        add_text_block(w, text);
    jw_close(w, ']');
    buf_done(&scratch);
}

static void add_frame(struct json_write *w, const struct exchange *x)
{
    char id[64];

    answer_id(id, "msg_", x);
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "type", "message");
    jw_kv_str(w, "role", "assistant");
    jw_kv_str(w, "model", x->model->name);
}

static void write_answer(struct buf *body, const struct exchange *x)
{
    struct json_write w;

    jw_init(&w, body);
    jw_open(&w, '{');
    add_frame(&w, x);
    add_content_blocks(&w, x);
    add_stop(&w, x);
    add_usage(&w, x, x->completion_tokens);
    jw_close(&w, '}');
}

/* --- stream --- */

static void open_event(struct buf *body, struct json_write *w, const char *type)
{
    buf_printf(body, "event: %s\ndata: ", type);
    jw_init(w, body);
    jw_open(w, '{');
    jw_kv_str(w, "type", type);
}

static void close_event(struct buf *body, struct json_write *w)
{
    jw_close(w, '}');
    buf_add_str(body, "\n\n");
}

static void add_delta(struct buf *body, const char *type, const char *key, struct text text)
{
    struct json_write w;

    open_event(body, &w, "content_block_delta");
    jw_kv_int(&w, "index", 0);
    jw_key(&w, "delta");
    jw_open(&w, '{');
    jw_kv_str(&w, "type", type);
    jw_kv_text(&w, key, text);
    jw_close(&w, '}');
    close_event(body, &w);
}

/* The one block of the answer, in pieces. */
static void add_block_events(struct buf *body, const struct exchange *x, struct text rest)
{
    bool is_tool = x->tool[0] != '\0';
    struct text piece;
    struct json_write w;

    open_event(body, &w, "content_block_start");
    jw_kv_int(&w, "index", 0);
    jw_key(&w, "content_block");
    if (is_tool)
        add_tool_block(&w, x, TEXT_LIT("{}"));
    else
        add_text_block(&w, TEXT_LIT(""));
    close_event(body, &w);
    buf_add_str(body, "event: ping\ndata: {\"type\": \"ping\"}\n\n");
    while (answer_next(&rest, 100, &piece))
        add_delta(body, is_tool ? "input_json_delta" : "text_delta", is_tool ? "partial_json" : "text", piece);
    open_event(body, &w, "content_block_stop");
    jw_kv_int(&w, "index", 0);
    close_event(body, &w);
}

static void write_stream(struct buf *body, const struct exchange *x)
{
    struct buf scratch;
    struct text text;
    struct json_write w;

    buf_init(&scratch, 0);
    text = x->tool[0] != '\0' ? answer_arguments(x) : answer_words(&scratch, x);
    open_event(body, &w, "message_start");
    jw_key(&w, "message");
    jw_open(&w, '{');
    add_frame(&w, x);
    jw_kv_raw(&w, "content", TEXT_LIT("[]"));
    jw_kv_null(&w, "stop_reason");
    jw_kv_null(&w, "stop_sequence");
    add_usage(&w, x, 1); /* provisional: wire-oddities 19 */
    jw_close(&w, '}');
    close_event(body, &w);
    if (text.len > 0)
        add_block_events(body, x, text);
    open_event(body, &w, "message_delta");
    jw_key(&w, "delta");
    jw_open(&w, '{');
    add_stop(&w, x);
    jw_close(&w, '}');
    add_usage(&w, x, x->completion_tokens);
    close_event(body, &w);
    open_event(body, &w, "message_stop");
    close_event(body, &w);
    buf_done(&scratch);
}

/* --- errors --- */

#define INVALID "invalid_request_error"
#define LIMITS  " For details, refer to: https://docs.claude.com/en/api/rate-limits."
static const struct problem_row problems[PROBLEM_MAX] = {
    [PROBLEM_NOT_JSON] = {400, INVALID, .message = "The request body is not valid JSON."},
    [PROBLEM_NO_MODEL] = {400, INVALID, .message = "model: Field required"},
    [PROBLEM_NO_MESSAGES] = {400, INVALID, .message = "messages: Field required"},
    [PROBLEM_NO_MAX_TOKENS] = {400, INVALID, .message = "max_tokens: Field required"},
    [PROBLEM_NO_VERSION] = {400, INVALID, .message = "anthropic-version: header is required"},
    [PROBLEM_FIELD] = {400, INVALID, .message = "{detail}: Extra inputs are not permitted"},
    [PROBLEM_ROLE] = {400, INVALID,
                      .message =
                          "messages: Unexpected role \"{detail}\". The Messages API accepts a top-level `system` "
                          "parameter, not \"system\" as an input message role."},
    [PROBLEM_NO_KEY] = {401, "authentication_error", .message = "x-api-key header is required"},
    [PROBLEM_BAD_KEY] = {401, "authentication_error", .message = "invalid x-api-key"},
    [PROBLEM_FORBIDDEN] = {403, "permission_error", .message = "Request not allowed"},
    [PROBLEM_MODEL] = {404, "not_found_error", .message = "model: {model}"},
    [PROBLEM_ROUTE] = {404, "not_found_error", .message = "Not Found"},
    [PROBLEM_TOO_LARGE] = {413, "request_too_large", .message = "Request exceeds the maximum size: too large"},
    [PROBLEM_CONTEXT] = {400, INVALID, .message = "prompt is too long: {tokens} tokens > {limit} maximum"},
    [PROBLEM_FILTER] = {400, INVALID, .message = "Output blocked by content filtering policy"},
    [PROBLEM_RATE] = {429, "rate_limit_error",
                      .message = "This request would exceed your organization's rate limit of {limit} {unit} (org: "
                                 "simulated, model: {model})." LIMITS
                                 " You can see the response headers for current usage. Please reduce the prompt length "
                                 "or the maximum tokens requested, or try again later."},
    [PROBLEM_NEVER] = {429, "rate_limit_error",
                       .message = "This request would exceed your organization's rate limit of {limit} {unit} (org: "
                                  "simulated, model: {model})." LIMITS
                                  " Please reduce the prompt length or the maximum tokens requested."},
    [PROBLEM_CONCURRENCY] = {429, "rate_limit_error",
                             .message = "Number of concurrent connections has exceeded your rate limit. Please try "
                                        "again later."},
    [PROBLEM_QUOTA] = {400, INVALID,
                       .message = "Your credit balance is too low to access the Anthropic API. Please go to Plans & "
                                  "Billing to upgrade or purchase credits."},
    [PROBLEM_SERVER] = {500, "api_error", .message = "Internal server error"},
    [PROBLEM_UNAVAILABLE] = {503, "api_error", .message = "Service Unavailable"},
    [PROBLEM_OVERLOADED] = {529, "overloaded_error", .message = "Overloaded"},
    [PROBLEM_INSIDE_200] = {200, "overloaded_error", .message = "Overloaded"},
    [PROBLEM_STATUS] = {0, NULL, .message = "This status was ordered."},
};
#undef INVALID
#undef LIMITS

static const char *type_of_status(int status)
{
    static const struct {
        int status;
        const char *type;
    } rows[] = {{401, "authentication_error"}, {402, "billing_error"},  {403, "permission_error"},
                {404, "not_found_error"},      {409, "conflict_error"}, {413, "request_too_large"},
                {429, "rate_limit_error"},     {504, "timeout_error"},  {529, "overloaded_error"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].type;
    return status < 500 ? "invalid_request_error" : "api_error";
}

static void write_error(struct buf *body, const struct problem *problem)
{
    static const char *const units[] = {"requests per minute", "tokens per minute", "input tokens per minute",
                                        "output tokens per minute", "concurrent connections"};
    const struct problem_row *row = &problems[problem->kind];
    struct problem p = *problem;
    const char *message = row->message;
    struct buf text;
    struct json_write w;
    char id[40];

    if (p.over != NULL)
        p.unit = units[p.over->dimension];
    else if (p.kind == PROBLEM_RATE) /* although no limit was reached */
        message = "This request would exceed your account's rate limit. Please try again later.";
    if (p.kind == PROBLEM_STATUS && p.detail.p != NULL)
        message = "{detail}";
    (void)snprintf(id, sizeof(id), "req_sim%lld", (long long)p.request_id);
    buf_init(&text, 0);
    problem_say(&text, message, &p);
    jw_init(&w, body);
    jw_open(&w, '{');
    jw_kv_str(&w, "type", "error");
    jw_key(&w, "error");
    jw_open(&w, '{');
    jw_kv_str(&w, "type", row->type != NULL ? row->type : type_of_status(p.status));
    jw_kv_text(&w, "message", text_slice(text.p, text.len));
    jw_close(&w, '}');
    jw_kv_str(&w, "request_id", id);
    jw_close(&w, '}');
    buf_done(&text);
}

/* --- limits and lists --- */

/* RFC 3339, the next full second. */
static void add_moment(struct buf *b, int64_t wall_ms)
{
    time_t seconds = (time_t)((wall_ms + 999) / 1000);
    char text[32];
    struct tm tm;

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_add_str(b, text);
}

static void write_limits(struct buf *head, struct meter *m, const struct sim_model *model, struct moment now)
{
    static const char *const names[] = {"requests", "tokens", "input-tokens", "output-tokens"};

    for (int d = 0; d < METER_WINDOWS; d++) {
        struct level l;

        if (!meter_level(m, model, (enum dimension)d, now.now_us, &l))
            continue;
        buf_printf(head,
                   "anthropic-ratelimit-%s-limit: %lld\r\nanthropic-ratelimit-%s-remaining: "
                   "%lld\r\nanthropic-ratelimit-%s-reset: ",
                   names[d], (long long)l.limit, names[d], (long long)l.left, names[d]);
        add_moment(head, now.wall_ms + l.reset_us / 1000);
        buf_add_str(head, "\r\n");
    }
}

static void add_model(struct json_write *w, const struct sim_model *m)
{
    jw_open(w, '{');
    jw_kv_str(w, "type", "model");
    jw_kv_str(w, "id", m->name);
    jw_kv_str(w, "display_name", m->name);
    jw_kv_str(w, "created_at", "2025-01-01T00:00:00Z");
    jw_kv_str(w, "lifecycle", "active");
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
    jw_key(&w, "data");
    jw_open(&w, '[');
    for (size_t i = 0; i < conf->n_models; i++)
        add_model(&w, &conf->models[i]);
    jw_close(&w, ']');
    jw_kv_bool(&w, "has_more", false);
    jw_kv_str(&w, "first_id", conf->n_models > 0 ? conf->models[0].name : NULL);
    jw_kv_str(&w, "last_id", conf->n_models > 0 ? conf->models[conf->n_models - 1].name : NULL);
    jw_close(&w, '}');
}

static void write_count(struct buf *body, int64_t tokens)
{
    buf_printf(body, "{\"input_tokens\":%lld}", (long long)tokens);
}

static const struct route routes[] = {
    {"/messages", OP_GENERATE}, {"/messages/count_tokens", OP_COUNT}, {NULL, OP_NONE}};

const struct dialect dialect_anthropic = {
    .name = "anthropic",
    .routes = routes,
    .problems = problems,
    .id_header = "request-id",
    .time_header = "x-envoy-upstream-service-time: ",
    .keys = 1U << KEY_ANTHROPIC | 1U << KEY_BEARER,
    .image_tokens = 1600,
    .refusal_tokens = 4,
    .read = anthropic_read,
    .write_answer = write_answer,
    .write_stream = write_stream,
    .write_error = write_error,
    .write_limits = write_limits,
    .write_models = write_models,
    .write_count = write_count,
};
