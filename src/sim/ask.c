/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of all dialects have in common: texts of messages, images, tools. Never knows a dialect's names
 * beyond what it is given. No state; any thread. */
#include <string.h>

#include "base/check.h"
#include "sim/dialect.h"

void ask_init(struct ask *a, struct buf *prompt)
{
    a->model = a->schema = a->choice = a->wrong = TEXT_NONE;
    a->prompt = prompt;
    a->max_tokens = -1;
    a->n_tools = 0; /* the tools behind it stay as they are: they are many bytes */
    a->n_images = 0;
    a->is_tool_forced = a->is_stream = a->includes_usage = a->has_messages = false;
    buf_clear(prompt);
}

void ask_add_text(struct scan *s, struct ask *a)
{
    struct text t;

    if (scan_peek(s) != SCAN_STRING) {
        (void)scan_skip(s, NULL);
        return;
    }
    if (scan_string(s, &t, NULL) < 0)
        return;
    if (a->prompt->len > 0)
        buf_add_char(a->prompt, '\n');
    text_add_plain(a->prompt, t);
}

static bool is_any_of(struct text key, const char *const *words)
{
    for (; *words != NULL; words++)
        if (text_is(key, *words))
            return true;
    return false;
}

/* One part of a message. Its own content counts too: the result of a tool holds parts. */
static void add_part(struct scan *s, struct ask *a, const char *const *images)
{
    struct text key;

    (void)scan_enter_object(s);
    while (scan_next_key(s, &key)) {
        if (text_is(key, "text"))
            ask_add_text(s, a);
        else if (text_is(key, "content") && scan_peek(s) == SCAN_STRING)
            ask_add_text(s, a);
        else {
            a->n_images += is_any_of(key, images);
            (void)scan_skip(s, NULL);
        }
    }
}

void ask_add_content(struct scan *s, struct ask *a, const char *const *images)
{
    enum scan_type type = scan_peek(s);

    if (type != SCAN_ARRAY) {
        ask_add_text(s, a);
        return;
    }
    (void)scan_enter_array(s);
    while (scan_next_item(s)) {
        if (scan_peek(s) == SCAN_OBJECT)
            add_part(s, a, images);
        else
            (void)scan_skip(s, NULL);
    }
}

struct tool ask_read_tool(struct scan *s, const char *const *schema_keys)
{
    struct tool t = {.name = TEXT_NONE, .schema = TEXT_NONE};
    struct text key;

    if (scan_peek(s) != SCAN_OBJECT) {
        (void)scan_skip(s, NULL);
        return t;
    }
    (void)scan_enter_object(s);
    while (scan_next_key(s, &key)) {
        if (text_is(key, "name") && scan_peek(s) == SCAN_STRING)
            (void)scan_string(s, &t.name, NULL);
        else if (is_any_of(key, schema_keys) && scan_peek(s) == SCAN_OBJECT)
            (void)scan_skip(s, &t.schema);
        else
            (void)scan_skip(s, NULL);
    }
    return t;
}

void ask_add_tool(struct scan *s, struct ask *a, const char *const *schema_keys)
{
    struct tool t = ask_read_tool(s, schema_keys);

    if (t.name.p != NULL && a->n_tools < TOOLS_MAX)
        a->tools[a->n_tools++] = t;
}

bool ask_enter(struct scan *s, char bracket)
{
    if (scan_peek(s) != (bracket == '{' ? SCAN_OBJECT : SCAN_ARRAY)) {
        (void)scan_skip(s, NULL);
        return false;
    }
    return (bracket == '{' ? scan_enter_object(s) : scan_enter_array(s)) == 0;
}

bool ask_is_one_of(struct scan *s, struct ask *a, const char *const *words)
{
    struct text word;

    if (scan_peek(s) != SCAN_STRING) {
        (void)scan_skip(s, NULL);
        return true; /* another type: not about its spelling */
    }
    if (scan_string(s, &word, NULL) < 0 || is_any_of(word, words))
        return true;
    a->wrong = word;
    return false;
}

bool ask_is_field(struct text key, const char *name)
{
    size_t i = 0;

    for (const char *n = name; *n != '\0'; n++, i++) {
        bool is_upper = *n >= 'A' && *n <= 'Z';

        if (is_upper && i < key.len && key.p[i] == '_') {
            if (++i >= key.len || key.p[i] != *n - 'A' + 'a')
                return false;
        } else if (i >= key.len || key.p[i] != *n) {
            return false;
        }
    }
    return i == key.len;
}

static bool is_tag_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._:/@-", c) != NULL);
}

void ask_job_tag(const struct buf *prompt, char out[LABEL_BYTES])
{
    static const char mark[] = "JOB:";
    const char *p = prompt->len > 0 ? memmem(prompt->p, prompt->len, mark, sizeof(mark) - 1) : NULL;
    const char *end = prompt->p + prompt->len;
    size_t n = 0;

    if (p != NULL)
        for (p += sizeof(mark) - 1; p < end && n + 1 < LABEL_BYTES && is_tag_char(*p); p++)
            out[n++] = *p;
    out[n] = '\0';
}
