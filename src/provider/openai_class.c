/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where an OpenAI-compatible error gets its fault class. Words of the provider come first, then known
 * phrases of its message, then the status. Says nothing about what to do: that is core/retry.c's. No state; any
 * thread.  source  reference/providers.md 4.11; wire-oddities.md 33-41 */
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "provider/head.h"
#include "provider/openai.h"

enum { WORD_BYTES = 64, PHRASE_BYTES = 2048, EXCERPT_BYTES = 120 };

/* error.code or error.type, in lower case. The word itself is the detail of the record unless it is a number. */
static const struct word_row {
    const char *word;
    enum fault fault;
} word_rows[] = {
    {"rate_limit_exceeded", FAULT_RATE_LIMITED},
    {"rate_limit_error", FAULT_RATE_LIMITED},
    {"rate_limited", FAULT_RATE_LIMITED},
    {"too_many_requests", FAULT_RATE_LIMITED},
    {"credit_limit", FAULT_RATE_LIMITED},      /* Together: may mean requests per minute */
    {"capacity_exceeded", FAULT_RATE_LIMITED}, /* Groq flex, 498 */
    {"1300", FAULT_RATE_LIMITED},              /* Mistral */
    {"slow_down", FAULT_OVERLOADED},
    {"server_is_overloaded", FAULT_OVERLOADED},
    {"overloaded_error", FAULT_OVERLOADED},
    {"overloaded", FAULT_OVERLOADED},
    {"engine_overloaded_error", FAULT_OVERLOADED},
    {"service_tier_capacity_exceeded", FAULT_OVERLOADED},
    {"unavailable", FAULT_OVERLOADED}, /* Google */
    {"3505", FAULT_OVERLOADED},        /* Mistral */
    {"1305", FAULT_OVERLOADED},        /* z.ai */
    {"insufficient_quota", FAULT_QUOTA_EXHAUSTED},
    {"credit_balance_exhausted", FAULT_QUOTA_EXHAUSTED},
    {"billing_hard_limit_reached", FAULT_QUOTA_EXHAUSTED},
    {"billing_not_active", FAULT_QUOTA_EXHAUSTED},
    {"insufficient_balance", FAULT_QUOTA_EXHAUSTED},
    {"exceeded_current_quota_error", FAULT_QUOTA_EXHAUSTED},
    {"payment_required", FAULT_QUOTA_EXHAUSTED},
    {"invalid_api_key", FAULT_AUTH},
    {"incorrect_api_key", FAULT_AUTH},
    {"wrong_api_key", FAULT_AUTH}, /* Cerebras */
    {"authentication_error", FAULT_AUTH},
    {"invalid_authentication_error", FAULT_AUTH},
    {"permission_error", FAULT_AUTH},
    {"permission_denied", FAULT_AUTH},
    {"account_deactivated", FAULT_AUTH},
    {"unauthorized", FAULT_AUTH},
    {"unauthenticated", FAULT_AUTH},
    {"model_not_found", FAULT_MODEL_NOT_FOUND},
    {"model_decommissioned", FAULT_MODEL_NOT_FOUND},
    {"unknown_model", FAULT_MODEL_NOT_FOUND},
    {"invalid_model", FAULT_MODEL_NOT_FOUND},
    {"deploymentnotfound", FAULT_MODEL_NOT_FOUND},
    {"context_length_exceeded", FAULT_CONTEXT_LENGTH},
    {"too_many_prompt_tokens", FAULT_CONTEXT_LENGTH},
    {"too_many_tokens", FAULT_CONTEXT_LENGTH},
    {"3051", FAULT_CONTEXT_LENGTH}, /* Mistral */
    {"content_filter", FAULT_CONTENT_FILTERED},
    {"content_policy_violation", FAULT_CONTENT_FILTERED},
    {"responsibleaipolicyviolation", FAULT_CONTENT_FILTERED},
    {"data_inspection_failed", FAULT_CONTENT_FILTERED},
    {"moderation_blocked", FAULT_CONTENT_FILTERED},
    {"tool_use_failed", FAULT_BAD_RESPONSE}, /* Groq: the model's own call was malformed */
};

enum on {
    ON_400 = 1, /* 400, 413, 422 and what came inside of a 200 */
    ON_403 = 2,
    ON_404 = 4,
    ON_429 = 8,
    ON_5XX = 16,
    ON_OTHER = 32,
    ON_ANY = 63,
};

