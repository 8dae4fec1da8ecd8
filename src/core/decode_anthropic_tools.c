/* SPDX-License-Identifier: Apache-2.0 */
/* Anthropic's tools and tool_choice in OpenAI's shape, when they say nothing that has no such shape (tools that
 * Anthropic runs itself do); else they go to Anthropic as they are. Pure but for the arena. source:
 * reference/providers.md 4.4 */
#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "core/decode.h"

/* --- tools --- */

struct tool {
    struct text type, name, description, schema, strict;
    bool is_ours; /* nothing but what OpenAI's shape can say */
};

#define RAW_READER(function, field) \
    static void function(struct decode *d, void *out) \
    { \
        ((struct tool *)out)->field = decode_raw(d); \
    }
RAW_READER(read_tool_name, name)
RAW_READER(read_tool_description, description)
RAW_READER(read_tool_schema, schema)
RAW_READER(read_tool_strict, strict)

static void read_tool_type(struct decode *d, void *out)
{
    struct tool *t = out;

    decode_text(d, &t->type);
    t->is_ours &= text_is(t->type, "custom");
}

static void read_tool_other(struct decode *d, struct text key, void *out)
{
    (void)key;
    ((struct tool *)out)->is_ours = false;
    scan_skip(&d->s, NULL);
}

struct tools {
    struct json_write w;
    bool are_ours;
};

static void read_tool(struct decode *d, void *out_tools)
{
    static const struct decode_key keys[] = {DECODE_KEY("type", read_tool_type),
                                             DECODE_KEY("name", read_tool_name),
                                             DECODE_KEY("description", read_tool_description),
                                             DECODE_KEY("input_schema", read_tool_schema),
                                             DECODE_KEY("strict", read_tool_strict),
                                             DECODE_DROP("cache_control", "cache_control")};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = read_tool_other);
    struct tools *all = out_tools;
    struct tool t = {.is_ours = true};

    decode_object(d, &table, &t);
    if (t.name.p == NULL)
        decode_fail_at(d, "name", "the tool's name is missing");
    all->are_ours &= t.is_ours && t.schema.p != NULL;
    jw_open(&all->w, '{');
    jw_kv_str(&all->w, "type", "function");
    jw_key(&all->w, "function");
    jw_open(&all->w, '{');
    jw_kv_raw(&all->w, "name", t.name);
    if (t.description.p != NULL)
        jw_kv_raw(&all->w, "description", t.description);
    jw_kv_raw(&all->w, "parameters", t.schema);
    if (t.strict.p != NULL)
        jw_kv_raw(&all->w, "strict", t.strict);
    jw_close(&all->w, '}');
    jw_close(&all->w, '}');
}

void decode_anthropic_tools(struct decode *d, void *unused)
{
    struct tools all = {.are_ours = true};
    struct scan again;
    struct buf b;

    (void)unused;
    (void)scan_peek(&d->s);
    again = d->s;
    buf_init(&b, 0);
    jw_init(&all.w, &b);
    jw_open(&all.w, '[');
    if (decode_items(d, read_tool, &all) == 0)
        decode_fail(d, "tools is empty; leave it out");
    jw_close(&all.w, ']');
    if (!decode_has_failed(d) && all.are_ours) {
        d->spec->tools = text_slice(arena_copy(d->arena, b.p, b.len), b.len);
    } else if (!decode_has_failed(d)) { /* tools that Anthropic runs itself: for Anthropic alone */
        d->s = again;
        decode_add_param(d, "tools", decode_raw(d), d->dialect);
    }
    buf_done(&b);
}

struct choice {
    struct text type, name;
    bool is_ours;
};

static void read_choice_type(struct decode *d, void *out)
{
    decode_text(d, &((struct choice *)out)->type);
}

static void read_choice_name(struct decode *d, void *out)
{
    decode_text(d, &((struct choice *)out)->name);
}

static void read_choice_other(struct decode *d, struct text key, void *out)
{
    (void)key;
    ((struct choice *)out)->is_ours = false;
    scan_skip(&d->s, NULL);
}

static struct text choice_of(struct decode *d, const struct choice *c)
{
    struct json_write w;
    struct text out;
    struct buf b;

    if (text_is(c->type, "auto"))
        return TEXT_LIT("\"auto\"");
    if (text_is(c->type, "none"))
        return TEXT_LIT("\"none\"");
    if (text_is(c->type, "any"))
        return TEXT_LIT("\"required\"");
    if (!text_is(c->type, "tool") || c->name.p == NULL)
        return TEXT_NONE;
    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '{');
    jw_kv_str(&w, "type", "function");
    jw_key(&w, "function");
    jw_open(&w, '{');
    jw_kv_text(&w, "name", c->name);
    jw_close(&w, '}');
    jw_close(&w, '}');
    out = text_slice(arena_copy(d->arena, b.p, b.len), b.len);
    buf_done(&b);
    return out;
}

void decode_anthropic_tool_choice(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {DECODE_KEY("type", read_choice_type),
                                             DECODE_KEY("name", read_choice_name)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = read_choice_other);
    struct choice c = {.is_ours = true};
    struct scan again;

    (void)unused;
    (void)scan_peek(&d->s);
    again = d->s;
    decode_object(d, &table, &c);
    if (decode_has_failed(d))
        return;
    d->spec->tool_choice = c.is_ours ? choice_of(d, &c) : TEXT_NONE;
    if (d->spec->tool_choice.p != NULL)
        return;
    d->s = again;
    decode_add_param(d, "tool_choice", decode_raw(d), d->dialect);
}
