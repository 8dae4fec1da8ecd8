/* SPDX-License-Identifier: Apache-2.0 */
/* The params of an Anthropic batch line {custom_id, params}: blocks become messages of ours, tools get OpenAI's shape.
 * What has no such shape goes to Anthropic as it is. Pure but for the arena. source: reference/providers.md 4.4 */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "core/decode.h"

#define CACHE_CONTROL "cache_control"

/* One message while its blocks are read. */
struct turn {
    bool is_assistant;
    struct part_list parts; /* since the last tool result */
    struct buf calls;       /* inside of a JSON array */
};

struct block {
    struct text type, text, id, tool_use_id, name, input;
    struct text media_type, data, url, source_type;
    struct part_list result;
};

#define TEXT_READER(function, field) \
    static void function(struct decode *d, void *out) \
    { \
        decode_text(d, &((struct block *)out)->field); \
    }
TEXT_READER(read_type, type)
TEXT_READER(read_text, text)
TEXT_READER(read_id, id)
TEXT_READER(read_tool_use_id, tool_use_id)
TEXT_READER(read_name, name)
TEXT_READER(read_source_type, source_type)
TEXT_READER(read_media_type, media_type)
TEXT_READER(read_data, data)
TEXT_READER(read_url, url)

static void read_input(struct decode *d, void *out)
{
    ((struct block *)out)->input = decode_raw(d);
}

static void read_source(struct decode *d, void *out)
{
    static const struct decode_key keys[] = {DECODE_KEY("type", read_source_type),
                                             DECODE_KEY("media_type", read_media_type), DECODE_KEY("data", read_data),
                                             DECODE_KEY("url", read_url)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    decode_object(d, &table, out);
}

static void add_image(struct decode *d, const struct block *b, struct part_list *to)
{
    struct buf url;

    if (text_is(b->source_type, "url")) {
        decode_add_image(d, to, b->url);
        return;
    }
    if (!text_is(b->source_type, "base64") || b->media_type.p == NULL || b->data.p == NULL) {
        decode_fail_at(d, "source", "the source of an image must be base64 with media_type and data, or a url");
        return;
    }
    buf_init(&url, 0);
    buf_add_str(&url, "data:");
    text_add_plain(&url, b->media_type);
    buf_add_str(&url, ";base64,");
    text_add_plain(&url, b->data);
    decode_add_image(d, to, text_slice(arena_copy(d->arena, url.p, url.len), url.len));
    buf_done(&url);
}

static void read_blocks(struct decode *d, decode_reader read, struct part_list *parts, void *out)
{
    struct text text = TEXT_NONE;

    if (scan_peek(&d->s) == SCAN_STRING) {
        decode_text(d, &text);
        decode_add_part(d, parts, PART_TEXT, text);
    } else {
        decode_items(d, read, out);
    }
}

/* What a tool gave back: texts, and images for the models that take them. */
static void read_result_block(struct decode *d, void *out_parts)
{
    static const struct decode_key keys[] = {DECODE_KEY("type", read_type), DECODE_KEY("text", read_text),
                                             DECODE_KEY("source", read_source),
                                             DECODE_DROP(CACHE_CONTROL, CACHE_CONTROL)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct block b = {.type = TEXT_NONE};

    decode_object(d, &table, &b);
    if (decode_has_failed(d))
        return;
    if (text_is(b.type, "text") && b.text.p != NULL)
        decode_add_part(d, out_parts, PART_TEXT, b.text);
    else
        decode_fail_at(d, "type", "only text blocks of a tool result can be passed on");
}

static void read_result(struct decode *d, void *out)
{
    struct block *b = out;

    read_blocks(d, read_result_block, &b->result, &b->result);
}

/* Arguments are a JSON text inside a string in OpenAI's shape. */
static void add_call(struct decode *d, const struct block *b, struct turn *t)
{
    struct json_write w;

    if (b->id.p == NULL || b->name.p == NULL) {
        decode_fail(d, "a tool_use block needs id, name and input");
        return;
    }
    if (t->calls.len > 0)
        buf_add_char(&t->calls, ',');
    jw_init(&w, &t->calls);
    jw_open(&w, '{');
    jw_kv_text(&w, "id", b->id);
    jw_kv_str(&w, "type", "function");
    jw_key(&w, "function");
    jw_open(&w, '{');
    jw_kv_text(&w, "name", b->name);
    jw_kv_text(&w, "arguments", b->input.p != NULL ? b->input : TEXT_LIT("{}"));
    jw_close(&w, '}');
    jw_close(&w, '}');
}

/* What the turn has said so far as a message of its own. */
static void flush(struct decode *d, struct turn *t)
{
    struct chat_message *m;

    if (t->parts.n == 0 && t->calls.len == 0)
        return;
    m = decode_add_message(d, t->is_assistant ? ROLE_ASSISTANT : ROLE_USER, &t->parts);
    if (t->calls.len > 0)
        m->tool_calls = text_of(arena_printf(d->arena, "[%s]", t->calls.p));
    memset(&t->parts, 0, sizeof(t->parts));
    buf_clear(&t->calls);
}

static void add_result(struct decode *d, const struct block *b, struct turn *t)
{
    if (b->tool_use_id.p == NULL) {
        decode_fail_at(d, "tool_use_id", "tool_use_id is missing");
        return;
    }
    flush(d, t);
    decode_add_message(d, ROLE_TOOL, &b->result)->tool_call_id = b->tool_use_id;
}

static bool note_thinking(struct decode *d, const struct block *b)
{
    struct scan after = d->s;

    if (!text_is(b->type, "thinking") && !text_is(b->type, "redacted_thinking"))
        return false;
    decode_note_drop(d, "thinking"); /* its signature has no place in a message of ours */
    d->s = after;
    return true;
}

static void read_block(struct decode *d, void *out_turn)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("type", read_type),
        DECODE_KEY("text", read_text),
        DECODE_KEY("source", read_source),
        DECODE_KEY("id", read_id),
        DECODE_KEY("name", read_name),
        DECODE_KEY("input", read_input),
        DECODE_KEY("tool_use_id", read_tool_use_id),
        DECODE_KEY("content", read_result),
        DECODE_DROP("is_error", "is_error"),
        DECODE_KEY("thinking", decode_skip),
        DECODE_KEY("signature", decode_skip),
        DECODE_KEY("data", decode_skip),
        DECODE_DROP("citations", "citations"),
        DECODE_DROP(CACHE_CONTROL, CACHE_CONTROL),
    };
    static const struct decode_table table = DECODE_TABLE(keys, .hint = " of a block that tutti can pass on");
    struct turn *t = out_turn;
    struct block b = {.type = TEXT_NONE};

    decode_object(d, &table, &b);
    if (decode_has_failed(d))
        return;
    if (text_is(b.type, "text") && b.text.p != NULL)
        decode_add_part(d, &t->parts, PART_TEXT, b.text);
    else if (text_is(b.type, "image") && !t->is_assistant)
        add_image(d, &b, &t->parts);
    else if (text_is(b.type, "tool_use") && t->is_assistant)
        add_call(d, &b, t);
    else if (text_is(b.type, "tool_result") && !t->is_assistant)
        add_result(d, &b, t);
    else if (!note_thinking(d, &b))
        decode_fail_at(d, "type", "the block must be text, image, tool_use or tool_result");
}

