/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes and checks a job record: which of the shapes it has, the tables of keys, what only the whole can tell, and an
 * error with a JSON Pointer for everything that is wrong. Nothing is accepted and ignored: that would spend money on
 * the wrong thing. Pure but for the arena. source: CONTRACTS 3, 7 */
#include "core/decode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/metrics.h"

enum { PREFIX_BYTES = 5 };

/* What the walk that checks the syntax sees of the document's own keys. */
struct outline {
    bool has_prompt, has_messages, has_line, has_request;
    struct text params, url, vars; /* raw values; TEXT_NONE */
};

/* --- keys --- */

static void read_system(struct decode *d, void *unused)
{
    (void)unused;
    decode_system(d, &d->spec->system);
}

static void read_params(struct decode *d, void *unused)
{
    (void)unused;
    decode_params(d, &d->params);
}

static void read_batch_id(struct decode *d, void *unused)
{
    (void)unused;
    decode_short(d, &d->spec->batch_id);
}

static void read_custom_id(struct decode *d, void *unused)
{
    (void)unused;
    if (d->spec->custom_id.p != NULL)
        decode_fail(d, "custom_id and key say the same twice");
    decode_short(d, &d->spec->custom_id);
}

static void read_tenant(struct decode *d, void *unused)
{
    (void)unused;
    decode_short(d, &d->spec->tenant);
}

static void check_method(struct decode *d, void *unused)
{
    struct text method = TEXT_NONE;

    (void)unused;
    decode_text(d, &method);
    if (!decode_has_failed(d) && !text_is(method, "POST"))
        decode_fail(d, "method must be POST");
}

/* The keys served now; those of the contract that are not here yet are unknown: none is half-served. What says nothing
 * of the input stands in batch lines too. */
#define KEYS_OF_ALL \
    DECODE_KEY("job_id", decode_job_id), DECODE_KEY("run", decode_run), DECODE_KEY("schema_version", decode_version), \
        DECODE_KEY("models", decode_models), DECODE_KEY("merge", decode_merge), \
        DECODE_KEY("deadline_ms", decode_deadline), DECODE_KEY("quorum", decode_quorum), \
        DECODE_KEY("detail", decode_detail), DECODE_KEY("output_format", decode_output_format), \
        DECODE_KEY("batch_id", read_batch_id), DECODE_KEY("custom_id", read_custom_id), \
        DECODE_KEY("tenant", read_tenant), DECODE_KEY("labels", decode_labels), \
        DECODE_KEY("metadata", decode_metadata)

static const char hint[] = "; free data goes into labels or metadata";

static const struct decode_key job_keys[] = {
    KEYS_OF_ALL,
    DECODE_KEY("prompt", decode_prompt),
    DECODE_KEY("messages", decode_messages),
    DECODE_KEY("system", read_system),
    DECODE_KEY("attachments", decode_attachments),
    DECODE_KEY("tools", decode_tools),
    DECODE_KEY("tool_choice", decode_tool_choice),
    DECODE_KEY("vars", decode_skip), /* read before the others */
    DECODE_KEY("params", read_params),
};
static const struct decode_table job_table = DECODE_TABLE(job_keys, .hint = hint);

static const struct decode_key chat_keys[] = {KEYS_OF_ALL, DECODE_KEY("method", check_method),
                                              DECODE_KEY("url", decode_skip), DECODE_KEY("body", decode_openai_body)};
static const struct decode_table chat_table = DECODE_TABLE(chat_keys, .hint = hint);

static const struct decode_key responses_keys[] = {KEYS_OF_ALL, DECODE_KEY("method", check_method),
                                                   DECODE_KEY("url", decode_skip),
                                                   DECODE_KEY("body", decode_responses_body)};
static const struct decode_table responses_table = DECODE_TABLE(responses_keys, .hint = hint);

static const struct decode_key anthropic_keys[] = {KEYS_OF_ALL, DECODE_KEY("params", decode_anthropic_params)};
static const struct decode_table anthropic_table = DECODE_TABLE(anthropic_keys, .hint = hint);

static const struct decode_key gemini_keys[] = {KEYS_OF_ALL, DECODE_KEY("key", read_custom_id),
                                                DECODE_KEY("request", decode_gemini_request)};
static const struct decode_table gemini_table = DECODE_TABLE(gemini_keys, .hint = hint);

/* --- shapes --- */

static void note_key(struct outline *o, struct text key, struct text value)
{
    o->has_prompt |= text_is(key, "prompt");
    o->has_messages |= text_is(key, "messages");
    o->has_line |= text_is(key, "body") || text_is(key, "url") || text_is(key, "method");
    o->has_request |= text_is(key, "request");
    if (text_is(key, "params"))
        o->params = value;
    else if (text_is(key, "url"))
        o->url = value;
    else if (text_is(key, "vars"))
        o->vars = value;
}

/* Is it one JSON document at all? `skipped` bytes of the record stand before it. */
static void check_syntax(struct decode *d, struct text bytes, size_t skipped, struct outline *o)
{
    struct job_error *e = d->err;
    struct text key, value;

    scan_init(&d->s, bytes.p, bytes.len);
    if (scan_peek(&d->s) == SCAN_OBJECT) {
        scan_enter_object(&d->s);
        while (scan_next_key(&d->s, &key))
            if (scan_skip(&d->s, &value) == 0)
                note_key(o, key, value);
    } else {
        scan_skip(&d->s, NULL);
    }
    if (scan_end(&d->s) == 0)
        return;
    decode_fail_code(d, d->s.error != -EILSEQ ? "not_json" : "not_utf8", d->s.why);
    snprintf(e->pointer, sizeof(e->pointer), "%zu", d->s.error_at + skipped);
}

