/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's form of an outcome: one compact JSON object in which everything unknown is left out, so that what comes
 * back is what went in. A key unknown to this build is passed over (written by a newer one); anything else unexpected
 * makes the whole entry "not ours", which costs one more call. No state; any thread. */
#include "core/outcome.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/scan.h"

enum { FORM_VERSION = 1 };

struct field {
    const char *key;
    size_t offset;
};

#define FIELD(name) \
    { \
#name, offsetof(struct outcome, name) \
    }
/* int64_t: written when it differs from what outcome_init() gives */
static const struct field ints[] = {
    FIELD(retry_after_us),
    {"input_tokens", offsetof(struct outcome, usage.input_tokens)},
    {"output_tokens", offsetof(struct outcome, usage.output_tokens)},
    {"cached_input_tokens", offsetof(struct outcome, usage.cached_input_tokens)},
    {"reasoning_tokens", offsetof(struct outcome, usage.reasoning_tokens)},
    FIELD(cost_nusd),
    FIELD(fallback_index),
    FIELD(started_ms),
    FIELD(ended_ms),
    FIELD(queue_us),
    FIELD(throttle_us),
    FIELD(reserved_tokens),
    FIELD(connect_us),
    FIELD(ttft_us),
    FIELD(duration_us),
    FIELD(bytes_out),
    FIELD(bytes_in),
};
/* bool: written when true */
static const struct field bools[] = {FIELD(is_ambiguous), FIELD(was_sent), FIELD(usage_estimated)};
/* struct text, JSON strings */
static const struct field texts[] = {FIELD(answer),     FIELD(refusal),    FIELD(reasoning),     FIELD(response_model),
                                     FIELD(request_id), FIELD(raw_finish), FIELD(request_model), FIELD(served_model)};
/* const char *: closed words, and the id of a key */
static const struct field words[] = {FIELD(detail), FIELD(throttle_reason), FIELD(key_id), FIELD(breaker_state)};
#undef FIELD

static void *at(void *base, const struct field *f)
{
    return (char *)base + f->offset;
}

static const void *at_const(const void *base, const struct field *f)
{
    return (const char *)base + f->offset;
}

static const struct field *field_of(const struct field *fields, size_t n, struct text key)
{
    for (size_t i = 0; i < n; i++)
        if (text_is(key, fields[i].key))
            return &fields[i];
    return NULL;
}

void outcome_encode(const struct outcome *o, struct buf *out)
{
    struct outcome blank;
    struct json_write w;

    outcome_init(&blank);
    jw_init(&w, out);
    jw_open(&w, '{');
    jw_kv_int(&w, "v", FORM_VERSION);
    if (o->fault != FAULT_NONE)
        jw_kv_str(&w, "fault", fault_code(o->fault));
    if (o->finish != FINISH_UNKNOWN)
        jw_kv_str(&w, "finish", finish_name(o->finish));
    if (o->http_status != 0)
        jw_kv_int(&w, "status", o->http_status);
    if (o->hint != RETRY_HINT_NONE)
        jw_kv_bool(&w, "should_retry", o->hint == RETRY_HINT_YES);
    if (o->why[0] != '\0')
        jw_kv_str(&w, "why", o->why);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        const char *word = *(const char *const *)at_const(o, &words[i]);

        if (word != NULL)
            jw_kv_str(&w, words[i].key, word);
    }
    for (size_t i = 0; i < ARRAY_LEN(ints); i++) {
        int64_t v = *(const int64_t *)at_const(o, &ints[i]);

        if (v != *(const int64_t *)at_const(&blank, &ints[i]))
            jw_kv_int(&w, ints[i].key, v);
    }
    for (size_t i = 0; i < ARRAY_LEN(bools); i++)
        if (*(const bool *)at_const(o, &bools[i]))
            jw_kv_bool(&w, bools[i].key, true);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct text *t = at_const(o, &texts[i]);

        if (t->p != NULL)
            jw_kv_text(&w, texts[i].key, *t);
    }
    if (o->tool_calls.p != NULL)
        jw_kv_raw(&w, "tool_calls", o->tool_calls);
    jw_close(&w, '}');
}

