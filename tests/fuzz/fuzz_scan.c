/* SPDX-License-Identifier: Apache-2.0 */
/* Holds the scanner against jansson: the same verdict and the same values for every input. They may differ in exactly
 * this: lone surrogates and \u0000 (jansson refuses, we repair), numbers beyond double or int64 (jansson refuses),
 * nesting beyond 64 (we refuse). A NUL byte behind a number or literal: jansson swallows it, we refuse. Duplicate keys:
 * we hand out all, jansson keeps the last, and so does this walk. Also walks by scan_skip() alone, which must come to
 * the same verdict at the same byte. One thread. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/scan.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What the walk met that excuses a difference. */
struct met {
    bool is_lone;       /* a lone surrogate or \u0000 */
    bool is_big_number; /* outside of int64 or double, or too long for scan_double() */
};

static json_t *take_value(struct scan *s, struct arena *a, struct met *met);

/* The decoded string; NULL never. Every form of the text must agree with every other. */
static json_t *string_of(struct arena *a, struct text t)
{
    struct buf b;
    struct text plain;
    json_t *string;
    size_t len;
    char *decoded = text_decode(a, t, &len);

    plain = text_slice(decoded, len);
    CHECK(text_equal(t, plain) && text_equal(plain, t) && text_is(t, decoded));
    buf_init(&b, 0);
    text_add_plain(&b, t);
    CHECK(b.len == len && (len == 0 || memcmp(b.p, decoded, len) == 0));
    buf_clear(&b);
    text_add_escaped(&b, plain);
    CHECK(text_equal(t, (struct text){.p = b.len > 0 ? b.p : "", .len = b.len, .is_escaped = true}));
    buf_done(&b);
    for (size_t max = 0; max < t.len && max < 24; max++) {
        struct text cut = text_cut(t, max);
        char *beginning = text_decode(a, cut, &len);

        CHECK(cut.len <= max && len <= plain.len && memcmp(beginning, decoded, len) == 0);
        CHECK(text_is_blank(cut) || !text_is_blank(t));
    }
    string = json_stringn(decoded, plain.len);
    CHECK(string != NULL); /* jansson checks the UTF-8 once more */
    return string;
}

static json_t *take_string(struct scan *s, struct arena *a, struct met *met)
{
    bool needs_repair = false;
    struct text t;

    if (scan_string(s, &t, &needs_repair) < 0)
        return NULL;
    if (needs_repair) {
        struct text repaired = scan_repair(a, t);
        struct scan again = {0};
        struct buf b;

        met->is_lone = true;
        CHECK(repaired.len == t.len);
        buf_init(&b, 0); /* what was repaired needs no repair */
        buf_printf(&b, "\"%.*s\"", (int)repaired.len, repaired.p);
        scan_init(&again, b.p, b.len);
        CHECK(scan_string(&again, &repaired, &needs_repair) == 0 && !needs_repair && scan_end(&again) == 0);
        buf_done(&b);
        t = scan_repair(a, t);
    }
    return string_of(a, t);
}

static bool is_integer(struct text number)
{
    for (size_t i = 0; i < number.len; i++)
        if (strchr(".eE", number.p[i]) != NULL)
            return false;
    return true;
}

static json_t *take_number(struct scan *s, struct met *met)
{
    struct scan as_integer = *s;
    struct scan as_real = *s;
    struct text number;
    int64_t integer = 0;
    double real = 0;
    int r = scan_skip(s, &number);

    CHECK((scan_int(&as_integer, &integer) == 0) == (r == 0 && is_integer(number) && as_integer.error == 0));
    CHECK((scan_double(&as_real, &real) == 0) <= (r == 0));
    if (r < 0) {
        CHECK(as_integer.error == r && as_real.error == r);
        return NULL;
    }
    if (as_integer.error == 0)
        return json_integer(integer);
    CHECK(as_integer.error == -ENOMSG);
    met->is_big_number |= is_integer(number) || as_real.error != 0;
    return json_real(as_real.error == 0 ? real : 0.0);
}

