/* SPDX-License-Identifier: Apache-2.0 */
/* The strict JSON scanner: walks a document once, checks everything it passes, hands out slices of it. Never allocates
 * (scan_repair() and scan_text() use the caller's arena), never recurses, never reads beyond the bytes given. Not
 * thread safe. source  RFC 8259; Unicode 15 table 3-7 */
#include "base/scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/scan_tokens.h"

enum { NUMBER_BYTES_MAX = 512 }; /* longest number that scan_double() converts */

int scan_fail(struct scan *s, int error, const char *why)
{
    CHECK(error < 0);
    return scan_fail_at(s, s->p, error, why);
}

void scan_init(struct scan *s, const char *bytes, size_t len)
{
    if (bytes == NULL) {
        CHECK(len == 0);
        bytes = "";
    }
    *s = (struct scan){.begin = bytes, .p = bytes, .end = bytes + len, .is_value_due = true};
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        scan_fail_at(s, bytes, -EINVAL, "byte order mark"); /* RFC 8259 8.1 lets a parser refuse it */
}

static void skip_space(struct scan *s)
{
    const char *p = s->p;

    while (p < s->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    s->p = p;
}

/* What the byte at p (white space passed) begins. */
static enum scan_type type_at(const struct scan *s)
{
    switch (s->p < s->end ? *s->p : '\0') {
    case '{':
        return SCAN_OBJECT;
    case '[':
        return SCAN_ARRAY;
    case '"':
        return SCAN_STRING;
    case 't':
        return SCAN_TRUE;
    case 'f':
        return SCAN_FALSE;
    case 'n':
        return SCAN_NULL;
    case '-':
    case '0' ... '9':
        return SCAN_NUMBER;
    default:
        return SCAN_NOTHING;
    }
}

enum scan_type scan_peek(struct scan *s)
{
    enum scan_type type;

    if (s->error != 0 || !s->is_value_due)
        return SCAN_NOTHING;
    skip_space(s);
    type = type_at(s);
    if (type == SCAN_NOTHING)
        scan_fail_at(s, s->p, -EINVAL, s->p < s->end ? "expected a value" : "unexpected end");
    return type;
}

/* Takes the turn of a value and tells its type; SCAN_NOTHING when there is none, s->error is set then. */
static enum scan_type begin_value(struct scan *s)
{
    enum scan_type type = scan_peek(s);

    if (type == SCAN_NOTHING)
        (void)scan_fail_at(s, s->p, -EINVAL, "no value here"); /* unless the error is known */
    s->is_value_due = false;
    return type;
}

static int begin_value_of(struct scan *s, enum scan_type wanted, const char *why)
{
    enum scan_type type = begin_value(s);

    if (type == SCAN_NOTHING)
        return s->error;
    return type == wanted ? 0 : scan_fail_at(s, s->p, -ENOMSG, why);
}

static int enter(struct scan *s, char bracket)
{
    if (s->depth == SCAN_DEPTH_MAX)
        return scan_fail_at(s, s->p, -E2BIG, "nested too deeply");
    s->nest[s->depth++] = (uint8_t)bracket;
    s->p++;
    s->is_first = true;
    return 0;
}

int scan_enter_object(struct scan *s)
{
    int r = begin_value_of(s, SCAN_OBJECT, "expected an object");

    return r < 0 ? r : enter(s, '{');
}

int scan_enter_array(struct scan *s)
{
    int r = begin_value_of(s, SCAN_ARRAY, "expected an array");

    return r < 0 ? r : enter(s, '[');
}

/* Leaves the object or array at its closing bracket. */
static void leave(struct scan *s)
{
    s->p++;
    s->depth--;
    s->is_first = false;
}

/* Goes to the next member of a container of this kind: true when there is one, its comma passed. */
static bool next_member(struct scan *s, char open, char close, const char *why)
{
    if (s->error != 0)
        return false;
    if (s->is_value_due || s->depth == 0 || s->nest[s->depth - 1] != (uint8_t)open) {
        scan_fail_at(s, s->p, -EINVAL,
                     "value not taken, or not inside of this kind"); /* our own mistake, yet never a crash */
        return false;
    }
    skip_space(s);
    if (s->p < s->end && *s->p == close) {
        leave(s);
        return false;
    }
    if (!s->is_first) {
        if (s->p == s->end || *s->p != ',') {
            scan_fail_at(s, s->p, -EINVAL, s->p < s->end ? why : "unexpected end");
            return false;
        }
        s->p++;
        skip_space(s);
    }
    s->is_first = false;
    return true;
}

bool scan_next_key(struct scan *s, struct text *out_key)
{
    struct text key;
    bool needs_repair;

    if (!next_member(s, '{', '}', "expected ',' or '}'"))
        return false;
    if (type_at(s) != SCAN_STRING) {
        scan_fail_at(s, s->p, -EINVAL, s->p < s->end ? "expected a key" : "unexpected end");
        return false;
    }
    if (scan_take_string(s, &key, &needs_repair) < 0)
        return false;
    skip_space(s);
    if (s->p == s->end || *s->p != ':') {
        scan_fail_at(s, s->p, -EINVAL, s->p < s->end ? "expected ':'" : "unexpected end");
        return false;
    }
    s->p++;
    s->is_value_due = true;
    *out_key = key;
    return true;
}

bool scan_next_item(struct scan *s)
{
    if (!next_member(s, '[', ']', "expected ',' or ']'"))
        return false;
    s->is_value_due = true;
    return true;
}

int scan_string(struct scan *s, struct text *out, bool *out_needs_repair)
{
    bool needs_repair;
    int r = begin_value_of(s, SCAN_STRING, "expected a string");

    if (r < 0)
        return r;
    return scan_take_string(s, out, out_needs_repair != NULL ? out_needs_repair : &needs_repair);
}

struct text scan_repair(struct arena *a, struct text t)
{
    char *p;
    char *end;

    if (t.p == NULL || !t.is_escaped)
        return t;
    p = arena_copy(a, t.p, t.len);
    end = p + t.len;
    t.p = p;
    while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
        struct scan s = {.begin = p, .p = p, .end = end};
        bool needs_repair = false;
        int len = 1;

        if (scan_check_escape(&s, p, &len, &needs_repair) < 0)
            len = 1; /* never out of scan_string() */
        if (needs_repair)
            memcpy(p, "\\ufffd", 6); /* as long as what it replaces */
        p += len;
    }
    return t;
}

