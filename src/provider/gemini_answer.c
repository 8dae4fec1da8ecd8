/* SPDX-License-Identifier: Apache-2.0 */
/* The Gemini dialect, receiving side: candidates, parts, blocked prompts, usage, errors. Parts that are neither text
 * nor a function call are passed over. No state; any thread.
 * source  reference/providers.md 4.5, 4.9, 4.10; wire-oddities.md 4, 8, 11-14, 17, 32, 34, 36, 38, 41 */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "provider/answer.h"
#include "provider/gemini.h"
#include "provider/head.h"
#include "provider/tools.h"

/* A word, or its number where the caller asked for numbers ($alt=json;enum-encoding=int). */
static void scan_enum(struct reading *r, const char *const *words, size_t n, struct text *out)
{
    int64_t number = -1;
    struct scan ahead = r->s;

    if (scan_peek(&r->s) != SCAN_NUMBER) {
        (void)answer_text(&r->s, r->a, out);
        return;
    }
    if (answer_count(&ahead, &number) == 0 && number >= 0 && number < (int64_t)n) {
        (void)scan_skip(&r->s, NULL);
        *out = text_of(words[number]);
    } else {
        (void)scan_skip(&r->s, out); /* newer than we are: kept as it stands */
    }
}

static void scan_finish(struct reading *r)
{
    /* google.ai.generativelanguage.v1beta Candidate.FinishReason */
    static const char *const words[] = {"FINISH_REASON_UNSPECIFIED",
                                        "STOP",
                                        "MAX_TOKENS",
                                        "SAFETY",
                                        "RECITATION",
                                        "OTHER",
                                        "LANGUAGE",
                                        "BLOCKLIST",
                                        "PROHIBITED_CONTENT",
                                        "SPII",
                                        "MALFORMED_FUNCTION_CALL",
                                        "IMAGE_SAFETY",
                                        "UNEXPECTED_TOOL_CALL",
                                        "TOO_MANY_TOOL_CALLS"};

    scan_enum(r, words, ARRAY_LEN(words), &r->o->raw_finish);
}

/* One part, whatever it is; whether its text is a thought may stand behind the text. */
struct part {
    struct text text;
    bool is_thought;
    bool is_call;
    struct tool_call call;
};

static void scan_call(struct reading *r, struct part *out)
{
    struct text key;

    if (!answer_enter_object(&r->s))
        return;
    out->is_call = true;
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "name"))
            (void)answer_text(&r->s, r->a, &out->call.name);
        else if (KEY_IS(key, "id"))
            (void)answer_text(&r->s, r->a, &out->call.id);
        else if (KEY_IS(key, "args") && scan_peek(&r->s) == SCAN_OBJECT)
            (void)answer_raw(&r->s, r->a, &out->call.arguments);
        else
            (void)scan_skip(&r->s, NULL);
    }
}

static void scan_part(struct reading *r, struct part *out)
{
    struct text key;

    *out = (struct part){TEXT_NONE, false, false, {TEXT_NONE, TEXT_NONE, TEXT_NONE, TEXT_NONE}};
    if (!answer_enter_object(&r->s))
        return;
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "text")) {
            (void)answer_text(&r->s, r->a, &out->text);
        } else if (KEY_IS(key, "thought")) {
            out->is_thought = scan_peek(&r->s) == SCAN_TRUE;
            (void)scan_skip(&r->s, NULL);
        } else if (KEY_IS(key, "functionCall")) {
            scan_call(r, out);
        } else if (KEY_IS(key, "thoughtSignature")) {
            (void)answer_text(&r->s, r->a, &out->call.signature);
        } else {
            (void)scan_skip(&r->s, NULL);
        }
    }
}

static void scan_parts(struct reading *r)
{
    struct text_join text;
    struct text_join thoughts;
    struct tool_writer calls;
    struct part part;

    if (!answer_enter_array(&r->s))
        return;
    text_join_init(&text);
    text_join_init(&thoughts);
    tool_writer_init(&calls);
    while (scan_next_item(&r->s)) {
        scan_part(r, &part);
        if (r->s.error != 0)
            break; /* half a part is none */
        if (part.is_call)
            tool_writer_add(&calls, &part.call);
        else
            text_join_add(part.is_thought ? &thoughts : &text, part.text);
    }
    r->o->answer = text_join_end(&text, r->a);
    r->o->reasoning = text_join_end(&thoughts, r->a);
    r->o->tool_calls = tool_writer_end(&calls, r->a);
}

static void scan_candidate(struct reading *r)
{
    struct text key;

    if (!answer_enter_object(&r->s))
        return;
    r->has_item = true;
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "content") && scan_peek(&r->s) == SCAN_OBJECT) {
            (void)scan_enter_object(&r->s);
            while (scan_next_key(&r->s, &key)) {
                if (KEY_IS(key, "parts"))
                    scan_parts(r);
                else
                    (void)scan_skip(&r->s, NULL);
            }
        } else if (KEY_IS(key, "finishReason")) {
            scan_finish(r);
        } else if (KEY_IS(key, "finishMessage")) {
            (void)answer_text(&r->s, r->a, &r->note);
        } else {
            (void)scan_skip(&r->s, NULL);
        }
    }
}

static void scan_candidates(struct reading *r)
{
    if (!answer_enter_array(&r->s))
        return;
    r->has_list = true;
    for (bool is_first = true; scan_next_item(&r->s); is_first = false) {
        if (is_first)
            scan_candidate(r);
        else
            (void)scan_skip(&r->s, NULL);
    }
}

