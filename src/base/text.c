/* SPDX-License-Identifier: Apache-2.0 */
/* Slices of text, plain or still in JSON escapes, compared, decoded, escaped and cut without an intermediate copy.
 * Never owns memory and never trusts its input: a damaged escape or character gives odd text, not a wild read. Any
 * thread. */
#include "base/text.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

static const char replacement_escape[] = "\\ufffd";

/* A walk over the decoded bytes, piece by piece. */
struct walk {
    const char *p; /* next input byte */
    const char *end;
    bool is_escaped;
    const char *piece; /* decoded bytes, in the input or in `one` */
    size_t len;
    char one[4]; /* the character of one escape */
};

struct text text_of(const char *s)
{
    return (struct text){.p = s, .len = s == NULL ? 0 : strlen(s)};
}

struct text text_slice(const char *p, size_t len)
{
    return (struct text){.p = p, .len = len};
}

static size_t utf8_encode(unsigned c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Code unit of the \uXXXX at p, -1 when there is none. */
static int unit_at(const char *p, const char *end)
{
    return end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex_four(p + 2) : -1;
}

/* Bytes of the escape at p (a backslash): 2, 6, 12 for a surrogate pair, 1 when it is damaged. */
static size_t escape_length(const char *p, const char *end)
{
    int unit = unit_at(p, end);
    int low;

    if (end - p < 2)
        return 1;
    if (p[1] != 'u')
        return 2;
    if (unit < 0)
        return 1;
    if (unit < 0xd800 || unit > 0xdbff)
        return 6;
    low = unit_at(p + 6, end);
    return low >= 0xdc00 && low <= 0xdfff ? 12 : 6;
}

/* Decodes the escape at p, which has `len` bytes by escape_length(). Lone surrogates and NUL give U+FFFD. */
static size_t decode_escape(const char *p, const char *end, size_t len, char out[4])
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *at;
    int unit;

    if (len == 12)
        return utf8_encode(
            0x10000u + (((unsigned)unit_at(p, end) & 0x3ff) << 10 | ((unsigned)unit_at(p + 6, end) & 0x3ff)), out);
    if (len == 6) {
        unit = unit_at(p, end);
        return utf8_encode(unit == 0 || (unit >= 0xd800 && unit <= 0xdfff) ? 0xfffdu : (unsigned)unit, out);
    }
    at = len == 2 ? memchr(from, p[1], sizeof(from) - 1) : NULL;
    out[0] = at != NULL ? to[at - from] : '\\';
    if (len == 1 || at != NULL)
        return 1;
    out[1] = p[1]; /* no such escape: kept as it stands */
    return 2;
}

static struct walk walk_start(struct text t)
{
    return (struct walk){.p = t.p, .end = t.p == NULL ? NULL : t.p + t.len, .is_escaped = t.is_escaped};
}

/* Finds the next piece; false at the end. */
static bool walk_next(struct walk *w)
{
    const char *stop = NULL;

    if (w->p == w->end)
        return false;
    if (w->is_escaped && *w->p == '\\') {
        size_t len = escape_length(w->p, w->end);

        w->len = decode_escape(w->p, w->end, len, w->one);
        w->piece = w->one;
        w->p += len;
        return true;
    }
    if (w->is_escaped)
        stop = memchr(w->p, '\\', (size_t)(w->end - w->p));
    if (stop == NULL)
        stop = w->end;
    w->piece = w->p;
    w->len = (size_t)(stop - w->p);
    w->p = stop;
    return true;
}

bool text_is_blank(struct text t)
{
    struct walk w = walk_start(t);

    while (walk_next(&w))
        for (size_t i = 0; i < w.len; i++)
            if (w.piece[i] != ' ' && (w.piece[i] < '\t' || w.piece[i] > '\r'))
                return false;
    return true;
}

bool text_is(struct text t, const char *s)
{
    return t.p != NULL && text_equal(t, text_of(s));
}