/* Are these the params of a message, and not those of a job without its prompt? */
static bool has_messages(struct text params)
{
    struct scan s;
    struct text key;

    scan_init(&s, params.p, params.len);
    if (params.p == NULL || scan_peek(&s) != SCAN_OBJECT)
        return false;
    scan_enter_object(&s);
    while (scan_next_key(&s, &key)) {
        if (text_is(key, "messages"))
            return true;
        scan_skip(&s, NULL);
    }
    return false;
}

/* The batch API that the line is for, by the end of its url (some files carry the host). */
static const struct decode_table *table_of_url(struct decode *d, struct text raw)
{
    static const struct {
        const char *path;
        const struct decode_table *table;
    } urls[] = {{"/v1/chat/completions", &chat_table}, {"/v1/responses", &responses_table}};
    struct text url = TEXT_NONE;
    struct scan s;
    const char *plain;

    scan_init(&s, raw.p, raw.len);
    if (raw.p != NULL && scan_peek(&s) == SCAN_STRING)
        scan_text(&s, d->arena, &url);
    plain = url.p != NULL ? text_decode(d->arena, url, NULL) : "";
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        size_t n = strlen(plain), m = strlen(urls[i].path);

        if (n >= m && strcmp(plain + n - m, urls[i].path) == 0)
            return urls[i].table;
    }
    decode_fail_at(d, "url", raw.p == NULL ? "url is missing" : "url must be /v1/chat/completions or /v1/responses");
    return &chat_table;
}

static const struct decode_table *choose_table(struct decode *d, const struct outline *o)
{
    if (o->has_prompt || o->has_messages)
        return &job_table;
    if (o->has_line) {
        d->dialect = "openai";
        return table_of_url(d, o->url);
    }
    if (o->has_request) {
        d->dialect = "gemini";
        return &gemini_table;
    }
    if (!has_messages(o->params))
        return &job_table;
    d->dialect = "anthropic";
    return &anthropic_table;
}

/* The record's JSON, known to be one document; fails when it is none. */
static struct text find_document(struct decode *d, struct outline *o)
{
    const char *value = d->job->value;
    size_t len = d->job->value_len, skipped = 0;
    struct text bytes;

    if (len > d->job->env->max_bytes) {
        decode_fail_code(d, "too_large", "the record is larger than jobs.max_bytes");
        return TEXT_NONE;
    }
    if (len >= PREFIX_BYTES && value[0] == '\0') { /* Schema Registry: a magic byte and the schema's id */
        skipped = PREFIX_BYTES;
        metric_add(METRIC_SCHEMA_PREFIXES, 1);
    }
    if (len == skipped) {
        decode_fail_code(d, "empty_value", "the record has no value");
        return TEXT_NONE;
    }
    bytes = text_slice(value + skipped, len - skipped);
    check_syntax(d, bytes, skipped, o);
    return bytes;
}

static void default_job_id(struct job *j, struct job_spec *spec)
{
    char a[BUF_I64_BYTES], b[BUF_I64_BYTES];

    spec->has_own_id = spec->job_id != NULL;
    if (spec->has_own_id)
        return;
    for (int i = 0; i < j->n_headers; i++)
        if (strcmp(j->headers[i].name, "ce_id") == 0 && j->headers[i].value != NULL) {
            if (!decode_is_job_id(j->headers[i].value, j->headers[i].value_len))
                continue;
            spec->job_id = arena_copy(j->arena, j->headers[i].value, j->headers[i].value_len);
            spec->has_own_id = true;
            return;
        }
    if (spec->batch_id.p != NULL && spec->custom_id.p != NULL) {
        spec->job_id = arena_printf(j->arena, "%s/%s", text_decode(j->arena, spec->batch_id, NULL),
                                    text_decode(j->arena, spec->custom_id, NULL));
        spec->has_own_id = decode_is_job_id(spec->job_id, strlen(spec->job_id));
        if (spec->has_own_id)
            return;
    }
    spec->job_id =
        arena_join(j->arena, j->pos.topic, "/", buf_i64(a, j->pos.partition), "/", buf_i64(b, j->pos.offset), NULL);
}

static void read_document(struct decode *d, struct text bytes, const struct outline *o)
{
    const struct decode_table *table;

    scan_init(&d->s, bytes.p, bytes.len);
    if (!decode_is(d, SCAN_OBJECT, "a job must be a JSON object"))
        return;
    table = choose_table(d, o);
    if (table == &job_table && o->vars.p != NULL)
        decode_vars(d, o->vars);
    if (!decode_has_failed(d))
        decode_object(d, table, NULL);
    if (!decode_has_failed(d) && d->messages.n == 0 && d->prompt.p == NULL)
        decode_fail_at(d,
                       d->dialect == NULL     ? "prompt"
                       : d->dialect[0] == 'g' ? "request"
                                              : "body",
                       "the input is missing: prompt, or messages");
    decode_finish_messages(d);
    decode_finish_models(d);
    d->spec->params = d->params.items;
    d->spec->n_params = d->params.n;
    d->spec->max_output_tokens = d->params.max_output_tokens;
}

int job_decode(struct job *j, struct job_error *err)
{
    struct decode d = {.job = j, .arena = j->arena, .spec = &j->spec, .err = err, .samples = 1};
    struct outline o = {.params = TEXT_NONE};
    struct text bytes;

    memset(&j->spec, 0, sizeof(j->spec));
    memset(err, 0, sizeof(*err));
    j->spec.deadline_ms = -1;
    j->spec.quorum = -1;
    d.params.max_output_tokens = j->spec.max_output_tokens = -1;
    bytes = find_document(&d, &o);
    if (!decode_has_failed(&d))
        read_document(&d, bytes, &o);
    default_job_id(j, &j->spec);
    return err->code == NULL ? 0 : -EINVAL;
}
