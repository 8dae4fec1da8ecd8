/* SPDX-License-Identifier: Apache-2.0 */
/* The Gemini dialect, sending side: POST {base_url}/v1beta/models/{name}:generateContent. Never streams, never holds a
 * key outside of sign(), never puts one into a URL. No state; any thread.  source  reference/providers.md 4.5 */
#include "provider/gemini.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/scan.h"
#include "provider/answer.h"
#include "provider/build.h"
#include "provider/tools.h"

static void add_text(struct building *b, struct text text)
{
    if (text_is_blank(text))
        return;
    jw_open(&b->w, '{');
    jw_kv_text(&b->w, "text", text);
    jw_close(&b->w, '}');
}

static void add_image(struct building *b, const struct message_part *p)
{
    struct image image;

    if (!build_image(b, p, &image))
        return;
    jw_open(&b->w, '{');
    jw_key(&b->w, image.data.p != NULL ? "inlineData" : "fileData");
    jw_open(&b->w, '{');
    if (image.mime.p != NULL)
        jw_kv_text(&b->w, "mimeType", image.mime);
    if (image.data.p != NULL)
        jw_kv_text(&b->w, "data", image.data);
    else
        jw_kv_text(&b->w, "fileUri", p->text);
    jw_close(&b->w, '}');
    jw_close(&b->w, '}');
}

static void add_parts(struct building *b, const struct chat_message *m, bool has_images)
{
    for (int i = 0; i < m->n_parts; i++) {
        if (m->parts[i].kind == PART_IMAGE && has_images)
            add_image(b, &m->parts[i]);
        else if (m->parts[i].kind == PART_TEXT && m->role != ROLE_TOOL)
            add_text(b, m->parts[i].text);
    }
}

/* Gemini 3 answers 400 when the first call of a turn comes back without its signature; history of other models has
 * none, for which this word is documented.  source  ai.google.dev, "thought signatures" */
static void add_signature(struct building *b, struct text signature, bool is_first)
{
    if (signature.p == NULL && is_first && model_version(b->q->vendor_model, "gemini-") >= 300)
        signature = TEXT_LIT("skip_thought_signature_validator");
    if (signature.p != NULL)
        jw_kv_text(&b->w, "thoughtSignature", signature);
}

static void add_calls(struct building *b, struct text calls)
{
    struct tools_walk walk;
    struct tool_call call;
    bool is_first = true;

    if (!tools_begin(&walk, calls, b->a)) {
        build_fail(b, -EINVAL, "tool_calls must be an array");
        return;
    }
    for (; tool_calls_next(&walk, &call); is_first = false) {
        jw_open(&b->w, '{');
        jw_key(&b->w, "functionCall");
        jw_open(&b->w, '{');
        if (call.id.p != NULL)
            jw_kv_text(&b->w, "id", call.id);
        jw_kv_text(&b->w, "name", call.name);
        jw_kv_raw(&b->w, "args", tool_arguments(b, &call));
        jw_close(&b->w, '}');
        add_signature(b, call.signature, is_first);
        jw_close(&b->w, '}');
    }
}

/* The function that a result answers: named in the call of this id, in a message before. */
static struct text name_of_call(struct building *b, int before, struct text id)
{
    for (int i = before - 1; i >= 0; i--) {
        struct tools_walk walk;
        struct tool_call call;

        if (b->q->messages[i].tool_calls.p == NULL || !tools_begin(&walk, b->q->messages[i].tool_calls, b->a))
            continue;
        while (tool_calls_next(&walk, &call))
            if (text_equal(call.id, id) && call.name.p != NULL)
                return call.name;
    }
    return id;
}