bool text_equal(struct text a, struct text b)
{
    struct walk x;
    struct walk y;

    if (a.p == NULL || b.p == NULL)
        return a.p == b.p;
    if (!a.is_escaped && !b.is_escaped)
        return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
    x = walk_start(a);
    y = walk_start(b);
    x.len = y.len = 0;
    for (;;) {
        bool has_x = x.len > 0 || walk_next(&x);
        bool has_y = y.len > 0 || walk_next(&y);
        size_t n = x.len < y.len ? x.len : y.len;

        if (!has_x || !has_y)
            return has_x == has_y;
        if (memcmp(x.piece, y.piece, n) != 0)
            return false;
        x.piece += n;
        x.len -= n;
        y.piece += n;
        y.len -= n;
    }
}

char *text_decode(struct arena *a, struct text t, size_t *out_len)
{
    struct walk w = walk_start(t);
    char *decoded = NULL;
    size_t len = 0;

    if (t.p != NULL) {
        decoded = arena_alloc(a, t.len + 1); /* no escape is shorter than its character */
        while (walk_next(&w)) {
            memcpy(decoded + len, w.piece, w.len);
            len += w.len;
        }
        decoded[len] = '\0';
    }
    if (out_len != NULL)
        *out_len = len;
    return decoded;
}

struct text text_copy(struct arena *a, struct text t)
{
    if (t.p != NULL)
        t.p = arena_copy(a, t.p, t.len);
    return t;
}

void text_add_plain(struct buf *b, struct text t)
{
    struct walk w = walk_start(t);

    while (walk_next(&w))
        buf_add(b, w.piece, w.len);
}

/* Appends one byte that cannot stand in a JSON string as it is. */
static void add_escape(struct buf *b, char c)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    const char *at = memchr(from, c, sizeof(from) - 1);

    if (at != NULL)
        buf_add(b, (const char[]){'\\', to[at - from]}, 2);
    else if (c == '\0' || (unsigned char)c >= 0x80) /* no \u0000 in escaped text; a stray byte of broken UTF-8 */
        buf_add(b, replacement_escape, sizeof(replacement_escape) - 1);
    else
        buf_add(b, (const char[]){'\\', 'u', '0', '0', (char)('0' + (c >> 4)), "0123456789abcdef"[c & 15]}, 6);
}

void text_add_escaped(struct buf *b, struct text t)
{
    const char *p = t.p;
    const char *end = t.p == NULL ? NULL : t.p + t.len;

    if (t.is_escaped) {
        buf_add(b, t.p, t.len);
        return;
    }
    while (p < end) {
        const char *stop = plain_run_end(p, end);
        int len;

        while ((unsigned char)(stop < end ? *stop : 0) >= 0x80 && (len = utf8_length(stop, end)) > 0)
            stop += len;
        buf_add(b, p, (size_t)(stop - p));
        p = stop;
        if (p < end && plain_run_end(p, p + 1) == p) { /* else plain text goes on behind a character */
            add_escape(b, *p);
            p++;
        }
    }
}

static size_t cut_escaped(struct text t, size_t max_bytes)
{
    const char *end = t.p + t.len;
    const char *limit = t.p + max_bytes;
    const char *p = t.p;

    for (;;) {
        size_t len = 1;

        p = plain_run_end(p, limit);
        if (p == limit)
            return max_bytes;
        if (*p == '\\') {
            len = escape_length(p, end);
        } else if ((unsigned char)*p >= 0x80) {
            int character = utf8_length(p, end);

            len = character > 0 ? (size_t)character : 1;
        }
        if (len > (size_t)(limit - p))
            return (size_t)(p - t.p);
        p += len;
    }
}

static size_t cut_plain(struct text t, size_t max_bytes)
{
    size_t len = max_bytes;

    for (int i = 0; i < 3 && len > 0 && ((unsigned char)t.p[len] & 0xc0) == 0x80; i++)
        len--;
    /* Broken UTF-8 has no boundary worth looking for. */
    return ((unsigned char)t.p[len] & 0xc0) == 0x80 ? max_bytes : len;
}

struct text text_cut(struct text t, size_t max_bytes)
{
    if (t.p == NULL || t.len <= max_bytes)
        return t;
    t.len = t.is_escaped ? cut_escaped(t, max_bytes) : cut_plain(t, max_bytes);
    return t;
}
