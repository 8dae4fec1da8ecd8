/* SPDX-License-Identifier: Apache-2.0 */
/* Small pieces of reading an answer: texts, counts, joins. A value of another type than expected is passed over, never
 * an error. No state; any thread.  source  reference/wire-oddities.md 2, 7, 8, 25 */
#include <stdlib.h>

#include "base/mem.h"
#include "provider/answer.h"

static const int64_t count_max = INT64_C(9007199254740992); /* 2^53: up to it every integer is itself as a double */

int answer_text(struct scan *s, struct arena *a, struct text *out)
{
    *out = TEXT_NONE; /* also when the string turns out to be broken */
    return scan_peek(s) == SCAN_STRING ? scan_text(s, a, out) : scan_skip(s, NULL);
}

struct text answer_repair(struct arena *a, struct text json)
{
    /* No backslash stands outside of a string, and no pair of surrogates goes from one string to the next. */
    if (json.p == NULL || memchr(json.p, '\\', json.len) == NULL)
        return json;
    json.is_escaped = true;
    json = scan_repair(a, json);
    json.is_escaped = false;
    return json;
}

int answer_raw(struct scan *s, struct arena *a, struct text *out)
{
    *out = TEXT_NONE;
    if (scan_skip(s, out) == 0)
        *out = answer_repair(a, *out);
    return s->error;
}

bool answer_enter_object(struct scan *s)
{
    if (scan_peek(s) == SCAN_OBJECT)
        return scan_enter_object(s) == 0;
    (void)scan_skip(s, NULL);
    return false;
}

bool answer_enter_array(struct scan *s)
{
    if (scan_peek(s) == SCAN_ARRAY)
        return scan_enter_array(s) == 0;
    (void)scan_skip(s, NULL);
    return false;
}

/* The usual count, without the cost of strtod(). */
static bool is_short_integer(struct text raw, int64_t *out)
{
    int64_t n = 0;

    if (raw.len > 15)
        return false;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.p[i] < '0' || raw.p[i] > '9')
            return false;
        n = n * 10 + (raw.p[i] - '0');
    }
    *out = n;
    return true;
}

int answer_count(struct scan *s, int64_t *out)
{
    struct text raw;
    char digits[40];
    double d;
    bool is_number = scan_peek(s) == SCAN_NUMBER;

    if (scan_skip(s, &raw) < 0)
        return s->error;
    if (!is_number || raw.len >= sizeof(digits))
        return 0;
    if (is_short_integer(raw, out))
        return 0;
    memcpy(digits, raw.p, raw.len);
    digits[raw.len] = '\0';
    d = strtod(digits, NULL);
    if (d >= 0 && d < (double)count_max && d == (double)(int64_t)d)
        *out = (int64_t)d;
    return 0;
}

int64_t count_sum(int64_t a, int64_t b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a > count_max - b ? count_max : a + b;
}

void usage_guard(struct usage *u)
{
    if (u->input_tokens >= 0 && u->cached_input_tokens > u->input_tokens)
        u->input_tokens = count_sum(u->input_tokens, u->cached_input_tokens);
    if (u->output_tokens >= 0 && u->reasoning_tokens > u->output_tokens)
        u->output_tokens = count_sum(u->output_tokens, u->reasoning_tokens);
}

void text_join_init(struct text_join *j)
{
    j->text = TEXT_NONE;
    buf_init(&j->more, 0);
}

void text_join_add(struct text_join *j, struct text t)
{
    if (t.p == NULL)
        return;
    if (j->text.p == NULL) {
        j->text = t;
        return;
    }
    if (j->more.len == 0)
        buf_add(&j->more, j->text.p, j->text.len);
    /* All come from JSON strings, so those without an escape are valid escaped text too. */
    buf_add(&j->more, t.p, t.len);
    j->text.is_escaped |= t.is_escaped;
}

struct text text_join_end(struct text_join *j, struct arena *a)
{
    if (j->more.len > 0) {
        j->text.p = arena_copy(a, j->more.p, j->more.len);
        j->text.len = j->more.len;
    }
    buf_done(&j->more);
    return j->text;
}
