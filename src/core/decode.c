/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes and checks a job record: one table of keys, an error with a JSON Pointer for everything that is wrong.
 * Nothing is accepted and ignored: that would spend money on the wrong thing. Pure but for the arena. source: CONTRACTS
 * 3, 7 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "base/scan.h"
#include "core/decode.h"
#include "core/registry.h"

enum { PREFIX_BYTES = 5, POINTER_KEY_BYTES = 100, MESSAGE_WORD_BYTES = 60, SHORT_BYTES = 200 };

static int fail(struct decode *d, const char *code, const char *pointer, const char *message)
{
    struct job_error *e = d->err;

    if (e->code != NULL)
        return -EINVAL; /* the first one stands */
    e->code = code;
    e->stage = "decode";
    snprintf(e->pointer, sizeof(e->pointer), "%s", pointer);
    snprintf(e->message, sizeof(e->message), "%s", message);
    return -EINVAL;
}

int decode_fail(struct decode *d, const char *pointer, const char *message)
{
    return fail(d, "invalid_job", pointer, message);
}

/* "/models/3": one level below the key is as deep as pointers go here. */
static int fail_at(struct decode *d, const char *key, int index, const char *message)
{
    char pointer[128];

    snprintf(pointer, sizeof(pointer), "/%s/%d", key, index);
    return decode_fail(d, pointer, message);
}

const char *decode_word(struct decode *d, struct text t, size_t max_bytes)
{
    size_t len;
    char *plain = text_decode(d->arena, t, &len);

    len = text_cut(text_slice(plain, len), max_bytes).len;
    plain[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)plain[i] < 0x20 || plain[i] == 0x7f)
            plain[i] = '?';
    return plain;
}

const char *decode_pointer(struct decode *d, const char *parent, struct text key)
{
    const char *word = decode_word(d, key, POINTER_KEY_BYTES);
    size_t n = strlen(parent);
    char *pointer = arena_alloc(d->arena, n + 2 * strlen(word) + 2);

    memcpy(pointer, parent, n);
    pointer[n++] = '/';
    for (const char *p = word; *p != '\0'; p++) {
        bool is_special = *p == '~' || *p == '/';

        if (is_special)
            pointer[n++] = '~';
        pointer[n++] = (char)(!is_special ? *p : *p == '~' ? '0' : '1');
    }
    pointer[n] = '\0';
    return pointer;
}

void decode_fail_word(struct decode *d, const char *pointer, const char *what, struct text word,
                      const char *const *words, size_t n, const char *hint)
{
    const char *shown = decode_word(d, word, MESSAGE_WORD_BYTES);
    const char *nearest = names_nearest(text_decode(d->arena, word, NULL), words, n);
    char message[256];

    snprintf(message, sizeof(message), "%s '%s'%s%s%s%s", what, shown, nearest != NULL ? " (did you mean '" : "",
             nearest != NULL ? nearest : "", nearest != NULL ? "'?)" : "", hint);
    decode_fail(d, pointer, message);
}

bool decode_is(struct decode *d, enum scan_type type, const char *pointer, const char *message)
{
    if (scan_peek(&d->s) == type)
        return true;
    decode_fail(d, pointer, message);
    return false;
}

static bool is_id_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._:/@-", c) != NULL);
}

static bool is_job_id(const char *s, size_t n)
{
    if (n < 1 || n > 200)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_id_char(s[i]))
            return false;
    return true;
}

static void read_job_id(struct decode *d)
{
    struct text t = TEXT_NONE;
    size_t len;
    char *id;

    if (!decode_is(d, SCAN_STRING, "/job_id", "job_id must be a string"))
        return;
    scan_text(&d->s, d->arena, &t);
    id = text_decode(d->arena, t, &len);
    if (id != NULL && is_job_id(id, len))
        d->spec->job_id = id; /* else the dead letter names the default one: this one may be of any size */
    else
        decode_fail(d, "/job_id", "job_id must be 1 to 200 characters of A-Z a-z 0-9 . _ : / @ -");
}

static int64_t read_int(struct decode *d, const char *pointer, int64_t min, int64_t max, const char *message)
{
    int64_t v = -1;

    if (scan_peek(&d->s) != SCAN_NUMBER || scan_int(&d->s, &v) < 0 || v < min || v > max)
        decode_fail(d, pointer, message);
    return v;
}

static void read_run(struct decode *d)
{
    d->spec->run = read_int(d, "/run", 0, INT32_MAX, "run must be an integer from 0 on");
}

static void read_version(struct decode *d)
{
    int64_t v = read_int(d, "/schema_version", 1, INT32_MAX, "schema_version must be an integer from 1 on");

    if (v > 1)
        fail(d, "unsupported_version", "/schema_version",
             "this tutti knows schema_version 1; a newer one is needed for this job");
}

