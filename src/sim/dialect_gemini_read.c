/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the body of a generateContent or countTokens request; keys in camelCase and in snake_case, as the service takes
 * both, and refuses unknown fields and roles as it does. The model stands in the path. No state; any thread.
 * source  reference/providers.md 4.5; ai.google.dev API reference; protobuf JSON mapping */
#include "sim/dialect.h"

static const char *const roles[] = {"user", "model", "function", NULL};
static const char *const tool_schemas[] = {"parameters", "parametersJsonSchema", "parameters_json_schema", NULL};
static const char *const fields[] = {"contents",
                                     "systemInstruction",
                                     "generationConfig",
                                     "tools",
                                     "toolConfig",
                                     "safetySettings",
                                     "cachedContent",
                                     "model",
                                     "labels",
                                     "serviceTier",
                                     "store",
                                     "generateContentRequest",
                                     NULL};

/* Values that are read once all keys are known: the system text stands before the contents. */
struct parts {
    struct text system;
    struct text contents;
};

/* {"text":"..."}, {"inlineData":{...}}, {"functionResponse":{...}} */
static void read_part(struct scan *s, struct ask *a)
{
    struct text key;

    if (!ask_enter(s, '{'))
        return;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "text")) {
            ask_add_text(s, a);
        } else {
            a->n_images += ask_is_field(key, "inlineData") || ask_is_field(key, "fileData");
            (void)scan_skip(s, NULL);
        }
    }
}

/* {"role":"user","parts":[...]}; true when the role is one of ours. */
static bool read_content(struct scan *s, struct ask *a)
{
    bool is_good = true;
    struct text key;

    if (!ask_enter(s, '{'))
        return true;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "parts") && scan_peek(s) == SCAN_OBJECT) {
            read_part(s, a); /* one message alone is taken for a list of one */
        } else if (text_is(key, "parts")) {
            if (ask_enter(s, '['))
                while (scan_next_item(s))
                    read_part(s, a);
        } else if (text_is(key, "role")) {
            is_good &= ask_is_one_of(s, a, roles);
        } else {
            (void)scan_skip(s, NULL);
        }
    }
    return is_good;
}

static bool read_contents(struct ask *a, struct text json)
{
    bool is_good = true;
    struct scan s;

    scan_init(&s, json.p, json.len);
    if (scan_peek(&s) == SCAN_OBJECT) {
        a->has_messages = true;
        return read_content(&s, a);
    }
    if (!ask_enter(&s, '['))
        return true;
    while (scan_next_item(&s)) {
        a->has_messages = true;
        is_good &= read_content(&s, a);
    }
    return is_good;
}

static void read_config(struct scan *s, struct ask *a)
{
    bool is_json = false;
    struct text key;
    struct text type;

    if (!ask_enter(s, '{'))
        return;
    while (scan_next_key(s, &key)) {
        bool is_schema = ask_is_field(key, "responseSchema") || ask_is_field(key, "responseJsonSchema");

        if (ask_is_field(key, "maxOutputTokens") && scan_peek(s) == SCAN_NUMBER)
            (void)scan_int(s, &a->max_tokens);
        else if (is_schema && scan_peek(s) == SCAN_OBJECT)
            (void)scan_skip(s, &a->schema);
        else if (ask_is_field(key, "responseMimeType") && scan_peek(s) == SCAN_STRING)
            is_json = scan_string(s, &type, NULL) == 0 && text_is(type, "application/json");
        else
            (void)scan_skip(s, NULL);
    }
    if (is_json && a->schema.p == NULL)
        a->schema = TEXT_LIT("{}");
}

/* [{"functionDeclarations":[{...}]}] */
static void read_tools(struct scan *s, struct ask *a)
{
    struct text key;

    if (!ask_enter(s, '['))
        return;
    while (scan_next_item(s)) {
        if (!ask_enter(s, '{'))
            continue;
        while (scan_next_key(s, &key)) {
            if (!ask_is_field(key, "functionDeclarations")) {
                (void)scan_skip(s, NULL);
            } else if (ask_enter(s, '[')) {
                while (scan_next_item(s))
                    ask_add_tool(s, a, tool_schemas);
            }
        }
    }
}

/* {"mode":"ANY","allowedFunctionNames":["f"]} */
static void read_calling(struct scan *s, struct ask *a)
{
    struct text word;
    struct text key;

    if (!ask_enter(s, '{'))
        return;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "mode") && scan_peek(s) == SCAN_STRING) {
            a->is_tool_forced = scan_string(s, &word, NULL) == 0 && text_is(word, "ANY");
        } else if (ask_is_field(key, "allowedFunctionNames")) {
            if (!ask_enter(s, '['))
                continue;
            while (scan_next_item(s)) {
                if (a->choice.p == NULL && scan_peek(s) == SCAN_STRING)
                    (void)scan_string(s, &a->choice, NULL);
                else
                    (void)scan_skip(s, NULL);
            }
        } else {
            (void)scan_skip(s, NULL);
        }
    }
}

static void read_tool_config(struct scan *s, struct ask *a)
{
    struct text key;

    if (!ask_enter(s, '{'))
        return;
    while (scan_next_key(s, &key)) {
        if (ask_is_field(key, "functionCallingConfig"))
            read_calling(s, a);
        else
            (void)scan_skip(s, NULL);
    }
}

static bool is_known(struct text key)
{
    for (const char *const *f = fields; *f != NULL; f++)
        if (ask_is_field(key, *f))
            return true;
    return false;
}

static void read_fields(struct scan *s, struct ask *a, struct parts *parts)
{
    struct text key;

    while (scan_next_key(s, &key)) {
        if (!is_known(key))
            a->wrong = key;
        if (text_is(key, "contents"))
            (void)scan_skip(s, &parts->contents);
        else if (ask_is_field(key, "systemInstruction"))
            (void)scan_skip(s, &parts->system);
        else if (ask_is_field(key, "generationConfig"))
            read_config(s, a);
        else if (text_is(key, "tools"))
            read_tools(s, a);
        else if (ask_is_field(key, "toolConfig"))
            read_tool_config(s, a);
        else if (ask_is_field(key, "generateContentRequest") && ask_enter(s, '{'))
            read_fields(s, a, parts);
        else if (!ask_is_field(key, "generateContentRequest"))
            (void)scan_skip(s, NULL);
    }
}

enum problem_kind gemini_read(const char *bytes, size_t len, struct ask *a)
{
    struct parts parts = {.system = TEXT_NONE, .contents = TEXT_NONE};
    struct scan s;

    scan_init(&s, bytes, len);
    if (scan_peek(&s) != SCAN_OBJECT)
        return PROBLEM_NOT_JSON;
    (void)scan_enter_object(&s);
    read_fields(&s, a, &parts);
    if (scan_end(&s) < 0)
        return PROBLEM_NOT_JSON;
    if (a->wrong.p != NULL)
        return PROBLEM_FIELD;
    if (parts.system.p != NULL) {
        scan_init(&s, parts.system.p, parts.system.len);
        (void)read_content(&s, a); /* its role is not looked at */
        a->wrong = TEXT_NONE;
    }
    if (parts.contents.p != NULL && !read_contents(a, parts.contents))
        return PROBLEM_ROLE;
    return a->has_messages ? PROBLEM_NONE : PROBLEM_NO_MESSAGES;
}
