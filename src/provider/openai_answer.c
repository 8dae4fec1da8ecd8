/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAI-compatible dialect, receiving side: one walk over the body of a 2xx answer. Texts are slices of the body
 * wherever they stand there in one piece. Trusts nothing about types: a key of another type than documented is passed
 * over. No state; any thread.
 * source  reference/providers.md 4.1, 4.8-4.10; wire-oddities.md 1-6, 9-12, 31 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "provider/head.h"
#include "provider/openai.h"

/* One answer being read. */
struct reading {
    struct scan s;
    struct arena *a;
    struct outcome *o;
    struct openai_error error;
    struct text id;
    struct text transcript; /* of an audio answer: the text when there is no content */
    bool has_choices;       /* the key stands there as an array */
    bool has_choice;
};

enum finish openai_finish_of(struct text raw)
{
    static const struct {
        const char *word;
        enum finish finish;
    } rows[] = {
        {"stop", FINISH_STOP},
        {"length", FINISH_LENGTH},
        {"tool_calls", FINISH_TOOL_CALLS},
        {"content_filter", FINISH_CONTENT_FILTER},
        {"eos", FINISH_STOP},
        {"end_turn", FINISH_STOP},
        {"stop_sequence", FINISH_STOP},
        {"complete", FINISH_STOP},
        {"max_tokens", FINISH_LENGTH},
        {"max_output_tokens", FINISH_LENGTH},
        {"model_length", FINISH_LENGTH},
        {"model_context_window_exceeded", FINISH_LENGTH},
        {"tool_call", FINISH_TOOL_CALLS},
        {"tool_use", FINISH_TOOL_CALLS},
        {"function_call", FINISH_TOOL_CALLS},
        {"refusal", FINISH_CONTENT_FILTER},
        {"content_filtered", FINISH_CONTENT_FILTER},
        {"guardrail_intervened", FINISH_CONTENT_FILTER},
        {"safety", FINISH_CONTENT_FILTER},
        {"recitation", FINISH_CONTENT_FILTER},
        {"blocklist", FINISH_CONTENT_FILTER},
        {"prohibited_content", FINISH_CONTENT_FILTER},
        {"spii", FINISH_CONTENT_FILTER},
        {"model_armor", FINISH_CONTENT_FILTER},
        {"error", FINISH_ERROR},
        {"timeout", FINISH_ERROR},
        {"insufficient_system_resource", FINISH_ERROR},
        {"malformed_function_call", FINISH_ERROR},
        {"unexpected_tool_call", FINISH_ERROR},
        {"other", FINISH_ERROR},
    };
    char word[40];

    if (raw.p == NULL || raw.len >= sizeof(word))
        return FINISH_UNKNOWN;
    for (size_t i = 0; i < raw.len; i++)
        word[i] = raw.p[i] >= 'A' && raw.p[i] <= 'Z' ? (char)(raw.p[i] | 0x20) : raw.p[i];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strlen(rows[i].word) == raw.len && memcmp(rows[i].word, word, raw.len) == 0)
            return rows[i].finish;
    return FINISH_UNKNOWN;
}

int openai_scan_text(struct scan *s, struct arena *a, struct text *out)
{
    *out = TEXT_NONE; /* also when the string turns out to be broken */
    return scan_peek(s) == SCAN_STRING ? scan_text(s, a, out) : scan_skip(s, NULL);
}

/* The string under `wanted` in the object at hand; anything else is passed over. */
static int scan_member(struct reading *r, const char *wanted, struct text *out)
{
    struct text key;

    if (scan_peek(&r->s) != SCAN_OBJECT)
        return scan_skip(&r->s, NULL);
    (void)scan_enter_object(&r->s);
    while (scan_next_key(&r->s, &key)) {
        if (text_is(key, wanted))
            (void)openai_scan_text(&r->s, r->a, out);
        else
            (void)scan_skip(&r->s, NULL);
    }
    return r->s.error;
}

/* One part of a content list: its text when it is of type text. */
static void scan_part(struct reading *r, struct text *out)
{
    struct text type = TEXT_NONE;
    struct text key;

    *out = TEXT_NONE;
    if (scan_peek(&r->s) != SCAN_OBJECT) {
        (void)openai_scan_text(&r->s, r->a, out); /* plain strings occur in the same lists */
        return;
    }
    (void)scan_enter_object(&r->s);
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "text"))
            (void)openai_scan_text(&r->s, r->a, out);
        else if (KEY_IS(key, "type"))
            (void)openai_scan_text(&r->s, r->a, &type);
        else
            (void)scan_skip(&r->s, NULL);
    }
    if (!text_is(type, "text"))
        *out = TEXT_NONE;
}

