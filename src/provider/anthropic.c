/* SPDX-License-Identifier: Apache-2.0 */
/* The Anthropic Messages dialect, sending side: POST {base_url}/v1/messages. Never streams, never holds a key outside
 * of sign(). No state; any thread.  source  reference/providers.md 4.4 */
#include "provider/anthropic.h"

#include <errno.h>

#include "base/mem.h"
#include "provider/build.h"
#include "provider/tools.h"

static void add_text(struct building *b, struct text text)
{
    if (text_is_blank(text))
        return; /* the API refuses empty text blocks */
    jw_open(&b->w, '{');
    jw_kv_str(&b->w, "type", "text");
    jw_kv_text(&b->w, "text", text);
    jw_close(&b->w, '}');
}

static void add_image(struct building *b, const struct message_part *p)
{
    struct image image;

    if (!build_image(b, p, &image))
        return;
    jw_open(&b->w, '{');
    jw_kv_str(&b->w, "type", "image");
    jw_key(&b->w, "source");
    jw_open(&b->w, '{');
    if (image.data.p != NULL) {
        jw_kv_str(&b->w, "type", "base64");
        jw_kv_text(&b->w, "media_type", image.mime);
        jw_kv_text(&b->w, "data", image.data);
    } else {
        jw_kv_str(&b->w, "type", "url");
        jw_kv_text(&b->w, "url", p->text);
    }
    jw_close(&b->w, '}');
    jw_close(&b->w, '}');
}

static void add_parts(struct building *b, const struct chat_message *m, bool has_images)
{
    for (int i = 0; i < m->n_parts; i++) {
        if (m->parts[i].kind == PART_TEXT)
            add_text(b, m->parts[i].text);
        else if (has_images)
            add_image(b, &m->parts[i]);
    }
}

static bool has_parts(const struct chat_message *m, bool has_images)
{
    for (int i = 0; i < m->n_parts; i++)
        if (m->parts[i].kind == PART_IMAGE ? has_images : !text_is_blank(m->parts[i].text))
            return true;
    return false;
}

static void add_tool_result(struct building *b, const struct chat_message *m, bool has_images)
{
    jw_open(&b->w, '{');
    jw_kv_str(&b->w, "type", "tool_result");
    jw_kv_text(&b->w, "tool_use_id", m->tool_call_id);
    if (has_parts(m, has_images)) {
        jw_key(&b->w, "content");
        jw_open(&b->w, '[');
        add_parts(b, m, has_images);
        jw_close(&b->w, ']');
    }
    jw_close(&b->w, '}');
}

static void add_tool_uses(struct building *b, struct text calls)
{
    struct tools_walk walk;
    struct tool_call call;

    if (!tools_begin(&walk, calls, b->a)) {
        build_fail(b, -EINVAL, "tool_calls must be an array");
        return;
    }
    while (tool_calls_next(&walk, &call)) {
        jw_open(&b->w, '{');
        jw_kv_str(&b->w, "type", "tool_use");
        jw_kv_text(&b->w, "id", call.id);
        jw_kv_text(&b->w, "name", call.name);
        jw_kv_raw(&b->w, "input", tool_arguments(b, &call));
        jw_close(&b->w, '}');
    }
}

static const char *role_of(const struct chat_message *m)
{
    return m->role == ROLE_ASSISTANT ? "assistant" : "user"; /* the results of tools are the user's */
}

/* Neighbours of one role become one message: the API wants turns, and all results of one turn's calls together. */
static void add_messages(struct building *b)
{
    bool has_images = build_has_images(b);
    const char *open = NULL;

    jw_key(&b->w, "messages");
    jw_open(&b->w, '[');
    for (int i = 0; i < b->q->n_messages; i++) {
        const struct chat_message *m = &b->q->messages[i];

        if (m->role == ROLE_SYSTEM || !build_has_content(b, m, has_images))
            continue;
        if (open != role_of(m)) {
            if (open != NULL) {
                jw_close(&b->w, ']');
                jw_close(&b->w, '}');
            }
            open = role_of(m);
            jw_open(&b->w, '{');
            jw_kv_str(&b->w, "role", open);
            jw_key(&b->w, "content");
            jw_open(&b->w, '[');
        }
        if (m->role == ROLE_TOOL)
            add_tool_result(b, m, has_images);
        else
            add_parts(b, m, has_images);
        if (m->role == ROLE_ASSISTANT && m->tool_calls.p != NULL)
            add_tool_uses(b, m->tool_calls);
    }
    if (open != NULL) {
        jw_close(&b->w, ']');
        jw_close(&b->w, '}');
    } else {
        build_fail(b, -EINVAL, "no prompt");
    }
    jw_close(&b->w, ']');
}

