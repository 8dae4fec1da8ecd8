/* SPDX-License-Identifier: Apache-2.0 */
/* prompt, messages, system, tools: what the models are given. Ours have the shape of OpenAI's chat messages, so both
 * are read here. Pure but for the arena. source: CONTRACTS 3, reference/providers.md 4.1 */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "core/decode.h"

/* One message as its keys come, in any order. */
struct draft {
    struct text role, tool_calls, tool_call_id;
    struct part_list parts;
    bool has_content;
};

struct draft_part {
    struct text type, text, url;
};

void decode_add_part(struct decode *d, struct part_list *to, enum part_kind kind, struct text text)
{
    to->items = decode_grow(d, to->items, to->n, &to->cap, sizeof(*to->items));
    to->items[to->n++] = (struct message_part){.kind = kind, .text = text};
}

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

void decode_add_image(struct decode *d, struct part_list *to, struct text url)
{
    const char *plain = text_decode(d->arena, text_cut(url, 100), NULL);
    const char *comma = plain != NULL ? strstr(plain, ";base64,") : NULL;

    if (plain == NULL || !(has_prefix(plain, "https://") || has_prefix(plain, "http://") ||
                           (has_prefix(plain, "data:image/") && comma != NULL)))
        decode_fail(d, "an image must be an http or https URL, or data:image/...;base64,...");
    else
        decode_add_part(d, to, PART_IMAGE, url);
}

struct chat_message *decode_add_message(struct decode *d, enum role role, const struct part_list *parts)
{
    struct message_list *list = &d->messages;

    list->items = decode_grow(d, list->items, list->n, &list->cap, sizeof(*list->items));
    list->items[list->n] = (struct chat_message){
        .role = role, .parts = parts->items, .n_parts = parts->n, .tool_calls = TEXT_NONE, .tool_call_id = TEXT_NONE};
    return &list->items[list->n++];
}

void decode_prompt(struct decode *d, void *unused)
{
    (void)unused;
    decode_text(d, &d->prompt);
    decode_expand(d, &d->prompt);
    if (!decode_has_failed(d) && text_is_blank(d->prompt))
        decode_fail(d, "prompt is empty");
}

void decode_system(struct decode *d, void *out_text)
{
    struct text *out = out_text;

    decode_text(d, out);
    decode_expand(d, out);
    if (!decode_has_failed(d) && text_is_blank(*out))
        decode_fail(d, "system is empty; leave it out");
}

/* --- the parts of a content --- */

static void read_image_url(struct decode *d, void *out_url)
{
    static const struct decode_key keys[] = {DECODE_KEY("url", decode_text), DECODE_DROP("detail", "image_detail")};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    decode_object(d, &table, out_url);
}

static void read_part_type(struct decode *d, void *out)
{
    decode_text(d, &((struct draft_part *)out)->type);
}

static void read_part_text(struct decode *d, void *out)
{
    struct draft_part *part = out;

    decode_text(d, &part->text);
    decode_expand(d, &part->text);
}

static void read_part_image(struct decode *d, void *out)
{
    read_image_url(d, &((struct draft_part *)out)->url);
}

