/* SPDX-License-Identifier: Apache-2.0 */
/* The body of an OpenAI batch line for responses, as the chat request that means the same: items become messages, flat
 * tools nested ones. What rests on state at OpenAI is refused. Pure but for the arena. source: reference/providers.md
 * 4.2 */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "core/decode.h"

struct item {
    struct text type, role, call_id, name, arguments;
    struct part_list content, output;
    bool has_content, has_output;
};

/* The bytes of a buffer as plain text in the arena; ends the buffer. */
static struct text take(struct decode *d, struct buf *b)
{
    struct text t = text_slice(arena_copy(d->arena, b->p, b->len), b->len);

    buf_done(b);
    return t;
}

#define TEXT_READER(function, field) \
    static void function(struct decode *d, void *out) \
    { \
        decode_text(d, &((struct item *)out)->field); \
    }
TEXT_READER(read_type, type)
TEXT_READER(read_role, role)
TEXT_READER(read_call_id, call_id)
TEXT_READER(read_name, name)
TEXT_READER(read_arguments, arguments)

/* --- content --- */

struct piece {
    struct text type, text, url;
};

static void read_piece_type(struct decode *d, void *out)
{
    decode_text(d, &((struct piece *)out)->type);
}

static void read_piece_text(struct decode *d, void *out)
{
    decode_text(d, &((struct piece *)out)->text);
}

static void read_piece_url(struct decode *d, void *out)
{
    decode_text(d, &((struct piece *)out)->url);
}

static void read_piece(struct decode *d, void *out_parts)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("type", read_piece_type),    DECODE_KEY("text", read_piece_text),
        DECODE_KEY("refusal", read_piece_text), DECODE_KEY("image_url", read_piece_url),
        DECODE_DROP("detail", "image_detail"),  DECODE_KEY("annotations", decode_skip),
        DECODE_KEY("logprobs", decode_skip),
    };
    static const struct decode_table table = DECODE_TABLE(keys, .hint = " of a part that tutti can pass on");
    struct piece p = {.type = TEXT_NONE};

    decode_object(d, &table, &p);
    if (decode_has_failed(d))
        return;
    if (text_is(p.type, "input_image") && p.url.p != NULL)
        decode_add_image(d, out_parts, p.url);
    else if ((text_is(p.type, "input_text") || text_is(p.type, "output_text") || text_is(p.type, "refusal") ||
              text_is(p.type, "text")) &&
             p.text.p != NULL)
        decode_add_part(d, out_parts, PART_TEXT, p.text);
    else
        decode_fail(d, "a part must be input_text, output_text, refusal or input_image with an image_url");
}

static void read_pieces(struct decode *d, struct part_list *out)
{
    struct text text = TEXT_NONE;

    if (scan_peek(&d->s) == SCAN_STRING) {
        decode_text(d, &text);
        decode_add_part(d, out, PART_TEXT, text);
    } else {
        decode_items(d, read_piece, out);
    }
}

static void read_content(struct decode *d, void *out)
{
    struct item *i = out;

    i->has_content = true;
    read_pieces(d, &i->content);
}

static void read_output(struct decode *d, void *out)
{
    struct item *i = out;

    i->has_output = true;
    read_pieces(d, &i->output);
}

/* --- items --- */

static void add_message(struct decode *d, const struct item *i)
{
    static const struct {
        const char *name;
        enum role role;
    } roles[] = {
        {"user", ROLE_USER}, {"assistant", ROLE_ASSISTANT}, {"system", ROLE_SYSTEM}, {"developer", ROLE_SYSTEM}};

    for (size_t r = 0; r < ARRAY_LEN(roles); r++)
        if (text_is(i->role, roles[r].name)) {
            if (i->has_content)
                decode_add_message(d, roles[r].role, &i->content);
            else
                decode_fail_at(d, "content", "content is missing");
            return;
        }
    decode_fail_at(d, "role", "role must be user, assistant, system or developer");
}

