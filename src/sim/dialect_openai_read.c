/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the body of a chat completion request; passes over all parameters it does not know, as the compatible services
 * do. No state; any thread.  source  reference/providers.md 4.1 */
#include "sim/dialect.h"

static const char *const roles[] = {"system", "assistant", "user", "function", "tool", "developer", NULL};
static const char *const images[] = {"image_url", "file", NULL};
static const char *const tool_schemas[] = {"parameters", NULL};

/* True when the role is one of ours. */
static bool read_message(struct scan *s, struct ask *a)
{
    bool is_good = true;
    struct text key;

    if (!ask_enter(s, '{'))
        return true;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "content"))
            ask_add_content(s, a, images);
        else if (text_is(key, "role"))
            is_good &= ask_is_one_of(s, a, roles);
        else
            (void)scan_skip(s, NULL);
    }
    return is_good;
}

static bool read_messages(struct scan *s, struct ask *a)
{
    bool is_good = true;

    if (!ask_enter(s, '['))
        return true;
    while (scan_next_item(s)) {
        a->has_messages = true;
        is_good &= read_message(s, a);
    }
    return is_good;
}

/* [{"type":"function","function":{...}}, ...] */
static void read_tools(struct scan *s, struct ask *a)
{
    struct text key;

    if (!ask_enter(s, '['))
        return;
    while (scan_next_item(s)) {
        if (!ask_enter(s, '{'))
            continue;
        while (scan_next_key(s, &key)) {
            if (text_is(key, "function"))
                ask_add_tool(s, a, tool_schemas);
            else
                (void)scan_skip(s, NULL);
        }
    }
}

/* "required", or {"type":"function","function":{"name":"f"}} */
static void read_choice(struct scan *s, struct ask *a)
{
    struct text word;
    struct text key;

    if (scan_peek(s) == SCAN_STRING) {
        if (scan_string(s, &word, NULL) == 0)
            a->is_tool_forced = text_is(word, "required");
        return;
    }
    if (!ask_enter(s, '{'))
        return;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "function")) {
            a->choice = ask_read_tool(s, tool_schemas).name;
            a->is_tool_forced = a->choice.p != NULL;
        } else {
            (void)scan_skip(s, NULL);
        }
    }
}

/* {"type":"json_object"}, {"type":"json_schema","json_schema":{"name":"n","schema":{...}}} */
static void read_format(struct scan *s, struct ask *a)
{
    struct text key;
    struct text type;

    if (!ask_enter(s, '{'))
        return;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "type") && scan_peek(s) == SCAN_STRING) {
            if (scan_string(s, &type, NULL) == 0 && text_is(type, "json_object"))
                a->schema = TEXT_LIT("{}");
        } else if (text_is(key, "json_schema")) {
            if (!ask_enter(s, '{'))
                continue;
            while (scan_next_key(s, &key))
                (void)scan_skip(s, text_is(key, "schema") ? &a->schema : NULL);
        } else {
            (void)scan_skip(s, NULL);
        }
    }
}

static void read_stream_options(struct scan *s, struct ask *a)
{
    struct text key;

    if (!ask_enter(s, '{'))
        return;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "include_usage") && scan_peek(s) == SCAN_TRUE)
            (void)scan_bool(s, &a->includes_usage);
        else
            (void)scan_skip(s, NULL);
    }
}

enum problem_kind openai_read(const char *bytes, size_t len, struct ask *a)
{
    bool is_role_good = true;
    struct text key;
    struct scan s;

    scan_init(&s, bytes, len);
    if (scan_peek(&s) != SCAN_OBJECT)
        return PROBLEM_NOT_JSON;
    (void)scan_enter_object(&s);
    while (scan_next_key(&s, &key)) {
        enum scan_type type = scan_peek(&s);

        if (text_is(key, "model") && type == SCAN_STRING)
            (void)scan_string(&s, &a->model, NULL);
        else if (text_is(key, "messages"))
            is_role_good = read_messages(&s, a);
        else if ((text_is(key, "max_tokens") || text_is(key, "max_completion_tokens")) && type == SCAN_NUMBER)
            (void)scan_int(&s, &a->max_tokens);
        else if (text_is(key, "stream") && type == SCAN_TRUE)
            (void)scan_bool(&s, &a->is_stream);
        else if (text_is(key, "tools"))
            read_tools(&s, a);
        else if (text_is(key, "tool_choice"))
            read_choice(&s, a);
        else if (text_is(key, "response_format"))
            read_format(&s, a);
        else if (text_is(key, "stream_options"))
            read_stream_options(&s, a);
        else
            (void)scan_skip(&s, NULL);
    }
    if (scan_end(&s) < 0)
        return PROBLEM_NOT_JSON;
    if (a->model.p == NULL)
        return PROBLEM_NO_MODEL;
    if (!a->has_messages)
        return PROBLEM_NO_MESSAGES;
    return is_role_good ? PROBLEM_NONE : PROBLEM_ROLE;
}