static void read_prompt(struct decode *d)
{
    if (!decode_is(d, SCAN_STRING, "/prompt", "prompt must be a string"))
        return;
    scan_text(&d->s, d->arena, &d->spec->prompt);
    if (text_is_blank(d->spec->prompt))
        decode_fail(d, "/prompt", "prompt is empty");
}

static void read_models(struct decode *d)
{
    struct job_spec *spec = d->spec;

    if (!decode_is(d, SCAN_ARRAY, "/models", "models must be an array of names"))
        return;
    scan_enter_array(&d->s);
    while (d->err->code == NULL && scan_next_item(&d->s)) {
        int i = spec->n_models;

        if (i == JOB_MODELS_MAX) {
            fail_at(d, "models", i, "more than 64 models");
        } else if (scan_peek(&d->s) != SCAN_STRING) {
            fail_at(d, "models", i, "a model must be given by its name, a string");
        } else {
            scan_text(&d->s, d->arena, &spec->models[i]);
            if (text_is_blank(spec->models[i]))
                fail_at(d, "models", i, "the model's name is empty");
            spec->n_models++;
        }
    }
    if (d->err->code == NULL && spec->n_models == 0)
        decode_fail(d, "/models", "models is empty; leave it out for jobs.default_models");
}

static void read_deadline(struct decode *d)
{
    d->spec->deadline_ms =
        read_int(d, "/deadline_ms", 1, INT64_C(1) << 40, "deadline_ms must be a positive integer, in milliseconds");
}

static void read_quorum(struct decode *d)
{
    d->spec->quorum = (int)read_int(d, "/quorum", 1, JOB_MODELS_MAX, "quorum must be an integer from 1 to 64");
}

static void read_short_string(struct decode *d, const char *key, struct text *out)
{
    char pointer[64];
    size_t len;

    snprintf(pointer, sizeof(pointer), "/%s", key);
    if (!decode_is(d, SCAN_STRING, pointer, "must be a string of 1 to 200 bytes"))
        return;
    scan_text(&d->s, d->arena, out);
    text_decode(d->arena, *out, &len); /* its escapes do not count */
    if (len < 1 || len > SHORT_BYTES)
        decode_fail(d, pointer, "must be a string of 1 to 200 bytes");
}

static void read_batch_id(struct decode *d)
{
    read_short_string(d, "batch_id", &d->spec->batch_id);
}

static void read_custom_id(struct decode *d)
{
    read_short_string(d, "custom_id", &d->spec->custom_id);
}

/* An open map as it will stand in the records: on one line, and readable by everyone (no lone surrogates, no NULs). */
static struct text echo(struct decode *d, struct text raw)
{
    char *p = arena_alloc(d->arena, raw.len);
    bool is_string = false, has_escape = false;
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.p[i];

        if (is_string && c == '\\') { /* checked: another byte follows */
            has_escape = true;
            p[n++] = c;
            c = raw.p[++i];
        } else if (c == '"') {
            is_string = !is_string;
        } else if (!is_string && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
            continue;
        }
        p[n++] = c;
    }
    if (has_escape)
        p = (char *)scan_repair(d->arena, (struct text){.p = p, .len = n, .is_escaped = true}).p;
    return text_slice(p, n);
}

static void read_labels(struct decode *d)
{
    struct text key;
    const char *begin;

    if (!decode_is(d, SCAN_OBJECT, "/labels", "labels must be an object of strings"))
        return;
    begin = d->s.p;
    scan_enter_object(&d->s);
    while (d->err->code == NULL && scan_next_key(&d->s, &key)) {
        struct text value;

        if (scan_peek(&d->s) == SCAN_STRING)
            scan_string(&d->s, &value, NULL);
        else
            decode_fail(d, decode_pointer(d, "/labels", key), "a label must be a string");
    }
    d->spec->labels = echo(d, text_slice(begin, (size_t)(d->s.p - begin)));
}

static void read_metadata(struct decode *d)
{
    struct text raw;

    if (decode_is(d, SCAN_OBJECT, "/metadata", "metadata must be an object") && scan_skip(&d->s, &raw) == 0)
        d->spec->metadata = echo(d, raw);
}

/* The keys served now. A key of the contract that is not here yet is unknown: it is never half-served. */
static const struct job_key {
    const char *name;
    void (*read)(struct decode *d);
} keys[] = {
    {"job_id", read_job_id},          {"run", read_run},
    {"schema_version", read_version}, {"prompt", read_prompt},
    {"models", read_models},          {"merge", decode_merge},
    {"params", decode_params},        {"deadline_ms", read_deadline},
    {"quorum", read_quorum},          {"batch_id", read_batch_id},
    {"custom_id", read_custom_id},    {"labels", read_labels},
    {"metadata", read_metadata},
};

static void fail_unknown(struct decode *d, struct text key)
{
    const char *words[ARRAY_LEN(keys)];

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        words[i] = keys[i].name;
    decode_fail_word(d, decode_pointer(d, "", key), "unknown key", key, words, ARRAY_LEN(words),
                     "; free data goes into labels or metadata");
}