/* Joins the text parts without a separator; one part alone stays a slice. */
static void scan_parts(struct reading *r, struct text *out)
{
    struct text joined = TEXT_NONE;
    struct text part;
    struct buf b;

    buf_init(&b, 0);
    (void)scan_enter_array(&r->s);
    while (scan_next_item(&r->s)) {
        scan_part(r, &part);
        if (part.p == NULL)
            continue;
        if (joined.p == NULL) {
            joined = part;
            continue;
        }
        if (b.len == 0)
            buf_add(&b, joined.p, joined.len);
        /* All come from JSON strings, so those without an escape are valid escaped text too. */
        buf_add(&b, part.p, part.len);
        joined.is_escaped |= part.is_escaped;
    }
    if (b.len > 0) {
        joined.p = arena_copy(r->a, b.p, b.len);
        joined.len = b.len;
    }
    *out = joined;
    buf_done(&b);
}

static void scan_content(struct reading *r)
{
    switch (scan_peek(&r->s)) {
    case SCAN_ARRAY:
        scan_parts(r, &r->o->answer);
        break;
    case SCAN_OBJECT: /* Cloudflare with a JSON schema: the document is the answer */
        (void)scan_skip(&r->s, &r->o->answer);
        break;
    default:
        (void)openai_scan_text(&r->s, r->a, &r->o->answer);
    }
}

/* A non-empty array as it stands; presence of the key alone means nothing. */
static void scan_tool_calls(struct reading *r)
{
    bool is_array = scan_peek(&r->s) == SCAN_ARRAY;
    struct text raw;

    if (scan_skip(&r->s, &raw) < 0 || !is_array)
        return;
    for (size_t i = 1; i < raw.len; i++)
        if (strchr(" \t\r\n", raw.p[i]) == NULL) {
            if (raw.p[i] != ']')
                r->o->tool_calls = raw;
            return;
        }
}

/* The old single function_call, as the list it became. Snowflake sends an empty twin: no name, no call. */
static void scan_function_call(struct reading *r)
{
    struct text name = TEXT_NONE;
    struct text raw;
    struct text key;
    struct scan inner;

    if (scan_peek(&r->s) != SCAN_OBJECT) {
        (void)scan_skip(&r->s, NULL);
        return;
    }
    if (scan_skip(&r->s, &raw) < 0)
        return;
    scan_init(&inner, raw.p, raw.len);
    (void)scan_enter_object(&inner);
    while (scan_next_key(&inner, &key)) {
        if (KEY_IS(key, "name"))
            (void)openai_scan_text(&inner, r->a, &name);
        else
            (void)scan_skip(&inner, NULL);
    }
    if (!text_is_blank(name) && r->o->tool_calls.p == NULL)
        r->o->tool_calls =
            text_of(arena_printf(r->a, "[{\"type\":\"function\",\"function\":%.*s}]", (int)raw.len, raw.p));
}

static void scan_message(struct reading *r)
{
    struct outcome *o = r->o;
    struct text other = TEXT_NONE; /* `reasoning` beside `reasoning_content`: the longer name wins */
    struct text key;

    if (scan_peek(&r->s) != SCAN_OBJECT) {
        (void)scan_skip(&r->s, NULL);
        return;
    }
    (void)scan_enter_object(&r->s);
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "content"))
            scan_content(r);
        else if (KEY_IS(key, "refusal"))
            (void)openai_scan_text(&r->s, r->a, &o->refusal);
        else if (KEY_IS(key, "tool_calls"))
            scan_tool_calls(r);
        else if (KEY_IS(key, "reasoning_content"))
            (void)openai_scan_text(&r->s, r->a, &o->reasoning);
        else if (KEY_IS(key, "reasoning"))
            (void)openai_scan_text(&r->s, r->a, &other);
        else if (KEY_IS(key, "function_call"))
            scan_function_call(r);
        else if (KEY_IS(key, "audio"))
            (void)scan_member(r, "transcript", &r->transcript);
        else
            (void)scan_skip(&r->s, NULL);
    }
    if (text_is_blank(o->reasoning))
        o->reasoning = other;
}

static void scan_choice(struct reading *r)
{
    struct text details = TEXT_NONE;
    struct text key;

    if (scan_peek(&r->s) != SCAN_OBJECT) {
        (void)scan_skip(&r->s, NULL);
        return;
    }
    r->has_choice = true;
    (void)scan_enter_object(&r->s);
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "message"))
            scan_message(r);
        else if (KEY_IS(key, "finish_reason"))
            (void)openai_scan_text(&r->s, r->a, &r->o->raw_finish);
        else if (KEY_IS(key, "finish_details"))
            (void)scan_member(r, "type", &details);
        else if (KEY_IS(key, "error"))
            (void)openai_error_scan(&r->s, r->a, &r->error);
        else
            (void)scan_skip(&r->s, NULL);
    }
    if (r->o->raw_finish.p == NULL)
        r->o->raw_finish = details;
}

