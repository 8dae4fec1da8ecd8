/* SPDX-License-Identifier: Apache-2.0 */
/* The request of a Gemini batch line {key, request}: contents become messages of ours, function declarations get
 * OpenAI's shape. What has no such shape goes to Gemini as it is. Both spellings, camelCase and snake_case, are read.
 * Pure but for the arena. source: reference/providers.md 4.5 */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "core/decode.h"

/* One content while its parts are read. Functions are named, not numbered: the nth call
 * of a function gets an id made of its name, and the nth response to it the same. */
struct turn {
    struct text role;
    struct part_list parts; /* since the last function response */
    struct buf calls;       /* inside of a JSON array */
    bool is_model;
};

struct part {
    struct text text, mime, data, uri, name, id, args, response, signature;
    bool is_thought, is_call, is_response, is_file;
};

#define TEXT_READER(function, field) \
    static void function(struct decode *d, void *out) \
    { \
        decode_text(d, &((struct part *)out)->field); \
    }
TEXT_READER(read_text, text)
TEXT_READER(read_mime, mime)
TEXT_READER(read_data, data)
TEXT_READER(read_uri, uri)
TEXT_READER(read_name, name)
TEXT_READER(read_id, id)
TEXT_READER(read_signature, signature)

static void read_args(struct decode *d, void *out)
{
    ((struct part *)out)->args = decode_raw(d);
}

static void read_response(struct decode *d, void *out)
{
    ((struct part *)out)->response = decode_raw(d);
}