/* Calls one after the other are those of one assistant message. */
static void add_call(struct decode *d, const struct item *i)
{
    static const struct part_list no_parts = {.n = 0};
    struct chat_message *last = d->messages.n > 0 ? &d->messages.items[d->messages.n - 1] : NULL;
    struct json_write w;
    struct buf b;

    if (i->call_id.p == NULL || i->name.p == NULL) {
        decode_fail(d, "a function_call needs call_id, name and arguments");
        return;
    }
    if (last == NULL || last->tool_calls.p == NULL)
        last = decode_add_message(d, ROLE_ASSISTANT, &no_parts);
    buf_init(&b, 0);
    if (last->tool_calls.p != NULL)
        buf_add(&b, last->tool_calls.p, last->tool_calls.len - 1); /* reopens the array */
    buf_add_char(&b, last->tool_calls.p != NULL ? ',' : '[');
    jw_init(&w, &b);
    jw_open(&w, '{');
    jw_kv_text(&w, "id", i->call_id);
    jw_kv_str(&w, "type", "function");
    jw_key(&w, "function");
    jw_open(&w, '{');
    jw_kv_text(&w, "name", i->name);
    jw_kv_text(&w, "arguments", i->arguments.p != NULL ? i->arguments : TEXT_LIT("{}"));
    jw_close(&w, '}');
    jw_close(&w, '}');
    buf_add_char(&b, ']');
    last->tool_calls = take(d, &b);
}

static void add_output(struct decode *d, const struct item *i)
{
    if (i->call_id.p == NULL || !i->has_output)
        decode_fail(d, "a function_call_output needs call_id and output");
    else
        decode_add_message(d, ROLE_TOOL, &i->output)->tool_call_id = i->call_id;
}

static void read_item(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("type", read_type),       DECODE_KEY("role", read_role),
        DECODE_KEY("content", read_content), DECODE_KEY("call_id", read_call_id),
        DECODE_KEY("name", read_name),       DECODE_KEY("arguments", read_arguments),
        DECODE_KEY("output", read_output),   DECODE_KEY("id", decode_skip),
        DECODE_KEY("status", decode_skip),   DECODE_DROP("phase", "phase"),
        DECODE_KEY("summary", decode_skip),  DECODE_KEY("encrypted_content", decode_skip),
    };
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct item i = {.type = TEXT_NONE};

    (void)unused;
    decode_object(d, &table, &i);
    if (decode_has_failed(d))
        return;
    if (text_is(i.type, "function_call"))
        add_call(d, &i);
    else if (text_is(i.type, "function_call_output"))
        add_output(d, &i);
    else if (text_is(i.type, "message") || i.type.p == NULL)
        add_message(d, &i);
    else
        decode_fail_at(d, "type", "the item must be a message, function_call or function_call_output");
}

static void read_input(struct decode *d, void *unused)
{
    struct part_list parts = {.n = 0};
    struct text text = TEXT_NONE;

    (void)unused;
    if (scan_peek(&d->s) != SCAN_STRING) {
        if (decode_items(d, read_item, NULL) == 0)
            decode_fail(d, "input is empty");
        return;
    }
    decode_text(d, &text);
    if (text_is_blank(text))
        decode_fail(d, "input is empty");
    decode_add_part(d, &parts, PART_TEXT, text);
    decode_add_message(d, ROLE_USER, &parts);
}

/* --- tools --- */

struct flat_tool {
    struct text type, name, description, parameters, strict;
};

#define TOOL_READER(function, field, read) \
    static void function(struct decode *d, void *out) \
    { \
        ((struct flat_tool *)out)->field = read; \
    }
TOOL_READER(read_tool_parameters, parameters, decode_raw(d))
TOOL_READER(read_tool_strict, strict, decode_raw(d))
TOOL_READER(read_tool_description, description, decode_raw(d))

static void read_tool_type(struct decode *d, void *out)
{
    struct flat_tool *t = out;

    decode_text(d, &t->type);
    if (!decode_has_failed(d) && !text_is(t->type, "function"))
        decode_fail(d, "only tools of type function can be passed on: the others are run by OpenAI");
}

static void read_tool_name(struct decode *d, void *out)
{
    struct flat_tool *t = out;

    decode_text(d, &t->name);
}

static void read_flat(struct decode *d, struct flat_tool *t)
{
    static const struct decode_key keys[] = {DECODE_KEY("type", read_tool_type), DECODE_KEY("name", read_tool_name),
                                             DECODE_KEY("description", read_tool_description),
                                             DECODE_KEY("parameters", read_tool_parameters),
                                             DECODE_KEY("strict", read_tool_strict)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    decode_object(d, &table, t);
    if (t->name.p == NULL)
        decode_fail_at(d, "name", "the function's name is missing");
}

static void nest(struct json_write *w, const struct flat_tool *t)
{
    jw_open(w, '{');
    jw_kv_str(w, "type", "function");
    jw_key(w, "function");
    jw_open(w, '{');
    jw_kv_text(w, "name", t->name);
    if (t->description.p != NULL)
        jw_kv_raw(w, "description", t->description);
    if (t->parameters.p != NULL)
        jw_kv_raw(w, "parameters", t->parameters);
    if (t->strict.p != NULL)
        jw_kv_raw(w, "strict", t->strict);
    jw_close(w, '}');
    jw_close(w, '}');
}

static void read_tool(struct decode *d, void *writer)
{
    struct flat_tool t = {.type = TEXT_NONE};

    read_flat(d, &t);
    if (!decode_has_failed(d))
        nest(writer, &t);
}

static void read_tools(struct decode *d, void *unused)
{
    struct json_write w;
    struct buf b;

    (void)unused;
    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '[');
    if (decode_items(d, read_tool, &w) == 0)
        decode_fail(d, "tools is empty; leave it out");
    jw_close(&w, ']');
    d->spec->tools = take(d, &b);
}

