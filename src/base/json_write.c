/* SPDX-License-Identifier: Apache-2.0 */
/* Writes compact JSON into a struct buf. Never checks that the caller balances brackets and keys; errors are those of
 * the buffer (is_over). Not thread safe. */
#include "base/json_write.h"

#include <stddef.h>
#include <string.h>

#include "base/utf8.h"

void jw_init(struct json_write *w, struct buf *b)
{
    w->b = b;
    w->needs_comma = false;
}

/* Room for `bytes` and a comma in one check; NULL: over the cap (noted in the buffer), nothing is written. The writer's
 * pieces are a few bytes each and some three hundred in a job's records: a call and a check per byte would be felt. */
static char *room(struct json_write *w, size_t bytes)
{
    struct buf *b = w->b;

    bytes += w->needs_comma;
    if (bytes >= b->cap - b->len && buf_reserve(b, bytes) < 0)
        return NULL;
    return b->p + b->len;
}

/* Ends at `p` what was written into the room. */
static void written(struct json_write *w, char *p)
{
    *p = '\0';
    w->b->len = (size_t)(p - w->b->p);
}

/* Before every value and key: the comma that separates it from the one before. */
static char *separate(struct json_write *w, char *p)
{
    if (w->needs_comma)
        *p++ = ',';
    w->needs_comma = true;
    return p;
}

/* A value that needs no quotes. */
static void put(struct json_write *w, const char *bytes, size_t len)
{
    char *p = room(w, len);

    if (p == NULL)
        return;
    p = separate(w, p);
    memcpy(p, bytes, len);
    written(w, p + len);
}

void jw_open(struct json_write *w, char bracket)
{
    put(w, &bracket, 1);
    w->needs_comma = false;
}

void jw_close(struct json_write *w, char bracket)
{
    buf_add_char(w->b, bracket);
    w->needs_comma = true;
}

void jw_key(struct json_write *w, const char *key)
{
    size_t len = strlen(key);
    char *p = room(w, len + 3);

    if (p != NULL) {
        p = separate(w, p);
        *p++ = '"';
        memcpy(p, key, len);
        p += len;
        *p++ = '"';
        *p++ = ':';
        written(w, p);
    }
    w->needs_comma = false;
}

/* A string, quoted and separated; `tail` behind it. */
static void put_string(struct json_write *w, struct text t, const char *tail)
{
    size_t tail_len = strlen(tail);
    char *p = room(w, t.len + 2 + tail_len);

    if (p == NULL)
        return;
    p = separate(w, p);
    *p++ = '"';
    if (t.len > 0 && (t.is_escaped || plain_run_end(t.p, t.p + t.len) == t.p + t.len)) { /* as most are */
        memcpy(p, t.p, t.len);
        written(w, p + t.len);
    } else {
        written(w, p);
        text_add_escaped(w->b, t);
    }
    buf_add(w->b, tail, tail_len);
}

void jw_key_text(struct json_write *w, struct text key)
{
    put_string(w, key, "\":");
    w->needs_comma = false;
}

void jw_text(struct json_write *w, struct text t)
{
    if (t.p == NULL)
        jw_null(w);
    else
        put_string(w, t, "\"");
}

void jw_str(struct json_write *w, const char *s)
{
    jw_text(w, text_of(s));
}

void jw_int(struct json_write *w, int64_t v)
{
    char space[BUF_I64_BYTES];
    const char *digits = buf_i64(space, v);

    put(w, digits, (size_t)(space + BUF_I64_BYTES - 1 - digits));
}

void jw_bool(struct json_write *w, bool v)
{
    put(w, v ? "true" : "false", v ? 4 : 5);
}

void jw_null(struct json_write *w)
{
    put(w, "null", 4);
}

void jw_raw(struct json_write *w, struct text json)
{
    if (json.p == NULL)
        jw_null(w);
    else
        put(w, json.p, json.len);
}

void jw_usd(struct json_write *w, int64_t nano_usd)
{
    uint64_t nano = nano_usd < 0 ? -(uint64_t)nano_usd : (uint64_t)nano_usd;
    uint64_t fraction = nano % 1000000000u;
    char decimals[10] = ".";
    int n = 0;

    put(w, "-", nano_usd < 0);
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