static void read_key(struct decode *d, struct text key, unsigned *seen)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char pointer[64];

        if (!text_is(key, keys[i].name))
            continue;
        snprintf(pointer, sizeof(pointer), "/%s", keys[i].name);
        if (*seen & 1U << i)
            decode_fail(d, pointer, "the key is given twice");
        *seen |= 1U << i;
        keys[i].read(d);
        return;
    }
    fail_unknown(d, key);
}

/* Is it one JSON document at all? `skipped` bytes of the record stand before it. */
static int check_syntax(struct decode *d, const char *value, size_t len, size_t skipped)
{
    char pointer[32];
    bool is_utf8;

    scan_init(&d->s, value, len);
    scan_skip(&d->s, NULL);
    if (scan_end(&d->s) == 0)
        return 0;
    is_utf8 = d->s.error != -EILSEQ;
    snprintf(pointer, sizeof(pointer), "%zu", d->s.error_at + skipped);
    return fail(d, is_utf8 ? "not_json" : "not_utf8", pointer, d->s.why);
}

static void default_job_id(struct job *j, struct job_spec *spec)
{
    spec->has_own_id = spec->job_id != NULL;
    if (spec->has_own_id)
        return;
    for (int i = 0; i < j->n_headers; i++)
        if (strcmp(j->headers[i].name, "ce_id") == 0 && j->headers[i].value != NULL) {
            if (!is_job_id(j->headers[i].value, j->headers[i].value_len))
                continue;
            spec->job_id = arena_copy(j->arena, j->headers[i].value, j->headers[i].value_len);
            spec->has_own_id = true;
            return;
        }
    if (spec->batch_id.p != NULL && spec->custom_id.p != NULL) {
        spec->job_id = arena_printf(j->arena, "%s/%s", text_decode(j->arena, spec->batch_id, NULL),
                                    text_decode(j->arena, spec->custom_id, NULL));
        spec->has_own_id = is_job_id(spec->job_id, strlen(spec->job_id));
        if (spec->has_own_id)
            return;
    }
    spec->job_id = arena_printf(j->arena, "%s/%d/%lld", j->pos.topic, j->pos.partition, (long long)j->pos.offset);
}

/* What only the whole can tell. */
static void check_whole(struct decode *d)
{
    struct job_spec *spec = d->spec;
    int n = spec->n_models > 0 ? spec->n_models : (int)d->job->env->registry->n_default_models;

    if (spec->prompt.p == NULL)
        decode_fail(d, "/prompt", "prompt is missing");
    else if (n == 0)
        decode_fail(d, "/models", "models is missing and jobs.default_models is empty");
    else if (n > JOB_MODELS_MAX)
        decode_fail(d, "/models", "models is missing and jobs.default_models has more than 64");
    else if (spec->quorum > n)
        decode_fail(d, "/quorum", "quorum is larger than the number of models asked");
    if (spec->merge == NULL)
        spec->merge = decode_find_merge(d->job->env, n == 1 ? "none" : "concat");
}

/* The record's JSON, known to be one document; fails when it is none. */
static int find_document(struct decode *d, const char **out_value, size_t *out_len)
{
    const char *value = d->job->value;
    size_t len = d->job->value_len, skipped = 0;

    if (len > d->job->env->max_bytes)
        return fail(d, "too_large", "", "the record is larger than jobs.max_bytes");
    if (len >= PREFIX_BYTES && value[0] == '\0') { /* Schema Registry: a magic byte and the schema's id */
        skipped = PREFIX_BYTES;
        metric_add(METRIC_SCHEMA_PREFIXES, 1);
    }
    if (len == skipped)
        return fail(d, "empty_value", "", "the record has no value");
    *out_value = value + skipped;
    *out_len = len - skipped;
    return check_syntax(d, *out_value, *out_len, skipped);
}

static void read_keys(struct decode *d)
{
    struct text key;
    unsigned seen = 0;

    if (!decode_is(d, SCAN_OBJECT, "", "a job must be a JSON object"))
        return;
    scan_enter_object(&d->s);
    while (d->err->code == NULL && scan_next_key(&d->s, &key))
        read_key(d, key, &seen);
    if (d->err->code == NULL)
        check_whole(d);
}

int job_decode(struct job *j, struct job_error *err)
{
    struct decode d = {.job = j, .arena = j->arena, .spec = &j->spec, .err = err};
    const char *value = NULL;
    size_t len = 0;

    memset(&j->spec, 0, sizeof(j->spec));
    memset(err, 0, sizeof(*err));
    j->spec.max_output_tokens = j->spec.deadline_ms = -1;
    j->spec.quorum = -1;
    if (find_document(&d, &value, &len) == 0) {
        scan_init(&d.s, value, len);
        read_keys(&d);
    }
    default_job_id(j, &j->spec);
    return err->code == NULL ? 0 : -EINVAL;
}
