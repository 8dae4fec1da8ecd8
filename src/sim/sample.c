/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON value for a JSON schema: what a simulated model answers when it must call a tool or speak JSON. Follows type,
 * enum, const, properties, items, anyOf and references into the schema; all other words are passed over. Never fails:
 * what it does not understand becomes a string. No state; any thread. */
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "sim/dialect.h"

enum { DEPTH_MAX = 12 };

/* The words of one schema object, as they stand. */
struct schema {
    struct text type;
    struct text choice; /* of enum, const or anyOf: the first */
    struct text properties;
    struct text items;
    struct text reference; /* "#/$defs/X" */
    bool is_choice_schema; /* anyOf */
};

static struct text first_of(struct text list)
{
    struct text item = TEXT_NONE;
    struct scan s;

    scan_init(&s, list.p, list.len);
    if (scan_enter_array(&s) == 0 && scan_next_item(&s))
        (void)scan_skip(&s, &item);
    return item;
}

static void read_schema(struct text json, struct schema *out)
{
    struct text key;
    struct scan s;

    scan_init(&s, json.p, json.len);
    if (scan_peek(&s) != SCAN_OBJECT)
        return;
    (void)scan_enter_object(&s);
    while (scan_next_key(&s, &key)) {
        enum scan_type type = scan_peek(&s);
        struct text value = TEXT_NONE;

        if (scan_skip(&s, &value) < 0)
            return;
        if (text_is(key, "type"))
            out->type = type == SCAN_ARRAY ? first_of(value) : value;
        else if (text_is(key, "const"))
            out->choice = value;
        else if (text_is(key, "enum") && type == SCAN_ARRAY)
            out->choice = first_of(value);
        else if ((text_is(key, "anyOf") || text_is(key, "oneOf")) && type == SCAN_ARRAY) {
            out->choice = first_of(value);
            out->is_choice_schema = true;
        } else if (text_is(key, "properties") && type == SCAN_OBJECT)
            out->properties = value;
        else if (text_is(key, "items") && type == SCAN_OBJECT)
            out->items = value;
        else if (text_is(key, "$ref") && type == SCAN_STRING)
            out->reference = value;
    }
}

/* A member of an object by its key. */
static struct text member(struct text object, struct text name)
{
    struct text found = TEXT_NONE;
    struct text key;
    struct scan s;

    scan_init(&s, object.p, object.len);
    if (object.p == NULL || scan_peek(&s) != SCAN_OBJECT)
        return TEXT_NONE;
    (void)scan_enter_object(&s);
    while (found.p == NULL && scan_next_key(&s, &key)) {
        if (text_equal(key, name))
            (void)scan_skip(&s, &found);
        else
            (void)scan_skip(&s, NULL);
    }
    return found;
}

/* What "#/$defs/X" (with its quotes) means in the root. */
static struct text resolve(struct text root, struct text reference)
{
    const char *p = reference.p + 1;
    const char *end = reference.p + reference.len - 1;

    if (end - p < 2 || p[0] != '#' || p[1] != '/')
        return TEXT_NONE;
    for (p += 2; p <= end && root.p != NULL;) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const char *stop = slash != NULL ? slash : end;

        root = member(root, text_slice(p, (size_t)(stop - p)));
        p = stop + 1;
    }
    return root;
}

static bool is_type(struct text type, const char *name)
{
    size_t len = strlen(name);

    return type.p != NULL && type.len == len + 2 &&
           strncasecmp(type.p + 1, name, len) == 0; /* with its quotes; Gemini shouts */
}

static void add_value(struct buf *out, struct text root, struct text json, int depth);

static void add_object(struct buf *out, struct text root, struct text properties, int depth)
{
    struct json_write w;
    struct text key;
    struct scan s;

    jw_init(&w, out);
    jw_open(&w, '{');
    scan_init(&s, properties.p, properties.len);
    if (properties.p != NULL && scan_enter_object(&s) == 0)
        while (scan_next_key(&s, &key)) {
            struct text schema;

            if (scan_skip(&s, &schema) < 0)
                break;
            jw_key_text(&w, key);
            add_value(out, root, schema, depth);
            w.needs_comma = true;
        }
    jw_close(&w, '}');
}

static void add_value(struct buf *out, struct text root, struct text json, int depth)
{
    static const struct {
        const char *type;
        const char *value;
    } scalars[] = {{"integer", "7"}, {"number", "0.5"}, {"boolean", "true"}, {"null", "null"}};
    struct schema s = {.type = TEXT_NONE};

    read_schema(json, &s);
    if (depth > DEPTH_MAX) {
        buf_add_str(out, "null");
    } else if (s.reference.p != NULL) {
        add_value(out, root, resolve(root, s.reference), depth + 1);
    } else if (s.choice.p != NULL && s.is_choice_schema) {
        add_value(out, root, s.choice, depth + 1);
    } else if (s.choice.p != NULL) {
        buf_add(out, s.choice.p, s.choice.len);
    } else if (is_type(s.type, "object") || (s.type.p == NULL && s.properties.p != NULL)) {
        add_object(out, root, s.properties, depth + 1);
    } else if (is_type(s.type, "array")) {
        buf_add_char(out, '[');
        add_value(out, root, s.items, depth + 1);
        buf_add_char(out, ']');
    } else {
        for (size_t i = 0; i < ARRAY_LEN(scalars); i++)
            if (is_type(s.type, scalars[i].type)) {
                buf_add_str(out, scalars[i].value);
                return;
            }
        buf_add_str(out, "\"simulated\"");
    }
}

void sample_json(struct buf *out, struct text schema)
{
    struct schema s = {.type = TEXT_NONE};

    if (schema.p != NULL)
        read_schema(schema, &s);
    if (s.type.p == NULL && s.properties.p == NULL && s.reference.p == NULL && s.choice.p == NULL)
        buf_add_str(out, "{}"); /* any object */
    else
        add_value(out, schema, schema, 0);
}
