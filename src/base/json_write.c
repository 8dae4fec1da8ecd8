/* SPDX-License-Identifier: Apache-2.0 */
/* Writes compact JSON into a struct buf. Never checks that the caller balances brackets and keys; errors are those of
 * the buffer (is_over). Not thread safe. */
#include "base/json_write.h"

#include <stddef.h>

void jw_init(struct json_write *w, struct buf *b)
{
    w->b = b;
    w->needs_comma = false;
}

/* Before every value and key: the comma that separates it from the one before. */
static void separate(struct json_write *w)
{
    if (w->needs_comma)
        buf_add_char(w->b, ',');
    w->needs_comma = true;
}

void jw_open(struct json_write *w, char bracket)
{
    separate(w);
    buf_add_char(w->b, bracket);
    w->needs_comma = false;
}

void jw_close(struct json_write *w, char bracket)
{
    buf_add_char(w->b, bracket);
    w->needs_comma = true;
}

void jw_key(struct json_write *w, const char *key)
{
    separate(w);
    buf_add_char(w->b, '"');
    buf_add_str(w->b, key);
    buf_add(w->b, "\":", 2);
    w->needs_comma = false;
}

void jw_key_text(struct json_write *w, struct text key)
{
    separate(w);
    buf_add_char(w->b, '"');
    text_add_escaped(w->b, key);
    buf_add(w->b, "\":", 2);
    w->needs_comma = false;
}

void jw_text(struct json_write *w, struct text t)
{
    if (t.p == NULL) {
        jw_null(w);
        return;
    }
    separate(w);
    buf_add_char(w->b, '"');
    text_add_escaped(w->b, t);
    buf_add_char(w->b, '"');
}

void jw_str(struct json_write *w, const char *s)
{
    jw_text(w, text_of(s));
}

void jw_int(struct json_write *w, int64_t v)
{
    separate(w);
    buf_add_i64(w->b, v);
}

void jw_bool(struct json_write *w, bool v)
{
    separate(w);
    buf_add_str(w->b, v ? "true" : "false");
}

void jw_null(struct json_write *w)
{
    separate(w);
    buf_add(w->b, "null", 4);
}

void jw_raw(struct json_write *w, struct text json)
{
    if (json.p == NULL) {
        jw_null(w);
        return;
    }
    separate(w);
    buf_add(w->b, json.p, json.len);
}

void jw_usd(struct json_write *w, int64_t nano_usd)
{
    uint64_t nano = nano_usd < 0 ? -(uint64_t)nano_usd : (uint64_t)nano_usd;
    uint64_t fraction = nano % 1000000000u;
    char decimals[10] = ".";
    int n = 0;

    separate(w);
    if (nano_usd < 0)
        buf_add_char(w->b, '-');
    buf_add_i64(w->b, (int64_t)(nano / 1000000000u));
    for (uint64_t place = 100000000u; fraction > 0; place /= 10) { /* stops by itself behind the last digit not 0 */
        decimals[++n] = (char)('0' + fraction / place);
        fraction %= place;
    }
    if (n > 0)
        buf_add(w->b, decimals, (size_t)n + 1);
}

void jw_kv_text(struct json_write *w, const char *key, struct text t)
{
    jw_key(w, key);
    jw_text(w, t);
}

void jw_kv_str(struct json_write *w, const char *key, const char *s)
{
    jw_key(w, key);
    jw_str(w, s);
}

void jw_kv_int(struct json_write *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_int(w, v);
}

void jw_kv_int_opt(struct json_write *w, const char *key, int64_t v)
{
    jw_key(w, key);
    if (v < 0)
        jw_null(w);
    else
        jw_int(w, v);
}

void jw_kv_usd_opt(struct json_write *w, const char *key, int64_t nano_usd)
{
    jw_key(w, key);
    if (nano_usd < 0)
        jw_null(w);
    else
        jw_usd(w, nano_usd);
}

void jw_kv_bool(struct json_write *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}

void jw_kv_null(struct json_write *w, const char *key)
{
    jw_key(w, key);
    jw_null(w);
}

void jw_kv_raw(struct json_write *w, const char *key, struct text json)
{
    jw_key(w, key);
    jw_raw(w, json);
}