/* A function's result is an object here: the text itself when it is one, else {"result": text}. */
static void add_response(struct building *b, const struct chat_message *m)
{
    struct text joined = {.p = "", .len = 0};
    struct scan s;
    struct buf all;

    buf_init(&all, 0);
    for (int i = 0; i < m->n_parts; i++)
        if (m->parts[i].kind == PART_TEXT)
            text_add_plain(&all, m->parts[i].text);
    if (all.len > 0)
        joined = text_slice(arena_copy(b->a, all.p, all.len), all.len);
    buf_done(&all);
    scan_init(&s, joined.p, joined.len);
    if (scan_peek(&s) == SCAN_OBJECT && scan_skip(&s, NULL) == 0 && scan_end(&s) == 0) {
        jw_kv_raw(&b->w, "response", answer_repair(b->a, joined));
        return;
    }
    jw_key(&b->w, "response");
    jw_open(&b->w, '{');
    jw_kv_text(&b->w, "result", joined);
    jw_close(&b->w, '}');
}

static void add_result(struct building *b, int at)
{
    const struct chat_message *m = &b->q->messages[at];

    jw_open(&b->w, '{');
    jw_key(&b->w, "functionResponse");
    jw_open(&b->w, '{');
    if (m->tool_call_id.p != NULL)
        jw_kv_text(&b->w, "id", m->tool_call_id);
    jw_kv_text(&b->w, "name", name_of_call(b, at, m->tool_call_id));
    add_response(b, m);
    jw_close(&b->w, '}');
    jw_close(&b->w, '}');
}

static void close_turn(struct building *b)
{
    jw_close(&b->w, ']');
    jw_close(&b->w, '}');
}

/* Neighbours of one role become one turn: all responses to the calls of a turn must stand together. */
static void add_contents(struct building *b)
{
    bool has_images = build_has_images(b);
    const char *open = NULL;

    jw_key(&b->w, "contents");
    jw_open(&b->w, '[');
    for (int i = 0; i < b->q->n_messages; i++) {
        const struct chat_message *m = &b->q->messages[i];
        const char *role = m->role == ROLE_ASSISTANT ? "model" : "user";

        if (m->role == ROLE_SYSTEM || !build_has_content(b, m, has_images))
            continue;
        if (open == NULL || strcmp(open, role) != 0) {
            if (open != NULL)
                close_turn(b);
            open = role;
            jw_open(&b->w, '{');
            jw_kv_str(&b->w, "role", role);
            jw_key(&b->w, "parts");
            jw_open(&b->w, '[');
        }
        if (m->role == ROLE_TOOL)
            add_result(b, i);
        add_parts(b, m, has_images);
        if (m->role == ROLE_ASSISTANT && m->tool_calls.p != NULL)
            add_calls(b, m->tool_calls);
    }
    if (open != NULL)
        close_turn(b);
    else
        build_fail(b, -EINVAL, "no prompt");
    jw_close(&b->w, ']');
}

static void add_system(struct building *b)
{
    if (!build_has_system(b))
        return;
    jw_key(&b->w, "systemInstruction");
    jw_open(&b->w, '{');
    jw_key(&b->w, "parts");
    jw_open(&b->w, '[');
    jw_open(&b->w, '{');
    jw_key(&b->w, "text");
    build_write_system(b);
    jw_close(&b->w, '}');
    jw_close(&b->w, ']');
    jw_close(&b->w, '}');
}

static void add_declaration(struct building *b, const struct tool *tool)
{
    jw_open(&b->w, '{');
    jw_kv_text(&b->w, "name", tool->name);
    if (tool->description.p != NULL)
        jw_kv_text(&b->w, "description", tool->description);
    if (tool->parameters.p != NULL) /* `parameters` takes a subset of OpenAPI only, this one any JSON Schema */
        jw_kv_raw(&b->w, "parametersJsonSchema", tool->parameters);
    jw_close(&b->w, '}');
}