static void scan_choices(struct reading *r)
{
    if (scan_peek(&r->s) != SCAN_ARRAY) {
        (void)scan_skip(&r->s, NULL);
        return;
    }
    r->has_choices = true;
    (void)scan_enter_array(&r->s);
    for (bool is_first = true; scan_next_item(&r->s); is_first = false) {
        if (is_first)
            scan_choice(r);
        else
            (void)scan_skip(&r->s, NULL);
    }
}

/* The whole body; the scan's error says whether it was JSON to its end. */
static int scan_body(struct reading *r)
{
    struct text key;

    if (scan_peek(&r->s) == SCAN_OBJECT)
        (void)scan_enter_object(&r->s);
    else
        return scan_fail(&r->s, -EINVAL, "not a JSON object");
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "choices"))
            scan_choices(r);
        else if (KEY_IS(key, "usage"))
            (void)openai_usage_scan(&r->s, &r->o->usage);
        else if (KEY_IS(key, "model"))
            (void)openai_scan_text(&r->s, r->a, &r->o->response_model);
        else if (KEY_IS(key, "id"))
            (void)openai_scan_text(&r->s, r->a, &r->id);
        else if (KEY_IS(key, "error"))
            (void)openai_error_scan(&r->s, r->a, &r->error);
        else
            (void)scan_skip(&r->s, NULL);
    }
    return scan_end(&r->s);
}

/* No part of an answer that is none may reach a result. */
static void drop_answer(struct outcome *o)
{
    o->answer = TEXT_NONE;
    o->refusal = TEXT_NONE;
    o->tool_calls = TEXT_NONE;
}

/* A complete document without an error object: is there something usable in it? */
static void judge_answer(struct reading *r)
{
    struct outcome *o = r->o;

    if (text_is_blank(o->answer) && !text_is_blank(r->transcript))
        o->answer = r->transcript;
    if (text_is_blank(o->refusal))
        o->refusal = TEXT_NONE;
    o->finish = openai_finish_of(o->raw_finish);
    if (o->tool_calls.p != NULL && (o->finish == FINISH_STOP || o->finish == FINISH_UNKNOWN))
        o->finish = FINISH_TOOL_CALLS;

    if (o->finish == FINISH_ERROR) {
        bool is_overload = text_is(o->raw_finish, "insufficient_system_resource");

        outcome_fail(o, is_overload ? FAULT_OVERLOADED : FAULT_PROVIDER_ERROR, "finish_error",
                     "the provider ended the answer with an error");
    } else if (!r->has_choices) {
        outcome_fail(o, FAULT_BAD_RESPONSE, "no_choices", "the answer has no choices");
        o->is_ambiguous = true;
    } else if (!outcome_is_ok(o)) {
        if (o->finish == FINISH_CONTENT_FILTER)
            outcome_fail(o, FAULT_CONTENT_FILTERED, "content_filter", "the provider's filter left no answer");
        else if (o->finish == FINISH_LENGTH)
            outcome_fail(o, FAULT_EMPTY_ANSWER, "empty_length", "the token limit was used up before any text");
        else
            outcome_fail(o, FAULT_EMPTY_ANSWER, r->has_choice ? "empty_text" : "empty_choices",
                         "no text, no tool call and no refusal");
    }
}

static void finish_success(const struct transfer *t, int64_t wall_ms, struct reading *r)
{
    struct outcome *o = r->o;

    scan_init(&r->s, t->body_in.p, t->body_in.len);
    if (scan_body(r) < 0) {
        const char *detail = t->body_in.len == 0 ? "empty_body" : "bad_json";

        outcome_fail(o, FAULT_BAD_RESPONSE, detail, "HTTP %d, %s at byte %zu of %zu", t->status, r->s.why,
                     r->s.error_at, t->body_in.len);
        o->is_ambiguous = true; /* it was served, most likely billed, and nothing can be made of it */
    } else if (r->error.is_present) {
        openai_error_classify(t, &r->error, wall_ms, r->a, o);
    } else {
        judge_answer(r);
    }
    if (o->fault != FAULT_NONE)
        drop_answer(o);
}

void openai_finish(const struct transfer *t, int64_t wall_ms, struct arena *a, struct outcome *out)
{
    struct reading r = {.a = a, .o = out};
    char request_id[128];

    out->http_status = t->status;
    if (t->status >= 200 && t->status < 300) {
        finish_success(t, wall_ms, &r);
    } else {
        openai_error_read(t->body_in.p, t->body_in.len, a, &r.error);
        openai_error_classify(t, &r.error, wall_ms, a, out);
    }
    if (head_get(t, "x-request-id", request_id, sizeof(request_id)) == 0 ||
        head_get(t, "request-id", request_id, sizeof(request_id)) == 0)
        out->request_id = text_of(arena_strdup(a, request_id));
    else if (r.id.p != NULL)
        out->request_id = text_of(text_decode(a, text_cut(r.id, sizeof(request_id)), NULL));
}