/* Parts of messages, in lower case, for those who send no word of their own. In order: the first that fits wins. */
static const struct phrase_row {
    const char *phrase;
    unsigned on;
    enum fault fault;
    const char *detail;
} phrase_rows[] = {
    {"maximum context length", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"context length is only", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"max context length", ON_400 | ON_5XX, FAULT_CONTEXT_LENGTH, "context_length"},
    {"context window", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"prompt is too long", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"prompt too long", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"input is too long", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"input tokens exceeded", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"exceeds the maximum number of tokens", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"too many tokens", ON_400, FAULT_CONTEXT_LENGTH, "context_length"},
    {"incorrect api key", ON_400, FAULT_AUTH, "invalid_api_key"},
    {"invalid api key", ON_400, FAULT_AUTH, "invalid_api_key"},
    {"api key not valid", ON_400, FAULT_AUTH, "invalid_api_key"},
    {"credit balance", ON_400 | ON_403 | ON_429, FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    {"insufficient balance", ON_ANY, FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    {"insufficient credits", ON_ANY, FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    {"used all available credits", ON_ANY, FAULT_QUOTA_EXHAUSTED, "insufficient_balance"},
    {"content management policy", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"content violates", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"requires moderation", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"safety system", ON_400 | ON_403, FAULT_CONTENT_FILTERED, "content_filter"},
    {"not a chat model", ON_404, FAULT_INVALID_REQUEST, "not_a_chat_model"},
    {"no endpoints found", ON_404, FAULT_INVALID_REQUEST, "no_endpoints"},
    {"model identifier is invalid", ON_400, FAULT_MODEL_NOT_FOUND, "model_not_found"},
    {"unknown model", ON_400, FAULT_MODEL_NOT_FOUND, "model_not_found"},
    {"model not found", ON_400, FAULT_MODEL_NOT_FOUND, "model_not_found"},
    {"is not a valid model id", ON_400, FAULT_MODEL_NOT_FOUND, "model_not_found"},
    {"overloaded", ON_400 | ON_429 | ON_5XX, FAULT_OVERLOADED, "overloaded"},
    {"at capacity", ON_429 | ON_5XX, FAULT_OVERLOADED, "overloaded"},
    {"getting throttled", ON_5XX, FAULT_OVERLOADED, "overloaded"},
};

static void to_lower(char *s)
{
    for (; *s != '\0'; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s | 0x20);
}

static const struct word_row *word_of(struct text t)
{
    char word[WORD_BYTES];

    if (t.p == NULL || t.len >= sizeof(word))
        return NULL;
    memcpy(word, t.p, t.len);
    word[t.len] = '\0';
    to_lower(word);
    for (size_t i = 0; i < ARRAY_LEN(word_rows); i++)
        if (strcmp(word_rows[i].word, word) == 0)
            return &word_rows[i];
    return NULL;
}

static bool ends_in(struct text t, const char *suffix)
{
    size_t len = strlen(suffix);

    return t.p != NULL && t.len >= len && memcmp(t.p + t.len - len, suffix, len) == 0;
}

static unsigned on_of(int status)
{
    switch (status) {
    case 403:
        return ON_403;
    case 404:
        return ON_404;
    case 429:
        return ON_429;
    case 400:
    case 413:
    case 422:
        return ON_400;
    default:
        return status >= 500 ? ON_5XX : status < 300 ? ON_400 : ON_OTHER;
    }
}

struct verdict {
    enum fault fault;
    const char *detail;
};

static struct verdict by_status(int status)
{
    static const struct {
        int status;
        struct verdict verdict;
    } rows[] = {
        {401, {FAULT_AUTH, NULL}},
        {402, {FAULT_QUOTA_EXHAUSTED, "payment_required"}},
        {403, {FAULT_AUTH, "forbidden"}},
        {404, {FAULT_MODEL_NOT_FOUND, NULL}},
        {408, {FAULT_TIMEOUT, "request_timeout"}},
        {409, {FAULT_PROVIDER_ERROR, "conflict"}},
        {413, {FAULT_INVALID_REQUEST, "request_too_large"}},
        {424, {FAULT_PROVIDER_ERROR, "failed_dependency"}},
        {425, {FAULT_PROVIDER_ERROR, "too_early"}},
        {429, {FAULT_RATE_LIMITED, NULL}},
        {498, {FAULT_RATE_LIMITED, "capacity_exceeded"}},
        {504, {FAULT_PROVIDER_ERROR, "gateway_timeout"}},
        {524, {FAULT_PROVIDER_ERROR, "gateway_timeout"}},
        {529, {FAULT_OVERLOADED, NULL}},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].verdict;
    if (status >= 500 || status < 300)
        return (struct verdict){FAULT_PROVIDER_ERROR, NULL};
    return (struct verdict){FAULT_INVALID_REQUEST, status < 400 ? "redirect" : NULL};
}

/* `phrases`: message and what a gateway quotes, decoded, lower case. */
static struct verdict judge(const struct openai_error *e, int status, const char *phrases)
{
    const struct word_row *word;

    /* One call above the whole minute's limit: no wait cures it, whatever the code says (OpenAI 429, Groq 413). */
    if ((status == 429 || status == 413) && strstr(phrases, "request too large") != NULL)
        return (struct verdict){FAULT_OVER_POOL, "request_too_large"};
    word = word_of(e->code);
    if (word == NULL)
        word = word_of(e->type);
    if (word != NULL)
        return (struct verdict){word->fault, word->word[0] >= 'a' ? word->word : NULL};
    if (ends_in(e->code, "_spend_limit_reached"))
        return (struct verdict){FAULT_QUOTA_EXHAUSTED, "spend_limit_reached"};
    for (size_t i = 0; i < ARRAY_LEN(phrase_rows); i++)
        if ((phrase_rows[i].on & on_of(status)) != 0 && strstr(phrases, phrase_rows[i].phrase) != NULL)
            return (struct verdict){phrase_rows[i].fault, phrase_rows[i].detail};
    if (status < 300 && text_is(e->type, "invalid_request_error"))
        return (struct verdict){FAULT_INVALID_REQUEST, NULL};
    return by_status(status);
}

/* Blots out what looks like a key: providers quote it, sometimes only partly masked. */
static void redact(char *s)
{
    static const char *const marks[] = {"sk-", "sk_", "gsk_", "xai-", "AIza", "pplx-", "hf_", "csk-", "Bearer ", "eyJ"};
    static const char inside[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-*.";
    char *p = s;

    while (*p != '\0') {
        bool is_word_start = p == s || strchr(inside, p[-1]) == NULL;
        size_t mark = 0;
        size_t len;

        for (size_t i = 0; is_word_start && i < ARRAY_LEN(marks) && mark == 0; i++)
            if (strncmp(p, marks[i], strlen(marks[i])) == 0)
                mark = strlen(marks[i]);
        len = mark > 0 ? strspn(p + mark, inside) : 0;
        if (len < 4) {
            p++;
            continue;
        }
        memset(p, '*', 3);
        memmove(p + 3, p + mark + len, strlen(p + mark + len) + 1);
        p += 3;
    }
}

/* The message for people: the provider's, else the first words of a plain text body. */
static char *message_of(const struct transfer *t, const struct openai_error *e, struct arena *a)
{
    struct text body = text_slice(t->body_in.p, t->body_in.len);
    char *message;

    if (!text_is_blank(e->message)) {
        message = text_decode(a, text_cut(e->message, PHRASE_BYTES), NULL);
    } else if (e->is_present || text_is_blank(body)) {
        return arena_copy(a, "", 0);
    } else {
        message = text_decode(a, text_cut(body, EXCERPT_BYTES), NULL);
        message += strspn(message, " \t\r\n");
        if (*message == '<')
            return arena_strdup(a, "an HTML page");
    }
    redact(message);
    return message;
}

/* Message and upstream's words in one string to search in. */
static const char *phrases_of(const char *message, const struct openai_error *e, struct arena *a)
{
    char *inner = e->inner.p != NULL ? text_decode(a, text_cut(e->inner, PHRASE_BYTES), NULL) : NULL;
    char *phrases = arena_printf(a, "%.*s %s", PHRASE_BYTES, message, inner != NULL ? inner : "");

    to_lower(phrases);
    return phrases;
}

void openai_error_classify(const struct transfer *t, const struct openai_error *e, int64_t wall_ms, struct arena *a,
                           struct outcome *out)
{
    int status = t->status < 300 && e->status != 0 ? e->status : t->status;
    char *message = message_of(t, e, a);
    struct verdict v = judge(e, status, phrases_of(message, e, a));
    bool may_wait = v.fault == FAULT_RATE_LIMITED || v.fault == FAULT_OVERLOADED || status == 429 || status == 503;

    outcome_fail(out, v.fault, v.detail, "HTTP %d%s%s", t->status, *message != '\0' ? ": " : "", message);
    out->hint = head_retry_hint(t);
    out->is_ambiguous = status == 504 || status == 524; /* the gateway gave up, its upstream may not have */
    if (!may_wait)
        return;
    out->retry_after_us = head_retry_after_us(t, wall_ms);
    if (out->retry_after_us < 0 && status == 429)
        out->retry_after_us = head_reset_us(t, wall_ms);
    if (out->retry_after_us < 0 && e->reset_ms > 0)
        out->retry_after_us = head_wait_until_us(e->reset_ms, wall_ms);
}
