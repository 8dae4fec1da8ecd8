/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds what a job may hold (tools, tool calls, choices, images, parameters) to the sending side of every dialect: a
 * body that is built is valid JSON, a refusal says why. An input is lines of a word and a value; values that core would
 * not let through (JSON that is none) are passed over. One thread. */
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/scan.h"
#include "impl/provider.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { MESSAGES_MAX = 16, PARAMS_MAX = 16 };

struct input {
    struct request q;
    struct chat_message messages[MESSAGES_MAX];
    struct message_part parts[MESSAGES_MAX];
    struct request_param params[PARAMS_MAX];
    const char *drop[1];
};

static bool is_json(struct text t)
{
    struct scan s;

    scan_init(&s, t.p, t.len);
    return scan_skip(&s, NULL) == 0 && scan_end(&s) == 0;
}

/* The inside of a JSON string as core hands it on, when the value is one in quotes; else plain bytes. */
static struct text text_of_value(struct arena *a, struct text v)
{
    struct text t = TEXT_NONE;
    struct scan s;

    scan_init(&s, v.p, v.len);
    if (v.len > 0 && v.p[0] == '"' && scan_text(&s, a, &t) == 0 && scan_end(&s) == 0)
        return t;
    return v;
}

/* Raw JSON as core hands it on: repaired. */
static struct text raw_of_value(struct arena *a, struct text v)
{
    v.is_escaped = true;
    v = scan_repair(a, v);
    v.is_escaped = false;
    return v;
}

static void add_message(struct input *in, enum role role, enum part_kind kind, struct text text)
{
    int i = in->q.n_messages;

    if (i == MESSAGES_MAX)
        return;
    in->parts[i] = (struct message_part){kind, text};
    in->messages[i] = (struct chat_message){.role = role, .parts = &in->parts[i], .n_parts = 1};
    in->q.n_messages++;
}

/* "name value" or "dialect:name value" */
static void add_param(struct input *in, struct arena *a, struct text line)
{
    static const char *const apis[] = {"openai", "anthropic", "gemini"};
    const char *space = memchr(line.p, ' ', line.len);
    struct request_param *p = &in->params[in->q.n_params];
    struct text value;
    size_t name_len;

    if (space == NULL || in->q.n_params == PARAMS_MAX)
        return;
    name_len = (size_t)(space - line.p);
    value = text_slice(space + 1, line.len - name_len - 1);
    if (!is_json(value))
        return;
    value = raw_of_value(a, value);
    *p = (struct request_param){text_slice(line.p, name_len), value, NULL};
    for (size_t i = 0; i < ARRAY_LEN(apis); i++) {
        size_t n = strlen(apis[i]);

        if (name_len > n && memcmp(line.p, apis[i], n) == 0 && line.p[n] == ':') {
            p->dialect = apis[i];
            p->name = text_slice(line.p + n + 1, name_len - n - 1);
        }
    }
    in->q.n_params++;
}

static void add_line(struct input *in, struct arena *a, struct text word, struct text v)
{
    struct text text = text_of_value(a, v);

    if (is_json(v))
        v = raw_of_value(a, v);

    if (text_is(word, "user"))
        add_message(in, ROLE_USER, PART_TEXT, text);
    else if (text_is(word, "system"))
        add_message(in, ROLE_SYSTEM, PART_TEXT, text);
    else if (text_is(word, "assistant"))
        add_message(in, ROLE_ASSISTANT, PART_TEXT, text);
    else if (text_is(word, "image"))
        add_message(in, ROLE_USER, PART_IMAGE, text);
    else if (text_is(word, "tool"))
        add_message(in, ROLE_TOOL, PART_TEXT, text);
    else if (text_is(word, "id") && in->q.n_messages > 0)
        in->messages[in->q.n_messages - 1].tool_call_id = text;
    else if (text_is(word, "calls") && in->q.n_messages > 0 && is_json(v))
        in->messages[in->q.n_messages - 1].tool_calls = v;
    else if (text_is(word, "tools") && is_json(v))
        in->q.tools = v;
    else if (text_is(word, "choice") && is_json(v))
        in->q.tool_choice = v;
    else if (text_is(word, "param"))
        add_param(in, a, v);
    else if (text_is(word, "drop"))
        in->drop[0] = text_decode(a, v, NULL);
    else if (text_is(word, "model"))
        in->q.vendor_model = text_decode(a, v, NULL);
}

/* By a parser that is not ours: also no half surrogate and no NUL. It refuses numbers beyond its own range. */
static void check_strict(struct text body)
{
    json_error_t e;
    json_t *root = json_loadb(body.p, body.len, JSON_DECODE_INT_AS_REAL, &e);

    CHECK(root != NULL || json_error_code(&e) == json_error_numeric_overflow ||
          json_error_code(&e) == json_error_stack_overflow);
    json_decref(root);
}

static void check_build(const struct provider_ops *ops, const struct request *q, struct arena *a)
{
    const char *why = NULL;
    struct wire w = {.n_dropped = 0};
    int r = ops->build(q, a, &w, &why);

    CHECK(r <= 0 && (r == 0 || why != NULL));
    if (r < 0)
        return;
    CHECK(is_json(w.body) && !w.body.is_escaped);
    check_strict(w.body);
    CHECK(w.n_dropped >= 0 && w.n_dropped <= WIRE_DROPPED_MAX && w.n_headers <= WIRE_HEADERS_MAX);
    for (const char *p = w.url; *p != '\0'; p++)
        CHECK(*p > ' ' && *p < 0x7f);
    ops->sign("key", 0, a, &w);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct arena *a = arena_new(1024);
    const char *p = len > 0 ? (const char *)bytes : "";
    const char *end = p + len;
    struct input in = {.q = {.base_url = "https://h", .vendor_model = "m", .max_output_tokens = 9}};

    in.q.messages = in.messages;
    in.q.params = in.params;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl != NULL ? nl : end) - p);
        const char *space = memchr(p, ' ', n);

        if (space != NULL)
            add_line(&in, a, text_slice(p, (size_t)(space - p)), text_slice(space + 1, n - (size_t)(space - p) - 1));
        p += n + 1;
    }
    in.q.drop_params = in.drop;
    in.q.n_drop_params = in.drop[0] != NULL;
    for (size_t i = 0; provider_names()[i] != NULL; i++)
        check_build(provider_find(provider_names()[i]), &in.q, a);
    arena_free(a);
    return 0;
}
