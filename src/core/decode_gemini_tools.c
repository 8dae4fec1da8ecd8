/* SPDX-License-Identifier: Apache-2.0 */
/* Gemini's function declarations in OpenAI's shape, when they say nothing that has no such shape; else they go to
 * Gemini as they are. Pure but for the arena. source: reference/providers.md 4.5 */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "core/decode.h"

/* --- tools --- */

struct declared {
    struct json_write w;
    bool are_ours; /* function declarations whose parameters are JSON Schema as others have it */
    struct text name, description, schema;
};

static void read_declared_name(struct decode *d, void *out)
{
    ((struct declared *)out)->name = decode_raw(d);
}

static void read_declared_description(struct decode *d, void *out)
{
    ((struct declared *)out)->description = decode_raw(d);
}

static void read_declared_schema(struct decode *d, void *out)
{
    ((struct declared *)out)->schema = decode_raw(d);
}

/* Gemini's own schemas write types in capitals: other vendors refuse them. */
static void read_declared_parameters(struct decode *d, void *out)
{
    struct declared *all = out;

    all->schema = decode_raw(d);
    for (size_t i = 0; i + 8 < all->schema.len; i++)
        if (memcmp(all->schema.p + i, "\"type\":\"", 8) == 0 && all->schema.p[i + 8] >= 'A' &&
            all->schema.p[i + 8] <= 'Z')
            all->are_ours = false;
}

static void read_declared_other(struct decode *d, struct text key, void *out)
{
    (void)key;
    ((struct declared *)out)->are_ours = false;
    scan_skip(&d->s, NULL);
}

static void read_declaration(struct decode *d, void *out)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("name", read_declared_name), DECODE_KEY("description", read_declared_description),
        DECODE_KEY("parameters", read_declared_parameters), DECODE_KEY("parametersJsonSchema", read_declared_schema),
        DECODE_KEY("parameters_json_schema", read_declared_schema)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = read_declared_other);
    struct declared *all = out;

    all->name = all->description = all->schema = TEXT_NONE;
    decode_object(d, &table, all);
    if (all->name.p == NULL)
        decode_fail_at(d, "name", "the function's name is missing");
    jw_open(&all->w, '{');
    jw_kv_str(&all->w, "type", "function");
    jw_key(&all->w, "function");
    jw_open(&all->w, '{');
    jw_kv_raw(&all->w, "name", all->name);
    if (all->description.p != NULL)
        jw_kv_raw(&all->w, "description", all->description);
    if (all->schema.p != NULL)
        jw_kv_raw(&all->w, "parameters", all->schema);
    jw_close(&all->w, '}');
    jw_close(&all->w, '}');
}

static void read_declarations(struct decode *d, void *out)
{
    decode_items(d, read_declaration, out);
}

static void read_tool(struct decode *d, void *out)
{
    static const struct decode_key keys[] = {DECODE_KEY("functionDeclarations", read_declarations),
                                             DECODE_KEY("function_declarations", read_declarations)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = read_declared_other);

    decode_object(d, &table, out);
}

void decode_gemini_tools(struct decode *d, void *unused)
{
    struct declared all = {.are_ours = true};
    struct scan again;
    struct buf b;

    (void)unused;
    (void)scan_peek(&d->s);
    again = d->s;
    buf_init(&b, 0);
    jw_init(&all.w, &b);
    jw_open(&all.w, '[');
    decode_items(d, read_tool, &all);
    jw_close(&all.w, ']');
    if (!decode_has_failed(d) && all.are_ours && b.len > 2) {
        d->spec->tools = text_slice(arena_copy(d->arena, b.p, b.len), b.len);
    } else if (!decode_has_failed(d) && !all.are_ours) {
        d->s = again;
        decode_add_param(d, "tools", decode_raw(d), d->dialect);
    }
    buf_done(&b);
}