int scan_text(struct scan *s, struct arena *a, struct text *out)
{
    struct text t;
    bool needs_repair;
    int r;

    if (scan_peek(s) == SCAN_NULL) {
        r = scan_skip(s, NULL);
        if (r == 0)
            *out = TEXT_NONE;
        return r;
    }
    r = scan_string(s, &t, &needs_repair);
    if (r == 0)
        *out = needs_repair ? scan_repair(a, t) : t;
    return r;
}

int scan_int(struct scan *s, int64_t *out)
{
    int64_t value = 0;
    const char *begin;
    bool is_integer;
    int r = begin_value_of(s, SCAN_NUMBER, "expected an integer");

    if (r < 0)
        return r;
    begin = s->p;
    r = scan_take_number(s, &is_integer);
    if (r < 0)
        return r;
    if (!is_integer)
        return scan_fail_at(s, begin, -ENOMSG, "expected an integer");
    for (const char *p = begin + (*begin == '-'); p < s->p; p++) {
        int digit = *begin == '-' ? '0' - *p : *p - '0'; /* downwards: INT64_MIN has no positive twin */

        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value))
            return scan_fail_at(s, begin, -ENOMSG, "integer out of range");
    }
    *out = value;
    return 0;
}

int scan_double(struct scan *s, double *out)
{
    char number[NUMBER_BYTES_MAX + 1];
    const char *begin;
    bool is_integer;
    double value;
    size_t len;
    int r = begin_value_of(s, SCAN_NUMBER, "expected a number");

    if (r < 0)
        return r;
    begin = s->p;
    r = scan_take_number(s, &is_integer);
    if (r < 0)
        return r;
    len = (size_t)(s->p - begin);
    if (len > NUMBER_BYTES_MAX)
        return scan_fail_at(s, begin, -ENOMSG, "number too long");
    memcpy(number, begin, len);
    number[len] = '\0';
    value = strtod(number, NULL); /* the program never leaves the C locale */
    if (isinf(value))
        return scan_fail_at(s, begin, -ENOMSG, "number out of range");
    *out = value;
    return 0;
}

int scan_bool(struct scan *s, bool *out)
{
    enum scan_type type = begin_value(s);
    int r;

    if (type == SCAN_NOTHING)
        return s->error;
    if (type != SCAN_TRUE && type != SCAN_FALSE)
        return scan_fail_at(s, s->p, -ENOMSG, "expected true or false");
    r = scan_take_literal(s, type == SCAN_TRUE ? "true" : "false");
    if (r == 0)
        *out = type == SCAN_TRUE;
    return r;
}

/* One value; of an object or array only its opening bracket. */
static int skip_one(struct scan *s)
{
    struct text t;
    bool ignored;

    switch (begin_value(s)) {
    case SCAN_NOTHING:
        return s->error;
    case SCAN_OBJECT:
        return enter(s, '{');
    case SCAN_ARRAY:
        return enter(s, '[');
    case SCAN_STRING:
        return scan_take_string(s, &t, &ignored);
    case SCAN_NUMBER:
        return scan_take_number(s, &ignored);
    case SCAN_TRUE:
        return scan_take_literal(s, "true");
    case SCAN_FALSE:
        return scan_take_literal(s, "false");
    default:
        return scan_take_literal(s, "null");
    }
}

int scan_skip(struct scan *s, struct text *out)
{
    int depth = s->depth;
    const char *begin;

    (void)scan_peek(s); /* to the value's first byte */
    begin = s->p;
    do {
        struct text key;

        (void)skip_one(s);
        while (s->error == 0 && !s->is_value_due && s->depth > depth) {
            if (s->nest[s->depth - 1] == '{')
                (void)scan_next_key(s, &key);
            else
                (void)scan_next_item(s);
        }
    } while (s->error == 0 && s->depth > depth);
    if (s->error == 0 && out != NULL)
        *out = text_slice(begin, (size_t)(s->p - begin));
    return s->error;
}

int scan_end(struct scan *s)
{
    if (s->error != 0)
        return s->error;
    skip_space(s);
    if (s->is_value_due || s->depth > 0)
        return scan_fail_at(s, s->p, -EINVAL, s->p < s->end ? "value not taken" : "unexpected end");
    if (s->p < s->end)
        return scan_fail_at(s, s->p, -EINVAL, "text after the value");
    return 0;
}