static void read_role(struct decode *d, void *out_is_assistant)
{
    struct text role = TEXT_NONE;

    decode_text(d, &role);
    *(bool *)out_is_assistant = text_is(role, "assistant");
    if (!decode_has_failed(d) && !text_is(role, "assistant") && !text_is(role, "user"))
        decode_fail(d, "role must be user or assistant");
}

static void read_content(struct decode *d, void *out_turn)
{
    struct turn *t = out_turn;

    read_blocks(d, read_block, &t->parts, t);
    if (!decode_has_failed(d))
        flush(d, t);
}

/* The role first, wherever it stands: it decides what the blocks become. */
static void read_message(struct decode *d, void *unused)
{
    static const struct decode_key role_keys[] = {DECODE_KEY("role", read_role)};
    static const struct decode_table role_table = DECODE_TABLE(role_keys, .unknown = decode_pass_over);
    static const struct decode_key keys[] = {DECODE_KEY("role", decode_skip), DECODE_KEY("content", read_content)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct turn t = {.is_assistant = false};
    int before = d->messages.n;

    (void)unused;
    decode_ahead(d, &role_table, &t.is_assistant);
    if (decode_has_failed(d))
        return;
    buf_init(&t.calls, 0);
    decode_object(d, &table, &t);
    buf_done(&t.calls);
    if (d->messages.n == before)
        decode_fail_at(d, "content", "content is missing or empty");
}

static void read_messages(struct decode *d, void *unused)
{
    (void)unused;
    if (decode_items(d, read_message, NULL) == 0)
        decode_fail(d, "messages is empty");
}

/* --- system --- */

static void read_system_block(struct decode *d, void *out_buf)
{
    static const struct decode_key keys[] = {DECODE_KEY("type", read_type), DECODE_KEY("text", read_text),
                                             DECODE_DROP("citations", "citations"),
                                             DECODE_DROP(CACHE_CONTROL, CACHE_CONTROL)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct block b = {.type = TEXT_NONE};
    struct buf *out = out_buf;

    decode_object(d, &table, &b);
    if (decode_has_failed(d))
        return;
    if (!text_is(b.type, "text") || b.text.p == NULL) {
        decode_fail(d, "a system block must be a text");
        return;
    }
    if (out->len > 0)
        buf_add_str(out, "\\n\\n");
    text_add_escaped(out, b.text);
}

static void read_system(struct decode *d, void *unused)
{
    struct buf b;

    (void)unused;
    if (scan_peek(&d->s) == SCAN_STRING) {
        decode_text(d, &d->spec->system);
        if (text_is_blank(d->spec->system))
            d->spec->system = TEXT_NONE;
        return;
    }
    buf_init(&b, 0);
    decode_items(d, read_system_block, &b);
    if (b.len > 0)
        d->spec->system = (struct text){.p = arena_copy(d->arena, b.p, b.len), .len = b.len, .is_escaped = true};
    buf_done(&b);
}

void decode_anthropic_params(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("model", decode_line_model),
        DECODE_KEY("messages", read_messages),
        DECODE_KEY("system", read_system),
        DECODE_PARAM("max_tokens", "max_output_tokens"),
        DECODE_PARAM("temperature", "temperature"),
        DECODE_PARAM("top_p", "top_p"),
        DECODE_PARAM("top_k", "top_k"),
        DECODE_PARAM("stop_sequences", "stop"),
        DECODE_KEY("tools", decode_anthropic_tools),
        DECODE_KEY("tool_choice", decode_anthropic_tool_choice),
        DECODE_KEY("stream", decode_skip),
    };
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = decode_foreign_param);

    (void)unused;
    decode_object(d, &table, NULL);
    if (d->messages.n == 0)
        decode_fail_at(d, "messages", "messages is missing");
}