static void read_inline(struct decode *d, void *out)
{
    static const struct decode_key keys[] = {DECODE_KEY("mimeType", read_mime), DECODE_KEY("mime_type", read_mime),
                                             DECODE_KEY("data", read_data), DECODE_KEY("displayName", decode_skip)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    decode_object(d, &table, out);
}

static void read_file(struct decode *d, void *out)
{
    static const struct decode_key keys[] = {DECODE_KEY("mimeType", read_mime), DECODE_KEY("mime_type", read_mime),
                                             DECODE_KEY("fileUri", read_uri), DECODE_KEY("file_uri", read_uri)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    ((struct part *)out)->is_file = true;
    decode_object(d, &table, out);
}

static void read_call(struct decode *d, void *out)
{
    static const struct decode_key keys[] = {DECODE_KEY("name", read_name), DECODE_KEY("args", read_args),
                                             DECODE_KEY("id", read_id)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    ((struct part *)out)->is_call = true;
    decode_object(d, &table, out);
}

static void read_function_response(struct decode *d, void *out)
{
    static const struct decode_key keys[] = {DECODE_KEY("name", read_name), DECODE_KEY("response", read_response),
                                             DECODE_KEY("id", read_id)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);

    ((struct part *)out)->is_response = true;
    decode_object(d, &table, out);
}

static void read_thought(struct decode *d, void *out)
{
    bool is_thought = false;

    if (scan_peek(&d->s) == SCAN_TRUE || scan_peek(&d->s) == SCAN_FALSE)
        scan_bool(&d->s, &is_thought);
    else
        decode_fail(d, "thought must be true or false");
    ((struct part *)out)->is_thought = is_thought;
}

/* --- what the parts become --- */

static void flush(struct decode *d, struct turn *t)
{
    struct chat_message *m;

    if (t->parts.n == 0 && t->calls.len == 0)
        return;
    m = decode_add_message(d, t->is_model ? ROLE_ASSISTANT : ROLE_USER, &t->parts);
    if (t->calls.len > 0)
        m->tool_calls = text_of(arena_printf(d->arena, "[%s]", t->calls.p));
    memset(&t->parts, 0, sizeof(t->parts));
    buf_clear(&t->calls);
}

static struct called *find_called(struct decode *d, struct text name)
{
    for (int i = 0; i < d->n_called; i++)
        if (text_equal(d->called[i].name, name))
            return &d->called[i];
    d->called = decode_grow(d, d->called, d->n_called, &d->cap_called, sizeof(*d->called));
    d->called[d->n_called].name = name;
    return &d->called[d->n_called++];
}

/* The id of the nth call of a function: its name, "name-2", ... */
static struct text id_of(struct decode *d, struct text name, int n)
{
    if (n <= 1)
        return name;
    return text_of(arena_printf(d->arena, "%s-%d", text_decode(d->arena, name, NULL), n));
}

static void add_call(struct decode *d, struct turn *t, const struct part *p)
{
    struct json_write w;

    if (!t->is_model || p->name.p == NULL) {
        decode_fail(d, t->is_model ? "a functionCall needs a name" : "only a model calls functions");
        return;
    }
    if (t->calls.len > 0)
        buf_add_char(&t->calls, ',');
    jw_init(&w, &t->calls);
    jw_open(&w, '{');
    jw_kv_text(&w, "id", p->id.p != NULL ? p->id : id_of(d, p->name, ++find_called(d, p->name)->n_calls));
    jw_kv_str(&w, "type", "function");
    jw_key(&w, "function");
    jw_open(&w, '{');
    jw_kv_text(&w, "name", p->name);
    jw_kv_text(&w, "arguments", p->args.p != NULL ? p->args : TEXT_LIT("{}"));
    jw_close(&w, '}');
    if (p->signature.p != NULL) {
        jw_key(&w, "extra_content");
        jw_open(&w, '{');
        jw_key(&w, "google");
        jw_open(&w, '{');
        jw_kv_text(&w, "thought_signature", p->signature);
        jw_close(&w, '}');
        jw_close(&w, '}');
    }
    jw_close(&w, '}');
}

static void add_response(struct decode *d, struct turn *t, const struct part *p)
{
    struct part_list parts = {.n = 0};

    if (t->is_model || p->name.p == NULL || p->response.p == NULL) {
        decode_fail(d, t->is_model ? "a model gets functionResponses, it makes none"
                                   : "a functionResponse needs name and response");
        return;
    }
    flush(d, t);
    decode_add_part(d, &parts, PART_TEXT, p->response);
    decode_add_message(d, ROLE_TOOL, &parts)->tool_call_id =
        p->id.p != NULL ? p->id : id_of(d, p->name, ++find_called(d, p->name)->n_responses);
}

static bool is_image(struct text mime)
{
    struct text head = text_cut(mime, 6);

    return text_is(head, "image/");
}

static void add_blob(struct decode *d, struct turn *t, const struct part *p)
{
    struct buf url;

    if (t->is_model || (p->mime.p != NULL && !is_image(p->mime)) || (!p->is_file && p->mime.p == NULL)) {
        decode_fail(d, "of files only images can be passed on, and only of the user's");
        return;
    }
    if (p->is_file) {
        decode_add_image(d, &t->parts, p->uri);
        return;
    }
    buf_init(&url, 0);
    buf_add_str(&url, "data:");
    text_add_plain(&url, p->mime);
    buf_add_str(&url, ";base64,");
    text_add_plain(&url, p->data);
    decode_add_image(d, &t->parts, text_slice(arena_copy(d->arena, url.p, url.len), url.len));
    buf_done(&url);
}

static void read_part(struct decode *d, void *out_turn)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("text", read_text),
        DECODE_KEY("inlineData", read_inline),
        DECODE_KEY("inline_data", read_inline),
        DECODE_KEY("fileData", read_file),
        DECODE_KEY("file_data", read_file),
        DECODE_KEY("functionCall", read_call),
        DECODE_KEY("function_call", read_call),
        DECODE_KEY("functionResponse", read_function_response),
        DECODE_KEY("function_response", read_function_response),
        DECODE_KEY("thought", read_thought),
        DECODE_KEY("thoughtSignature", read_signature),
        DECODE_KEY("thought_signature", read_signature),
    };
    static const struct decode_table table = DECODE_TABLE(keys, .hint = " of a part that tutti can pass on");
    struct turn *t = out_turn;
    struct part p = {.is_thought = false};

    decode_object(d, &table, &p);
    if (decode_has_failed(d))
        return;
    if (p.is_thought)
        return; /* not a part of the conversation */
    if (p.is_call)
        add_call(d, t, &p);
    else if (p.is_response)
        add_response(d, t, &p);
    else if (p.is_file || p.data.p != NULL)
        add_blob(d, t, &p);
    else if (p.text.p != NULL)
        decode_add_part(d, &t->parts, PART_TEXT, p.text);
    else
        decode_fail(d, "a part must be text, inlineData, fileData, functionCall or functionResponse");
}

/* --- contents --- */

static void read_role(struct decode *d, void *out)
{
    struct turn *t = out;

    decode_text(d, &t->role);
    t->is_model = text_is(t->role, "model");
    if (!decode_has_failed(d) && !t->is_model && !text_is(t->role, "user") && !text_is(t->role, "function"))
        decode_fail(d, "role must be user, model or function");
}

static void read_parts(struct decode *d, void *out_turn)
{
    if (decode_items(d, read_part, out_turn) == 0)
        decode_fail(d, "parts is empty");
    if (!decode_has_failed(d))
        flush(d, out_turn);
}

/* The role first, wherever it stands: it decides what the parts become. */
static void read_content(struct decode *d, void *unused)
{
    static const struct decode_key role_keys[] = {DECODE_KEY("role", read_role)};
    static const struct decode_table role_table = DECODE_TABLE(role_keys, .unknown = decode_pass_over);
    static const struct decode_key keys[] = {DECODE_KEY("role", decode_skip), DECODE_KEY("parts", read_parts)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct turn t = {.is_model = false};
    int before = d->messages.n;

    (void)unused;
    decode_ahead(d, &role_table, &t);
    if (decode_has_failed(d))
        return;
    buf_init(&t.calls, 0);
    decode_object(d, &table, &t);
    buf_done(&t.calls);
    if (d->messages.n == before)
        decode_fail_at(d, "parts", "parts is missing or has nothing to say");
}

static void read_contents(struct decode *d, void *unused)
{
    (void)unused;
    if (scan_peek(&d->s) == SCAN_OBJECT)
        read_content(d, NULL);
    else if (decode_items(d, read_content, NULL) == 0)
        decode_fail(d, "contents is empty");
}

/* --- systemInstruction --- */

static void read_system_part(struct decode *d, void *out_buf)
{
    static const struct decode_key keys[] = {DECODE_KEY("text", read_text)};
    static const struct decode_table table = DECODE_TABLE(keys, .hint = " of a system instruction: only text");
    struct part p = {.is_thought = false};
    struct buf *out = out_buf;

    decode_object(d, &table, &p);
    if (p.text.p == NULL || decode_has_failed(d))
        return;
    if (out->len > 0)
        buf_add_str(out, "\\n\\n");
    text_add_escaped(out, p.text);
}

static void read_system_parts(struct decode *d, void *out_buf)
{
    if (scan_peek(&d->s) == SCAN_OBJECT)
        read_system_part(d, out_buf);
    else
        decode_items(d, read_system_part, out_buf);
}

static void read_system(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {DECODE_KEY("role", decode_skip), DECODE_KEY("parts", read_system_parts)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct buf b;

    (void)unused;
    buf_init(&b, 0);
    decode_object(d, &table, &b);
    if (b.len > 0)
        d->spec->system = (struct text){.p = arena_copy(d->arena, b.p, b.len), .len = b.len, .is_escaped = true};
    buf_done(&b);
}

/* --- generationConfig --- */

/* Members without a word of ours stay one object, which Gemini's dialect merges with what we say. */
static void keep_member(struct decode *d, struct text key, void *writer)
{
    if (scan_peek(&d->s) == SCAN_NULL) {
        scan_skip(&d->s, NULL);
        return;
    }
    jw_key_text(writer, key);
    jw_raw(writer, decode_raw(d));
}

static void read_config(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {
        DECODE_PARAM("maxOutputTokens", "max_output_tokens"),
        DECODE_PARAM("max_output_tokens", "max_output_tokens"),
        DECODE_PARAM("temperature", "temperature"),
        DECODE_PARAM("topP", "top_p"),
        DECODE_PARAM("top_p", "top_p"),
        DECODE_PARAM("seed", "seed"),
        DECODE_PARAM("stopSequences", "stop"),
        DECODE_PARAM("stop_sequences", "stop"),
        DECODE_PARAM("presencePenalty", "presence_penalty"),
        DECODE_PARAM("presence_penalty", "presence_penalty"),
        DECODE_PARAM("frequencyPenalty", "frequency_penalty"),
        DECODE_PARAM("frequency_penalty", "frequency_penalty"),
        DECODE_KEY("candidateCount", decode_line_samples),
        DECODE_KEY("candidate_count", decode_line_samples),
    };
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = keep_member);
    struct json_write w;
    struct buf b;

    (void)unused;
    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '{');
    decode_object(d, &table, &w);
    jw_close(&w, '}');
    if (!decode_has_failed(d) && b.len > 2)
        decode_add_param(d, "generationConfig", text_slice(arena_copy(d->arena, b.p, b.len), b.len), d->dialect);
    buf_done(&b);
}

static void read_tool_config(struct decode *d, void *unused)
{
    (void)unused;
    decode_add_param(d, "toolConfig", decode_raw(d), d->dialect);
}

/* --- the request --- */

/* "models/gemini-2.5-flash" names gemini-2.5-flash. */
static void read_model(struct decode *d, void *unused)
{
    const char *plain;

    decode_line_model(d, unused);
    if (decode_has_failed(d))
        return;
    plain = text_decode(d->arena, d->model, NULL);
    if (strncmp(plain, "models/", 7) == 0 && plain[7] != '\0')
        d->model = text_of(plain + 7);
}

/* A spelling with underscores means the same. */
static void keep_param(struct decode *d, struct text key, void *unused)
{
    static const char *const spellings[][2] = {{"safety_settings", "safetySettings"},
                                               {"cached_content", "cachedContent"}};

    for (size_t i = 0; i < ARRAY_LEN(spellings); i++)
        if (text_is(key, spellings[i][0]))
            key = text_of(spellings[i][1]);
    decode_foreign_param(d, key, unused);
}

void decode_gemini_request(struct decode *d, void *unused)
{
    static const struct decode_key keys[] = {
        DECODE_KEY("model", read_model),
        DECODE_KEY("contents", read_contents),
        DECODE_KEY("systemInstruction", read_system),
        DECODE_KEY("system_instruction", read_system),
        DECODE_KEY("generationConfig", read_config),
        DECODE_KEY("generation_config", read_config),
        DECODE_KEY("tools", decode_gemini_tools),
        DECODE_KEY("toolConfig", read_tool_config),
        DECODE_KEY("tool_config", read_tool_config),
    };
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = keep_param);

    (void)unused;
    decode_object(d, &table, NULL);
    if (d->messages.n == 0)
        decode_fail_at(d, "contents", "contents is missing");
}
