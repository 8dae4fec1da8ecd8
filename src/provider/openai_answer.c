/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAI-compatible dialect, receiving side: one walk over the body of a 2xx answer. Texts are slices of the body
 * wherever they stand there in one piece. Trusts nothing about types: a key of another type than documented is passed
 * over. No state; any thread.
 * source  reference/providers.md 4.1, 4.8-4.10; wire-oddities.md 1-6, 9-12, 31 */
#include "base/mem.h"
#include "provider/answer.h"
#include "provider/openai.h"

/* The string under `wanted` in the object at hand; anything else is passed over. */
static int scan_member(struct reading *r, const char *wanted, struct text *out)
{
    struct text key;

    if (scan_peek(&r->s) != SCAN_OBJECT)
        return scan_skip(&r->s, NULL);
    (void)scan_enter_object(&r->s);
    while (scan_next_key(&r->s, &key)) {
        if (text_is(key, wanted))
            (void)answer_text(&r->s, r->a, out);
        else
            (void)scan_skip(&r->s, NULL);
    }
    return r->s.error;
}

/* One part of a content list: its text when it is of type text, else what the model thought in it. */
struct part {
    struct text text;
    struct text thinking;
};

/* Mistral's list of text parts, Cohere's string. */
static void scan_thinking(struct reading *r, struct text *out)
{
    struct text_join join;

    if (scan_peek(&r->s) != SCAN_ARRAY) {
        (void)answer_text(&r->s, r->a, out);
        return;
    }
    text_join_init(&join);
    (void)scan_enter_array(&r->s);
    while (scan_next_item(&r->s)) {
        struct text piece = TEXT_NONE;

        (void)scan_member(r, "text", &piece);
        text_join_add(&join, piece);
    }
    *out = text_join_end(&join, r->a);
}

static void scan_part(struct reading *r, struct part *out)
{
    struct text type = TEXT_NONE;
    struct text key;

    *out = (struct part){TEXT_NONE, TEXT_NONE};
    if (scan_peek(&r->s) != SCAN_OBJECT) {
        (void)answer_text(&r->s, r->a, &out->text); /* plain strings occur in the same lists */
        return;
    }
    (void)scan_enter_object(&r->s);
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "text"))
            (void)answer_text(&r->s, r->a, &out->text);
        else if (KEY_IS(key, "thinking"))
            scan_thinking(r, &out->thinking);
        else if (KEY_IS(key, "type"))
            (void)answer_text(&r->s, r->a, &type);
        else
            (void)scan_skip(&r->s, NULL);
    }
    if (!text_is(type, "text"))
        out->text = TEXT_NONE;
    if (!text_is(type, "thinking"))
        out->thinking = TEXT_NONE;
}

/* Joins the text parts without a separator; the thoughts among them stand apart. */
static void scan_parts(struct reading *r)
{
    struct text_join text;
    struct text_join thinking;
    struct part part;

    text_join_init(&text);
    text_join_init(&thinking);
    (void)scan_enter_array(&r->s);
    while (scan_next_item(&r->s)) {
        scan_part(r, &part);
        if (r->s.error != 0)
            break; /* half a part is none */
        text_join_add(&text, part.text);
        text_join_add(&thinking, part.thinking);
    }
    r->o->answer = text_join_end(&text, r->a);
    part.thinking = text_join_end(&thinking, r->a);
    if (!text_is_blank(part.thinking))
        r->o->reasoning = part.thinking;
}

static void scan_content(struct reading *r)
{
    switch (scan_peek(&r->s)) {
    case SCAN_ARRAY:
        scan_parts(r);
        break;
    case SCAN_OBJECT: /* Cloudflare with a JSON schema: the document is the answer */
        (void)scan_skip(&r->s, &r->o->answer);
        break;
    default:
        (void)answer_text(&r->s, r->a, &r->o->answer);
    }
}

/* A non-empty array as it stands; presence of the key alone means nothing. */
static void scan_tool_calls(struct reading *r)
{
    bool is_array = scan_peek(&r->s) == SCAN_ARRAY;
    struct text raw;

    if (answer_raw(&r->s, r->a, &raw) < 0 || !is_array)
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
    if (answer_raw(&r->s, r->a, &raw) < 0)
        return;
    scan_init(&inner, raw.p, raw.len);
    (void)scan_enter_object(&inner);
    while (scan_next_key(&inner, &key)) {
        if (KEY_IS(key, "name"))
            (void)answer_text(&inner, r->a, &name);
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
    struct text transcript = TEXT_NONE; /* of an audio answer: the text when there is no content */
    struct text other = TEXT_NONE;      /* `reasoning` beside `reasoning_content`: the longer name wins */
    struct text key;

    if (!answer_enter_object(&r->s))
        return;
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "content"))
            scan_content(r);
        else if (KEY_IS(key, "refusal"))
            (void)answer_text(&r->s, r->a, &o->refusal);
        else if (KEY_IS(key, "tool_calls"))
            scan_tool_calls(r);
        else if (KEY_IS(key, "reasoning_content"))
            (void)answer_text(&r->s, r->a, &o->reasoning);
        else if (KEY_IS(key, "reasoning"))
            (void)answer_text(&r->s, r->a, &other);
        else if (KEY_IS(key, "function_call"))
            scan_function_call(r);
        else if (KEY_IS(key, "audio"))
            (void)scan_member(r, "transcript", &transcript);
        else
            (void)scan_skip(&r->s, NULL);
    }
    if (text_is_blank(o->reasoning))
        o->reasoning = other;
    if (text_is_blank(o->answer) && !text_is_blank(transcript))
        o->answer = transcript;
}

static void scan_choice(struct reading *r)
{
    struct text details = TEXT_NONE;
    struct text key;

    if (!answer_enter_object(&r->s))
        return;
    r->has_item = true;
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "message"))
            scan_message(r);
        else if (KEY_IS(key, "finish_reason"))
            (void)answer_text(&r->s, r->a, &r->o->raw_finish);
        else if (KEY_IS(key, "finish_details"))
            (void)scan_member(r, "type", &details);
        else if (KEY_IS(key, "error"))
            (void)error_scan(&r->s, r->a, &r->error);
        else
            (void)scan_skip(&r->s, NULL);
    }
    if (r->o->raw_finish.p == NULL)
        r->o->raw_finish = details;
}

static void scan_choices(struct reading *r)
{
    if (!answer_enter_array(&r->s))
        return;
    r->has_list = true;
    for (bool is_first = true; scan_next_item(&r->s); is_first = false) {
        if (is_first)
            scan_choice(r);
        else
            (void)scan_skip(&r->s, NULL);
    }
}

static bool read_member(struct reading *r, struct text key)
{
    if (KEY_IS(key, "choices"))
        scan_choices(r);
    else if (KEY_IS(key, "usage"))
        (void)openai_usage_scan(&r->s, &r->o->usage);
    else if (KEY_IS(key, "model"))
        (void)answer_text(&r->s, r->a, &r->o->response_model);
    else if (KEY_IS(key, "id"))
        (void)answer_text(&r->s, r->a, &r->id);
    else
        return false;
    return true;
}

static const struct answer_dialect dialect = {
    .read_member = read_member,
    .words = {NULL, 0}, /* the shared ones are its own */
    .no_list = "no_choices",
    .empty_list = "empty_choices",
};

void openai_finish(const struct transfer *t, int64_t wall_ms, struct arena *a, struct outcome *out)
{
    answer_finish(&dialect, t, wall_ms, a, out);
}