static void read_part(struct decode *d, void *out_parts)
{
    static const char *const types[] = {"text", "image_url"};
    static const struct decode_key keys[] = {DECODE_KEY("type", read_part_type), DECODE_KEY("text", read_part_text),
                                             DECODE_KEY("image_url", read_part_image)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct draft_part p = {.type = TEXT_NONE};
    struct scan again = d->s;

    /* the type first: what else there may be depends on it, and an unknown one is the better thing to name */
    if (scan_peek(&d->s) == SCAN_OBJECT) {
        struct text key;

        scan_enter_object(&again);
        while (scan_next_key(&again, &key))
            if (text_is(key, "type") && scan_peek(&again) == SCAN_STRING)
                scan_text(&again, d->arena, &p.type);
            else
                scan_skip(&again, NULL);
        if (p.type.p != NULL && !text_is(p.type, types[0]) && !text_is(p.type, types[1])) {
            decode_fail_at(d, "type", "unknown type of part; known are text and image_url");
            return;
        }
    }
    decode_object(d, &table, &p);
    if (decode_has_failed(d))
        return;
    if (text_is(p.type, "text") && p.text.p != NULL && p.url.p == NULL)
        decode_add_part(d, out_parts, PART_TEXT, p.text);
    else if (text_is(p.type, "image_url") && p.url.p != NULL && p.text.p == NULL)
        decode_add_image(d, out_parts, p.url);
    else
        decode_fail(d, "a part must be {\"type\":\"text\",\"text\":...} or "
                       "{\"type\":\"image_url\",\"image_url\":{\"url\":...}}");
}

/* --- one message --- */

static void read_role(struct decode *d, void *out)
{
    decode_text(d, &((struct draft *)out)->role);
}

static void read_content(struct decode *d, void *out)
{
    struct draft *m = out;
    struct text text = TEXT_NONE;

    m->has_content = true;
    if (scan_peek(&d->s) == SCAN_STRING) {
        decode_text(d, &text);
        decode_expand(d, &text);
        decode_add_part(d, &m->parts, PART_TEXT, text);
    } else if (!decode_is(d, SCAN_ARRAY, "content must be a string or an array of parts")) {
        return;
    } else if (decode_items(d, read_part, &m->parts) == 0) {
        decode_fail(d, "content has no parts");
    }
}

static void check_name(struct decode *d, void *out_has_name)
{
    struct text name = TEXT_NONE;

    decode_text(d, &name);
    *(bool *)out_has_name = !text_is_blank(name);
    if (!decode_has_failed(d) && text_is_blank(name))
        decode_fail(d, "the name is empty");
}

static void check_function_type(struct decode *d, void *unused)
{
    struct text type = TEXT_NONE;

    (void)unused;
    decode_text(d, &type);
    if (!decode_has_failed(d) && !text_is(type, "function"))
        decode_fail(d, "type must be function");
}

static void check_string(struct decode *d, void *unused)
{
    struct text text;

    (void)unused;
    decode_text(d, &text);
}

static void check_called(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {DECODE_KEY("name", check_name), DECODE_KEY("arguments", decode_skip)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    bool has_name = false;

    (void)unused;
    decode_object(d, &table, &has_name);
    if (!has_name)
        decode_fail_at(d, "name", "the function's name is missing");
}

static void check_tool_call(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {DECODE_KEY("id", check_string), DECODE_KEY("type", check_function_type),
                                             DECODE_KEY("function", check_called), DECODE_KEY("index", decode_skip)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    (void)unused;
    decode_object(d, &table, NULL);
}

static void check_tool_calls(struct decode *d, void *unused)
{
    (void)unused;
    if (decode_items(d, check_tool_call, NULL) == 0)
        decode_fail(d, "tool_calls is empty; leave it out");
}

static void read_tool_calls(struct decode *d, void *out)
{
    ((struct draft *)out)->tool_calls = decode_raw_checked(d, check_tool_calls);
}

static void read_tool_call_id(struct decode *d, void *out)
{
    decode_text(d, &((struct draft *)out)->tool_call_id);
}

/* source: reference/providers.md 4.1; developer is what newer models call system */
static int find_role(const struct decode *d, struct text role)
{
    static const char *const names[] = {
        [ROLE_SYSTEM] = "system", [ROLE_USER] = "user", [ROLE_ASSISTANT] = "assistant", [ROLE_TOOL] = "tool"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (text_is(role, names[i]))
            return (int)i;
    return d->dialect != NULL && text_is(role, "developer") ? (int)ROLE_SYSTEM : -1;
}

static bool is_empty(const struct part_list *parts)
{
    for (int i = 0; i < parts->n; i++)
        if (parts->items[i].kind == PART_IMAGE || !text_is_blank(parts->items[i].text))
            return false;
    return true;
}

static void finish_message(struct decode *d, struct draft *m)
{
    int role = find_role(d, m->role);
    struct chat_message *out;

    if (role < 0)
        decode_fail_at(d, "role", "role must be system, user, assistant or tool");
    else if (!m->has_content && m->tool_calls.p == NULL)
        decode_fail_at(d, "content", "content is missing");
    else if (role == ROLE_USER && is_empty(&m->parts))
        decode_fail_at(d, "content", "content is empty");
    else if (role != ROLE_ASSISTANT && m->tool_calls.p != NULL)
        decode_fail_at(d, "tool_calls", "only an assistant calls tools");
    else if ((role == ROLE_TOOL) != (m->tool_call_id.p != NULL))
        decode_fail_at(d, "tool_call_id", "a message of role tool, and no other, names the call it answers");
    for (int i = 0; i < m->parts.n && role != ROLE_USER; i++)
        if (m->parts.items[i].kind == PART_IMAGE)
            decode_fail_at(d, "content", "only a user shows images");
    if (decode_has_failed(d))
        return;
    out = decode_add_message(d, (enum role)role, &m->parts);
    out->tool_calls = m->tool_calls;
    out->tool_call_id = m->tool_call_id;
}

static void read_message(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("role", read_role),
        DECODE_KEY("content", read_content),
        DECODE_KEY("tool_calls", read_tool_calls),
        DECODE_KEY("tool_call_id", read_tool_call_id),
        /* of OpenAI's answers, which stand in batch lines as they came: mostly null */
        DECODE_DROP("name", "message_name"),
        DECODE_KEY("refusal", decode_refuse),
        DECODE_KEY("audio", decode_refuse),
        DECODE_KEY("function_call", decode_refuse),
        DECODE_KEY("annotations", decode_skip),
    };
    static const struct decode_table ours = {.keys = keys, .n = 4};
    static const struct decode_table openai = DECODE_TABLE(keys, .unknown = NULL);
    struct draft m = {.role = TEXT_NONE};

    (void)unused;
    decode_object(d, d->dialect != NULL ? &openai : &ours, &m);
    if (!decode_has_failed(d))
        finish_message(d, &m);
}

void decode_messages(struct decode *d, void *unused)
{
    bool has_input = false;

    (void)unused;
    if (decode_items(d, read_message, NULL) == 0)
        decode_fail(d, "messages is empty");
    for (int i = 0; i < d->messages.n; i++)
        has_input |= d->messages.items[i].role != ROLE_SYSTEM;
    if (!decode_has_failed(d) && !has_input)
        decode_fail(d, "messages holds nothing but system messages");
}

/* --- tools --- */

static void check_function(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {DECODE_KEY("name", check_name), DECODE_KEY("description", decode_skip),
                                             DECODE_KEY("parameters", decode_skip), DECODE_KEY("strict", decode_skip)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    bool has_name = false;

    (void)unused;
    decode_object(d, &table, &has_name);
    if (!has_name)
        decode_fail_at(d, "name", "the function's name is missing");
}

static void check_tool(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {DECODE_KEY("type", check_function_type),
                                             DECODE_KEY("function", check_function)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    (void)unused;
    decode_object(d, &table, NULL);
}

static void check_tools(struct decode *d, void *unused)
{
    (void)unused;
    if (decode_items(d, check_tool, NULL) == 0)
        decode_fail(d, "tools is empty; leave it out");
}

void decode_tools(struct decode *d, void *unused)
{
    (void)unused;
    d->spec->tools = decode_raw_checked(d, check_tools);
}

static void check_tool_choice(struct decode *d, void *unused)
{
    static const char *const words[] = {"auto", "none", "required"};
    static const struct decode_key keys[] = {DECODE_KEY("type", check_function_type),
                                             DECODE_KEY("function", check_function)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct text word = TEXT_NONE;

    (void)unused;
    if (scan_peek(&d->s) == SCAN_STRING) {
        scan_text(&d->s, d->arena, &word);
        if (!text_is(word, words[0]) && !text_is(word, words[1]) && !text_is(word, words[2]))
            decode_fail_word(d, "unknown tool_choice", word, words, ARRAY_LEN(words), "");
    } else if (decode_is(d, SCAN_OBJECT, "tool_choice must be auto, none, required or name a function")) {
        decode_object(d, &table, NULL);
    }
}

void decode_tool_choice(struct decode *d, void *unused)
{
    (void)unused;
    d->spec->tool_choice = decode_raw_checked(d, check_tool_choice);
}