/* Functions together in one tool, tools in Gemini's own words (googleSearch) behind it as they stand. */
static void write_tools(struct building *b, struct text tools)
{
    struct tools_walk walk;
    struct tool tool;
    int n = 0;

    if (!tools_begin(&walk, tools, b->a))
        build_fail(b, -EINVAL, "tools must be an array");
    jw_key(&b->w, "tools");
    jw_open(&b->w, '[');
    while (tools_next(&walk, &tool)) {
        if (tool.name.p == NULL)
            continue;
        if (n++ == 0) {
            jw_open(&b->w, '{');
            jw_key(&b->w, "functionDeclarations");
            jw_open(&b->w, '[');
        }
        add_declaration(b, &tool);
    }
    if (n > 0)
        close_turn(b);
    (void)tools_begin(&walk, tools, b->a);
    while (tools_next(&walk, &tool))
        if (tool.name.p == NULL)
            jw_raw(&b->w, tool.raw);
    jw_close(&b->w, ']');
}

static void write_tool_choice(struct building *b)
{
    static const char *const modes[] = {
        [CHOICE_NONE] = "NONE", [CHOICE_AUTO] = "AUTO", [CHOICE_REQUIRED] = "ANY", [CHOICE_FUNCTION] = "ANY"};
    struct tool_choice choice = tool_choice_read(b->q->tool_choice, b->a);

    if (choice.kind == CHOICE_OTHER) { /* Gemini's own words come as a parameter: toolConfig */
        build_drop(b, TEXT_LIT("tool_choice"));
        return;
    }
    jw_key(&b->w, "toolConfig");
    jw_open(&b->w, '{');
    jw_key(&b->w, "functionCallingConfig");
    jw_open(&b->w, '{');
    jw_kv_str(&b->w, "mode", modes[choice.kind]);
    if (choice.kind == CHOICE_FUNCTION) {
        jw_key(&b->w, "allowedFunctionNames");
        jw_open(&b->w, '[');
        jw_text(&b->w, choice.name);
        jw_close(&b->w, ']');
    }
    jw_close(&b->w, '}');
    jw_close(&b->w, '}');
}

static void add_tools(struct building *b)
{
    struct text tools = build_tools(b);

    if (tools.p != NULL)
        write_tools(b, tools);
    if (b->q->tool_choice.p == NULL)
        return;
    if (!build_has_tools(b) || build_is_refused(b, "tool_choice"))
        build_drop(b, TEXT_LIT("tool_choice"));
    else
        write_tool_choice(b);
}

/* The model's name as one segment of a path (RFC 3986 3.3), behind its collection. */
static const char *path_of(struct arena *a, const char *model)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    const char *collection = strncmp(model, "tunedModels/", 12) == 0 ? "tunedModels" : "models";
    char *out;
    size_t n = 0;

    if (strncmp(model, "models/", 7) == 0 || collection[0] == 't')
        model = strchr(model, '/') + 1;
    out = arena_alloc(a, strlen(model) * 3 + 1);
    for (; *model != '\0'; model++) {
        if (strchr(plain, *model) != NULL) {
            out[n++] = *model;
            continue;
        }
        out[n++] = '%';
        out[n++] = hex[(unsigned char)*model >> 4];
        out[n++] = hex[*model & 15];
    }
    out[n] = '\0';
    return arena_printf(a, "/%s/%s:generateContent", collection, out);
}

static int gemini_build(const struct request *q, struct arena *a, struct wire *out, const char **why)
{
    struct building b;

    build_begin(&b, q, gemini_ops.name, a);
    jw_open(&b.w, '{');
    add_contents(&b);
    add_system(&b);
    add_tools(&b);
    gemini_add_params(&b);
    jw_close(&b.w, '}');
    return build_end(&b, build_url(a, q->base_url, "/v1beta", path_of(a, q->vendor_model)), out, why);
}

static void gemini_sign(const char *api_key, int64_t wall_ms, struct arena *a, struct wire *w)
{
    (void)wall_ms;
    if (api_key != NULL && api_key[0] != '\0')
        build_header(w, "x-goog-api-key", arena_strdup(a, api_key));
}

const struct provider_ops gemini_ops = {
    .name = "gemini",
    .build = gemini_build,
    .sign = gemini_sign,
    .finish = gemini_finish,
};