static json_t *take_object(struct scan *s, struct arena *a, struct met *met)
{
    json_t *object = json_object();
    struct text key;

    (void)scan_enter_object(s);
    while (scan_next_key(s, &key)) {
        bool needs_repair = false;
        struct scan again;
        json_t *value;
        size_t len;
        char *name;

        scan_init(&again, key.p - 1, key.len + 2);
        CHECK(scan_string(&again, &key, &needs_repair) == 0 && scan_end(&again) == 0);
        met->is_lone |= needs_repair;
        name = text_decode(a, key, &len);
        value = take_value(s, a, met);
        if (value == NULL)
            break;
        CHECK(json_object_set_new(object, name, value) == 0);
    }
    return object;
}

static json_t *take_array(struct scan *s, struct arena *a, struct met *met)
{
    json_t *array = json_array();

    (void)scan_enter_array(s);
    while (scan_next_item(s)) {
        json_t *value = take_value(s, a, met);

        if (value == NULL)
            break;
        CHECK(json_array_append_new(array, value) == 0);
    }
    return array;
}

/* The next value as jansson would make it, NULL on an error. Containers come back even then: their owner goes on to
 * s->error. */
static json_t *take_value(struct scan *s, struct arena *a, struct met *met)
{
    bool is_true;

    switch (scan_peek(s)) {
    case SCAN_OBJECT:
        return take_object(s, a, met);
    case SCAN_ARRAY:
        return take_array(s, a, met);
    case SCAN_STRING:
        return take_string(s, a, met);
    case SCAN_NUMBER:
        return take_number(s, met);
    case SCAN_TRUE:
    case SCAN_FALSE:
        return scan_bool(s, &is_true) == 0 ? json_boolean(is_true) : NULL;
    case SCAN_NULL:
        return scan_skip(s, NULL) == 0 ? json_null() : NULL;
    default:
        return NULL;
    }
}

/* scan_skip() alone must come to the same verdict, and give the value's bytes. */
static void check_skip(const char *json, size_t len, const struct scan *walked)
{
    struct text whole = TEXT_NONE;
    struct scan s;

    scan_init(&s, json, len);
    if (scan_skip(&s, &whole) == 0) {
        struct scan again;

        scan_init(&again, whole.p, whole.len);
        CHECK(scan_skip(&again, &whole) == 0 && scan_end(&again) == 0 &&
              whole.len == (size_t)(again.end - again.begin));
    }
    (void)scan_end(&s);
    CHECK(s.error == walked->error && s.error_at == walked->error_at);
    CHECK((s.error == 0) == (s.why == NULL) && s.error_at <= len);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const char *json = len > 0 ? (const char *)bytes : "";
    struct arena *a = arena_new(4096);
    struct met met = {0};
    json_error_t why;
    struct scan s;
    json_t *ours;
    json_t *theirs;

    scan_init(&s, json, len);
    ours = take_value(&s, a, &met);
    (void)scan_end(&s);
    check_skip(json, len, &s);
    theirs = json_loadb(json, len, JSON_DECODE_ANY, &why);
    if (s.error == 0 && theirs == NULL && !met.is_lone && !met.is_big_number) {
        (void)fprintf(stderr, "we accept, jansson: %s\n", why.text);
        abort();
    }
    if (s.error != 0 && s.error != -E2BIG && theirs != NULL && (s.error_at == len || json[s.error_at] != '\0')) {
        (void)fprintf(stderr, "jansson accepts, we: %s at %zu\n", s.why, s.error_at);
        abort();
    }
    if (s.error == 0 && theirs != NULL && !met.is_lone && !met.is_big_number)
        CHECK(json_equal(ours, theirs));
    json_decref(ours);
    json_decref(theirs);
    arena_free(a);
    return 0;
}
