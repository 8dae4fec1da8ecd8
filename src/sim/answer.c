/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the OpenAI dialect as the real service writes them: completions, the model list, errors. The text of an
 * answer depends on model and prompt only. Never sends anything. No state; any thread.
 * source  platform.openai.com API reference, recorded error bodies */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/json_write.h"
#include "base/rng.h"
#include "sim/sim_internal.h"

/* Pieces of an answer in their escaped form, so that making 4 KB of text is nothing but copying: words, Markdown,
 * quotes, and what is beyond ASCII both as UTF-8 and as escapes. */
static const char *const pieces[] = {
    "the ",
    "answer ",
    "depends ",
    "on ",
    "many ",
    "small ",
    "choices, ",
    "and ",
    "a ",
    "river ",
    "runs ",
    "through ",
    "it. ",
    "Some ",
    "say ",
    "otherwise; ",
    "we ",
    "count ",
    "seven ",
    "reasons: ",
    "**first**, ",
    "*second*, ",
    "`code`, ",
    "\\\"quoted\\\" ",
    "\\n- item ",
    "\\n\\n## Part\\n",
    "na\xc3\xafve ",
    "caf\\u00e9 ",
    "\xe2\x80\x94 ",
    "\\ud83d\\ude00 ",
    "C:\\\\dir ",
    "\xe6\x97\xa5\xe6\x9c\xac ",
};
static_assert(ARRAY_LEN(pieces) == 32, "five bits choose a piece");

/* Fills text with exactly `bytes` or a few less (never inside of a character or escape); escaped form. */
static struct text make_text(struct buf *scratch, const struct exchange *x)
{
    size_t bytes = (size_t)x->answer_bytes;
    struct rng r;

    rng_seed(&r, x->seed);
    buf_clear(scratch);
    buf_add_str(scratch, "ANSWER ");
    text_add_escaped(scratch, text_of(x->model->name));
    buf_printf(scratch, ": %.8s ", x->prompt_hash);
    while (scratch->len < bytes) {
        uint64_t bits = rng_u64(&r);

        for (int i = 0; i < 12 && scratch->len < bytes; i++, bits >>= 5)
            buf_add_str(scratch, pieces[bits & 31]);
    }
    return text_cut((struct text){.p = scratch->p, .len = scratch->len, .is_escaped = true}, bytes);
}

static void add_usage(struct json_write *w, const struct exchange *x)
{
    jw_key(w, "usage");
    jw_open(w, '{');
    jw_kv_int(w, "prompt_tokens", x->prompt_tokens);
    jw_kv_int(w, "completion_tokens", x->completion_tokens);
    jw_kv_int(w, "total_tokens", x->prompt_tokens + x->completion_tokens);
    jw_key(w, "prompt_tokens_details");
    jw_open(w, '{');
    jw_kv_int(w, "cached_tokens", 0);
    jw_kv_int(w, "audio_tokens", 0);
    jw_close(w, '}');
    jw_key(w, "completion_tokens_details");
    jw_open(w, '{');
    jw_kv_int(w, "reasoning_tokens", 0);
    jw_kv_int(w, "audio_tokens", 0);
    jw_kv_int(w, "accepted_prediction_tokens", 0);
    jw_kv_int(w, "rejected_prediction_tokens", 0);
    jw_close(w, '}');
    jw_close(w, '}');
}

static void add_choice(struct json_write *w, const struct exchange *x)
{
    const char *finish = x->is_cut ? "length" : "stop";
    struct buf scratch;
    struct text content;

    buf_init(&scratch, 0);
    if (x->decision.fault == SIM_EMPTY)
        content = TEXT_LIT("");
    else if (x->answer != NULL)
        content = text_cut(text_of(x->answer), (size_t)x->answer_bytes);
    else
        content = make_text(&scratch, x);
    jw_open(w, '{');
    jw_kv_int(w, "index", 0);
    jw_key(w, "message");
    jw_open(w, '{');
    jw_kv_str(w, "role", "assistant");
    jw_kv_text(w, "content", content);
    jw_kv_null(w, "refusal");
    jw_close(w, '}');
    jw_kv_null(w, "logprobs");
    jw_kv_str(w, "finish_reason", x->finish[0] != '\0' ? x->finish : finish);
    jw_close(w, '}');
    buf_done(&scratch);
}