/* The keys whose value is a word of ours. */
static int decode_name(struct scan *s, struct outcome *o, struct arena *a, struct text key)
{
    struct text t;
    char *word;

    if (scan_string(s, &t, NULL) < 0)
        return s->error;
    word = text_decode(a, t, NULL);
    if (text_is(key, "fault"))
        return fault_parse(word, &o->fault) < 0 ? scan_fail(s, -EINVAL, "unknown fault") : 0;
    for (int f = FINISH_UNKNOWN + 1; f < FINISH_MAX; f++)
        if (strcmp(word, finish_name((enum finish)f)) == 0) {
            o->finish = (enum finish)f;
            return 0;
        }
    return scan_fail(s, -EINVAL, "unknown finish");
}

static int decode_why(struct scan *s, struct outcome *o, struct arena *a)
{
    struct text t;
    char *plain;
    size_t len;

    if (scan_string(s, &t, NULL) < 0)
        return s->error;
    plain = text_decode(a, t, &len);
    t = text_cut(text_slice(plain, len), sizeof(o->why) - 1); /* a stray byte came back as the three of U+FFFD */
    memcpy(o->why, t.p, t.len);
    o->why[t.len] = '\0';
    return 0;
}

/* The keys that are no row of a table. 1: not one of them. */
static int decode_special(struct scan *s, struct outcome *o, struct arena *a, struct text key, int64_t *version)
{
    int64_t status;
    bool yes;
    struct text raw;

    if (text_is(key, "v"))
        return scan_int(s, version);
    if (text_is(key, "fault") || text_is(key, "finish"))
        return decode_name(s, o, a, key);
    if (text_is(key, "why"))
        return decode_why(s, o, a);
    if (text_is(key, "status")) {
        if (scan_int(s, &status) == 0)
            o->http_status = (int)status;
        return s->error;
    }
    if (text_is(key, "should_retry")) {
        if (scan_bool(s, &yes) == 0)
            o->hint = yes ? RETRY_HINT_YES : RETRY_HINT_NO;
        return s->error;
    }
    if (text_is(key, "tool_calls")) {
        if (scan_peek(s) != SCAN_ARRAY)
            return scan_fail(s, -EINVAL, "tool_calls is no array");
        if (scan_skip(s, &raw) == 0)
            o->tool_calls = text_copy(a, raw);
        return s->error;
    }
    return 1;
}

/* The keys that are rows of a table. 1: not one of them. */
static int decode_field(struct scan *s, struct outcome *o, struct arena *a, struct text key)
{
    const struct field *f;
    struct text t;

    f = field_of(ints, ARRAY_LEN(ints), key);
    if (f != NULL)
        return scan_int(s, at(o, f));
    f = field_of(bools, ARRAY_LEN(bools), key);
    if (f != NULL)
        return scan_bool(s, at(o, f));
    f = field_of(texts, ARRAY_LEN(texts), key);
    if (f != NULL) {
        bool is_plain = f->offset == offsetof(struct outcome, request_id);

        if (scan_text(s, a, &t) == 0)
            *(struct text *)at(o, f) = is_plain ? text_of(text_decode(a, t, NULL)) : text_copy(a, t);
        return s->error;
    }
    f = field_of(words, ARRAY_LEN(words), key);
    if (f != NULL) {
        if (scan_string(s, &t, NULL) < 0)
            return s->error;
        *(const char **)at(o, f) = text_decode(a, t, NULL);
        return 0;
    }
    return 1;
}

int outcome_decode(struct outcome *o, struct arena *a, const char *bytes, unsigned long len)
{
    struct outcome read;
    struct text key;
    struct scan s;
    int64_t version = 0;

    outcome_init(&read);
    scan_init(&s, bytes, len);
    if (scan_enter_object(&s) == 0)
        while (scan_next_key(&s, &key)) {
            int r = decode_special(&s, &read, a, key, &version);

            if (r == 1)
                r = decode_field(&s, &read, a, key);
            if (r == 1)
                (void)scan_skip(&s, NULL); /* the error stays in the scan */
        }
    if (scan_end(&s) < 0 || version != FORM_VERSION)
        return -EINVAL;
    read.is_recalled = true;
    *o = read;
    return 0;
}