static void read_tool_choice(struct decode *d, void *unused)
{
    struct flat_tool t = {.type = TEXT_NONE};
    struct json_write w;
    struct buf b;

    (void)unused;
    if (scan_peek(&d->s) == SCAN_STRING) {
        decode_tool_choice(d, NULL);
        return;
    }
    read_flat(d, &t);
    if (decode_has_failed(d))
        return;
    buf_init(&b, 0);
    jw_init(&w, &b);
    nest(&w, &t);
    d->spec->tool_choice = take(d, &b);
}

/* --- reasoning and text --- */

static void read_reasoning(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {DECODE_PARAM("effort", "reasoning_effort"),
                                             DECODE_DROP("summary", "reasoning_summary"),
                                             DECODE_DROP("generate_summary", "reasoning_summary")};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    (void)unused;
    decode_object(d, &table, NULL);
}

/* {type, name, schema, strict} is {type, json_schema: {name, schema, strict}} in a chat request. */
static void copy_schema_key(struct decode *d, struct text key, void *writers)
{
    struct json_write **w = writers; /* of the type, of the rest */
    bool is_type = text_is(key, "type");

    jw_key_text(w[is_type ? 0 : 1], key);
    jw_raw(w[is_type ? 0 : 1], decode_raw(d));
}

static void read_format(struct decode *d, void *unused)
{
    static const struct decode_table any = {.unknown = copy_schema_key};
    struct json_write outer, inner;
    struct buf type, rest;

    (void)unused;
    buf_init(&type, 0);
    buf_init(&rest, 0);
    jw_init(&outer, &type);
    jw_init(&inner, &rest);
    jw_open(&outer, '{');
    jw_open(&inner, '{');
    decode_object(d, &any, (struct json_write *[]){&outer, &inner});
    jw_close(&inner, '}');
    if (rest.len > 2)
        jw_kv_raw(&outer, "json_schema", text_slice(rest.p, rest.len));
    jw_close(&outer, '}');
    if (!decode_has_failed(d))
        decode_add_param(d, "response_format", text_slice(arena_copy(d->arena, type.p, type.len), type.len),
                         d->dialect);
    buf_done(&type);
    buf_done(&rest);
}

static void read_text_options(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {DECODE_KEY("format", read_format), DECODE_PARAM("verbosity", "verbosity")};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    (void)unused;
    decode_object(d, &table, NULL);
}

static void read_instructions(struct decode *d, void *unused)
{
    (void)unused;
    decode_system(d, &d->spec->system);
}

void decode_responses_body(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("model", decode_line_model),
        DECODE_KEY("input", read_input),
        DECODE_KEY("instructions", read_instructions),
        DECODE_PARAM("max_output_tokens", "max_output_tokens"),
        DECODE_PARAM("temperature", "temperature"),
        DECODE_PARAM("top_p", "top_p"),
        DECODE_PARAM("parallel_tool_calls", "parallel_tool_calls"),
        DECODE_KEY("reasoning", read_reasoning),
        DECODE_KEY("text", read_text_options),
        DECODE_KEY("tools", read_tools),
        DECODE_KEY("tool_choice", read_tool_choice),
        DECODE_KEY("stream", decode_skip),
        DECODE_KEY("stream_options", decode_skip),
        DECODE_DROP("background", "background"),
        DECODE_DROP("include", "include"),
        DECODE_DROP("truncation", "truncation"),
        DECODE_KEY("previous_response_id", decode_refuse),
        DECODE_KEY("conversation", decode_refuse),
        DECODE_KEY("prompt", decode_refuse),
        DECODE_KEY("max_tool_calls", decode_refuse),
    };
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = decode_foreign_param);

    (void)unused;
    decode_object(d, &table, NULL);
    if (d->messages.n == 0)
        decode_fail_at(d, "input", "input is missing");
}
