/* SPDX-License-Identifier: Apache-2.0 */
/* The frame in which every dialect reads a response: one walk over the body of a 2xx answer, the error tables for the
 * rest, one judgement of what was found. Texts are slices of the body wherever they stand there in one piece. Trusts
 * nothing about types. No state; any thread.
 * source  reference/providers.md 4.8-4.11; wire-oddities.md 5-7, 10-12, 31 */
#include "provider/answer.h"

#include <errno.h>
#include <strings.h>

#include "base/check.h"
#include "base/mem.h"
#include "provider/head.h"

enum { REQUEST_ID_BYTES = 128 };

enum finish answer_finish_of(struct text raw)
{
    static const struct {
        const char *word;
        enum finish finish;
    } rows[] = {
        {"stop", FINISH_STOP},
        {"end_turn", FINISH_STOP},
        {"length", FINISH_LENGTH},
        {"max_tokens", FINISH_LENGTH},
        {"tool_calls", FINISH_TOOL_CALLS},
        {"tool_use", FINISH_TOOL_CALLS},
        {"content_filter", FINISH_CONTENT_FILTER},
        {"stop_sequence", FINISH_STOP},
        {"eos", FINISH_STOP},
        {"complete", FINISH_STOP},
        {"max_output_tokens", FINISH_LENGTH},
        {"model_length", FINISH_LENGTH},
        {"model_context_window_exceeded", FINISH_LENGTH},
        {"tool_call", FINISH_TOOL_CALLS},
        {"function_call", FINISH_TOOL_CALLS},
        {"refusal", FINISH_CONTENT_FILTER},
        {"content_filtered", FINISH_CONTENT_FILTER},
        {"guardrail_intervened", FINISH_CONTENT_FILTER},
        {"safety", FINISH_CONTENT_FILTER},
        {"recitation", FINISH_CONTENT_FILTER},
        {"language", FINISH_CONTENT_FILTER},
        {"blocklist", FINISH_CONTENT_FILTER},
        {"prohibited_content", FINISH_CONTENT_FILTER},
        {"spii", FINISH_CONTENT_FILTER},
        {"model_armor", FINISH_CONTENT_FILTER},
        {"jailbreak", FINISH_CONTENT_FILTER},
        {"image_safety", FINISH_CONTENT_FILTER},
        {"image_prohibited_content", FINISH_CONTENT_FILTER},
        {"image_recitation", FINISH_CONTENT_FILTER},
        {"error", FINISH_ERROR},
        {"timeout", FINISH_ERROR},
        {"insufficient_system_resource", FINISH_ERROR},
        {"malformed_function_call", FINISH_ERROR},
        {"malformed_response", FINISH_ERROR},
        {"malformed_model_output", FINISH_ERROR},
        {"malformed_tool_use", FINISH_ERROR},
        {"unexpected_tool_call", FINISH_ERROR},
        {"too_many_tool_calls", FINISH_ERROR},
        {"missing_thought_signature", FINISH_ERROR},
        {"image_other", FINISH_ERROR},
        {"no_image", FINISH_ERROR},
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

/* The whole body; the scan's error says whether it was JSON to its end. */
static int scan_body(const struct answer_dialect *d, struct reading *r)
{
    struct text key;

    if (scan_peek(&r->s) != SCAN_OBJECT)
        return scan_fail(&r->s, -EINVAL, "not a JSON object");
    (void)scan_enter_object(&r->s);
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "error"))
            (void)error_scan(&r->s, r->a, &r->error);
        else if (!d->read_member(r, key))
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

/* The provider's own words about an answer that is none, behind ours. */
static const char *note_of(const struct reading *r)
{
    enum { NOTE_BYTES = 100 };

    if (text_is_blank(r->note))
        return "";
    return arena_printf(r->a, ": %s", text_decode(r->a, text_cut(r->note, NOTE_BYTES), NULL));
}

/* The model's own output was none of what was asked for: as good as a broken answer, and paid for like one, so not
 * asked for again and again. "malformed..." means the same. */
static bool is_of_model(struct text raw)
{
    static const char *const words[] = {"UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
                                        "NO_IMAGE", "IMAGE_OTHER"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (text_is(raw, words[i]))
            return true;
    return false;
}

static void fail_by_finish(struct reading *r)
{
    struct outcome *o = r->o;
    bool is_overload = text_is(o->raw_finish, "insufficient_system_resource");
    bool is_malformed = o->raw_finish.len >= 9 && strncasecmp(o->raw_finish.p, "malformed", 9) == 0;

    if (is_of_model(o->raw_finish))
        outcome_fail(o, FAULT_BAD_RESPONSE, "finish_unusable", "what the model gave is no answer%s", note_of(r));
    else if (is_malformed)
        outcome_fail(o, FAULT_BAD_RESPONSE, "finish_malformed", "the model's output was malformed%s", note_of(r));
    else /* what it wrote until then is paid for: bounded like any broken answer, but where capacity is named */
        outcome_fail(o, is_overload ? FAULT_OVERLOADED : FAULT_BAD_RESPONSE, "finish_error",
                     "the provider ended the answer with an error%s", note_of(r));
}

/* A complete document without an error object: is there something usable in it? */
static void judge_answer(const struct answer_dialect *d, struct reading *r)
{
    struct outcome *o = r->o;

    if (text_is_blank(o->refusal))
        o->refusal = TEXT_NONE;
    o->finish = answer_finish_of(o->raw_finish);
    if (o->tool_calls.p != NULL && (o->finish == FINISH_STOP || o->finish == FINISH_UNKNOWN))
        o->finish = FINISH_TOOL_CALLS;
    if (r->is_blocked && !r->has_item) {
        o->raw_finish = r->block_reason;
        o->finish = FINISH_CONTENT_FILTER;
    }

    if (o->finish == FINISH_ERROR) {
        fail_by_finish(r);
    } else if (r->is_blocked && !r->has_item) {
        outcome_fail(o, FAULT_CONTENT_FILTERED, "prompt_blocked", "the provider's filter refused the prompt%s",
                     note_of(r));
    } else if (!r->has_list) {
        outcome_fail(o, FAULT_BAD_RESPONSE, d->no_list, "the answer has no list of contents");
        o->is_ambiguous = true;
    } else if (!outcome_is_ok(o)) {
        if (o->finish == FINISH_CONTENT_FILTER)
            outcome_fail(o, FAULT_CONTENT_FILTERED, "content_filter", "the provider's filter left no answer%s",
                         note_of(r));
        else if (o->finish == FINISH_LENGTH)
            outcome_fail(o, FAULT_EMPTY_ANSWER, "empty_length", "the token limit was used up before any text");
        else
            outcome_fail(o, FAULT_EMPTY_ANSWER, r->has_item ? "empty_text" : d->empty_list,
                         "no text, no tool call and no refusal");
    }
}

/* A body without a list of contents that calls itself an error, beside of any `error`:
 * {"object":"error","message":...}. What it names is the fault; when it names none, its words say why the answer is
 * missing. The message of any other body may be what the model wrote, so it is told to nobody. */
static void explain_no_list(const struct answer_dialect *d, const struct transfer *t, int64_t wall_ms,
                            struct reading *r)
{
    struct wire_error said = {.status = 0};
    struct outcome *o = r->o;

    error_read(t->body_in.p, t->body_in.len, r->a, &said);
    if (text_is_blank(said.message) || (!said.is_declared && said.status == 0))
        return;
    error_classify(t, &said, &d->words, wall_ms, r->a, o);
    if (o->fault == FAULT_PROVIDER_ERROR && o->detail == NULL && said.status == 0) {
        o->fault = FAULT_BAD_RESPONSE;
        o->detail = d->no_list;
        o->is_ambiguous = true;
    }
}

static void finish_success(const struct answer_dialect *d, const struct transfer *t, int64_t wall_ms, struct reading *r)
{
    struct outcome *o = r->o;

    scan_init(&r->s, t->body_in.p, t->body_in.len);
    if (scan_body(d, r) < 0) {
        const char *detail = t->body_in.len == 0 ? "empty_body" : "bad_json";

        outcome_fail(o, FAULT_BAD_RESPONSE, detail, "HTTP %d, %s at byte %zu of %zu", t->status, r->s.why,
                     r->s.error_at, t->body_in.len);
        o->is_ambiguous = true; /* it was served, most likely billed, and nothing can be made of it */
    } else if (r->error.is_present) {
        error_classify(t, &r->error, &d->words, wall_ms, r->a, o);
    } else {
        judge_answer(d, r);
        if (o->detail == d->no_list)
            explain_no_list(d, t, wall_ms, r);
    }
    if (o->fault != FAULT_NONE)
        drop_answer(o);
}

void answer_finish(const struct answer_dialect *d, const struct transfer *t, int64_t wall_ms, struct arena *a,
                   struct outcome *out)
{
    struct reading r = {.a = a, .o = out};
    char request_id[REQUEST_ID_BYTES];

    out->http_status = t->status;
    if (t->status >= 200 && t->status < 300) {
        finish_success(d, t, wall_ms, &r);
    } else {
        error_read(t->body_in.p, t->body_in.len, a, &r.error);
        error_classify(t, &r.error, &d->words, wall_ms, a, out);
    }
    if (r.id.p == NULL)
        r.id = r.error.request_id;
    if (head_get(t, "x-request-id", request_id, sizeof(request_id)) == 0 ||
        head_get(t, "request-id", request_id, sizeof(request_id)) == 0)
        out->request_id = text_of(arena_strdup(a, request_id));
    else if (r.id.p != NULL)
        out->request_id = text_of(text_decode(a, text_cut(r.id, sizeof(request_id)), NULL));
}
