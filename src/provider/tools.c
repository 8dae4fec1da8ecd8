/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes tools and tool calls in OpenAI's shape. What is not in that shape is handed on as it stands: a tool
 * in a vendor's own words reaches the vendor unchanged. Never runs a tool. No state; any thread.
 * source  reference/providers.md 4.1 */
#include "provider/tools.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "provider/answer.h"
#include "provider/build.h"

bool tools_begin(struct tools_walk *w, struct text array, struct arena *a)
{
    w->a = a;
    scan_init(&w->s, array.p, array.len);
    return scan_peek(&w->s) == SCAN_ARRAY && scan_enter_array(&w->s) == 0;
}

static void read_function(struct scan *s, struct arena *a, struct tool *out)
{
    struct text key;

    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (KEY_IS(key, "name"))
            (void)answer_text(s, a, &out->name);
        else if (KEY_IS(key, "description"))
            (void)answer_text(s, a, &out->description);
        else if (KEY_IS(key, "parameters") && scan_peek(s) == SCAN_OBJECT)
            (void)scan_skip(s, &out->parameters);
        else if (KEY_IS(key, "strict") && scan_peek(s) != SCAN_NULL)
            (void)scan_skip(s, &out->strict);
        else
            (void)scan_skip(s, NULL);
    }
}

bool tools_next(struct tools_walk *w, struct tool *out)
{
    struct scan s;
    struct text key;

    *out = (struct tool){TEXT_NONE, TEXT_NONE, TEXT_NONE, TEXT_NONE, TEXT_NONE};
    if (!scan_next_item(&w->s) || scan_skip(&w->s, &out->raw) < 0)
        return false;
    scan_init(&s, out->raw.p, out->raw.len);
    if (!answer_enter_object(&s))
        return true;
    while (scan_next_key(&s, &key)) {
        if (KEY_IS(key, "function"))
            read_function(&s, w->a, out);
        else
            (void)scan_skip(&s, NULL);
    }
    return true;
}

/* {"google": {"thought_signature": "..."}}, as Google's own OpenAI surface has it */
static void read_extra(struct scan *s, struct arena *a, struct tool_call *out)
{
    struct text key;

    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (!KEY_IS(key, "google")) {
            (void)scan_skip(s, NULL);
            continue;
        }
        if (!answer_enter_object(s))
            continue;
        while (scan_next_key(s, &key)) {
            if (KEY_IS(key, "thought_signature"))
                (void)answer_text(s, a, &out->signature);
            else
                (void)scan_skip(s, NULL);
        }
    }
}

static void read_called(struct scan *s, struct arena *a, struct tool_call *out)
{
    struct text key;

    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (KEY_IS(key, "name"))
            (void)answer_text(s, a, &out->name);
        else if (KEY_IS(key, "arguments") && scan_peek(s) == SCAN_OBJECT)
            (void)scan_skip(s, &out->arguments);
        else if (KEY_IS(key, "arguments"))
            (void)answer_text(s, a, &out->arguments);
        else
            (void)scan_skip(s, NULL);
    }
}

bool tool_calls_next(struct tools_walk *w, struct tool_call *out)
{
    struct scan *s = &w->s;
    struct text key;

    *out = (struct tool_call){TEXT_NONE, TEXT_NONE, TEXT_NONE, TEXT_NONE};
    if (!scan_next_item(s))
        return false;
    if (!answer_enter_object(s))
        return s->error == 0;
    while (scan_next_key(s, &key)) {
        if (KEY_IS(key, "id"))
            (void)answer_text(s, w->a, &out->id);
        else if (KEY_IS(key, "function"))
            read_called(s, w->a, out);
        else if (KEY_IS(key, "extra_content"))
            read_extra(s, w->a, out);
        else
            (void)scan_skip(s, NULL);
    }
    return s->error == 0;
}

struct text tool_arguments(struct building *b, const struct tool_call *c)
{
    struct text plain = {.p = NULL};
    struct scan s;

    if (text_is_blank(c->arguments))
        return TEXT_LIT("{}");
    plain.p = text_decode(b->a, c->arguments, &plain.len);
    scan_init(&s, plain.p, plain.len);
    if (scan_peek(&s) != SCAN_OBJECT || scan_skip(&s, &plain) < 0 || scan_end(&s) < 0) {
        build_fail(b, -EINVAL, "the arguments of a tool call are not a JSON object");
        return TEXT_LIT("{}");
    }
    return answer_repair(b->a, plain); /* core has seen a string only, not what is inside of it */
}

/* "name", or {"name": ...} inside of "function" */
static void read_choice_name(struct scan *s, struct arena *a, struct text *out)
{
    struct text key;

    if (scan_peek(s) == SCAN_STRING) {
        (void)answer_text(s, a, out);
        return;
    }
    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (KEY_IS(key, "name"))
            (void)answer_text(s, a, out);
        else
            (void)scan_skip(s, NULL);
    }
}

struct tool_choice tool_choice_read(struct text json, struct arena *a)
{
    struct tool_choice choice = {CHOICE_OTHER, TEXT_NONE, TEXT_NONE};
    struct text word = TEXT_NONE;
    struct text key;
    struct scan s;

    scan_init(&s, json.p, json.len);
    if (scan_peek(&s) == SCAN_OBJECT) {
        (void)scan_enter_object(&s);
        while (scan_next_key(&s, &key)) {
            if (KEY_IS(key, "type"))
                (void)answer_text(&s, a, &word);
            else if (KEY_IS(key, "function"))
                read_choice_name(&s, a, &choice.name);
            else
                (void)scan_skip(&s, NULL);
        }
        if (text_is(word, "function") && !text_is_blank(choice.name))
            choice.kind = CHOICE_FUNCTION;
        choice.type = word;
        return choice;
    }
    (void)answer_text(&s, a, &word);
    if (text_is(word, "none"))
        choice.kind = CHOICE_NONE;
    else if (text_is(word, "auto"))
        choice.kind = CHOICE_AUTO;
    else if (text_is(word, "required") || text_is(word, "any")) /* Mistral's word */
        choice.kind = CHOICE_REQUIRED;
    return choice;
}

void tool_writer_init(struct tool_writer *t)
{
    buf_init(&t->b, 0);
    jw_init(&t->w, &t->b);
    t->n = 0;
}

void tool_writer_add(struct tool_writer *t, const struct tool_call *c)
{
    struct json_write *w = &t->w;
    char id[24];

    snprintf(id, sizeof(id), "call_%d", t->n);
    if (t->n++ == 0)
        jw_open(w, '[');
    jw_open(w, '{');
    jw_kv_text(w, "id", text_is_blank(c->id) ? text_of(id) : c->id);
    jw_kv_str(w, "type", "function");
    jw_key(w, "function");
    jw_open(w, '{');
    jw_kv_text(w, "name", c->name);
    jw_kv_text(w, "arguments", c->arguments.p != NULL ? c->arguments : TEXT_LIT("{}"));
    jw_close(w, '}');
    if (c->signature.p != NULL) {
        jw_key(w, "extra_content");
        jw_open(w, '{');
        jw_key(w, "google");
        jw_open(w, '{');
        jw_kv_text(w, "thought_signature", c->signature);
        jw_close(w, '}');
        jw_close(w, '}');
    }
    jw_close(w, '}');
}

struct text tool_writer_end(struct tool_writer *t, struct arena *a)
{
    struct text out = TEXT_NONE;

    if (t->n > 0) {
        jw_close(&t->w, ']');
        out = text_slice(arena_copy(a, t->b.p, t->b.len), t->b.len);
    }
    buf_done(&t->b);
    return out;
}