/* {"blockReason": "SAFETY", "blockReasonMessage": "..."}: no candidates, HTTP 200 */
static void scan_feedback(struct reading *r)
{
    static const char *const words[] = {NULL, "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"};
    struct text reason = TEXT_NONE;
    struct text key;

    if (!answer_enter_object(&r->s))
        return;
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "blockReason"))
            scan_enum(r, words, ARRAY_LEN(words), &reason);
        else if (KEY_IS(key, "blockReasonMessage"))
            (void)answer_text(&r->s, r->a, &r->note);
        else
            (void)scan_skip(&r->s, NULL);
    }
    if (text_is_blank(reason) || text_is(reason, "BLOCK_REASON_UNSPECIFIED"))
        return;
    r->is_blocked = true;
    r->block_reason = reason;
}

/* The counts as they stand, -1: absent. */
struct counts {
    int64_t prompt;
    int64_t tool_prompt;
    int64_t cached;
    int64_t candidates;
    int64_t thoughts;
    int64_t total;
};

/* candidates leaves the thoughts out (and is absent when nothing else came), unless the total says that they are in
 * it. */
static struct usage normalise(const struct counts *c)
{
    struct usage u = {-1, -1, c->cached, c->thoughts};

    if (c->prompt >= 0)
        u.input_tokens = count_sum(c->prompt, c->tool_prompt);
    u.output_tokens = count_sum(c->candidates, c->thoughts);
    if (c->thoughts > 0 && c->candidates >= c->thoughts && u.input_tokens >= 0 &&
        c->total == count_sum(u.input_tokens, c->candidates))
        u.output_tokens = c->candidates;
    else if (u.output_tokens < 0 && u.input_tokens >= 0 && c->total >= u.input_tokens)
        u.output_tokens = c->total - u.input_tokens;
    usage_guard(&u);
    return u;
}

static void scan_usage(struct reading *r)
{
    struct counts c = {-1, -1, -1, -1, -1, -1};
    struct scan *s = &r->s;
    struct text key;

    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (KEY_IS(key, "promptTokenCount"))
            (void)answer_count(s, &c.prompt);
        else if (KEY_IS(key, "toolUsePromptTokenCount"))
            (void)answer_count(s, &c.tool_prompt);
        else if (KEY_IS(key, "cachedContentTokenCount"))
            (void)answer_count(s, &c.cached);
        else if (KEY_IS(key, "candidatesTokenCount"))
            (void)answer_count(s, &c.candidates);
        else if (KEY_IS(key, "thoughtsTokenCount"))
            (void)answer_count(s, &c.thoughts);
        else if (KEY_IS(key, "totalTokenCount"))
            (void)answer_count(s, &c.total);
        else
            (void)scan_skip(s, NULL);
    }
    r->o->usage = normalise(&c);
}

static bool read_member(struct reading *r, struct text key)
{
    if (KEY_IS(key, "candidates"))
        scan_candidates(r);
    else if (KEY_IS(key, "usageMetadata"))
        scan_usage(r);
    else if (KEY_IS(key, "modelVersion"))
        (void)answer_text(&r->s, r->a, &r->o->response_model);
    else if (KEY_IS(key, "responseId"))
        (void)answer_text(&r->s, r->a, &r->id);
    else if (KEY_IS(key, "promptFeedback"))
        scan_feedback(r);
    else
        return false;
    return true;
}

static const struct error_word words[] = {
    {"resource_exhausted", FAULT_RATE_LIMITED},
    {"not_found", FAULT_MODEL_NOT_FOUND},
    {"internal", FAULT_PROVIDER_ERROR},
    {"deadline_exceeded", FAULT_PROVIDER_ERROR},
    {"cancelled", FAULT_PROVIDER_ERROR},
    {"aborted", FAULT_PROVIDER_ERROR},
    {"failed_precondition", FAULT_INVALID_REQUEST},
    {"out_of_range", FAULT_INVALID_REQUEST},
    {"unimplemented", FAULT_INVALID_REQUEST},
    {"api_key_service_blocked", FAULT_AUTH},
    {"api_key_http_referrer_blocked", FAULT_AUTH},
    {"api_key_ip_address_blocked", FAULT_AUTH},
    {"service_disabled", FAULT_AUTH},
    {"consumer_suspended", FAULT_AUTH},
    {"access_token_expired", FAULT_AUTH},
    {"billing_disabled", FAULT_QUOTA_EXHAUSTED},
    {"user_project_denied", FAULT_AUTH},
    {"rate_limit_exceeded", FAULT_RATE_LIMITED},
};

static const struct answer_dialect dialect = {
    .read_member = read_member,
    .words = {words, ARRAY_LEN(words)},
    .no_list = "no_candidates",
    .empty_list = "empty_candidates",
};

/* "Please retry in 38.614529013s.": what the message says when the details do not. */
static void read_wait(const struct transfer *t, struct arena *a, struct outcome *out)
{
    static const char mark[] = "retry in ";
    const char *at;
    size_t len;

    if (out->retry_after_us >= 0 || out->fault != FAULT_RATE_LIMITED || t->body_in.p == NULL)
        return;
    at = memmem(t->body_in.p, t->body_in.len, mark, sizeof(mark) - 1);
    if (at == NULL)
        return;
    at += sizeof(mark) - 1;
    len = (size_t)(t->body_in.p + t->body_in.len - at);
    for (size_t i = 0; i < len; i++)
        if (strchr("0123456789.hms", at[i]) == NULL || at[i] == '\0')
            len = i;
    while (len > 0 && at[len - 1] == '.')
        len--; /* the full stop of the sentence */
    if (len > 0 && len < 32)
        out->retry_after_us = head_duration_us(arena_copy(a, at, len));
}

void gemini_finish(const struct transfer *t, int64_t wall_ms, struct arena *a, struct outcome *out)
{
    answer_finish(&dialect, t, wall_ms, a, out);
    read_wait(t, a, out);
}
