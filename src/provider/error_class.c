/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where a provider's error gets its fault class. Its words come first, then known phrases of its message,
 * then the status. Says nothing about what to do: that is core/retry.c's. No state; any thread.
 * source  reference/providers.md 4.11; wire-oddities.md 33-41 */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "provider/error.h"
#include "provider/head.h"

enum { PHRASE_BYTES = 2048, EXCERPT_BYTES = 120 };

static void to_lower(char *s)
{
    for (; *s != '\0'; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s | 0x20);
}

static bool ends_in(struct text t, const char *suffix)
{
    size_t len = strlen(suffix);

    return t.p != NULL && t.len >= len && memcmp(t.p + t.len - len, suffix, len) == 0;
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

/* The message tells of a limit that does not pass with time. */
static bool is_past_waiting(const struct error_phrase *phrase)
{
    return phrase != NULL && (phrase->fault == FAULT_QUOTA_EXHAUSTED || phrase->fault == FAULT_OVER_POOL);
}

/* `phrases`: message and what a gateway quotes, decoded, lower case. The more exact word comes first. */
static struct verdict judge(const struct wire_error *e, const struct error_words *words, int status,
                            const char *phrases)
{
    const struct text said[] = {e->reason, e->code, e->type};
    const struct error_phrase *phrase;

    /* One call above the whole minute's limit: no wait cures it, whatever the code says (OpenAI 429, Groq 413). */
    if ((status == 429 || status == 413) && strstr(phrases, "request too large") != NULL)
        return (struct verdict){FAULT_OVER_POOL, "request_too_large"};
    if (ends_in(e->code, "_spend_limit_reached"))
        return (struct verdict){FAULT_QUOTA_EXHAUSTED, "spend_limit_reached"};
    if (e->is_per_day && status == 429)
        return (struct verdict){FAULT_QUOTA_EXHAUSTED, "quota_per_day"};
    phrase = error_phrase_find(status, phrases);
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        const struct error_word *word = error_word_find(words, said[i]);

        if (word == NULL)
            continue;
        if (word->fault == FAULT_RATE_LIMITED && is_past_waiting(phrase))
            break; /* Google says RESOURCE_EXHAUSTED to both, Anthropic rate_limit_error */
        if (status == 402 && word->fault != FAULT_QUOTA_EXHAUSTED)
            break; /* whatever it is called, it is about money */
        return (struct verdict){word->fault, word->word[0] >= 'a' ? word->word : NULL};
    }
    if (phrase != NULL)
        return (struct verdict){phrase->fault, phrase->detail};
    if (status < 300 && text_is(e->type, "invalid_request_error"))
        return (struct verdict){FAULT_INVALID_REQUEST, NULL};
    return by_status(status);
}

/* Blots out what looks like a key: providers quote it, sometimes only partly masked. */
static void redact(char *s)
{
    static const char *const marks[] = {"sk-",  "sk_",  "gsk_", "xai-",   "AIza", "pplx-",   "hf_",
                                        "csk-", "dapi", "tgp_", "nvapi-", "AQ.",  "Bearer ", "eyJ"};
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
static char *message_of(const struct transfer *t, const struct wire_error *e, struct arena *a)
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
static const char *phrases_of(const char *message, const struct wire_error *e, struct arena *a)
{
    char *inner = e->inner.p != NULL ? text_decode(a, text_cut(e->inner, PHRASE_BYTES), NULL) : NULL;
    char *phrases = arena_printf(a, "%.*s %s", PHRASE_BYTES, message, inner != NULL ? inner : "");

    to_lower(phrases);
    return phrases;
}

/* A limit this one call is above, so that waiting cannot help: told not to retry, nor given a time. The reset of some
 * limit stands beside it all the same.  source  reference/wire-oddities.md 37 (Anthropic) */
static bool is_above_limit(const struct transfer *t, const struct outcome *o, const char *phrases)
{
    return o->fault == FAULT_RATE_LIMITED && o->hint == RETRY_HINT_NO && head_retry_after_us(t, 0) < 0 &&
           strstr(phrases, "would exceed") != NULL;
}

static int64_t wait_of(const struct transfer *t, const struct wire_error *e, int status, int64_t wall_ms)
{
    int64_t wait_us = head_retry_after_us(t, wall_ms);

    if (wait_us < 0 && e->retry_delay_us > 0)
        wait_us = e->retry_delay_us;
    if (wait_us < 0 && status == 429)
        wait_us = head_reset_us(t, wall_ms);
    if (wait_us < 0 && e->reset_ms > 0)
        wait_us = head_wait_until_us(e->reset_ms, wall_ms);
    return wait_us;
}

void error_classify(const struct transfer *t, const struct wire_error *e, const struct error_words *words,
                    int64_t wall_ms, struct arena *a, struct outcome *out)
{
    int status = t->status < 300 && e->status != 0 ? e->status : t->status;
    char *message = message_of(t, e, a);
    const char *phrases = phrases_of(message, e, a);
    struct verdict v = judge(e, words, status, phrases);
    bool may_wait = v.fault == FAULT_RATE_LIMITED || v.fault == FAULT_OVERLOADED || status == 429 || status == 503;

    outcome_fail(out, v.fault, v.detail, "HTTP %d%s%s", t->status, *message != '\0' ? ": " : "", message);
    out->hint = head_retry_hint(t);
    out->is_ambiguous = status == 504 || status == 524; /* the gateway gave up, its upstream may not have */
    if (may_wait && !e->is_per_day) /* Google's seconds beside a quota of the day are those of another quota */
        out->retry_after_us = wait_of(t, e, status, wall_ms);
    if (is_above_limit(t, out, phrases)) {
        out->fault = FAULT_OVER_POOL;
        out->detail = "request_too_large";
    }
    if (out->fault == FAULT_OVER_POOL) { /* whatever the headers advise that go with any 429 */
        out->retry_after_us = -1;
        out->hint = RETRY_HINT_NO;
    }
}
