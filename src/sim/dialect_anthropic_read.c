/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the body of a Messages request, and refuses unknown fields and roles as the service does. No state; any thread.
 * source  reference/providers.md 4.4; platform.claude.com API reference */
#include "sim/dialect.h"

static const char *const roles[] = {"user", "assistant", NULL};
static const char *const images[] = {"source", NULL}; /* of images and documents */
static const char *const tool_schemas[] = {"input_schema", NULL};
static const char *const fields[] = {"cache_control",
                                     "container",
                                     "context_management",
                                     "diagnostics",
                                     "inference_geo",
                                     "max_tokens",
                                     "mcp_servers",
                                     "messages",
                                     "metadata",
                                     "model",
                                     "output_config",
                                     "output_format",
                                     "service_tier",
                                     "speed",
                                     "stop_sequences",
                                     "stream",
                                     "system",
                                     "temperature",
                                     "thinking",
                                     "tool_choice",
                                     "tools",
                                     "top_k",
                                     "top_p",
                                     "user_profile_id",
                                     "workspace_id",
                                     NULL};

/* What a value of the body says, read once all its keys are known: the system text stands before the messages. */
struct parts {
    struct text system;
    struct text messages;
};

/* tool_result blocks hold blocks themselves. */
static void add_block(struct scan *s, struct ask *a)
{
    struct text key;

    while (scan_next_key(s, &key)) {
        if (text_is(key, "text")) {
            ask_add_text(s, a);
        } else if (text_is(key, "content")) {
            ask_add_content(s, a, images);
        } else {
            a->n_images += text_is(key, "source");
            (void)scan_skip(s, NULL);
        }
    }
}

static void add_content(struct scan *s, struct ask *a)
{
    if (scan_peek(s) != SCAN_ARRAY) {
        ask_add_text(s, a);
        return;
    }
    (void)scan_enter_array(s);
    while (scan_next_item(s))
        if (ask_enter(s, '{'))
            add_block(s, a);
}

static bool add_messages(struct ask *a, struct text json)
{
    bool is_good = true;
    struct text key;
    struct scan s;

    scan_init(&s, json.p, json.len);
    if (!ask_enter(&s, '['))
        return true;
    while (scan_next_item(&s)) {
        a->has_messages = true;
        if (!ask_enter(&s, '{'))
            continue;
        while (scan_next_key(&s, &key)) {
            if (text_is(key, "content"))
                add_content(&s, a);
            else if (text_is(key, "role"))
                is_good &= ask_is_one_of(&s, a, roles);
            else
                (void)scan_skip(&s, NULL);
        }
    }
    return is_good;
}

/* {"type":"any"}, {"type":"tool","name":"f"} */
static void read_choice(struct scan *s, struct ask *a)
{
    struct text word;
    struct text key;

    if (!ask_enter(s, '{'))
        return;
    while (scan_next_key(s, &key)) {
        if (scan_peek(s) != SCAN_STRING)
            (void)scan_skip(s, NULL);
        else if (text_is(key, "name"))
            (void)scan_string(s, &a->choice, NULL);
        else if (scan_string(s, &word, NULL) == 0 && text_is(key, "type"))
            a->is_tool_forced = text_is(word, "any") || text_is(word, "tool");
    }
}

/* {"type":"json_schema","schema":{...}}, or the same under "format" */
static void read_format(struct scan *s, struct ask *a)
{
    struct text key;

    if (!ask_enter(s, '{'))
        return;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "schema") && scan_peek(s) == SCAN_OBJECT)
            (void)scan_skip(s, &a->schema);
        else if (text_is(key, "format"))
            read_format(s, a);
        else
            (void)scan_skip(s, NULL);
    }
}

static void read_field(struct scan *s, struct text key, struct ask *a, struct parts *parts)
{
    enum scan_type type = scan_peek(s);

    if (text_is(key, "model") && type == SCAN_STRING) {
        (void)scan_string(s, &a->model, NULL);
    } else if (text_is(key, "messages") && type == SCAN_ARRAY) {
        (void)scan_skip(s, &parts->messages);
    } else if (text_is(key, "system")) {
        (void)scan_skip(s, &parts->system);
    } else if (text_is(key, "max_tokens") && type == SCAN_NUMBER) {
        (void)scan_int(s, &a->max_tokens);
    } else if (text_is(key, "stream") && type == SCAN_TRUE) {
        (void)scan_bool(s, &a->is_stream);
    } else if (text_is(key, "tools")) {
        if (ask_enter(s, '['))
            while (scan_next_item(s))
                ask_add_tool(s, a, tool_schemas);
    } else if (text_is(key, "tool_choice")) {
        read_choice(s, a);
    } else if (text_is(key, "output_config") || text_is(key, "output_format")) {
        read_format(s, a);
    } else {
        (void)scan_skip(s, NULL);
    }
}

enum problem_kind anthropic_read(const char *bytes, size_t len, struct ask *a)
{
    struct parts parts = {.system = TEXT_NONE, .messages = TEXT_NONE};
    struct text unknown = TEXT_NONE;
    struct text key;
    struct scan s;

    scan_init(&s, bytes, len);
    if (scan_peek(&s) != SCAN_OBJECT)
        return PROBLEM_NOT_JSON;
    (void)scan_enter_object(&s);
    while (scan_next_key(&s, &key)) {
        bool is_known = false;

        for (const char *const *f = fields; *f != NULL && !is_known; f++)
            is_known = text_is(key, *f);
        if (!is_known)
            unknown = key;
        read_field(&s, key, a, &parts);
    }
    if (scan_end(&s) < 0)
        return PROBLEM_NOT_JSON;
    if (parts.system.p != NULL) {
        scan_init(&s, parts.system.p, parts.system.len);
        add_content(&s, a);
    }
    if (parts.messages.p != NULL && !add_messages(a, parts.messages))
        return PROBLEM_ROLE;
    if (a->model.p == NULL)
        return PROBLEM_NO_MODEL;
    if (!a->has_messages)
        return PROBLEM_NO_MESSAGES;
    a->wrong = unknown;
    if (unknown.p != NULL)
        return PROBLEM_FIELD;
    return a->max_tokens < 1 ? PROBLEM_NO_MAX_TOKENS : PROBLEM_NONE;
}