static void add_tool(struct building *b, const struct tool *tool)
{
    if (tool->name.p == NULL) { /* in Anthropic's own words */
        jw_raw(&b->w, tool->raw);
        return;
    }
    jw_open(&b->w, '{');
    jw_kv_text(&b->w, "name", tool->name);
    if (tool->description.p != NULL)
        jw_kv_text(&b->w, "description", tool->description);
    jw_kv_raw(&b->w, "input_schema", tool->parameters.p != NULL ? tool->parameters : TEXT_LIT("{\"type\":\"object\"}"));
    if (tool->strict.p != NULL)
        jw_kv_raw(&b->w, "strict", tool->strict);
    jw_close(&b->w, '}');
}

static void add_tool_choice(struct building *b)
{
    static const char *const types[] = {
        [CHOICE_NONE] = "none", [CHOICE_AUTO] = "auto", [CHOICE_REQUIRED] = "any", [CHOICE_FUNCTION] = "tool"};
    struct tool_choice choice = tool_choice_read(b->q->tool_choice, b->a);

    if (choice.kind == CHOICE_OTHER) {
        if (build_is_one_of(choice.type, (const char *const[]){"auto", "any", "tool", "none"}, 4))
            jw_kv_raw(&b->w, "tool_choice", b->q->tool_choice);
        else
            build_drop(b, TEXT_LIT("tool_choice"));
        return;
    }
    jw_key(&b->w, "tool_choice");
    jw_open(&b->w, '{');
    jw_kv_str(&b->w, "type", types[choice.kind]);
    if (choice.kind == CHOICE_FUNCTION)
        jw_kv_text(&b->w, "name", choice.name);
    jw_close(&b->w, '}');
}

static void add_tools(struct building *b)
{
    struct text tools = build_tools(b);
    struct tools_walk walk;
    struct tool tool;

    if (tools.p != NULL) {
        if (!tools_begin(&walk, tools, b->a))
            build_fail(b, -EINVAL, "tools must be an array");
        jw_key(&b->w, "tools");
        jw_open(&b->w, '[');
        while (tools_next(&walk, &tool))
            add_tool(b, &tool);
        jw_close(&b->w, ']');
    }
    if (b->q->tool_choice.p == NULL)
        return;
    if (!build_has_tools(b) || build_is_refused(b, "tool_choice"))
        build_drop(b, TEXT_LIT("tool_choice")); /* the API refuses a choice of nothing */
    else
        add_tool_choice(b);
}

static int anthropic_build(const struct request *q, struct arena *a, struct wire *out, const char **why)
{
    enum { TOKENS_WITHOUT_LIMIT = 4096 }; /* the API wants one */
    struct building b;

    build_begin(&b, q, anthropic_ops.name, a);
    jw_open(&b.w, '{');
    jw_kv_str(&b.w, "model", q->vendor_model);
    jw_kv_int(&b.w, "max_tokens", q->max_output_tokens > 0 ? q->max_output_tokens : TOKENS_WITHOUT_LIMIT);
    if (build_has_system(&b)) {
        jw_key(&b.w, "system");
        build_write_system(&b);
    }
    add_messages(&b);
    add_tools(&b);
    anthropic_add_params(&b);
    jw_close(&b.w, '}');
    build_header(&b.wire, "anthropic-version", "2023-06-01");
    return build_end(&b, build_url(a, q->base_url, "/v1", "/messages"), out, why);
}

static void anthropic_sign(const char *api_key, int64_t wall_ms, struct arena *a, struct wire *w)
{
    (void)wall_ms;
    if (api_key != NULL && api_key[0] != '\0')
        build_header(w, "x-api-key", arena_strdup(a, api_key));
}

const struct provider_ops anthropic_ops = {
    .name = "anthropic",
    .build = anthropic_build,
    .sign = anthropic_sign,
    .finish = anthropic_finish,
};