void answer_completion(struct buf *body, const struct exchange *x)
{
    char id[64];
    struct json_write w;

    jw_init(&w, body);
    jw_open(&w, '{');
    (void)snprintf(id, sizeof(id), "chatcmpl-%s%02u", x->prompt_hash, x->attempt);
    jw_kv_str(&w, "id", id);
    jw_kv_str(&w, "object", "chat.completion");
    jw_kv_int(&w, "created", x->arrived_ms / 1000);
    jw_kv_str(&w, "model", x->model->name);
    jw_key(&w, "choices");
    jw_open(&w, '[');
    add_choice(&w, x);
    jw_close(&w, ']');
    add_usage(&w, x);
    jw_kv_str(&w, "service_tier", "default");
    jw_kv_str(&w, "system_fingerprint", "fp_simulated");
    jw_close(&w, '}');
}

void answer_models(struct buf *body, const struct sim_conf *conf)
{
    struct json_write w;

    jw_init(&w, body);
    jw_open(&w, '{');
    jw_kv_str(&w, "object", "list");
    jw_key(&w, "data");
    jw_open(&w, '[');
    for (size_t i = 0; i < conf->n_models; i++) {
        jw_open(&w, '{');
        jw_kv_str(&w, "id", conf->models[i].name);
        jw_kv_str(&w, "object", "model");
        jw_kv_int(&w, "created", 1700000000);
        jw_kv_str(&w, "owned_by", "simulated");
        jw_close(&w, '}');
    }
    jw_close(&w, ']');
    jw_close(&w, '}');
}

void answer_error(struct buf *body, const char *message, const char *type, const char *code)
{
    struct json_write w;

    jw_init(&w, body);
    jw_open(&w, '{');
    jw_key(&w, "error");
    jw_open(&w, '{');
    jw_kv_str(&w, "message", message);
    jw_kv_str(&w, "type", type);
    jw_kv_null(&w, "param");
    jw_kv_str(&w, "code", code);
    jw_close(&w, '}');
    jw_close(&w, '}');
}

void answer_fault(struct buf *body, const struct exchange *x)
{
    static const struct {
        int status;
        const char *message;
        const char *type;
        const char *code;
    } rows[] = {
        {429, "Rate limit reached for this model. Please try again later.", "requests", "rate_limit_exceeded"},
        {500,
         "The server had an error while processing your request. Sorry about that! You can retry your request, or "
         "contact "
         "us through our help center at help.openai.com if you keep seeing this error.",
         "server_error", NULL},
        {503, "That model is currently overloaded with other requests. You can retry your request.", "server_error",
         "server_is_overloaded"},
        {401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"},
        {404, "The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"},
    };

    if (x->decision.fault == SIM_ERROR200) {
        buf_add_str(body,
                    "{\"error\":{\"message\":\"Upstream error from the simulated provider\",\"code\":502,\"metadata\":"
                    "{\"provider_name\":\"Simulated\"}},\"user_id\":\"user_simulated\"}");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == x->decision.status) {
            answer_error(body, rows[i].message, rows[i].type, rows[i].code);
            return;
        }
    answer_error(body, "This status was ordered.", x->decision.status < 500 ? "invalid_request_error" : "server_error",
                 NULL);
}

void answer_overrun(struct buf *body, const struct exchange *x, const struct overrun *over)
{
    struct buf message;

    buf_init(&message, 0);
    if (over->wait_us < 0) {
        buf_printf(
            &message,
            "Request too large for %s in organization org-simulated on %s: Limit %lld, Requested %lld. The input or "
            "output tokens must be reduced in order to run successfully. Visit "
            "https://platform.openai.com/account/rate-limits to learn more.",
            x->model->name, over->unit, (long long)over->limit, (long long)over->requested);
    } else {
        buf_printf(
            &message,
            "Rate limit reached for %s in organization org-simulated on %s: Limit %lld, Used %lld, Requested %lld. "
            "Please try again in %gs. Visit https://platform.openai.com/account/rate-limits to learn more.",
            x->model->name, over->unit, (long long)over->limit, (long long)over->used, (long long)over->requested,
            (double)((over->wait_us + 999) / 1000) / 1000);
    }
    answer_error(body, message.p, over->type, "rate_limit_exceeded");
    buf_done(&message);
}
